//! Forms of a name in which people call its owner: `Anno,` for Anna, `Петре,` for Петър.

use super::{
    folding::is_same,
    nods,
    others::{EVERYDAY, GREETINGS},
    spelling::CALLING,
};
use crate::core::legible::is_hidden;

/// How a name may end, how it then ends as a call, and the least letters of the name.
const ENDINGS: [(&str, &str, usize); 48] = [
    // West and South Slavic.
    ("a", "o", 3),
    ("ia", "io", 4),
    ("ja", "ju", 4),
    ("śka", "śko", 4),
    ("ek", "ku", 4),
    ("ek", "ka", 4),
    ("el", "le", 4),
    ("ec", "če", 4),
    ("r", "ře", 4),
    ("r", "rze", 4),
    ("k", "ku", 4),
    ("h", "hu", 4),
    ("š", "ši", 4),
    ("j", "ju", 4),
    ("n", "nie", 4),
    ("ł", "le", 5),
    ("t", "cie", 5),
    ("d", "dzie", 5),
    ("m", "mie", 4),
    ("w", "wie", 4),
    ("", "e", 4),
    ("", "i", 5),
    ("", "u", 5),
    // Baltic.
    ("as", "ai", 4),
    ("as", "a", 5),
    ("is", "i", 4),
    ("ys", "y", 4),
    ("us", "au", 4),
    ("ė", "e", 4),
    ("s", "", 5),
    // Greek.
    ("ος", "ε", 4),
    ("ος", "ο", 4),
    ("ης", "η", 4),
    ("ας", "α", 4),
    // East Slavic and Bulgarian.
    ("а", "о", 3),
    ("я", "ю", 3),
    ("я", "є", 4),
    ("а", "", 4),
    ("я", "ь", 3),
    ("ія", "іє", 4),
    ("", "е", 4),
    ("", "у", 4),
    ("ко", "ку", 4),
    ("ий", "ію", 4),
    ("й", "ю", 4),
    ("ър", "ре", 4),
    ("ър", "ъре", 4),
    // Romanian.
    ("", "ule", 4),
];

/// Words that are also such forms of a name, and begin messages.
const WORDS: [&str; 24] = [
    "done", "same", "fine", "none", "sure", "hello", "dito", "ditto", "claro", "klaro", "bravo", "logo", "pronto",
    "certo", "ultimo", "primo", "solo", "ecco", "note", "more", "else", "maybe", "danke", "leute",
];

/// Returns whether a text opens with a form of `name` as a call: capitalised where the script has capitals, and followed
/// by a comma or the like.
pub(super) fn is_called(text: &str, name: &str) -> bool {
    let text = text.trim_start_matches(is_hidden);
    let Some(end) = text.find(CALLING).filter(|end| *end > 0) else { return false };
    // `Todo: rotate keys` names no Toda.
    if text[end..].starts_with([':', '：', '﹕']) {
        return false;
    }
    let word = &text[..end];
    let is_ordinary = || {
        let known = |list: &[&str]| list.iter().any(|known| is_same(known, word));
        known(&WORDS) || known(&GREETINGS) || known(&EVERYDAY) || nods::is_phrase(word)
    };
    let is_one_word = word.chars().all(char::is_alphabetic) && word.starts_with(char::is_uppercase);
    is_one_word && is_form(word, name) && !is_ordinary()
}

fn is_form(word: &str, name: &str) -> bool {
    let letters = name.chars().count();
    ENDINGS.iter().filter(|(.., least)| letters >= *least).any(|(ends, called, _)| {
        let stem = name.to_lowercase().strip_suffix(ends).map(|stem| format!("{stem}{called}"));
        stem.is_some_and(|form| is_same(&form, word))
    })
}
