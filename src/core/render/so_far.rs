//! What is shown of an unfinished answer (A10): whole words and whole markup, followed by “…”.

use std::ops::Range;

use super::{
    kept::{ENVIRONMENT, FORMULA_BYTES_MAX, environment},
    letters::is_unspaced,
    names::{self, Text},
};

/// Bytes that unclosed markup may hold back; opened longer ago, it may not be markup at all.
const HELD_BYTES_MAX: usize = 600;
/// Bytes at the end of the last block that are searched for unclosed markup.
const LOOKED_AT_BYTES: usize = 4 << 10;
/// Most steps back over unclosed markup; beyond that, none of the searched part is shown.
const STEPS_MAX: usize = 12;
/// Follows an unfinished text.
const MORE: &str = "…";

/// Returns what can be shown of an unfinished answer; `None` if that is nothing yet, or no more than `before`.
#[must_use]
pub fn so_far(markdown: &str, before: &str) -> Option<String> {
    let (shown, text) = shown_of(markdown);
    // Check for blankness last: text may be held back for long, and the check parses all of it.
    (text != before && !super::is_blank(shown)).then_some(text)
}

/// Returns the complete part, and how it is shown.
fn shown_of(markdown: &str) -> (&str, String) {
    let last = last_block(markdown);
    if let Some(fence) = last.fence
        && let Some(lines) = whole_lines(&markdown[fence.behind..])
    {
        let Fence { indent, marks, .. } = fence;
        let shown = &markdown[..fence.behind + lines];
        return (shown, format!("{}\n{indent}{marks}\n\n{MORE}", shown.trim_end_matches('\n')));
    }
    let begin = last.fence.map_or(last.begin, |fence| fence.begin);
    let tail = if last.fence.is_some() { "" } else { &markdown[begin..] };
    let shown = markdown[..begin + settled(tail)].trim_end();
    if shown.ends_with(MORE) {
        return (shown, shown.to_owned());
    }
    let line = shown.rsplit('\n').next().unwrap_or(shown).trim_start();
    let apart =
        line.starts_with(['|', '#', '<']) || line.starts_with("```") || line.starts_with("~~~") || is_bare(line);
    let space = match () {
        () if apart => "\n\n",
        () if shown.ends_with(is_unspaced) => "",
        () => " ",
    };
    (shown, format!("{shown}{space}{MORE}"))
}

#[derive(Clone, Copy)]
struct Fence<'a> {
    /// Where its line begins.
    begin: usize,
    /// Where its content begins; the end of the text if its line is incomplete.
    behind: usize,
    indent: &'a str,
    marks: &'a str,
}

struct Last<'a> {
    /// Where the last block begins.
    begin: usize,
    /// The code block that is open there.
    fence: Option<Fence<'a>>,
}

/// Finds the last block, after the last blank line or the last complete code block.
fn last_block(markdown: &str) -> Last<'_> {
    let (mut at, mut begin, mut fence): (usize, usize, Option<Fence<'_>>) = (0, 0, None);
    for line in markdown.split_inclusive('\n') {
        let behind = at + line.len();
        let bare = line.trim_start();
        let marks = bare.len() - bare.trim_start_matches(['`', '~']).len();
        let marks = &bare[..marks];
        let is_fence =
            marks.len() >= 3 && (marks.chars().all(|mark| mark == '`') || marks.chars().all(|mark| mark == '~'));
        match fence {
            Some(open) => {
                let closes = is_fence && marks.starts_with(open.marks) && bare[marks.len()..].trim().is_empty();
                if closes && line.ends_with('\n') {
                    (fence, begin) = (None, behind);
                }
            }
            None if is_fence && !(marks.starts_with('`') && bare[marks.len()..].contains('`')) => {
                let indent = &line[..line.len() - bare.len()];
                fence = Some(Fence { begin: at, behind, indent, marks });
            }
            None if bare.is_empty() => begin = behind,
            None => {}
        }
        at = behind;
    }
    Last { begin, fence }
}

/// Returns the length of an open code block's complete lines, if any. A last line that may become the closing fence is
/// not complete.
fn whole_lines(content: &str) -> Option<usize> {
    let end = content.rfind('\n')? + 1;
    (!content[..end].trim().is_empty()).then_some(end)
}

