//! Formats a call's arguments for people: JSON that hides nothing and omits nothing.
//!
//! Secrets are masked, and the caller tells people so. Invisible characters, those that change the text's direction,
//! and lookalikes are written as JSON escapes (`\u202e`), so that the text still denotes the same value.

use serde_json::Value;

use crate::core::{
    legible::{self, MARKS_MAX, escape, is_mark},
    mask::{MASK, Mask},
};

/// Most consecutive spaces shown as such; more are escaped, so that they cannot push text out of sight.
const SPACES_MAX: usize = 16;
/// Shown for repeated spaces, which HTML would collapse; a real one is escaped.
const SPACE_THAT_STAYS: char = '\u{a0}';

/// A value formatted for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::core) struct Shown {
    /// The formatted text.
    pub text: String,
    /// Whether a secret was masked.
    pub masked: bool,
}

/// How to lay out a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// On one line, which clients wrap.
    Line,
    /// Indented, for a file.
    Indented,
}

/// Formats all of `value`, indented, for a file.
#[must_use]
pub(in crate::core) fn indented(value: &Value, mask: &Mask) -> Shown {
    written(mask, Layout::Indented, |writer| writer.value(value, 0))
}

/// Like [`indented`], for something other than a call.
#[must_use]
pub fn shown_whole(value: &Value, mask: &Mask) -> String {
    indented(value, mask).text
}

/// Formats an argument with its whole value on one line.
#[must_use]
pub(in crate::core) fn on_a_line(name: &str, value: &Value, mask: &Mask) -> Shown {
    written(mask, Layout::Line, |writer| {
        writer.name(name);
        writer.out.push_str(": ");
        writer.value(value, 0);
    })
}

/// Formats an argument with its value as on a card, but with plain spaces.
#[must_use]
pub(in crate::core) fn line(name: &str, value: &Value, mask: &Mask) -> String {
    on_a_line(name, value, mask).text.replace(SPACE_THAT_STAYS, " ")
}

/// Formats an argument's name as [`on_a_line`] does.
#[must_use]
pub(in crate::core) fn name(name: &str, mask: &Mask) -> Shown {
    written(mask, Layout::Line, |writer| writer.name(name))
}

fn written(mask: &Mask, layout: Layout, write: impl FnOnce(&mut Writer<'_>)) -> Shown {
    let mut writer = Writer { out: String::new(), layout, mask, masked: false };
    write(&mut writer);
    // Also masks numbers, and secrets that only appear together with the JSON around them.
    let text = mask.hide(&writer.out);
    Shown { masked: writer.masked || text != writer.out, text }
}

/// Returns canonical JSON: without spaces, with sorted keys.
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
    out: String,
    layout: Layout,
    mask: &'a Mask,
    masked: bool,
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
        for (index, (key, value)) in entries.iter().enumerate() {
            if index > 0 {
                self.out.push_str(if self.layout == Layout::Line { ", " } else { "," });
            }
            self.line(depth + 1);
            if let Some(key) = key {
                self.name(key);
                self.out.push_str(": ");
            }
            self.value(value, depth + 1);
        }
        if !entries.is_empty() {
            self.line(depth);
        }
        self.out.push(close);
    }

    fn line(&mut self, depth: usize) {
        if self.layout == Layout::Indented {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n("  ", depth));
        }
    }

    /// Names come from programs; letters of other alphabets could make one look like another.
    fn name(&mut self, name: &str) {
        let pieces = self.mask.pieces(name);
        self.out.push('"');
        for piece in pieces {
            match piece {
                Some(text) => {
                    for letter in inner(&text).chars() {
                        if letter.is_ascii_graphic() || letter == ' ' {
                            self.out.push(letter);
                        } else {
                            escape(letter, &mut self.out);
                        }
                    }
                }
                None => self.hide(),
            }
        }
        self.out.push('"');
    }

    fn text(&mut self, text: &str) {
        let pieces = self.mask.pieces(text);
        self.out.push('"');
        for piece in pieces {
            match piece {
                Some(text) => visible(&inner(&text), self.layout, &mut self.out),
                None => self.hide(),
            }
        }
        self.out.push('"');
    }

    fn hide(&mut self) {
        self.masked = true;
        self.out.push_str(MASK);
    }
}

/// Returns a text as it is written inside a JSON string.
fn inner(text: &str) -> String {
    let quoted = quoted(text);
    quoted[1..quoted.len() - 1].to_owned()
}

/// Writes a JSON string's content with every character visible.
fn visible(text: &str, layout: Layout, out: &mut String) {
    let (mut marks, mut spaces) = (0, 0);
    let mimics = mimics(text);
    for (at, letter) in text.char_indices() {
        marks = if is_mark(letter) { marks + 1 } else { 0 };
        spaces = if letter == ' ' { spaces + 1 } else { 0 };
        // A mark at the very beginning would combine with the quote.
        let hides = is_hidden(letter) || marks > MARKS_MAX || (marks > 0 && out.ends_with('"'));
        if hides || is_the_masks(letter) || spaces > SPACES_MAX || mimics.binary_search(&at).is_ok() {
            escape(letter, out);
        } else if spaces > 1 && layout == Layout::Line {
            out.push(SPACE_THAT_STAYS);
        } else {
            out.push(letter);
        }
    }
}

/// Returns whether a character belongs to the mask, which a text must not imitate.
fn is_the_masks(letter: char) -> bool {
    MASK.contains(letter)
}

/// Returns the positions of letters that imitate Latin ones in words that also contain Latin letters.
fn mimics(text: &str) -> Vec<usize> {
    let mut found = Vec::new();
    let mut word: Vec<usize> = Vec::new();
    let mut has_latin = false;
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        if letter == '\\' && letters.next().is_some_and(|(_, letter)| letter == 'u') {
            // Skip the escape's four digits, which are not a word.
            let _ = letters.nth(3);
        }
        if letter.is_alphanumeric() || letter == '_' || letter == '-' {
            has_latin |= letter.is_ascii_alphabetic();
            if is_lookalike(letter) {
                word.push(at);
            }
            continue;
        }
        if has_latin {
            found.append(&mut word);
        }
        word.clear();
        has_latin = false;
    }
    if has_latin {
        found.append(&mut word);
    }
    found
}

/// Returns whether a letter is of a script with letters drawn like Latin ones: Greek, Cyrillic, Armenian, Cherokee,
/// Lisu, Coptic.
fn is_lookalike(letter: char) -> bool {
    matches!(letter, '\u{370}'..='\u{58f}' | '\u{13a0}'..='\u{13ff}' | '\u{1c80}'..='\u{1c8f}' | '\u{1d2b}'
        | '\u{1f00}'..='\u{1fff}' | '\u{2c80}'..='\u{2cff}' | '\u{2de0}'..='\u{2dff}' | '\u{a4d0}'..='\u{a4ff}'
        | '\u{a640}'..='\u{a69f}' | '\u{ab70}'..='\u{abbf}')
}

/// Returns whether a character is invisible, or a Latin letter or digit in another form.
fn is_hidden(letter: char) -> bool {
    legible::is_hidden(letter)
        || matches!(letter,
            '\u{1d400}'..='\u{1d7ff}' | '\u{1f100}'..='\u{1f1e5}' | '\u{ff01}'..='\u{ff5e}' | '\u{1fbf0}'..='\u{1fbf9}')
}
