//! Protocol bytes: transactions, streams of the Messages API, messages of MCP servers.

use std::collections::VecDeque;

use super::{shape, size};
use crate::{
    appservice,
    claude::stream::{Assembler, Limits},
    core::{id, mask::Mask},
    tools,
};

pub(super) const TRANSACTION_WORDS: &[&str] = &[
    "{\"events\":[",
    "]}",
    "\"event_id\"",
    "\"room_id\"",
    "\"sender\"",
    "\"type\"",
    "\"state_key\"",
    "\"content\":{}",
    "\"origin_server_ts\":",
    "\"unsigned\"",
    "$a",
    "!a:hs",
    "@a:hs",
    "m.room.message",
    "m.room.member",
    "\\u0000",
    "\\ud800",
    "1e400",
    "-0",
    "null",
    "[[",
    "\"ephemeral\"",
    "\"to_device\"",
];
pub(super) const SSE_WORDS: &[&str] = &[
    "event: ",
    "data: ",
    "\n\n",
    "\r\n",
    "\r",
    ": comment\n",
    "id: ",
    "retry: ",
    "message_start",
    "message_delta",
    "message_stop",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "ping",
    "error",
    "text_delta",
    "thinking_delta",
    "signature_delta",
    "input_json_delta",
    "citations_delta",
    "\"index\":",
    "\"partial_json\":\"{\"",
    "server_tool_use",
    "tool_use",
    "redacted_thinking",
    "\"usage\":{}",
    "\"stop_reason\":\"pause_turn\"",
    "\u{feff}",
];
pub(super) const MCP_WORDS: &[&str] = &[
    "\"jsonrpc\":\"2.0\"",
    "\"id\":1",
    "\"id\":null",
    "\"result\":{",
    "\"error\":{",
    "\"method\":\"ping\"",
    "\"params\"",
    "\"tools\":[",
    "\"content\":[",
    "\"type\":\"text\"",
    "\"type\":\"image\"",
    "\"type\":\"resource_link\"",
    "\"structuredContent\":{}",
    "\"isError\":true",
    "\"nextCursor\":\"",
    "\"inputSchema\":{\"type\":\"object\"}",
    "\"notifications/tools/list_changed\"",
    "\"sampling/createMessage\"",
    "\n",
    "]\n[",
    "\"annotations\"",
    "\"_meta\"",
];

/// Checks that no good event of a transaction is lost, and that every event kept has well-formed ids.
pub(super) fn transaction(bytes: &[u8]) -> u64 {
    let Some((events, skipped)) = appservice::taken_apart(bytes) else { return 0 };
    for event in &events {
        assert!(id::is_event(&event.event_id) && id::is_room(&event.room_id) && id::is_user(&event.sender), "an id");
        assert!(serde_json::from_str::<serde_json::Value>(&event.json).is_ok(), "an event that is JSON");
    }
    let kinds: Vec<_> = events.iter().map(|event| (size(event.event_type.len()), event.state_key.is_some())).collect();
    shape(&(kinds, size(skipped)))
}

/// Checks that a stream parses to the same events however it is cut into chunks.
pub(super) fn sse(bytes: &[u8]) -> u64 {
    let limits = Limits::default();
    let read = |mut pieces: std::slice::Chunks<'_, u8>| {
        let (mut assembler, mut news) = (Assembler::new(limits), VecDeque::new());
        let fault = pieces.find_map(|piece| assembler.feed(piece, &mut news).err());
        let deltas = news.iter().fold(String::new(), |said, delta| format!("{said}{delta:?}\n"));
        let (begun, complete) = (assembler.is_begun(), assembler.is_complete());
        let end = match fault {
            Some(fault) => format!("{fault:?}"),
            None => format!("{:?}", assembler.finish()),
        };
        (deltas, begun, complete, end)
    };
    let whole = read(bytes.chunks(bytes.len().max(1)));
    let cut = read(bytes.chunks(1 + bytes.len() % 7));
    assert_eq!(whole, cut, "cut otherwise, it says something else");
    let (deltas, begun, complete, end) = whole;
    shape(&(size(deltas.lines().count()), begun, complete, end.chars().take(24).collect::<String>()))
}

/// Checks that whatever a server says, each tool offered has a name and schema that the provider accepts.
pub(super) fn mcp(bytes: &[u8]) -> u64 {
    let said = tools::mcp::taken_in(bytes, &Mask::new(["s3cret-token"]));
    for offer in &said.offers {
        assert!(offer.schema["type"] == "object" && !offer.name.as_str().is_empty(), "an offer");
        assert!(!offer.schema.to_string().contains("s3cret-token"), "a secret");
    }
    shape(&(
        size(said.messages),
        said.offers.len(),
        said.outputs.iter().map(|text| size(text.len())).collect::<Vec<_>>(),
    ))
}
