//! The API's answers as types: unknown content is kept, null means absent.

mod block;
mod container;

use serde::{Deserialize, Serialize};

pub use block::{ContentBlock, Fields, Json};
pub use container::{Container, MADE_OF_A_RESULT_MAX};

pub use crate::core::prompt::Effort;

/// The role of a message in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// People, and tool results.
    User,
    /// The model.
    Assistant,
}

/// The largest plausible token count, far beyond any window; a larger one counts as absent.
pub const TOKENS_MAX: u64 = 10_000_000;
/// The largest plausible number of server tool calls in an answer.
const SERVER_CALLS_MAX: u64 = 1_000;

/// A whole answer after `message_stop`. A missing or mistyped field is empty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Fields")]
pub struct Message {
    /// `msg_…`
    pub id: String,
    /// The model that answered.
    pub model: String,
    /// The blocks in order; within a tool loop, send them back unchanged.
    pub content: Vec<ContentBlock>,
    /// Why it ended; `None` while the stream runs, or if the server never said.
    pub stop_reason: Option<StopReason>,
    /// The stop sequence that ended it.
    pub stop_sequence: Option<String>,
    /// Details of a refusal.
    pub stop_details: Option<StopDetails>,
    /// The provider's container for code execution, as it was written; [`Container::read`] reads it.
    pub container: Option<Json>,
    /// The reported usage.
    pub usage: Usage,
}

impl From<Fields> for Message {
    fn from(fields: Fields) -> Self {
        Self {
            id: fields.part("id").unwrap_or_default(),
            model: fields.part("model").unwrap_or_default(),
            content: fields.part("content").or_else(|| one_text(&fields)).unwrap_or_default(),
            stop_reason: fields.part("stop_reason"),
            stop_sequence: fields.part("stop_sequence"),
            stop_details: fields.part("stop_details"),
            container: fields.get("container").filter(|json| json.as_str() != "null").cloned(),
            usage: fields.part("usage").unwrap_or_default(),
        }
    }
}

/// Returns the content where it is a text and not a list of blocks.
fn one_text(fields: &Fields) -> Option<Vec<ContentBlock>> {
    fields.part::<String>("content").filter(|text| !text.is_empty()).map(|text| vec![ContentBlock::text(text)])
}

impl Message {
    /// Returns whether the model refused before any text; such an answer is not billed.
    #[must_use]
    pub fn is_refused_unsaid(&self) -> bool {
        let says_nothing = |block: &ContentBlock| block.as_text().is_some_and(|text| text.trim().is_empty());
        self.stop_reason == Some(StopReason::Refusal) && self.content.iter().all(says_nothing)
    }

    /// Returns the text blocks joined, without thinking and tool calls.
    #[must_use]
    pub fn text(&self) -> String {
        self.content.iter().filter_map(ContentBlock::as_text).collect()
    }
}

/// Why an answer ended (docs/claude-api.md, section 3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum StopReason {
    /// `end_turn`: finished; empty content is possible.
    EndTurn,
    /// `tool_use`: answer every client tool call in one user message.
    ToolUse,
    /// `max_tokens`: cut at the request's limit.
    MaxTokens,
    /// `stop_sequence`: finished.
    StopSequence,
    /// `pause_turn`: the server's tool loop reached its limit; send the content back to continue.
    PauseTurn,
    /// `refusal`: discard the text so far.
    Refusal,
    /// `model_context_window_exceeded`: cut because the window is full.
    ContextWindowExceeded,
    /// Newer than this client; treat it as an end.
    Other(String),
}

impl StopReason {
    /// Returns whether the answer was cut off rather than finished.
    #[must_use]
    pub fn is_cut_off(&self) -> bool {
        matches!(self, Self::MaxTokens | Self::ContextWindowExceeded | Self::Refusal)
    }
}

impl From<String> for StopReason {
    fn from(name: String) -> Self {
        match name.as_str() {
            "end_turn" => Self::EndTurn,
            "tool_use" => Self::ToolUse,
            "max_tokens" => Self::MaxTokens,
            "stop_sequence" => Self::StopSequence,
            "pause_turn" => Self::PauseTurn,
            "refusal" => Self::Refusal,
            "model_context_window_exceeded" => Self::ContextWindowExceeded,
            _ => Self::Other(name),
        }
    }
}

