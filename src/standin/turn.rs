//! One scripted answer: what the model says, how it is cut into deltas, and what goes wrong on the way.

use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::problem::{Problem, kind_of};

/// How many characters a text delta carries unless the turn says otherwise.
const DELTA_CHARS_DEFAULT: usize = 12;

/// One answer of the stand-in, built up by its methods; without any it is an empty `end_turn`.
#[derive(Clone, Debug, Default)]
pub struct Turn {
    pub(super) blocks: Vec<Block>,
    pub(super) stop: Stop,
    pub(super) failure: Option<Failure>,
    pub(super) cut: Cut,
    pub(super) delta_interval: Duration,
    pub(super) gates: Vec<(usize, Gate)>,
    pub(super) faults: Vec<Fault>,
    pub(super) before_headers: Option<BeforeHeaders>,
    pub(super) wire: Wire,
    /// Arguments of calls as they stand on the wire, by the call's place in the content.
    pub(super) raw_inputs: Vec<(usize, String)>,
    /// The last block is not closed.
    pub(super) open_end: bool,
}

/// A content block to be said.
#[derive(Clone, Debug)]
pub(super) enum Block {
    Text(String),
    Thinking(String),
    ToolUse {
        id: Option<String>,
        name: String,
        input: Value,
    },
    /// Sent in its `content_block_start` without deltas, as server tools' results are.
    Whole(Value),
}

/// How the message ends.
#[derive(Clone, Debug, Default)]
pub(super) struct Stop {
    /// `None`: `tool_use` if there is a call, else `end_turn`.
    pub(super) reason: Option<String>,
    pub(super) sequence: Option<String>,
    pub(super) details: Option<Value>,
}

/// How text is cut into deltas.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cut {
    Chars(usize),
    Words,
}

impl Default for Cut {
    fn default() -> Self {
        Self::Chars(DELTA_CHARS_DEFAULT)
    }
}

/// What the answer waits for before its status line.
#[derive(Clone, Debug)]
pub(super) enum BeforeHeaders {
    Delay(Duration),
    Gate(Gate),
}

/// How the stream's bytes are laid on the wire.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wire {
    pub(super) chunk_bytes: Option<usize>,
    pub(super) crlf: bool,
    pub(super) padding: usize,
}

/// Something that goes wrong in a stream, after that many events of it were sent.
///
/// Without streaming, a stall, drop or end cuts the body in its middle, and an error becomes the status.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Nothing more comes, and the connection stays open.
    StallAfter(usize),
    /// The connection is cut.
    DropAfter(usize),
    /// The body ends cleanly, without `message_stop`.
    EndAfter(usize),
    /// An `error` event with that error type, then the end.
    ErrorAfter(usize, &'static str),
    /// An event whose data is not JSON.
    MalformedAfter(usize),
    /// An event of a name that no client knows.
    UnknownEventAfter(usize),
    /// A delta of a type that no client knows, for the block of index 0.
    UnknownDeltaAfter(usize),
    /// Nothing but pings, so many with that pause between them, before the stream goes on.
    PingsAfter {
        /// Events before the first ping.
        events: usize,
        /// How many pings.
        count: usize,
        /// The pause before each.
        interval: Duration,
    },
}

