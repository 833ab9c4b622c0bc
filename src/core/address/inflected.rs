//! Forms of a name in which people call its owner: `Anno,` for Anna, `Петре,` for Петър.

use super::{
    everyday::is_everyday,
    folding::{is_any, is_same},
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

/// Returns the word with which a text opens, if it may call somebody by a form of their name: capitalised where the
/// script has capitals, and followed by a comma or the like.
pub(super) fn called_word(text: &str) -> Option<&str> {
    let text = text.trim_start_matches(is_hidden);
    let (word, behind) = text.split_at(text.find(|letter: char| !letter.is_alphabetic())?);
    // `Todo: rotate keys` names no Toda.
    let is_called = behind.starts_with(CALLING) && !behind.starts_with([':', '：', '﹕']);
    let may_name = || word.starts_with(char::is_uppercase) && !is_any(word, &WORDS) && !is_everyday(word);
    (is_called && may_name()).then_some(word)
}

/// Returns whether a word is a form in which people call the owner of a name.
pub(super) fn is_form(word: &str, name: &str) -> bool {
    let (letters, name) = (name.chars().count(), name.to_lowercase());
    ENDINGS
        .iter()
        .filter(|(.., least)| letters >= *least)
        .any(|(ends, called, _)| name.strip_suffix(ends).is_some_and(|stem| is_same(&format!("{stem}{called}"), word)))
}
