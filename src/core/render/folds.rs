//! The raw HTML that is kept: line breaks, and folds (`details` with its `summary`).

use pulldown_cmark::{CowStr, Event, Tag, TagEnd};

pub(super) const DETAILS: &str = "<details>";
pub(super) const DETAILS_END: &str = "</details>";
pub(super) const SUMMARY: &str = "<summary>";
pub(super) const SUMMARY_END: &str = "</summary>";

/// A piece of a line of raw HTML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// One of the four tags above.
    Tag(&'static str),
    /// `<br>`
    Break,
    /// Any other text.
    Text(&'a str),
}

/// Returns whether a tag is a line break.
pub(super) fn is_break(tag: &str) -> bool {
    name_of(tag).is_some_and(|(_, name)| name.eq_ignore_ascii_case("br"))
}

/// Returns which of the four tags above this is.
pub(super) fn tag(tag: &str) -> Option<&'static str> {
    match known(tag) {
        Some(Piece::Tag(tag)) => Some(tag),
        _ => None,
    }
}

/// Splits a line into pieces.
pub(super) fn pieces(line: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut done, mut at) = (0, 0);
    while let Some(found) = line[at..].find('<') {
        let begin = at + found;
        let Some(length) = line[begin..].find('>').map(|end| end + 1) else { break };
        at = begin + 1;
        let Some(piece) = known(&line[begin..begin + length]) else { continue };
        push_text(&line[done..begin], &mut pieces);
        pieces.push(piece);
        (done, at) = (begin + length, begin + length);
    }
    push_text(&line[done..], &mut pieces);
    pieces
}

fn push_text<'a>(text: &'a str, pieces: &mut Vec<Piece<'a>>) {
    if !text.trim().is_empty() {
        pieces.push(Piece::Text(text));
    }
}

fn known(tag: &str) -> Option<Piece<'static>> {
    let (closes, name) = name_of(tag)?;
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    Some(match closes {
        _ if is("br") => Piece::Break,
        false if is("details") || is("details open") => Piece::Tag(DETAILS),
        true if is("details") => Piece::Tag(DETAILS_END),
        false if is("summary") => Piece::Tag(SUMMARY),
        true if is("summary") => Piece::Tag(SUMMARY_END),
        _ => return None,
    })
}

/// Returns a tag's name, and whether it is a closing tag.
fn name_of(tag: &str) -> Option<(bool, &str)> {
    let inside = tag.strip_prefix('<')?.strip_suffix('>')?;
    let inside = inside.strip_suffix('/').unwrap_or(inside).trim();
    Some(inside.strip_prefix('/').map_or((false, inside), |name| (true, name.trim())))
}

/// Balances folds. An unclosed one would hide what follows, so its summary becomes a bold line; an end without a
/// beginning is dropped.
pub(super) fn close(events: &mut Vec<Event<'static>>) {
    let is = |event: &Event<'_>, tag: &str| matches!(event, Event::Html(html) if **html == *tag);
    if !events.iter().any(|event| matches!(event, Event::Html(_))) {
        return;
    }
    let (mut open, mut whole) = (Vec::new(), vec![false; events.len()]);
    let mut summary = None;
    for (at, event) in events.iter().enumerate() {
        match event {
            event if is(event, DETAILS) => open.push(at),
            event if is(event, DETAILS_END) => {
                if let Some(begin) = open.pop() {
                    (whole[begin], whole[at]) = (true, true);
                }
            }
            event if is(event, SUMMARY) => summary = Some(at),
            event if is(event, SUMMARY_END) => {
                if let Some(begin) = summary.take() {
                    (whole[begin], whole[at]) = (true, true);
                }
            }
            _ => {}
        }
    }
    // A summary only counts inside a complete fold.
    let mut depth = 0_usize;
    let taken = std::mem::take(events);
    for (event, whole) in taken.into_iter().zip(whole) {
        match event {
            Event::Html(_) if !whole => {}
            Event::Html(tag) if *tag == *SUMMARY && depth == 0 => {
                events.extend([Event::Start(Tag::Paragraph), Event::Start(Tag::Strong)]);
            }
            Event::Html(tag) if *tag == *SUMMARY_END && depth == 0 => {
                events.extend([Event::End(TagEnd::Strong), Event::End(TagEnd::Paragraph)]);
            }
            Event::Html(tag) => {
                depth = match &*tag {
                    DETAILS => depth + 1,
                    DETAILS_END => depth.saturating_sub(1),
                    _ => depth,
                };
                events.push(Event::Html(CowStr::Boxed(tag.into_string().into_boxed_str())));
            }
            event => events.push(event),
        }
    }
}

/// Returns a text without HTML comments.
pub(super) fn without_comments(text: &str) -> String {
    without(text, "<!--", "-->")
}

/// Returns a text without anything that looks like a tag.
pub(super) fn without_tags(text: &str) -> String {
    without(text, "<", ">")
}

fn without(text: &str, open: &str, close: &str) -> String {
    let mut left = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once(open) {
        let Some((_, after)) = behind.split_once(close) else { break };
        left.push_str(before);
        rest = after;
    }
    left.push_str(rest);
    left
}
