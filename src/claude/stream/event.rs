//! Parses frames into the API's events; skips what is newer than this client.

use std::borrow::Cow;

use serde::de::DeserializeOwned;

use super::{Limits, StreamError, sse::Frame};
use crate::{
    claude::wire::{ContentBlock, Fields, Json, Message, StopDetails, StopReason, Usage},
    core::json,
};

/// The events that this client knows.
pub(super) const KNOWN: [&str; 8] = [
    "ping",
    "error",
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
];

/// An event with an effect. An invalid index is `None`.
#[derive(Debug)]
pub(super) enum Event {
    MessageStart(Message),
    BlockStart { index: Option<usize>, block: ContentBlock },
    BlockDelta { index: Option<usize>, delta: BlockDelta },
    BlockStop { index: Option<usize> },
    MessageDelta(MessageDelta),
    MessageStop,
}

/// `delta` of a `content_block_delta`.
#[derive(Debug)]
pub(super) enum BlockDelta {
    Text(String),
    /// A piece of a call's arguments; `None` if it is unreadable, so that the call is not made without it.
    Input(Option<String>),
    Thinking(String),
    Signature(String),
    /// A summary of the conversation.
    Compaction(Fields),
    Citation(Json),
    Unknown,
}

/// `message_delta`.
#[derive(Debug, Default)]
pub(super) struct MessageDelta {
    pub(super) reason: Option<StopReason>,
    pub(super) sequence: Option<String>,
    pub(super) details: Option<StopDetails>,
    pub(super) container: Option<Json>,
    pub(super) usage: Usage,
}

/// Parses a frame; `None` for a ping or an unknown event. A missing or mistyped field costs only itself; only data that
/// is not JSON is a fault.
///
/// The type in the data decides, because some gateways omit the `event:` line; without a type, that line does.
pub(super) fn read(frame: &Frame, limits: Limits) -> Result<Option<Event>, StreamError> {
    let named = frame.event.as_str();
    let is_nameless = matches!(named, "" | "message");
    if named == "ping" || !(is_nameless || KNOWN.contains(&named)) {
        return Ok(None);
    }
    if let Some(end) = &frame.end {
        return without_content(&frame.data, end)
            .map(Some)
            .ok_or(StreamError::LineTooLong { line_bytes_max: limits.line_bytes_max });
    }
    if is_nameless && !frame.data.trim_start().starts_with('{') {
        // Another API's `[DONE]`, or a gateway's own text.
        return Ok(None);
    }
    let fields: Fields = match parse(named, &json::whole(&frame.data)) {
        // Gateways say in plain text why they break off.
        Err(_) if named == "error" => return Err(api_error(&Fields::default(), &frame.data)),
        parsed => parsed?,
    };
    let kind = fields.part::<String>("type").unwrap_or_else(|| named.to_owned());
    let index = fields.part("index");
    Ok(Some(match kind.as_str() {
        "error" => return Err(api_error(&fields, "")),
        "message_start" => Event::MessageStart(fields.part("message").unwrap_or_else(|| Fields::default().into())),
        "content_block_start" => {
            let block = fields.part("content_block").unwrap_or_else(|| ContentBlock::text(""));
            Event::BlockStart { index, block }
        }
        "content_block_delta" => {
            // Gateways cut text anywhere, even inside an emoji.
            let delta: Fields = fields.part("delta").unwrap_or_default();
            let pieces = match json::in_pieces(&frame.data) {
                Cow::Borrowed(_) => None,
                Cow::Owned(pieces) => parse::<Fields>(named, &pieces).ok().and_then(|fields| fields.part("delta")),
            };
            Event::BlockDelta { index, delta: block_delta(delta, pieces.as_ref()) }
        }
        "content_block_stop" => Event::BlockStop { index },
        "message_delta" => {
            let delta: Fields = fields.part("delta").unwrap_or_default();
            Event::MessageDelta(MessageDelta {
                reason: delta.part("stop_reason"),
                sequence: delta.part("stop_sequence"),
                details: delta.part("stop_details"),
                container: delta.get("container").filter(|json| json.as_str() != "null").cloned(),
                usage: fields.part("usage").unwrap_or_default(),
            })
        }
        "message_stop" => Event::MessageStop,
        // Gateways report in another API's form why they break off.
        _ if is_nameless && fields.get("error").is_some_and(|error| error.as_str() != "null") => {
            return Err(api_error(&fields, ""));
        }
        _ => return Ok(None),
    }))
}

