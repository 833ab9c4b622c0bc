//! The instructions to the model, as readable files with placeholders: `{{name}}`.
//!
//! Placeholders are filled from the config and from checked ids; people's words never enter these texts.

/// The values in a coworker's instructions.
#[derive(Clone, Copy, Debug)]
pub struct Coworker<'a> {
    /// The coworker's name.
    pub name: &'a str,
    /// The full user id.
    pub user_id: &'a str,
    /// What it is for.
    pub purpose: &'a str,
    /// The operator's instructions for it.
    pub instructions: &'a str,
}

/// The values in an assistant's instructions.
#[derive(Clone, Copy, Debug)]
pub struct Assistant<'a> {
    /// The full user id.
    pub user_id: &'a str,
    /// The owner's full user id.
    pub owner: &'a str,
    /// The operator's instructions for every assistant.
    pub instructions: &'a str,
}

const COWORKER: &str = include_str!("prompts/coworker.md");
const ASSISTANT: &str = include_str!("prompts/assistant.md");
const RECORDS: &str = include_str!("prompts/records.md");
const TOOLS: &str = include_str!("prompts/tools.md");
const RESULTS: &str = include_str!("prompts/results.md");
/// Replaces missing instructions of the operator.
const NO_INSTRUCTIONS: &str = "(none)";

/// Returns a coworker's instructions.
#[must_use]
pub fn coworker(values: &Coworker<'_>) -> String {
    let values = [
        ("name", values.name),
        ("user_id", values.user_id),
        ("purpose", values.purpose),
        ("instructions", or_none(values.instructions)),
        ("records", RECORDS.trim_end()),
    ];
    filled(COWORKER, &values)
}

/// Returns an assistant's instructions.
#[must_use]
pub fn assistant(values: &Assistant<'_>) -> String {
    let values = [
        ("user_id", values.user_id),
        ("owner", values.owner),
        ("instructions", or_none(values.instructions)),
        ("records", RECORDS.trim_end()),
    ];
    filled(ASSISTANT, &values)
}

/// Returns the instructions about tools, which follow a coworker's own.
#[must_use]
pub fn tools() -> &'static str {
    TOOLS.trim_end()
}

/// Returns the instructions about code execution, which follow those about tools.
#[must_use]
pub fn computing() -> &'static str {
    include_str!("prompts/computing.md").trim_end()
}

/// Texts of Workmate's in place of a tool's result, or beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The arguments are not a JSON object.
    NotAnObject,
    /// The arguments are ambiguous.
    Unclear,
    /// The tool has changed since the call was made.
    Changed,
    /// The turn has too many calls.
    TooManyCalls,
    /// People declined the call.
    Declined,
    /// Nobody decided in time.
    Expired,
    /// The provider refused what the call brought.
    Withheld,
    /// The process ended during the call.
    OutcomeUnknown,
    /// The run was stopped.
    Undone,
    /// The result was cut.
    Truncated,
}

/// Returns the text for a verdict.
#[must_use]
pub fn verdict(verdict: Verdict) -> &'static str {
    result_line(match verdict {
        Verdict::NotAnObject => "not_an_object",
        Verdict::Unclear => "unclear",
        Verdict::Changed => "changed",
        Verdict::TooManyCalls => "too_many_calls",
        Verdict::Declined => "declined",
        Verdict::Expired => "expired",
        Verdict::Withheld => "withheld",
        Verdict::OutcomeUnknown => "outcome_unknown",
        Verdict::Undone => "undone",
        Verdict::Truncated => "truncated",
    })
}

/// Returns the text for a call of a tool that was not granted; `names` lists those that were.
#[must_use]
pub fn not_granted(names: &str) -> String {
    filled(result_line("not_granted"), &[("names", or_none(names))])
}

fn result_line(name: &str) -> &'static str {
    let found = RESULTS.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    found.expect("a test reads each of them")
}

fn filled(template: &str, values: &[(&str, &str)]) -> String {
    fill(template, values).expect("the texts are fixed, and a test fills each of them")
}

