//! What the model is told of a call, and what people see of it.

use serde_json::{Value, json};

use crate::{
    core::{
        mask::Mask,
        tool::{Denied, NAME_CHARS_MAX, Output, Toolset, shown::line},
        trail::StepOutcome,
        words::trail as words,
    },
    prompts::{self, Verdict},
};

/// So many characters of arguments are kept whole; of more, each line is folded in its middle.
const ARGUMENTS_CHARS_MAX: usize = 2_000;
/// A line of folded arguments keeps this many characters.
const LINE_CHARS_MIN: usize = 100;
/// Folded arguments are so many lines; more are counted.
const LINES_MAX: usize = 20;
/// A result is folded after so many characters.
const RESULT_CHARS_MAX: usize = 500;

/// Returns a result as data: our own words and the tool's stand in fields of their own.
pub(super) fn envelope(tool: &str, output: &Output, outcome: StepOutcome) -> String {
    let key = match outcome {
        StepOutcome::Done => "untrusted_result",
        StepOutcome::Failed => "untrusted_error",
        StepOutcome::Unknown => "outcome_unknown",
        StepOutcome::Denied
        | StepOutcome::Unusable
        | StepOutcome::Surplus
        | StepOutcome::Declined
        | StepOutcome::Expired
        | StepOutcome::Stopped => "not_carried_out",
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
        Denied::Unclear => prompts::verdict(Verdict::Unclear).to_owned(),
        Denied::Changed => prompts::verdict(Verdict::Changed).to_owned(),
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

/// Returns arguments as people see them: a line for each, as a card has them, whole where they are not too long. Masked
/// first, so that no fold leaves half a secret.
pub(super) fn arguments(arguments: &Value, mask: &Mask) -> String {
    let Value::Object(fields) = arguments else { return as_written(&arguments.to_string(), mask) };
    let mut fields: Vec<_> = fields.iter().collect();
    fields.sort_by_key(|(name, _)| *name);
    let mut lines: Vec<String> = fields.iter().map(|(name, value)| line(name, value, mask)).collect();
    let chars: usize = lines.iter().map(|line| line.chars().count()).sum();
    if chars > ARGUMENTS_CHARS_MAX {
        let left_out = lines.len().saturating_sub(LINES_MAX);
        lines.truncate(LINES_MAX);
        let chars_max = (ARGUMENTS_CHARS_MAX / lines.len()).max(LINE_CHARS_MIN);
        for line in &mut lines {
            *line = words::folded(line, chars_max);
        }
        if left_out > 0 {
            lines.push(words::more_arguments(left_out));
        }
    }
    lines.join("\n")
}

/// Returns arguments that are no object, or unclear, as the model wrote them.
pub(super) fn as_written(raw: &str, mask: &Mask) -> String {
    words::folded(&mask.hide(raw), ARGUMENTS_CHARS_MAX)
}

/// Returns a masked result as people see it.
pub(super) fn result(text: &str) -> String {
    words::folded(text, RESULT_CHARS_MAX)
}

/// Returns all that a tool gave back as people see it: the text, and the texts of what it found.
pub(super) fn whole(output: &Output) -> String {
    let found = output.found.iter().map(|found| found.text.as_str());
    std::iter::once(output.text.as_str()).chain(found).collect::<Vec<_>>().join("\n")
}