/// Returns whether a frame only keeps the connection open.
pub(super) fn is_ping(frame: &Frame) -> bool {
    let kind = || parse::<Fields>("", &frame.data).ok().and_then(|fields| fields.part::<String>("type"));
    frame.event == "ping" || frame.data.trim().is_empty() || kind().as_deref() == Some("ping")
}

/// The provider's tools whose oversized results are taken without their content.
const PROVIDERS: [&str; 5] =
    ["web_fetch", "web_search", "code_execution", "bash_code_execution", "text_editor_code_execution"];

/// Returns an oversized result of a provider's tool without its content. The API accepts it back like that, and the
/// model has read the content at the provider.
fn without_content(begin: &str, end: &str) -> Option<Event> {
    let (outside, inside) = begin.split_once(r#""content_block""#)?;
    let index = after(outside, "index")?;
    let index = index[..index.find(|char: char| !char.is_ascii_digit()).unwrap_or(index.len())].parse().ok()?;
    let text = |within: &str, name: &str| {
        let value = after(within, name)?.strip_prefix('"')?;
        value.split_once('"').map(|(text, _)| text.to_owned())
    };
    let kind = text(inside, "type")?;
    let tool = kind.strip_suffix("_tool_result").filter(|tool| PROVIDERS.contains(tool))?;
    let call = text(inside, "tool_use_id").or_else(|| text(end, "tool_use_id"))?;
    let error = serde_json::json!({ "type": format!("{tool}_tool_result_error"), "error_code": "unavailable" });
    let block = serde_json::json!({ "type": kind, "tool_use_id": call, "content": error });
    Some(Event::BlockStart { index: Some(index), block: serde_json::from_value(block).ok()? })
}

/// Returns the JSON after a field's name.
fn after<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = json.split_once(&format!("\"{name}\""))?;
    Some(rest.trim_start().strip_prefix(':')?.trim_start())
}

/// `pieces` are the delta's fields prepared for joining with the next ones, if they differ.
fn block_delta(delta: Fields, pieces: Option<&Fields>) -> BlockDelta {
    let text = |name: &str| pieces.unwrap_or(&delta).part::<String>(name);
    let known = match delta.part::<String>("type").unwrap_or_default().as_str() {
        "text_delta" => text("text").map(BlockDelta::Text),
        "thinking_delta" => text("thinking").map(BlockDelta::Thinking),
        "signature_delta" => delta.part("signature").map(BlockDelta::Signature),
        "input_json_delta" => Some(BlockDelta::Input(text("partial_json"))),
        "citations_delta" => delta.get("citation").cloned().map(BlockDelta::Citation),
        "compaction_delta" => Some(BlockDelta::Compaction(delta)),
        _ => None,
    };
    known.unwrap_or(BlockDelta::Unknown)
}

fn api_error(fields: &Fields, plain: &str) -> StreamError {
    let body: Fields = fields.part("error").unwrap_or_default();
    let line = || fields.part("error").or_else(|| fields.part("message")).unwrap_or_else(|| plain.to_owned());
    StreamError::Api {
        kind: body.part("type").unwrap_or_default(),
        message: body.part("message").unwrap_or_else(line),
        code: body
            .part::<Fields>("details")
            .and_then(|details| details.part("error_code"))
            .or_else(|| body.part("code"))
            .or_else(|| body.part::<u16>("code").map(|status| status.to_string())),
        request_id: fields.part("request_id"),
    }
}

/// Parses `data`; an error names the position and never quotes the data.
fn parse<T: DeserializeOwned>(event: &str, data: &str) -> Result<T, StreamError> {
    serde_json::from_str(data).map_err(|error| StreamError::Malformed {
        event: event.to_owned(),
        reason: format!("{:?} error at column {}", error.classify(), error.column()),
    })
}
