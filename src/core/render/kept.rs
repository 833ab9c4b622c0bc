//! Parts that are protected from the parser as a whole: formulas, Windows paths, bare web addresses.

use std::{borrow::Cow, fmt::Write as _};

use super::{
    letters::is_unspaced,
    marks::{CLOSE, OPEN, is_character},
};

/// Most bytes of a formula; a longer one is ordinary text.
pub(super) const FORMULA_BYTES_MAX: usize = 2_000;
/// Most formulas, paths and addresses of a text; the rest is ordinary text.
const KEPT_MAX: usize = 500;
/// How a TeX environment begins, which is a formula without delimiters.
pub(super) const ENVIRONMENT: &str = "\\begin{";
const ENVIRONMENT_NAME_BYTES_MAX: usize = 20;

/// A part of the text that the parser does not see.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kept<'a> {
    Formula(&'a str),
    /// An address or a path.
    Text(&'a str),
}

/// Returns the content between a formula's delimiters, and whether it is a display formula.
pub(super) fn formula(source: &str) -> (&str, bool) {
    let delimiters =
        [("$$", "$$", true), ("\\[", "\\]", true), ("\\(", "\\)", false), ("$`", "`$", false), ("$", "$", false)];
    for (open, close, display) in delimiters {
        if let Some(inner) = source.strip_prefix(open).and_then(|rest| rest.strip_suffix(close)) {
            return (inner.trim(), display);
        }
    }
    (source, source.starts_with(ENVIRONMENT))
}

pub(super) fn without_kept<'a>(markdown: &'a str, all: &mut Vec<Kept<'a>>) -> Cow<'a, str> {
    let mut text_out = String::with_capacity(markdown.len());
    let (mut done, mut at) = (0, 0);
    while let Some(found) = markdown[at..].find(['$', '\\', 'h']) {
        let begin = at + found;
        let rest = &markdown[begin..];
        let before = markdown[..begin].chars().next_back();
        let address = address_at(rest, before);
        let kept = match formula_at(rest, before) {
            Some(length) => Some(Kept::Formula(&rest[..length])),
            None => path_at(markdown, begin)
                .or(address.filter(|address| address.needs_shield).map(|address| address.length))
                .map(|length| Kept::Text(&rest[..length])),
        };
        if let Some(kept) = kept.filter(|_| all.len() < KEPT_MAX) {
            let (Kept::Formula(text) | Kept::Text(text)) = kept;
            done_to(&mut text_out, &markdown[done..begin], all.len());
            all.push(kept);
            (done, at) = (begin + text.len(), begin + text.len());
        } else if let Some(address) = address {
            // No other part begins inside it.
            at = begin + address.length.max(1);
        } else if let Some(escaped) = rest.strip_prefix('\\') {
            // An escaped character opens nothing.
            at = begin + 1 + escaped.chars().next().map_or(0, char::len_utf8);
        } else if rest.starts_with('h') {
            at = begin + 1;
        } else {
            at = begin + rest.len() - rest.trim_start_matches('$').len();
        }
    }
    if all.is_empty() {
        return Cow::Borrowed(markdown);
    }
    text_out.push_str(&markdown[done..]);
    Cow::Owned(text_out)
}

fn done_to(out: &mut String, before: &str, number: usize) {
    let _ = write!(out, "{before}{OPEN}{number}{CLOSE}");
}

/// Returns the length of the rest of a Windows path whose first backslash is at `at`: `C:\new`, `\\server\share`.
fn path_at(markdown: &str, at: usize) -> Option<usize> {
    let rest = &markdown[at..];
    let begins = |letter: Option<char>| letter.is_none_or(|letter| !letter.is_alphanumeric() && letter != '\\');
    let mut before = markdown[..at].chars().rev();
    let share = rest.strip_prefix("\\\\").filter(|name| name.starts_with(|letter: char| letter.is_alphanumeric()));
    let is_share = share.is_some() && begins(before.clone().next());
    let is_drive = rest.starts_with('\\')
        && before.next() == Some(':')
        && before.next().is_some_and(|drive| drive.is_ascii_alphabetic())
        && begins(before.next());
    if !is_share && !is_drive {
        return None;
    }
    let window = &rest[..rest.floor_char_boundary(FORMULA_BYTES_MAX)];
    let ends = |letter: char| letter.is_whitespace() || "`\"'<>|".contains(letter) || !is_character(letter);
    let path = &window[..window.find(ends).unwrap_or(window.len())];
    let path = path.trim_end_matches(['?', '!', '.', ',', ':', ';', '*', '_', '~', ')', ']']);
    // A line of TeX may begin like this.
    let names_share = path.get(2..).and_then(|name| name.split_once('\\'));
    let is_share =
        is_share && names_share.is_some_and(|(name, behind)| !name.contains(['{', '&']) && !behind.is_empty());
    (path.len() > 1 && (is_drive || is_share)).then_some(path.len())
}

/// A bare web address.
#[derive(Clone, Copy)]
struct Address {
    length: usize,
    /// Whether it needs protection, because emphasis interferes with it.
    needs_shield: bool,
}

/// Returns the web address that stands by itself at the start of `rest` (GitHub Flavored Markdown 0.29, "Autolinks":
/// punctuation that ends a sentence or closes something around the address does not belong to it).
fn address_at(rest: &str, before: Option<char>) -> Option<Address> {
    let scheme = ["https://", "http://"].into_iter().find(|scheme| rest.starts_with(scheme))?;
    // In `<…>` the parser recognises it.
    if before.is_some_and(|before| before.is_alphanumeric() || matches!(before, '<' | '/' | '"' | '\'')) {
        return None;
    }
    let window = &rest[..rest.floor_char_boundary(FORMULA_BYTES_MAX)];
    let mut address = &window[..address_end(window)];
    let (opened, mut closed) = (address.matches('(').count(), address.matches(')').count());
    loop {
        let trimmed = address.trim_end_matches(['?', '!', '.', ',', ':', ';', '*', '_', '~', '\'']);
        address = match trimmed.strip_suffix(')').filter(|_| opened < closed) {
            Some(inner) => {
                closed -= 1;
                inner
            }
            None if trimmed.len() == address.len() => break,
            None => trimmed,
        };
    }
    let host = address.get(scheme.len()..)?;
    let plain = !host.contains(['*', '_', '~', '$']) && !host.starts_with(|letter: char| !letter.is_ascii());
    Some(Address { length: address.len(), needs_shield: !plain && host.starts_with(char::is_alphanumeric) })
}

/// Returns where the address at the start of a text ends. In scripts without spaces the next text follows immediately:
/// a bracket opened before the address, emphasis, punctuation, or letters of such a script.
fn address_end(text: &str) -> usize {
    let ends = |letter: char| {
        letter.is_whitespace()
            || matches!(letter, '<' | '>' | '`' | '"' | '|' | ']' | '\\' | '—' | '…' | '“' | '”' | '‘' | '’')
            || is_mark_of_unspaced(letter)
            || !is_character(letter)
    };
    let (mut open, mut before) = (0_usize, '/');
    for (at, letter) in text.char_indices() {
        // `/**/` and `/**.js` are patterns of paths.
        let behind = text[at..].strip_prefix("**").map(|behind| behind.chars().next().unwrap_or(' '));
        let is_emphasis = behind.is_some_and(|behind| before != '/' || !behind.is_ascii() || behind.is_whitespace());
        let is_next_word = before.is_ascii_alphanumeric() && letter.is_alphabetic() && is_unspaced(letter);
        if ends(letter) || is_emphasis || is_next_word || (letter == ')' && open == 0) {
            return at;
        }
        match letter {
            '(' => open += 1,
            ')' => open -= 1,
            _ => {}
        }
        before = letter;
    }
    text.len()
}

/// Returns whether a character is full-width, Chinese or Japanese punctuation.
fn is_mark_of_unspaced(letter: char) -> bool {
    matches!(letter, '\u{3000}'..='\u{303f}' | '\u{ff01}'..='\u{ff0f}' | '\u{ff1a}'..='\u{ff20}' | '\u{ff3b}'..='\u{ff40}'
        | '\u{ff5b}'..='\u{ff65}')
}

/// Returns the length of the formula at the start of `rest`. Money, shell variables and escaped brackets are not
/// formulas.
fn formula_at(rest: &str, before: Option<char>) -> Option<usize> {
    if rest.starts_with(ENVIRONMENT) {
        return environment(rest).filter(|length| !has_blank_line(&rest[..*length]));
    }
    let (open, close) = match () {
        () if rest.starts_with("$$") => ("$$", "$$"),
        // As GitHub and GitLab write formulas in text.
        () if rest.starts_with("$`") => ("$`", "`$"),
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
        // A dollar sign in code, and code again, is none.
        "$`" => {
            before != Some('`')
                && !inner.contains('\n')
                && inner.trim() == inner
                && (is_mathematical(inner) || is_term(inner))
        }
        "$" => {
            let behind = rest[length..].chars().next();
            let tight =
                !inner.starts_with(char::is_whitespace) && !inner.ends_with(|c: char| c.is_whitespace() || c == '\\');
            let apart = |side: Option<char>| side.is_none_or(|side| !side.is_alphanumeric());
            tight && !inner.contains('\n') && apart(before) && apart(behind) && is_mathematical(inner)
        }
        "\\(" => is_mathematical(inner) || is_term(inner),
        _ => is_mathematical(inner),
    };
    fits.then_some(length)
}

/// Returns the length of the TeX environment at the start of `rest`, up to its own end.
pub(super) fn environment(rest: &str) -> Option<usize> {
    let name = rest.strip_prefix(ENVIRONMENT)?;
    let name = &name[..name.find('}').filter(|end| (1..=ENVIRONMENT_NAME_BYTES_MAX).contains(end))?];
    if !name.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'*') {
        return None;
    }
    let end = format!("\\end{{{name}}}");
    let window = &rest[..rest.floor_char_boundary(FORMULA_BYTES_MAX)];
    let at = window.find(&end)?;
    (!window[..at].contains('`')).then_some(at + end.len())
}

/// A blank line ends a paragraph, and so any formula.
fn has_blank_line(text: &str) -> bool {
    let mut lines = text.split('\n').map(str::trim);
    let (_, _) = (lines.next(), lines.next_back());
    lines.any(str::is_empty)
}

/// Returns whether a text looks like a formula: with TeX's characters, or as a one-letter name.
fn is_mathematical(text: &str) -> bool {
    let mut letters = text.trim().chars();
    let single = letters.next().is_some_and(char::is_alphabetic) && letters.next().is_none();
    single
        || text.contains(['\\', '^', '_', '=', '{', '<', '>', '+', '*'])
        || text.contains(" - ")
        || text.contains(" / ")
}

/// Returns whether it is a single term: `f(x)`, `2n`, `n!`.
fn is_term(text: &str) -> bool {
    let text = text.trim();
    !text.contains(char::is_whitespace)
        && text.contains(|letter: char| letter.is_ascii_digit() || "()!,'|*".contains(letter))
}