impl From<StopReason> for String {
    fn from(reason: StopReason) -> Self {
        match reason {
            StopReason::EndTurn => "end_turn",
            StopReason::ToolUse => "tool_use",
            StopReason::MaxTokens => "max_tokens",
            StopReason::StopSequence => "stop_sequence",
            StopReason::PauseTurn => "pause_turn",
            StopReason::Refusal => "refusal",
            StopReason::ContextWindowExceeded => "model_context_window_exceeded",
            StopReason::Other(name) => return name,
        }
        .to_owned()
    }
}

/// `stop_details` of a refusal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Fields")]
pub struct StopDetails {
    /// The policy, e.g. `cyber`; null if none is named.
    pub category: Option<String>,
    /// The provider's explanation.
    pub explanation: Option<String>,
}

impl From<Fields> for StopDetails {
    fn from(fields: Fields) -> Self {
        Self { category: fields.part("category"), explanation: fields.part("explanation") }
    }
}

/// The usage of an answer; a field may be absent, null or implausible.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Fields")]
pub struct Usage {
    /// Prompt tokens neither read from nor written to the cache.
    pub input_tokens: Option<u64>,
    /// Prompt tokens written to the cache, with either lifetime.
    pub cache_creation_input_tokens: Option<u64>,
    /// Prompt tokens read from the cache.
    pub cache_read_input_tokens: Option<u64>,
    /// The cache writes by lifetime.
    pub cache_creation: Option<CacheCreation>,
    /// Answer tokens, including thinking.
    pub output_tokens: Option<u64>,
    /// The answer tokens by kind.
    pub output_tokens_details: Option<OutputTokensDetails>,
    /// Calls of server tools.
    pub server_tool_use: Option<ServerToolUse>,
    /// `standard`, `priority` or `batch`.
    pub service_tier: Option<String>,
    /// The region of the inference.
    pub inference_geo: Option<String>,
    /// `standard` or `fast`.
    pub speed: Option<String>,
    /// The usage of each pass, if there were several: with a fallback, a compaction, an advisor.
    pub iterations: Option<Vec<Iteration>>,
    /// How long a container was computed in, in milliseconds: measured here, because the API does not tell it.
    #[serde(skip)]
    pub container_ms: Option<u64>,
}

impl From<Fields> for Usage {
    fn from(fields: Fields) -> Self {
        // Without a pass's numbers, the sum of the others would be too small.
        let are_whole = |passes: &Vec<Iteration>| {
            passes.iter().all(|pass| pass.input_tokens.is_some() && pass.output_tokens.is_some())
        };
        Self {
            input_tokens: fields.count("input_tokens", TOKENS_MAX),
            cache_creation_input_tokens: fields.count("cache_creation_input_tokens", TOKENS_MAX),
            cache_read_input_tokens: fields.count("cache_read_input_tokens", TOKENS_MAX),
            cache_creation: fields.part("cache_creation"),
            output_tokens: fields.count("output_tokens", TOKENS_MAX),
            output_tokens_details: fields.part("output_tokens_details"),
            server_tool_use: fields.part("server_tool_use"),
            service_tier: fields.part("service_tier"),
            inference_geo: fields.part("inference_geo"),
            speed: fields.part("speed"),
            iterations: fields.part("iterations").filter(are_whole),
            container_ms: None,
        }
    }
}

/// An entry of `usage.iterations`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Fields")]
pub struct Iteration {
    /// `message`, `fallback_message`, `compaction`, `advisor_message` or newer.
    #[serde(rename = "type")]
    pub kind: String,
    /// The model, if it differs from the message's.
    pub model: Option<String>,
    /// As in [`Usage`].
    pub input_tokens: Option<u64>,
    /// As in [`Usage`].
    pub cache_creation_input_tokens: Option<u64>,
    /// As in [`Usage`].
    pub cache_read_input_tokens: Option<u64>,
    /// As in [`Usage`].
    pub cache_creation: Option<CacheCreation>,
    /// As in [`Usage`].
    pub output_tokens: Option<u64>,
}

