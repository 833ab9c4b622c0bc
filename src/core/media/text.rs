//! Text files: recognised by their bytes in any encoding, and passed on as people would read them.
//!
//! [`is_likely`] is our own code and runs anywhere; [`read`] uses a library and runs in the sandbox.

use std::borrow::Cow;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, ISO_2022_JP, UTF_16BE, UTF_16LE};
use memchr::memmem;

use super::{decoded::Charset, is_invisible};

mod mixed;
mod rare;
#[cfg(test)]
mod short_ones;
mod western;

/// One in this many characters may be odd for a text: terminals, crashed writers and table cells leave some.
const ODD_ONE_IN: usize = 20;
/// This many odd characters do not disqualify a short text with enough characters around each.
const FEW_ODD: usize = 4;
const AROUND_EACH: usize = 8;
/// UTF-8's longer characters hardly occur by chance: this many for each damaged place prove the encoding.
const DAMAGED_ONE_IN: usize = 2;
/// Bytes examined for UTF-16 without a byte order mark.
const SAMPLE_BYTES: usize = 64 << 10;
/// Fewest characters from which UTF-16 can be told in scripts without zero bytes.
const UNITS_MIN: usize = 8;
/// Signatures of binary files that contain much text.
const BINARY_MARKS: [&[u8]; 8] = [
    b"SQLite format 3\0",
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"\x7fELF",
    b"\xca\xfe\xba\xbe",
    b"OggS\0",
    b"bplist0",
    b"ID3\x03",
];
/// Signatures of packed files: gzip, compress, bzip2, xz, 7-Zip, Zstandard, LZ4 and RAR.
const PACKED_MARKS: [&[u8]; 8] = [
    b"\x1f\x8b",
    b"\x1f\x9d",
    b"BZh",
    b"\xfd7zXZ",
    b"7z\xbc\xaf",
    b"\x28\xb5\x2f\xfd",
    b"\x04\x22\x4d\x18",
    b"Rar!\x1a",
];

/// A decoded text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) text: String,
    /// Zero bytes, control characters and undecodable places, which were dropped or replaced.
    pub(super) odd: u32,
    /// The encoding, unless it is UTF-8 or named by the text itself.
    pub(super) read_as: Option<Charset>,
    /// Whether only some of its lines are in that encoding, and the others in UTF-8.
    pub(super) is_mixed: bool,
}

/// What the bytes of a file are that cannot be read as a text, whatever its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binary {
    /// One packed file, or an archive that only packs.
    Packed,
    /// Anything else of which the signature is known.
    Other,
}

/// Returns what a file is by its signature, if it is no text.
pub(super) fn binary(bytes: &[u8]) -> Option<Binary> {
    let of = |marks: &[&[u8]]| marks.iter().any(|mark| bytes.starts_with(mark));
    match () {
        () if of(&PACKED_MARKS) => Some(Binary::Packed),
        () if of(&BINARY_MARKS) => Some(Binary::Other),
        () => None,
    }
}

/// Returns whether there is nothing to read: no bytes, or only blanks.
pub(super) fn is_empty(bytes: &[u8]) -> bool {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).iter().all(u8::is_ascii_whitespace)
}

/// Returns whether the bytes may be a text in some encoding.
pub(super) fn is_likely(bytes: &[u8]) -> bool {
    if is_empty(bytes) || binary(bytes).is_some() {
        return false;
    }
    if Encoding::for_bom(bytes).is_some() || wide(bytes).is_some() || rare::is_likely(bytes) {
        return true;
    }
    let (mut zeros, mut odd, mut seen) = (0, 0, 0);
    for byte in bytes {
        match byte {
            0 => zeros += 1,
            1..=6 | 0x0e..=0x1a | 0x1c..=0x1f | 0x7f => odd += 1,
            b'!'..=b'~' => seen += 1,
            _ => {}
        }
    }
    // Zero bytes occur in a log that was not written to its end, and between joined texts.
    let all = bytes.len() - zeros;
    is_mostly_text(all, odd) && (zeros == 0 || seen * 3 >= all || is_nearly_utf8(bytes)) && all > 0
}

/// Returns whether odd characters are few enough for a text.
fn is_mostly_text(all: usize, odd: usize) -> bool {
    odd <= all / ODD_ONE_IN || (odd <= FEW_ODD && all >= odd * AROUND_EACH)
}

