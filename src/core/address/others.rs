//! Messages in a coworker's thread that are not for it (C5): addressed to somebody else, or without words.

use std::collections::BTreeSet;

use ruma::{OwnedUserId, UserId};

use super::{
    CoworkerHere, Message, MessageKind, OwnWords, after_quote,
    asking::is_question,
    ending::{called_at_end, may_call_at_end, speaks_to_somebody},
    everyday::{ANSWERS, GREETINGS},
    inflected,
    letters::is_word,
    members::{Member, is_name, members_named, name_parts, unspaced_parts, untitled, whole_names, without_umlauts},
    own_words::linked_user,
    salutations::calls_everybody,
    spelling::{CALLING, is_call, is_vocative, name_at_start},
};
use crate::core::legible::is_hidden;

/// Most bytes of several people's names at the start of a message.
const NAMES_BYTES_MAX: usize = 200;

/// Returns who is called if a text opens with somebody other than its sender and the coworkers: by a pill, an id, any
/// word with an `@`, a member's name, or everybody together; or if it ends with a member's name as a call. The set is
/// empty if it is unknown who that is. `asked_back` says whether the coworker asked something, which the text may answer.
pub(super) fn called_another(
    message: &Message,
    sender: &UserId,
    members: &[Member<'_>],
    coworkers: &[CoworkerHere<'_>],
    asked_back: Option<bool>,
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
    let others: Vec<&Member<'_>> = members.iter().filter(|member| is_other(member.user)).collect();
    let answers = asked_back == Some(true);
    let names_ours = |text: &str| coworkers.iter().any(|coworker| coworker.name_at_start(text).is_some());
    let opened = openings(text).filter(|(text, _)| !names_ours(text)).find_map(|(text, greeted)| {
        let opening = Opening::of(text, greeted);
        let named = others.iter().filter(|member| opening.names(member));
        let mut named: BTreeSet<OwnedUserId> = named.map(|member| member.user.to_owned()).collect();
        if named.is_empty() {
            named = several_named(text, &others);
        }
        let everybody = || (greeted || !answers) && calls_everybody(text, greeted);
        (!named.is_empty() || is_called_with_at(text, sender) || everybody()).then_some(named)
    });
    opened.or_else(|| {
        if answers && !speaks_to_somebody(text) || names_ours(text) {
            return None;
        }
        Some(called_at_end(text, &others, members)).filter(|called| !called.is_empty())
    })
}

/// Returns whether a text may be for others by words with which people also answer a question.
pub(super) fn may_answer_or_call(message: &Message) -> bool {
    let text = after_quote(&message.body);
    may_call_at_end(text) || openings(text).any(|(text, greeted)| calls_everybody(text, greeted))
}

/// Returns a text, and what follows a greeting at its start. The flag says whether the greeting marks a name behind it.
fn openings(text: &str) -> impl Iterator<Item = (&str, bool)> {
    let greeted = GREETINGS.iter().filter_map(move |greeting| {
        let start = name_at_start(text, greeting)?;
        Some((text[start.bytes..].trim_start_matches([' ', ',', '!']), !ANSWERS.contains(greeting)))
    });
    std::iter::once((text, false)).chain(greeted)
}

/// How a text opens, where it may call somebody.
struct Opening<'t> {
    text: &'t str,
    /// Whether a greeting precedes it, so that less marks a name behind it.
    greeted: bool,
    /// What follows a title.
    titled: Option<&'t str>,
    /// The word that may be a form of a name.
    called: Option<&'t str>,
}

impl<'t> Opening<'t> {
    fn of(text: &'t str, greeted: bool) -> Self {
        Self { text, greeted, titled: untitled(text), called: inflected::called_word(text) }
    }

    /// Returns whether the text calls a member. Most names are also words ("Grant access", "Max 5 lines"), so a name
    /// counts only with a mark that makes it an address; otherwise a request would vanish.
    fn names(&self, member: &Member<'_>) -> bool {
        let is_called = |name: &String| self.calls(name) || self.calls_titled(name);
        whole_names(member).iter().any(is_called) || self.names_in_part(member)
    }

    /// Returns whether the text opens with a name that is an address there.
    fn calls(&self, name: &str) -> bool {
        name_at_start(self.text, name).is_some_and(|start| is_call(self.text, &start, self.greeted))
    }

    /// Returns whether it does so behind a title.
    fn calls_titled(&self, name: &str) -> bool {
        let titled = self.titled.and_then(|text| Some((text, name_at_start(text, name)?)));
        titled.is_some_and(|(text, start)| is_call(text, &start, true))
    }

    /// Returns whether the text opens with part of a name, which counts only if it is clearly an address.
    fn names_in_part(&self, member: &Member<'_>) -> bool {
        if name_parts(member).any(|part| {
            let spelled = without_umlauts(part);
            let forms = || std::iter::once(part).chain(spelled.as_deref());
            let is_called = || {
                forms().any(|form| self.calls(form)) || self.called.is_some_and(|word| inflected::is_form(word, part))
            };
            is_called() && is_name(part) || forms().any(|form| self.calls_titled(form))
        }) {
            return true;
        }
        // In a name without spaces, the text before an honorific or a colon is the family or the given name.
        let text = self.text.trim_start_matches(is_hidden);
        let is_called = |part: &str| {
            name_at_start(text, part).is_some_and(|start| {
                let is_alone = part.chars().count() > 1 && text[start.bytes..].starts_with(CALLING);
                (start.titled || is_alone) && is_vocative(text, &start)
            })
        };
        unspaced_parts(member).any(is_called)
    }
}

/// Returns the members called together at the start of a text: `Anna & Bob:`, `Anna/Bob:`, `Anna and Bob,`.
fn several_named(text: &str, others: &[&Member<'_>]) -> BTreeSet<OwnedUserId> {
    let text = text.trim_start_matches(is_hidden);
    let head = text.find(CALLING).map_or("", |end| &text[..end]);
    if head.len() > NAMES_BYTES_MAX { BTreeSet::new() } else { members_named(head, others).unwrap_or_default() }
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
            !is_question(text) && !text.split_whitespace().any(is_word)
        }
    }
}
