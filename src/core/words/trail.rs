//! Texts about ended runs: their records, the audit room's lines, the answers to `!why` (C13).

use std::fmt::Write as _;

use ruma::{EventId, RoomId, ServerName};

use super::duration_seconds;
use crate::core::{
    audit::{Entry, Spent},
    batch::BatchEnd,
    citing::{self, Cited},
    legible::legible,
    names::{Names, letter_by_letter},
    run::Outcome,
    time::Timestamp,
    trail::{Decision, StepOutcome, Tally},
    zone::Zone,
};

/// Precedes the name of the person who approved a call.
pub(crate) const APPROVED_BY: &str = "approved by";
/// Precedes the name of the person who declined a call.
pub(crate) const DECLINED_BY: &str = "declined by";

/// Returns the first line of a run's record; plain text.
#[must_use]
pub(crate) fn head(outcome: Outcome, duration_ms: u64, steps: usize, spent: &Spent) -> String {
    let took = took(duration_ms);
    let mut parts = vec![match outcome {
        Outcome::Done => format!("Done after {took}"),
        Outcome::Failed | Outcome::Dropped => format!("Gave up after {took}"),
        Outcome::Stopped => format!("Stopped after {took}"),
        Outcome::Declined => format!("Declined after {took}"),
    }];
    if steps > 0 {
        parts.push(if steps == 1 { "1 step".to_owned() } else { format!("{steps} steps") });
    }
    parts.extend(spent_on(spent));
    parts.join(" · ")
}

/// Adds which model answered, where that was not the configured one; plain text.
#[must_use]
pub(crate) fn with_fallback(head: String, model: Option<&str>) -> String {
    match model {
        Some(model) => format!("{head} · by {model}, because the first model refused"),
        None => head,
    }
}

/// Returns how a step ended; plain text.
#[must_use]
pub(crate) fn step_end(outcome: StepOutcome, duration_ms: u64) -> String {
    match outcome {
        StepOutcome::Done => format!("done after {}", took(duration_ms)),
        StepOutcome::Failed => format!("failed after {}", took(duration_ms)),
        other => step_outcome(other).to_owned(),
    }
}

/// Returns a step's outcome in a word or two.
#[must_use]
pub(crate) fn step_outcome(outcome: StepOutcome) -> &'static str {
    match outcome {
        StepOutcome::Done => "done",
        StepOutcome::Failed => "failed",
        StepOutcome::Denied => "not allowed, did not run",
        StepOutcome::Unusable => "its arguments were not usable, did not run",
        StepOutcome::Surplus => "too many calls at once, did not run",
        StepOutcome::Declined => "did not run",
        StepOutcome::Expired => "nobody decided in time, did not run",
        StepOutcome::Stopped => "stopped",
        StepOutcome::Unknown => "interrupted, its effect is not known",
    }
}

/// Says how many more steps a record has than it shows.
#[must_use]
pub(crate) fn more_steps(steps: usize) -> String {
    if steps == 1 { "and 1 more step".to_owned() } else { format!("and {steps} more steps") }
}

/// Marks where a text was folded.
pub(crate) const FOLD: &str = " … (+";

/// Keeps the beginning and the end of a text longer than `chars_max`, and says how much is missing.
#[must_use]
pub(crate) fn folded(text: &str, chars_max: usize) -> String {
    let chars = text.chars().count();
    if chars <= chars_max {
        return text.to_owned();
    }
    let tail = chars_max / 3;
    let at = |nth: usize| text.char_indices().nth(nth).map_or(text.len(), |(at, _)| at);
    let (begins, ends) = (&text[..at(chars_max - tail)], &text[at(chars - tail)..]);
    let left_out = counted(u64::try_from(chars - chars_max).unwrap_or(u64::MAX));
    format!("{}{FOLD}{left_out} characters) … {}", begins.trim_end(), ends.trim_start())
}

/// Counts the arguments of a call that are not shown.
#[must_use]
pub(crate) fn more_arguments(arguments: usize) -> String {
    if arguments == 1 { "and 1 more argument".to_owned() } else { format!("and {arguments} more arguments") }
}

/// Follows the folded arguments of a call about which somebody was asked.
#[must_use]
pub(crate) fn whole_on_card() -> &'static str {
    "Its card shows the whole call."
}

/// Returns a day and time in UTC that sort as text: `2026-11-22 14:05`.
#[must_use]
pub(crate) fn sortable(at: Timestamp) -> String {
    strftime(at, "%Y-%m-%d %H:%M")
}

/// Returns the same to the second: `2026-11-22 14:05:07 UTC`.
#[must_use]
pub(crate) fn sortable_exact(at: Timestamp) -> String {
    strftime(at, "%Y-%m-%d %H:%M:%S UTC")
}

