//! Detects an answer's framing by its first bytes and converts it to an event stream. Gateways send, under any content
//! type, an event stream like the API's, an event on each line (`application/x-ndjson`), or the whole message as one
//! JSON value.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::{
    Limits, StreamError,
    wide::Wide,
    wrapped::{self, is_event, is_message},
};

/// The UTF-8 byte order mark.
const BOM: &[u8] = b"\xef\xbb\xbf";
/// How an undeclared event stream may begin.
const BEGINNINGS: [&[u8]; 6] = [b"event:", b"data:", b"id:", b"retry:", b":", b"event :"];
/// Bytes within which an undeclared stream must show one of these beginnings.
const BEGINNING_BYTES_MAX: usize = 64;

/// The detected framing.
#[derive(Debug)]
enum Kind {
    /// Not detected yet.
    Unknown,
    Events,
    /// An event on each line.
    Lines,
    /// One JSON value, or lines of which the first is incomplete.
    Braced,
    /// Not an answer; the bytes are kept.
    Foreign,
}

/// Converts an answer's bytes to an event stream.
#[derive(Debug)]
pub(super) struct Framing {
    kind: Kind,
    /// Whether the answer is declared as an event stream.
    is_declared: bool,
    /// Bytes that were received and not passed on yet.
    held: Vec<u8>,
    wide: Wide,
    bytes_max: usize,
}

impl Framing {
    pub(super) fn new(limits: Limits, is_declared: bool) -> Self {
        Self {
            kind: Kind::Unknown,
            is_declared,
            held: Vec::new(),
            wide: Wide::default(),
            bytes_max: limits.message_bytes_max,
        }
    }

    /// Returns the bytes so far, if they are not an answer in any framing.
    pub(super) fn foreign(&self) -> Option<&[u8]> {
        matches!(self.kind, Kind::Foreign).then_some(&self.held)
    }

    /// Takes the next bytes, cut anywhere; returns bytes of the event stream.
    pub(super) fn feed<'b>(&mut self, bytes: &'b [u8]) -> Result<Cow<'b, [u8]>, StreamError> {
        let bytes = self.wide.feed(bytes);
        if matches!(self.kind, Kind::Events) {
            return Ok(bytes);
        }
        if self.held.len().saturating_add(bytes.len()) > self.bytes_max {
            return Err(StreamError::MessageTooLong { message_bytes_max: self.bytes_max });
        }
        let before = self.held.len();
        self.held.extend_from_slice(&bytes);
        if matches!(self.kind, Kind::Unknown) {
            self.kind = self.told_by_the_beginning(false);
        }
        match self.kind {
            Kind::Events => Ok(Cow::Owned(std::mem::take(&mut self.held))),
            Kind::Foreign => Err(StreamError::NoAnswer),
            Kind::Unknown => Ok(Cow::Borrowed(&[])),
            // Look at lines once, when one ends.
            Kind::Lines | Kind::Braced if !self.held[before..].contains(&b'\n') => Ok(Cow::Borrowed(&[])),
            Kind::Lines => Ok(Cow::Owned(self.lines())),
            Kind::Braced => Ok(Cow::Owned(self.first_line())),
        }
    }

    /// Takes the end of the answer; returns the rest of the event stream.
    pub(super) fn end(&mut self) -> Result<Vec<u8>, StreamError> {
        let rest = self.wide.end();
        self.held.extend(rest);
        if matches!(self.kind, Kind::Unknown) {
            self.kind = self.told_by_the_beginning(true);
        }
        match self.kind {
            Kind::Unknown | Kind::Events => Ok(std::mem::take(&mut self.held)),
            Kind::Lines => {
                self.held.push(b'\n');
                Ok(self.lines())
            }
            Kind::Braced => match serde_json::from_str(&String::from_utf8_lossy(self.inner())) {
                Ok(value) => whole(&value).ok_or_else(|| self.is_foreign()),
                Err(error) if error.is_eof() => Err(StreamError::EndedEarly),
                Err(_) => Err(self.is_foreign()),
            },
            Kind::Foreign => Err(StreamError::NoAnswer),
        }
    }

    fn is_foreign(&mut self) -> StreamError {
        self.kind = Kind::Foreign;
        StreamError::NoAnswer
    }

    /// Returns the held bytes without a byte order mark and leading whitespace.
    fn inner(&self) -> &[u8] {
        let held = self.held.strip_prefix(BOM).unwrap_or(&self.held);
        held.trim_ascii_start()
    }

    fn told_by_the_beginning(&self, is_all: bool) -> Kind {
        let inner = self.inner();
        let may_become = |beginning: &[u8]| beginning.starts_with(inner) && !is_all;
        match inner.first() {
            Some(b'{' | b'[') => Kind::Braced,
            // It may be half of a byte order mark.
            None if !is_all => Kind::Unknown,
            _ if self.is_declared => Kind::Events,
            None => Kind::Foreign,
            _ if BEGINNINGS.iter().any(|beginning| inner.starts_with(beginning)) => Kind::Events,
            _ if inner.len() < BEGINNING_BYTES_MAX
                && (BOM.starts_with(inner) || BEGINNINGS.iter().any(|beginning| may_become(beginning))) =>
            {
                Kind::Unknown
            }
            _ => Kind::Foreign,
        }
    }

    /// Decides by a complete first line: an event means lines, anything else one value.
    fn first_line(&mut self) -> Vec<u8> {
        let inner = self.inner();
        let line = inner.split(|byte| *byte == b'\n').next().unwrap_or_default();
        // An incomplete value continues on the next line.
        let Ok(value) = serde_json::from_str::<Value>(&String::from_utf8_lossy(line)) else { return Vec::new() };
        if is_event(&value) || value.is_object() && wrapped::inner(&value).is_some_and(|inner| is_event(&inner)) {
            self.kind = Kind::Lines;
            return self.lines();
        }
        Vec::new()
    }

    /// Returns the complete lines, each as an event.
    fn lines(&mut self) -> Vec<u8> {
        let Some(end) = self.held.iter().rposition(|byte| *byte == b'\n') else { return Vec::new() };
        let rest = self.held.split_off(end + 1);
        let whole = std::mem::replace(&mut self.held, rest);
        let mut events = Vec::with_capacity(whole.len() + whole.len() / 8);
        let whole = whole.strip_prefix(BOM).unwrap_or(&whole);
        for line in whole.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()) {
            events.extend_from_slice(b"data: ");
            events.extend_from_slice(line);
            events.extend_from_slice(b"\n\n");
        }
        events
    }
}

