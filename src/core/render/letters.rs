//! Characters that steer instead of saying something.

/// Opens an embedding or override that U+202C closes.
const fn opens_embedding(letter: char) -> bool {
    matches!(letter, '\u{202a}' | '\u{202b}' | '\u{202d}' | '\u{202e}')
}

/// Opens an isolate that U+2069 closes.
const fn opens_isolate(letter: char) -> bool {
    matches!(letter, '\u{2066}'..='\u{2068}')
}

/// Drops control characters, and closes on each line what bidi embeddings, overrides and isolates it opens: text in
/// any direction is fine, but no line may turn the next.
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
            // Separators would end a line for some clients and not for us.
            '\u{2028}' | '\u{2029}' => tamed.push(' '),
            letter if letter.is_control() => {}
            letter if opens_embedding(letter) || opens_isolate(letter) => {
                // More levels than Unicode knows (125) mean nothing.
                if open.len() < 125 {
                    open.push(if opens_isolate(letter) { '\u{2069}' } else { '\u{202c}' });
                    tamed.push(letter);
                }
            }
            // A closing one without its opening says nothing.
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