fn strftime(at: Timestamp, form: &str) -> String {
    jiff::Timestamp::from_millisecond(at.as_ms())
        .map_or_else(|_| "some time".to_owned(), |at| at.strftime(form).to_string())
}

/// Returns a run's outcome in a word.
#[must_use]
pub(crate) fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::Failed => "failed",
        Outcome::Dropped => "dropped",
        Outcome::Stopped => "stopped",
        Outcome::Declined => "declined",
    }
}

/// Returns a duration in short form.
#[must_use]
pub(crate) fn took(ms: u64) -> String {
    if ms < 1_000 { format!("{ms} ms") } else { duration_seconds(ms / 1_000) }
}

/// Returns a number with commas between thousands.
#[must_use]
pub(crate) fn counted(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Returns an amount of money from millionths of a US dollar.
#[must_use]
pub(crate) fn cost(micro_usd: u64) -> String {
    match micro_usd {
        0 => "$0".to_owned(),
        1..100 => "<$0.0001".to_owned(),
        100..1_000_000 => format!("$0.{:04}", micro_usd / 100),
        _ => format!("${}.{:02}", micro_usd / 1_000_000, micro_usd % 1_000_000 / 10_000),
    }
}

/// Returns the tokens and the cost, if the model was asked at all.
fn spent_on(spent: &Spent) -> Vec<String> {
    let mut parts = Vec::new();
    let tokens = spent.input_tokens.saturating_add(spent.output_tokens);
    if tokens > 0 {
        parts.push(format!("{} tokens", counted(tokens)));
        parts.extend(spent.cost_micro_usd.map(cost));
    }
    parts
}

fn tools_used(tools: &[Tally]) -> Option<String> {
    let failed = tools.iter().filter(|tool| tool.outcome != StepOutcome::Done).count();
    match (tools.len(), failed) {
        (0, _) => None,
        (1, 0) => Some("1 tool call".to_owned()),
        (all, 0) => Some(format!("{all} tool calls")),
        (1, _) => Some("1 tool call (not done)".to_owned()),
        (all, failed) => Some(format!("{all} tool calls ({failed} not done)")),
    }
}

// ---- The audit room ----

/// Returns the audit room's name.
#[must_use]
pub(crate) fn audit_room_name() -> &'static str {
    "Workmate audit"
}

/// Returns the audit room's topic.
#[must_use]
pub(crate) fn audit_room_topic() -> &'static str {
    "One line for every request to a coworker, without content. The link leads to those who are in that room."
}

/// Characters of what a reload says that the audit room is shown.
const RELOAD_CHARS_MAX: usize = 4_000;

/// Tells the audit room what became of a reload, and by what it was asked for.
#[must_use]
pub(crate) fn reloaded(by: &str, done: bool, told: &str) -> String {
    let mut shown: String = told.replace("```", "` ` `").chars().take(RELOAD_CHARS_MAX).collect();
    if shown.len() < told.len() {
        shown.push('…');
    }
    let became =
        if done { "The configuration was read again" } else { "The configuration was read again, but not taken" };
    format!("{became} ({by}):\n\n```\n{shown}\n```")
}

/// The audit room's line about a coworker's run: no content, and not the room's name.
#[must_use]
pub(crate) fn audit_line(entry: &Entry, via: &ServerName) -> String {
    let who = entry.coworker.as_deref().unwrap_or(entry.user.localpart());
    let whom = match &entry.origin {
        Some(origin) => super::errands::named(origin),
        None => Names::default().of(&entry.asker),
    };
    let mut parts = vec![format!("{} {}", code(who), outcome(entry.outcome)), format!("for {whom}")];
    parts.extend(tools_used(&entry.tools));
    parts.extend(spent_on(&entry.spent));
    parts.push(took(entry.duration_ms()));
    if let (Some(room), Some(event)) = (&entry.room, entry.answer.as_ref().or(entry.request.as_ref())) {
        parts.push(format!("[open]({})", link(room, event, via)));
    }
    parts.join(" · ")
}

// ---- !why ----

/// Says that an answer's run is not in the index.
#[must_use]
pub(crate) fn why_unknown() -> String {
    "I don't know which answer you mean, or I no longer have its record. Reply `!why` to one of my answers, or write it in \
     its thread."
        .to_owned()
}

/// Says that the answer is still being worked on.
#[must_use]
pub(crate) fn why_not_yet() -> String {
    "I'm still working on that one. Ask me again once it's answered.".to_owned()
}

