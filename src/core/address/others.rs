//! Messages in a coworker's thread that are not for it (C5): addressed to somebody else, or without words.

use std::collections::BTreeSet;

use ruma::{OwnedUserId, UserId};

use super::{
    CoworkerHere, Message, MessageKind, OwnWords, after_quote,
    asking::is_question,
    ending::{called_at_end, may_call_at_end, speaks_to_somebody},
    folding::{is_any, is_same},
    inflected, nods,
    own_words::linked_user,
    salutations::calls_everybody,
    spelling::{CALLING, is_call, is_unspaced, is_vocative, name_at_start},
};
use crate::core::legible::is_hidden;

/// A member of the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member<'a> {
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
pub(super) const GREETINGS: [&str; 40] = [
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
pub(super) const ANSWERS: [&str; 5] = ["ok", "okay", "yes", "yeah", "no"];

/// Titles before a name, with which a surname alone counts.
const TITLES: [&str; 44] = [
    "captain",
    "capt",
    "capt.",
    "sir",
    "madam",
    "ma'am",
    "coach",
    "boss",
    "أستاذ",
    "أستاذة",
    "دكتور",
    "دكتورة",
    "uncle",
    "doctor",
    "mr",
    "mr.",
    "mrs",
    "mrs.",
    "ms",
    "ms.",
    "miss",
    "mx",
    "dr",
    "dr.",
    "prof",
    "prof.",
    "herr",
    "frau",
    "hr.",
    "fr.",
    "monsieur",
    "madame",
    "m.",
    "mme",
    "señor",
    "señora",
    "sr.",
    "sra.",
    "signor",
    "signora",
    "pan",
    "pani",
    "anh",
    "chị",
];

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

/// Returns a member's whole names: as displayed, without additions (`Bob Stone (ops)`) and titles, and the user id; also
/// as typed without umlauts.
fn whole_names(member: &Member<'_>) -> Vec<String> {
    let display = member.name.unwrap_or_default().trim();
    let bare = [" (", " [", " |", " ·", " /"].iter().filter_map(|mark| display.find(mark)).min();
    let bare = bare.map_or("", |end| display[..end].trim());
    let mut names: Vec<String> =
        [display, bare, untitled(display).unwrap_or_default(), member.user.localpart(), member.user.as_str()]
            .into_iter()
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
    let spelled: Vec<_> = names.iter().filter_map(|name| without_umlauts(name)).collect();
    names.extend(spelled);
    names
}

/// Returns a member's names and the words of the displayed one that are names.
pub(super) fn names_of(member: &Member<'_>) -> Vec<String> {
    let mut names = whole_names(member);
    let parts = name_parts(member).filter(|part| is_name(part));
    names.extend(parts.flat_map(|part| [Some(part.to_owned()), without_umlauts(part)]).flatten());
    names
}

/// Returns the words of a member's displayed name.
fn name_parts<'m>(member: &Member<'m>) -> impl Iterator<Item = &'m str> {
    let words = member.name.unwrap_or_default().split_whitespace();
    words.map(|word| word.trim_matches(|letter: char| !letter.is_alphanumeric())).filter(|part| !part.is_empty())
}

/// Returns whether a part of a display name is a name.
fn is_name(part: &str) -> bool {
    part.chars().count() > 1 && !is_any(part, &EVERYDAY) && !is_any(part, &TITLES)
}

/// Returns whether a text is an everyday word, a greeting or a nod, which is nobody's name.
pub(super) fn is_everyday(text: &str) -> bool {
    is_any(text, &GREETINGS) || is_any(text, &EVERYDAY) || nods::is_phrase(text)
}

/// Returns the family and the given name of a name without spaces, wherever it may be parted.
pub(super) fn unspaced_parts<'m>(member: &Member<'m>) -> impl Iterator<Item = &'m str> {
    let display = member.name.unwrap_or_default().trim();
    let display = if display.chars().all(is_unspaced) { display } else { "" };
    display.char_indices().skip(1).flat_map(move |(at, _)| [&display[..at], &display[at..]])
}

/// Returns a name as people type it without umlauts: `Juergen`.
fn without_umlauts(name: &str) -> Option<String> {
    const TYPED: [(char, &str); 5] = [('ä', "ae"), ('ö', "oe"), ('ü', "ue"), ('ø', "oe"), ('å', "aa")];
    let lower = name.to_lowercase();
    let has_any = lower.contains(TYPED.map(|(letter, _)| letter));
    has_any.then(|| TYPED.iter().fold(lower, |name, (letter, typed)| name.replace(*letter, typed)))
}

/// Returns what follows a title at the start of a text.
fn untitled(text: &str) -> Option<&str> {
    let text = text.trim_start();
    let first = text.split_whitespace().next()?;
    is_any(first, &TITLES).then(|| text[first.len()..].trim_start()).filter(|rest| !rest.is_empty())
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

/// Returns the members whose names, with words such as "and" between them, are the whole text: all of them, or nobody.
/// `None` if no such word is between any.
pub(super) fn members_named(text: &str, others: &[&Member<'_>]) -> Option<BTreeSet<OwnedUserId>> {
    let spaced = text.replace('/', " / ").replace('&', " & ").replace('+', " + ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let between = |word: &&str| is_any(word, &BETWEEN);
    if !words.iter().any(between) {
        return None;
    }
    let mut called = BTreeSet::new();
    for name in words.split(between) {
        let name = name.join(" ");
        let name = name.trim_start_matches(['@', '＠']);
        let is_meant =
            |member: &&&Member<'_>| !name.is_empty() && names_of(member).iter().any(|own| is_same(own, name));
        let meant: Vec<_> = others.iter().filter(is_meant).collect();
        if meant.is_empty() {
            return Some(BTreeSet::new());
        }
        called.extend(meant.into_iter().map(|member| member.user.to_owned()));
    }
    Some(called)
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
