//! Characters that control the text instead of being part of it, and those of scripts without spaces.

/// Returns whether a character opens an embedding or override, which U+202C closes.
const fn opens_embedding(letter: char) -> bool {
    matches!(letter, '\u{202a}' | '\u{202b}' | '\u{202d}' | '\u{202e}')
}

/// Returns whether a character opens an isolate, which U+2069 closes.
const fn opens_isolate(letter: char) -> bool {
    matches!(letter, '\u{2066}'..='\u{2068}')
}

/// Drops control characters, and closes bidi embeddings, overrides and isolates on the line where they open. Text may
/// have any direction, but no line may change the next one's.
pub(super) fn tamed(text: &str) -> String {
    let mut tamed = String::with_capacity(text.len());
    let mut open: Vec<char> = Vec::new();
    for letter in text.chars() {
        match letter {
            '\n' => {
                tamed.extend(open.drain(..).rev());
                tamed.push('\n');
            }
            '\t' => tamed.push('\t'),
            // Some clients end a line at a separator, but we do not.
            '\u{2028}' | '\u{2029}' => tamed.push(' '),
            letter if letter.is_control() => {}
            letter if opens_embedding(letter) || opens_isolate(letter) => {
                // Levels beyond Unicode's limit of 125 have no meaning.
                if open.len() < 125 {
                    open.push(if opens_isolate(letter) { '\u{2069}' } else { '\u{202c}' });
                    tamed.push(letter);
                }
            }
            // A closing character without an opening one has no meaning.
            '\u{202c}' | '\u{2069}' => {
                if open.last() == Some(&letter) {
                    open.pop();
                    tamed.push(letter);
                }
            }
            letter => tamed.push(letter),
        }
    }
    tamed.extend(open.drain(..).rev());
    tamed
}

/// Returns whether a character is of a script without spaces around punctuation.
pub(super) fn is_unspaced(letter: char) -> bool {
    matches!(letter, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{11ff}' | '\u{1780}'..='\u{17ff}' | '\u{2e80}'..='\u{a4cf}'
        | '\u{a960}'..='\u{a97f}' | '\u{ac00}'..='\u{d7ff}' | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe4f}'
        | '\u{ff00}'..='\u{ffef}' | '\u{1f200}'..='\u{1f2ff}' | '\u{20000}'..='\u{3ffff}')
}
