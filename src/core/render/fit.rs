//! Answers near the event size limit: a beginning in the room, and the whole in a file (C9).
//!
//! An event has at most 65 536 bytes on the wire (spec, "Size limits"). Encryption turns three bytes into four, an edit
//! contains its text twice, and each text is sent as body and as HTML. The limits here allow for all of that, and leave
//! about 4 KB for the rest of the event.

use super::{Pills, Rendered, both, rendered, written};
use crate::core::words;

/// Most bytes of JSON for a new message's body and HTML together; it fits even encrypted.
pub const MESSAGE_BYTES_MAX: usize = 44_000;
/// The same for an edit, which contains both twice.
pub const EDIT_BYTES_MAX: usize = 22_000;
/// The approximate length of the beginning that replaces a longer answer, in bytes of Markdown.
pub const SUMMARY_BYTES_MAX: usize = 4_000;
/// Bytes of an empty text in JSON.
const EMPTY_BYTES: usize = 2;
/// A shorter beginning is not worth showing.
const SUMMARY_BYTES_MIN: usize = 64;

/// An answer in a sendable form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fitted {
    /// The message: the whole answer, or its beginning and a note about the file.
    pub message: Rendered,
    /// The whole answer as Markdown to attach, if the message is only its beginning.
    pub overflow: Option<String>,
}

/// Renders an answer, and cuts it at a paragraph if it exceeds `bytes_max`.
///
/// `bytes_max` is [`MESSAGE_BYTES_MAX`] or [`EDIT_BYTES_MAX`]; below a few hundred bytes only the note about the file
/// remains.
#[must_use]
pub fn fit(markdown: &str, bytes_max: usize) -> Fitted {
    match whole(markdown, bytes_max) {
        Some(message) => Fitted { message, overflow: None },
        None => Fitted {
            message: beginning(markdown, bytes_max, &words::rest_in_file()),
            overflow: Some(markdown.to_owned()),
        },
    }
}

/// Renders an unfinished answer, for an edit of its message.
#[must_use]
pub fn fit_so_far(markdown: &str) -> Rendered {
    whole(markdown, EDIT_BYTES_MAX).unwrap_or_else(|| beginning(markdown, EDIT_BYTES_MAX, &words::still_writing()))
}

fn whole(markdown: &str, bytes_max: usize) -> Option<Rendered> {
    // Markdown beyond four times the limit hardly fits, so skip the work.
    if markdown.len() / 4 > bytes_max {
        return None;
    }
    let written = written(markdown, Pills::Flat);
    // The sanitiser is quadratic in sibling elements, and shortens nothing but quotes, so check the size before it.
    let html = if written.rich { written.html.replace("&quot;", "\"") } else { String::new() };
    if json_bytes(&Rendered { body: written.body.clone(), html: Some(html) }) > bytes_max + EMPTY_BYTES {
        return None;
    }
    let message = rendered(written);
    (json_bytes(&message) <= bytes_max).then_some(message)
}

fn beginning(markdown: &str, bytes_max: usize, note: &str) -> Rendered {
    let note = both(note, Pills::Flat);
    let mut part_bytes_max = SUMMARY_BYTES_MAX.min(bytes_max);
    while part_bytes_max >= SUMMARY_BYTES_MIN {
        let part = both(cut(markdown, part_bytes_max), Pills::Flat);
        let message = Rendered {
            body: format!("{}\n\n{}", part.body, note.body),
            html: Some(format!("<div>{}</div><p>{}</p>", part.html, note.html)),
        };
        if json_bytes(&message) <= bytes_max {
            return message;
        }
        part_bytes_max /= 2;
    }
    Rendered { body: note.body, html: Some(note.html) }
}

/// Returns a beginning of at most `bytes_max`, cut after a paragraph if possible, else a line, else a word.
fn cut(markdown: &str, bytes_max: usize) -> &str {
    let part = &markdown[..markdown.floor_char_boundary(bytes_max)];
    if part.len() == markdown.len() {
        return part;
    }
    let far_enough = |at: &usize| *at >= bytes_max / 4;
    let end = part.rfind("\n\n").filter(far_enough);
    let end = end.or_else(|| part.rfind('\n').filter(far_enough));
    let end = end.or_else(|| part.rfind(' ').filter(far_enough));
    part[..end.unwrap_or(part.len())].trim_end()
}

/// Returns the bytes of JSON that a message's body and HTML take together.
#[must_use]
pub fn json_bytes(message: &Rendered) -> usize {
    let bytes = |text: &str| serde_json::to_string(text).map_or(usize::MAX / 2, |json| json.len());
    bytes(&message.body) + message.html.as_deref().map_or(0, bytes)
}
