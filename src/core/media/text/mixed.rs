//! Texts that two programs wrote, one in UTF-8 and one in something older: each line is read by itself.

use super::{guessed, western};

/// Fewest characters beyond ASCII in lines of UTF-8 that prove it: they hardly occur by chance.
const LETTERS_MIN: usize = 3;

/// Decodes a text whose lines are in UTF-8 or in another encoding, and returns the name of the other one.
pub(super) fn decode(bytes: &[u8]) -> Option<(String, &'static str)> {
    let lines = || bytes.split_inclusive(|byte| *byte == b'\n');
    let (mut letters, mut whole, mut other) = (0, 0, Vec::new());
    for line in lines().filter(|line| !line.is_ascii()) {
        match std::str::from_utf8(line) {
            Ok(line) => {
                whole += 1;
                letters += line.chars().filter(|letter| !letter.is_ascii()).count();
            }
            Err(_) => other.push(line),
        }
    }
    // Of another encoding, few lines would be UTF-8.
    if letters < LETTERS_MIN || other.is_empty() || whole * 4 < other.len() {
        return None;
    }
    let rest = other.concat();
    let guess = guessed(&rest);
    let (_, name) = western::decode(&rest, guess);
    let decoded = lines().map(|line| match std::str::from_utf8(line) {
        Ok(line) => line.to_owned(),
        Err(_) => western::by_name(line, name, guess),
    });
    Some((decoded.collect(), name))
}

#[cfg(test)]
mod tests {
    use encoding_rs::{SHIFT_JIS, WINDOWS_1252};

    use super::{super::read, *};

    #[test]
    fn c7_a_text_of_two_programs_is_read_line_by_line_and_the_model_is_told() {
        let new = "2026-11-30 Größe überschritten, bitte prüfen\n";
        let old = "2019-01-02 Müller: Straße nicht gefunden, später erneut\n";
        let both = [new.as_bytes(), &WINDOWS_1252.encode(old).0, new.as_bytes(), &WINDOWS_1252.encode(old).0].concat();
        let found = read(&both).expect("a text");
        assert_eq!(found.text, [new, old, new, old].concat());
        assert_eq!(
            (found.odd, found.read_as.map(crate::core::media::decoded::Charset::name)),
            (0, Some("windows-1252"))
        );
        assert!(found.is_mixed);

        for text in ["サーバーの再起動に失敗しました。\nログを確認してください。\n", "エラー\n"]
        {
            let alone = SHIFT_JIS.encode(text).0.into_owned();
            assert_eq!(decode(&alone), None, "{text}");
        }
        assert_eq!(decode(new.as_bytes()), None);
        assert_eq!(decode(&WINDOWS_1252.encode(old).0), None);
    }
}
