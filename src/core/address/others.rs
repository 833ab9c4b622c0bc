//! Messages in a coworker's thread that are not for it (C5): addressed to somebody else, or without words.

use std::collections::BTreeSet;

use ruma::{OwnedUserId, UserId};

use super::{
    CoworkerHere, Message, MessageKind, OwnWords, after_quote,
    own_words::linked_user,
    spelling::{self, is_same, is_unspaced, is_vocative, name_at_start},
};
use crate::core::legible::is_hidden;

/// A member of the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// The full user id.
    pub user: &'a UserId,
    /// The display name, if any.
    pub name: Option<&'a str>,
}

/// Names that are everyday words: without an `@`, `:` or `,` they address nobody.
const EVERYDAY: [&str; 60] = [
    "a", "all", "an", "and", "any", "are", "but", "can", "could", "did", "do", "does", "for", "had", "has", "have",
    "he", "help", "her", "here", "his", "how", "i", "if", "in", "is", "it", "its", "just", "mark", "may", "me",
    "might", "must", "my", "no", "not", "now", "of", "ok", "on", "or", "our", "please", "she", "should", "so", "test",
    "that", "the", "they", "this", "to", "we", "what", "when", "why", "will", "would", "yes",
];

/// Words with which people begin to address somebody.
const GREETINGS: [&str; 40] = [
    "hey",
    "hi",
    "hello",
    "thanks",
    "thx",
    "thank you",
    "ok",
    "okay",
    "yes",
    "yeah",
    "no",
    "sorry",
    "dear",
    "morning",
    "good morning",
    "hallo",
    "moin",
    "danke",
    "liebe",
    "lieber",
    "merci",
    "bonjour",
    "salut",
    "cher",
    "chère",
    "hola",
    "gracias",
    "olá",
    "ciao",
    "grazie",
    "cześć",
    "привет",
    "спасибо",
    "merhaba",
    "selam",
    "مرحبا",
    "يا",
    "שלום",
    "こんにちは",
    "おはよう",
];

/// Titles before a name, with which a surname alone counts.
const TITLES: [&str; 30] = [
    "mr", "mr.", "mrs", "mrs.", "ms", "ms.", "miss", "mx", "dr", "dr.", "prof", "prof.", "herr", "frau", "hr.", "fr.",
    "monsieur", "madame", "m.", "mme", "señor", "señora", "sr.", "sra.", "signor", "signora", "pan", "pani", "anh",
    "chị",
];

