//! A message as people see it, where its formatted text says more than its plain text, or something else: most clients
//! show only the HTML.

mod drawing;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, ops::Range};

use self::drawing::Drawing;
use crate::core::{
    address::bounded,
    event::{Message, MessageKind},
};

/// Most words of a person's or room's name in a link that the plain text may write as an id.
const NAME_WORDS_MAX: usize = 16;
/// The longest HTML tag that a plain text may hold, in bytes.
const TAG_BYTES_MAX: usize = 300;

/// Elements that people write by hand into messages, so that the plain text holds their tags.
const WRITTEN_TAGS: [&str; 36] = [
    "a",
    "b",
    "blockquote",
    "br",
    "caption",
    "code",
    "del",
    "details",
    "div",
    "em",
    "font",
    "h1",
    "h2",
    "h3",
    "h4",
    "hr",
    "i",
    "img",
    "li",
    "ol",
    "p",
    "pre",
    "s",
    "span",
    "strike",
    "strong",
    "sub",
    "summary",
    "sup",
    "table",
    "tbody",
    "td",
    "th",
    "tr",
    "u",
    "ul",
];

/// How the HTML's text is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// In place of the plain text, which says nothing besides.
    Instead(String),
    /// Beside the plain text.
    Beside(String),
}

/// Returns the text of a message's HTML if it has words or strikes that `spoken` lacks, or lacks some of its words.
pub(super) fn seen(message: &Message, spoken: &str) -> Option<Seen> {
    let html = bounded(message.html.as_deref()?);
    let plain = if message.is_uncaptioned() { &message.body } else { spoken };
    let plain = if html.contains("<mx-reply") { without_reply_fallback(plain) } else { plain };
    let drawing = Drawing::of(html);
    if drawing.text.trim().is_empty() {
        return None;
    }
    // A tag in the plain text may stand for itself, or be one that its writer's client took for HTML.
    let as_words = Compared::of(&drawing, bounded(plain), Tags::Words);
    let compared =
        if as_words.differs() { Compared::of(&drawing, bounded(plain), Tags::Nothing).or(as_words) } else { as_words };
    // The captions of a gallery's files are in its plain text only.
    let adds = compared.adds && !matches!(message.kind, MessageKind::Gallery(_));
    if !compared.lacks && !adds && !is_marked_only_there(&drawing, plain) {
        return None;
    }
    let loses_nothing = !compared.loses && !message.is_uncaptioned();
    Some(if loses_nothing { Seen::Instead(drawing.text) } else { Seen::Beside(drawing.text) })
}

/// Removes the quote that clients before spec 1.13 put before a reply ("Fallbacks for rich replies").
pub(super) fn without_reply_fallback(body: &str) -> &str {
    if !body.starts_with("> <") && !body.starts_with("> * <") {
        return body;
    }
    let mut rest = body;
    while rest.starts_with('>') {
        rest = rest.split_once('\n').map_or("", |(_, after)| after);
    }
    rest.strip_prefix('\n').unwrap_or(rest)
}

/// Returns whether the HTML strikes, hides or raises something that the plain text shows like any other word.
fn is_marked_only_there(drawing: &Drawing, plain: &str) -> bool {
    let count = |mark: &str| plain.matches(mark).count();
    let raised = |letter: char| matches!(letter, '^' | '²' | '³' | '¹' | '\u{2070}'..='\u{209f}');
    drawing.strikes > count("~~") / 2 + count("<del") + count("<s>") + count("<strike")
        || drawing.spoilers > count("||") / 2 + count("data-mx-spoiler")
        || drawing.raised > count("<sup") + count("<sub") + plain.chars().filter(|letter| raised(*letter)).count()
}

/// What the plain text and the HTML's text have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Compared {
    /// Whether the plain text lacks words of the HTML.
    lacks: bool,
    /// Whether it has words that the HTML lacks and that are not its way of writing a link, a list or a tag.
    adds: bool,
    /// Whether anything of it would be lost, such as the address of a link, if the HTML's text replaced it.
    loses: bool,
}

/// What tags in a plain text are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tags {
    Words,
    Nothing,
}

impl Compared {
    fn differs(self) -> bool {
        self.lacks || self.adds
    }

    /// Returns this if it finds the same on both sides, or else the other.
    fn or(self, other: Self) -> Self {
        if self.differs() { other } else { self }
    }

    fn of(drawing: &Drawing, plain: &str, tags: Tags) -> Self {
        let in_name = |word: &Word| {
            let named = drawing.names.iter().find(|(label, _)| label.contains(&word.at.start));
            named.is_some_and(|(_, id)| plain.contains(id.as_str()))
        };
        let drawn: Vec<(Word, bool)> = words(&drawing.said, |_| false)
            .into_iter()
            .map(|word| {
                let is_name = in_name(&word);
                (word, is_name)
            })
            .collect();
        let excuses = Excuses::of(drawing, plain);
        let is_nothing = |at: usize| tags == Tags::Nothing && excuses.0[at] == Excuse::Tag;
        let plain = words(plain, is_nothing);
        let mut compared = Self::default();
        compared.find_drawn(&drawn, &plain, &excuses);
        compared.find_plain(&drawn, &plain, &excuses);
        compared
    }

