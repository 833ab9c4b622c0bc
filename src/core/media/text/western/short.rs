//! Short texts, of which a few letters beyond ASCII do not tell a detector enough: the encoding in which they are most
//! usual is taken.

use std::borrow::Cow;

use encoding_rs::{Encoding, MACINTOSH, WINDOWS_1252};

use super::{PAGE_850, code_page_850};

/// Most letters beyond ASCII; of more the detector can tell the language.
const FEW_MAX: usize = 6;
/// Most bytes of a short text.
const BYTES_MAX: usize = 4 << 10;

/// Letters that are usual in Western languages, and those that are rarer or usual only in some places.
const USUAL: &str = "éèêàáâäãåçëíîïñóôöúûüøæœß";
const RARER: &str = "ùòìõ";
/// Signs that stand beside words, and signs that seldom do.
const SIGNS: &str = "€£§©®°±½¼•…–—«»“”„‘’¿¡·";

/// Costs of a character: that of another Latin letter lies between a rare Western one and one in a wrong place.
const RARE: u32 = 5;
const FOREIGN: u32 = 9;
const ODD: u32 = 20;
const WRONG: u32 = 50;
/// What a text of DOS costs beforehand, which is the rarest.
const DOS: u32 = 3;

/// Decodes a short text; `None` if it is none, or of a script of its own.
pub(super) fn decode<'a>(bytes: &'a [u8], guess: &'static Encoding) -> Option<(Cow<'a, str>, &'static str)> {
    let few = bytes.iter().filter(|byte| !byte.is_ascii()).count();
    if few > FEW_MAX || bytes.len() > BYTES_MAX {
        return None;
    }
    let decoded = |encoding: &'static Encoding| encoding.decode_without_bom_handling(bytes).0;
    let guessed = decoded(guess);
    // Letters of another script stand among their like; here they would stand among Latin ones.
    let is_latin = guessed.chars().all(|letter| letter.is_ascii() || is_latin(letter));
    if !is_latin && !is_among_latin(&guessed) {
        return None;
    }
    let mut best = (Cost::of(&guessed), guessed, guess.name());
    // Another language of Latin letters may be meant, which the detector knows.
    if is_latin && !std::ptr::eq(guess, WINDOWS_1252) && best.0.worst < ODD {
        return Some((best.1, best.2));
    }
    if !std::ptr::eq(guess, WINDOWS_1252) {
        let western = decoded(WINDOWS_1252);
        let cost = Cost::of(&western);
        if cost.all <= best.0.all {
            best = (cost, western, WINDOWS_1252.name());
        }
    }
    let others = [(decoded(MACINTOSH), 0, MACINTOSH.name()), (Cow::Owned(code_page_850(bytes)), DOS, PAGE_850)];
    for (text, rarity, name) in others {
        let cost = Cost::of(&text);
        let cost = Cost { all: cost.all + rarity, ..cost };
        if cost.all < best.0.all {
            best = (cost, text, name);
        }
    }
    Some((best.1, best.2))
}

fn is_latin(letter: char) -> bool {
    matches!(letter, '\u{80}'..='\u{24f}' | 'ˆ' | '˜' | '\u{2000}'..='\u{20cf}' | '\u{2100}'..='\u{23ff}' | '\u{2500}'..='\u{25ff}' | '\u{fffd}')
}

/// Returns whether every word with a letter of another script has Latin letters too.
fn is_among_latin(text: &str) -> bool {
    text.split(|letter: char| !letter.is_alphanumeric())
        .all(|word| word.is_ascii() || word.chars().any(|letter| letter.is_ascii_alphabetic()))
        && text.chars().any(|letter| letter.is_ascii_alphabetic())
}

/// How unusual a text's characters are where they stand.
#[derive(Clone, Copy, Default)]
struct Cost {
    all: u32,
    worst: u32,
}

impl Cost {
    fn of(text: &str) -> Self {
        let (mut cost, mut before) = (Self::default(), ' ');
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            let behind = letters.peek().copied().unwrap_or(' ');
            let of_letter = if !letter.is_ascii() {
                of(before, letter, behind) + unpaired(text, letter)
            } else if letter.is_uppercase() && !before.is_ascii() && before.is_uppercase() && behind.is_lowercase() {
                WRONG
            } else {
                0
            };
            cost = Self { all: cost.all + of_letter, worst: cost.worst.max(of_letter) };
            before = letter;
        }
        cost
    }
}