/// Decodes a text: line ends become `\n`, and terminal controls and invisible characters are removed. `None` if it is
/// not a text in a known encoding.
pub(super) fn read(bytes: &[u8]) -> Option<Read> {
    let (decoded, read_as, is_mixed) = decode(bytes);
    let (mut all, mut zeros, mut odd, mut before) = (0, 0, 0, ' ');
    for letter in decoded.chars() {
        match letter {
            '\0' => zeros += 1,
            '\u{fffd}' if before == letter => {}
            '\u{1}'..='\u{6}' | '\u{e}'..='\u{1a}' | '\u{1c}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{fffd}' => {
                odd += 1;
                all += 1;
            }
            _ => all += 1,
        }
        before = letter;
    }
    // A damaged end does not disqualify a short text.
    let is_cut = odd == 1 && all >= 4 && decoded.ends_with('\u{fffd}');
    if !is_mostly_text(all, odd) && !is_cut {
        return None;
    }
    let read_as = read_as.and_then(Charset::named);
    Some(Read { text: plain(&decoded), odd: u32::try_from(odd + zeros).unwrap_or(u32::MAX), read_as, is_mixed })
}

/// Returns the text, the name of its encoding if it had to be guessed, and whether that holds for some lines only.
fn decode(bytes: &[u8]) -> (Cow<'_, str>, Option<&'static str>, bool) {
    if let Some((text, name)) = rare::decode(bytes) {
        return (Cow::Owned(text), Some(name), false);
    }
    if let Some((encoding, _)) = Encoding::for_bom(bytes) {
        return (encoding.decode_with_bom_removal(bytes).0, None, false);
    }
    let iso_2022_jp = || {
        let is_it = memmem::find(bytes, b"\x1b$B").or(memmem::find(bytes, b"\x1b$@")).is_some() && bytes.is_ascii();
        is_it.then_some(ISO_2022_JP)
    };
    if let Some(encoding) = wide(bytes).or_else(iso_2022_jp) {
        return (encoding.decode_without_bom_handling(bytes).0, Some(encoding.name()), false);
    }
    if is_nearly_utf8(bytes) {
        return (String::from_utf8_lossy(bytes), None, false);
    }
    if let Some(whole) = with_whole_characters(bytes) {
        return (Cow::Owned(String::from_utf8_lossy(&whole).into_owned()), None, false);
    }
    // Undecodable bytes on lines of their own would make a detector guess a wrong encoding for the whole.
    if is_ascii_but_for_odd_lines(bytes) {
        return (String::from_utf8_lossy(bytes), None, false);
    }
    if let Some((text, name)) = mixed::decode(bytes) {
        return (Cow::Owned(text), Some(name), true);
    }
    let (text, name) = western::decode(bytes, guessed(bytes));
    (text, Some(name), false)
}

/// Returns the encoding that a text in none of Unicode's seems to be in.
fn guessed(bytes: &[u8]) -> &'static Encoding {
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(bytes, true);
    detector.guess(None, Utf8Detection::Deny)
}

/// Returns the encoding if it is UTF-16 without a byte order mark: much of it has zeros in every other byte, or only
/// this reading makes sense.
fn wide(bytes: &[u8]) -> Option<&'static Encoding> {
    let sample = &bytes[..bytes.len().min(SAMPLE_BYTES)];
    let pairs = sample.chunks_exact(2);
    let all = pairs.len();
    let zeros = |at: usize| pairs.clone().filter(|pair| pair[at] == 0).count();
    let (first, second) = (zeros(0), zeros(1));
    let is_most = |these: usize, others: usize| all >= 2 && these * 5 >= all * 2 && others * 20 <= all;
    if is_most(second, first) {
        return Some(UTF_16LE);
    }
    if is_most(first, second) {
        return Some(UTF_16BE);
    }
    let is_utf8 = || {
        std::str::from_utf8(sample).is_ok_and(|text| !text.contains(|letter: char| matches!(letter, '\u{1}'..='\u{6}')))
    };
    if all < UNITS_MIN || is_utf8() {
        return None;
    }
    let reads = |of: fn([u8; 2]) -> u16| reads_well(pairs.clone().map(|pair| of([pair[0], pair[1]])));
    match (reads(u16::from_le_bytes), reads(u16::from_be_bytes)) {
        (true, false) => Some(UTF_16LE),
        (false, true) => Some(UTF_16BE),
        _ => None,
    }
}

