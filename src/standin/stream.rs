//! Turns a Message into server-sent events, and those into the steps in which they are sent.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::journal::Entry;
use super::problem::Problem;
use super::turn::{Cut, Fault, Gate, Turn, Wire};

/// One step in sending a body.
#[derive(Debug)]
pub(super) enum Step {
    Bytes(Bytes),
    Gate(Gate),
    Sleep(Duration),
    Stall,
    Drop,
}

/// Returns a body that runs the steps; the last one finishes its journal entry.
pub(super) fn body(steps: Vec<Step>, entry: Entry, stop: CancellationToken) -> Body {
    let sending = Sending { steps: steps.into(), entry, stop };
    Body::from_stream(stream::unfold(Some(sending), |sending| async move { sending?.next().await }))
}

struct Sending {
    steps: VecDeque<Step>,
    entry: Entry,
    stop: CancellationToken,
}

impl Sending {
    /// Returns the next bytes; `None` is a clean end.
    async fn next(mut self) -> Option<(io::Result<Bytes>, Option<Self>)> {
        while let Some(step) = self.steps.pop_front() {
            let pause = match step {
                Step::Bytes(bytes) => {
                    if self.steps.is_empty() {
                        self.entry.finish();
                    }
                    return Some((Ok(bytes), Some(self)));
                }
                Step::Drop => {
                    // Yield once, so that the bytes so far are flushed before the cut.
                    tokio::task::yield_now().await;
                    return Some((Err(self.cut()), None));
                }
                Step::Gate(gate) => Pause::Gate(gate),
                Step::Sleep(duration) => Pause::Sleep(duration),
                Step::Stall => Pause::Forever,
            };
            tokio::select! {
                () = pause.over() => {}
                () = self.stop.cancelled() => return Some((Err(self.cut()), None)),
            }
        }
        self.entry.finish();
        None
    }

    fn cut(&mut self) -> io::Error {
        self.entry.finish();
        io::Error::new(io::ErrorKind::ConnectionAborted, "the stand-in cuts the connection")
    }
}

enum Pause {
    Gate(Gate),
    Sleep(Duration),
    Forever,
}

impl Pause {
    async fn over(&self) {
        match self {
            Self::Gate(gate) => gate.pass().await,
            Self::Sleep(duration) => tokio::time::sleep(*duration).await,
            Self::Forever => std::future::pending().await,
        }
    }
}

/// Returns the steps of an answer without streaming.
pub(super) fn whole(turn: &Turn, message: &Value) -> Vec<Step> {
    let bytes = Bytes::from(message.to_string());
    let half = bytes.slice(..bytes.len() / 2);
    let mut steps: Vec<Step> = turn.gates.iter().map(|(_, gate)| Step::Gate(gate.clone())).collect();
    let fault = turn.faults.iter().find_map(|fault| match fault {
        Fault::StallAfter(_) => Some(Some(Step::Stall)),
        Fault::DropAfter(_) => Some(Some(Step::Drop)),
        Fault::EndAfter(_) | Fault::MalformedAfter(_) => Some(None),
        _ => None,
    });
    match fault {
        Some(fault) => {
            steps.push(Step::Bytes(half));
            steps.extend(fault);
        }
        None => steps.push(Step::Bytes(bytes)),
    }
    steps
}

/// Returns the steps of a streamed answer, with its gates and faults in place.
pub(super) fn events(turn: &Turn, message: &Value, request_id: &str) -> Vec<Step> {
    let mut plan = Plan { turn, request_id, steps: Vec::new(), buffer: Vec::new(), events: 0, deltas: 0, over: false };
    plan.event("message_start", &json!({ "type": "message_start", "message": opening(message) }));
    let content = super::prompt::array(&message["content"]);
    for (index, block) in content.iter().enumerate() {
        let (start, mut deltas) = opened(block, turn.cut);
        if let Some((_, raw)) = turn.raw_inputs.iter().find(|(at, _)| *at == index) {
            let parts = pieces(raw, turn.cut).into_iter();
            deltas.extend(parts.map(|part| json!({ "type": "input_json_delta", "partial_json": part })));
        }
        plan.event(
            "content_block_start",
            &json!({ "type": "content_block_start", "index": index, "content_block": start }),
        );
        if index == 0 {
            plan.ping();
        }
        for delta in deltas {
            plan.delta(index, &delta);
        }
        if !turn.open_end || index + 1 < content.len() {
            plan.event("content_block_stop", &json!({ "type": "content_block_stop", "index": index }));
        }
    }
    plan.remaining_gates();
    plan.event("message_delta", &closing(message));
    plan.event("message_stop", &json!({ "type": "message_stop" }));
    plan.finish()
}

