//! What the source says and the parser's events do not: accidental underlines, list numbers, cells beyond a table's
//! columns, and link definitions that nothing refers to.

use std::collections::HashSet;

use pulldown_cmark::{Event, LinkType, Options, Parser, Tag};

/// Fewest signs in a line that makes the text above it a heading.
const HEADING_DASHES_MIN: usize = 4;
const HEADING_EQUALS_MIN: usize = 3;
/// Most digits of an item's number (CommonMark 0.31, "List items").
const DIGITS_MAX: usize = 9;

/// The meaning of a line under text that is not a heading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Underline {
    /// `---`
    Rule,
    /// `-`, `==`
    Text(String),
}

/// Returns the line under text that only looks like a heading: models write `---` as a rule, below whatever is there.
pub(super) fn accidental_underline(heading: &str) -> Option<Underline> {
    let heading = heading.trim_end();
    let (words, line) = heading.rsplit_once('\n')?;
    if heading.starts_with('#') {
        return None;
    }
    let line = line.trim_start_matches([' ', '\t', '>']).trim_end();
    let is_long = words.trim_end().contains('\n');
    let of = |sign: char| !line.is_empty() && line.chars().all(|letter| letter == sign);
    match line.len() {
        length if of('-') && (length < HEADING_DASHES_MIN || is_long) => {
            Some(if length < 3 { Underline::Text(line.to_owned()) } else { Underline::Rule })
        }
        length if of('=') && (length < HEADING_EQUALS_MIN || is_long) => Some(Underline::Text(line.to_owned())),
        _ => None,
    }
}

/// Returns an item's number as written.
pub(super) fn number(item: &str) -> Option<u64> {
    let digits = item.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 || digits > DIGITS_MAX { None } else { item[..digits].parse().ok() }
}

/// Returns a row's text beyond its table's columns.
pub(super) fn more_cells(behind: &str) -> Option<&str> {
    let more = behind.trim().trim_matches('|').trim();
    (!more.is_empty() && !more.contains('\n')).then_some(more)
}

/// Returns the text with unused link definitions turned into text, because they would not be shown at all: a list of
/// sources at an answer's end. `None` if there are none.
pub(super) fn with_unused_definitions(text: &str, options: Options) -> Option<String> {
    if !text.contains("]:") {
        return None;
    }
    let parser = Parser::new_ext(text, options);
    let name = |label: &str| label.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    let defined: Vec<_> =
        parser.reference_definitions().iter().map(|(label, defined)| (name(label), defined.span.clone())).collect();
    if defined.is_empty() {
        return None;
    }
    let used: HashSet<_> = parser
        .filter_map(|event| match event {
            Event::Start(Tag::Link { link_type, id, .. } | Tag::Image { link_type, id, .. })
                if matches!(link_type, LinkType::Reference | LinkType::Collapsed | LinkType::Shortcut) =>
            {
                Some(name(&id))
            }
            _ => None,
        })
        .collect();
    let mut unused: Vec<_> = defined.into_iter().filter(|(name, _)| !used.contains(name)).collect();
    unused.sort_by_key(|(_, span)| span.start);
    let (mut shown, mut done) = (String::with_capacity(text.len() + unused.len()), 0);
    for (_, span) in unused {
        let Some(at) = text[span.clone()].find('[').map(|at| span.start + at).filter(|at| *at >= done) else {
            continue;
        };
        shown.push_str(&text[done..at]);
        shown.push('\\');
        done = at;
    }
    shown.push_str(&text[done..]);
    (done > 0 || shown.len() > text.len()).then_some(shown)
}
