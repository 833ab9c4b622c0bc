//! What in a coworker's thread is not for it (C5): words to somebody else there, and what says nothing.

use std::collections::BTreeSet;

use ruma::{OwnedUserId, UserId};

use super::{
    CoworkerHere, Message, MessageKind, OwnWords, after_quote,
    names::{is_vocative, name_at_start},
    own_words::linked_user,
};
use crate::core::legible::is_hidden;

/// Somebody who is in the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// Their full user id.
    pub user: &'a UserId,
    /// Their display name, where they have one.
    pub name: Option<&'a str>,
}

/// Names that are everyday words: without an `@`, `:` or `,` they name nobody.
const EVERYDAY: [&str; 60] = [
    "a", "all", "an", "and", "any", "are", "but", "can", "could", "did", "do", "does", "for", "had", "has", "have",
    "he", "help", "her", "here", "his", "how", "i", "if", "in", "is", "it", "its", "just", "mark", "may", "me",
    "might", "must", "my", "no", "not", "now", "of", "ok", "on", "or", "our", "please", "she", "should", "so", "test",
    "that", "the", "they", "this", "to", "we", "what", "when", "why", "will", "would", "yes",
];

/// Words with which people turn to somebody before they name them.
const GREETINGS: [&str; 16] = [
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
    "hallo",
    "danke",
    "merci",
    "hola",
];

/// Returns who is called where a text opens with somebody other than its sender and the coworkers: a pill, an id, any word
/// with an `@`, or a member's name. Nobody, where it is not known who that is.
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

fn is_named(text: &str, member: &Member<'_>) -> bool {
    let display = member.name.unwrap_or_default().trim();
    let whole = [display, member.user.localpart(), member.user.as_str()];
    let by_whole_name = whole.iter().filter(|name| !name.is_empty()).any(|name| {
        let is_everyday = name.chars().count() < 2 || EVERYDAY.iter().any(|word| name.eq_ignore_ascii_case(word));
        name_at_start(text, name).is_some_and(|start| !is_everyday || is_vocative(text, &start))
    });
    // A part of a name counts only where it is clear that somebody is spoken to.
    let first = display.split_whitespace().next().filter(|first| first.len() < display.len());
    let by_first_name = || name_at_start(text, first?).map(|start| is_vocative(text, &start));
    by_whole_name || by_first_name().unwrap_or_default()
}

/// `@somebody` at the start who is not known, `@here` and the like.
fn is_called_with_at(text: &str, sender: &UserId) -> bool {
    let Some(rest) = text.trim_start_matches(is_hidden).strip_prefix(['@', '＠']) else { return false };
    let is_sender = name_at_start(rest, sender.localpart()).is_some();
    rest.starts_with(char::is_alphanumeric) && !is_sender
}

/// Returns whether a message has no words: emoji, marks, a file without a caption. What somebody spoke has.
pub(super) fn says_nothing(message: &Message) -> bool {
    match &message.kind {
        MessageKind::Attachment { voice: true, .. } => false,
        _ if message.is_uncaptioned() => true,
        _ => !after_quote(&message.body).split_whitespace().any(is_word),
    }
}

fn is_word(token: &str) -> bool {
    let shown = token.trim_matches(is_hidden);
    let is_shortcode = shown.len() > 2 && shown.starts_with(':') && shown.ends_with(':');
    let is_emoticon =
        shown.len() <= 4 && shown.starts_with([':', ';', '=']) || matches!(shown, "xD" | "XD" | "xd" | "<3");
    let is_keycap = shown.contains('\u{20e3}');
    let is_vote = matches!(shown, "+1" | "-1" | "+1!" | "++" | "--");
    !(is_shortcode || is_emoticon || is_keycap || is_vote) && shown.chars().any(is_letter)
}

/// Letters and digits, but for those that are emoji.
fn is_letter(letter: char) -> bool {
    let is_emoji = matches!(letter, '\u{2139}' | '\u{24c2}' | '\u{3297}' | '\u{3299}' | '\u{1f000}'..='\u{1faff}');
    letter.is_alphanumeric() && !is_emoji
}
