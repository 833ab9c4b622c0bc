//! A scripted answer: what the model says, how it is cut into deltas, and which faults occur.

use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::cite::Cite;
use super::problem::{Problem, kind_of};

/// Characters of a text delta, unless the turn says otherwise.
const DELTA_CHARS_DEFAULT: usize = 12;

/// An answer of the stand-in, built by its methods; without any it is an empty `end_turn`.
#[derive(Clone, Debug, Default)]
pub struct Turn {
    pub(super) blocks: Vec<Block>,
    pub(super) stop: Stop,
    pub(super) failure: Option<Failure>,
    pub(super) cut: Cut,
    pub(super) delta_interval: Duration,
    pub(super) gates: Vec<(usize, Gate)>,
    pub(super) faults: Vec<Fault>,
    /// What the answer waits for before its status line.
    pub(super) before_headers: Option<Gate>,
    pub(super) wire: Wire,
    /// Raw arguments of tool calls, with the call's index in the content.
    pub(super) raw_inputs: Vec<(usize, String)>,
    /// Whether the last block stays open.
    pub(super) open_end: bool,
}

/// A content block of the answer.
#[derive(Clone, Debug)]
pub(super) enum Block {
    Text(String),
    /// A text that cites what the request holds.
    Cited {
        text: String,
        cites: Vec<Cite>,
    },
    Thinking(String),
    ToolUse {
        id: Option<String>,
        name: String,
        input: Value,
    },
    /// Sent whole in its `content_block_start`, as server tools' results are.
    Whole(Value),
}

/// How the message ends.
#[derive(Clone, Debug, Default)]
pub(super) struct Stop {
    /// `None` means `tool_use` if there is a call, else `end_turn`.
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

/// How the stream's bytes are sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wire {
    pub(super) chunk_bytes: Option<usize>,
    pub(super) crlf: bool,
    pub(super) padding: usize,
}

/// A fault in a stream, after that many of its events were sent.
///
/// Without streaming, a stall, drop or end cuts the body in half, and an error becomes the status.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Send nothing more and keep the connection open.
    StallAfter(usize),
    /// Cut the connection.
    DropAfter(usize),
    /// End the body cleanly without `message_stop`.
    EndAfter(usize),
    /// Send an `error` event of that error type, then end.
    ErrorAfter(usize, &'static str),
    /// Send an event whose data is not JSON.
    MalformedAfter(usize),
    /// Send an event with an unknown name.
    UnknownEventAfter(usize),
    /// Send a delta of an unknown type for block 0.
    UnknownDeltaAfter(usize),
    /// Send pings only, then continue the stream.
    PingsAfter {
        /// Events before the first ping.
        events: usize,
        /// Number of pings.
        count: usize,
        /// Pause before each ping.
        interval: Duration,
    },
}