/// Returns the message as `message_start` shows it, before any content.
fn opening(message: &Value) -> Value {
    let mut opening = message.clone();
    opening["content"] = json!([]);
    for field in ["stop_reason", "stop_sequence", "stop_details"] {
        opening[field] = Value::Null;
    }
    opening["usage"]["output_tokens"] = json!(1);
    opening["usage"]["output_tokens_details"] = Value::Null;
    opening["usage"]["server_tool_use"] = Value::Null;
    opening
}

fn closing(message: &Value) -> Value {
    let usage = &message["usage"];
    json!({
        "type": "message_delta",
        "delta": {
            "stop_reason": message["stop_reason"],
            "stop_sequence": message["stop_sequence"],
            "stop_details": message["stop_details"],
            "container": message["container"],
        },
        "usage": {
            "input_tokens": usage["input_tokens"],
            "cache_creation_input_tokens": usage["cache_creation_input_tokens"],
            "cache_read_input_tokens": usage["cache_read_input_tokens"],
            "output_tokens": usage["output_tokens"],
            "output_tokens_details": usage["output_tokens_details"],
            "server_tool_use": usage["server_tool_use"],
        },
    })
}

/// Returns a block's opening form and its deltas.
fn opened(block: &Value, cut: Cut) -> (Value, Vec<Value>) {
    let text = |field: &str| block[field].as_str().unwrap_or_default();
    let mut start = block.clone();
    match block["type"].as_str() {
        Some("text") => {
            start["text"] = json!("");
            let texts = pieces(text("text"), cut).into_iter().map(|text| json!({ "type": "text_delta", "text": text }));
            let mut deltas: Vec<Value> = texts.collect();
            // What the text cites comes behind it.
            if let Some(citations) = block["citations"].as_array() {
                start["citations"] = json!([]);
                let cited = citations.iter().map(|citation| json!({ "type": "citations_delta", "citation": citation }));
                deltas.extend(cited);
            }
            (start, deltas)
        }
        Some("thinking") => {
            start["thinking"] = json!("");
            start["signature"] = json!("");
            let thinking = pieces(text("thinking"), cut).into_iter();
            let mut deltas: Vec<Value> =
                thinking.map(|text| json!({ "type": "thinking_delta", "thinking": text })).collect();
            deltas.push(json!({ "type": "signature_delta", "signature": text("signature") }));
            (start, deltas)
        }
        Some("tool_use" | "server_tool_use") => {
            start["input"] = json!({});
            let json_text = match block["input"].as_object() {
                Some(input) if input.is_empty() => String::new(),
                _ => block["input"].to_string(),
            };
            let parts = std::iter::once(String::new()).chain(pieces(&json_text, cut));
            (start, parts.map(|part| json!({ "type": "input_json_delta", "partial_json": part })).collect())
        }
        _ => (start, Vec::new()),
    }
}

fn pieces(text: &str, cut: Cut) -> Vec<String> {
    match cut {
        Cut::Words => text.split_inclusive(char::is_whitespace).map(str::to_owned).collect(),
        Cut::Chars(count) => {
            let chars: Vec<char> = text.chars().collect();
            chars.chunks(count).map(|chunk| chunk.iter().collect()).collect()
        }
    }
}

/// Builds the list of steps.
struct Plan<'a> {
    turn: &'a Turn,
    request_id: &'a str,
    steps: Vec<Step>,
    /// Bytes not yet cut into chunks.
    buffer: Vec<u8>,
    events: usize,
    deltas: usize,
    /// Whether a fault ended the stream.
    over: bool,
}

