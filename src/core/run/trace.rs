//! The record of a run in its thread: one line, and every step folded behind it (C13).
//!
//! Steps contain words of tools and of the model. They are shown as code, notify nobody, and cannot break out of their
//! place.

use std::fmt::Write as _;

use super::Outcome;
use crate::core::{
    audit::Spent,
    legible::legible,
    mask::Mask,
    names::Names,
    render::{self, EDIT_BYTES_MAX, Rendered},
    trail::{Decision, StepOutcome, TrailStep},
    words::trail as words,
    zone::Zone,
};

/// Most steps shown in a record; the newest beyond it are only counted.
const STEPS_SHOWN_MAX: usize = 40;
/// Characters shown of a call's arguments and of its result. The first pair with which all steps fit is used, else the
/// last.
const CHARS_MAX: [(usize, usize); 3] = [(2_000, 500), (500, 300), (200, 100)];
/// Characters shown of a tool's name, which the model may have made up.
const TOOL_CHARS_MAX: usize = 64;
/// Room for the first line, the frame and the count of further steps, in bytes of JSON.
const FRAME_BYTES: usize = 1_500;

/// What the record shows of an ended run.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// Its tool calls, in order.
    pub steps: &'a [TrailStep],
    /// How it ended.
    pub outcome: Outcome,
    /// The model that answered, where it is not the configured one because that refused.
    pub fallback: Option<&'a str>,
    /// How long it took since its acceptance, in milliseconds.
    pub duration_ms: u64,
    /// Its usage of the model.
    pub spent: Spent,
    /// Hides secrets that have come this far.
    pub mask: &'a Mask,
    /// The names of the people who decided.
    pub names: &'a Names,
    /// The zone for the times of decisions.
    pub zone: &'a Zone,
}

/// Returns a run's record, small enough for an edit in an encrypted room.
#[must_use]
pub(in crate::core) fn record(run: &Ended<'_>) -> Rendered {
    let head = words::head(run.outcome, run.duration_ms, run.steps.len(), &run.spent);
    let head = words::with_fallback(head, run.fallback.map(legible).as_deref());
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

/// Returns as many steps as fit, and their number.
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

/// Returns a step as part of the body and as a list item. Its lines are inline code, which clients wrap; a code block
/// would be cut off on a phone.
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

/// Keeps consecutive spaces visible in clients that collapse them.
fn with_spaces(html: &str) -> String {
    html.replace("  ", " \u{a0}")
}

/// Returns who decided what, and when. `None` if it expired, because the step's end says that.
fn decided(decision: &Decision, run: &Ended<'_>) -> Option<Rendered> {
    let (by, word, at) = match decision {
        Decision::Approved { by, at } => (by, words::APPROVED_BY, at),
        Decision::Declined { by, at } | Decision::Left { by, at } => (by, words::DECLINED_BY, at),
        Decision::Expired => return None,
    };
    Some(render::own(&format!(", {word} {}, {}", run.names.of(by), run.zone.date(*at))))
}

/// Masks, then makes invisible characters visible, then folds. In this order no fold can split a secret or an escape.
fn folded(text: &str, chars_max: usize, mask: &Mask) -> String {
    words::folded(&legible(&mask.hide(text)), chars_max)
}

/// Returns a run's outcome: declined if people were asked about calls and let none of them run.
#[must_use]
pub(in crate::core) fn outcome_of(ended: Outcome, steps: &[TrailStep]) -> Outcome {
    let mut asked = steps.iter().filter(|step| step.decision.is_some()).peekable();
    let refused = |step: &TrailStep| matches!(step.outcome, StepOutcome::Declined | StepOutcome::Expired);
    let declined = asked.peek().is_some() && asked.all(refused);
    if ended == Outcome::Done && declined { Outcome::Declined } else { ended }
}

#[cfg(test)]
mod tests;
