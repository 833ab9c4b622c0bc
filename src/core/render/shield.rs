//! Prepares a text for the parser. Formulas, paths and bare web addresses are protected from it
//! ([`kept`](super::kept)), as are signs that are not markup ([`names`]); and emphasis beside Chinese, Japanese or
//! Korean punctuation is made visible to it.
//!
//! CommonMark looks at the characters on both sides of `**`, and between a punctuation mark and a letter does not take
//! it for emphasis. Scripts without spaces have nothing else there. A noncharacter, removed again after the parser,
//! makes the parser see a letter ("CommonMark CJK-friendly emphasis" says when).

use std::{borrow::Cow, sync::LazyLock};

use pulldown_cmark::Event;
use regex::Regex;

use super::{
    kept::{Kept, without_kept},
    letters::is_unspaced,
    marks::{AS_STARS, BESIDE, CLOSE, OPEN, PLAIN, SPACED, is_character},
    names::{self, Text},
};

/// A text prepared for the parser.
pub(super) struct Shielded<'a> {
    pub(super) text: Cow<'a, str>,
    kept: Vec<Kept<'a>>,
}

/// Prepares a text. In our own texts only emphasis is handled, because people's names in them are escaped character by
/// character.
pub(super) fn shield(markdown: &str, is_ours: bool) -> Shielded<'_> {
    let mut kept = Vec::new();
    let mut text = Cow::Borrowed(markdown);
    if !is_ours {
        if ["$", "\\", "://"].iter().any(|open| markdown.contains(open)) {
            text = without_kept(markdown, &mut kept);
        }
        text = changed(text, without_signs);
        text = changed(text, without_pipes);
        text = changed(text, with_headings);
    }
    text = changed(text, beside_emphasis);
    Shielded { text, kept }
}

fn changed(text: Cow<'_, str>, change: impl FnOnce(&str) -> Option<String>) -> Cow<'_, str> {
    match change(&text) {
        Some(text) => Cow::Owned(text),
        None => text,
    }
}

/// Replaces signs that are not markup by marks.
fn without_signs(text: &str) -> Option<String> {
    let names::Signs { plain, as_stars } = names::signs(text, Text::Whole);
    if plain.is_empty() && as_stars.is_empty() {
        return None;
    }
    let (mut changed, mut done) = (String::with_capacity(text.len() + 2 * plain.len()), 0);
    let (mut plain, mut as_stars) = (plain.into_iter().peekable(), as_stars.into_iter().peekable());
    loop {
        let next = |range: Option<&std::ops::Range<usize>>| range.map_or(usize::MAX, |range| range.start);
        let is_plain = next(plain.peek()) < next(as_stars.peek());
        let Some(range) = (if is_plain { plain.next() } else { as_stars.next() }) else { break };
        changed.push_str(&text[done..range.start]);
        if is_plain {
            changed.extend(text[range.clone()].chars().map(mark_of));
        } else {
            changed.push(AS_STARS);
            changed.extend(std::iter::repeat_n('*', range.len()));
        }
        done = range.end;
    }
    changed.push_str(&text[done..]);
    Some(changed)
}

fn mark_of(sign: char) -> char {
    PLAIN.into_iter().find(|(_, plain)| *plain == sign).map_or(sign, |(mark, _)| mark)
}

/// Replaces pipes inside code that would end a table cell: `ps | grep x`.
fn without_pipes(text: &str) -> Option<String> {
    if !text.contains('|') || !text.contains('`') {
        return None;
    }
    let (mut changed, mut any) = (String::with_capacity(text.len()), false);
    let pipes = |line: &str| line.matches('|').count();
    let is_below_head = |line: &str| line.contains('-') && line.chars().all(|letter| "|-: \t\r\n".contains(letter));
    let mut columns = usize::MAX;
    let mut lines = text.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        // A table's head precedes the line that states the number of columns.
        if let Some(below) = [Some(&line), lines.peek()].into_iter().flatten().find(|line| is_below_head(line)) {
            columns = pipes(below);
        }
        if !line.trim_start().starts_with('|') {
            columns = usize::MAX;
        }
        // If a row has the right number of cells, unclosed backticks in it are literal.
        if pipes(line) <= columns || !line.contains('`') {
            changed.push_str(line);
            continue;
        }
        let mut rest = line;
        while let Some(begin) = rest.find('`') {
            let ticks = rest[begin..].len() - rest[begin..].trim_start_matches('`').len();
            let (before, span) = rest.split_at(begin + ticks);
            changed.push_str(before);
            rest = span;
            let Some(end) = span_end(span, ticks) else { continue };
            let inner = &span[..end];
            any |= inner.contains('|');
            // An escaped pipe is already literal.
            changed.push_str(&inner.replace('|', "\u{fdd6}").replace("\\\u{fdd6}", "\\|"));
            changed.push_str(&span[end..end + ticks]);
            rest = &span[end + ticks..];
        }
        changed.push_str(rest);
    }
    any.then_some(changed)
}

