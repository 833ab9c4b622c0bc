//! Server-sent events: bytes in, frames out (WHATWG HTML, "Interpreting an event stream"). Bytes that are no UTF-8
//! become replacement characters, as the standard says: a letter that a gateway spoils costs that letter.

use super::{Limits, StreamError};

/// A dispatched event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// The `event:` field; empty if there was none.
    pub(super) event: String,
    /// The `data:` lines, joined by newlines.
    pub(super) data: String,
    /// The end of a line that was too long; `data` is then its beginning.
    pub(super) end: Option<String>,
}

/// Bytes kept of each end of an overlong line.
const ENDS_BYTES: usize = 4 << 10;
/// The only event whose data may be too long, because it is dispensable: a server tool's result in one piece.
const SKIPPABLE: &str = "content_block_start";

/// An overlong line.
#[derive(Debug)]
struct Skipped {
    head: Vec<u8>,
    tail: Vec<u8>,
}

impl Skipped {
    fn take(&mut self, piece: &[u8]) {
        self.tail.extend_from_slice(&piece[piece.len().saturating_sub(ENDS_BYTES)..]);
        let over = self.tail.len().saturating_sub(ENDS_BYTES);
        self.tail.drain(..over);
    }
}

/// Splits bytes into frames; a frame without its final blank line is not returned.
#[derive(Debug)]
pub(super) struct Decoder {
    limits: Limits,
    /// The line so far.
    line: Vec<u8>,
    /// The current line, if it is too long but dispensable.
    skipped: Option<Skipped>,
    /// Whether the last byte was a CR that ended a line; a following LF belongs to it.
    after_cr: bool,
    first_line: bool,
    event: String,
    data: Option<String>,
    end: Option<String>,
    bytes: usize,
}

