//! Western texts in encodings that the detector does not know: Mac OS Roman, and DOS code page 850 (whose letters are
//! those of 437). They are chosen if a text reads badly in the detected encoding, and well in one of them.

use std::borrow::Cow;

use encoding_rs::{Encoding, MACINTOSH, WINDOWS_1252};

mod short;

/// Bytes that are examined.
const SAMPLE_BYTES: usize = 64 << 10;
/// One in this many non-ASCII characters may be out of place in a text that reads well.
const BAD_ONE_IN: usize = 20;
/// At least one in this many is out of place in a text that reads badly.
const BAD_MANY_IN: usize = 5;
/// Non-ASCII letters of Western texts; Windows' code page has more, for foreign words.
const WESTERN: &str = "ÄÖÜäöüßÉÈÊËéèêëÀÂàâÇçÎÏîïÔôÛÙûùœŒÑñÁÍÓÚáíóúÌÒìòÃÕãõÅåØøÆæÝýÐðÞþªº";
/// The upper half of code page 850 (Unicode's mapping table `CP850.TXT`).
const CODE_PAGE_850: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜø£Ø×ƒáíóúñÑªº¿®¬½¼¡«»░▒▓│┤ÁÂÀ©╣║╗╝¢¥┐└┴┬├─┼ãÃ╚╔╩╦╠═╬¤ðÐÊËÈıÍÎÏ┘┌█▄¦Ì▀\
    ÓßÔÒõÕµþÞÚÛÙýÝ¯´\u{ad}±‗¾¶§÷¸°¨·¹³²■\u{a0}";

/// The name of code page 850.
const PAGE_850: &str = "IBM850";

/// Decodes a text in the detector's `guess`, or in another encoding in which it reads well; returns which it was.
pub(super) fn decode<'a>(bytes: &'a [u8], guess: &'static Encoding) -> (Cow<'a, str>, &'static str) {
    if let Some(read) = short::decode(bytes, guess) {
        return read;
    }
    let sample = &bytes[..bytes.len().min(SAMPLE_BYTES)];
    let is_western = std::ptr::eq(guess, WINDOWS_1252);
    let guessed = Reading::of(&guess.decode_without_bom_handling(sample).0, is_western);
    if guessed.is_bad() {
        if Reading::of(&MACINTOSH.decode_without_bom_handling(sample).0, true).is_good() {
            return (MACINTOSH.decode_without_bom_handling(bytes).0, MACINTOSH.name());
        }
        if Reading::of(&code_page_850(sample), true).is_good() {
            return (Cow::Owned(code_page_850(bytes)), PAGE_850);
        }
    }
    (guess.decode_without_bom_handling(bytes).0, guess.name())
}

/// Decodes a part of a text that [`decode`] read in the encoding of this name.
pub(super) fn by_name(bytes: &[u8], name: &str, guess: &'static Encoding) -> String {
    let encoding = match name {
        PAGE_850 => return code_page_850(bytes),
        _ => Encoding::for_label(name.as_bytes()).unwrap_or(guess),
    };
    encoding.decode_without_bom_handling(bytes).0.into_owned()
}

fn code_page_850(bytes: &[u8]) -> String {
    let upper: Vec<char> = CODE_PAGE_850.chars().collect();
    let letter = |byte: &u8| match byte {
        0..=0x7f => char::from(*byte),
        _ => upper.get(usize::from(byte - 0x80)).copied().unwrap_or(char::REPLACEMENT_CHARACTER),
    };
    bytes.iter().map(letter).collect()
}

/// How well a text reads.
struct Reading {
    /// Non-ASCII characters.
    all: usize,
    /// Those of them that are out of place.
    bad: usize,
}

impl Reading {
    fn of(text: &str, is_western: bool) -> Self {
        let (mut all, mut bad, mut before) = (0, 0, ' ');
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            if !letter.is_ascii() {
                let behind = letters.peek().copied().unwrap_or(' ');
                all += 1;
                bad += usize::from(!is_at_home(before, letter, behind, is_western));
            }
            before = letter;
        }
        Self { all, bad }
    }

    fn is_bad(&self) -> bool {
        self.bad > 0 && self.bad * BAD_MANY_IN >= self.all
    }

    fn is_good(&self) -> bool {
        self.bad * BAD_ONE_IN <= self.all
    }
}