/// Returns how many bytes of the last block can be shown.
fn settled(block: &str) -> usize {
    let mut shown = without_last_word(block);
    shown = without_open_table(&block[..shown], shown < block.len() || !block.ends_with('\n'));
    // Anything opened before is not markup by now.
    let begin = match block.len().checked_sub(LOOKED_AT_BYTES) {
        Some(at) => {
            let at = block.ceil_char_boundary(at);
            block[at..].find(char::is_whitespace).map_or(at, |space| at + space)
        }
        None => 0,
    };
    for _ in 0..STEPS_MAX {
        let text = block[..shown].trim_end();
        let looked_at = text.get(begin..).unwrap_or_default();
        let open = open_markup(looked_at, block.len() - begin).map(|open| begin + open);
        let next = without_bare_line(&text[..open.unwrap_or(text.len())]).trim_end().len();
        if next == shown {
            return shown;
        }
        shown = next;
    }
    shown.min(begin)
}

/// Cuts after the last word that is certainly whole. Scripts without spaces can be cut anywhere.
fn without_last_word(text: &str) -> usize {
    let ends_word = |letter: char| letter.is_whitespace() || is_unspaced(letter);
    text.char_indices().rev().find(|(_, letter)| ends_word(*letter)).map_or(0, |(at, letter)| at + letter.len_utf8())
}

/// Cuts a table's incomplete rows, and the whole table until it has a row below its head.
fn without_open_table(text: &str, is_cut: bool) -> usize {
    let mut rows = 0;
    let mut begin = text.len();
    let mut shown = text.len();
    for line in text.split_inclusive('\n').rev() {
        if !line.trim_start().starts_with('|') {
            break;
        }
        begin -= line.len();
        let is_whole = line.ends_with('\n') && !(is_cut && shown == text.len() && rows == 0 && !text.ends_with('\n'));
        if is_whole {
            rows += 1;
        } else {
            shown = begin;
        }
    }
    if rows < 3 && begin < text.len() { begin } else { shown }
}

/// Cuts a last line that has no content yet: a bullet, a mark of a heading or quote, a possible rule.
fn without_bare_line(text: &str) -> &str {
    let begin = text.rfind('\n').map_or(0, |at| at + 1);
    if is_bare(&text[begin..]) { &text[..begin] } else { text }
}

fn is_bare(line: &str) -> bool {
    let letters = line.trim();
    let numbered =
        letters.ends_with(['.', ')']) && letters.len() <= 10 && letters.starts_with(|c: char| c.is_ascii_digit());
    !letters.is_empty() && (numbered || letters.chars().all(|letter| "-*+>#=_~`|:[]! ".contains(letter)))
}

/// Markup that later text may close.
struct Open {
    mark: char,
    count: usize,
    at: usize,
}

/// Returns where the first unclosed markup at the end of the text begins; `written` bytes of the text are there.
fn open_markup(text: &str, written: usize) -> Option<usize> {
    let mut open: Vec<Open> = Vec::new();
    let mut at = 0;
    let mut before: Option<char> = None;
    let is_near = |at: usize| written - at <= HELD_BYTES_MAX;
    let signs = names::signs(text, Text::Growing);
    let mut plain = signs.plain.iter().peekable();
    // Unclosed code is searched for only once.
    let mut endless: Vec<usize> = Vec::new();
    while let Some(mark) = text[at..].chars().next() {
        let rest = &text[at..];
        let run = || rest.len() - rest.trim_start_matches(mark).len();
        while plain.next_if(|range| range.end <= at).is_some() {}
        let held = match mark {
            _ if rest.starts_with(ENVIRONMENT) => environment(rest).ok_or(Missing::formula(1)),
            '\\' if rest.starts_with("\\(") => within(rest, "\\(", "\\)").map_err(Missing::formula),
            '\\' if rest.starts_with("\\[") => within(rest, "\\[", "\\]").map_err(Missing::formula),
            _ if plain.peek().is_some_and(|range| range.contains(&at)) => Ok(end_of(plain.peek(), at)),
            '\n' => {
                if begins_block(&rest[1..]) {
                    open.clear();
                }
                Ok(1)
            }
            '\\' => Ok(1 + rest[1..].chars().next().map_or(0, char::len_utf8)),
            '`' if endless.contains(&run()) => Ok(run()),
            '`' => code(rest, run()).map_err(|run| {
                endless.push(run);
                Missing::markup(run)
            }),
            '$' if rest.starts_with("$$") => within(rest, "$$", "$$").map_err(Missing::formula),
            '$' => dollar(rest, before).map_err(Missing::formula),
            '[' => link(rest).map_err(Missing::markup),
            '<' => tag(rest).map_err(Missing::markup),
            '*' | '_' | '~' => {
                open.retain(|open| is_near(open.at));
                let run = run();
                emphasis(&mut open, Open { mark, count: run, at }, before, rest[run..].chars().next());
                Ok(run)
            }
            mark => Ok(mark.len_utf8()),
        };
        let length = match held {
            Ok(length) => length,
            Err(missing) if written - at <= missing.held_bytes_max => {
                let image = usize::from(mark == '[' && before == Some('!'));
                let first = open.iter().find(|open| is_near(open.at)).map(|open| open.at);
                return Some(first.unwrap_or(at - image).min(at - image));
            }
            // It was not markup after all.
            Err(missing) => missing.skipped,
        };
        before = text[at..at + length].chars().next_back();
        at += length;
    }
    open.iter().find(|open| is_near(open.at)).map(|open| open.at)
}

