//! Which letters count as equal where people type a name.

use crate::core::legible::usual_width;

/// Returns the length of `name` at the start of `text`. What people do not distinguish when typing is equal: case,
/// width, dotted and dotless i, ß and ss.
pub(super) fn prefix_folded(text: &str, name: &str) -> Option<usize> {
    let mut wanted = name.chars().flat_map(folded).peekable();
    for (at, letter) in text.char_indices() {
        if wanted.peek().is_none() && folded(letter).next().is_some() {
            return Some(at);
        }
        for letter in folded(letter) {
            if wanted.next() != Some(letter) {
                return None;
            }
        }
    }
    wanted.peek().is_none().then_some(text.len())
}

/// Returns where `name` begins at the end of `text`. The same is equal as in [`prefix_folded`].
pub(super) fn suffix_folded(text: &str, name: &str) -> Option<usize> {
    let last = name.chars().count().checked_sub(1)?;
    let (at, _) = text.char_indices().rev().nth(last)?;
    is_same(&text[at..], name).then_some(at)
}

/// Returns whether two names are equal as in [`prefix_folded`].
pub(super) fn is_same(name: &str, other: &str) -> bool {
    name.chars().flat_map(folded).eq(other.chars().flat_map(folded))
}

/// Returns whether a word equals one of `words` as in [`prefix_folded`].
pub(super) fn is_any(word: &str, words: &[&str]) -> bool {
    words.iter().any(|other| is_same(other, word))
}

/// Letters with accents, which people leave out when their keyboard lacks them, and what they type instead.
const ACCENTED: [(&str, &str); 27] = [
    ("àáâãäåāăąǎạảấầẩẫậắằẳẵặ", "a"),
    ("æ", "ae"),
    ("çćĉċč", "c"),
    ("ďđð", "d"),
    ("èéêëēĕėęěẹẻẽếềểễệ", "e"),
    ("ĝğġģ", "g"),
    ("ĥħ", "h"),
    ("ìíîïĩīĭįỉị", "i"),
    ("ķ", "k"),
    ("ĺļľł", "l"),
    ("ñńņňŋ", "n"),
    ("òóôõöøōŏőơọỏốồổỗộớờởỡợ", "o"),
    ("œ", "oe"),
    ("ŕŗř", "r"),
    ("śŝşšș", "s"),
    ("ţťț", "t"),
    ("ùúûüũūŭůűųưụủứừửữự", "u"),
    ("ýÿŷỳỵỷỹ", "y"),
    ("źżž", "z"),
    ("άὰ", "α"),
    ("έ", "ε"),
    ("ή", "η"),
    ("ίϊΐ", "ι"),
    ("ό", "ο"),
    ("ύϋΰ", "υ"),
    ("ώ", "ω"),
    ("ё", "е"),
];

fn folded(letter: char) -> impl Iterator<Item = char> {
    let special = match letter {
        'İ' | 'I' | 'ı' => Some("i"),
        '\u{300}'..='\u{36f}' => Some(""),
        'ß' | 'ẞ' => Some("ss"),
        'ς' => Some("σ"),
        '’' | 'ʼ' => Some("'"),
        letter if letter.is_ascii() => None,
        letter => {
            let lower = letter.to_lowercase().next().unwrap_or(letter);
            ACCENTED.iter().find(|(letters, _)| letters.contains(lower)).map(|(_, typed)| *typed)
        }
    };
    let usual = special.is_none().then(|| usual_width(letter).to_lowercase());
    special.unwrap_or_default().chars().chain(usual.into_iter().flatten())
}
