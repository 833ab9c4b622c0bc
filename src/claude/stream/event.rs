//! From a frame to an event of the Messages API; what is newer than this client is passed over.

use serde::{Deserialize, de::DeserializeOwned};

use super::{Limits, StreamError, sse::Frame};
use crate::claude::wire::{ContentBlock, Fields, Json, Message, StopDetails, StopReason, Usage};

/// The events that this client knows.
const KNOWN: [&str; 8] = [
    "ping",
    "error",
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
];

/// An event that changes something.
#[derive(Debug)]
pub(super) enum Event {
    MessageStart(Message),
    BlockStart { index: usize, block: ContentBlock },
    BlockDelta { index: usize, delta: BlockDelta },
    BlockStop { index: usize },
    MessageDelta(MessageDelta),
    MessageStop,
}

/// `delta` of a `content_block_delta`.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum BlockDelta {
    TextDelta {
        text: String,
    },
    InputJsonDelta {
        partial_json: String,
    },
    ThinkingDelta {
        thinking: String,
    },
    SignatureDelta {
        signature: String,
    },
    /// A summary of the conversation; what it holds is read from the delta's own text.
    #[serde(skip)]
    Compaction(Fields),
    /// The citation is read from the delta's own text, since tagging would lose its raw form.
    #[serde(skip)]
    Citation(Json),
    #[serde(other)]
    Unknown,
}

/// `message_delta`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct MessageDelta {
    #[serde(default)]
    pub(super) delta: Ending,
    pub(super) usage: Option<Usage>,
}

/// `delta` of a `message_delta`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Ending {
    #[serde(rename = "stop_reason")]
    pub(super) reason: Option<StopReason>,
    #[serde(rename = "stop_sequence")]
    pub(super) sequence: Option<String>,
    #[serde(rename = "stop_details")]
    pub(super) details: Option<StopDetails>,
    pub(super) container: Option<Json>,
}

/// Reads a frame; `None` for a ping and for what is unknown.
///
/// The type in the data decides, since some gateways leave the `event:` line out.
pub(super) fn read(frame: &Frame, limits: Limits) -> Result<Option<Event>, StreamError> {
    #[derive(Deserialize)]
    struct Typed {
        #[serde(rename = "type")]
        kind: String,
    }
    if frame.event == "ping" || !(frame.event.is_empty() || KNOWN.contains(&frame.event.as_str())) {
        return Ok(None);
    }
    if let Some(end) = &frame.end {
        return without_content(&frame.data, end)
            .map(Some)
            .ok_or(StreamError::LineTooLong { line_bytes_max: limits.line_bytes_max });
    }
    let Typed { kind } = parse(&frame.event, &frame.data)?;
    match kind.as_str() {
        "error" => Err(api_error(&frame.data)?),
        "message_start" => {
            #[derive(Deserialize)]
            struct Start {
                message: Message,
            }
            let Start { message } = parse(&kind, &frame.data)?;
            Ok(Some(Event::MessageStart(message)))
        }
        "content_block_start" => {
            #[derive(Deserialize)]
            struct Start {
                index: usize,
                content_block: ContentBlock,
            }
            let Start { index, content_block: block } = parse(&kind, &frame.data)?;
            Ok(Some(Event::BlockStart { index, block }))
        }
        "content_block_delta" => block_delta(&kind, &frame.data).map(Some),
        "content_block_stop" => {
            #[derive(Deserialize)]
            struct Stop {
                index: usize,
            }
            let Stop { index } = parse(&kind, &frame.data)?;
            Ok(Some(Event::BlockStop { index }))
        }
        "message_delta" => parse(&kind, &frame.data).map(|delta| Some(Event::MessageDelta(delta))),
        "message_stop" => Ok(Some(Event::MessageStop)),
        _ => Ok(None),
    }
}

/// Returns a result of the provider's own tools whose content is too large to be kept, as one that is not there: the API
/// takes it back so, and the model has read the content where it was.
fn without_content(begin: &str, end: &str) -> Option<Event> {
    let (outside, inside) = begin.split_once(r#""content_block""#)?;
    let index = after(outside, "index")?;
    let index = index[..index.find(|char: char| !char.is_ascii_digit()).unwrap_or(index.len())].parse().ok()?;
    let text = |within: &str, name: &str| {
        let value = after(within, name)?.strip_prefix('"')?;
        value.split_once('"').map(|(text, _)| text.to_owned())
    };
    let kind = text(inside, "type")?;
    let tool = kind.strip_suffix("_tool_result").filter(|tool| matches!(*tool, "web_fetch" | "web_search"))?;
    let call = text(inside, "tool_use_id").or_else(|| text(end, "tool_use_id"))?;
    let error = serde_json::json!({ "type": format!("{tool}_tool_result_error"), "error_code": "unavailable" });
    let block = serde_json::json!({ "type": kind, "tool_use_id": call, "content": error });
    Some(Event::BlockStart { index, block: serde_json::from_value(block).ok()? })
}

/// Returns what stands behind a field's name.
fn after<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = json.split_once(&format!("\"{name}\""))?;
    Some(rest.trim_start().strip_prefix(':')?.trim_start())
}

fn block_delta(kind: &str, data: &str) -> Result<Event, StreamError> {
    #[derive(Deserialize)]
    struct Block {
        index: usize,
        delta: Json,
    }
    #[derive(Deserialize)]
    struct Cited {
        #[serde(rename = "type")]
        kind: String,
        citation: Option<Json>,
    }
    let Block { index, delta } = parse(kind, data)?;
    let delta = match parse::<Cited>(kind, delta.as_str())? {
        Cited { kind, citation: Some(citation) } if kind == "citations_delta" => BlockDelta::Citation(citation),
        Cited { kind: named, .. } if named == "compaction_delta" => {
            BlockDelta::Compaction(parse(kind, delta.as_str())?)
        }
        _ => parse(kind, delta.as_str())?,
    };
    Ok(Event::BlockDelta { index, delta })
}

fn api_error(data: &str) -> Result<StreamError, StreamError> {
    #[derive(Deserialize)]
    struct Whole {
        error: Body,
        request_id: Option<String>,
    }
    #[derive(Deserialize)]
    struct Body {
        #[serde(rename = "type", default)]
        kind: String,
        #[serde(default)]
        message: String,
        details: Option<Details>,
    }
    #[derive(Deserialize)]
    struct Details {
        error_code: Option<String>,
    }
    let Whole { error: Body { kind, message, details }, request_id } = parse("error", data)?;
    let code = details.and_then(|details| details.error_code);
    Ok(StreamError::Api { kind, message, code, request_id })
}

/// Reads `data`; the reason of a failure names the place and never quotes the data.
fn parse<T: DeserializeOwned>(event: &str, data: &str) -> Result<T, StreamError> {
    serde_json::from_str(data).map_err(|error| StreamError::Malformed {
        event: event.to_owned(),
        reason: format!("{:?} error at column {}", error.classify(), error.column()),
    })
}
