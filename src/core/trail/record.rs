//! The record of a run that stays in its thread: one line, and behind it every step (C13).
//!
//! Steps are words of tools and of the model: they are shown as code, call nobody, and cannot leave their place.

use std::fmt::Write as _;

use super::{Decision, StepOutcome, TrailStep};
use crate::core::{
    audit::Spent,
    legible::legible,
    mask::Mask,
    names::Names,
    render::{self, EDIT_BYTES_MAX, Rendered},
    run::Outcome,
    words::trail as words,
    zone::Zone,
};

/// The most steps that a record shows; the newest ones are only counted.
const STEPS_SHOWN_MAX: usize = 40;
/// So much of a call's arguments is shown, and of its result, in characters: the first of these with which all steps
/// have a place, or the last.
const CHARS_MAX: [(usize, usize); 3] = [(2_000, 500), (500, 300), (200, 100)];
/// A tool's name, which is the model's word for it, in characters.
const TOOL_CHARS_MAX: usize = 64;
/// What the first line, the frame and the word about more steps take at the most, in bytes of JSON.
const FRAME_BYTES: usize = 1_500;

/// A run that ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// Its tool calls, in order.
    pub steps: &'a [TrailStep],
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took since it was accepted, in milliseconds.
    pub duration_ms: u64,
    /// What it used of the model.
    pub spent: Spent,
    /// Hides what is no tool's and no person's business, should it have come this far.
    pub mask: &'a Mask,
    /// What the people are called who decided.
    pub names: &'a Names,
    /// The zone in which their times are shown.
    pub zone: &'a Zone,
}

/// Returns the record of a run, small enough for an edit in an encrypted room.
#[must_use]
pub fn record(run: &Ended<'_>) -> Rendered {
    let head = words::head(run.outcome, run.duration_ms, run.steps.len(), &run.spent);
    if run.steps.is_empty() {
        return Rendered { html: Some(format!("<em>{}</em>", render::outside_html(&head))), body: head };
    }
    let (mut steps, mut shown) = (Rendered::default(), 0);
    for chars_max in CHARS_MAX {
        (steps, shown) = shown_steps(run, chars_max);
        if shown == run.steps.len() {
            break;
        }
    }
    let mut body = format!("{head}{}", steps.body);
    let mut rest = String::new();
    if shown < run.steps.len() {
        let more = words::more_steps(run.steps.len() - shown);
        body = format!("{body}\n{more}");
        rest = format!("<p>{more}</p>");
    }
    let items = steps.html.unwrap_or_default();
    let html = format!("<details><summary>{}</summary><ol>{items}</ol>{rest}</details>", render::outside_html(&head));
    Rendered { body, html: Some(render::sanitised(&html)) }
}

/// As many steps as have a place, and how many that are.
fn shown_steps(run: &Ended<'_>, chars_max: (usize, usize)) -> (Rendered, usize) {
    let (mut body, mut items) = (String::new(), String::new());
    let mut bytes_left = EDIT_BYTES_MAX - FRAME_BYTES;
    let mut shown = 0;
    for (number, step) in (1_usize..).zip(run.steps).take(STEPS_SHOWN_MAX) {
        let step = shown_step(number, step, run, chars_max);
        let bytes = render::json_bytes(&step);
        if bytes > bytes_left {
            break;
        }
        bytes_left -= bytes;
        body.push_str(&step.body);
        items.push_str(&step.html.unwrap_or_default());
        shown = number;
    }
    (Rendered { body, html: Some(items) }, shown)
}

/// One step as a part of the body and as an item of the list. Lines are code that a client wraps: a block would be cut
/// off on a phone and in a narrow panel.
fn shown_step(number: usize, step: &TrailStep, run: &Ended<'_>, chars_max: (usize, usize)) -> Rendered {
    let tool = folded(&step.tool.replace(['\n', '\r'], " "), TOOL_CHARS_MAX, run.mask);
    let end = words::step_end(step.outcome, step.duration_ms);
    let decided = step.decision.as_ref().and_then(|decision| decided(decision, run)).unwrap_or_default();
    let mut body = format!("\n{number}. {}: {end}{}", render::outside_words(&tool), decided.body);
    let mut html =
        format!("<li><code>{}</code>: {end}{}", render::outside_html(&tool), decided.html.unwrap_or_default());
    let mut add = |mark: &str, text: &str| {
        for (at, line) in text.lines().filter(|line| !line.trim().is_empty()).enumerate() {
            let before = if at == 0 { mark } else { "" };
            let indent = if at == 0 || mark.is_empty() { "" } else { "  " };
            let _ = write!(body, "\n   {indent}{before}{}", render::outside_words(line));
            let _ = write!(html, "<br>{before}<code>{}</code>", with_spaces(&render::outside_html(line)));
        }
    };
    let arguments = folded(step.arguments.trim(), chars_max.0, run.mask);
    add("", &arguments);
    add("→ ", &folded(step.result.trim(), chars_max.1, run.mask));
    if step.decision.is_some() && arguments.contains(words::FOLD) {
        let _ = write!(body, "\n   {}", words::whole_on_card());
        let _ = write!(html, "<br><em>{}</em>", words::whole_on_card());
    }
    html.push_str("</li>");
    Rendered { body, html: Some(html) }
}

/// Several spaces stay several, also where a client draws them as one.
fn with_spaces(html: &str) -> String {
    html.replace("  ", " \u{a0}")
}

/// Who decided, what, and when; nobody where it expired, which the step's end says already.
fn decided(decision: &Decision, run: &Ended<'_>) -> Option<Rendered> {
    let (by, word, at) = match decision {
        Decision::Approved { by, at } => (by, words::APPROVED_BY, at),
        Decision::Declined { by, at } => (by, words::DECLINED_BY, at),
        Decision::Expired => return None,
    };
    Some(render::own(&format!(", {word} {}, {}", run.names.of(by), run.zone.date(*at))))
}

/// Masks, then writes out what cannot be seen, then folds: no fold leaves half of a secret or of an escape's meaning.
fn folded(text: &str, chars_max: usize, mask: &Mask) -> String {
    words::folded(&legible(&mask.hide(text)), chars_max)
}

/// Returns how a run ended whose steps are known: declined, where people were asked about calls and let none of them run.
#[must_use]
pub fn outcome_of(ended: Outcome, steps: &[TrailStep]) -> Outcome {
    let mut asked = steps.iter().filter(|step| step.decision.is_some()).peekable();
    let refused = |step: &TrailStep| matches!(step.outcome, StepOutcome::Declined | StepOutcome::Expired);
    let declined = asked.peek().is_some() && asked.all(refused);
    if ended == Outcome::Done && declined { Outcome::Declined } else { ended }
}

#[cfg(test)]
mod tests;
