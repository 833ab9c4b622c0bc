//! What is known about the provider's models: the efforts they accept, and when they retire.
//!
//! The API tells this where it can be asked. The table serves where it cannot, and `workmate check`. A model in neither
//! is called as configured.

use super::{prompt::Effort, time::Timestamp};

/// How many days before a model's retirement people are told of it.
const END_TOLD_DAYS: i32 = 60;

/// The names of efforts, from low to high.
pub(crate) const EFFORTS: [(&str, Effort); 5] = [
    ("low", Effort::Low),
    ("medium", Effort::Medium),
    ("high", Effort::High),
    ("xhigh", Effort::Xhigh),
    ("max", Effort::Max),
];

/// Facts about a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The accepted efforts from low to high; empty if it accepts none, `None` if unknown.
    pub efforts: Option<Vec<Effort>>,
    /// Most tokens of one answer; `None` if unknown.
    pub output_tokens_max: Option<u32>,
    /// Whether it thinks unless told otherwise, so that a summary of its thinking can be had and changes nothing else.
    pub summarises: bool,
    /// The day of retirement, as `2026-11-30`.
    pub ends: Option<String>,
    /// Whether it has retired.
    pub is_retired: bool,
}

/// Retiring models: the day, and the replacement.
const ENDING: [(&str, &str, &str); 5] = [
    ("claude-mythos-preview", "2026-06-30", "claude-mythos-5-2"),
    ("claude-sonnet-4-5", "2026-11-30", "claude-sonnet-5-5"),
    ("claude-sonnet-4-5-20250929", "2026-11-30", "claude-sonnet-5-5"),
    ("claude-opus-4-5", "2027-01-22", "claude-opus-5-5"),
    ("claude-opus-4-5-20251101", "2027-01-22", "claude-opus-5-5"),
];

/// Models that think adaptively if nothing is said about it.
const THINKING: [&str; 11] = [
    "claude-fable-5",
    "claude-fable-5-1",
    "claude-fable-5-2",
    "claude-mythos-5",
    "claude-mythos-5-1",
    "claude-mythos-5-2",
    "claude-opus-5",
    "claude-opus-5-5",
    "claude-sonnet-5",
    "claude-sonnet-5-5",
    "claude-haiku-5-5",
];

impl Facts {
    /// Returns the table's facts.
    #[must_use]
    pub fn known(model: &str) -> Self {
        let is = |names: &[&str]| names.iter().any(|name| model == *name || dated(model, name));
        let efforts = if is(&["claude-haiku-4-5", "claude-sonnet-4-5"]) {
            Some(Vec::new())
        } else if is(&["claude-opus-4-5"]) {
            Some(vec![Effort::Low, Effort::Medium, Effort::High])
        } else if is(&["claude-opus-4-6", "claude-sonnet-4-6"]) {
            Some(vec![Effort::Low, Effort::Medium, Effort::High, Effort::Max])
        } else {
            None
        };
        let ends = ENDING.iter().find(|(name, ..)| *name == model).map(|(_, day, _)| (*day).to_owned());
        let are_short = is(&["claude-haiku-4-5", "claude-sonnet-4-5", "claude-opus-4-5"]);
        let output_tokens_max = are_short.then_some(64_000);
        Self { efforts, output_tokens_max, summarises: is(&THINKING), ends, is_retired: false }
    }

    /// Returns how many tokens an answer may have: the wanted number, if the model can.
    #[must_use]
    pub fn output_tokens(&self, wanted: u32) -> u32 {
        self.output_tokens_max.map_or(wanted, |most| wanted.min(most))
    }

    /// Returns the effort to send: the wanted one if accepted, else the next lower accepted one, else none.
    #[must_use]
    pub fn effort(&self, wanted: Effort) -> Option<Effort> {
        let Some(taken) = &self.efforts else { return Some(wanted) };
        let most = rank(wanted);
        taken.iter().copied().filter(|effort| rank(*effort) <= most).max_by_key(|effort| rank(*effort))
    }
}

/// Returns in how many days a model retires, if that is soon; negative after that day. `ends` is as in [`Facts::ends`].
#[must_use]
pub(crate) fn ends_in_days(ends: &str, now: Timestamp) -> Option<i32> {
    let today = jiff::Timestamp::from_millisecond(now.as_ms()).ok()?.to_zoned(jiff::tz::TimeZone::UTC).date();
    let days = today.until(ends.parse::<jiff::civil::Date>().ok()?).ok()?.get_days();
    (days <= END_TOLD_DAYS).then_some(days)
}

