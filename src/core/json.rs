//! Mends JSON that a parser would reject as a whole. An unpaired surrogate (`"\ud83d"`), which programs write when they
//! cut a text inside an emoji, becomes the replacement character, as clients show it. A number beyond a double's range
//! (`1e400`) becomes `null`.

use std::borrow::Cow;

/// The escape of U+FFFD; six bytes, like the escape that it replaces.
const REPLACEMENT: &str = "\\ufffd";

/// A number can exceed a double (at most 1.8e308) only with an exponent of this many digits or with [`VAST_DIGITS`]
/// digits in a row, because a two-digit exponent adds at most 99.
const VAST_EXPONENT_DIGITS: usize = 3;
const VAST_DIGITS: usize = 200;

/// The deepest nesting that is kept; `serde_json` refuses 128 levels.
pub(crate) const DEPTH_MAX: usize = 100;

/// Returns JSON in which what is nested too deeply for a parser is `null`; borrowed if nothing is.
#[must_use]
pub(crate) fn shallow(json: &str) -> Cow<'_, str> {
    // Brackets inside texts count here too, which costs only time.
    let may_be_deep = memchr::memchr2_iter(b'[', b'{', json.as_bytes()).nth(DEPTH_MAX).is_some();
    may_be_deep.then(|| without_depths(json)).flatten().map_or(Cow::Borrowed(json), Cow::Owned)
}

/// Replaces what is nested too deeply; returns `None` if nothing is.
fn without_depths(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut mended = String::new();
    let (mut at, mut copied, mut depth, mut in_string) = (0, 0, 0_usize, false);
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if in_string => at += 1,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth == DEPTH_MAX + 1 {
                    mended.push_str(&text[copied..at]);
                    mended.push_str("null");
                    copied = bytes.len();
                }
            }
            b']' | b'}' if !in_string => {
                if depth == DEPTH_MAX + 1 {
                    copied = at + 1;
                }
                depth = depth.saturating_sub(1);
            }
            _ => {}
        }
        at += 1;
    }
    (copied > 0).then(|| mended + &text[copied..])
}

/// Returns JSON without unpaired surrogates and overlarge numbers; borrowed if it has none.
#[must_use]
pub(crate) fn whole(json: &str) -> Cow<'_, str> {
    let json = paired(json);
    match may_hold_vast_numbers(&json).then(|| without_vast_numbers(&json)).flatten() {
        Some(mended) => Cow::Owned(mended),
        None => json,
    }
}

/// A quick check that looks at few bytes, because whole syncs pass through here.
fn may_hold_vast_numbers(json: &str) -> bool {
    let bytes = json.as_bytes();
    let digits_from = |at: usize| bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).take(VAST_DIGITS).count();
    let has_exponent = memchr::memchr2_iter(b'e', b'E', bytes).any(|at| {
        let signed = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        at > 0
            && bytes[at - 1].is_ascii_digit()
            && digits_from((at + 1 + signed).min(bytes.len())) >= VAST_EXPONENT_DIGITS
    });
    // Such a row covers one of every `VAST_DIGITS / 2` bytes, with at least half of the row after it.
    has_exponent || (0..bytes.len()).step_by(VAST_DIGITS / 2).any(|at| digits_from(at) >= VAST_DIGITS / 2)
}

/// Replaces each overlarge number by `null`; returns `None` if there is none.
fn without_vast_numbers(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let is_of_number = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E');
    let mut mended = String::new();
    let (mut at, mut copied, mut in_string) = (0, 0, false);
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if in_string => at += 1,
            b'"' => in_string = !in_string,
            byte if !in_string && (byte == b'-' || byte.is_ascii_digit()) => {
                let end = at + bytes[at..].iter().take_while(|byte| is_of_number(byte)).count();
                if text[at..end].parse::<f64>().is_ok_and(f64::is_infinite) {
                    mended.push_str(&text[copied..at]);
                    mended.push_str("null");
                    copied = end;
                }
                at = end - 1;
            }
            _ => {}
        }
        at += 1;
    }
    (copied > 0).then(|| mended + &text[copied..])
}