fn end_of(range: Option<&&Range<usize>>, at: usize) -> usize {
    range.map_or(1, |range| range.end - at)
}

/// Markup whose end is missing.
struct Missing {
    /// Bytes to skip if it is not markup.
    skipped: usize,
    /// Bytes for which its end is awaited.
    held_bytes_max: usize,
}

impl Missing {
    fn markup(skipped: usize) -> Self {
        Self { skipped, held_bytes_max: HELD_BYTES_MAX }
    }

    /// Waits for as long as [`super::kept`] accepts a formula.
    fn formula(skipped: usize) -> Self {
        Self { skipped, held_bytes_max: FORMULA_BYTES_MAX }
    }
}

/// Returns whether a line begins an item, heading, row or quote, which emphasis does not cross.
fn begins_block(line: &str) -> bool {
    let bare = line.trim_start();
    let digits = bare.trim_start_matches(|c: char| c.is_ascii_digit());
    let numbered = digits.len() < bare.len() && digits.starts_with(['.', ')']);
    numbered || ["- ", "* ", "+ ", "#", "|", ">"].iter().any(|mark| bare.starts_with(mark))
}

/// Skips what is between two marks; `Err` with the length of the first if the second is missing.
fn within(rest: &str, open: &str, close: &str) -> Result<usize, usize> {
    let inner = &rest[open.len()..];
    inner.find(close).map(|end| open.len() + end + close.len()).ok_or(open.len())
}

fn code(rest: &str, run: usize) -> Result<usize, usize> {
    let mut at = run;
    while let Some(found) = rest[at..].find('`') {
        let begin = at + found;
        let length = rest[begin..].len() - rest[begin..].trim_start_matches('`').len();
        at = begin + length;
        if length == run {
            return Ok(at);
        }
    }
    Err(run)
}

/// Skips a formula, which begins with a letter or a command; anything else is money.
fn dollar(rest: &str, before: Option<char>) -> Result<usize, usize> {
    let begins = rest[1..].starts_with(|c: char| c.is_alphabetic() || matches!(c, '\\' | '(' | '{'));
    if begins && before.is_none_or(|before| !before.is_alphanumeric()) { within(rest, "$", "$") } else { Ok(1) }
}

fn tag(rest: &str) -> Result<usize, usize> {
    let begins = rest[1..].starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!'));
    if begins { within(rest, "<", ">") } else { Ok(1) }
}

/// Skips a link, image or reference; brackets at the end of the text may be the first half of one.
fn link(rest: &str) -> Result<usize, usize> {
    let Some(end) = balanced(rest, '[', ']') else { return Err(1) };
    let behind = &rest[end..];
    if behind.is_empty() {
        return Err(1);
    }
    if behind.starts_with('(') {
        return balanced(behind, '(', ')').map(|length| end + length).ok_or(1);
    }
    // The brackets' content is checked separately.
    Ok(1)
}

fn balanced(text: &str, open: char, close: char) -> Option<usize> {
    let mut depth = 0_usize;
    let mut escaped = false;
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if letter == open => depth += 1,
            _ if letter == close => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + letter.len_utf8());
                }
            }
            _ => {}
        }
    }
    None
}