/// Returns where the backticks that close a span are.
fn span_end(span: &str, ticks: usize) -> Option<usize> {
    let mut at = 0;
    while let Some(found) = span[at..].find('`') {
        let begin = at + found;
        let run = span[begin..].len() - span[begin..].trim_start_matches('`').len();
        if run == ticks {
            return Some(begin);
        }
        at = begin + run;
    }
    None
}

/// Inserts the space that Markdown requires in `##Heading`. `#word` is a tag.
fn with_headings(text: &str) -> Option<String> {
    if !text.contains("##") {
        return None;
    }
    let (mut changed, mut any) = (String::with_capacity(text.len() + 8), false);
    for line in text.split_inclusive('\n') {
        let marks = line.bytes().take_while(|byte| *byte == b'#').count();
        let is_heading = (2..=6).contains(&marks) && line[marks..].starts_with(char::is_alphabetic);
        any |= is_heading;
        changed.push_str(&line[..marks]);
        if is_heading {
            changed.extend([' ', SPACED]);
        }
        changed.push_str(&line[marks..]);
    }
    any.then_some(changed)
}

impl Shielded<'_> {
    /// Passes on a parser event as if the text had never been changed. Formulas become separate events, except in code,
    /// where they are restored.
    pub(super) fn give_back(&self, event: Event<'_>, in_code: bool, mut take: impl FnMut(Event<'static>)) {
        match event {
            Event::Text(text) if in_code => take(Event::Text(self.original(&text).into())),
            Event::Text(text) => self.split(&text, &mut take),
            Event::Code(text) => take(Event::Code(self.original(&text).into())),
            Event::Html(text) => take(Event::Html(self.original(&text).into())),
            Event::InlineHtml(text) => take(Event::InlineHtml(self.original(&text).into())),
            Event::Start(tag) => take(Event::Start(self.tag(tag.into_static()))),
            event => take(event.into_static()),
        }
    }

    fn tag(&self, mut tag: pulldown_cmark::Tag<'static>) -> pulldown_cmark::Tag<'static> {
        use pulldown_cmark::{CodeBlockKind, Tag};
        match &mut tag {
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => *dest_url = self.original(dest_url).into(),
            Tag::CodeBlock(CodeBlockKind::Fenced(info)) => *info = self.original(info).into(),
            _ => {}
        }
        tag
    }

    /// Returns the original text.
    pub(super) fn original(&self, text: &str) -> String {
        let mut whole = String::with_capacity(text.len());
        self.split(text, &mut |event| match event {
            Event::Text(text) | Event::InlineMath(text) => whole.push_str(&text),
            _ => {}
        });
        whole
    }

    fn split(&self, text: &str, take: &mut dyn FnMut(Event<'static>)) {
        let (mut plain, mut rest) = (String::new(), text);
        while let Some((before, behind)) = rest.split_once(OPEN) {
            without_marks(before, &mut plain);
            rest = behind;
            let numbered = behind.split_once(CLOSE);
            let kept =
                numbered.and_then(|(number, behind)| Some((*self.kept.get(number.parse::<usize>().ok()?)?, behind)));
            let Some((kept, behind)) = kept else { continue };
            rest = behind;
            match kept {
                Kept::Text(text) => plain.push_str(text),
                Kept::Formula(source) => {
                    if !plain.is_empty() {
                        take(Event::Text(std::mem::take(&mut plain).into()));
                    }
                    take(Event::InlineMath(source.to_owned().into()));
                }
            }
        }
        without_marks(rest, &mut plain);
        if !plain.is_empty() {
            take(Event::Text(plain.into()));
        }
    }
}

/// Appends the original of a text without marks.
fn without_marks(text: &str, plain: &mut String) {
    let mut as_stars = false;
    for letter in text.chars() {
        let was_as_stars = std::mem::replace(&mut as_stars, letter == AS_STARS);
        match letter {
            '*' if was_as_stars => {
                as_stars = true;
                plain.push('_');
            }
            AS_STARS | BESIDE | OPEN | CLOSE => {}
            SPACED => {
                if plain.ends_with(' ') {
                    plain.pop();
                }
            }
            letter => plain.push(PLAIN.into_iter().find(|(mark, _)| *mark == letter).map_or(letter, |(_, sign)| sign)),
        }
    }
}

/// Inserts [`BESIDE`] where emphasis needs it; `None` if it is not needed.
fn beside_emphasis(text: &str) -> Option<String> {
    if !text.contains(['*', '~']) || (text.is_ascii() && !text.contains("**")) {
        return None;
    }
    let letters: Vec<char> = text.chars().collect();
    let mut changed = String::new();
    // The number of `**` in the paragraph so far; an odd number means an open one.
    let (mut at, mut any, mut bolds) = (0, false, 0_usize);
    while at < letters.len() {
        let letter = letters[at];
        if !matches!(letter, '*' | '~') {
            if letter == '\n' && at > 0 && letters[at - 1] == '\n' {
                bolds = 0;
            }
            changed.push(letter);
            at += 1;
            continue;
        }
        let end = at + letters[at..].iter().take_while(|next| **next == letter).count();
        let before = at.checked_sub(1).and_then(|before| letters.get(before)).copied();
        let behind = letters.get(end).copied();
        let is_bold = end - at == 2;
        let ends_label = is_bold && bolds % 2 == 1 && ends_bold(&letters[..at], behind);
        let begins_quote = is_bold && bolds % 2 == 0 && begins_bold(before, &letters[end..]);
        bolds += usize::from(is_bold);
        let (closes, opens) = (needs(before, behind) || ends_label, needs(behind, before) || begins_quote);
        if closes && before != Some('\\') {
            changed.push(BESIDE);
        }
        changed.extend(&letters[at..end]);
        if opens {
            changed.push(BESIDE);
        }
        any |= closes || opens;
        at = end;
    }
    any.then_some(changed)
}

/// Returns whether bold ends after a text's last mark although a word continues, such as an ending after a quotation:
/// `**Note:**text`, `**„fett“**er`, `**"ঢাকা"**য়`. The writer means the bold to end there.
fn ends_bold(before: &[char], behind: Option<char>) -> bool {
    let Some((last, rest)) = before.split_last() else { return false };
    let ends = match last {
        // It closes in German and related languages, and opens elsewhere.
        '“' => rest.iter().rev().find(|letter| "„“”\n".contains(**letter)) == Some(&'„'),
        '‘' => rest.iter().rev().find(|letter| "‚‘’\n".contains(**letter)) == Some(&'‚'),
        last => ":.!?)]»›”’`\"'…%।॥؟،؛۔״׳".contains(*last),
    };
    ends && behind.is_some_and(char::is_alphanumeric)
}

/// Returns whether bold begins before a quotation mark inside a word: `l’**«été»**`, `das**„fette“** Wort`.
fn begins_bold(before: Option<char>, behind: &[char]) -> bool {
    let opens = behind.first().is_some_and(|letter| "„‚«‹“¿¡".contains(*letter));
    opens && before.is_some_and(|letter| letter.is_alphanumeric() || matches!(letter, '\'' | '’'))
}

/// Returns whether a delimiter with punctuation inside and a letter outside counts as one anyway, because one of them
/// is of a script without spaces.
fn needs(inner: Option<char>, outer: Option<char>) -> bool {
    let (Some(inner), Some(outer)) = (inner, outer) else { return false };
    let is_letter = |letter: char| !letter.is_whitespace() && !is_punctuation(letter);
    let is_beside = is_unspaced(inner) || is_unspaced(outer) || AS_STARS == outer;
    is_punctuation(inner) && is_letter(outer) && is_beside
}

/// Returns whether a character is punctuation by CommonMark 0.31: of the categories P and S, so not a vowel sign,
/// virama, tone mark or joiner.
fn is_punctuation(letter: char) -> bool {
    static MARKS: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^[\p{P}\p{S}]$").expect("a pattern that a test matches with"));
    let is_sign = || MARKS.is_match(letter.encode_utf8(&mut [0; 4]));
    (letter.is_ascii_punctuation() || !letter.is_ascii() && is_sign()) && is_character(letter)
}
