//! A request as one sequence of blocks, in the API's order for caching and signing: tools, system, messages.

use serde_json::{Value, json};

/// Tokens estimated for an image or document.
const MEDIA_TOKENS: u64 = 1500;
/// Tokens estimated for a block beyond its text.
const BLOCK_TOKENS: u64 = 4;

/// The part of the prompt that a block belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Section {
    Tools,
    System,
    Messages,
}

/// A block of the prompt.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) section: Section,
    /// The message's role; empty outside messages.
    pub(super) role: String,
    /// Message index and content index, within messages.
    pub(super) position: (usize, usize),
    pub(super) block: Value,
}

impl Piece {
    /// Returns whether the block is thinking, which signatures skip.
    pub(super) fn is_thinking(&self) -> bool {
        is_thinking(&self.block)
    }

    /// Returns the block as JSON with sorted keys, without cache markers and null fields.
    pub(super) fn canonical(&self) -> String {
        format!("{:?}/{}/{}\n", self.section, self.role, canonical_block(&self.block))
    }

    /// Estimates the block's tokens; always the same for the same block.
    pub(super) fn tokens(&self) -> u64 {
        match self.block["type"].as_str() {
            Some("image" | "document") if self.section == Section::Messages => MEDIA_TOKENS,
            _ => BLOCK_TOKENS + estimate(&canonical_block(&self.block)),
        }
    }

    /// Returns whether the block is an image.
    pub(super) fn is_image(&self) -> bool {
        self.section == Section::Messages && self.block["type"] == "image"
    }
}

/// Estimates a text's tokens: one for four bytes.
pub(super) fn estimate(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX).div_ceil(4)
}

/// Returns whether a block is thinking, plain or redacted.
pub(super) fn is_thinking(block: &Value) -> bool {
    matches!(block["type"].as_str(), Some("thinking" | "redacted_thinking"))
}

/// Returns all blocks of a request in order.
pub(super) fn pieces(body: &Value) -> Vec<Piece> {
    let outside = |section, block| Piece { section, role: String::new(), position: (0, 0), block };
    let tools = array(&body["tools"]).iter().cloned().map(|tool| outside(Section::Tools, tool));
    let system = blocks_of(&body["system"]).into_iter().map(|block| outside(Section::System, block));
    let mut all: Vec<Piece> = tools.chain(system).collect();
    for (message_index, message) in array(&body["messages"]).iter().enumerate() {
        let role = message["role"].as_str().unwrap_or_default();
        for (index, block) in blocks_of(&message["content"]).into_iter().enumerate() {
            let position = (message_index, index);
            all.push(Piece { section: Section::Messages, role: role.to_owned(), position, block });
        }
    }
    all
}

/// Returns the blocks of a content field; a string is one text block.
pub(super) fn blocks_of(content: &Value) -> Vec<Value> {
    match content {
        Value::String(text) => vec![json!({ "type": "text", "text": text })],
        other => array(other).to_vec(),
    }
}

/// Returns an array's elements; none for any other value.
pub(super) fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn canonical_block(block: &Value) -> String {
    let Value::Object(fields) = block else { return canonical(block) };
    let kept = fields.iter().filter(|(key, value)| key.as_str() != "cache_control" && !value.is_null());
    canonical(&Value::Object(kept.map(|(key, value)| (key.clone(), value.clone())).collect()))
}

/// Returns JSON with sorted keys, whichever map type `serde_json` uses.
pub(super) fn canonical(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_by_key(|(key, _)| key.as_str());
            let inner: Vec<String> =
                sorted.into_iter().map(|(key, value)| format!("{}:{}", json!(key), canonical(value))).collect();
            format!("{{{}}}", inner.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        scalar => scalar.to_string(),
    }
}
