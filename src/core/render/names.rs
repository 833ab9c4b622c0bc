//! Stars, underscores, tildes and backslashes that are not markup, in sums, names, patterns, commands and TeX.
//!
//! `5*6*7`, `**/*.py`, `__init__`, `~5 min` and `\,` mean what they say. CommonMark would read some of these signs as
//! emphasis or escapes, and readers would never see them. Signs recognised here stay literal; the parser decides about
//! all others. In doubt a sign stays, because a superfluous sign misleads less than a missing one.

use std::ops::Range;

use super::letters::is_unspaced;

/// Characters that CommonMark lets a backslash escape, but that nobody escapes in Markdown: TeX and paths mean the
/// backslash itself.
const KEPT_BEHIND_BACKSLASH: &[u8] = b",;:{}%\"'/=?^\\";
/// Most bytes of a name.
const NAME_BYTES_MAX: usize = 80;
/// Bytes of a line searched for the sign that closes another.
const LOOKED_AT_BYTES: usize = 2_000;
/// Fewest space-separated stars that begin a line of a schedule; fewer are list items.
const SCHEDULE_STARS: usize = 3;

/// Whether more text may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text {
    Whole,
    /// Signs whose meaning depends on later text are left undecided.
    Growing,
}

/// Signs that are not Markdown.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Signs {
    /// Signs that stay literal; ranges in order, each of single-byte characters only.
    pub(super) plain: Vec<Range<usize>>,
    /// Underscores to be read as stars, because they are next to a script without spaces.
    pub(super) as_stars: Vec<Range<usize>>,
}

/// A run of one sign.
struct Run<'a> {
    text: &'a str,
    at: usize,
    end: usize,
    before: Option<char>,
    behind: Option<char>,
}

impl Run<'_> {
    fn count(&self) -> usize {
        self.end - self.at
    }

    /// Returns the second character before the run.
    fn second_before(&self) -> Option<char> {
        self.text[..self.at].chars().rev().nth(1)
    }

    fn second_behind(&self) -> Option<char> {
        self.text[self.end..].chars().nth(1)
    }
}

/// Finds a text's literal signs.
pub(super) fn signs(text: &str, state: Text) -> Signs {
    let mut signs = Signs::default();
    let mut lines: Vec<Range<usize>> = Vec::new();
    // Where the last run of stars that the parser gets ended.
    let mut opened: Option<Range<usize>> = None;
    let mut at = 0;
    while let Some(found) = text[at..].find(['*', '_', '~', '\\', '\n']) {
        let begin = at + found;
        let sign = text.as_bytes()[begin];
        if sign == b'\n' {
            pair(text, &mut lines, &mut signs.as_stars);
            at = begin + 1;
            continue;
        }
        if sign == b'\\' {
            at = backslash(text, begin, &mut signs.plain);
            continue;
        }
        let end = begin + text[begin..].bytes().take_while(|byte| *byte == sign).count();
        let (before, behind) = (text[..begin].chars().next_back(), text[end..].chars().next());
        let run = Run { text, at: begin, end, before, behind };
        at = end;
        match sign {
            b'~' if run.count() == 1 => signs.plain.push(begin..end),
            b'*' if is_plain_star(&run, opened.as_ref(), state) => signs.plain.push(begin..end),
            b'*' => opened = Some(begin..end),
            b'_' => {
                if let Some(length) = special_name(&run) {
                    signs.plain.extend([begin..begin + 2, begin + length - 2..begin + length]);
                    at = begin + length;
                } else if is_plain_line(&run) {
                    signs.plain.push(begin..end);
                } else if run.count() <= 2 && !(is_operand(before) && is_operand(behind)) {
                    lines.push(begin..end);
                }
            }
            _ => {}
        }
    }
    pair(text, &mut lines, &mut signs.as_stars);
    signs
}