impl Turn {
    /// Returns an answer without content that ends `end_turn`.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Returns an answer of one text block.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::empty().and_text(text)
    }

    /// Returns an answer that calls one tool and ends `tool_use`.
    #[must_use]
    pub fn tool_use(name: impl Into<String>, input: Value) -> Self {
        Self::empty().and_tool_use(name, input)
    }

    /// Returns an HTTP error as the answer.
    #[must_use]
    pub fn failure(failure: Failure) -> Self {
        Self { failure: Some(failure), ..Self::default() }
    }

    /// Returns a refusal before any output; [`Self::and_refusal`] refuses after some.
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

    /// Adds a text block that cites what the request holds; what it does not hold fails the test.
    #[must_use]
    pub fn and_cited(mut self, text: impl Into<String>, cites: impl IntoIterator<Item = Cite>) -> Self {
        self.blocks.push(Block::Cited { text: text.into(), cites: cites.into_iter().collect() });
        self
    }

    /// Adds a thinking block, which may be empty; the stand-in signs it.
    #[must_use]
    pub fn and_thinking(mut self, thinking: impl Into<String>) -> Self {
        self.blocks.push(Block::Thinking(thinking.into()));
        self
    }

    /// Adds a tool call with a generated id; several make parallel calls.
    #[must_use]
    pub fn and_tool_use(mut self, name: impl Into<String>, input: Value) -> Self {
        self.blocks.push(Block::ToolUse { id: None, name: name.into(), input });
        self
    }

    /// Adds a tool call whose arguments are sent as this text, JSON or not; without streaming they are empty.
    #[must_use]
    pub fn and_raw_tool_use(mut self, name: &str, arguments: &str) -> Self {
        self.raw_inputs.push((self.blocks.len(), arguments.to_owned()));
        self.and_tool_use(name, json!({}))
    }

    /// Ends the stream with its last block open, as a token limit or a refusal does.
    #[must_use]
    pub fn open_end(mut self) -> Self {
        self.open_end = true;
        self
    }

    /// Adds a fetched page: its text as a document, or a PDF of that many bytes if there is no text.
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

    /// Adds a tool call with the given id.
    #[must_use]
    pub fn and_tool_use_with_id(mut self, id: &str, name: &str, input: Value) -> Self {
        self.blocks.push(Block::ToolUse { id: Some(id.to_owned()), name: name.to_owned(), input });
        self
    }

    /// Adds a web search that the server ran, with its only result.
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

    /// Adds code that ran in the container, with what it printed and the ids of the files that it made.
    #[must_use]
    pub fn and_code(self, id: &str, command: &str, stdout: &str, files: &[String]) -> Self {
        let files: Vec<Value> =
            files.iter().map(|file| json!({ "type": "bash_code_execution_output", "file_id": file })).collect();
        let result = json!({
            "type": "bash_code_execution_result", "stdout": stdout, "stderr": "", "return_code": 0, "content": files,
        });
        self.and_server_tool_use(id, "bash_code_execution", &json!({ "command": command })).and_block(json!({
            "type": "bash_code_execution_tool_result", "tool_use_id": id, "content": result,
        }))
    }

    /// Adds code that could not run, with the API's word for why.
    #[must_use]
    pub fn and_failed_code(self, id: &str, command: &str, error_code: &str) -> Self {
        let error = json!({ "type": "bash_code_execution_tool_result_error", "error_code": error_code });
        self.and_server_tool_use(id, "bash_code_execution", &json!({ "command": command })).and_block(json!({
            "type": "bash_code_execution_tool_result", "tool_use_id": id, "content": error,
        }))
    }

    /// Adds a server tool's call without a result, as before a `pause_turn`.
    #[must_use]
    pub fn and_server_tool_use(self, id: &str, name: &str, input: &Value) -> Self {
        self.and_block(json!({
            "type": "server_tool_use", "id": id, "name": name, "input": input, "caller": { "type": "direct" },
        }))
    }

    /// Adds any block and sends it whole: redacted thinking, an unknown type, whatever the test needs.
    #[must_use]
    pub fn and_block(mut self, block: Value) -> Self {
        self.blocks.push(Block::Whole(block));
        self
    }

    /// Ends with a refusal after the content so far.
    #[must_use]
    pub fn and_refusal(mut self, category: Option<&str>, explanation: &str) -> Self {
        self.stop.reason = Some("refusal".to_owned());
        self.stop.details = Some(json!({ "type": "refusal", "category": category, "explanation": explanation }));
        self
    }

    /// Sets the `stop_reason`, e.g. `max_tokens`, `pause_turn` or an unknown one.
    #[must_use]
    pub fn stop_reason(mut self, reason: &str) -> Self {
        self.stop.reason = Some(reason.to_owned());
        self
    }

    /// Ends with `stop_reason: stop_sequence` and names the sequence.
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
    /// Without streaming, the whole body waits for the gate.
    #[must_use]
    pub fn gate_after(mut self, deltas: usize) -> (Self, Gate) {
        let gate = Gate::default();
        self.gates.push((deltas, gate.clone()));
        (self, gate)
    }

    /// Holds back everything, status line included, until the gate is released.
    #[must_use]
    pub fn hold_headers(mut self) -> (Self, Gate) {
        let gate = Gate::default();
        self.before_headers = Some(gate.clone());
        (self, gate)
    }

    /// Adds a fault; several can be combined.
    #[must_use]
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Sends the stream in chunks of that many bytes, which may split UTF-8 sequences and line ends.
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

    /// Appends that many spaces to each event's JSON, as recordings of the real API show.
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

/// A point where an answer pauses until the test releases it, so that no test needs to sleep.
///
/// Clones share the gate. Dropping it does not release it.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    reached: CancellationToken,
    released: CancellationToken,
}

impl Gate {
    /// Waits until the answer has reached the gate.
    pub async fn reached(&self) {
        self.reached.cancelled().await;
    }

    /// Releases the answer, even before it reaches the gate.
    pub fn release(&self) {
        self.released.cancel();
    }

    pub(super) fn is_released(&self) -> bool {
        self.released.is_cancelled()
    }

    pub(super) async fn pass(&self) {
        self.reached.cancel();
        self.released.cancelled().await;
    }
}

/// An HTTP error as an answer.
#[derive(Clone, Debug)]
pub struct Failure {
    pub(super) problem: Problem,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) html: bool,
}

impl Failure {
    /// Returns an error with that status and the API's error type for it.
    #[must_use]
    pub fn status(status: u16) -> Self {
        let message = format!("The stand-in was told to answer {status} ({}).", kind_of(status));
        Self { problem: Problem::new(status, message), headers: Vec::new(), html: false }
    }

    /// Sets the error's message; the default names the status.
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

    /// Answers with an HTML page, as a proxy before the API does.
    #[must_use]
    pub fn html(mut self) -> Self {
        self.html = true;
        self
    }
}
