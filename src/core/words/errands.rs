//! Texts about work that nobody asked for: the notices of webhooks and watches (C21, C22).

use ruma::UserId;

use crate::core::{
    legible::legible,
    names::{letter_by_letter, literal_name},
    origin::{Left, Origin, OriginKind},
};

/// Returns foreign words as literal Markdown on one line, cut to a length that fits a notice.
pub(super) fn literal(text: &str, chars_max: usize) -> String {
    let line = legible(&text.trim().replace(char::is_whitespace, " "));
    match line.char_indices().nth(chars_max) {
        Some((at, _)) => letter_by_letter(&format!("{}…", line[..at].trim_end())),
        None => letter_by_letter(&line),
    }
}

/// Most characters of a report's title in its notice.
const TITLE_CHARS_MAX: usize = 160;

/// Announces a delivery: which hook, and what it is about. The title and the state are the sender's words.
#[must_use]
pub(crate) fn reported(hook: &str, title: Option<&str>, state: Option<&str>) -> String {
    let hook = literal_name(hook);
    let mut text = format!("🔔 **{hook}**");
    match title.map(|title| literal(title, TITLE_CHARS_MAX)).filter(|title| !title.is_empty()) {
        Some(title) => text = format!("{text}: {title}"),
        None => text.push_str(" reported something."),
    }
    match state.map(|state| literal(state, TITLE_CHARS_MAX / 4)).filter(|state| !state.is_empty()) {
        Some(state) => format!("{text} · {state}"),
        None => text,
    }
}

/// Returns the notice at a thread's root with how its matter stands now. The state is the sender's word.
#[must_use]
pub(crate) fn standing(headline: &str, state: &str) -> String {
    format!("{headline} → **{}**", literal(state, TITLE_CHARS_MAX / 4))
}

/// Returns a notice of something that is not looked at after all.
#[must_use]
pub(crate) fn left(headline: &str, why: Left) -> String {
    let why = match why {
        Left::Muted => "I'm muted here",
        Left::Paused => "too few people are here",
        Left::TooOld => "it waited too long",
        Left::NotThere => "I can't work here",
    };
    format!("{headline} · not looked at: {why}")
}

/// Says once that what comes by itself is too much; `minutes` is how long none of its kind is taken up.
#[must_use]
pub(crate) fn too_fast(kind: OriginKind, minutes: u64) -> String {
    let what = match kind {
        OriginKind::Hook => "Webhook reports",
        OriginKind::Schedule => "Scheduled tasks",
        OriginKind::Watch => "Messages that I watch for",
    };
    format!(
        "{what} came too fast here, so I'll take up no more of them for {minutes} minutes. Mention me if something matters."
    )
}

/// Says once in a while that so much of what is watched for waits that nothing more of it is taken up.
#[must_use]
pub(crate) fn full() -> String {
    "More of what I watch for comes in here than I can look at, so I'm skipping the newest. Mention me if something matters."
        .to_owned()
}

/// Announces an event of a watched type. The type is the sender's word.
#[must_use]
pub(crate) fn seen(watch: &str, event_type: &str, sender: &UserId) -> String {
    let (watch, sender) = (literal_name(watch), literal(sender.as_str(), TITLE_CHARS_MAX));
    format!("👀 **{watch}**: {} of {sender}", literal(event_type, TITLE_CHARS_MAX))
}

/// Names what a run came from, as a link-free part of a line; Markdown.
#[must_use]
pub(crate) fn named(origin: &Origin) -> String {
    letter_by_letter(&from_origin(origin))
}

/// Names what a run came from, where nobody asked; plain text.
#[must_use]
pub(crate) fn from_origin(origin: &Origin) -> String {
    let kind = match origin.kind {
        OriginKind::Hook => "webhook",
        OriginKind::Schedule => "schedule",
        OriginKind::Watch => "watch",
    };
    format!("the {kind} {}", legible(&origin.name))
}
