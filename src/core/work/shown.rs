//! What the model is told of a call, and what people see of it.

use serde_json::{Map, Value, json};

use crate::{
    core::{
        mask::Mask,
        tool::{Denied, NAME_CHARS_MAX, Output, Toolset},
        trail::StepOutcome,
    },
    prompts::{self, Verdict},
};

/// A text among the arguments is folded after so many characters.
const VALUE_CHARS_MAX: usize = 200;
/// A list or object among the arguments is folded after so many entries.
const ENTRIES_MAX: usize = 20;
/// All arguments together are folded after so many characters.
const ARGUMENTS_CHARS_MAX: usize = 2_000;
/// A result is folded after so many characters.
const RESULT_CHARS_MAX: usize = 500;
/// A source's title is cut after so many characters.
const TITLE_CHARS_MAX: usize = 120;

/// Returns a result as data: our own words and the tool's stand in fields of their own.
pub(super) fn envelope(tool: &str, output: &Output, outcome: StepOutcome) -> String {
    let key = match outcome {
        StepOutcome::Done => "untrusted_result",
        StepOutcome::Failed => "untrusted_error",
        StepOutcome::Unknown => "outcome_unknown",
        StepOutcome::Denied | StepOutcome::Declined | StepOutcome::Expired | StepOutcome::Stopped => "not_carried_out",
    };
    let mut envelope = json!({ "tool": tool, key: output.text });
    if output.truncated {
        envelope["truncated"] = Value::from(prompts::verdict(Verdict::Truncated));
    }
    envelope.to_string()
}

/// Returns why a call is not carried out, for the model.
pub(super) fn denied(denied: Denied, tools: &Toolset) -> String {
    match denied {
        Denied::NotAnObject => prompts::verdict(Verdict::NotAnObject).to_owned(),
        Denied::NotGranted => {
            let names: Vec<&str> = tools.iter().map(|tool| tool.offer.name.as_str()).collect();
            prompts::not_granted(&names.join(", "))
        }
    }
}

/// Returns a tool's name as the model gave it, with nothing in it but what names are made of.
pub(super) fn name(name: &str) -> String {
    let clean = |char: char| if char.is_ascii_alphanumeric() || char == '-' { char } else { '_' };
    name.chars().take(NAME_CHARS_MAX).map(clean).collect()
}

/// Returns arguments as people see them: masked first, then folded, so that no fold leaves half a secret.
pub(super) fn arguments(arguments: &Value, mask: &Mask) -> String {
    fold(&mask.hide(&folded(arguments, mask).to_string()), ARGUMENTS_CHARS_MAX)
}

fn folded(value: &Value, mask: &Mask) -> Value {
    match value {
        Value::String(text) => Value::from(fold(&mask.hide(text), VALUE_CHARS_MAX)),
        Value::Array(items) => {
            let mut shown: Vec<Value> = items.iter().take(ENTRIES_MAX).map(|item| folded(item, mask)).collect();
            if items.len() > ENTRIES_MAX {
                shown.push(Value::from(format!("… (+{})", items.len() - ENTRIES_MAX)));
            }
            Value::Array(shown)
        }
        Value::Object(fields) => {
            let few = fields.iter().take(ENTRIES_MAX);
            let name = |name: &str| fold(&mask.hide(name), VALUE_CHARS_MAX);
            let mut shown: Map<_, _> = few.map(|(key, value)| (name(key), folded(value, mask))).collect();
            if fields.len() > ENTRIES_MAX {
                shown.insert("…".to_owned(), Value::from(format!("+{}", fields.len() - ENTRIES_MAX)));
            }
            Value::Object(shown)
        }
        scalar => scalar.clone(),
    }
}

/// Returns a masked result as people see it.
pub(super) fn result(text: &str) -> String {
    fold(text, RESULT_CHARS_MAX)
}

fn fold(text: &str, chars_max: usize) -> String {
    let chars = text.chars().count();
    if chars <= chars_max {
        return text.to_owned();
    }
    let beginning: String = text.chars().take(chars_max).collect();
    format!("{beginning}… (+{} characters)", chars - chars_max)
}

/// Returns a source's title as the text of a link: one line, without what Markdown takes for its own.
pub(super) fn link_text(title: &str, url: &str) -> String {
    let clean = |char: char| if char.is_control() || "[]<>\\`*_~|".contains(char) { ' ' } else { char };
    let title: String = title.chars().map(clean).take(TITLE_CHARS_MAX).collect();
    let title = title.split_whitespace().collect::<Vec<_>>().join(" ");
    let host = || url::Url::parse(url).ok().and_then(|url| url.host_str().map(ToOwned::to_owned)).unwrap_or_default();
    if title.is_empty() { host() } else { title }
}