/// Returns whether a non-ASCII character may be between these two.
fn is_at_home(before: char, letter: char, behind: char, is_western: bool) -> bool {
    let is_within = before.is_alphabetic() && behind.is_alphabetic();
    match letter {
        '\u{80}'..='\u{9f}' | char::REPLACEMENT_CHARACTER => false,
        'À'..='ɏ' if letter.is_alphabetic() => {
            let is_known = !is_western || WESTERN.contains(letter);
            let is_capital_within = letter.is_uppercase() && before.is_lowercase();
            let is_small_among_capitals =
                letter.is_lowercase() && letter != 'ß' && before.is_ascii_uppercase() && behind.is_ascii_uppercase();
            is_known && !is_capital_within && !is_small_among_capitals
        }
        '’' | '—' | '\u{ad}' => true,
        '·' => !is_within || before == 'l' && behind == 'l',
        // Letters of another script are among letters of the same script.
        _ if letter.is_alphabetic() => !(is_western || before.is_ascii_alphabetic() && behind.is_ascii_alphabetic()),
        '„' | '‚' | '«' | '‹' | '¿' | '¡' => !before.is_alphabetic() || before == 'l',
        '†' | '‡' | 'ˆ' | '‰' | '˜' | '¯' | '¸' | '¬' | '¤' | '¦' | '¨' => {
            !before.is_alphabetic() && !behind.is_alphabetic()
        }
        _ => !is_within,
    }
}

#[cfg(test)]
mod tests {
    use encoding_rs::{ISO_8859_2, WINDOWS_1250, WINDOWS_1251};

    use super::{super::read, *};

    const GERMAN: &str = "Name;Größe;Straße\nMüller;3,50;Hauptstraße 7\nÄrger im Büro: „schöne Grüße“\n";
    const FRENCH: &str = "L’été dernier, nous étions à Évian : le café était très bon, ça va de soi, dès le début.\n";
    const SPANISH: &str = "El año pasado llovió más; ¿qué pasará mañana? Información útil: canción, corazón.\n";
    const ENGLISH: &str = "It’s the caller’s job – don’t “retry” forever… said José.\n";

    fn read_as(text: &str, bytes: &[u8]) {
        assert_eq!(read(bytes).map(|read| read.text).as_deref(), Some(text));
    }

    fn in_code_page_850(text: &str) -> Vec<u8> {
        let byte = |letter: char| match letter {
            '\0'..='\x7f' => u8::try_from(letter).ok(),
            _ => CODE_PAGE_850.chars().position(|upper| upper == letter).and_then(|at| u8::try_from(at + 0x80).ok()),
        };
        text.chars().map(|letter| byte(letter).expect("a letter of the page")).collect()
    }

    #[test]
    fn c7_mac_roman_and_dos_texts_are_read() {
        assert_eq!(CODE_PAGE_850.chars().count(), 128);
        for text in [GERMAN, FRENCH, SPANISH, ENGLISH, "Größe", "café, déjà vu", "it’s"] {
            read_as(text, &MACINTOSH.encode(text).0);
        }
        for text in [GERMAN, FRENCH, SPANISH, "Größe", "café"] {
            let plain = text.replace(['„', '“'], "\"").replace('’', "'");
            read_as(&plain, &in_code_page_850(&plain));
        }
    }

    #[test]
    fn e_a_few_letters_of_a_short_text_are_read_in_the_encoding_in_which_they_are_usual() {
        for text in
            ["¡Hola!", "Île", "élève", "5 €", "• item", "§ 5", "Ärger", "Über", "così", "Últimos días", "naïve", "café"]
        {
            read_as(text, &MACINTOSH.encode(text).0);
        }
        for text in ["Bär", "Zürich", "für", "Tür zu", "São Paulo", "naïve", "© 2020", "ÉCOLE"] {
            read_as(text, &in_code_page_850(text));
        }
        for text in ["¡Hola!", "café", "Ärger", "À bientôt", "l’île", "25 °C", "CAFÉ", "È vero", "mañana", "½"]
        {
            read_as(text, &WINDOWS_1252.encode(text).0);
        }
        for text in ["Zażółć", "źródło błędu", "příliš", "Žluťoučký", "idő", "könyvtár őszi"] {
            read_as(text, &WINDOWS_1250.encode(text).0);
        }
        for text in ["привет", "API не работает"] {
            read_as(text, &WINDOWS_1251.encode(text).0);
        }
    }

    #[test]
    fn c7_what_the_detector_knows_stays_as_it_says() {
        for text in [GERMAN, FRENCH, SPANISH, ENGLISH, "5 € für „alles“ – bitte…", "MÜLLER & SÖHNE"] {
            read_as(text, &WINDOWS_1252.encode(text).0);
        }
        let czech = "Příliš žluťoučký kůň úpěl ďábelské ódy. Dobrý den, všechno je v pořádku, děkuji.\n";
        let polish = "Zażółć gęślą jaźń. Proszę sprawdzić dziennik, błąd połączenia z bazą.\n";
        for (encoding, text) in [(WINDOWS_1250, czech), (ISO_8859_2, czech), (WINDOWS_1250, polish)] {
            read_as(text, &encoding.encode(text).0);
        }
        let russian = "Сервер API не запускается: ошибка TLS в модуле db.\n";
        read_as(russian, &WINDOWS_1251.encode(russian).0);
    }
}
