//! Writes invisible and direction-changing characters as escapes, so that a text shows everything it contains.

use std::fmt::Write as _;

/// Most combining marks on one letter; more would cover neighbouring lines.
pub(crate) const MARKS_MAX: usize = 2;

/// Returns `text` with an escape (`\u202e`) for each such character, except line breaks and tabs.
///
/// For texts of programs and models in records and tables. JSON keeps its value.
#[must_use]
pub(crate) fn legible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut marks = 0;
    for letter in text.chars() {
        marks = if is_mark(letter) { marks + 1 } else { 0 };
        if (is_hidden(letter) && !matches!(letter, '\n' | '\t')) || marks > MARKS_MAX {
            escape(letter, &mut out);
        } else {
            out.push(letter);
        }
    }
    out
}

/// Writes a character as a JSON escape.
pub(crate) fn escape(letter: char, out: &mut String) {
    let mut units = [0; 2];
    for unit in letter.encode_utf16(&mut units) {
        let _ = write!(out, "\\u{unit:04x}");
    }
}

/// Returns whether a character is invisible, imitates a space, or changes the text's direction.
#[must_use]
pub(crate) fn is_hidden(letter: char) -> bool {
    let is_private = matches!(letter, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}');
    let is_no_character = letter as u32 & 0xfffe == 0xfffe || matches!(letter, '\u{fdd0}'..='\u{fdef}');
    letter.is_control()
        || is_private
        || is_no_character
        || matches!(letter,
            '\u{a0}' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{1680}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{205f}'..='\u{206f}'
            | '\u{2800}' | '\u{3000}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Returns whether a character shows nothing: whitespace, or [hidden](is_hidden).
#[must_use]
pub(crate) fn is_blank(letter: char) -> bool {
    letter.is_whitespace() || is_hidden(letter)
}

/// Returns the usual form of a full-width letter, and of an exclamation mark in its other forms: small, an emoji, the
/// letter for a click.
#[must_use]
pub(crate) fn usual_width(letter: char) -> char {
    match letter {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(letter as u32 - 0xfee0).unwrap_or(letter),
        '\u{fe57}' | '\u{2757}' | '\u{2755}' | '\u{1c3}' => '!',
        letter => letter,
    }
}

/// Returns whether a character is an exclamation mark of any form.
#[must_use]
pub(crate) fn is_exclamation(letter: char) -> bool {
    usual_width(letter) == '!'
}

/// Returns whether a character combines with the letter before it in some script.
#[must_use]
pub(crate) fn is_mark(letter: char) -> bool {
    matches!(letter, '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c13_what_cannot_be_seen_is_written_out() {
        let table = [
            ("plain, with ünïcode 日本 and 😀", "plain, with ünïcode 日本 and 😀"),
            ("a\nb\tc", "a\nb\tc"),
            ("a\u{202e}gpj.exe", "a\\u202egpj.exe"),
            ("ad\u{200b}min \u{2066}x\u{2069}", "ad\\u200bmin \\u2066x\\u2069"),
            ("\u{feff}\u{200d}\u{ad}\u{61c}\u{200e}", "\\ufeff\\u200d\\u00ad\\u061c\\u200e"),
            ("tag \u{e0041}", "tag \\udb40\\udc41"),
            ("\r\u{0}\u{1b}[31m\u{85}", "\\u000d\\u0000\\u001b[31m\\u0085"),
            ("e\u{301}\u{301}\u{301}\u{301}", "e\u{301}\u{301}\\u0301\\u0301"),
            ("\u{2028}\u{3164}\u{2800}", "\\u2028\\u3164\\u2800"),
        ];
        for (text, expected) in table {
            assert_eq!(legible(text), expected);
        }
        let json = serde_json::json!({ "k\u{202e}": "a\u{200b}\"b\u{e0041}" });
        let shown = legible(&json.to_string());
        assert!(!shown.chars().any(is_hidden), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).expect("still JSON"), json);
    }
}
