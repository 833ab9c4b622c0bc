//! What the model said in one turn, read from its raw content blocks.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, value::RawValue};

use super::{arguments::Arguments, call::Call, shown};
use crate::core::{
    citing::Cited,
    computing::{MADE_MAX, checked_id},
    mask::Mask,
    trail::{StepOutcome, TrailStep},
};

/// One turn of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelTurn {
    /// Its content blocks, each as raw JSON.
    pub blocks: Vec<String>,
    /// Why it ended.
    pub stop: TurnStop,
}

impl ModelTurn {
    /// Returns whether the provider's own tools brought something in it.
    pub(crate) fn looked_up(&self) -> bool {
        self.blocks.iter().any(|raw| matches!(Said::read(raw), Said::ServerResult { .. }))
    }
}

/// Why a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnStop {
    /// It was finished, or waits for results.
    End,
    /// It reached a limit on its length.
    Cut,
    /// The provider paused its own loop and wants to go on.
    Paused,
    /// The model declined.
    Refused,
    /// A filter of the provider's blocked what it answered; to the run, that is a refusal.
    Filtered,
}

/// A content block, as far as the loop looks at it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Said {
    Text {
        text: String,
        /// What it cites, once that is looked up.
        sources: Vec<Cited>,
    },
    Thinking,
    /// One of our tools.
    Call {
        id: String,
        name: String,
        arguments: Arguments,
    },
    /// One of the provider's tools, which it carries out itself.
    ServerCall {
        id: String,
        name: String,
        arguments: Value,
    },
    ServerResult {
        call: String,
        failed: bool,
        /// What code printed, or why it did not run.
        told: String,
        /// The files that it made.
        made: Vec<String>,
    },
    Other,
    /// Nothing that has a type.
    Untyped,
}

impl Said {
    pub(super) fn read(raw: &str) -> Self {
        // Field by field: what stands in one does not make the others unreadable.
        let block: BTreeMap<String, Box<RawValue>> = serde_json::from_str(raw).unwrap_or_default();
        let field = |key: &str| block.get(key).map_or("null", |field| field.get());
        let value = |key: &str| serde_json::from_str::<Value>(field(key)).unwrap_or_default();
        let text = |key: &str| serde_json::from_str::<String>(field(key)).unwrap_or_default();
        match text("type").as_str() {
            "text" => Self::Text { text: text("text"), sources: Vec::new() },
            "thinking" | "redacted_thinking" => Self::Thinking,
            "tool_use" => Self::Call { id: text("id"), name: text("name"), arguments: Arguments::read(field("input")) },
            "server_tool_use" => Self::ServerCall { id: text("id"), name: text("name"), arguments: value("input") },
            kind if kind.ends_with("_tool_result") => {
                let inner = value("content");
                let is_error = inner["type"].as_str().unwrap_or_default().ends_with("_error");
                let is_code = kind.ends_with("code_execution_tool_result");
                let (told, made) = if is_code { computed(&inner) } else { <(String, Vec<String>)>::default() };
                let failed = is_error || (is_code && inner["return_code"].as_i64().is_some_and(|code| code != 0));
                Self::ServerResult { call: text("tool_use_id"), failed, told, made }
            }
            "" => Self::Untyped,
            _ => Self::Other,
        }
    }

    pub(super) fn is_thinking(&self) -> bool {
        *self == Self::Thinking
    }

    /// Whether the API would refuse it if it came back.
    fn is_blank(&self) -> bool {
        match self {
            Self::Text { text, .. } => text.trim().is_empty(),
            Self::Untyped => true,
            _ => false,
        }
    }
}

/// Returns what a result of code execution says, and the files that it names.
fn computed(result: &Value) -> (String, Vec<String>) {
    let printed = ["stdout", "stderr", "error_code"].into_iter().filter_map(|name| result[name].as_str());
    let printed: Vec<&str> = printed.map(str::trim).filter(|text| !text.is_empty()).collect();
    let files = result["content"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ids = files.iter().filter_map(|file| file["file_id"].as_str()).filter_map(checked_id).map(ToOwned::to_owned);
    let mut made: Vec<String> = ids.rev().take(MADE_MAX).collect();
    made.reverse();
    (printed.join("\n"), made)
}

/// Returns the files that code made in a turn.
pub(super) fn made_files(said: &[Said]) -> impl Iterator<Item = &String> {
    said.iter().flat_map(|block| match block {
        Said::ServerResult { made, .. } => made.as_slice(),
        _ => &[],
    })
}

pub(super) fn read_all(blocks: &[String]) -> Vec<Said> {
    blocks.iter().map(|raw| Said::read(raw)).collect()
}

/// Returns the blocks as they go back to the model: byte for byte, but for what the API would not take back.
pub(super) fn echoed(turn: &ModelTurn, said: &[Said]) -> Vec<String> {
    let pairs = turn.blocks.iter().zip(said).filter(|(_, said)| !said.is_blank());
    let echoed = pairs.map(|(raw, said)| match said {
        Said::Call { arguments, .. } if !arguments.is_object() => without_arguments(raw),
        _ => raw.clone(),
    });
    echoed.collect()
}

/// A call is not carried out whose arguments are no object, or unclear; nor may it come back with them.
fn without_arguments(raw: &str) -> String {
    let mut block: BTreeMap<String, Box<RawValue>> = serde_json::from_str(raw).unwrap_or_default();
    block.insert("input".to_owned(), RawValue::from_string("{}".to_owned()).expect("it is JSON"));
    serde_json::to_string(&block).unwrap_or_default()
}

pub(super) fn calls(said: &[Said], mask: &Mask) -> Vec<Call> {
    let calls = said.iter().filter_map(|block| match block {
        Said::Call { id, name, arguments } => Some(Call::new(id.clone(), name.clone(), arguments.clone(), mask)),
        _ => None,
    });
    calls.collect()
}

/// Returns the steps that the provider took itself.
pub(super) fn server_steps(said: &[Said], mask: &Mask) -> Vec<TrailStep> {
    let results: HashMap<&str, (bool, &str)> = said
        .iter()
        .filter_map(|block| match block {
            Said::ServerResult { call, failed, told, .. } => Some((call.as_str(), (*failed, told.as_str()))),
            _ => None,
        })
        .collect();
    let steps = said.iter().filter_map(|block| {
        let Said::ServerCall { id, name, arguments } = block else { return None };
        // Without a result the provider has paused; it goes on by itself.
        let (failed, told) = results.get(id.as_str()).copied().unwrap_or_default();
        let outcome = if failed { StepOutcome::Failed } else { StepOutcome::Done };
        Some(TrailStep {
            tool: shown::name(name),
            arguments: shown::arguments(arguments, mask),
            decision: None,
            outcome,
            result: shown::result(&mask.hide(told)),
            duration_ms: 0,
        })
    });
    steps.collect()
}
