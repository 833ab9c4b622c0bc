//! Foreign text as a part of one line of JSON: cut, and escaped where it could imitate structure.

use serde::Serialize;

use super::{legible::escape, time::Timestamp, tokens::estimate};

/// Returns the first characters of a foreign text.
pub(super) fn first_chars(text: &str, most: usize) -> &str {
    text.char_indices().nth(most).map_or(text, |(at, _)| &text[..at])
}

/// Returns a value as one line of JSON, with characters escaped that could imitate structure.
pub(super) fn line(value: &impl Serialize) -> String {
    let json = serde_json::to_string(value).expect("structs with string keys serialize");
    if !json.chars().any(must_escape) {
        return json;
    }
    let mut escaped = String::with_capacity(json.len() + 64);
    for letter in json.chars() {
        if must_escape(letter) {
            escape(letter, &mut escaped);
        } else {
            escaped.push(letter);
        }
    }
    escaped
}

/// Returns a line that takes at most `tokens_max`, made by `line` of so many tokens of its text; where even none of the
/// text is too much, the shortest.
pub(super) fn fitting(tokens_max: u32, mut line: impl FnMut(u32) -> String) -> String {
    let mut text_tokens_max = tokens_max;
    loop {
        let made = line(text_tokens_max);
        if text_tokens_max == 0 || estimate(&made) <= tokens_max {
            return made;
        }
        // Names, ids and escapes take space too, so shrink until the whole line fits.
        text_tokens_max = text_tokens_max * 3 / 4;
    }
}

/// These characters occur only in JSON strings, where an escape means the same.
fn must_escape(letter: char) -> bool {
    matches!(letter,
        '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// Returns a time in UTC to the second; `None` if it is outside the calendar.
pub(crate) fn rfc3339(time: Timestamp) -> Option<String> {
    jiff::Timestamp::from_second(time.as_ms().div_euclid(1000)).ok().map(|time| time.to_string())
}