/// Returns whether UTF-16 units read as living scripts with spaces, line ends or full stops in between.
fn reads_well(units: impl Iterator<Item = u16>) -> bool {
    let (mut all, mut known, mut stops) = (0, 0, 0);
    for unit in units {
        all += 1;
        known +=
            usize::from(matches!(unit, 0x9 | 0xa | 0xd | 0x20..=0x7e | 0xa0..=0x24f | 0x370..=0x52f | 0x590..=0x6ff
            | 0x900..=0xdff | 0xe00..=0xe7f | 0x2010..=0x2044 | 0x3000..=0x30ff | 0x4e00..=0x9fa5 | 0xac00..=0xd7a3
            | 0xff00..=0xff65));
        stops += usize::from(matches!(unit, 0xa | 0x20 | 0x3000..=0x3002 | 0xff01 | 0xff0c | 0xff1f));
    }
    known * 20 >= all * 19 && stops > 0 && stops * 100 >= all
}

/// Returns whether it is UTF-8 except for a few bytes: cut inside a character, or written by two programs.
fn is_nearly_utf8(bytes: &[u8]) -> bool {
    let (mut whole, mut damaged, mut at) = (0_usize, 0_usize, 0_usize);
    for chunk in bytes.utf8_chunks() {
        whole += chunk.valid().chars().map(|letter| letter.len_utf8() - 1).sum::<usize>();
        at += chunk.valid().len() + chunk.invalid().len();
        let is_last = at == bytes.len() && !chunk.invalid().is_empty();
        // The first bytes of a longer character at the very end.
        let is_cut = is_last && chunk.invalid().first().is_some_and(|byte| *byte >= 0xc2) && {
            std::str::from_utf8(chunk.invalid()).is_err_and(|error| error.error_len().is_none())
        };
        let ends_early = is_cut && (whole > 1 || chunk.invalid().len() > 1);
        damaged += usize::from(!chunk.invalid().is_empty() && !ends_early);
    }
    damaged == 0 || damaged <= whole / DAMAGED_ONE_IN
}

/// Joins characters written as two UTF-16 surrogates (CESU-8, as Java and Oracle do), if the result is UTF-8. An
/// unpaired one stays, and is replaced later.
fn with_whole_characters(bytes: &[u8]) -> Option<Vec<u8>> {
    let half = |at: usize, kinds: std::ops::RangeInclusive<u8>| match bytes.get(at..at + 3) {
        Some([0xed, kind, last @ 0x80..=0xbf]) if kinds.contains(kind) => {
            Some(u32::from(kind & 0x0f) << 6 | u32::from(last & 0x3f))
        }
        _ => None,
    };
    let (mut whole, mut at, mut halves) = (Vec::with_capacity(bytes.len()), 0, 0);
    while let Some(byte) = bytes.get(at) {
        let pair = half(at, 0xa0..=0xaf).zip(half(at + 3, 0xb0..=0xbf));
        if let Some(letter) = pair.and_then(|(high, low)| char::from_u32(0x1_0000 + (high << 10) + low)) {
            whole.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            (at, halves) = (at + 6, halves + 1);
        } else if half(at, 0xa0..=0xbf).is_some() {
            whole.extend_from_slice("\u{fffd}".as_bytes());
            (at, halves) = (at + 3, halves + 1);
        } else {
            whole.push(*byte);
            at += 1;
        }
    }
    (halves > 0 && is_nearly_utf8(&whole)).then_some(whole)
}

/// Returns whether non-ASCII bytes are confined to a few lines that also contain control characters.
fn is_ascii_but_for_odd_lines(bytes: &[u8]) -> bool {
    let (mut lines, mut beyond, mut odd) = (0_usize, 0_usize, 0_usize);
    for line in bytes.split(|byte| *byte == b'\n') {
        lines += 1;
        let is_odd = line.iter().any(|byte| matches!(byte, 1..=6 | 0x0e..=0x1a | 0x1c..=0x1f | 0x7f));
        beyond += usize::from(!line.is_ascii());
        odd += usize::from(!line.is_ascii() && is_odd);
    }
    odd > 0 && odd == beyond && beyond * 4 <= lines
}

pub(super) fn plain(text: &str) -> String {
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
            '\u{fffd}' if plain.ends_with(letter) => {}
            _ if is_invisible(letter) => {}
            _ => plain.push(letter),
        }
    }
    plain
}

