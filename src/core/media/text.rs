//! Text files: known by their bytes, in whatever encoding they came, and given as what people would read.
//!
//! [`is_likely`] is our own and runs anywhere; [`read`] asks a library and runs where decoders run.

use std::borrow::Cow;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, ISO_2022_JP, UTF_16BE, UTF_16LE};
use memchr::memmem;

use super::is_invisible;

/// Of so many characters one may be such as no text holds: terminals and crashed writers leave some behind.
const ODD_ONE_IN: usize = 100;
/// Of so many characters beyond ASCII one may be damaged for it still to be UTF-8.
const DAMAGED_ONE_IN: usize = 10;
/// What is looked at for the zero bytes of UTF-16.
const SAMPLE_BYTES: usize = 64 << 10;

/// Whether the bytes may be a text's, in any encoding.
pub(super) fn is_likely(bytes: &[u8]) -> bool {
    if Encoding::for_bom(bytes).is_some() || wide(bytes).is_some() {
        return true;
    }
    // Zero bytes stand in a log that was not written to its end; elsewhere they are no text's.
    let (zeros, odd) = bytes.iter().fold((0, 0), |(zeros, odd), byte| match byte {
        0 => (zeros + 1, odd),
        1..=6 | 0x0e..=0x1a | 0x1c..=0x1f | 0x7f => (zeros, odd + 1),
        _ => (zeros, odd),
    });
    if odd > (bytes.len() - zeros) / ODD_ONE_IN || bytes.iter().all(|byte| *byte == 0 || byte.is_ascii_whitespace()) {
        return false;
    }
    zeros == 0 || is_nearly_utf8(bytes)
}

/// Returns the text: line ends are `\n`, and what a terminal would act upon or nobody would see is gone. `None` where it
/// is no text in any encoding that is known.
pub(super) fn read(bytes: &[u8]) -> Option<String> {
    let decoded = decode(bytes);
    let (all, odd) = decoded.chars().fold((0_usize, 0_usize), |(all, odd), letter| match letter {
        '\0' => (all, odd),
        '\u{1}'..='\u{6}' | '\u{e}'..='\u{1a}' | '\u{1c}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{fffd}' => {
            (all + 1, odd + 1)
        }
        _ => (all + 1, odd),
    });
    // Of a short text one damaged end is no reason to refuse it.
    if odd > (all / ODD_ONE_IN).max(usize::from(all >= 4 && decoded.ends_with('\u{fffd}'))) {
        return None;
    }
    let text = plain(&decoded);
    (!text.trim().is_empty()).then_some(text)
}

fn decode(bytes: &[u8]) -> Cow<'_, str> {
    if let Some((encoding, _)) = Encoding::for_bom(bytes) {
        return encoding.decode_with_bom_removal(bytes).0;
    }
    if let Some(encoding) = wide(bytes) {
        return encoding.decode_without_bom_handling(bytes).0;
    }
    if memmem::find(bytes, b"\x1b$B").or(memmem::find(bytes, b"\x1b$@")).is_some() && bytes.is_ascii() {
        return ISO_2022_JP.decode_without_bom_handling(bytes).0;
    }
    if is_nearly_utf8(bytes) {
        return String::from_utf8_lossy(bytes);
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(bytes, true);
    detector.guess(None, Utf8Detection::Deny).decode_without_bom_handling(bytes).0
}

/// Returns the encoding where every other byte of much of it is zero: UTF-16 without a mark.
fn wide(bytes: &[u8]) -> Option<&'static Encoding> {
    let pairs = bytes[..bytes.len().min(SAMPLE_BYTES)].chunks_exact(2);
    let all = pairs.len();
    let zeros = |at: usize| pairs.clone().filter(|pair| pair[at] == 0).count();
    let (first, second) = (zeros(0), zeros(1));
    let is_most = |these: usize, others: usize| all >= 2 && these * 5 >= all * 2 && others * 20 <= all;
    if is_most(second, first) {
        Some(UTF_16LE)
    } else if is_most(first, second) {
        Some(UTF_16BE)
    } else {
        None
    }
}

/// Whether it is UTF-8, but for a few bytes: cut in the middle of its last character, or written by two.
fn is_nearly_utf8(bytes: &[u8]) -> bool {
    let (mut whole, mut damaged) = (0_usize, 0_usize);
    for chunk in bytes.utf8_chunks() {
        whole += chunk.valid().chars().filter(|letter| !letter.is_ascii()).count();
        damaged += usize::from(!chunk.invalid().is_empty());
    }
    let is_cut = || whole > 1 && std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none());
    damaged == 0 || damaged <= whole / DAMAGED_ONE_IN || is_cut()
}

fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(letter) = rest.next() {
        match letter {
            '\r' => {
                rest.next_if_eq(&'\n');
                plain.push('\n');
            }
            '\u{1b}' => skip_escape(&mut rest),
            '\n' | '\t' => plain.push(letter),
            _ if is_invisible(letter) => {}
            _ => plain.push(letter),
        }
    }
    plain
}

