//! Builds the message from its events, and holds the server to their order.

use std::collections::VecDeque;

use serde::Deserialize;

use super::{
    Delta, StreamError,
    event::{BlockDelta, Event, MessageDelta},
};
use crate::claude::wire::{ContentBlock, Json, Message, StopReason, Usage};

/// The message so far.
#[derive(Debug, Default)]
pub(super) struct Accumulator {
    message: Option<Message>,
    open: Vec<OpenBlock>,
    /// Calls of our tools whose arguments are not JSON; an answer that was cut off may end in one.
    broken: Vec<usize>,
    complete: bool,
}

/// What a block that has not stopped has gathered beside its content.
#[derive(Debug, Default)]
struct OpenBlock {
    index: usize,
    input: String,
    citations: Vec<Json>,
}

impl Accumulator {
    pub(super) fn is_begun(&self) -> bool {
        self.message.is_some()
    }

    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    pub(super) fn usage(&self) -> Usage {
        self.message.as_ref().map(|message| message.usage.clone()).unwrap_or_default()
    }

    pub(super) fn take(&mut self, event: Event, news: &mut VecDeque<Delta>) -> Result<(), StreamError> {
        let begun = match (event, &mut self.message) {
            (Event::MessageStart(message), None) => {
                news.push_back(Delta::Started { id: message.id.clone(), model: message.model.clone() });
                self.message = Some(message);
                return Ok(());
            }
            (Event::MessageStart(_), Some(_)) => return Err(out_of_order("message_start", "the message had begun")),
            (event, Some(message)) => (event, message),
            (Event::BlockStop { .. }, None) => return Ok(()),
            (event, None) => return Err(out_of_order(name(&event), "the message had not begun")),
        };
        match begun {
            (Event::BlockStart { index, block }, message) => {
                if index != message.content.len() {
                    return Err(out_of_order("content_block_start", "its index is not the next"));
                }
                news.push_back(Delta::BlockStarted { index, kind: block.kind() });
                if let Some(model) = falls_back_to(&block) {
                    // What follows is said, and charged for, by another model.
                    message.model = model;
                }
                news.extend(block.as_text().filter(|text| !text.is_empty()).map(|text| Delta::Text(text.to_owned())));
                self.open.push(OpenBlock { index, ..OpenBlock::default() });
                message.content.push(block);
                Ok(())
            }
            (Event::BlockDelta { index, delta }, message) => {
                let open = self.open.iter_mut().find(|open| open.index == index);
                let (Some(open), Some(block)) = (open, message.content.get_mut(index)) else {
                    return Err(out_of_order("content_block_delta", "its block is not open"));
                };
                news.extend(apply(open, block, delta)?);
                Ok(())
            }
            (Event::BlockStop { index }, message) => {
                // One that is not open changes nothing.
                if let Some(at) = self.open.iter().position(|open| open.index == index) {
                    let open = self.open.remove(at);
                    self.broken.extend(close(open, &mut message.content[index]).err());
                    news.push_back(Delta::BlockStopped { index });
                }
                Ok(())
            }
            (Event::MessageDelta(MessageDelta { delta, usage }), message) => {
                message.stop_reason = delta.reason.or(message.stop_reason.take());
                message.stop_sequence = delta.sequence.or(message.stop_sequence.take());
                message.stop_details = delta.details.or(message.stop_details.take());
                message.container = delta.container.or(message.container.take());
                message.usage.update(usage.unwrap_or_default());
                Ok(())
            }
            (Event::MessageStop | Event::MessageStart(_), message) => {
                // An answer that reached a limit, or was refused, may end within a block.
                for open in std::mem::take(&mut self.open) {
                    let index = open.index;
                    self.broken.extend(close(open, &mut message.content[index]).err());
                    news.push_back(Delta::BlockStopped { index });
                }
                self.complete = true;
                Ok(())
            }
        }
    }