/// Keeps a backslash literal before a character that nobody escapes; returns where to continue.
fn backslash(text: &str, at: usize, plain: &mut Vec<Range<usize>>) -> usize {
    let Some(next) = text[at + 1..].chars().next() else { return at + 1 };
    let end = at + 1 + next.len_utf8();
    match u8::try_from(next) {
        Ok(b'\\') => plain.push(at..end),
        Ok(b'\n') => return at + 1,
        Ok(byte) if KEPT_BEHIND_BACKSLASH.contains(&byte) => plain.push(at..at + 1),
        _ => {}
    }
    end
}

/// Returns whether a character is a letter or digit of a script with spaces between words.
fn is_operand(letter: Option<char>) -> bool {
    letter.is_some_and(|letter| letter.is_alphanumeric() && !is_unspaced(letter))
}

fn is_plain_star(run: &Run<'_>, opened: Option<&Range<usize>>, state: Text) -> bool {
    let count = run.count();
    if count > 2 {
        return false;
    }
    // `*plural*s`: the run closes what began at the word's start.
    let closes_word = opened.is_some_and(|opened| {
        let word = &run.text[opened.end..run.at];
        opened.len() == count && (1..=NAME_BYTES_MAX).contains(&word.len()) && !word.contains(char::is_whitespace)
    });
    is_in_brackets(run)
        || (!closes_word && (is_times(run) || is_in_pattern(run)))
        || begins_pattern(run, state)
        || begins_schedule(run)
}

/// `f(*)`, `[*]`, `"*"`
fn is_in_brackets(run: &Run<'_>) -> bool {
    if run.before == run.behind && run.before.is_some_and(|quote| "\"'`".contains(quote)) {
        return true;
    }
    run.before.is_some_and(|before| "([{,=<".contains(before))
        && run.behind.is_some_and(|behind| ")]},;>".contains(behind))
}

/// `5*6`, `a*(b+c)`, `x**2`
fn is_times(run: &Run<'_>) -> bool {
    let closed = |letter: Option<char>| is_operand(letter) || letter.is_some_and(|letter| ")]}".contains(letter));
    let opened = |letter: Option<char>| is_operand(letter) || letter.is_some_and(|letter| "([{".contains(letter));
    if !closed(run.before) || !opened(run.behind) {
        return false;
    }
    if run.count() == 1 {
        return true;
    }
    let is_digit = |letter: Option<char>| letter.is_some_and(|letter| letter.is_ascii_digit());
    let is_single = !is_operand(run.second_before()) && !is_operand(run.second_behind());
    is_digit(run.before) || is_digit(run.behind) || (is_single && is_operand(run.before) && is_operand(run.behind))
}

/// `src/*/a`, `/var/log/*`, `foo*.log`, `/*` and `*/`
fn is_in_pattern(run: &Run<'_>) -> bool {
    let is_end =
        |letter: Option<char>| letter.is_none_or(|letter| letter.is_whitespace() || "./_-,;:)`\"'".contains(letter));
    let behind_slash = run.before == Some('/') && (is_end(run.behind) || !is_operand(run.second_before()));
    let before_slash = run.behind == Some('/') && run.before.is_some() && !is_operand(run.second_behind());
    let in_name = is_operand(run.before) || run.before.is_some_and(|before| "-_.".contains(before));
    let in_file_name = run.count() == 1 && in_name && run.behind == Some('.') && is_operand(run.second_behind());
    behind_slash || (run.count() == 1 && before_slash) || in_file_name
}

/// `*.rs`, `**/*.py`, `*/5`; not `**.env** and **/etc/hosts**`, which end as bold text does.
fn begins_pattern(run: &Run<'_>, state: Text) -> bool {
    let begins = run.before.is_none_or(|before| before.is_whitespace() || "(\"':=,!>[{|".contains(before));
    let behind = run.behind == Some('/') || (run.behind == Some('.') && is_operand(run.second_behind()));
    if !begins || !behind {
        return false;
    }
    if run.count() == 1 {
        return true;
    }
    let window = &run.text[run.end..run.text.floor_char_boundary(run.end + LOOKED_AT_BYTES)];
    let rest = window.split('\n').next().unwrap_or(window);
    let Some(next) = rest.find("**") else { return state == Text::Whole || rest.len() < window.len() };
    let closes = rest[..next].ends_with(|letter: char| !letter.is_whitespace() && letter != '/');
    !closes || is_operand(rest[next + 2..].chars().next())
}