/// The first of the private-use characters (last plane) that stand for surrogates until they are joined.
const HALVES: u32 = 0x10_f800;

/// Marks unpaired surrogates, so that [`Joining`] can pair them with those in the text's next piece; borrowed if there
/// are none.
#[must_use]
pub(crate) fn in_pieces(json: &str) -> Cow<'_, str> {
    let marked = |unit: u16| char::from_u32(HALVES + u32::from(unit - 0xd800)).map_or(REPLACEMENT.into(), String::from);
    halves_as(json, marked)
}

/// Joins a text that arrives in pieces, which may be cut inside a surrogate pair ([`in_pieces`]).
#[derive(Debug, Default)]
pub(crate) struct Joining {
    /// A high surrogate whose low one has not come yet.
    half: Option<u16>,
}

impl Joining {
    /// Returns the next part of the text. A high surrogate at the piece's end is kept for the next piece.
    pub(crate) fn join(&mut self, piece: String) -> String {
        let half_of = |char: char| u16::try_from(u32::from(char).checked_sub(HALVES)?).ok()?.checked_add(0xd800);
        if self.half.is_none() && !piece.chars().any(|char| half_of(char).is_some()) {
            return piece;
        }
        let mut joined = String::with_capacity(piece.len());
        for char in piece.chars() {
            let (before, unit) = (self.half.take(), half_of(char));
            let pair = before.zip(unit).and_then(|(first, second)| char::decode_utf16([first, second]).next()?.ok());
            if let Some(pair) = pair {
                joined.push(pair);
                continue;
            }
            joined.extend(before.map(|_| char::REPLACEMENT_CHARACTER));
            match unit {
                Some(0xd800..=0xdbff) => self.half = unit,
                Some(_) => joined.push(char::REPLACEMENT_CHARACTER),
                None => joined.push(char),
            }
        }
        joined
    }

    /// Returns the replacement for a high surrogate that nothing followed.
    pub(crate) fn end(&mut self) -> Option<char> {
        self.half.take().map(|_| char::REPLACEMENT_CHARACTER)
    }
}

/// Returns JSON without unpaired surrogates; borrowed if it has none. Numbers stay as they are.
#[must_use]
pub(crate) fn paired(json: &str) -> Cow<'_, str> {
    halves_as(json, |_| REPLACEMENT.to_owned())
}

fn halves_as(json: &str, instead: impl Fn(u16) -> String) -> Cow<'_, str> {
    let holds = |escape: &str| memchr::memmem::find(json.as_bytes(), escape.as_bytes()).is_some();
    if !holds("\\ud") && !holds("\\uD") {
        return Cow::Borrowed(json);
    }
    with_halves_as(json, instead).map_or(Cow::Borrowed(json), Cow::Owned)
}

/// Replaces each unpaired surrogate; returns `None` if there is none.
fn with_halves_as(text: &str, instead: impl Fn(u16) -> String) -> Option<String> {
    let bytes = text.as_bytes();
    let mut mended = String::new();
    let (mut at, mut copied) = (0, 0);
    while at < bytes.len() {
        if bytes[at] != b'\\' {
            at += 1;
            continue;
        }
        match unit(bytes, at) {
            // An escape other than `\u`, such as `\\`.
            None => at += 2,
            Some(0xd800..=0xdbff) if matches!(unit(bytes, at + 6), Some(0xdc00..=0xdfff)) => at += 12,
            Some(half @ 0xd800..=0xdfff) => {
                mended.push_str(&text[copied..at]);
                mended.push_str(&instead(half));
                at += 6;
                copied = at;
            }
            Some(_) => at += 6,
        }
    }
    (copied > 0).then(|| mended + &text[copied..])
}