/// Skips what follows an escape in a terminal's colours and movements (ECMA-48, "Control sequences").
fn skip_escape(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    if rest.next_if_eq(&'[').is_none() {
        return;
    }
    while rest.next_if(|letter| matches!(letter, '\u{20}'..='\u{3f}')).is_some() {}
    rest.next_if(|letter| matches!(letter, '\u{40}'..='\u{7e}'));
}

#[cfg(test)]
mod tests {
    use encoding_rs::{EUC_KR, GBK, ISO_8859_2, KOI8_R, SHIFT_JIS, WINDOWS_1251, WINDOWS_1252};

    use super::*;

    const GERMAN: &str = "Name;Größe;Straße\r\nMüller;3,50 €;Hauptstraße 7\r\nGödel;2;Königsweg\r\n";
    const JAPANESE: &str = "サーバーの再起動に失敗しました。ログを確認してください。\n次の手順を試してください。\n";
    const CHINESE: &str = "服务器启动失败，请检查日志。\n数据库连接超时，请稍后再试。\n";
    const RUSSIAN: &str = "Сервер не запускается, проверьте журнал.\nОшибка подключения к базе данных.\n";
    const CZECH: &str = "Příliš žluťoučký kůň úpěl ďábelské ódy. Dobrý den, všechno je v pořádku, děkuji.\n";
    const KOREAN: &str = "서버를 다시 시작하지 못했습니다. 로그를 확인하십시오.\n";

    fn utf16(text: &str, little: bool, mark: bool) -> Vec<u8> {
        let units = mark.then_some(0xfeff).into_iter().chain(text.encode_utf16());
        units.flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect()
    }

    fn is_read_as(name: &str, bytes: &[u8], expected: &str) {
        assert!(is_likely(bytes), "{name} is taken for a text");
        assert_eq!(read(bytes).as_deref(), Some(&*expected.replace("\r\n", "\n")), "{name}");
    }

    #[test]
    fn c7_a_text_is_read_in_whatever_encoding_it_came() {
        let encoded = |encoding: &'static Encoding, text: &str| {
            let (bytes, _, failed) = encoding.encode(text);
            assert!(!failed, "{} cannot write the sample", encoding.name());
            bytes.into_owned()
        };
        for (encoding, text) in [
            (WINDOWS_1252, GERMAN),
            (SHIFT_JIS, JAPANESE),
            (ISO_2022_JP, JAPANESE),
            (GBK, CHINESE),
            (WINDOWS_1251, RUSSIAN),
            (KOI8_R, RUSSIAN),
            (ISO_8859_2, CZECH),
            (EUC_KR, KOREAN),
        ] {
            is_read_as(encoding.name(), &encoded(encoding, text), text);
        }
        for text in [GERMAN, RUSSIAN] {
            for little in [true, false] {
                is_read_as("UTF-16 with a mark", &utf16(text, little, true), text);
            }
        }
        is_read_as("UTF-16 with a mark", &utf16(JAPANESE, true, true), JAPANESE);
        is_read_as("UTF-16LE", &utf16(GERMAN, true, false), GERMAN);
        is_read_as("UTF-16BE", &utf16(GERMAN, false, false), GERMAN);
        is_read_as("UTF-8", JAPANESE.as_bytes(), JAPANESE);
        is_read_as("UTF-8 with a mark", format!("\u{feff}{GERMAN}").as_bytes(), GERMAN);
        is_read_as("one accent", b"caf\xe9, please", "café, please");
    }

    #[test]
    fn c7_what_terminals_and_crashes_leave_in_a_text_is_no_reason_to_refuse_it() {
        let rows: [(&[u8], &str); 9] = [
            (b"one\rtwo\rthree", "one\ntwo\nthree"),
            (b"one\r\ntwo\n\rthree", "one\ntwo\n\nthree"),
            (b"a line\n\0\0\0\0\0\0\0\0another", "a line\nanother"),
            (b"\x1b[1;31mred\x1b[0m and \x1b[2Kplain\x1b", "red and plain"),
            (b"10%\r20%\r100%\x08\x07\n", "10%\n20%\n100%\n"),
            (
                "cut in the middle: größer €".as_bytes().split_last_chunk::<1>().map_or(b"", |(head, _)| head),
                "cut in the middle: größer �",
            ),
            (b"form\x0cfeed", "formfeed"),
            ("right\u{200f} and zero\u{200b}width".as_bytes(), "right\u{200f} and zero\u{200b}width"),
            (b"{\\rtf1 text}", "{\\rtf1 text}"),
        ];
        for (bytes, expected) in rows {
            is_read_as(expected, bytes, expected);
        }
    }

    #[test]
    fn what_is_no_text_is_not_taken_for_one() {
        let noise: Vec<u8> = (0_u32..4_000).map(|n| (n.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
        let rows: [&[u8]; 8] = [
            b"",
            b" \n\t",
            b"\0\0\0\0",
            b"PK\x03\x04\x14\0\0\0\x08\0",
            b"\x7fELF\x02\x01\x01\0",
            &noise,
            &noise[..50],
            b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01",
        ];
        for bytes in rows {
            assert!(!is_likely(bytes) || read(bytes).is_none(), "{bytes:?}");
        }
    }
}