/// `* * * * * /usr/bin/backup`, which would otherwise be five nested lists.
fn begins_schedule(run: &Run<'_>) -> bool {
    if run.count() > 1 || run.before.is_some_and(|before| before != '\n') || run.behind != Some(' ') {
        return false;
    }
    let rest = &run.text[run.at..];
    let line = &rest[..rest.find('\n').unwrap_or(rest.len())];
    let words = || line.split(' ').filter(|word| !word.is_empty());
    words().take_while(|word| *word == "*").count() >= SCHEDULE_STARS && words().any(|word| word != "*")
}

/// Returns the length of the special name that begins here, as in Python and C: `__init__`, `__FILE__`.
fn special_name(run: &Run<'_>) -> Option<usize> {
    if run.count() != 2 {
        return None;
    }
    let rest = &run.text[run.end..run.text.floor_char_boundary(run.end + NAME_BYTES_MAX)];
    let length = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(rest.len());
    let name = rest[..length].strip_suffix("__")?;
    let of = |is: fn(&u8) -> bool| name.bytes().all(|byte| is(&byte) || byte.is_ascii_digit() || byte == b'_');
    let is_name = !name.is_empty() && !name.starts_with('_') && !name.ends_with('_');
    (is_name && (of(u8::is_ascii_lowercase) || of(u8::is_ascii_uppercase))).then_some(2 + length)
}

/// `a/_b_/c`, `self._x_`, `_(name)`
fn is_plain_line(run: &Run<'_>) -> bool {
    let begins = match run.before {
        Some('/' | '\\' | '@' | '$' | '%') => true,
        Some('.' | '-' | '=' | '>') => is_operand(run.second_before()) || run.second_before() == Some('-'),
        _ => false,
    };
    let ends = match run.behind {
        Some('/' | '\\' | '(' | '[' | '=' | '@') => is_operand(run.before),
        Some('.' | '-') => is_operand(run.before) && is_operand(run.second_behind()),
        _ => false,
    };
    (begins && is_operand(run.behind)) || ends || is_in_quoted_name(run)
}

/// `"_id"` and `'x_'`: an underscore at only one end of a quoted word.
fn is_in_quoted_name(run: &Run<'_>) -> bool {
    let quote = |letter: Option<char>| letter.filter(|letter| "\"'".contains(*letter));
    let text = run.text;
    let opens = quote(run.before).is_some_and(|quote| {
        let window = &text[run.end..text.floor_char_boundary(run.end + NAME_BYTES_MAX)];
        window.split_once(quote).is_some_and(|(name, _)| !name.is_empty() && !name.ends_with('_'))
    });
    let closes = quote(run.behind).is_some_and(|quote| {
        let window = &text[text.ceil_char_boundary(run.at.saturating_sub(NAME_BYTES_MAX))..run.at];
        window.rsplit_once(quote).is_some_and(|(_, name)| !name.is_empty() && !name.starts_with('_'))
    });
    opens || closes
}

/// Pairs a line's remaining `_`. `__注意：__请先` is emphasis for people who write without spaces, but CommonMark requires a
/// space beside `_` where it does not beside `*`.
fn pair(text: &str, lines: &mut Vec<Range<usize>>, as_stars: &mut Vec<Range<usize>>) {
    let mut waiting = std::mem::take(lines).into_iter().peekable();
    while let Some(open) = waiting.next() {
        let Some(close) = waiting.next_if(|close| close.len() == open.len()) else { continue };
        let inner = &text[open.end..close.start];
        let is_name = inner.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        let is_tight = !inner.starts_with(char::is_whitespace) && !inner.ends_with(char::is_whitespace);
        let beside = [text[..open.start].chars().next_back(), text[close.end..].chars().next()];
        if !inner.is_empty() && is_tight && !is_name && beside.into_iter().flatten().any(is_unspaced) {
            as_stars.extend([open, close]);
        }
    }
}