/// Returns a value as events, if it is a message, an event or a list of events, or one of them is wrapped in it.
fn whole(value: &Value) -> Option<Vec<u8>> {
    if is_event(value) {
        return Some(told(std::slice::from_ref(value)));
    }
    if let Value::Array(events) = value
        && events.len() > 1
        && events.iter().all(is_event)
    {
        return Some(told(events));
    }
    if is_message(value) {
        return Some(told(&events_of(value)));
    }
    wrapped::inner(value).and_then(|inner| whole(&inner))
}

/// Returns the events of a whole message in one event's data, or `None` for other data.
pub(super) fn in_one(data: &str) -> Option<impl Iterator<Item = String>> {
    // A look at every event's text is cheaper than parsing it twice.
    let value: Value = data.contains("\"content\"").then(|| serde_json::from_str(data).ok())??;
    let is_whole = !is_event(&value) && is_message(&value);
    is_whole.then(|| events_of(&value).into_iter().map(|event| event.to_string()))
}

/// Returns a message's blocks; gateways send a text as the whole content, or in place of a block.
fn blocks(content: &Value) -> Vec<Value> {
    let block = |value: &Value| match value {
        Value::String(text) => json!({ "type": "text", "text": text }),
        block => block.clone(),
    };
    match content {
        Value::Array(content) => content.iter().map(block).collect(),
        Value::String(_) => vec![block(content)],
        _ => Vec::new(),
    }
}

fn told(events: &[Value]) -> Vec<u8> {
    let mut framed = Vec::new();
    for event in events {
        framed.extend_from_slice(format!("data: {event}\n\n").as_bytes());
    }
    framed
}

/// Returns the events in which a message would have been streamed.
fn events_of(message: &Value) -> Vec<Value> {
    let mut begun = message.clone();
    begun["content"] = json!([]);
    begun["stop_reason"] = Value::Null;
    let mut events = vec![json!({ "type": "message_start", "message": begun })];
    for (index, block) in blocks(&message["content"]).iter().enumerate() {
        let (begun, deltas) = pieces(block);
        events.push(json!({ "type": "content_block_start", "index": index, "content_block": begun }));
        let deltas = deltas.into_iter();
        events.extend(deltas.map(|delta| json!({ "type": "content_block_delta", "index": index, "delta": delta })));
        events.push(json!({ "type": "content_block_stop", "index": index }));
    }
    let mut ended = json!({});
    for field in ["stop_reason", "stop_sequence", "stop_details", "container"] {
        ended[field] = message[field].clone();
    }
    events.push(json!({ "type": "message_delta", "delta": ended, "usage": message["usage"] }));
    events.push(json!({ "type": "message_stop" }));
    events
}

