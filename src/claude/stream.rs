//! Turns a stream's bytes into a [`Message`] without IO: bytes in, [`Delta`]s out.
//!
//! `sse` splits bytes into frames, `event` reads frames, `accumulate` builds the message. A stream that ends before
//! its message is a failure even if text arrived (docs/claude-api.md, section 7).

mod accumulate;
mod event;
mod framing;
mod sse;
pub(in crate::claude) mod wide;
mod wrapped;

use std::collections::VecDeque;

use super::wire::{Container, Message, Usage};
use accumulate::Accumulator;
use framing::Framing;
use sse::{Decoder, Frame};

/// The size limits of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a line or of one frame's data. A server tool's result is a single frame; if it is larger, its content
    /// is dropped.
    pub line_bytes_max: usize,
    /// Bytes of the whole stream, including framing.
    pub message_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { line_bytes_max: 16 << 20, message_bytes_max: 128 << 20 }
    }
}

/// A change to a message that is being written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delta {
    /// The answer has begun.
    Started {
        /// `msg_…`
        id: String,
        /// The model that answers.
        model: String,
    },
    /// A block has begun.
    BlockStarted {
        /// Its index in the content.
        index: usize,
        /// Its `type`.
        kind: String,
    },
    /// More text of a text block.
    Text(String),
    /// More thinking; often empty.
    Thinking(String),
    /// More of a tool call's arguments.
    ToolInput {
        /// The block's index in the content.
        index: usize,
    },
    /// A block is complete.
    BlockStopped {
        /// Its index in the content.
        index: usize,
    },
}

/// Why a stream cannot become a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// A line or a frame's data exceeds [`Limits::line_bytes_max`].
    #[error("an event is longer than {line_bytes_max} bytes")]
    LineTooLong {
        /// The limit.
        line_bytes_max: usize,
    },
    /// The stream exceeds [`Limits::message_bytes_max`].
    #[error("the answer is longer than {message_bytes_max} bytes")]
    MessageTooLong {
        /// The limit.
        message_bytes_max: usize,
    },
    /// An event's data is not the JSON that its type requires.
    #[error("a {event:?} event is malformed: {reason}")]
    Malformed {
        /// The event's type.
        event: String,
        /// The parser's reason, without the data.
        reason: String,
    },
    /// An event came in the wrong order.
    #[error("a {event:?} event came out of order: {reason}")]
    OutOfOrder {
        /// The event's type.
        event: &'static str,
        /// What was expected.
        reason: &'static str,
    },
    /// The stream ended before the message did.
    #[error("the stream ended before the answer did")]
    EndedEarly,
    /// The bytes are not an answer in any framing.
    #[error("what came is no answer")]
    NoAnswer,
    /// The bytes are not compressed as stated.
    #[error("the answer cannot be decompressed")]
    Undecodable,
    /// An `error` event from the API.
    #[error("the API broke off with {kind}")]
    Api {
        /// Its `type`, e.g. `overloaded_error`.
        kind: String,
        /// The provider's text.
        message: String,
        /// `details.error_code`.
        code: Option<String>,
        /// The request id in the event.
        request_id: Option<String>,
    },
}

/// Builds a message from a stream's bytes.
#[derive(Debug)]
pub struct Assembler {
    framing: Framing,
    decoder: Decoder,
    accumulator: Accumulator,
    /// Whether anything came.
    has_bytes: bool,
    /// Whether an event came that this client does not know, pings aside.
    is_strange: bool,
}

impl Assembler {
    /// Returns an assembler for an event stream.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self::framed(limits, true)
    }

    /// Returns an assembler for an answer; `is_declared` if it is declared as an event stream.
    #[must_use]
    pub fn framed(limits: Limits, is_declared: bool) -> Self {
        let framing = Framing::new(limits, is_declared);
        let (decoder, accumulator) = (Decoder::new(limits), Accumulator::default());
        Self { framing, decoder, accumulator, has_bytes: false, is_strange: false }
    }

    /// Returns the bytes so far, if they are not an answer in any framing.
    #[must_use]
    pub fn foreign(&self) -> Option<&[u8]> {
        self.framing.foreign()
    }

    /// Takes the next bytes, cut anywhere, and appends deltas to `news`.
    ///
    /// # Errors
    /// When the stream is broken; it must not be fed further. `news` has what came before the fault.
    pub fn feed(&mut self, bytes: &[u8], news: &mut VecDeque<Delta>) -> Result<(), StreamError> {
        self.has_bytes |= !bytes.trim_ascii().is_empty();
        let bytes = self.framing.feed(bytes)?;
        let (frames, fault) = self.decoder.feed(&bytes);
        for frame in frames {
            if self.is_complete() {
                return Ok(());
            }
            self.take(&frame, news)?;
        }
        match fault {
            Some(fault) if !self.is_complete() => Err(fault),
            _ => Ok(()),
        }
    }

    fn take(&mut self, frame: &Frame, news: &mut VecDeque<Delta>) -> Result<(), StreamError> {
        if let Some(data) = wrapped::in_data(&frame.data) {
            return self.take(&Frame { event: String::new(), data, end: None }, news);
        }
        if !self.is_begun()
            && matches!(frame.event.as_str(), "" | "message")
            && let Some(events) = framing::in_one(&frame.data)
        {
            for data in events {
                self.take(&Frame { event: String::new(), data, end: None }, news)?;
            }
            return Ok(());
        }
        let Some(event) = event::read(frame, self.decoder.limits())? else {
            self.is_strange |= !event::is_ping(frame);
            return Ok(());
        };
        self.accumulator.take(event, news)
    }

    /// Takes the clean end of the stream, which may complete the last event or, where only `message_stop` is missing,
    /// the message; half an event is dropped.
    pub fn end(&mut self, news: &mut VecDeque<Delta>) {
        let Ok(rest) = self.framing.end() else { return };
        let (frames, _) = self.decoder.feed(&rest);
        for frame in &frames {
            if self.take(frame, news).is_err() {
                return;
            }
        }
        if let Some(last) = self.decoder.end().filter(|_| !self.is_complete()) {
            // Half an event, or one out of order, completes nothing.
            let _ = self.take(&last, news);
        }
        self.accumulator.end(news);
    }

    /// Returns whether nothing came, or only blanks.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.has_bytes
    }

    /// Returns whether an event came that this client does not know, other than a ping.
    #[must_use]
    pub fn is_strange(&self) -> bool {
        self.is_strange
    }

    /// Returns whether `message_start` was seen; from then on a retry would be visible.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.accumulator.is_begun()
    }

    /// Returns whether the whole message was seen.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.accumulator.is_complete()
    }

    /// Returns the usage reported so far.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.accumulator.usage()
    }

    /// Returns the container that was told so far.
    #[must_use]
    pub fn container(&self) -> Option<Container> {
        self.accumulator.container()
    }

    /// Returns the ids of the files that were made so far.
    #[must_use]
    pub fn made_files(&self) -> Vec<String> {
        self.accumulator.made_files()
    }

    /// Returns the message.
    ///
    /// # Errors
    /// When the stream ended before the message did.
    pub fn finish(self) -> Result<Message, StreamError> {
        self.accumulator.finish()
    }
}

#[cfg(test)]
mod tests;
