//! Collects the text of a document while it is decoded: all of it, or of a very long one its beginning and end, with
//! the page, slide or sheet at which the end begins.

use super::{Decoded, ENDS_BYTES, Extent, Form, Made, TEXT_TOKENS_MAX, Unread, is_invisible};
use crate::core::tokens;

/// Bytes collected before the middle is dropped.
const COLLECTED_BYTES_MAX: usize = 4 * ENDS_BYTES;
/// Tokens that the line which names a place may take.
const PLACE_TOKENS_MAX: u32 = 200;
/// Most characters of a place's name.
const PLACE_CHARS_MAX: usize = 80;
/// Most places remembered; of a document with more, those in the middle are forgotten with their text.
const PLACES_MAX: usize = 20_000;

/// How our marks begin, behind the bracket.
const MARKS: [&str; 14] = [
    "page",
    "slide",
    "sheet",
    "notes",
    "comments",
    "footnotes",
    "endnotes",
    "attachment",
    "event",
    "task",
    "entry",
    "busy",
    "left out",
    "…",
];

/// The text of a document so far.
#[derive(Debug, Default)]
pub(super) struct Script {
    text: String,
    /// Bytes dropped at `cut`.
    absent: u64,
    /// Where in `text` the end begins, once the middle was dropped.
    cut: Option<usize>,
    /// Names of places and where they begin, counted from the document's first byte.
    places: Vec<(u64, String)>,
}

impl Script {
    /// Adds text of the document, without the characters that could hide something. A line that looks like one of our
    /// marks is indented, so that no document names a place that is none.
    pub(super) fn push(&mut self, text: &str) {
        let from = self.text.len();
        self.text.extend(text.chars().filter(|letter| matches!(letter, '\n' | '\t') || !is_invisible(*letter)));
        if self.text[from..].contains('[') {
            let added = self.text.split_off(from);
            for line in added.split_inclusive('\n') {
                if (self.text.is_empty() || self.text.ends_with('\n')) && is_like_a_mark(line) {
                    self.text.push(' ');
                }
                self.text.push_str(line);
            }
        }
        self.keep_ends();
    }

    /// Adds text of ours, or what another script holds.
    fn push_own(&mut self, text: &str) {
        self.text.push_str(text);
        self.keep_ends();
    }

    fn keep_ends(&mut self) {
        if self.text.len() > self.cut.unwrap_or_default() + COLLECTED_BYTES_MAX {
            self.shorten();
        }
    }

    /// Adds a line.
    pub(super) fn line(&mut self, text: &str) {
        self.push(text);
        self.push("\n");
    }

    /// Begins a page, slide, sheet or part: a line in brackets with an empty one before it.
    pub(super) fn begin(&mut self, place: &str) {
        let place = named(place);
        if !self.text.is_empty() {
            self.push_own("\n");
        }
        self.note(place.clone());
        self.push_own(&format!("[{place}]\n"));
    }

    /// Names the place from here on without writing it, such as a slide's whose title was just read.
    pub(super) fn call(&mut self, place: &str) {
        self.note(named(place));
    }

    /// Says how many sheets, slides or the like are left out from here on.
    pub(super) fn left_out(&mut self, count: usize, one: &str, many: &str) {
        if count > 0 {
            self.push_own(&format!("\n[left out: {count} more {}]\n", if count == 1 { one } else { many }));
        }
    }