impl Turn {
    /// Returns an answer with no content that ends `end_turn`.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Returns an answer that says one text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::empty().and_text(text)
    }

    /// Returns an answer that calls one tool and ends `tool_use`.
    #[must_use]
    pub fn tool_use(name: impl Into<String>, input: Value) -> Self {
        Self::empty().and_tool_use(name, input)
    }

    /// Returns an answer that is an HTTP error.
    #[must_use]
    pub fn failure(failure: Failure) -> Self {
        Self { failure: Some(failure), ..Self::default() }
    }

    /// Returns a refusal before any output; [`Self::and_refusal`] refuses during it.
    #[must_use]
    pub fn refusal(category: Option<&str>, explanation: &str) -> Self {
        Self::empty().and_refusal(category, explanation)
    }

    /// Adds a text block.
    #[must_use]
    pub fn and_text(mut self, text: impl Into<String>) -> Self {
        self.blocks.push(Block::Text(text.into()));
        self
    }

    /// Adds a thinking block; its text may be empty, its signature is the stand-in's.
    #[must_use]
    pub fn and_thinking(mut self, thinking: impl Into<String>) -> Self {
        self.blocks.push(Block::Thinking(thinking.into()));
        self
    }

    /// Adds a tool call with an id of the stand-in's; several are parallel calls.
    #[must_use]
    pub fn and_tool_use(mut self, name: impl Into<String>, input: Value) -> Self {
        self.blocks.push(Block::ToolUse { id: None, name: name.into(), input });
        self
    }

    /// Adds a tool call whose arguments are this text on the wire, JSON or not; without streaming they are empty.
    #[must_use]
    pub fn and_raw_tool_use(mut self, name: &str, arguments: &str) -> Self {
        self.raw_inputs.push((self.blocks.len(), arguments.to_owned()));
        self.and_tool_use(name, json!({}))
    }

    /// Ends the stream with its last block open, as a limit or a refusal does.
    #[must_use]
    pub fn open_end(mut self) -> Self {
        self.open_end = true;
        self
    }

    /// Adds a page that the server fetched: its text as a document, or a PDF of that many bytes where there is no text.
    #[must_use]
    pub fn and_web_fetch(self, id: &str, url: &str, title: Option<&str>, content: Result<&str, usize>) -> Self {
        let source = match content {
            Ok(text) => json!({ "type": "text", "media_type": "text/plain", "data": text }),
            Err(bytes) => json!({ "type": "base64", "media_type": "application/pdf", "data": "A".repeat(bytes) }),
        };
        let document =
            json!({ "type": "document", "source": source, "title": title, "citations": { "enabled": true } });
        let found = json!({
            "type": "web_fetch_result", "url": url, "content": document, "retrieved_at": "2026-11-29T00:00:00Z",
        });
        self.and_server_tool_use(id, "web_fetch", &json!({ "url": url })).and_block(json!({
            "type": "web_fetch_tool_result", "tool_use_id": id, "content": found, "caller": { "type": "direct" },
        }))
    }

    /// Adds a tool call with an id of the test's.
    #[must_use]
    pub fn and_tool_use_with_id(mut self, id: &str, name: &str, input: Value) -> Self {
        self.blocks.push(Block::ToolUse { id: Some(id.to_owned()), name: name.to_owned(), input });
        self
    }

    /// Adds a web search that the server ran, with its one result.
    #[must_use]
    pub fn and_web_search(self, id: &str, query: &str, title: &str, url: &str) -> Self {
        let found = json!({
            "type": "web_search_result", "title": title, "url": url, "encrypted_content": "c3RhbmQtaW4=",
            "page_age": null,
        });
        self.and_server_tool_use(id, "web_search", &json!({ "query": query })).and_block(json!({
            "type": "web_search_tool_result", "tool_use_id": id, "content": [found],
            "caller": { "type": "direct" },
        }))
    }

    /// Adds a server tool's call without its result, as before a `pause_turn`.
    #[must_use]
    pub fn and_server_tool_use(self, id: &str, name: &str, input: &Value) -> Self {
        self.and_block(json!({
            "type": "server_tool_use", "id": id, "name": name, "input": input, "caller": { "type": "direct" },
        }))
    }

    /// Adds any block, sent whole: redacted thinking, an unknown type, whatever the test needs.
    #[must_use]
    pub fn and_block(mut self, block: Value) -> Self {
        self.blocks.push(Block::Whole(block));
        self
    }

    /// Ends with a refusal after what was said so far.
    #[must_use]
    pub fn and_refusal(mut self, category: Option<&str>, explanation: &str) -> Self {
        self.stop.reason = Some("refusal".to_owned());
        self.stop.details = Some(json!({ "type": "refusal", "category": category, "explanation": explanation }));
        self
    }

    /// Sets the `stop_reason`: `max_tokens`, `pause_turn`, an unknown one …
    #[must_use]
    pub fn stop_reason(mut self, reason: &str) -> Self {
        self.stop.reason = Some(reason.to_owned());
        self
    }

    /// Ends with `stop_sequence`, naming it.
    #[must_use]
    pub fn stop_sequence(mut self, sequence: &str) -> Self {
        self.stop.sequence = Some(sequence.to_owned());
        self.stop_reason("stop_sequence")
    }

    /// Cuts text into deltas of that many characters.
    #[must_use]
    pub fn delta_chars(mut self, chars: usize) -> Self {
        self.cut = Cut::Chars(chars.max(1));
        self
    }

    /// Cuts text into one delta for each word.
    #[must_use]
    pub fn word_by_word(mut self) -> Self {
        self.cut = Cut::Words;
        self
    }

    /// Pauses that long before each delta.
    #[must_use]
    pub fn delta_interval(mut self, interval: Duration) -> Self {
        self.delta_interval = interval;
        self
    }

    /// Pauses the stream after that many deltas until the gate is released.
    ///
    /// Without streaming, the body waits for the gate.
    #[must_use]
    pub fn gate_after(mut self, deltas: usize) -> (Self, Gate) {
        let gate = Gate::default();
        self.gates.push((deltas, gate.clone()));
        (self, gate)
    }

    /// Holds back even the status line until the gate is released.
    #[must_use]
    pub fn hold_headers(mut self) -> (Self, Gate) {
        let gate = Gate::default();
        self.before_headers = Some(BeforeHeaders::Gate(gate.clone()));
        (self, gate)
    }

    /// Waits that long before the status line.
    #[must_use]
    pub fn delay_headers(mut self, delay: Duration) -> Self {
        self.before_headers = Some(BeforeHeaders::Delay(delay));
        self
    }

    /// Adds a fault; several may be combined.
    #[must_use]
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Sends the stream in chunks of so many bytes, splitting UTF-8 and line ends wherever they fall.
    #[must_use]
    pub fn chunk_bytes(mut self, bytes: usize) -> Self {
        self.wire.chunk_bytes = Some(bytes.max(1));
        self
    }

    /// Ends the stream's lines with CR LF.
    #[must_use]
    pub fn crlf(mut self) -> Self {
        self.wire.crlf = true;
        self
    }

    /// Puts so many spaces behind each event's JSON, as recordings of the real API show.
    #[must_use]
    pub fn padding(mut self, spaces: usize) -> Self {
        self.wire.padding = spaces;
        self
    }

    pub(super) fn stop_reason_or_default(&self) -> String {
        let calls = self.blocks.iter().any(|block| matches!(block, Block::ToolUse { .. }));
        let default = if calls { "tool_use" } else { "end_turn" };
        self.stop.reason.clone().unwrap_or_else(|| default.to_owned())
    }
}

