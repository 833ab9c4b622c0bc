//! Whether an answer asks something back, so that a nod answers it.

use super::super::{MessageKind, after_quote, asking, letters};
use crate::core::event::{EventKind, RoomEvent};

/// Characters at an answer's end, of which the last sentences may ask something back.
const ASKS_BACK_CHARS: usize = 400;
const SENTENCES_MAX: usize = 2;

/// Words with which an answer offers what a bare yes accepts, without a question mark.
const OFFERS: [&str; 27] = [
    "let me know",
    "tell me",
    "if you want",
    "if you like",
    "if you'd like",
    "if you wish",
    "if you prefer",
    "i can ",
    "i could ",
    "say the word",
    "`yes`",
    "`no`",
    "sag ",
    "wenn du ",
    "wenn sie ",
    "falls du ",
    "ich kann ",
    "si tu ",
    "si vous ",
    "je peux ",
    "si quieres",
    "puedo ",
    "если ",
    "могу ",
    "よければ",
    "如果",
    "원하시면",
];

/// Where the message that a nod answers is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answered<'a> {
    /// It is this message.
    Message(&'a ruma::EventId),
    /// The newest message of this thread.
    Thread(&'a ruma::EventId),
    /// The newest message of the chat.
    Chat,
}

/// Returns whether the message that a nod answers asks something back; `None` if `events`, oldest first, do not contain
/// it. `is_ours` says whose messages are answers.
#[must_use]
pub(crate) fn asked_back(
    events: &[RoomEvent],
    answered: Answered<'_>,
    is_ours: impl Fn(&ruma::UserId) -> bool,
) -> Option<bool> {
    let said =
        events.iter().rev().filter(|event| is_ours(&event.sender)).find_map(|event| match (&event.kind, answered) {
            (EventKind::Message(message), Answered::Message(id)) if event.id == id => Some(message),
            (EventKind::Edit { target, new, .. }, Answered::Message(id)) if target == id => Some(new),
            (EventKind::Message(message), Answered::Thread(root))
                if message.thread_root.as_deref() == Some(root) && message.kind == MessageKind::Text =>
            {
                Some(message)
            }
            (EventKind::Message(message) | EventKind::Edit { new: message, .. }, Answered::Chat)
                if message.kind == MessageKind::Text =>
            {
                Some(message)
            }
            _ => None,
        })?;
    let text = after_quote(&said.body);
    let from = text.char_indices().rev().nth(ASKS_BACK_CHARS - 1).map_or(0, |(at, _)| at);
    let sentences = text[from..].split_inclusive(['.', '!', '?', ':', '\n', '。', '！', '？', '：', '؟', '।']).rev();
    let sentences = sentences.map(str::trim).filter(|sentence| sentence.chars().any(letters::is_letter));
    let mut last = sentences.take(SENTENCES_MAX);
    // A sentence that only repeats a person's question asks them nothing.
    let repeats = |sentence: &str| {
        let theirs = |event: &&RoomEvent| !is_ours(&event.sender);
        let repeats =
            |event: &RoomEvent| matches!(&event.kind, EventKind::Message(message) if message.body.contains(sentence));
        events.iter().filter(theirs).any(repeats)
    };
    Some(last.any(|sentence| (asking::is_question(sentence) || names_consent(sentence)) && !repeats(sentence)))
}

/// Returns whether a sentence names the word with which to continue ("Reply `ok` and I restart it.") or offers
/// something ("I can restart it.").
fn names_consent(sentence: &str) -> bool {
    let lower = sentence.to_lowercase().replace('’', "'");
    if OFFERS.iter().any(|offer| lower.contains(offer)) {
        return true;
    }
    let mut words = sentence.split(|letter: char| !letter.is_alphanumeric());
    words.any(|word| ["ok", "okay", "confirm", "reply"].iter().any(|name| word.eq_ignore_ascii_case(name)))
}