/// Answers `!why`: what was read and used, with links and without content.
#[must_use]
pub(crate) fn why(entry: &Entry, links_max: usize, via: &ServerName, names: &Names, zone: &Zone) -> String {
    let mut text = read_messages(entry, links_max, via, zone);
    if entry.tools.is_empty() {
        text.push_str("\n\nI used no tools.");
    } else {
        text.push_str("\n\nI used these tools:\n");
        for tool in entry.tools.iter().take(TOOLS_LISTED_MAX) {
            let decision = match &tool.decision {
                Some(Decision::Approved { by, at }) => {
                    format!(", {APPROVED_BY} {}, {}", names.of(by), zone.date(*at))
                }
                Some(Decision::Declined { by, at } | Decision::Left { by, at }) => {
                    format!(", {DECLINED_BY} {}, {}", names.of(by), zone.date(*at))
                }
                Some(Decision::Expired) | None => String::new(),
            };
            let _ = write!(text, "\n- {}: {}{decision}", code(&tool.tool), step_end(tool.outcome, tool.duration_ms));
        }
        if let Some(more) = entry.tools.len().checked_sub(TOOLS_LISTED_MAX).filter(|more| *more > 0) {
            let _ = write!(text, "\n- {}", more_steps(more));
        }
    }
    match entry.batch {
        Some(BatchEnd::Answered) => {
            text.push_str("\n\nIt could wait, so my first question went as a batch, at half price.");
        }
        Some(BatchEnd::GivenUp) => {
            text.push_str(
                "\n\nIt went as a batch at first; no answer came in time, so I asked again at the full price.",
            );
        }
        None => {}
    }
    text.push_str(&refusal(entry));
    let mut parts = vec![format!("It took {}", took(entry.duration_ms()))];
    parts.extend(spent_on(&entry.spent));
    parts.extend(entry.model.as_deref().map(code));
    format!("{text}\n\n{}.", parts.join(" · "))
}

/// Returns what `!why` says of a refusal by the provider.
fn refusal(entry: &Entry) -> String {
    let another = || entry.model.as_deref().map_or("Another model".to_owned(), code);
    let Some(category) = &entry.refused else {
        if !entry.fallback {
            return String::new();
        }
        let why = "because the model that I ask first refused something in it a while ago";
        return format!("\n\n{} answered, {why}.", another());
    };
    let named = if category == "unnamed" { String::new() } else { format!(" ({})", code(category)) };
    let mut text = format!("\n\nThe model's provider refused what I asked first{named}.");
    if entry.fallback {
        let _ = write!(text, " {} answered instead.", another());
    }
    if entry.left_out > 0 {
        text.push_str(" I asked again with less, and `!leftout` shows what I leave out from now on.");
    }
    text
}

/// Most tools that `!why` names; further ones are counted.
const TOOLS_LISTED_MAX: usize = 20;

fn read_messages(entry: &Entry, links_max: usize, via: &ServerName, zone: &Zone) -> String {
    let read = match entry.read.len() {
        0 => return "For that answer I read no messages.".to_owned(),
        1 => "one message".to_owned(),
        count => format!("{count} messages"),
    };
    let span = match entry.read_span {
        Some((oldest, newest)) if oldest == newest => format!(", from {}", zone.date(oldest)),
        Some((oldest, newest)) => format!(", from {} to {}", zone.date(oldest), zone.date(newest)),
        None => String::new(),
    };
    let mut text = format!("For that answer I read {read} in this room{span}.");
    let Some(room) = &entry.room else { return text };
    let newest = entry.read.iter().rev().take(links_max);
    let links: Vec<String> =
        (1..).zip(newest).map(|(number, event): (u32, _)| format!("[{number}]({})", link(room, event, via))).collect();
    let which = if links.len() < entry.read.len() { "The newest" } else { "Newest first" };
    let _ = write!(text, " {which}: {}.", links.join(" "));
    text
}

/// Follows the answer to `!why`: an answer's sources under their numbers, with the words cited.
#[must_use]
pub(crate) fn cites(sources: &[Cited]) -> String {
    let mut text = "It cites:\n".to_owned();
    for (number, source) in (1_u32..).zip(sources) {
        let name = letter_by_letter(&source.name);
        let _ = match &source.link {
            Some(link) => write!(text, "\n{number}. [{name}](<{}>)", citing::target(link)),
            None => write!(text, "\n{number}. {name}"),
        };
        if !source.words.is_empty() {
            let _ = write!(text, ": “{}”", letter_by_letter(&source.words));
        }
    }
    text
}

fn link(room: &RoomId, event: &EventId, via: &ServerName) -> String {
    citing::permalink(room, event, via)
}

/// Returns Markdown code that shows any text literally.
fn code(text: &str) -> String {
    let text: String = text.chars().filter(|letter| *letter != '`' && !letter.is_control()).collect();
    format!("`{}`", legible(&text))
}

#[cfg(test)]
mod tests;