fn or_none(instructions: &str) -> &str {
    let instructions = instructions.trim();
    if instructions.is_empty() { NO_INSTRUCTIONS } else { instructions }
}

/// Why a template could not be filled.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum FillError {
    #[error("the text names {{{{{0}}}}}, which has no value: fix the name in src/prompts")]
    Unknown(String),
    #[error("the value {0} is used nowhere: remove it, or name it in the text")]
    Unused(String),
    #[error("a place begins with {{{{ and does not end: close it with }}}}")]
    Open,
}

/// Fills each placeholder once, from left to right; values are not scanned for placeholders.
fn fill(template: &str, values: &[(&str, &str)]) -> Result<String, FillError> {
    let mut filled = String::with_capacity(template.len() + 1024);
    let mut used = vec![false; values.len()];
    let mut rest = template.trim_end();
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").ok_or(FillError::Open)?;
        let at = values.iter().position(|(known, _)| *known == name).ok_or(FillError::Unknown(name.to_owned()))?;
        used[at] = true;
        filled.push_str(before);
        filled.push_str(values[at].1);
        rest = after;
    }
    filled.push_str(rest);
    match used.iter().position(|used| !used) {
        Some(at) => Err(FillError::Unused(values[at].0.to_owned())),
        None => Ok(filled),
    }
}

#[cfg(test)]
mod tests {
    use super::{Assistant, Coworker, FillError, RESULTS, Verdict, assistant, coworker, fill, not_granted, verdict};

    #[test]
    fn coworkers_instructions_are_complete() {
        insta::assert_snapshot!(coworker(&Coworker {
            name: "oncall",
            user_id: "@coworker-oncall:hs",
            purpose: "Helps with incidents.",
            instructions: "Be calm.\nThe runbook is in {{name}}.",
        }));
    }

    #[test]
    fn assistants_instructions_are_complete() {
        insta::assert_snapshot!(assistant(&Assistant {
            user_id: "@assistant-alice:hs",
            owner: "@alice:hs",
            instructions: " "
        }));
    }

    #[test]
    fn c5_both_are_told_that_a_table_of_three_columns_is_a_list() {
        let coworker = coworker(&Coworker { name: "a", user_id: "@a:hs", purpose: "b", instructions: "" });
        let assistant = assistant(&Assistant { user_id: "@a:hs", owner: "@b:hs", instructions: "" });
        for told in [coworker, assistant] {
            assert!(told.contains("a list where a table would have three columns or more"), "{told}");
        }
    }

    #[test]
    fn every_verdict_has_a_line_and_every_line_a_verdict() {
        let verdicts = [
            Verdict::NotAnObject,
            Verdict::Unclear,
            Verdict::Changed,
            Verdict::TooManyCalls,
            Verdict::Declined,
            Verdict::Expired,
            Verdict::Withheld,
            Verdict::OutcomeUnknown,
            Verdict::Undone,
            Verdict::Truncated,
        ];
        assert!(verdicts.iter().all(|one| verdict(*one).ends_with('.')));
        assert_eq!(RESULTS.lines().count(), verdicts.len() + 1);
        assert_eq!(not_granted("time, x"), "There is no such tool for you. Your tools: time, x.");
        assert_eq!(not_granted(""), "There is no such tool for you. Your tools: (none).");
    }

    #[test]
    fn names_must_be_known_used_and_closed() {
        let rows = [
            ("{{a}} {{b}}", FillError::Unknown("b".to_owned())),
            ("nothing", FillError::Unused("a".to_owned())),
            ("{{a", FillError::Open),
        ];
        for (template, error) in rows {
            assert_eq!(fill(template, &[("a", "1")]), Err(error), "{template}");
        }
    }

    #[test]
    fn values_are_not_filled_again() {
        assert_eq!(fill("{{a}}-{{a}}", &[("a", "{{a}}")]), Ok("{{a}}-{{a}}".to_owned()));
    }
}
