//! A body as text that every parser takes: UTF-8, and no half of a surrogate pair.

use std::borrow::Cow;

/// U+FFFD as an escape; six bytes, as the escape that it replaces.
const REPLACEMENT: &str = "\\ufffd";

/// Returns a body as text, unchanged where that is possible.
///
/// JSON may name half of a surrogate pair (`"\ud83d"`), which no string of ours can hold: a parser gives up on the
/// whole of it. It becomes the replacement character, as every client shows it.
pub(super) fn readable(body: &[u8]) -> Cow<'_, str> {
    let read = String::from_utf8_lossy(body);
    if !holds(&read, "\\ud") && !holds(&read, "\\uD") {
        return read;
    }
    match without_halves(&read) {
        Some(mended) => Cow::Owned(mended),
        None => read,
    }
}

/// Returns whether a body holds a text; bodies are large, and each is looked at.
pub(super) fn holds(body: &str, text: &str) -> bool {
    memchr::memmem::find(body.as_bytes(), text.as_bytes()).is_some()
}

/// Returns the text with each half of a pair replaced; `None` where there is none.
fn without_halves(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut mended = String::new();
    let (mut at, mut copied) = (0, 0);
    while at < bytes.len() {
        if bytes[at] != b'\\' {
            at += 1;
            continue;
        }
        match unit(bytes, at) {
            // An escape of one character, `\\` among them.
            None => at += 2,
            Some(0xd800..=0xdbff) if matches!(unit(bytes, at + 6), Some(0xdc00..=0xdfff)) => at += 12,
            Some(0xd800..=0xdfff) => {
                mended.push_str(&text[copied..at]);
                mended.push_str(REPLACEMENT);
                at += 6;
                copied = at;
            }
            Some(_) => at += 6,
        }
    }
    (copied > 0).then(|| mended + &text[copied..])
}

/// Returns the code unit that `\uXXXX` at this place names.
fn unit(bytes: &[u8], at: usize) -> Option<u16> {
    let escape = bytes.get(at..at + 6)?;
    let digits = escape.strip_prefix(b"\\u").filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn half_a_pair_becomes_the_replacement_character_and_a_whole_one_stays() {
        for (body, expected) in [
            (r#"{"a":"b"}"#, r#"{"a":"b"}"#),
            (r#""\ud83d""#, r#""\ufffd""#),
            (r#""\uDE00x""#, r#""\ufffdx""#),
            (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
            (r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            (r#""\ud83d\n""#, r#""\ufffd\n""#),
            (r#""\\ud83d""#, r#""\\ud83d""#),
            (r#""\\\ud83d""#, r#""\\\ufffd""#),
            (r#""\ud83"#, r#""\ud83"#),
            ("\"\u{1f600}\\ud83d\u{1f600}\"", "\"\u{1f600}\\ufffd\u{1f600}\""),
        ] {
            assert_eq!(readable(body.as_bytes()), expected, "{body}");
        }
        assert_eq!(readable(b"\"\xff\""), "\"\u{fffd}\"");
    }

    proptest! {
        #[test]
        fn whatever_strings_json_holds_they_can_be_read(
            units in prop::collection::vec(prop_oneof![0xd800_u16..0xe000, 0x20_u16..0x7f], 0..20)
        ) {
            let escaped = units.iter().map(|unit| format!("\\u{unit:04x}")).collect::<Vec<_>>().concat();
            let read = readable(format!("\"{escaped}\"").as_bytes()).into_owned();
            let text: String = serde_json::from_str(&read).expect("a string");
            prop_assert_eq!(text, String::from_utf16_lossy(&units));
        }
    }
}