    /// Looks for the HTML's words in the plain text, in their order.
    fn find_drawn(&mut self, drawn: &[(Word, bool)], plain: &[Word], excuses: &Excuses) {
        let mut at = 0;
        for word in plain {
            // Words of a name may be passed over: the plain text has the id.
            let names = drawn[at..].iter().take(NAME_WORDS_MAX).take_while(|(_, is_name)| *is_name).count();
            match drawn[at..].iter().take(names + 1).position(|(drawn, _)| drawn.text == word.text) {
                Some(passed) => at += passed + 1,
                None => self.loses |= excuses.0[word.at.start] == Excuse::Address,
            }
        }
        self.lacks = drawn[at..].iter().any(|(_, is_name)| !is_name);
    }

    /// Looks for the plain text's words in the HTML, in their order. What the HTML says between them changes what they
    /// mean, so both are given then.
    fn find_plain(&mut self, drawn: &[(Word, bool)], plain: &[Word], excuses: &Excuses) {
        let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
        for (place, (word, _)) in drawn.iter().enumerate() {
            places.entry(&word.text).or_default().push(place);
        }
        let mut at = 0;
        for word in plain.iter().filter(|word| excuses.0[word.at.start] == Excuse::None) {
            let of_word = places.get(word.text.as_str()).map(Vec::as_slice).unwrap_or_default();
            let next = of_word.get(of_word.partition_point(|place| *place < at));
            self.adds |= next.is_none();
            self.loses |= next.is_none_or(|place| at > 0 && *place > at);
            at = next.map_or(at, |place| place + 1);
        }
    }
}

/// Why a plain text may have something that its HTML does not show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Excuse {
    None,
    /// The address of a link, a person's id.
    Address,
    /// The number of a list's item, a box to tick, a block's language.
    Form,
    Tag,
}

/// The excuse of each byte of a plain text.
struct Excuses(Vec<Excuse>);

impl Excuses {
    fn of(drawing: &Drawing, plain: &str) -> Self {
        let mut excuses = Self(vec![Excuse::None; plain.len()]);
        for address in &drawing.addresses {
            plain.match_indices(address).for_each(|(at, _)| excuses.mark(at..at + address.len(), Excuse::Address));
        }
        for form in drawing.forms.iter().map(String::as_str).chain(["[x]", "[X]"]) {
            plain.match_indices(form).for_each(|(at, _)| excuses.mark(at..at + form.len(), Excuse::Form));
        }
        for (at, _) in plain.match_indices('<') {
            if let Some(length) = written_tag(&plain[at..]) {
                excuses.mark(at..at + length, Excuse::Tag);
            }
        }
        let mut at = 0;
        for line in plain.split_inclusive('\n') {
            let begins = line.len() - line.trim_start_matches([' ', '\t', '>']).len();
            let digits = line[begins..].bytes().take_while(u8::is_ascii_digit).count();
            if line[begins + digits..].starts_with(['.', ')']) {
                excuses.mark(at + begins..at + begins + digits, Excuse::Form);
            }
            at += line.len();
        }
        excuses
    }

    fn mark(&mut self, range: Range<usize>, excuse: Excuse) {
        self.0[range].fill(excuse);
    }
}

/// Returns the length of the tag that a text begins with, if people write such tags.
fn written_tag(text: &str) -> Option<usize> {
    let window = &text[..text.floor_char_boundary(TAG_BYTES_MAX)];
    let end = window.find('>')?;
    let name: String = window[1..end].trim_start_matches('/').chars().take_while(char::is_ascii_alphanumeric).collect();
    WRITTEN_TAGS.contains(&name.to_ascii_lowercase().as_str()).then_some(end + 1)
}

/// A word, or a symbol that says something, such as an emoji.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Word {
    text: String,
    at: Range<usize>,
}

/// Returns a text's words in small letters. Marks of Markdown inside a word are not part of it, nor is what `is_nothing`.
fn words(text: &str, is_nothing: impl Fn(usize) -> bool) -> Vec<Word> {
    let mut found: Vec<Word> = Vec::new();
    let mut word = Word { text: String::new(), at: 0..0 };
    let mut before = ' ';
    for (at, letter) in text.char_indices().filter(|(at, _)| !is_nothing(*at)) {
        let end = at + letter.len_utf8();
        let is_sign =
            letter == '-' && !before.is_alphanumeric() && text[end..].starts_with(|c: char| c.is_ascii_digit());
        if letter.is_alphanumeric() || is_sign {
            if word.text.is_empty() {
                word.at.start = at;
            }
            word.text.extend(letter.to_lowercase());
            word.at.end = end;
        } else if !matches!(
            letter,
            '*' | '_' | '~' | '^' | '`' | '\\' | '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'
        ) {
            if !word.text.is_empty() {
                found.push(std::mem::replace(&mut word, Word { text: String::new(), at: 0..0 }));
            }
            if letter == '%' || is_symbol(letter) {
                found.push(Word { text: letter.to_string(), at: at..end });
            }
        }
        before = letter;
    }
    if !word.text.is_empty() {
        found.push(word);
    }
    found
}

/// Returns whether a letter says something by itself: an emoji, an arrow; no punctuation and nothing invisible.
fn is_symbol(letter: char) -> bool {
    let is_punctuation = matches!(letter,
        '\u{a0}'..='\u{bf}' | '\u{2000}'..='\u{206f}' | '\u{3000}'..='\u{303f}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ff00}'..='\u{ff0f}' | '\u{e0000}'..='\u{e007f}');
    !letter.is_ascii() && !letter.is_whitespace() && !letter.is_control() && !is_punctuation
}