    /// Returns whether it holds no text.
    pub(super) fn is_blank(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// Adds what another script holds.
    pub(super) fn append(&mut self, other: &Self) {
        if let Some(cut) = other.cut {
            self.push_own(&other.text[..cut]);
            self.push_own(&format!("\n[… {} bytes left out here …]\n", other.absent));
            self.push_own(&other.text[cut..]);
        } else {
            self.push_own(&other.text);
        }
    }

    fn note(&mut self, place: String) {
        if self.places.len() == PLACES_MAX {
            self.places.drain(1..PLACES_MAX / 2);
        }
        self.places.push((self.text.len() as u64 + self.absent, place));
    }

    /// Drops what lies between the kept ends.
    fn shorten(&mut self) {
        let cut = self.cut.unwrap_or_else(|| boundary(&self.text, ENDS_BYTES));
        let from = boundary(&self.text, self.text.len() - ENDS_BYTES);
        self.text.replace_range(cut..from, "");
        self.absent += (from - cut) as u64;
        self.cut = Some(cut);
    }

    /// Returns what the model gets of a document of this form.
    ///
    /// # Errors
    /// [`Unread::Empty`] if it holds no text.
    pub(super) fn decoded(mut self, form: Form) -> Result<Decoded, Unread> {
        if self.text.trim().is_empty() {
            return Err(Unread::Empty);
        }
        let is_long = self.absent > 0 || tokens::estimate(&self.text) > TEXT_TOKENS_MAX;
        let text = if is_long { self.ends()? } else { std::mem::take(&mut self.text) };
        let shown = Extent::Document { form, ends: is_long };
        Ok(Decoded { made: Made::Text, tokens: tokens::estimate(&text), shown, bytes: text.into_bytes() })
    }

    fn ends(&self) -> Result<String, Unread> {
        let room = TEXT_TOKENS_MAX - PLACE_TOKENS_MAX;
        let (head, missing, tail) = tokens::parted(&self.text, room).ok_or(Unread::TooLong)?;
        let missing = missing.len() as u64 + self.absent;
        let tail_at = (self.text.len() - tail.len()) as u64 + self.absent;
        let place = self.places.iter().rev().find(|(at, _)| *at <= tail_at).filter(|(at, _)| *at < tail_at);
        let place = place.map(|(_, place)| format!("[{place}, continued]\n")).unwrap_or_default();
        Ok(format!("{head}\n[… {missing} bytes left out here …]\n{place}{tail}"))
    }
}

/// Returns a place's name fit for a line: short, and without brackets of its own.
fn named(place: &str) -> String {
    let letters = place.chars().filter(|letter| !letter.is_control() && !is_invisible(*letter));
    letters.map(|letter| if matches!(letter, '[' | ']') { '|' } else { letter }).take(PLACE_CHARS_MAX).collect()
}

/// Returns whether a line of a document begins as one of our marks does.
fn is_like_a_mark(line: &str) -> bool {
    let is_unseen = |letter: char| matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}');
    let Some(words) = line.trim_start_matches(is_unseen).strip_prefix('[') else { return false };
    let words = words.trim_start_matches(|letter: char| letter.is_whitespace() || is_unseen(letter));
    MARKS.iter().any(|mark| words.get(..mark.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(mark)))
}

/// Returns the last place between two characters that is not behind `at`.
fn boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(script: Script) -> String {
        let decoded = script.decoded(Form::Slides).expect("text");
        assert!(decoded.tokens <= TEXT_TOKENS_MAX);
        String::from_utf8(decoded.bytes).expect("text")
    }

    #[test]
    fn c7_of_a_long_document_the_ends_stay_with_the_place_where_the_end_begins() {
        for pages in [700, 70_000] {
            let mut script = Script::default();
            for page in 1..=pages {
                script.begin(&format!("slide {page}"));
                (0..4).for_each(|_| script.line("größer, 服务器 all is well"));
            }
            script.line("the last words");
            assert!(script.text.len() <= COLLECTED_BYTES_MAX + ENDS_BYTES, "the middle is dropped meanwhile");
            let text = text_of(script);
            assert!(text.starts_with("[slide 1]\ngrößer") && text.ends_with("\nthe last words\n"), "{pages}");
            let (_, tail) = text.split_once(" bytes left out here …]\n").expect("a mark");
            let continued = tail.lines().next().expect("a line");
            let of = |line: &str| line[1..].split([' ', ',', ']']).nth(1).and_then(|number| number.parse::<u32>().ok());
            let first = of(continued).expect("a place");
            let next = tail.lines().skip(1).find(|line| line.starts_with("[slide ")).and_then(of).expect("a place");
            assert!(next == first || next == first + 1, "{continued} … {next}");
            assert!(continued.ends_with(", continued]") || continued == format!("[slide {first}]"), "{continued}");
        }
    }

    #[test]
    fn c7_a_documents_own_line_is_no_mark_of_ours() {
        let mut script = Script::default();
        script.begin("slide 1");
        script.push("[Slide 3]\nsee [page 2]\n");
        script.line("[ sheet \"Budget\"]");
        script.line("[p\u{200b}age 99]");
        script.line("[\u{202e}page 99]");
        script.line("[\u{200b}page 4]");
        script.line("[picture]");
        let expected = "[slide 1]\n [Slide 3]\nsee [page 2]\n [ sheet \"Budget\"]\n[p\u{200b}age 99]\n [page 99]\n [\u{200b}page 4]\n[picture]\n";
        assert_eq!(text_of(script), expected);
    }

    #[test]
    fn a_places_long_name_takes_no_more_than_its_share() {
        let mut script = Script::default();
        script.begin(&"🦀".repeat(200));
        (0..3_000).for_each(|_| script.line("größer, 服务器 all is well"));
        assert!(text_of(script).contains("🦀, continued]\n"));
    }

    #[test]
    fn a_short_document_is_whole_and_an_empty_one_says_so() {
        let mut script = Script::default();
        script.begin("sheet \"a]\u{202e}b\"");
        script.line("one\u{200b}\u{e0041}\u{feff}");
        assert_eq!(text_of(script), "[sheet \"a|b\"]\none\u{200b}\n");
        assert_eq!(Script::default().decoded(Form::Slides), Err(Unread::Empty));
    }
}