    /// Returns the message. A call of a tool that was cut off is left out, so that nobody can run it. Where the answer
    /// was not cut off, such a call keeps its arguments as the text that they are: a string is no arguments, and whoever
    /// carries out calls tells the model so.
    pub(super) fn finish(self) -> Result<Message, StreamError> {
        let Some(mut message) = self.message.filter(|_| self.complete) else {
            return Err(StreamError::EndedEarly);
        };
        if message.stop_reason.as_ref().is_some_and(StopReason::is_cut_off) {
            let mut index = 0..;
            message.content.retain(|_| index.next().is_some_and(|index| !self.broken.contains(&index)));
        }
        Ok(message)
    }
}

/// Returns the model that answers from here on, where a block says that another one does.
fn falls_back_to(block: &ContentBlock) -> Option<String> {
    #[derive(Deserialize)]
    struct To {
        model: String,
    }
    let ContentBlock::Other(fields) = block else { return None };
    if block.kind() != "fallback" {
        return None;
    }
    fields.get("to")?.read::<To>().ok().map(|to| to.model)
}

fn apply(open: &mut OpenBlock, block: &mut ContentBlock, delta: BlockDelta) -> Result<Option<Delta>, StreamError> {
    match (delta, block) {
        (BlockDelta::TextDelta { text: more }, ContentBlock::Text { text, .. }) => {
            text.push_str(&more);
            Ok((!more.is_empty()).then_some(Delta::Text(more)))
        }
        (BlockDelta::ThinkingDelta { thinking: more }, ContentBlock::Thinking { thinking, .. }) => {
            thinking.push_str(&more);
            Ok(Some(Delta::Thinking(more)))
        }
        (BlockDelta::SignatureDelta { signature: new }, ContentBlock::Thinking { signature, .. }) => {
            *signature = Some(new);
            Ok(None)
        }
        (BlockDelta::InputJsonDelta { partial_json }, ContentBlock::ToolUse { .. } | ContentBlock::Other(_)) => {
            open.input.push_str(&partial_json);
            Ok(Some(Delta::ToolInput { index: open.index }))
        }
        (BlockDelta::Compaction(summary), ContentBlock::Other(fields)) => {
            for (name, value) in summary.iter().filter(|(name, _)| *name != "type") {
                fields.set(name, value.clone());
            }
            Ok(None)
        }
        (BlockDelta::Citation(citation), ContentBlock::Text { .. }) => {
            open.citations.push(citation);
            Ok(None)
        }
        // What is unknown, and whatever an unknown block is given, may be passed over; the rest is a fault.
        (BlockDelta::Unknown, _) | (_, ContentBlock::Other(_)) => Ok(None),
        _ => Err(out_of_order("content_block_delta", "its block is of another type")),
    }
}

/// Closes a block; an error with its index where it calls a tool of ours with arguments that are not JSON.
fn close(open: OpenBlock, block: &mut ContentBlock) -> Result<(), usize> {
    if !open.citations.is_empty()
        && let Some(rest) = block.rest_mut()
    {
        let mut citations: Vec<Json> =
            rest.get("citations").and_then(|known| known.read::<Option<_>>().ok()?).unwrap_or_default();
        citations.extend(open.citations);
        rest.set("citations", Json::of(&citations));
    }
    if open.input.trim().is_empty() {
        return Ok(());
    }
    match (Json::parse(open.input.trim()), block) {
        (Ok(parsed), ContentBlock::ToolUse { input, .. }) => *input = parsed,
        (Ok(parsed), ContentBlock::Other(fields)) => fields.set("input", parsed),
        (Err(_), ContentBlock::ToolUse { input, .. }) => {
            *input = Json::of(&open.input);
            return Err(open.index);
        }
        // The provider carries out its own tools' calls, and has understood them.
        (Ok(_) | Err(_), _) => {}
    }
    Ok(())
}

fn out_of_order(event: &'static str, reason: &'static str) -> StreamError {
    StreamError::OutOfOrder { event, reason }
}

fn name(event: &Event) -> &'static str {
    match event {
        Event::MessageStart(_) => "message_start",
        Event::BlockStart { .. } => "content_block_start",
        Event::BlockDelta { .. } => "content_block_delta",
        Event::BlockStop { .. } => "content_block_stop",
        Event::MessageDelta(_) => "message_delta",
        Event::MessageStop => "message_stop",
    }
}
