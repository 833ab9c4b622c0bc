//! Encodings that the library does not know: UTF-32, and ISO 2022 of Korea and China.

use encoding_rs::{EUC_KR, Encoding, GBK};
use memchr::memmem;

/// What selects a set of characters in ISO 2022 (RFC 1557, RFC 1922), the encoding that has it in its upper half, and
/// the name of the whole.
const SETS: [(&[u8], &Encoding, &str); 2] = [(b"\x1b$)C", EUC_KR, "ISO-2022-KR"), (b"\x1b$)A", GBK, "ISO-2022-CN")];
/// From here on the set.
const SHIFT_OUT: u8 = 0x0e;
/// Back to ASCII.
const SHIFT_IN: u8 = 0x0f;
/// Units of UTF-32 that are examined.
const SAMPLE_UNITS: usize = 16 << 10;

/// Decodes a text in one of these encodings, and returns its name.
pub(super) fn decode(bytes: &[u8]) -> Option<(String, &'static str)> {
    if let Some(is_little) = utf32(bytes) {
        let name = if is_little { "UTF-32LE" } else { "UTF-32BE" };
        let units = units(bytes, is_little).map(|unit| char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER));
        let text: String = units.collect();
        return Some((text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text), name));
    }
    let (mark, encoding, name) = set_of(bytes)?;
    Some((shifted(bytes, mark, encoding), name))
}

/// Returns whether a text is in one of these encodings.
pub(super) fn is_likely(bytes: &[u8]) -> bool {
    utf32(bytes).is_some() || set_of(bytes).is_some()
}

fn set_of(bytes: &[u8]) -> Option<(&'static [u8], &'static Encoding, &'static str)> {
    let is_shifted = bytes.is_ascii() && memchr::memchr(SHIFT_OUT, bytes).is_some();
    SETS.into_iter().find(|(mark, ..)| is_shifted && memmem::find(bytes, mark).is_some())
}

/// Decodes what stands between shifts in the set; every line begins without one.
fn shifted(bytes: &[u8], mark: &[u8], encoding: &'static Encoding) -> String {
    let mut upper = Vec::with_capacity(bytes.len());
    let (mut is_out, mut at) = (false, 0);
    while let Some(byte) = bytes.get(at) {
        if bytes[at..].starts_with(mark) {
            at += mark.len();
            continue;
        }
        match *byte {
            SHIFT_OUT => is_out = true,
            SHIFT_IN => is_out = false,
            b'\n' => {
                is_out = false;
                upper.push(b'\n');
            }
            0x21..=0x7e if is_out => upper.push(byte | 0x80),
            _ => upper.push(*byte),
        }
        at += 1;
    }
    encoding.decode_without_bom_handling(&upper).0.into_owned()
}

/// Returns whether UTF-32 is little-endian, where it is UTF-32: all of its units are letters, most of them of one plane.
fn utf32(bytes: &[u8]) -> Option<bool> {
    match bytes {
        [0xff, 0xfe, 0, 0, ..] => return Some(true),
        [0, 0, 0xfe, 0xff, ..] => return Some(false),
        _ => {}
    }
    let is_text = |is_little: bool| {
        let mut all = 0_usize;
        let is_whole = units(bytes, is_little).take(SAMPLE_UNITS).all(|unit| {
            all += 1;
            unit < 0x3_0000 && unit != 0 && char::from_u32(unit).is_some_and(|letter| !is_control(letter))
        });
        is_whole && all > 1
    };
    [true, false].into_iter().find(|is_little| bytes.len().is_multiple_of(4) && is_text(*is_little))
}

fn is_control(letter: char) -> bool {
    letter.is_control() && !matches!(letter, '\t' | '\n' | '\r' | '\u{c}' | '\u{1b}')
}

fn units(bytes: &[u8], is_little: bool) -> impl Iterator<Item = u32> {
    bytes
        .as_chunks()
        .0
        .iter()
        .map(move |unit| if is_little { u32::from_le_bytes(*unit) } else { u32::from_be_bytes(*unit) })
}

#[cfg(test)]
mod tests {
    use super::{super::read, *};

    #[test]
    fn c7_utf_32_and_iso_2022_are_read_and_named() {
        let text = "서버를 다시\n시작하지 못했습니다. 500 😀\n";
        let utf32 = |is_little: bool, mark: bool| {
            let units = mark.then_some('\u{feff}').into_iter().chain(text.chars()).map(u32::from);
            units.flat_map(|unit| if is_little { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect::<Vec<u8>>()
        };
        for mark in [true, false] {
            for (is_little, name) in [(true, "UTF-32LE"), (false, "UTF-32BE")] {
                let found = read(&utf32(is_little, mark)).expect("a text");
                assert_eq!((found.text.as_str(), found.odd), (text, 0));
                assert_eq!(found.read_as.map(crate::core::media::decoded::Charset::name), Some(name));
            }
        }
        let in_set = |mark: &[u8], encoding: &'static Encoding, text: &str| {
            let mut bytes = mark.to_vec();
            bytes.push(b'\n');
            for line in text.lines() {
                for letter in line.chars() {
                    let letter = letter.to_string();
                    match &*encoding.encode(&letter).0 {
                        [ascii] => bytes.push(*ascii),
                        pair => {
                            bytes.push(SHIFT_OUT);
                            bytes.extend(pair.iter().map(|byte| byte & 0x7f));
                            bytes.push(SHIFT_IN);
                        }
                    }
                }
                bytes.push(b'\n');
            }
            bytes
        };
        for ((mark, encoding, name), text) in SETS.into_iter().zip(["서버를 다시 시작: 500\n", "服务器启动失败\n"])
        {
            let bytes = in_set(mark, encoding, text);
            assert!(super::super::is_likely(&bytes), "{name}");
            let found = read(&bytes).expect(name);
            assert_eq!(
                (found.text.trim_start(), found.read_as.map(crate::core::media::decoded::Charset::name)),
                (text, Some(name))
            );
        }
    }

    #[test]
    fn c7_small_numbers_are_no_utf_32() {
        let numbers: Vec<u8> = (0_u32..50).flat_map(u32::to_le_bytes).collect();
        assert_eq!(utf32(&numbers), None);
        assert_eq!([utf32(b""), utf32(b"abcd"), utf32(b"a\0\0\0")], [None; 3]);
    }
}
