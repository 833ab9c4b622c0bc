//! The record of a run that stays in its thread: one line, and behind it every step (C13).
//!
//! Steps are words of tools and of the model: they are shown as code, call nobody, and cannot leave their place.

use std::fmt::Write as _;

use super::{Decision, StepOutcome, TrailStep};
use crate::core::{
    audit::Spent,
    legible::legible,
    mask::Mask,
    render::{self, EDIT_BYTES_MAX, Rendered},
    run::Outcome,
    words::trail as words,
};

/// The most steps that a record shows; the newest ones are only counted.
const STEPS_SHOWN_MAX: usize = 40;
/// The beginning of a call's arguments, and of its result, in characters.
const ARGUMENTS_CHARS_MAX: usize = 500;
const RESULT_CHARS_MAX: usize = 300;
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
}

/// Returns the record of a run, small enough for an edit in an encrypted room.
#[must_use]
pub fn record(run: &Ended<'_>) -> Rendered {
    let head = words::head(run.outcome, run.duration_ms, run.steps.len(), &run.spent);
    if run.steps.is_empty() {
        return Rendered { html: Some(format!("<em>{}</em>", render::outside_html(&head))), body: head };
    }
    let (mut body, mut items) = (head.clone(), String::new());
    let mut bytes_left = EDIT_BYTES_MAX - FRAME_BYTES;
    let mut shown = 0;
    for (number, step) in (1_usize..).zip(run.steps).take(STEPS_SHOWN_MAX) {
        let step = shown_step(number, step, run.mask);
        let bytes = render::json_bytes(&step);
        if bytes > bytes_left {
            break;
        }
        bytes_left -= bytes;
        body.push_str(&step.body);
        items.push_str(&step.html.unwrap_or_default());
        shown = number;
    }
    let mut rest = String::new();
    if shown < run.steps.len() {
        let more = words::more_steps(run.steps.len() - shown);
        body = format!("{body}\n{more}");
        rest = format!("<p>{more}</p>");
    }
    let html = format!("<details><summary>{}</summary><ol>{items}</ol>{rest}</details>", render::outside_html(&head));
    Rendered { body, html: Some(render::sanitised(&html)) }
}

/// One step as a part of the body and as an item of the list.
fn shown_step(number: usize, step: &TrailStep, mask: &Mask) -> Rendered {
    let tool = folded(&step.tool.replace(['\n', '\r'], " "), TOOL_CHARS_MAX, mask);
    let end = words::step_end(step.outcome, step.duration_ms);
    let decided = step.decision.as_ref().map(decided);
    let said = |by: &dyn Fn(&str) -> String| match &decided {
        Some((who, word, at)) if !who.is_empty() => format!(", {word} {}, {at}", by(who)),
        _ => String::new(),
    };
    let mut body = format!("\n{number}. {}: {end}{}", render::outside_words(&tool), said(&str::to_owned));
    let mut html = format!(
        "<li><code>{}</code>: {end}{}",
        render::outside_html(&tool),
        said(&|who| format!("<code>{}</code>", render::outside_html(who)))
    );
    for (mark, text, chars_max) in [("", &step.arguments, ARGUMENTS_CHARS_MAX), ("→ ", &step.result, RESULT_CHARS_MAX)]
    {
        let text = folded(text.trim(), chars_max, mask);
        if text.is_empty() {
            continue;
        }
        let lines = render::outside_words(&text).replace('\n', "\n      ");
        let _ = write!(body, "\n   {mark}{lines}");
        let _ = write!(html, "<pre><code>{mark}{}</code></pre>", render::outside_html(&text));
    }
    html.push_str("</li>");
    Rendered { body, html: Some(html) }
}

/// Who decided, what, and when; nobody where it expired, which the step's end says already.
fn decided(decision: &Decision) -> (String, &'static str, String) {
    match decision {
        Decision::Approved { by, at } => (by.to_string(), words::APPROVED_BY, words::moment(*at)),
        Decision::Declined { by, at } => (by.to_string(), words::DECLINED_BY, words::moment(*at)),
        Decision::Expired => Default::default(),
    }
}

/// Masks, then writes out what cannot be seen, then folds: no fold leaves half of a secret or of an escape's meaning.
fn folded(text: &str, chars_max: usize, mask: &Mask) -> String {
    let text = legible(&mask.hide(text));
    match text.char_indices().nth(chars_max) {
        None => text,
        Some((end, _)) => format!("{} … {}", &text[..end], words::more_characters(text[end..].chars().count())),
    }
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
