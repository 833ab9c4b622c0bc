//! A call's arguments as people are shown them: indented JSON in which nothing hides.
//!
//! Secrets are masked. Characters that cannot be seen, or that turn the text around them, are written as JSON's
//! escapes (`\u202e`), so that what is shown is still the value. Long values show their beginning and end, their length
//! and a digest outside of the quotes, where no value can forge them: two that differ look different. Digests are over
//! masked text, so that no secret can be guessed from one.

use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::words;
use crate::core::{hex::hex, mask::Mask};

/// Bytes of a digest that are shown.
const DIGEST_BYTES: usize = 6;
/// Combining marks on one letter; more would cover the lines around it.
const MARKS_MAX: usize = 2;

/// How much of each value is shown.
#[derive(Clone, Copy)]
struct Fold {
    /// Characters of a text, its end included.
    text_chars: usize,
    /// Entries of an array or object.
    entries: usize,
    /// Levels of arrays and objects.
    levels: usize,
}

/// From the widest that is tried to the narrowest, which fits everywhere.
const FOLDS: [Fold; 4] = [
    Fold { text_chars: 600, entries: 100, levels: 16 },
    Fold { text_chars: 200, entries: 40, levels: 8 },
    Fold { text_chars: 80, entries: 12, levels: 4 },
    Fold { text_chars: 32, entries: 6, levels: 1 },
];

/// Returns `value` as people are shown it, folded as little as `fits` lets pass.
#[must_use]
pub fn shown(value: &Value, mask: &Mask, fits: impl Fn(&str) -> bool) -> String {
    let mut text = String::new();
    for fold in FOLDS {
        text.clear();
        Writer { out: &mut text, fold, mask }.value(value, 0);
        // Numbers, and what is a secret only together with the JSON around it.
        text = mask.hide(&text);
        if fits(&text) {
            break;
        }
    }
    text
}

/// Returns JSON that is the same for the same value: without spaces, keys sorted.
#[must_use]
pub fn canonical(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(canonical).collect();
            format!("[{}]", items.join(","))
        }
        Value::Object(entries) => {
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            let written = entries.into_iter().map(|(key, value)| format!("{}:{}", quoted(key), canonical(value)));
            format!("{{{}}}", written.collect::<Vec<_>>().join(","))
        }
        Value::String(text) => quoted(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

struct Writer<'a> {
    out: &'a mut String,
    fold: Fold,
    mask: &'a Mask,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value, depth: usize) {
        match value {
            Value::String(text) => self.text(text),
            Value::Array(items) => {
                let entries: Vec<_> = items.iter().map(|item| (None, item)).collect();
                self.entries(&entries, ['[', ']'], depth);
            }
            Value::Object(entries) => {
                let mut entries: Vec<_> = entries.iter().map(|(key, value)| (Some(key.as_str()), value)).collect();
                entries.sort_by_key(|(key, _)| *key);
                self.entries(&entries, ['{', '}'], depth);
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => self.out.push_str(&value.to_string()),
        }
    }

    fn entries(&mut self, entries: &[(Option<&str>, &Value)], [open, close]: [char; 2], depth: usize) {
        self.out.push(open);
        let most = if depth < self.fold.levels { self.fold.entries } else { 0 };
        let (whole, rest) = entries.split_at(most.min(entries.len()));
        for (index, (key, value)) in whole.iter().enumerate() {
            self.line(depth + 1);
            if let Some(key) = key {
                self.text(key);
                self.out.push_str(": ");
            }
            self.value(value, depth + 1);
            if index + 1 < entries.len() {
                self.out.push(',');
            }
        }
        if !rest.is_empty() {
            self.line(depth + 1);
            let rest_canonical = rest.iter().fold(String::new(), |mut text, (key, value)| {
                let _ = write!(text, "{}:{},", key.map(quoted).unwrap_or_default(), canonical(value));
                text
            });
            self.out.push_str(&words::left_out(rest.len(), &digest(&self.mask.hide(&rest_canonical))));
        }
        if !entries.is_empty() {
            self.line(depth);
        }
        self.out.push(close);
    }

    fn line(&mut self, depth: usize) {
        self.out.push('\n');
        self.out.extend(std::iter::repeat_n("  ", depth));
    }

    fn text(&mut self, text: &str) {
        let text = self.mask.hide(text);
        let chars = text.chars().count();
        if chars <= self.fold.text_chars {
            visible(&text, self.out);
            return;
        }
        let tail_chars = self.fold.text_chars / 4;
        let head: String = text.chars().take(self.fold.text_chars - tail_chars).collect();
        let tail: String = text.chars().skip(chars - tail_chars).collect();
        visible(&head, self.out);
        self.out.push_str(" … ");
        visible(&tail, self.out);
        self.out.push(' ');
        self.out.push_str(&words::folded(chars, &digest(&text)));
    }
}

fn digest(text: &str) -> String {
    hex(&Sha256::digest(text)[..DIGEST_BYTES])
}

/// Writes a JSON string in which every character can be seen.
fn visible(text: &str, out: &mut String) {
    let mut marks = 0;
    for letter in quoted(text).chars() {
        marks = if is_mark(letter) { marks + 1 } else { 0 };
        // A mark at the very beginning would sit on the quote.
        if is_hidden(letter) || marks > MARKS_MAX || (marks > 0 && out.ends_with('"')) {
            let mut units = [0; 2];
            for unit in letter.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(letter);
        }
    }
}

/// Characters that show nothing, look like a space without being one, or turn the text around them.
fn is_hidden(letter: char) -> bool {
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

/// Marks that combine with the letter before them in any script's text.
fn is_mark(letter: char) -> bool {
    matches!(letter, '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}
