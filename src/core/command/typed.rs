//! Normalises commands as people's keyboards and clients write them.

use super::super::address::{OwnWords, linked_user};
use crate::core::{
    legible::{is_blank, is_exclamation, is_hidden, usual_width},
    links::target,
};

/// A longer text is not a command and is not scanned.
const COMMAND_BYTES_MAX: usize = 16 * 1024;
/// What people and clients put around a command: emphasis, code, quotation marks, brackets.
const AROUND: [char; 25] = [
    '*', '_', '~', '`', '"', '\'', '“', '”', '„', '«', '»', '‘', '’', '‚', '‹', '›', '「', '」', '『', '』', '´', '(',
    ')', '（', '）',
];
/// Punctuation that people put after a command, as after a sentence.
const BEHIND: [char; 8] = ['.', '!', '?', ',', ';', ':', '…', '。'];

/// Returns a text normalised for comparison with commands: lower case, usual width, without whitespace, invisible
/// marks, emphasis and quotation marks around it, and without closing punctuation.
#[must_use]
pub(crate) fn typed(text: &str) -> String {
    let letters = text.chars().map(usual_width).filter(|letter| !is_mark(*letter));
    let text: String = letters.flat_map(char::to_lowercase).collect();
    let around = |letter: char| letter.is_whitespace() || AROUND.contains(&letter);
    let shown = text.trim_matches(around);
    let behind = |letter: char| around(letter) || BEHIND.contains(&letter);
    shown.trim_end_matches(behind).to_owned()
}

/// The zeros of scripts that people type numbers in: Arabic, Persian, Devanagari, Bengali, Thai.
const ZEROS: [char; 5] = ['\u{660}', '\u{6f0}', '\u{966}', '\u{9e6}', '\u{e50}'];

/// Returns a command's number: `2`, `#2`, `٢`.
pub(super) fn number(argument: &str) -> Option<u32> {
    let digit = |letter: char| {
        let value = |zero: &char| (letter as u32).checked_sub(*zero as u32).filter(|value| *value < 10);
        ZEROS.iter().find_map(value).and_then(|value| char::from_digit(value, 10)).unwrap_or(letter)
    };
    let number: String = typed(argument).chars().map(digit).collect();
    number.trim_start_matches('#').parse().ok()
}

/// Returns whether a text ends like a question about a command.
#[must_use]
pub(super) fn is_question(text: &str) -> bool {
    let behind = |letter: &char| {
        letter.is_whitespace() || is_mark(*letter) || AROUND.contains(letter) || BEHIND.contains(letter)
    };
    text.chars().rev().map(usual_width).take_while(behind).any(|letter| letter == '?')
}

/// Returns whether a text begins with any kind of exclamation mark, whatever surrounds it.
pub(super) fn may_be_command(text: &str) -> bool {
    let ignored = |letter: char| is_blank(letter) || AROUND.contains(&letter);
    let first = text.trim_start_matches(ignored).chars().next();
    if text.trim_start().starts_with("~~") {
        // It is struck out.
        return false;
    }
    text.len() <= COMMAND_BYTES_MAX && first.is_some_and(is_exclamation)
}

/// Splits off a text's first word, normalised like [`typed`]; the rest stays as written.
pub(super) fn split(text: &str) -> (String, &str) {
    let text = text.trim_matches(|letter: char| letter.is_whitespace() || is_mark(letter));
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    // Emphasis opened before the word closes after the rest.
    let opened = &word[..word.len() - word.trim_start_matches(['*', '_', '~']).len()];
    let rest = rest.trim();
    let closed = if opened.is_empty() { None } else { rest.strip_suffix(opened) };
    (typed(word), closed.unwrap_or(rest).trim())
}

/// Returns the link that is a command's only argument, if the text shows a name for it: a pill of a room or message,
/// whose address is only in `html`, or a Markdown link.
pub(super) fn link_behind(text: &str, html: Option<&str>, command: &str) -> Option<String> {
    if text.len() > COMMAND_BYTES_MAX || !text.contains(is_exclamation) {
        return None;
    }
    if let Some(words) = html.map(OwnWords::of_html) {
        let (mut link, mut rest) = (None, words.text.clone());
        for found in words.links.iter().rev() {
            let is_link = target(&found.href).is_some();
            if is_link && link.is_none() {
                link = Some(found.href.clone());
            } else if is_link || linked_user(&found.href).is_none() {
                return None;
            }
            rest.replace_range(found.label.clone(), " ");
        }
        let is_alone = || {
            typed(rest.trim_matches(|letter: char| letter.is_whitespace() || matches!(letter, ':' | ','))) == command
        };
        if link.is_some() {
            return link.filter(|_| is_alone());
        }
    }
    let (word, said) = split(text);
    let (_, address) = said.strip_prefix('[')?.strip_suffix(')')?.rsplit_once("](")?;
    let address = address.trim_matches(['<', '>']);
    (word == command && target(address).is_some()).then(|| address.to_owned())
}

/// Returns a text without somebody's pill, or a word with an `@`, at its start or end.
pub(super) fn without_address<'t>(text: &'t str, html: Option<&str>) -> Option<&'t str> {
    let text = text.trim();
    let ends = |letter: char| letter.is_whitespace() || matches!(letter, ':' | ',');
    let words = html.map(OwnWords::of_html);
    let people = words.iter().flat_map(|words| &words.links).filter(|link| linked_user(&link.href).is_some());
    let labels = people.filter_map(|link| words.as_ref()?.text.get(link.label.clone()));
    let mut labels = labels.map(str::trim).filter(|label| !label.is_empty());
    let by_label = labels.find_map(|label| text.strip_prefix(label).or_else(|| text.strip_suffix(label)));
    let by_id = || {
        let (first, rest) = text.split_once(char::is_whitespace)?;
        let (before, last) = text.rsplit_once(char::is_whitespace)?;
        match () {
            () if first.starts_with('@') => Some(rest),
            () if last.starts_with('@') => Some(before),
            () => None,
        }
    };
    by_label.or_else(by_id).map(|rest| rest.trim_matches(ends))
}

/// Returns whether a character is invisible and not whitespace.
fn is_mark(letter: char) -> bool {
    is_hidden(letter) && !letter.is_whitespace()
}
