//! One line about what the model is doing, from the summary of its thinking. It is shown and never stored.

use super::{legible::legible, mask::Mask};

/// Most characters of the line that says what the model is doing.
const LINE_CHARS_MAX: usize = 140;
/// Most bytes of a sentence; a longer one is skipped.
const SENTENCE_BYTES_MAX: usize = 2 << 10;
/// With fewer letters a sentence says nothing.
const LETTERS_MIN: usize = 8;

/// The summary of an answer's thinking while it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Thought {
    /// The newest whole sentence or heading.
    whole: String,
    /// What follows it.
    open: String,
    /// Whether the sentence that is being written is too long.
    skips: bool,
    /// The character before.
    last: char,
}

impl Thought {
    /// Adds what was written.
    pub fn push(&mut self, more: &str) {
        for letter in more.chars() {
            let is_over = matches!(self.last, '.' | '!' | '?' | '…' | ':' | ';');
            let ends = letter == '\n' || (letter.is_whitespace() && is_over);
            self.last = letter;
            if ends {
                self.end();
            } else if !self.skips {
                self.open.push(letter);
                if self.open.len() > SENTENCE_BYTES_MAX {
                    self.open.clear();
                    self.skips = true;
                }
            }
        }
    }

    /// Notes that nothing follows.
    pub fn end(&mut self) {
        let sentence = std::mem::take(&mut self.open);
        self.skips = false;
        if sentence.chars().filter(|letter| letter.is_alphabetic()).count() >= LETTERS_MIN {
            self.whole = sentence;
        }
    }

    /// Returns the newest whole sentence, as the model wrote it. An unfinished one may hold half of a secret, which
    /// nothing would recognise.
    #[must_use]
    pub fn newest(&self) -> &str {
        &self.whole
    }
}

/// Returns a sentence as people may see it, on one line: secrets hidden, links and mentions without effect. `None` if
/// nothing is left of it.
#[must_use]
pub(crate) fn line(sentence: &str, mask: &Mask) -> Option<String> {
    let masked = mask.hide(sentence);
    let words = masked.split_whitespace().map(neutral).collect::<Vec<_>>().join(" ");
    let bare = words.trim_matches(|letter: char| matches!(letter, '#' | '*' | '-' | '>' | '_' | ' '));
    let bare: String = bare.replace("**", "").chars().filter(|letter| *letter != '`').collect();
    let shown = legible(bare.trim());
    let shortened = match shown.char_indices().nth(LINE_CHARS_MAX) {
        Some((at, _)) => format!("{}…", shown[..at].trim_end()),
        None => shown,
    };
    (!shortened.is_empty()).then_some(shortened)
}

/// Returns a word that clients make nothing of.
fn neutral(word: &str) -> String {
    let is_link = ["://", "matrix.to", "www.", "mailto:", "matrix:"].iter().any(|part| word.contains(part));
    if is_link {
        return "(a link)".to_owned();
    }
    // No id, alias or @room.
    word.replace(['@', '#'], "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thought(parts: &[&str]) -> Thought {
        let mut thought = Thought::default();
        for part in parts {
            thought.push(part);
        }
        thought
    }

    #[test]
    fn c9_the_newest_whole_sentence_of_a_summary_is_what_the_model_is_doing() {
        for (parts, newest) in [
            (&["**Comparing the logs**\n\nI am loo"][..], "**Comparing the logs**"),
            (&["I compare both lo", "gs first. Then I ", "look at the alarms. Ok"], "Then I look at the alarms."),
            (&["It is not whole"], ""),
            (&["I read version 1.2 of it.\n- ok\n"], "I read version 1.2 of it."),
        ] {
            assert_eq!(thought(parts).newest(), newest, "{parts:?}");
        }
        let mut whole = thought(&["It is whole now"]);
        whole.end();
        assert_eq!(whole.newest(), "It is whole now");
        let long = "x".repeat(SENTENCE_BYTES_MAX * 3);
        let thought = thought(&["The first sentence. ", &long, " still it. The next one is short. "]);
        assert_eq!(thought.newest(), "The next one is short.");
        assert!(thought.open.len() <= SENTENCE_BYTES_MAX);
    }

    #[test]
    fn c9_a_line_about_thinking_is_masked_neutral_short_and_one_line() {
        let mask = Mask::new(["hunter2hunter2"]);
        for (sentence, expected) in [
            ("**Comparing the logs**", Some("Comparing the logs")),
            ("## I try hunter2hunter2 as `key`", Some("I try ••• as key")),
            ("Asking @room and @alice:hs.org in #ops:hs", Some("Asking room and alice:hs.org in ops:hs")),
            ("See https://evil.example/x and matrix.to/#/@a:b", Some("See (a link) and (a link)")),
            ("one\ntwo\r\nthree", Some("one two three")),
            ("** **", None),
            ("", None),
        ] {
            assert_eq!(line(sentence, &mask).as_deref(), expected, "{sentence}");
        }
        let long = line(&"word ".repeat(100), &mask).expect("a line");
        assert!(long.chars().count() <= LINE_CHARS_MAX + 1 && long.ends_with('…'), "{long}");
        let hidden = line("turn \u{202e}around now", &mask).expect("a line");
        assert!(!hidden.contains('\u{202e}'), "{hidden}");
    }
}