/// Returns a block's start, and its deltas.
fn pieces(block: &Value) -> (Value, Vec<Value>) {
    let (mut begun, mut deltas) = (block.clone(), Vec::new());
    let mut move_out = |field: &str, empty: Value, delta: &dyn Fn(&Value) -> Value| {
        if block.get(field).is_some_and(|value| *value != empty) {
            deltas.push(delta(&block[field]));
            begun[field] = empty;
        }
    };
    match block["type"].as_str() {
        Some("text") => {
            move_out("text", json!(""), &|text| json!({ "type": "text_delta", "text": text }));
            for citation in block["citations"].as_array().into_iter().flatten() {
                deltas.push(json!({ "type": "citations_delta", "citation": citation }));
            }
            if let Some(begun) = begun.as_object_mut() {
                begun.remove("citations");
            }
        }
        Some("thinking") => {
            move_out("thinking", json!(""), &|text| json!({ "type": "thinking_delta", "thinking": text }));
            move_out("signature", json!(""), &|text| json!({ "type": "signature_delta", "signature": text }));
        }
        Some("tool_use" | "server_tool_use" | "mcp_tool_use") => {
            let input = |input: &Value| json!({ "type": "input_json_delta", "partial_json": input.to_string() });
            move_out("input", json!({}), &input);
        }
        _ => {}
    }
    (begun, deltas)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(text: &[u8], is_declared: bool, cut: usize) -> Result<String, StreamError> {
        let mut framing = Framing::new(Limits::default(), is_declared);
        let mut events = Vec::new();
        for piece in text.chunks(cut.max(1)) {
            events.extend_from_slice(&framing.feed(piece)?);
        }
        events.extend(framing.end()?);
        Ok(String::from_utf8(events).expect("it is text"))
    }

    #[test]
    fn what_is_plainly_an_answer_becomes_a_stream_of_events_however_it_is_framed_and_cut() {
        let lines = "{\"type\":\"message_start\",\"message\":{}}\r\n\n{\"type\":\"ping\"}\n{\"type\":\"message_stop\"}";
        let events = "data: {\"type\":\"message_start\",\"message\":{}}\n\ndata: {\"type\":\"ping\"}\n\ndata: {\"type\":\"message_stop\"}\n\n";
        for (text, expected) in [
            (format!("\u{feff}{lines}"), events),
            (format!("  \n{lines}\n"), events),
            ("event: ping\ndata: 1\n\n".to_owned(), "event: ping\ndata: 1\n\n"),
            ("\r\r: hello\rdata: 1\r\r".to_owned(), "\r\r: hello\rdata: 1\r\r"),
            ("retry: 5\n\n".to_owned(), "retry: 5\n\n"),
        ] {
            for cut in [1, 2, 3, 7, 10_000] {
                assert_eq!(framed(text.as_bytes(), false, cut).as_deref(), Ok(expected), "{text} by {cut}");
            }
        }
        let declared = framed(b"hello\n\ndata: 1\n\n", true, 3);
        assert_eq!(
            declared.as_deref(),
            Ok("hello\n\ndata: 1\n\n"),
            "the standard passes over words that it does not know"
        );
        assert_eq!(framed(b"", true, 1).as_deref(), Ok(""));
    }

    #[test]
    fn a_whole_message_becomes_the_events_that_it_would_have_been_streamed_as() {
        let message = json!({ "type": "message", "id": "msg_1", "model": "m", "stop_reason": "tool_use", "content": [
            { "type": "thinking", "thinking": "hm", "signature": "s" },
            { "type": "text", "text": "Hi", "citations": [{ "type": "char_location" }] },
            { "type": "tool_use", "id": "t", "name": "n", "input": { "a": 1 } },
            { "type": "web_search_tool_result", "tool_use_id": "w", "content": [] },
        ], "usage": { "input_tokens": 1, "output_tokens": 2 } });
        for text in [message.to_string(), serde_json::to_string_pretty(&message).expect("is JSON")] {
            let events = framed(text.as_bytes(), false, 11).expect("it is an answer");
            for part in [
                "\"thinking_delta\"",
                "\"signature_delta\"",
                "\"text_delta\"",
                "\"citations_delta\"",
                r#""partial_json":"{\"a\":1}""#,
                "\"web_search_tool_result\"",
                r#""stop_reason":"tool_use""#,
                "message_stop",
            ] {
                assert!(events.contains(part), "{part} is not in {events}");
            }
        }
    }

    #[test]
    fn c19_a_text_in_place_of_blocks_is_one_block() {
        for (message, texts) in [
            (r#"{"type":"message","content":"Fine"}"#, 1),
            (r#"{"role":"assistant","content":"Fine"}"#, 1),
            (r#"{"type":"message","content":["Fine",{"type":"text","text":"Fine"}]}"#, 2),
        ] {
            let events = framed(message.as_bytes(), false, 9).expect("it is an answer");
            assert_eq!(events.matches(r#""text":"Fine""#).count(), texts, "{events}");
            assert_eq!(in_one(message).expect("it is one").count(), 3 + 3 * texts);
        }
        for other in [
            r#"{"type":"message_start","message":{"content":[]}}"#,
            r#"{"choices":[{"message":{"role":"assistant","content":"Fine"}}]}"#,
            r#"{"content":"Fine"}"#,
            "[DONE]",
        ] {
            assert!(in_one(other).is_none(), "{other}");
        }
    }

    #[test]
    fn api10_an_answer_in_utf_16_is_read_however_it_is_cut() {
        let message = r#"{"type":"message","role":"assistant","content":[{"type":"text","text":"Größe 😀"}]}"#;
        let stream = "event: ping\ndata: {\"type\":\"ping\"}\n\n";
        let units = |text: &str| text.encode_utf16().collect::<Vec<u16>>();
        let little = |text: &str| units(text).into_iter().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        let big = |text: &str| units(text).into_iter().flat_map(u16::to_be_bytes).collect::<Vec<u8>>();
        for cut in [1, 2, 3, 7, 10_000] {
            let expected = framed(message.as_bytes(), false, cut).expect("it is an answer");
            assert!(expected.contains("Größe 😀"));
            for bytes in [
                little(message),
                big(message),
                little(&format!("\u{feff}{message}")),
                big(&format!("\u{feff}{message}")),
            ] {
                assert_eq!(framed(&bytes, false, cut).as_deref(), Ok(&*expected), "by {cut}");
            }
            assert_eq!(framed(&little(stream), true, cut).as_deref(), Ok(stream), "by {cut}");
        }
        let page = little("<html>");
        let mut framing = Framing::new(Limits::default(), false);
        assert_eq!(framing.feed(&page).map(|_| ()), Err(StreamError::NoAnswer));
        assert_eq!(framing.foreign(), Some(&b"<html>"[..]));
    }

    #[test]
    fn api10_an_answer_in_a_gateways_own_object_is_read() {
        let message = r#"{"type":"message","role":"assistant","content":[{"type":"text","text":"Fine"}]}"#;
        let quoted = serde_json::to_string(message).expect("is JSON");
        let begun = r#"{"type":"message_start","message":{}}"#;
        for wrapped in [
            format!(r#"{{"data":{message}}}"#),
            format!(r#"{{"response":{message}}}"#),
            format!(r#"{{"success":true,"error":null,"result":{message}}}"#),
            format!(r#"{{"data":{{"response":{message}}}}}"#),
            format!(r#"{{"statusCode":200,"headers":{{}},"body":{quoted}}}"#),
            format!("[{message}]"),
        ] {
            for cut in [1, 9, 10_000] {
                let events = framed(wrapped.as_bytes(), false, cut).expect("it is an answer");
                assert!(events.contains(r#""text":"Fine""#) && events.contains("message_stop"), "{events}");
            }
        }
        let events = framed(format!(r#"[{begun},{{"type":"message_stop"}}]"#).as_bytes(), false, 9).expect("is one");
        assert_eq!(events.matches("data: ").count(), 2);
        let lines = format!("{{\"data\":{begun}}}\n{{\"data\":{{\"type\":\"message_stop\"}}}}\n");
        let events = framed(lines.as_bytes(), false, 9).expect("is one");
        assert_eq!(events.matches("data: ").count(), 2, "{events}");
        assert!(
            wrapped::in_data(&format!(r#"{{"data":{begun}}}"#)).is_some_and(|inner| inner.contains("message_start"))
        );
        for other in [
            r#"{"data":{"content":["x"]}}"#,
            r#"{"result":{"content":[{"title":"x"}]}}"#,
            r#"{"data":{"choices":[]}}"#,
            r#"{"message":"hello"}"#,
            r#"{"message":{},"type":"message_start"}"#,
        ] {
            assert_eq!(wrapped::in_data(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_no_answer_is_kept_to_be_told_and_no_more_than_a_message_is_held() {
        for text in ["<html>", "", "Wait.", r#"{"status":"ok"}"#, r#"{"type":"error","error":{}}"#, "{oops}", "[1]"] {
            let mut framing = Framing::new(Limits::default(), false);
            let fed = framing.feed(text.as_bytes()).map(|_| ());
            assert_eq!(fed.and_then(|()| framing.end().map(|_| ())), Err(StreamError::NoAnswer), "{text}");
            assert_eq!(framing.foreign(), Some(text.as_bytes()));
        }
        assert_eq!(framed(b"{\"type\":\"message\",", false, 5), Err(StreamError::EndedEarly));
        let limits = Limits { message_bytes_max: 10, ..Limits::default() };
        let mut framing = Framing::new(limits, false);
        assert!(framing.feed(b"{123456").is_ok());
        assert_eq!(framing.feed(b"78901").map(|_| ()), Err(StreamError::MessageTooLong { message_bytes_max: 10 }));
    }
}