impl From<Fields> for Iteration {
    fn from(fields: Fields) -> Self {
        Self {
            kind: fields.part("type").unwrap_or_default(),
            model: fields.part("model"),
            input_tokens: fields.count("input_tokens", TOKENS_MAX),
            cache_creation_input_tokens: fields.count("cache_creation_input_tokens", TOKENS_MAX),
            cache_read_input_tokens: fields.count("cache_read_input_tokens", TOKENS_MAX),
            cache_creation: fields.part("cache_creation"),
            output_tokens: fields.count("output_tokens", TOKENS_MAX),
        }
    }
}

impl Iteration {
    /// Returns this pass as the usage of a separate call.
    #[must_use]
    pub fn usage(&self) -> Usage {
        Usage {
            input_tokens: self.input_tokens,
            cache_creation_input_tokens: self.cache_creation_input_tokens,
            cache_read_input_tokens: self.cache_read_input_tokens,
            cache_creation: self.cache_creation.clone(),
            output_tokens: self.output_tokens,
            ..Usage::default()
        }
    }
}

/// `usage.cache_creation`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Fields")]
pub struct CacheCreation {
    /// Tokens written for five minutes.
    pub ephemeral_5m_input_tokens: Option<u64>,
    /// Tokens written for an hour.
    pub ephemeral_1h_input_tokens: Option<u64>,
}

impl From<Fields> for CacheCreation {
    fn from(fields: Fields) -> Self {
        Self {
            ephemeral_5m_input_tokens: fields.count("ephemeral_5m_input_tokens", TOKENS_MAX),
            ephemeral_1h_input_tokens: fields.count("ephemeral_1h_input_tokens", TOKENS_MAX),
        }
    }
}

/// `usage.output_tokens_details`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Fields")]
pub struct OutputTokensDetails {
    /// Thinking tokens, included in `output_tokens`.
    pub thinking_tokens: Option<u64>,
}

impl From<Fields> for OutputTokensDetails {
    fn from(fields: Fields) -> Self {
        Self { thinking_tokens: fields.count("thinking_tokens", TOKENS_MAX) }
    }
}

/// `usage.server_tool_use`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Fields")]
pub struct ServerToolUse {
    /// Web searches, each billed.
    pub web_search_requests: Option<u64>,
    /// Web fetches, billed only by their tokens.
    pub web_fetch_requests: Option<u64>,
}

impl From<Fields> for ServerToolUse {
    fn from(fields: Fields) -> Self {
        Self {
            web_search_requests: fields.count("web_search_requests", SERVER_CALLS_MAX),
            web_fetch_requests: fields.count("web_fetch_requests", SERVER_CALLS_MAX),
        }
    }
}

impl Usage {
    /// Returns all prompt tokens: uncached, written and read.
    #[must_use]
    pub fn prompt_tokens(&self) -> u64 {
        [self.input_tokens, self.cache_creation_input_tokens, self.cache_read_input_tokens]
            .into_iter()
            .flatten()
            .fold(0, u64::saturating_add)
    }

