//! Messages in a coworker's thread that are not for it (C5): addressed to somebody else, or without words.

use std::collections::BTreeSet;

use ruma::{OwnedUserId, UserId};

use super::{
    CoworkerHere, Message, MessageKind, OwnWords, after_quote,
    own_words::linked_user,
    spelling::{self, calls_clearly, is_same, is_unspaced, is_vocative, name_at_start},
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

/// Everyday words, which address nobody as a part of a name.
const EVERYDAY: [&str; 57] = [
    "a", "all", "an", "and", "any", "are", "but", "can", "could", "did", "do", "does", "for", "had", "has", "have",
    "he", "help", "her", "here", "his", "how", "i", "if", "in", "is", "it", "its", "just", "me", "might", "must", "my",
    "no", "not", "now", "of", "ok", "on", "or", "our", "please", "she", "should", "so", "test", "that", "the", "they",
    "this", "to", "we", "what", "when", "why", "would", "yes",
];

/// Words between the names of several people.
const BETWEEN: [&str; 14] = ["&", "+", "/", "and", "und", "et", "y", "e", "i", "en", "og", "och", "ve", "и"];

/// Most bytes of several people's names at the start of a message.
const NAMES_BYTES_MAX: usize = 200;

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

/// Those of them that also begin an answer: "ok skip", "yes, grant access".
const ANSWERS: [&str; 5] = ["ok", "okay", "yes", "yeah", "no"];

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
        let words = OwnWords::of_unstruck_html(html);
        let linked = words.leading_link().and_then(|(href, _)| linked_user(href));
        if let Some(user) = linked.filter(|user| is_other(user)) {
            return Some([user].into());
        }
    }
    let text = after_quote(&message.body);
    let greeted = GREETINGS.iter().filter_map(|greeting| {
        let start = name_at_start(text, greeting)?;
        Some((text[start.bytes..].trim_start_matches([' ', ',', '!']), !ANSWERS.contains(greeting)))
    });
    let others: Vec<&Member<'_>> = members.iter().filter(|member| is_other(member.user)).collect();
    std::iter::once((text, false)).chain(greeted).find_map(|(text, greeted)| {
        if coworkers.iter().any(|coworker| coworker.name_at_start(text).is_some()) {
            return None;
        }
        let named = others.iter().filter(|member| is_named(text, member, greeted));
        let mut named: BTreeSet<OwnedUserId> = named.map(|member| member.user.to_owned()).collect();
        if named.is_empty() {
            named = several_named(text, &others);
        }
        (!named.is_empty() || is_called_with_at(text, sender)).then_some(named)
    })
}

/// Returns a member's whole names: as displayed, without additions (`Bob Stone (ops)`), and the user id.
fn whole_names<'a>(member: &Member<'a>) -> [&'a str; 4] {
    let display = member.name.unwrap_or_default().trim();
    let bare = [" (", " [", " |", " ·", " /"].iter().filter_map(|mark| display.find(mark)).min();
    let bare = bare.map_or("", |end| display[..end].trim());
    [display, bare, member.user.localpart(), member.user.as_str()]
}

/// Returns whether a text calls a member at its start. Most names are also words ("Grant access", "Max 5 lines"), so a
/// name counts only with a mark that makes it an address; otherwise a request would vanish.
fn is_named(text: &str, member: &Member<'_>, greeted: bool) -> bool {
    let mut whole = whole_names(member).into_iter().filter(|name| !name.is_empty());
    whole.any(|name| calls(text, name, greeted))
        || is_named_in_part(text, member.name.unwrap_or_default().trim(), greeted)
}

/// Returns whether a text opens with a name that is an address there; after a greeting or a title, less marks it as one.
fn calls(text: &str, name: &str, expected: bool) -> bool {
    name_at_start(text, name).is_some_and(|start| calls_clearly(text, &start) || expected && is_vocative(text, &start))
}

/// Returns the members called together at the start of a text: `Anna & Bob:`, `Anna/Bob:`, `Anna and Bob,`.
fn several_named(text: &str, others: &[&Member<'_>]) -> BTreeSet<OwnedUserId> {
    let none = BTreeSet::new;
    let text = text.trim_start_matches(is_hidden);
    let Some(head) = text.find(spelling::CALLING).map(|end| &text[..end]) else { return none() };
    if head.len() > NAMES_BYTES_MAX {
        return none();
    }
    let spaced = head.replace('/', " / ").replace('&', " & ").replace('+', " + ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let between = |word: &&str| BETWEEN.iter().any(|between| is_same(word, between));
    if !words.iter().any(between) {
        return none();
    }
    let mut called = none();
    for name in words.split(between) {
        let name = name.join(" ");
        let name = name.trim_start_matches(['@', '＠']);
        let is_meant = |member: &&&Member<'_>| {
            let display = member.name.unwrap_or_default();
            let mut names = whole_names(member).into_iter().chain(display.split_whitespace());
            !name.is_empty() && names.any(|own| is_same(own, name))
        };
        let meant: Vec<_> = others.iter().filter(is_meant).collect();
        if meant.is_empty() {
            return none();
        }
        called.extend(meant.into_iter().map(|member| member.user.to_owned()));
    }
    called
}

/// Returns whether a text opens with part of a name, which counts only if it is clearly an address.
fn is_named_in_part(text: &str, display: &str, greeted: bool) -> bool {
    let title = TITLES.iter().filter_map(|title| {
        let start = text.split_whitespace().next().filter(|first| is_same(first, title))?;
        Some(text.trim_start()[start.len()..].trim_start())
    });
    let titled = title.max();
    let mut parts = display.split_whitespace().map(|part| part.trim_matches(|letter: char| !letter.is_alphanumeric()));
    if parts.any(|part| {
        let is_name =
            part.chars().count() > 1 && part.len() < display.len() && !EVERYDAY.iter().any(|word| is_same(part, word));
        is_name && calls(text, part, greeted) || !part.is_empty() && titled.is_some_and(|text| calls(text, part, true))
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
    let is_emoticon = shown.len() <= 4 && shown.starts_with([':', ';', '='])
        || matches!(shown, "xD" | "XD" | "xd" | "<3" | "(y)" | "(Y)");
    let is_keycap = shown.contains('\u{20e3}');
    let is_vote = matches!(shown, "+1" | "-1" | "+1!" | "++" | "--");
    !(is_shortcode || is_emoticon || is_keycap || is_vote) && shown.chars().any(is_letter)
}

/// Returns whether a character is a letter or digit and not an emoji.
pub(super) fn is_letter(letter: char) -> bool {
    let is_emoji = matches!(letter, '\u{2139}' | '\u{24c2}' | '\u{3297}' | '\u{3299}' | '\u{1f000}'..='\u{1faff}');
    letter.is_alphanumeric() && !is_emoji
}
