//! What stands before the parser: formulas and bare web addresses are taken out of its reach, and emphasis beside Chinese,
//! Japanese or Korean punctuation is brought within it.
//!
//! CommonMark looks at the letters on both sides of `**`, and takes it for no emphasis between a punctuation mark and a
//! letter. Scripts without spaces put nothing else there. A mark that is no character, taken away again behind the parser,
//! makes the parser see a letter instead ("CommonMark CJK-friendly emphasis" says when).

use std::{borrow::Cow, fmt::Write as _};

use pulldown_cmark::Event;

/// Stands beside a delimiter. This and the two below are noncharacters, which no text may hold (Unicode 16, section 23.7).
const BESIDE: char = '\u{fdd0}';
/// Stand around the number of a formula or an address.
const OPEN: char = '\u{fdd1}';
const CLOSE: char = '\u{fdd2}';

/// A longer formula is text like any other, in bytes.
const FORMULA_BYTES_MAX: usize = 2_000;
/// Formulas and addresses of one text; what follows is text like any other.
const FORMULAS_MAX: usize = 500;

/// A text that is ready for the parser.
pub(super) struct Shielded<'a> {
    pub(super) text: Cow<'a, str>,
    formulas: Vec<&'a str>,
}

/// Prepares a text for the parser; formulas are looked for where it may have any.
pub(super) fn shield(markdown: &str, with_formulas: bool) -> Shielded<'_> {
    let mut formulas = Vec::new();
    let text = if with_formulas && ["$", "\\(", "\\[", "://"].iter().any(|open| markdown.contains(open)) {
        without_formulas(markdown, &mut formulas)
    } else {
        Cow::Borrowed(markdown)
    };
    let text = match beside_emphasis(&text) {
        Some(text) => Cow::Owned(text),
        None => text,
    };
    Shielded { text, formulas }
}

impl Shielded<'_> {
    /// Hands on an event of the parser as if the text had never been changed; formulas are events of their own. In code
    /// they are what they were.
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

    /// Returns a text as it was.
    fn original(&self, text: &str) -> String {
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
            plain.extend(before.chars().filter(|letter| is_character(*letter)));
            rest = behind;
            let numbered = behind.split_once(CLOSE);
            let kept = numbered
                .and_then(|(number, behind)| Some((*self.formulas.get(number.parse::<usize>().ok()?)?, behind)));
            let Some((kept, behind)) = kept else { continue };
            rest = behind;
            if kept.starts_with("http") {
                plain.push_str(kept);
                continue;
            }
            if !plain.is_empty() {
                take(Event::Text(std::mem::take(&mut plain).into()));
            }
            take(Event::InlineMath(kept.to_owned().into()));
        }
        plain.extend(rest.chars().filter(|letter| is_character(*letter)));
        if !plain.is_empty() {
            take(Event::Text(plain.into()));
        }
    }
}

/// Whether a letter is none of our marks.
fn is_character(letter: char) -> bool {
    !matches!(letter, BESIDE | OPEN | CLOSE)
}

/// Returns what is between a formula's delimiters, and whether it stands on lines of its own.
pub(super) fn formula(source: &str) -> (&str, bool) {
    for (open, close, display) in [("$$", "$$", true), ("\\[", "\\]", true), ("\\(", "\\)", false), ("$", "$", false)] {
        if let Some(inner) = source.strip_prefix(open).and_then(|rest| rest.strip_suffix(close)) {
            return (inner.trim(), display);
        }
    }
    (source, false)
}

fn without_formulas<'a>(markdown: &'a str, formulas: &mut Vec<&'a str>) -> Cow<'a, str> {
    let mut text = String::with_capacity(markdown.len());
    let (mut done, mut at) = (0, 0);
    while let Some(found) = markdown[at..].find(['$', '\\', 'h']) {
        let begin = at + found;
        let rest = &markdown[begin..];
        let before = markdown[..begin].chars().next_back();
        let kept = formula_at(rest, before).or_else(|| address_at(rest, before));
        if let Some(length) = kept.filter(|_| formulas.len() < FORMULAS_MAX) {
            text.push_str(&markdown[done..begin]);
            let _ = write!(text, "{OPEN}{}{CLOSE}", formulas.len());
            formulas.push(&rest[..length]);
            (done, at) = (begin + length, begin + length);
        } else if let Some(escaped) = rest.strip_prefix('\\') {
            // Whatever is escaped opens nothing.
            at = begin + 1 + escaped.chars().next().map_or(0, char::len_utf8);
        } else if rest.starts_with('h') {
            at = begin + 1;
        } else {
            at = begin + rest.len() - rest.trim_start_matches('$').len();
        }
    }
    if formulas.is_empty() {
        return Cow::Borrowed(markdown);
    }
    text.push_str(&markdown[done..]);
    Cow::Owned(text)
}

