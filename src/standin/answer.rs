//! Turns a script's turn into the API's Message, with ids, signatures and usage.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use super::cache::PromptUsage;
use super::prompt::{Piece, Section, canonical, estimate, is_thinking, pieces};
use super::signature::sign;
use super::turn::{Block, Turn};

/// Gives out ids that are unique within one stand-in and the same in each run.
#[derive(Debug, Default)]
pub(super) struct Ids(AtomicU64);

impl Ids {
    pub(super) fn next(&self, prefix: &str) -> String {
        format!("{prefix}_01StandIn{:016}", self.0.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// Returns the whole Message that answers a request.
pub(super) fn message(turn: &Turn, body: &Value, model_id: &str, usage: PromptUsage, ids: &Ids) -> Value {
    let content = content(turn, body, ids);
    let stop = &turn.stop;
    json!({
        "id": ids.next("msg"),
        "type": "message",
        "role": "assistant",
        "model": model_id,
        "content": content,
        "stop_reason": turn.stop_reason_or_default(),
        "stop_sequence": stop.sequence,
        "stop_details": stop.details,
        "container": null,
        "diagnostics": null,
        "usage": usage_json(usage, &content, body),
    })
}

fn content(turn: &Turn, body: &Value, ids: &Ids) -> Vec<Value> {
    let mut before = pieces(body);
    let mut content = Vec::new();
    for block in &turn.blocks {
        let block = match block {
            Block::Text(text) | Block::Cited { text, .. } => json!({ "type": "text", "text": text, "citations": null }),
            Block::Thinking(text) => {
                // Without being asked for a summary, a model tells nothing of it.
                let text = if body["thinking"]["display"] == "summarized" { text.as_str() } else { "" };
                json!({ "type": "thinking", "thinking": text, "signature": sign(&before, text) })
            }
            Block::ToolUse { id, name, input } => json!({
                "type": "tool_use",
                "id": id.clone().unwrap_or_else(|| ids.next("toolu")),
                "name": name,
                "input": input,
                "caller": { "type": "direct" },
            }),
            Block::Whole(block) => block.clone(),
        };
        before.push(Piece {
            section: Section::Messages,
            role: "assistant".to_owned(),
            position: (0, 0),
            block: block.clone(),
        });
        content.push(block);
    }
    content
}

fn usage_json(usage: PromptUsage, content: &[Value], body: &Value) -> Value {
    let output: u64 = content.iter().map(output_tokens).sum();
    let thinking: u64 = content.iter().filter(|block| is_thinking(block)).map(output_tokens).sum();
    let calls = |name: &str| content.iter().filter(|b| b["type"] == "server_tool_use" && b["name"] == name).count();
    let searches = calls("web_search");
    let fetches = calls("web_fetch");
    let server_tools =
        (searches + fetches > 0).then(|| json!({ "web_search_requests": searches, "web_fetch_requests": fetches }));
    json!({
        "input_tokens": usage.input,
        "cache_creation_input_tokens": usage.written(),
        "cache_read_input_tokens": usage.read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.written_5m,
            "ephemeral_1h_input_tokens": usage.written_1h,
        },
        "output_tokens": output,
        "output_tokens_details": { "thinking_tokens": thinking },
        "server_tool_use": server_tools,
        "service_tier": "standard",
        "inference_geo": body["inference_geo"].as_str().unwrap_or("global"),
        "speed": body["speed"].as_str().unwrap_or("standard"),
    })
}

fn output_tokens(block: &Value) -> u64 {
    match block["type"].as_str() {
        Some("text") => estimate(block["text"].as_str().unwrap_or_default()),
        Some("thinking") => 1 + estimate(block["thinking"].as_str().unwrap_or_default()),
        Some("tool_use" | "server_tool_use") => 2 + estimate(&canonical(&block["input"])),
        Some("redacted_thinking") => 1,
        _ => 0,
    }
}