/// Returns the code unit of the `\uXXXX` at this index; `None` for any other escape.
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
            assert_eq!(whole(body), expected, "{body}");
        }
    }

    #[test]
    fn a_text_in_pieces_keeps_a_pair_that_was_cut_in_two() {
        for (pieces, expected) in [
            (vec![r#""done \ud83d""#, r#""\ude00 but""#], "done \u{1f600} but"),
            (vec![r#""a\ud83d""#, r#""""#, r#""\ude00""#, r#""b""#], "a\u{1f600}b"),
            (vec![r#""a\ud83d""#, r#""b""#], "a\u{fffd}b"),
            (vec![r#""a\ud83d""#, r#""\ud83d\ude00""#], "a\u{fffd}\u{1f600}"),
            (vec![r#""\ude00a\ud83d""#], "\u{fffd}a\u{fffd}"),
            (vec![r#""\ud83d\ude00""#, r#""é""#], "\u{1f600}é"),
        ] {
            let mut joining = Joining::default();
            let mut joined = String::new();
            for piece in &pieces {
                let piece: String = serde_json::from_str(&in_pieces(piece)).unwrap();
                joined.push_str(&joining.join(piece));
            }
            joined.extend(joining.end());
            assert_eq!(joined, expected, "{pieces:?}");
        }
    }

    #[test]
    fn a_number_that_no_double_holds_becomes_null() {
        let many = "9".repeat(400);
        for (json, expected) in [
            (
                r#"{"a":1e400,"b":[-1E+999,1e3],"c":"1e400 \" 2e999"}"#,
                r#"{"a":null,"b":[null,1e3],"c":"1e400 \" 2e999"}"#,
            ),
            (r#"{"a":"3e5f","b":1.5}"#, r#"{"a":"3e5f","b":1.5}"#),
            (&format!("[{many}]"), "[null]"),
            (&format!("[0,{}e99,1e0000400,2e-400]", "9".repeat(250)), "[0,null,null,2e-400]"),
        ] {
            let mended = whole(json);
            assert_eq!(mended, expected, "{json}");
            assert!(serde_json::from_str::<serde_json::Value>(&mended).is_ok(), "{json}");
        }
    }

    #[test]
    fn b_what_is_nested_too_deeply_becomes_null_and_costs_only_itself() {
        let nested = |open: &str, close: &str, depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
        for (odd, is_kept) in [
            (nested("[", "]", DEPTH_MAX - 2), true),
            (nested("[", "]", DEPTH_MAX - 1), false),
            (nested("[", "]", 10_000), false),
            (nested("{\"a\":", "}", 200), false),
            (nested("[0,{\"a\":[1],\"b\":", "}]", 300), false),
            (format!("\"{}\"", "[{\\\"".repeat(300)), true),
            ("[1],[2],".repeat(200) + "3", true),
        ] {
            let json = format!(r#"{{"odd":[{odd}],"body":"é"}}"#);
            let mended = shallow(&json);
            assert_eq!(mended == json, is_kept, "{json}");
            let read: serde_json::Value = serde_json::from_str(&mended).expect("readable");
            assert_eq!(read["body"], "é", "{json}");
        }
        let (deep, cut) = (nested("[", "]", DEPTH_MAX + 1), "[".repeat(500));
        assert!(serde_json::from_str::<serde_json::Value>(&shallow(&deep)).is_ok());
        assert!(shallow(&cut).ends_with("[null"), "what is broken stays broken");
        assert_eq!(shallow(&format!("[{deep},{deep}]")).matches("null").count(), 2);
    }

    proptest! {
        #[test]
        fn whatever_strings_json_holds_they_can_be_read(
            units in prop::collection::vec(prop_oneof![0xd800_u16..0xe000, 0x20_u16..0x7f], 0..20)
        ) {
            let escaped = units.iter().map(|unit| format!("\\u{unit:04x}")).collect::<Vec<_>>().concat();
            let read = whole(&format!("\"{escaped}\"")).into_owned();
            let text: String = serde_json::from_str(&read).expect("a string");
            prop_assert_eq!(text, String::from_utf16_lossy(&units));
        }
    }
}
