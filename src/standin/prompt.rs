//! A request as one sequence of blocks, in the order in which the API caches and signs them:
//! tools, system, messages.

use serde_json::{Value, json};

/// What an image or a document is counted as, in tokens.
const MEDIA_TOKENS: u64 = 1500;
/// What each block costs beside its text, in tokens.
const BLOCK_TOKENS: u64 = 4;

/// Which part of the prompt a block belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Section {
    Tools,
    System,
    Messages,
}

/// One block of the prompt.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) section: Section,
    /// The message's role; empty outside of messages.
    pub(super) role: String,
    /// Where it lies in messages: message and content index.
    pub(super) position: (usize, usize),
    pub(super) block: Value,
}

impl Piece {
    /// Returns whether the block is thinking, which signatures leave out.
    pub(super) fn is_thinking(&self) -> bool {
        is_thinking(&self.block)
    }

    /// Returns the block as text with sorted keys, without cache markers and null fields.
    pub(super) fn canonical(&self) -> String {
        format!("{:?}/{}/{}\n", self.section, self.role, canonical_block(&self.block))
    }

    /// Returns the deterministic estimate of what the block costs.
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

/// Returns how many tokens a text is taken for: one for four bytes.
pub(super) fn estimate(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX).div_ceil(4)
}

/// Returns whether a block is thinking, plain or redacted.
pub(super) fn is_thinking(block: &Value) -> bool {
    matches!(block["type"].as_str(), Some("thinking" | "redacted_thinking"))
}

/// Returns all blocks of a request in their order.
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

/// Returns the elements of an array, none of anything else.
pub(super) fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn canonical_block(block: &Value) -> String {
    let Value::Object(fields) = block else { return canonical(block) };
    let kept = fields.iter().filter(|(key, value)| key.as_str() != "cache_control" && !value.is_null());
    canonical(&Value::Object(kept.map(|(key, value)| (key.clone(), value.clone())).collect()))
}

/// Returns JSON with sorted keys, whatever map `serde_json` was built with.
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
