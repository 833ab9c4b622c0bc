//! What each model accepts, as a table by which requests are judged.
//!
//! Taken from Anthropic's thinking table of 2026-10-10 and its price and cache pages. Fable 5.2 is assumed to be like
//! 5.1. An id that is not listed is unknown and gets 404.

use serde_json::{Value, json};

/// Which types of the `thinking` field a model takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ThinkingTypes {
    pub(super) adaptive: bool,
    pub(super) enabled: bool,
    pub(super) disabled: Disabled,
    pub(super) between_tools: bool,
}

/// Whether thinking can be turned off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disabled {
    Accepted,
    UpToHighEffort,
    Rejected,
}

/// A model and its rules.
#[expect(clippy::struct_excessive_bools, reason = "a table of yes and no is read best as yes and no")]
#[derive(Clone, Copy, Debug)]
pub(super) struct Model {
    pub(super) id: &'static str,
    /// A dated snapshot id of the same model.
    alias: Option<&'static str>,
    name: &'static str,
    created: &'static str,
    pub(super) context_tokens: u64,
    pub(super) output_tokens_max: u64,
    pub(super) cache_tokens_min: u64,
    pub(super) thinking: ThinkingTypes,
    /// The efforts that the model accepts; any other gets 400.
    pub(super) efforts: &'static [&'static str],
    /// The day on which the model is retired.
    retires: Option<&'static str>,
    /// Whether `tool_choice` of `any` or `tool` gets 400.
    pub(super) refuses_forced_tools: bool,
    /// Whether thinking blocks are bound to their exact prefix.
    pub(super) preserved_thinking: bool,
    pub(super) system_turns: bool,
    /// Whether the last message may be the assistant's (models before 4.6).
    pub(super) prefill: bool,
    /// Whether sampling fields are refused under every API version.
    pub(super) refuses_sampling: bool,
}

const ALWAYS_ADAPTIVE: ThinkingTypes =
    ThinkingTypes { adaptive: true, enabled: false, disabled: Disabled::Rejected, between_tools: false };
const DISABLED_UP_TO_HIGH: ThinkingTypes = ThinkingTypes { disabled: Disabled::UpToHighEffort, ..ALWAYS_ADAPTIVE };
const NO_BUDGET: ThinkingTypes = ThinkingTypes { disabled: Disabled::Accepted, ..ALWAYS_ADAPTIVE };

/// The 5.5 generation, and Fable 5.1 and later; older rows list only the differences.
const NEWEST: Model = Model {
    id: "claude-opus-5-5",
    alias: None,
    name: "Claude Opus 5.5",
    created: "2026-08-31T00:00:00Z",
    context_tokens: 1_000_000,
    output_tokens_max: 128_000,
    cache_tokens_min: 512,
    thinking: ALWAYS_ADAPTIVE,
    efforts: &["low", "medium", "high", "xhigh", "max"],
    retires: None,
    refuses_forced_tools: true,
    preserved_thinking: true,
    system_turns: true,
    prefill: false,
    refuses_sampling: true,
};
/// Fable, Mythos and Opus 5.
const FIFTH: Model =
    Model { refuses_forced_tools: false, preserved_thinking: false, created: "2026-05-01T00:00:00Z", ..NEWEST };
/// Opus 4.7 and 4.8.
const FOUR_SEVEN: Model =
    Model { cache_tokens_min: 1024, thinking: NO_BUDGET, created: "2026-03-01T00:00:00Z", ..FIFTH };
const FOUR_SIX: Model = Model {
    cache_tokens_min: 4096,
    thinking: ThinkingTypes { enabled: true, ..NO_BUDGET },
    system_turns: false,
    efforts: &["low", "medium", "high", "max"],
    refuses_sampling: false,
    created: "2026-01-15T00:00:00Z",
    ..FIFTH
};
const FOUR_FIVE: Model = Model {
    context_tokens: 200_000,
    output_tokens_max: 64_000,
    thinking: ThinkingTypes { adaptive: false, enabled: true, ..NO_BUDGET },
    prefill: true,
    created: "2025-10-01T00:00:00Z",
    ..FOUR_SIX
};