/// Returns the length of the web address at the beginning of `rest`, which stands there by itself (GitHub Flavored
/// Markdown 0.29, "Autolinks": what ends a sentence or closes something around the address is none of it).
fn address_at(rest: &str, before: Option<char>) -> Option<usize> {
    let scheme = ["https://", "http://"].into_iter().find(|scheme| rest.starts_with(scheme))?;
    // In `<…>` the parser knows it.
    if before.is_some_and(|before| before.is_alphanumeric() || matches!(before, '<' | '/' | '"' | '\'')) {
        return None;
    }
    let window = &rest[..rest.floor_char_boundary(FORMULA_BYTES_MAX)];
    let ends = |letter: char| {
        letter.is_whitespace() || matches!(letter, '<' | '>' | '`' | '"' | '|' | ']' | '\\') || !is_character(letter)
    };
    let mut address = &window[..window.find(ends).unwrap_or(window.len())];
    loop {
        let trimmed = address.trim_end_matches(['?', '!', '.', ',', ':', ';', '*', '_', '~', '\'']);
        let is_open = |text: &str| text.matches('(').count() < text.matches(')').count();
        address = match trimmed.strip_suffix(')').filter(|_| is_open(trimmed)) {
            Some(inner) => inner,
            None if trimmed.len() == address.len() => break,
            None => trimmed,
        };
    }
    let host = address.get(scheme.len()..)?;
    let plain = !host.contains(['*', '_', '~', '$']) && !host.starts_with(|letter: char| !letter.is_ascii());
    // Emphasis in an address's way is all that is to be kept from it.
    (!plain && host.starts_with(char::is_alphanumeric)).then_some(address.len())
}

/// Returns the length of the formula at the beginning of `rest`. Money, shell variables and escaped brackets are none.
fn formula_at(rest: &str, before: Option<char>) -> Option<usize> {
    let (open, close) = match () {
        () if rest.starts_with("$$") => ("$$", "$$"),
        () if rest.starts_with('$') => ("$", "$"),
        () if rest.starts_with("\\(") => ("\\(", "\\)"),
        () if rest.starts_with("\\[") => ("\\[", "\\]"),
        () => return None,
    };
    let window = &rest[open.len()..rest.floor_char_boundary(FORMULA_BYTES_MAX)];
    let inner = &window[..window.find(close)?];
    let length = open.len() + inner.len() + close.len();
    if inner.trim().is_empty() || inner.contains(['`', '@']) || has_blank_line(inner) {
        return None;
    }
    let fits = match open {
        "$$" => true,
        "$" => {
            let behind = rest[length..].chars().next();
            let tight =
                !inner.starts_with(char::is_whitespace) && !inner.ends_with(|c: char| c.is_whitespace() || c == '\\');
            let apart = |side: Option<char>| side.is_none_or(|side| !side.is_alphanumeric());
            tight && !inner.contains('\n') && apart(before) && apart(behind) && is_mathematical(inner)
        }
        _ => is_mathematical(inner),
    };
    fits.then_some(length)
}

/// A paragraph ends at a blank line, and no formula goes beyond it.
fn has_blank_line(text: &str) -> bool {
    let mut lines = text.split('\n').map(str::trim);
    let (_, _) = (lines.next(), lines.next_back());
    lines.any(str::is_empty)
}

/// Whether a text reads like a formula: with TeX's signs, or as a name of one letter.
fn is_mathematical(text: &str) -> bool {
    let mut letters = text.trim().chars();
    let single = letters.next().is_some_and(char::is_alphabetic) && letters.next().is_none();
    single || text.contains(['\\', '^', '_', '=', '{', '<', '>', '+']) || text.contains(" - ") || text.contains(" / ")
}

/// Puts [`BESIDE`] where emphasis needs it; `None` where it does nowhere.
fn beside_emphasis(text: &str) -> Option<String> {
    if !text.contains(['*', '~']) || text.is_ascii() {
        return None;
    }
    let letters: Vec<char> = text.chars().collect();
    let mut changed = String::new();
    let (mut at, mut any) = (0, false);
    while at < letters.len() {
        let letter = letters[at];
        if !matches!(letter, '*' | '~') {
            changed.push(letter);
            at += 1;
            continue;
        }
        let end = at + letters[at..].iter().take_while(|next| **next == letter).count();
        let before = at.checked_sub(1).and_then(|before| letters.get(before)).copied();
        let behind = letters.get(end).copied();
        let (closes, opens) = (needs(before, behind), needs(behind, before));
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

/// Whether a delimiter that has a punctuation mark on its inner side and a letter on the other is one all the same, because
/// one of the two is of a script without spaces.
fn needs(inner: Option<char>, outer: Option<char>) -> bool {
    let (Some(inner), Some(outer)) = (inner, outer) else { return false };
    let is_letter = |letter: char| !letter.is_whitespace() && !is_punctuation(letter);
    is_punctuation(inner) && is_letter(outer) && (is_unspaced(inner) || is_unspaced(outer))
}

fn is_punctuation(letter: char) -> bool {
    letter.is_ascii_punctuation() || !(letter.is_ascii() || letter.is_alphanumeric() || letter.is_whitespace())
}

/// Whether a letter is of a script that puts no spaces around its punctuation.
pub(super) fn is_unspaced(letter: char) -> bool {
    matches!(letter, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{11ff}' | '\u{1780}'..='\u{17ff}' | '\u{2e80}'..='\u{a4cf}'
        | '\u{a960}'..='\u{a97f}' | '\u{ac00}'..='\u{d7ff}' | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe4f}'
        | '\u{ff00}'..='\u{ffef}' | '\u{1f200}'..='\u{1f2ff}' | '\u{20000}'..='\u{3ffff}')
}