/// Handles a run of `*`, `_` or `~`, which closes open markup or opens new.
fn emphasis(open: &mut Vec<Open>, mut run: Open, before: Option<char>, behind: Option<char>) {
    let is_word = |side: Option<char>| side.is_some_and(char::is_alphanumeric);
    let is_space = |side: Option<char>| side.is_none_or(char::is_whitespace);
    // `snake_case` and `~5 minutes` are not markup.
    if (run.mark == '_' && is_word(before) && is_word(behind)) || (run.mark == '~' && run.count != 2) {
        return;
    }
    if !is_space(before) {
        while let Some(at) = open.iter().rposition(|open| open.mark == run.mark).filter(|_| run.count > 0) {
            let taken = open[at].count.min(run.count);
            run.count -= taken;
            open[at].count -= taken;
            let left = usize::from(open[at].count > 0);
            open.truncate(at + left);
            if left > 0 {
                break;
            }
        }
    }
    let ends_text = behind.is_none() && !is_space(before);
    if run.count > 0 && (!is_space(behind) || ends_text) {
        open.push(run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a10_unfinished_text_ends_with_a_whole_word_and_whole_markup() {
        let table = [
            ("", None),
            ("Hel", None),
            ("Hello wor", Some("Hello …")),
            ("Hello world ", Some("Hello world …")),
            ("Hello world.\n\n", Some("Hello world. …")),
            ("**Short answ", None),
            ("It is **very impor", Some("It is …")),
            ("It is **very important** and", Some("It is **very important** …")),
            ("It is **very important**", Some("It is …")),
            ("see [status page](https://", Some("see …")),
            ("see [status page](https://example.org/a b) for", Some("see [status page](https://example.org/a b) …")),
            ("see [status page] ", Some("see …")),
            ("see ![a cat](htt", Some("see …")),
            ("run `cargo te", Some("run …")),
            ("run `cargo test` to ", Some("run `cargo test` to …")),
            ("run ``a ` b", Some("run …")),
            ("a list:\n\n- one\n- ", Some("a list:\n\n- one …")),
            ("a list:\n\n- one\n- **tw", Some("a list:\n\n- one …")),
            ("1. one\n2", Some("1. one …")),
            ("1. one\n2. ", Some("1. one …")),
            ("# Head", None),
            ("# Head\n", Some("# Head\n\n…")),
            ("text\n--", Some("text …")),
            ("text\n\n> ", Some("text …")),
            ("text\n\n``", Some("text …")),
            ("text\n\n```py", Some("text …")),
            ("text\n\n```py\n", Some("text …")),
            ("text\n\n```py\nimport o", Some("text …")),
            ("text\n\n```py\nimport os\nprin", Some("text\n\n```py\nimport os\n```\n\n…")),
            ("```py\nimport os\n``", Some("```py\nimport os\n```\n\n…")),
            ("```py\nimport os\n```", Some("```py\nimport os\n```\n\n…")),
            ("```py\nimport os\n```\n", Some("```py\nimport os\n```\n\n…")),
            ("- a\n  ```\n  x\n  y", Some("- a\n  ```\n  x\n  ```\n\n…")),
            ("so:\n\n| a | b |\n", Some("so: …")),
            ("so:\n\n| a | b |\n|---|-", Some("so: …")),
            ("so:\n\n| a | b |\n|---|---|\n| 1 | ", Some("so: …")),
            ("so:\n\n| a | b |\n|---|---|\n| 1 | 2 |\n| 3", Some("so:\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n…")),
            ("it is \\(E = m", Some("it is …")),
            ("it is $x^2 + ", Some("it is …")),
            ("it costs $5 and ", Some("it costs $5 and …")),
            ("~5 minutes of ", Some("~5 minutes of …")),
            ("2 * 3 and 4", Some("2 * 3 and …")),
            ("snake_case and ", Some("snake_case and …")),
            ("x < y and ", Some("x < y and …")),
            ("x <b", Some("x …")),
            ("AT&am", None),
            ("done… ", Some("done…")),
            ("先备份数据", Some("先备份数据…")),
            ("请**先备", Some("请…")),
            ("**注意：**请先", Some("**注意：**请先…")),
        ];
        for (markdown, expected) in table {
            assert_eq!(so_far(markdown, "").as_deref(), expected, "{markdown:?}");
        }
        let long_ago = format!("2*3 is {} and", "six ".repeat(200));
        assert!(so_far(&long_ago, "").is_some_and(|shown| shown.len() > 700), "it may be no emphasis");
    }

    #[test]
    fn a10_every_beginning_of_an_answer_reads_well() {
        let answer = "# Why it *paged*\n\nThe **pool** ran out, see [the log](https://example.org/l(1)) and `pg_stat`:\n\n\
                      - [ ] raise `max_connections` to **200**\n- [x] ~~restart~~ it\n\n| host | state |\n|---|---|\n\
                      | db1 | **down** |\n| db2 | up |\n\n```sql\nSELECT * FROM t;\n```\n\nIt is \\(a_1 * b_1\\), 2*3 = 6. <br>Done.";
        for (end, _) in answer.char_indices() {
            let Some(shown) = so_far(&answer[..end], "") else { continue };
            let rendered = crate::core::render::render(&shown);
            assert!(shown.ends_with(MORE), "{shown:?}");
            let outside = rendered.html.unwrap_or(rendered.body.clone());
            for half in ["**", "](", "[the", "~~", "`", "|"] {
                let in_code = outside.contains("<pre>") && half == "*";
                assert!(in_code || !outside.contains(half), "{half} in {outside:?} of {:?}", &answer[..end]);
            }
        }
    }
}