/// Returns what a sign costs whose other half is missing.
fn unpaired(text: &str, sign: char) -> u32 {
    let is_missing = match sign {
        '¿' => !text.contains('?'),
        '¡' => !text.contains('!'),
        '“' => !text.contains(['”', '„']),
        '”' => !text.contains(['“', '„']),
        '«' => !text.contains('»'),
        '»' => !text.contains('«'),
        _ => return 0,
    };
    if is_missing { RARE + 1 } else { 0 }
}

/// Returns what a character costs between these two.
fn of(before: char, letter: char, behind: char) -> u32 {
    match letter {
        '\u{80}'..='\u{9f}' | char::REPLACEMENT_CHARACTER => WRONG,
        '\u{a0}' => 0,
        letter if SIGNS.contains(letter) => of_sign(before, letter, behind),
        'ª' | 'º' if before.is_ascii_digit() => RARE,
        'ª' | 'º' => ODD,
        letter if !letter.is_alphabetic() => {
            if before.is_alphabetic() && behind.is_alphabetic() {
                WRONG
            } else {
                ODD
            }
        }
        letter => of_case(before, letter, behind).unwrap_or_else(|| of_letter(before, letter, behind)),
    }
}

fn of_sign(before: char, sign: char, behind: char) -> u32 {
    let (word_before, word_behind) = (before.is_alphabetic(), behind.is_alphabetic());
    match sign {
        '’' if word_before => 0,
        '–' | '—' if word_before || word_behind => RARE,
        '·' if word_before && word_behind => 0,
        _ if word_before && word_behind => ODD,
        '¿' | '¡' | '„' | '“' | '«' if word_before => ODD,
        '”' | '»' | '…' if word_behind => ODD,
        '…' if before.is_uppercase() => ODD,
        '°' if word_before => RARE,
        '€' | '£' | '©' | '®' | '§' | '±' | '½' | '¼' | '•' if word_before || word_behind => RARE,
        _ => 0,
    }
}

/// Returns what a letter costs that is large or small where it cannot be.
fn of_case(before: char, letter: char, behind: char) -> Option<u32> {
    let (begins, ends) = (!before.is_alphabetic(), !behind.is_alphabetic());
    match letter {
        'À' | 'È' | 'É' | 'Ó' if !before.is_alphanumeric() && behind == ' ' => Some(RARE),
        _ if letter.is_uppercase() && (before.is_lowercase() || !begins && behind.is_lowercase()) => Some(WRONG),
        _ if letter.is_uppercase() && begins && ends => Some(ODD),
        'ß' => None,
        _ if letter.is_lowercase() && before.is_uppercase() && behind.is_uppercase() => Some(WRONG),
        _ if letter.is_lowercase() && before.is_ascii_uppercase() && ends => Some(ODD),
        _ if letter.is_lowercase() && begins && behind.is_ascii_uppercase() => Some(ODD),
        _ => None,
    }
}

/// Returns how rare a letter is in Western languages, by what they have at the beginning and the end of words.
fn of_letter(before: char, letter: char, behind: char) -> u32 {
    let (begins, ends) = (!before.is_alphabetic(), !behind.is_alphabetic());
    let lower = letter.to_lowercase().next().unwrap_or(letter);
    if RARER.contains(lower) {
        return match lower {
            'õ' if "eE".contains(behind) => 0,
            'õ' => FOREIGN,
            _ if ends && !begins => 1,
            _ => RARE,
        };
    }
    if !USUAL.contains(lower) {
        return FOREIGN;
    }
    let capital = if letter.is_uppercase() { 2 } else { 0 };
    capital
        + match lower {
            'ß' if begins => ODD,
            'œ' | 'æ' if begins && letter.is_uppercase() => RARE,
            'ë' | 'ï' | 'ñ' | 'ã' if begins => FOREIGN,
            'ç' if letter == 'ç' && !ends && !"aouAOU".contains(behind) => RARE,
            'ã' if !"oeOEns ".contains(behind) => RARE,
            'î' | 'û' | 'ô' if ends => RARE + 1,
            'î' | 'â' => 2,
            'ç' | 'å' | 'á' | 'à' | 'ê' if ends => 1,
            'û' | 'ô' => 1,
            _ => 0,
        }
}