/// Returns who is called if a text opens with somebody other than its sender and the coworkers: by a pill, an id, any
/// word with an `@`, or a member's name. The set is empty if it is unknown who that is.
pub(super) fn called_another(
    message: &Message,
    sender: &UserId,
    members: &[Member<'_>],
    coworkers: &[CoworkerHere<'_>],
) -> Option<BTreeSet<OwnedUserId>> {
    let is_other = |user: &UserId| user != sender && !coworkers.iter().any(|coworker| coworker.user == user);
    if let Some(html) = &message.html {
        let words = OwnWords::of_html(html);
        let linked = words.leading_link().and_then(|(href, _)| linked_user(href));
        if let Some(user) = linked.filter(|user| is_other(user)) {
            return Some([user].into());
        }
    }
    let text = after_quote(&message.body);
    let greeted = GREETINGS.iter().filter_map(|greeting| {
        let start = name_at_start(text, greeting)?;
        Some(text[start.bytes..].trim_start_matches([' ', ',', '!']))
    });
    std::iter::once(text).chain(greeted).find_map(|text| {
        if coworkers.iter().any(|coworker| coworker.name_at_start(text).is_some()) {
            return None;
        }
        let named = members.iter().filter(|member| is_other(member.user) && is_named(text, member));
        let named: BTreeSet<OwnedUserId> = named.map(|member| member.user.to_owned()).collect();
        (!named.is_empty() || is_called_with_at(text, sender)).then_some(named)
    })
}

/// Returns whether a text opens with a member's name and does not only talk about them (`Bob is away`).
fn is_named(text: &str, member: &Member<'_>) -> bool {
    let display = member.name.unwrap_or_default().trim();
    // Additions to display names: `Bob Stone (ops)`.
    let bare = [" (", " [", " |", " ·", " /"].iter().filter_map(|mark| display.find(mark)).min();
    let bare = bare.map_or("", |end| display[..end].trim());
    let whole = [display, bare, member.user.localpart(), member.user.as_str()];
    let by_whole_name = whole.iter().filter(|name| !name.is_empty()).any(|name| {
        let is_everyday = name.chars().count() < 2 || EVERYDAY.iter().any(|word| is_same(name, word));
        name_at_start(text, name).is_some_and(|start| {
            let may_be = !is_everyday && !spelling::states(&text[start.bytes..]);
            may_be || is_vocative(text, &start)
        })
    });
    by_whole_name || is_named_in_part(text, display)
}

/// Returns whether a text opens with part of a name, which counts only if it is clearly an address.
fn is_named_in_part(text: &str, display: &str) -> bool {
    let calls = |text: &str, part: &str| name_at_start(text, part).is_some_and(|start| is_vocative(text, &start));
    let title = TITLES.iter().filter_map(|title| {
        let start = text.split_whitespace().next().filter(|first| is_same(first, title))?;
        Some(text.trim_start()[start.len()..].trim_start())
    });
    let titled = title.max();
    let mut parts = display.split_whitespace().map(|part| part.trim_matches(|letter: char| !letter.is_alphanumeric()));
    if parts.any(|part| {
        let is_name =
            part.chars().count() > 1 && part.len() < display.len() && !EVERYDAY.iter().any(|word| is_same(part, word));
        is_name && calls(text, part) || !part.is_empty() && titled.is_some_and(|text| calls(text, part))
    }) {
        return true;
    }
    // In a name without spaces, the text before an honorific is part of the name: the family or the given name.
    let text = text.trim_start_matches(is_hidden);
    is_unspaced(display)
        && display.char_indices().skip(1).any(|(at, _)| {
            [&display[..at], &display[at..]]
                .into_iter()
                .any(|part| name_at_start(text, part).is_some_and(|start| start.honoured && is_vocative(text, &start)))
        })
}

/// Returns whether a text starts with an unknown `@somebody`, `@here` and the like.
fn is_called_with_at(text: &str, sender: &UserId) -> bool {
    let Some(rest) = text.trim_start_matches(is_hidden).strip_prefix(['@', '＠']) else { return false };
    let is_sender = name_at_start(rest, sender.localpart()).is_some();
    rest.starts_with(char::is_alphanumeric) && !is_sender
}

/// Returns whether a message has no words: emoji, marks, a file without a caption. A voice message has words.
pub(super) fn says_nothing(message: &Message) -> bool {
    match &message.kind {
        MessageKind::Attachment { voice: true, .. } => false,
        _ if message.is_uncaptioned() => true,
        // A lone question mark asks.
        _ => {
            let text = after_quote(&message.body);
            !spelling::is_question(text) && !text.split_whitespace().any(is_word)
        }
    }
}

pub(super) fn is_word(token: &str) -> bool {
    let shown = token.trim_matches(is_hidden);
    let is_shortcode = shown.len() > 2 && shown.starts_with(':') && shown.ends_with(':');
    let is_emoticon =
        shown.len() <= 4 && shown.starts_with([':', ';', '=']) || matches!(shown, "xD" | "XD" | "xd" | "<3");
    let is_keycap = shown.contains('\u{20e3}');
    let is_vote = matches!(shown, "+1" | "-1" | "+1!" | "++" | "--");
    !(is_shortcode || is_emoticon || is_keycap || is_vote) && shown.chars().any(is_letter)
}

/// Returns whether a character is a letter or digit and not an emoji.
pub(super) fn is_letter(letter: char) -> bool {
    let is_emoji = matches!(letter, '\u{2139}' | '\u{24c2}' | '\u{3297}' | '\u{3299}' | '\u{1f000}'..='\u{1faff}');
    letter.is_alphanumeric() && !is_emoji
}
