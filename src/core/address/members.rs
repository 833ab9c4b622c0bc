//! The names by which a room's members are called.

use std::collections::BTreeSet;

use ruma::{OwnedUserId, UserId};

use super::{
    everyday::EVERYDAY,
    folding::{is_any, is_same},
    spelling::is_unspaced,
};

/// A member of the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member<'a> {
    /// The full user id.
    pub user: &'a UserId,
    /// The display name, if any.
    pub name: Option<&'a str>,
}

/// Words between the names of several people.
const BETWEEN: [&str; 14] = ["&", "+", "/", "and", "und", "et", "y", "e", "i", "en", "og", "och", "ve", "и"];

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

/// Returns a member's whole names: as displayed, without additions (`Bob Stone (ops)`) and titles, and the user id; also
/// as typed without umlauts.
pub(super) fn whole_names(member: &Member<'_>) -> Vec<String> {
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
pub(super) fn name_parts<'m>(member: &Member<'m>) -> impl Iterator<Item = &'m str> {
    let words = member.name.unwrap_or_default().split_whitespace();
    words.map(|word| word.trim_matches(|letter: char| !letter.is_alphanumeric())).filter(|part| !part.is_empty())
}

/// Returns whether a part of a display name is a name.
pub(super) fn is_name(part: &str) -> bool {
    part.chars().count() > 1 && !is_any(part, &EVERYDAY) && !is_any(part, &TITLES)
}

/// Returns the family and the given name of a name without spaces, wherever it may be parted.
pub(super) fn unspaced_parts<'m>(member: &Member<'m>) -> impl Iterator<Item = &'m str> {
    let display = member.name.unwrap_or_default().trim();
    let display = if display.chars().all(is_unspaced) { display } else { "" };
    display.char_indices().skip(1).flat_map(move |(at, _)| [&display[..at], &display[at..]])
}

/// Returns a name as people type it without umlauts: `Juergen`.
pub(super) fn without_umlauts(name: &str) -> Option<String> {
    const TYPED: [(char, &str); 5] = [('ä', "ae"), ('ö', "oe"), ('ü', "ue"), ('ø', "oe"), ('å', "aa")];
    let lower = name.to_lowercase();
    let has_any = lower.contains(TYPED.map(|(letter, _)| letter));
    has_any.then(|| TYPED.iter().fold(lower, |name, (letter, typed)| name.replace(*letter, typed)))
}

/// Returns what follows a title at the start of a text.
pub(super) fn untitled(text: &str) -> Option<&str> {
    let text = text.trim_start();
    let first = text.split_whitespace().next()?;
    is_any(first, &TITLES).then(|| text[first.len()..].trim_start()).filter(|rest| !rest.is_empty())
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
