//! People called at the end of a message: `can you restart it, Anna?`
//!
//! A list of names, or a name that explains the word before it (`for our new colleague, Anna`), ends the same way, and a
//! request must not vanish. So a name counts only behind a comma, after words that name nobody.

use std::collections::BTreeSet;

use ruma::OwnedUserId;

use super::{
    Member,
    asking::is_question,
    everyday::is_everyday,
    folding::{is_any, suffix_folded},
    letters::is_letter,
    members::{members_named, names_of, unspaced_parts},
    spelling::{is_unspaced, name_at_start},
};
use crate::core::legible::is_blank;

/// A longer message is not called after somebody in its last words.
const CALL_BYTES_MAX: usize = 600;
/// Most bytes of the names.
const NAMES_BYTES_MAX: usize = 80;
/// Most letters of an item in a list, in scripts without spaces.
const ITEM_LETTERS_MAX: usize = 3;

/// Commas before a name.
const COMMAS: [char; 7] = [',', '，', '、', '،', '﹐', '､', '՝'];

/// What people add behind a name.
const POLITE: [&str; 20] = [
    "please",
    "pls",
    "plz",
    "thanks",
    "thank you",
    "thx",
    "bitte",
    "danke",
    "s'il te plaît",
    "s'il vous plaît",
    "stp",
    "merci",
    "por favor",
    "gracias",
    "per favore",
    "grazie",
    "proszę",
    "lütfen",
    "пожалуйста",
    "спасибо",
];

/// Words that a name behind a comma explains: "our new colleague, Anna".
const PEOPLE: [&str; 62] = [
    "account",
    "accounts",
    "admin",
    "admins",
    "assignee",
    "author",
    "boss",
    "candidate",
    "ceo",
    "client",
    "coach",
    "colleague",
    "colleagues",
    "contact",
    "contractor",
    "coworker",
    "coworkers",
    "cto",
    "customer",
    "customers",
    "developer",
    "employee",
    "employees",
    "engineer",
    "everyone",
    "expert",
    "friend",
    "friends",
    "guest",
    "guests",
    "hire",
    "hires",
    "intern",
    "lead",
    "leader",
    "maintainer",
    "manager",
    "member",
    "members",
    "name",
    "names",
    "named",
    "owner",
    "owners",
    "partner",
    "patient",
    "people",
    "person",
    "recipient",
    "recipients",
    "reviewer",
    "reviewers",
    "student",
    "teacher",
    "teammate",
    "user",
    "users",
    "kollege",
    "kollegin",
    "kunde",
    "chef",
    "chefin",
];

/// Names that are also words of every day, which end a request in lower case: "5 lines, max".
const WORDS_TOO: [&str; 48] = [
    "max", "will", "grant", "mark", "bill", "skip", "rose", "hope", "art", "sue", "page", "may", "april", "june",
    "august", "joy", "grace", "faith", "frank", "pat", "rob", "jack", "ray", "dean", "chase", "miles", "dawn", "eve",
    "iris", "ivy", "lily", "olive", "ruby", "pearl", "amber", "jade", "daisy", "violet", "penny", "carol", "robin",
    "summer", "hill", "stone", "white", "green", "brown", "young",
];

/// Most words of what somebody is told to do whose name follows.
const TOLD_WORDS_MAX: usize = 3;

/// The second person.
const YOU: [&str; 9] = ["you", "your", "du", "dir", "dich", "ihr", "tu", "vous", "te"];

/// Returns who is called at the end of a text.
pub(super) fn called_at_end(text: &str, others: &[&Member<'_>], all: &[Member<'_>]) -> BTreeSet<OwnedUserId> {
    let none = BTreeSet::new;
    let text = text.trim();
    if text.len() > CALL_BYTES_MAX || text.contains("```") {
        return none();
    }
    let text = without_politeness(text);
    let Some((before, called)) = text.rsplit_once(COMMAS) else { return none() };
    let called = called.trim_start_matches(is_blank);
    // `write a card for my sister, Anna` says whose name it is; who is told to do something is asked, or told shortly.
    let is_told = || before.split_whitespace().count() <= TOLD_WORDS_MAX;
    let is_call = || speaks_to_somebody(text) || is_told();
    if called.len() > NAMES_BYTES_MAX || !is_call() || names_somebody(before, all) {
        return none();
    }
    if let Some(named) = members_named(called, others) {
        return named;
    }
    let is_word = WORDS_TOO.contains(&called);
    let whole = |name: &str| {
        let start = name_at_start(called, name);
        start.filter(|start| called[start.bytes..].chars().all(|letter| !letter.is_alphanumeric()))
    };
    let is_named = |member: &Member<'_>| names_of(member).iter().any(|name| whole(name).is_some());
    let is_honoured = |part: &str| whole(part).is_some_and(|start| start.titled);
    let is_meant = |member: &&&Member<'_>| !is_word && (is_named(member) || unspaced_parts(member).any(is_honoured));
    others.iter().filter(is_meant).map(|member| member.user.to_owned()).collect()
}

/// Returns whether a text may end with somebody's name behind a comma, so that it matters what the coworker asked.
pub(super) fn may_call_at_end(text: &str) -> bool {
    let text = without_politeness(text.trim());
    let called = if text.len() > CALL_BYTES_MAX { None } else { text.rsplit_once(COMMAS) };
    called.is_some_and(|(_, called)| called.len() <= NAMES_BYTES_MAX)
}

/// Returns a text without marks, emoji and politeness at its end.
fn without_politeness(text: &str) -> &str {
    let bare = |text: &str| text.trim_end_matches(|letter: char| !is_letter(letter)).len();
    let mut end = bare(text);
    loop {
        let said = &text[..end];
        let begins = |at: &usize| said[..*at].ends_with(|letter: char| !letter.is_alphanumeric());
        let polite = POLITE.iter().find_map(|word| suffix_folded(said, word).filter(begins));
        let Some(at) = polite else { return said };
        end = bare(&said[..at]);
    }
}

/// Returns whether the words before a last comma name somebody, or are items of a list.
fn names_somebody(before: &str, all: &[Member<'_>]) -> bool {
    let sentence =
        before.rsplit(['.', '!', '?', ':', ';', '\n', '。', '！', '？', '：', '；']).next().unwrap_or_default();
    // An unfinished sentence is words before a name; a finished one ("It is red. Anna") is not.
    let clause = sentence.rsplit(COMMAS).next().unwrap_or_default().trim();
    let words: Vec<&str> = clause.split_whitespace().collect();
    let Some(last) = words.last() else { return true };
    let last = last.trim_matches(|letter: char| !letter.is_alphanumeric() && letter != '\'');
    let is_item =
        if clause.chars().any(is_unspaced) { clause.chars().count() <= ITEM_LETTERS_MAX } else { words.len() == 1 };
    let is_capital = words.len() > 1
        && last.starts_with(char::is_uppercase)
        && last.chars().any(char::is_lowercase)
        && !last.starts_with("I'");
    let bare = clause.trim_end_matches(|letter: char| !letter.is_alphanumeric());
    let ends_with_a_name = || all.iter().flat_map(names_of).any(|name| suffix_folded(bare, &name).is_some());
    is_item && !is_everyday(clause) || is_capital || is_any(last, &PEOPLE) || ends_with_a_name()
}

/// Returns whether a text asks: with a question mark, or in the second person.
pub(super) fn speaks_to_somebody(text: &str) -> bool {
    is_question(text) || text.split_whitespace().any(|word| is_any(word, &YOU))
}
