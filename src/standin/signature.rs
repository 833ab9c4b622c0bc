//! Thinking signatures: an HMAC over the thinking, and one over everything before it.
//!
//! The real API binds thinking to its own text on all models. On models with preserved thinking it binds it also to the
//! exact prefix: system, tools, and earlier messages without thinking and cache markers.

use std::collections::{HashMap, HashSet};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac as _};
use serde_json::Value;
use sha2::Sha256;

use super::models::Model;
use super::problem::Problem;
use super::prompt::{Piece, Section, is_thinking, pieces};

/// Shared by all stand-ins, so that a restarted one recognises its own thinking.
const KEY: &[u8] = b"workmate stand-in: thinking signatures";
const TAG_BYTES: usize = 32;

/// The thinking that the stand-in gave out in tool loops.
#[derive(Debug, Default)]
pub(super) struct ToolLoops {
    /// By tool call id, the thinking blocks of the same turn.
    thinking: HashMap<String, Vec<Value>>,
    /// Calls whose thinking was refused once as bound to another prefix; they may be resent without it.
    stripping_allowed: HashSet<String>,
}

impl ToolLoops {
    /// Remembers an answer's thinking for the next step of its tool loop.
    pub(super) fn remember(&mut self, content: &[Value]) {
        let thinking: Vec<Value> = content.iter().filter(|block| is_thinking(block)).cloned().collect();
        for id in tool_use_ids(content) {
            self.thinking.insert(id, thinking.clone());
        }
    }
}

/// Signs a thinking block that follows `before`.
pub(super) fn sign(before: &[Piece], thinking: &str) -> String {
    let mut tags = tag(&[b"prefix", prefix(before).as_bytes()]);
    tags.extend(tag(&[b"thinking", thinking.as_bytes()]));
    STANDARD.encode(tags)
}

/// Checks every thinking block of a request.
pub(super) fn check(model: &Model, body: &Value, loops: &mut ToolLoops) -> Result<(), Problem> {
    let all = pieces(body);
    check_latest_turn(body, &all, loops)?;
    for (index, piece) in all.iter().enumerate() {
        if piece.section != Section::Messages || piece.block["type"] != "thinking" {
            continue;
        }
        let (message, content) = piece.position;
        let invalid = format!("messages.{message}.content.{content}: Invalid `signature` in `thinking` block");
        let (prefix_tag, thinking_tag) =
            split(piece.block["signature"].as_str().unwrap_or_default()).ok_or_else(|| Problem::invalid(&*invalid))?;
        let thinking = piece.block["thinking"].as_str().unwrap_or_default();
        if thinking_tag != tag(&[b"thinking", thinking.as_bytes()]) {
            return Err(Problem::invalid(invalid));
        }
        let before = all.get(..index).unwrap_or_default();
        if model.preserved_thinking && prefix_tag != tag(&[b"prefix", prefix(before).as_bytes()]) {
            loops.stripping_allowed.extend(latest_tool_use_ids(&all));
            return Err(Problem::invalid(format!("{invalid}. The block is bound to a different conversation")));
        }
    }
    Ok(())
}

/// In a tool loop, checks that the latest assistant turn kept its thinking unchanged.
fn check_latest_turn(body: &Value, all: &[Piece], loops: &ToolLoops) -> Result<(), Problem> {
    let messages = super::prompt::array(&body["messages"]);
    let Some(latest) = messages.iter().rposition(|message| message["role"] == "assistant") else { return Ok(()) };
    let looping = messages
        .iter()
        .skip(latest + 1)
        .any(|message| super::prompt::array(&message["content"]).iter().any(|block| block["type"] == "tool_result"));
    let Some(given) = latest_tool_use_ids(all).iter().find_map(|id| loops.thinking.get(id)) else { return Ok(()) };
    let sent: Vec<Value> = all
        .iter()
        .filter(|piece| piece.position.0 == latest && piece.role == "assistant" && piece.is_thinking())
        .map(|piece| piece.block.clone())
        .collect();
    let stripped = !all.iter().any(Piece::is_thinking);
    let allowed = stripped && latest_tool_use_ids(all).iter().any(|id| loops.stripping_allowed.contains(id));
    if !looping || allowed || &sent == given {
        return Ok(());
    }
    Err(Problem::invalid(format!(
        "messages.{latest}.content: `thinking` or `redacted_thinking` blocks in the latest assistant message cannot \
         be modified. These blocks must remain as they were in the original response."
    )))
}

fn latest_tool_use_ids(all: &[Piece]) -> Vec<String> {
    let latest = all.iter().rev().find(|piece| piece.role == "assistant").map(|piece| piece.position.0);
    let content: Vec<Value> = all
        .iter()
        .filter(|piece| piece.role == "assistant" && Some(piece.position.0) == latest)
        .map(|piece| piece.block.clone())
        .collect();
    tool_use_ids(&content)
}

fn tool_use_ids(content: &[Value]) -> Vec<String> {
    let calls = content.iter().filter(|block| block["type"] == "tool_use");
    calls.filter_map(|block| block["id"].as_str()).map(str::to_owned).collect()
}

fn prefix(before: &[Piece]) -> String {
    before.iter().filter(|piece| !piece.is_thinking()).map(Piece::canonical).collect()
}

fn split(signature: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut tags = STANDARD.decode(signature).ok().filter(|tags| tags.len() == 2 * TAG_BYTES)?;
    let thinking = tags.split_off(TAG_BYTES);
    Some((tags, thinking))
}

fn tag(parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
        mac.update(&[0]);
    }
    mac.finalize().into_bytes().to_vec()
}
