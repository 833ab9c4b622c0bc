//! A body as text that every parser accepts: UTF-8 without unpaired surrogates.

use std::borrow::Cow;

use crate::core::json;

/// Returns a body as text; borrowed if it is valid.
pub(super) fn readable(body: &[u8]) -> Cow<'_, str> {
    match String::from_utf8_lossy(body) {
        Cow::Borrowed(read) => json::whole(read),
        Cow::Owned(read) => Cow::Owned(json::whole(&read).into_owned()),
    }
}

/// Returns whether a body contains a text, by a fast search, because bodies are large.
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