impl Plan<'_> {
    fn event(&mut self, name: &str, data: &Value) {
        self.faults();
        if !self.over {
            self.frame(name, &data.to_string());
            self.events += 1;
        }
    }

    fn delta(&mut self, index: usize, delta: &Value) {
        if self.deltas == 0 {
            self.gates(|after| after == 0);
        }
        if !self.turn.delta_interval.is_zero() {
            self.pause(Step::Sleep(self.turn.delta_interval));
        }
        self.event("content_block_delta", &json!({ "type": "content_block_delta", "index": index, "delta": delta }));
        self.deltas += 1;
        let sent = self.deltas;
        self.gates(|after| after == sent);
    }

    /// Gates past the last delta hold back the message's end, so that no gate is skipped silently.
    fn remaining_gates(&mut self) {
        let sent = self.deltas;
        self.gates(|after| after > sent || (after == 0 && sent == 0));
    }

    fn gates(&mut self, due: impl Fn(usize) -> bool) {
        for (_, gate) in self.turn.gates.iter().filter(|(after, _)| due(*after)) {
            self.pause(Step::Gate(gate.clone()));
        }
    }

    fn ping(&mut self) {
        if !self.over {
            self.frame("ping", r#"{"type":"ping"}"#);
        }
    }

    fn faults(&mut self) {
        let sent = self.events;
        for fault in &self.turn.faults {
            match fault {
                _ if self.over => return,
                Fault::StallAfter(after) if *after == sent => self.end(Some(Step::Stall)),
                Fault::DropAfter(after) if *after == sent => self.end(Some(Step::Drop)),
                Fault::EndAfter(after) if *after == sent => self.end(None),
                Fault::ErrorAfter(after, kind) if *after == sent => {
                    let problem = Problem { kind, ..Problem::new(500, "The stand-in was told to fail in mid-stream.") };
                    self.frame("error", &problem.body(self.request_id).to_string());
                    self.end(None);
                }
                Fault::MalformedAfter(after) if *after == sent => {
                    self.frame("content_block_delta", r#"{"type":"content_block_delta","index":0,"#);
                }
                Fault::UnknownEventAfter(after) if *after == sent => {
                    self.frame("weather_report", r#"{"type":"weather_report","sky":"clear"}"#);
                }
                Fault::UnknownDeltaAfter(after) if *after == sent => {
                    let delta = json!({ "type": "aroma_delta", "aroma": "coffee" });
                    let data = json!({ "type": "content_block_delta", "index": 0, "delta": delta });
                    self.frame("content_block_delta", &data.to_string());
                }
                Fault::PingsAfter { events, count, interval } if *events == sent => {
                    for _ in 0..*count {
                        self.pause(Step::Sleep(*interval));
                        self.ping();
                    }
                }
                _ => {}
            }
        }
    }

    fn frame(&mut self, name: &str, data: &str) {
        let Wire { chunk_bytes, crlf, padding } = self.turn.wire;
        let line_end = if crlf { "\r\n" } else { "\n" };
        let spaces = " ".repeat(padding);
        let frame = format!("event: {name}{line_end}data: {data}{spaces}{line_end}{line_end}");
        if chunk_bytes.is_some() {
            self.buffer.extend_from_slice(frame.as_bytes());
        } else {
            self.steps.push(Step::Bytes(Bytes::from(frame)));
        }
    }

    fn pause(&mut self, step: Step) {
        if !self.over {
            self.flush();
            self.steps.push(step);
        }
    }

    fn end(&mut self, step: Option<Step>) {
        self.flush();
        self.steps.extend(step);
        self.over = true;
    }

    fn flush(&mut self) {
        let Some(size) = self.turn.wire.chunk_bytes else { return };
        let buffer = std::mem::take(&mut self.buffer);
        self.steps.extend(buffer.chunks(size).map(|chunk| Step::Bytes(Bytes::copy_from_slice(chunk))));
    }

    fn finish(mut self) -> Vec<Step> {
        self.flush();
        self.steps
    }
}