    /// Overwrites the fields that `newer` states: in a stream usage is cumulative, and null means unchanged.
    pub fn update(&mut self, newer: Self) {
        fn keep<T>(old: &mut Option<T>, new: Option<T>) {
            if new.is_some() {
                *old = new;
            }
        }
        keep(&mut self.input_tokens, newer.input_tokens);
        keep(&mut self.cache_creation_input_tokens, newer.cache_creation_input_tokens);
        keep(&mut self.cache_read_input_tokens, newer.cache_read_input_tokens);
        keep(&mut self.cache_creation, newer.cache_creation);
        keep(&mut self.output_tokens, newer.output_tokens);
        keep(&mut self.output_tokens_details, newer.output_tokens_details);
        keep(&mut self.server_tool_use, newer.server_tool_use);
        keep(&mut self.service_tier, newer.service_tier);
        keep(&mut self.inference_geo, newer.inference_geo);
        keep(&mut self.speed, newer.speed);
        keep(&mut self.iterations, newer.iterations);
        keep(&mut self.container_ms, newer.container_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full_message() -> serde_json::Value {
        serde_json::json!({
            "id": "msg_01A", "type": "message", "role": "assistant", "model": "claude-sonnet-5-5",
            "content": [
                {"type": "thinking", "thinking": "", "signature": "c2ln"},
                {"type": "text", "text": "Hi", "citations": null},
                {"type": "tool_use", "id": "toolu_1", "name": "chat_send", "input": {"text": "ok"}, "caller": {"type": "direct"}},
                {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [{"n": 1.50}]},
            ],
            "stop_reason": "end_turn", "stop_sequence": null, "stop_details": null, "container": null,
            "usage": {
                "input_tokens": 40, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 900,
                "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
                "output_tokens": 7, "output_tokens_details": {"thinking_tokens": 0}, "server_tool_use": null,
                "service_tier": "standard", "inference_geo": "global", "speed": "standard", "unheard_of": [1],
            },
        })
    }

    #[test]
    fn a_full_message_reads_and_writes_as_pinned() {
        let message: Message = serde_json::from_value(full_message()).expect("the documented shape is read");
        let written = serde_json::to_value(&message).expect("it is written");
        insta::assert_snapshot!("message", serde_json::to_string_pretty(&written).expect("a value prints"));
    }

    #[test]
    fn a3_fields_of_another_type_cost_themselves_and_not_the_message() {
        let message: Message = serde_json::from_str(
            r#"{"id":7,"model":null,"content":[{"type":"text","text":"Hi"},null],"stop_reason":["end_turn"],"stop_details":"no",
            "usage":{"input_tokens":18446744073709551615,"input_tokens":18446744073709551616,"output_tokens":"12","cache_creation":7,
            "server_tool_use":{"web_search_requests":-1},"iterations":[{"type":"message","input_tokens":1}],"speed":1}}"#,
        )
        .expect("it is read");
        assert_eq!((message.text().as_str(), message.stop_reason, message.model.as_str()), ("Hi", None, ""));
        let server_tool_use = Some(ServerToolUse::default());
        assert_eq!(message.usage, Usage { output_tokens: Some(12), server_tool_use, ..Usage::default() });
        for usage in ["null", "[]", "7", "\"none\""] {
            let message: Message = serde_json::from_str(&format!(r#"{{"usage":{usage}}}"#)).expect(usage);
            assert_eq!(message.usage, Usage::default(), "{usage}");
        }
    }

    #[test]
    fn a_message_with_the_least_fields_reads() {
        let message: Message = serde_json::from_str(r#"{"id":"m","model":"x","usage":{"input_tokens":null}}"#)
            .expect("nullable and absent fields are absent");
        assert_eq!(message.usage, Usage::default());
        assert_eq!((message.stop_reason, message.content), (None, vec![]));
    }

    #[test]
    fn every_stop_reason_survives_reading_and_writing() {
        for name in [
            "end_turn",
            "tool_use",
            "max_tokens",
            "stop_sequence",
            "pause_turn",
            "refusal",
            "model_context_window_exceeded",
            "compaction",
        ] {
            let reason = StopReason::from(name.to_owned());
            assert_eq!(matches!(reason, StopReason::Other(_)), name == "compaction", "{name}");
            assert_eq!(String::from(reason), name);
        }
    }

    #[test]
    fn newer_usage_overwrites_and_null_changes_nothing() {
        let mut usage = Usage { input_tokens: Some(31), output_tokens: Some(1), ..Usage::default() };
        usage.update(Usage { output_tokens: Some(22), cache_read_input_tokens: Some(9), ..Usage::default() });
        let expected = Usage {
            input_tokens: Some(31),
            output_tokens: Some(22),
            cache_read_input_tokens: Some(9),
            ..Usage::default()
        };
        assert_eq!(usage, expected);
        assert_eq!(usage.prompt_tokens(), 40);
    }
}