/// A place where an answer pauses until the test lets it go on, so that no test needs to sleep.
///
/// Clones are the same gate. Dropping it does not release it.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    reached: CancellationToken,
    released: CancellationToken,
}

impl Gate {
    /// Waits until the answer has come to the gate.
    pub async fn reached(&self) {
        self.reached.cancelled().await;
    }

    /// Lets the answer go on, now or when it comes there.
    pub fn release(&self) {
        self.released.cancel();
    }

    pub(super) async fn pass(&self) {
        self.reached.cancel();
        self.released.cancelled().await;
    }
}

/// An HTTP error to answer with.
#[derive(Clone, Debug)]
pub struct Failure {
    pub(super) problem: Problem,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) html: bool,
}

impl Failure {
    /// Returns an error of that status, with the error type that the API gives it.
    #[must_use]
    pub fn status(status: u16) -> Self {
        let message = format!("The stand-in was told to answer {status} ({}).", kind_of(status));
        Self { problem: Problem::new(status, message), headers: Vec::new(), html: false }
    }

    /// Sets the message.
    #[must_use]
    pub fn message(mut self, message: &str) -> Self {
        message.clone_into(&mut self.problem.message);
        self
    }

    /// Sets `error.details.error_code`, e.g. `enforced_spend_limit_reached`.
    #[must_use]
    pub fn error_code(mut self, code: &str) -> Self {
        self.problem.error_code = Some(code.to_owned());
        self
    }

    /// Adds `retry-after`: seconds or an HTTP date.
    #[must_use]
    pub fn retry_after(mut self, value: &str) -> Self {
        self.headers.push(("retry-after", value.to_owned()));
        self
    }

    /// Adds `retry-after-ms`.
    #[must_use]
    pub fn retry_after_ms(mut self, ms: u64) -> Self {
        self.headers.push(("retry-after-ms", ms.to_string()));
        self
    }

    /// Adds `x-should-retry`.
    #[must_use]
    pub fn should_retry(mut self, yes: bool) -> Self {
        self.problem.should_retry = Some(yes);
        self
    }

    /// Answers with an HTML page, as a proxy in front of the API does.
    #[must_use]
    pub fn html(mut self) -> Self {
        self.html = true;
        self
    }
}