/// Skips the rest of a terminal escape sequence (ECMA-48, "Control sequences").
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
        assert_eq!(read(bytes).map(|read| read.text), Some(expected.replace("\r\n", "\n")), "{name}");
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
    fn c7_a_text_with_a_few_odd_bytes_is_read_and_the_model_is_told() {
        let with = |text: &str, odd: &[u8]| [text.as_bytes(), odd].concat();
        let encoded = |encoding: &'static Encoding, text: &str| encoding.encode(text).0.into_owned();
        let cell: Vec<u8> = (0_u32..120).map(|n| (n.wrapping_mul(2_654_435_761) >> 11).to_le_bytes()[0]).collect();
        let cell: Vec<u8> = cell.into_iter().filter(|byte| *byte != b'\n' && *byte != b'\r').collect();
        let table = "id,name,value\n".repeat(80);
        let odd_table = [table.as_bytes(), b"7,", &cell, b",end\n", table.as_bytes()].concat();
        let rows: Vec<(&str, Vec<u8>, &str)> = vec![
            ("zero bytes at the end", with("started\n", &[0; 40]), "started\n"),
            ("one zero byte", b"key=value\0\nother=1\n".to_vec(), "key=value\nother=1\n"),
            (
                "latin-1 with zero bytes",
                b"caf\xe9 au lait, s'il vous pla\xeet\0\0".to_vec(),
                "café au lait, s'il vous plaît",
            ),
            ("UTF-8 with a stray byte", with("naïve café, ", b"\xff ok"), "naïve café, � ok"),
            ("a control character", b"left\x01right\n".to_vec(), "leftright\n"),
            ("separators of records", b"MSH|a|b\x1cPID|c|d\x1cOBX|e".to_vec(), "MSH|a|bPID|c|dOBX|e"),
            ("cut at its beginning", "é, größer und schöner".as_bytes()[1..].to_vec(), "�, größer und schöner"),
            ("cut in its only character", b"costs 5 \xe2\x82".to_vec(), "costs 5 �"),
            ("CESU-8", b"ok \xed\xa0\xbd\xed\xb8\x80 done".to_vec(), "ok 😀 done"),
            ("half of a CESU-8 pair", with("größer 😀 ", b"\xed\xa0\xbd end"), "größer 😀 � end"),
        ];
        for (name, bytes, expected) in rows {
            is_read_as(name, &bytes, expected);
            assert!(name == "CESU-8" || read(&bytes).is_some_and(|read| read.odd > 0), "{name} is told");
        }
        assert!(is_likely(&odd_table), "a table with a cell of bytes");
        let read_table = read(&odd_table).expect("a table");
        assert!(read_table.text.starts_with(&table) && read_table.text.ends_with(&format!(",end\n{table}")));
        assert!(read_table.text.contains('�') && read_table.odd > 0);
        for text in [GERMAN, RUSSIAN, JAPANESE] {
            assert_eq!(read(text.as_bytes()).map(|read| read.odd), Some(0));
        }
        for (encoding, text) in [
            (WINDOWS_1251, "Ошибка: нет соединения\n"),
            (KOI8_R, "Привет, мир\n"),
            (SHIFT_JIS, "エラーが発生しました\n"),
            (GBK, "连接失败，请重试\n"),
            (WINDOWS_1252, "Größe: 3,50 €\n"),
        ] {
            is_read_as(encoding.name(), &encoded(encoding, text), text);
            is_read_as(
                encoding.name(),
                &[&encoded(encoding, text)[..], b"at 12:30 in main.c\0"].concat(),
                &format!("{text}at 12:30 in main.c"),
            );
        }
        for text in [JAPANESE, CHINESE, RUSSIAN, KOREAN] {
            for little in [true, false] {
                is_read_as("UTF-16 without a mark", &utf16(text, little, false), text);
            }
        }
    }

    #[test]
    fn c7_what_holds_nothing_is_empty_and_what_is_binary_stays_so() {
        for bytes in [&b""[..], b" ", b"\r\n", b"\r\r\r", b"\n\n\t", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"] {
            assert!(is_empty(bytes) && !is_likely(bytes), "{bytes:?}");
        }
        for bytes in [&b"x"[..], b"7", "é".as_bytes(), b"a\n"] {
            assert!(!is_empty(bytes) && is_likely(bytes), "{bytes:?}");
        }
        let strings = [&b"\x7fELF\x02\x01"[..], &b"a long string of the program\0".repeat(50)].concat();
        let store = [&b"SQLite format 3\0\x10\0\x01"[..], &b"INSERT INTO notes VALUES ".repeat(90)].concat();
        let pixels = [&b"BM\x36\x30\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0"[..], &[0xff; 3_000]].concat();
        for bytes in [&b"\x01\x02\x03\x04\x05"[..], b"\0", b"\0\0\0\0\x01", &strings, &store, &pixels] {
            assert!(!is_likely(bytes) || read(bytes).is_none(), "{:?}", &bytes[..bytes.len().min(20)]);
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