/// Returns the text that a model retires, with the remedy; `None` if that is not soon. `who` names the model's users.
#[must_use]
pub(crate) fn told_of_end(model: &str, who: &str, ends: &str, now: Timestamp) -> Option<String> {
    let days = ends_in_days(ends, now)?;
    let when = match days {
        ..0 => "that day is over".to_owned(),
        0 => "today".to_owned(),
        1 => "tomorrow".to_owned(),
        days => format!("in {days} days"),
    };
    let next = successor(model).unwrap_or("a newer model");
    Some(format!(
        "{model} (named by {who}) ends on {ends}, {when}\n  From then on the provider answers no request that names it.\n  Mend: \
         choose another one before, e.g. {next}"
    ))
}

/// Returns the replacement for a retiring model.
#[must_use]
pub(crate) fn successor(model: &str) -> Option<&'static str> {
    ENDING.iter().find(|(name, ..)| *name == model).map(|(.., next)| *next)
}

/// Returns an effort's name.
#[must_use]
pub(crate) fn name(effort: Effort) -> &'static str {
    EFFORTS[rank(effort)].0
}

fn rank(effort: Effort) -> usize {
    EFFORTS.iter().position(|(_, known)| *known == effort).unwrap_or_default()
}

/// Returns whether `model` is `name` followed by a date.
fn dated(model: &str, name: &str) -> bool {
    let date = model.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
    date.is_some_and(|date| date.len() == 8 && date.bytes().all(|digit| digit.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_model_is_asked_with_an_effort_that_it_takes() {
        use Effort::{High, Low, Max, Medium, Xhigh};
        for (model, wanted, asked) in [
            ("claude-haiku-4-5", Medium, None),
            ("claude-haiku-4-5-20251001", Low, None),
            ("claude-sonnet-4-5-20250929", Max, None),
            ("claude-opus-4-5", Max, Some(High)),
            ("claude-opus-4-5-20251101", Xhigh, Some(High)),
            ("claude-sonnet-4-6", Xhigh, Some(High)),
            ("claude-opus-4-6", Max, Some(Max)),
            ("claude-opus-5-5", Xhigh, Some(Xhigh)),
            ("claude-haiku-5-5", Low, Some(Low)),
            ("somebody-s-model", Max, Some(Max)),
        ] {
            assert_eq!(Facts::known(model).effort(wanted), asked, "{model}");
        }
        let little = Facts { efforts: Some(vec![High]), ..Facts::default() };
        assert_eq!([little.effort(Low), little.effort(Max)], [None, Some(High)]);
    }

    #[test]
    fn c9_only_a_model_that_thinks_by_itself_is_asked_for_a_summary_of_it() {
        for (model, expected) in [
            ("claude-opus-5-5", true),
            ("claude-sonnet-5", true),
            ("claude-haiku-5-5-20261001", true),
            ("claude-opus-4-8", false),
            ("claude-haiku-4-5", false),
            ("somebody-s-model", false),
        ] {
            assert_eq!(Facts::known(model).summarises, expected, "{model}");
        }
    }

    #[test]
    fn c26_a_model_answers_no_longer_than_it_can() {
        assert_eq!(Facts::known("claude-haiku-4-5").output_tokens(100_000), 64_000);
        assert_eq!(Facts::known("claude-haiku-4-5").output_tokens(16_000), 16_000);
        assert_eq!(Facts::known("claude-opus-5-5").output_tokens(100_000), 100_000);
    }

    #[test]
    fn op4_a_model_that_ends_is_told_of_well_before_and_on_the_day() {
        let now = Timestamp::from_ms(1_796_000_000_000); // 2026-11-30
        for (ends, expected) in [
            ("2027-01-30", None),
            ("2027-01-29", Some("in 60 days")),
            ("2026-12-01", Some("tomorrow")),
            ("2026-11-30", Some("today")),
            ("2026-06-30", Some("that day is over")),
            ("soon", None),
            ("", None),
        ] {
            let told = told_of_end("claude-opus-4-5", "claude.model", ends, now);
            assert_eq!(told.is_some(), expected.is_some(), "{ends}: {told:?}");
            let told = told.unwrap_or_default();
            assert!(expected.is_none_or(|part| told.contains(part) && told.contains("claude-opus-5-5")), "{told}");
        }
    }

    #[test]
    fn a_model_that_ends_has_its_day_and_a_successor() {
        assert_eq!(Facts::known("claude-sonnet-4-5").ends.as_deref(), Some("2026-11-30"));
        assert_eq!(successor("claude-opus-4-5-20251101"), Some("claude-opus-5-5"));
        assert_eq!(Facts::known("claude-opus-5-5").ends, None);
    }
}