impl Decoder {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            line: Vec::new(),
            skipped: None,
            after_cr: false,
            first_line: true,
            event: String::new(),
            data: None,
            end: None,
            bytes: 0,
        }
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    /// Takes bytes cut anywhere; returns the frames that they complete and the fault after them.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> (Vec<Frame>, Option<StreamError>) {
        let mut frames = Vec::new();
        let fault = self.split(bytes, &mut frames).err();
        (frames, fault)
    }

    /// Returns the frame that a clean end of the stream completes. The standard drops a frame without a final blank
    /// line, but some gateways omit the last one, and the official SDKs read it.
    pub(super) fn end(&mut self) -> Option<Frame> {
        if !self.line.is_empty() || self.skipped.is_some() {
            self.end_line().ok()?;
        }
        self.end_line().ok()?
    }

    fn split(&mut self, mut bytes: &[u8], frames: &mut Vec<Frame>) -> Result<(), StreamError> {
        while let Some(&first) = bytes.first() {
            if std::mem::take(&mut self.after_cr) && first == b'\n' {
                self.count(1)?;
                bytes = &bytes[1..];
                continue;
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let (piece, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            self.count(piece.len() + usize::from(end.is_some()))?;
            self.extend(piece)?;
            let Some((&ender, rest)) = rest.split_first() else { return Ok(()) };
            self.after_cr = ender == b'\r';
            bytes = rest;
            frames.extend(self.end_line()?);
        }
        Ok(())
    }

    fn extend(&mut self, mut piece: &[u8]) -> Result<(), StreamError> {
        if self.skipped.is_none() && self.line.len() + piece.len() > self.limits.line_bytes_max {
            let (fitting, rest) = piece.split_at(self.limits.line_bytes_max - self.line.len());
            self.line.extend_from_slice(fitting);
            let head = &self.line[..self.line.len().min(ENDS_BYTES)];
            let names_it = String::from_utf8_lossy(head).contains(SKIPPABLE);
            if !head.starts_with(b"data:") || self.data.is_some() || !names_it {
                return Err(self.line_too_long());
            }
            let mut skipped = Skipped { head: head.to_vec(), tail: Vec::new() };
            skipped.take(&std::mem::take(&mut self.line));
            self.skipped = Some(skipped);
            piece = rest;
        }
        match &mut self.skipped {
            Some(skipped) => skipped.take(piece),
            None => self.line.extend_from_slice(piece),
        }
        Ok(())
    }

    fn count(&mut self, bytes: usize) -> Result<(), StreamError> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.limits.message_bytes_max {
            return Err(StreamError::MessageTooLong { message_bytes_max: self.limits.message_bytes_max });
        }
        Ok(())
    }

    fn line_too_long(&self) -> StreamError {
        StreamError::LineTooLong { line_bytes_max: self.limits.line_bytes_max }
    }

    fn end_line(&mut self) -> Result<Option<Frame>, StreamError> {
        if let Some(Skipped { head, tail }) = self.skipped.take() {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            self.first_line = false;
            self.data = Some(text(&head["data:".len()..]));
            self.end = Some(text(&tail));
            return Ok(None);
        }
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        let mut line = line.as_ref();
        if std::mem::take(&mut self.first_line) {
            line = line.strip_prefix('\u{feff}').unwrap_or(line);
        }
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            let end = self.end.take();
            return Ok(self.data.take().map(|data| Frame { event, data, end }));
        }
        // A comment has no name; unknown names are ignored.
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.event),
            "data" => self.add_data(value)?,
            _ => {}
        }
        Ok(None)
    }

    fn add_data(&mut self, value: &str) -> Result<(), StreamError> {
        let Some(data) = &mut self.data else {
            self.data = Some(value.to_owned());
            return Ok(());
        };
        if data.len() + 1 + value.len() > self.limits.line_bytes_max {
            return Err(self.line_too_long());
        }
        data.push('\n');
        data.push_str(value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SAMPLE: &str = "\u{feff}: hello\r\nevent: a\r\ndata: {\"t\":\"naïve 🙂\"}   \r\n\r\n\
        event:b\ndata:1\ndata\ndata: 3\nid: 7\nretry: 9\n\nevent: nothing\n\n\rdata: cr\r\rdata: unfinished";

    fn frame(event: &str, data: &str) -> Frame {
        Frame { event: event.to_owned(), data: data.to_owned(), end: None }
    }

    fn expected() -> Vec<Frame> {
        vec![frame("a", "{\"t\":\"naïve 🙂\"}   "), frame("b", "1\n\n3"), frame("", "cr")]
    }

    fn decode<'a>(limits: Limits, pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Frame>, Option<StreamError>) {
        let mut decoder = Decoder::new(limits);
        let mut frames = Vec::new();
        for piece in pieces {
            let (more, fault) = decoder.feed(piece);
            frames.extend(more);
            if fault.is_some() {
                return (frames, fault);
            }
        }
        (frames, None)
    }

    #[test]
    fn a_cut_at_any_byte_changes_nothing() {
        let bytes = SAMPLE.as_bytes();
        for at in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(at);
            assert_eq!(decode(Limits::default(), [head, tail]), (expected(), None), "cut at byte {at}");
        }
        assert_eq!(decode(Limits::default(), bytes.chunks(1)), (expected(), None), "byte by byte");
    }

    #[test]
    fn a_line_frame_or_stream_past_its_limit_is_refused_with_the_frames_before_it() {
        let limits = Limits { line_bytes_max: 10, message_bytes_max: 40 };
        let too_long = Some(StreamError::LineTooLong { line_bytes_max: 10 });
        let good = vec![frame("", "1234")];
        for (input, expected) in [
            (&b"data: 1234\n\n"[..], (good.clone(), None)),
            (b"data: 1234\n\ndata: 12345", (good.clone(), too_long.clone())),
            (b"data: 1234\ndata: 1234\ndata: 5\n", (vec![], too_long.clone())),
            (b"data: 1234\n\n:::::::\n:::::::\n:::::::\n:::::::\n", {
                (good, Some(StreamError::MessageTooLong { message_bytes_max: 40 }))
            }),
        ] {
            assert_eq!(decode(limits, [input]), expected, "{}", input.escape_ascii());
        }
    }

    #[test]
    fn c12_of_a_result_that_is_too_long_the_ends_are_kept_however_it_is_cut() {
        let limits = Limits { line_bytes_max: 64, message_bytes_max: 1 << 20 };
        let begin = r#"{"type":"content_block_start","index":1,"#;
        let line = format!("event: content_block_start\ndata: {begin}{}end}}\n\ndata: 2\n\n", "x".repeat(20_000));
        let whole = decode(limits, [line.as_bytes()]);
        assert_eq!(whole.1, None);
        assert!(whole.0[0].data.trim_start().starts_with(begin), "{}", whole.0[0].data);
        assert!(whole.0[0].end.as_ref().is_some_and(|end| end.ends_with("end}") && end.len() == ENDS_BYTES));
        assert_eq!(whole.0[1], frame("", "2"));
        for size in [1, 7, 63, 64, 65, 4_096] {
            assert_eq!(decode(limits, line.as_bytes().chunks(size)), whole, "{size}");
        }
    }

    #[test]
    fn a_clean_end_completes_the_last_frame() {
        for (wire, expected) in [
            ("data: 1", Some(frame("", "1"))),
            ("event: a\ndata: 1\n", Some(frame("a", "1"))),
            ("data: 1\n\n", None),
            ("event: a\n", None),
            ("", None),
        ] {
            let mut decoder = Decoder::new(Limits::default());
            decoder.feed(wire.as_bytes());
            assert_eq!((decoder.end(), decoder.end()), (expected, None), "{wire:?}");
        }
    }

    #[test]
    fn c19_bytes_that_are_no_utf8_become_replacement_characters_however_they_are_cut() {
        let wire = b"event: a\ndata: caf\xe9 \xf0\x9f\x98 \xff\n\ndata: \xc3\xa9\n\n";
        let expected = vec![frame("a", "caf\u{fffd} \u{fffd} \u{fffd}"), frame("", "é")];
        for size in 1..wire.len() {
            assert_eq!(decode(Limits::default(), wire.chunks(size)), (expected.clone(), None), "by {size}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_decode_as_the_whole(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b':'), Just(b'd'), any::<u8>()], 0..300),
            piece in 1_usize..20,
            line_bytes_max in 1_usize..200,
            message_bytes_max in 1_usize..400,
        ) {
            let limits = Limits { line_bytes_max, message_bytes_max };
            prop_assume!(message_bytes_max >= bytes.len());
            let whole = decode(limits, [&bytes[..]]);
            prop_assert_eq!(decode(limits, bytes.chunks(piece)), whole);
        }

        #[test]
        fn frames_written_with_any_line_end_are_read_back(
            frames in proptest::collection::vec(("[a-z]{0,6}", "[^\r\n]{1,30}"), 0..8),
            end in prop_oneof![Just("\n"), Just("\r\n"), Just("\r")],
            piece in 1_usize..20,
        ) {
            let lines = frames.iter().flat_map(|(event, data)| ["event: ", event, end, "data: ", data, end, end]);
            let wire: String = lines.collect();
            let expected: Vec<_> = frames.iter().map(|(event, data)| frame(event, data)).collect();
            prop_assert_eq!(decode(Limits::default(), wire.as_bytes().chunks(piece)), (expected, None));
        }
    }
}
