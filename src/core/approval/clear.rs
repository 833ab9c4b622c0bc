//! What people say to a card: what decides about it, and what could be a decision and is not clear enough (C12).

use ruma::EventId;

use super::{Choice, choice_of_key};
use crate::core::{
    address::after_quote,
    command::typed,
    event::{EventKind, Message, MessageKind, RoomEvent},
    legible::is_hidden,
    words::{approval as words, deciding},
};

/// So many words may a reply have that is taken for an attempt to decide; a longer one is a message.
const UNCLEAR_WORDS_MAX: usize = 4;
/// Reactions that people decide with elsewhere. None of them says yes beyond doubt.
const UNCLEAR_KEYS: [&str; 14] = ["👍", "👎", "👌", "✔", "☑", "✖", "❎", "🆗", "👏", "🙏", "💯", "🚫", "⛔", "🤝"];

/// Returns what a plain word decides, in a thread or in reply to a card: the very word, whatever mark is behind it.
pub(super) fn choice_of_word(message: &Message) -> Option<Choice> {
    let said = words_of(message)?;
    let is = |word: &&str| **word == said;
    match () {
        () if words::APPROVE.iter().any(is) => Some(Choice::Approve),
        () if words::DECLINE.iter().any(is) => Some(Choice::Decline),
        () => choice_of_key(after_quote(&message.body).trim()),
    }
}

/// Returns what a reply to a card decides: what cannot be meant in another way. Declining is always safe, so more says no
/// than yes.
pub(super) fn choice_of_reply(message: &Message) -> Option<Choice> {
    let said = words_of(message)?.replace([',', '，'], "");
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    let is = |word: &&str| **word == said;
    choice_of_word(message).or_else(|| match () {
        () if deciding::YES.iter().any(is) => Some(Choice::Approve),
        () if deciding::NO.iter().any(is) => Some(Choice::Decline),
        () if matches!(said.trim_end_matches(is_tone), "👎" | "✖" | "🚫" | "⛔" | "🛑") => {
            Some(Choice::Decline)
        }
        () => None,
    })
}

/// Returns what an event is about that may be meant to decide and does not do so clearly: a short reply, or a reaction with
/// another emoji. Whoever sent it is to be told how to decide; it never decides.
#[must_use]
pub fn unclear_choice_of(event: &RoomEvent) -> Option<&EventId> {
    match &event.kind {
        EventKind::Reaction { target, key } => {
            UNCLEAR_KEYS.contains(&key.trim_end_matches(is_tone)).then_some(&**target)
        }
        EventKind::Message(message) if choice_of_reply(message).is_none() => {
            let to = message.reply_to.as_deref()?;
            let said = words_of(message)?;
            let is_short = said.split_whitespace().count() <= UNCLEAR_WORDS_MAX;
            let asks = message.body.trim_end().ends_with(['?', '？']) || said.starts_with('!');
            (is_short && !asks && !said.is_empty()).then_some(to)
        }
        _ => None,
    }
}

fn words_of(message: &Message) -> Option<String> {
    (message.kind == MessageKind::Text).then(|| typed(after_quote(&message.body)))
}

/// Skin tones and variation selectors.
fn is_tone(letter: char) -> bool {
    is_hidden(letter) || ('\u{1f3fb}'..='\u{1f3ff}').contains(&letter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::approval::tests::{event, reaction, reply};

    #[test]
    fn c12_a_reply_decides_where_it_cannot_be_meant_otherwise_and_asks_for_a_clear_word_elsewhere() {
        let (yes, no, unclear, message) = (Some(Choice::Approve), Some(Choice::Decline), true, false);
        let table = [
            ("yes please", yes, message),
            ("Yes, please!", yes, message),
            ("yes, do it.", yes, message),
            ("Ja", yes, message),
            ("ja bitte", yes, message),
            ("oui", yes, message),
            ("**yes**", yes, message),
            ("no thanks", no, message),
            ("Nein!", no, message),
            ("nope", no, message),
            ("👎🏽", no, message),
            ("🛑", no, message),
            ("ok", None, unclear),
            ("Okay.", None, unclear),
            ("👍", None, unclear),
            ("👌🏾", None, unclear),
            ("sure", None, unclear),
            ("y", None, unclear),
            ("yes, but later", None, unclear),
            ("yes no", None, unclear),
            ("уes", None, unclear),
            ("not now", None, unclear),
            ("what does it do?", None, message),
            ("!help", None, message),
            ("please restart the other one, this one is fine", None, message),
            ("", None, message),
        ];
        for (body, choice, is_unclear) in table {
            let said = event("@alice:hs", EventKind::Message(reply(body)));
            assert_eq!(choice_of_reply(&reply(body)), choice, "{body}");
            assert_eq!(unclear_choice_of(&said).is_some(), is_unclear, "{body}");
        }
        for (key, is_unclear) in [("👍🏽", true), ("✔️", true), ("👌", true), ("✅", false), ("🛑", false), ("🎉", false)]
        {
            assert_eq!(unclear_choice_of(&reaction("@alice:hs", key)).is_some(), is_unclear, "{key}");
        }
        let plain = event("@alice:hs", EventKind::Message(Message::text("ok")));
        assert_eq!(unclear_choice_of(&plain), None, "it is in reply to nothing");
    }
}