const MODELS: &[Model] = &[
    Model { id: "claude-fable-5-2", name: "Claude Fable 5.2", ..NEWEST },
    Model { id: "claude-mythos-5-2", name: "Claude Mythos 5.2", ..NEWEST },
    Model {
        id: "claude-haiku-5-5",
        name: "Claude Haiku 5.5",
        thinking: DISABLED_UP_TO_HIGH,
        refuses_forced_tools: false,
        ..NEWEST
    },
    Model {
        id: "claude-sonnet-5-5",
        name: "Claude Sonnet 5.5",
        thinking: ThinkingTypes { between_tools: true, ..ALWAYS_ADAPTIVE },
        ..NEWEST
    },
    Model { id: "claude-fable-5-1", name: "Claude Fable 5.1", ..NEWEST },
    NEWEST,
    Model { id: "claude-mythos-5-1", name: "Claude Mythos 5.1", preserved_thinking: false, ..NEWEST },
    Model { id: "claude-sonnet-5", name: "Claude Sonnet 5", cache_tokens_min: 1024, thinking: NO_BUDGET, ..FIFTH },
    Model { id: "claude-fable-5", name: "Claude Fable 5", ..FIFTH },
    Model { id: "claude-mythos-5", name: "Claude Mythos 5", ..FIFTH },
    Model { id: "claude-opus-5", name: "Claude Opus 5", thinking: DISABLED_UP_TO_HIGH, ..FIFTH },
    Model { id: "claude-opus-4-8", name: "Claude Opus 4.8", ..FOUR_SEVEN },
    Model { id: "claude-opus-4-7", name: "Claude Opus 4.7", cache_tokens_min: 2048, system_turns: false, ..FOUR_SEVEN },
    Model { id: "claude-opus-4-6", name: "Claude Opus 4.6", ..FOUR_SIX },
    Model { id: "claude-sonnet-4-6", name: "Claude Sonnet 4.6", cache_tokens_min: 1024, ..FOUR_SIX },
    Model {
        id: "claude-haiku-4-5",
        alias: Some("claude-haiku-4-5-20251001"),
        name: "Claude Haiku 4.5",
        efforts: &[],
        ..FOUR_FIVE
    },
    Model {
        id: "claude-opus-4-5",
        alias: Some("claude-opus-4-5-20251101"),
        name: "Claude Opus 4.5",
        efforts: &["low", "medium", "high"],
        retires: Some("2027-01-22T00:00:00Z"),
        ..FOUR_FIVE
    },
    Model {
        id: "claude-sonnet-4-5",
        alias: Some("claude-sonnet-4-5-20250929"),
        name: "Claude Sonnet 4.5",
        cache_tokens_min: 1024,
        efforts: &[],
        retires: Some("2026-11-30T00:00:00Z"),
        ..FOUR_FIVE
    },
];

/// Returns the row for an id or its dated snapshot.
pub(super) fn find(id: &str) -> Option<&'static Model> {
    MODELS.iter().find(|model| model.id == id || model.alias == Some(id))
}

/// Returns all rows, newest first.
pub(super) fn all() -> &'static [Model] {
    MODELS
}

impl Model {
    /// Returns the model as `/v1/models` describes it.
    pub(super) fn info(&self) -> Value {
        let line = self.id.split('-').nth(1);
        let supported = |yes: bool| json!({ "supported": yes });
        json!({
            "type": "model",
            "id": self.id,
            "display_name": self.name,
            "created_at": self.created,
            "lifecycle": if self.retires.is_some() { "deprecated" } else { "active" },
            "deprecated_at": self.retires.map(|_| "2026-07-01T00:00:00Z"),
            "retires_at": self.retires,
            "line": line,
            "max_input_tokens": self.context_tokens,
            "max_tokens": self.output_tokens_max,
            "capabilities": {
                "batch": supported(true),
                "citations": supported(true),
                "code_execution": supported(true),
                "image_input": supported(true),
                "pdf_input": supported(true),
                "structured_outputs": supported(true),
                "server_tools": {
                    "supported": true,
                    "code_execution": supported(true),
                    "web_search": supported(true),
                },
                "context_management": {
                    "supported": true,
                    "clear_thinking_20251015": supported(true),
                    "clear_tool_uses_20250919": supported(true),
                    "compact_20260112": supported(true),
                },
                "effort": {
                    "supported": !self.efforts.is_empty(),
                    "low": supported(self.efforts.contains(&"low")),
                    "medium": supported(self.efforts.contains(&"medium")),
                    "high": supported(self.efforts.contains(&"high")),
                    "xhigh": supported(self.efforts.contains(&"xhigh")),
                    "max": supported(self.efforts.contains(&"max")),
                },
                "thinking": {
                    "supported": true,
                    "types": {
                        "adaptive": supported(self.thinking.adaptive),
                        "enabled": supported(self.thinking.enabled),
                        "disabled": supported(self.thinking.disabled != Disabled::Rejected),
                        "between_tools": supported(self.thinking.between_tools),
                    },
                },
            },
        })
    }
}
