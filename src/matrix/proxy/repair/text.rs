//! A body as text that every parser takes: UTF-8, and no half of a surrogate pair.

use std::borrow::Cow;

use crate::core::json;

/// Returns a body as text, unchanged where that is possible.
pub(super) fn readable(body: &[u8]) -> Cow<'_, str> {
    match String::from_utf8_lossy(body) {
        Cow::Borrowed(read) => json::whole(read),
        Cow::Owned(read) => Cow::Owned(json::whole(&read).into_owned()),
    }
}

/// Returns whether a body holds a text; bodies are large, and each is looked at.
pub(super) fn holds(body: &str, text: &str) -> bool {
    memchr::memmem::find(body.as_bytes(), text.as_bytes()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_becomes_text_that_can_be_read() {
        for (body, expected) in [
            (&b"{\"a\":\"b\"}"[..], "{\"a\":\"b\"}"),
            (b"\"\\ud83d\"", "\"\\ufffd\""),
            (b"\"\\ud83d\\ude00\"", "\"\\ud83d\\ude00\""),
            (b"\"\xff\"", "\"\u{fffd}\""),
        ] {
            assert_eq!(readable(body), expected);
        }
    }
}
