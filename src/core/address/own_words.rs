//! The words of a message's sender, without quotes, reply fallbacks and code.
//!
//! A single linear scan reads the HTML, without building a tree. A tree-building parser recurses or goes quadratic on
//! hostile nesting, and here only the text and links outside quotes and code matter.

use std::ops::Range;

use ruma::{OwnedUserId, matrix_uri::MatrixId};

use crate::core::{
    id,
    markup::{Piece, Tag, decode_entities, pieces},
};

/// Bytes of a body or its HTML that are inspected; a Matrix event has at most 65 536.
pub(super) const INSPECTED_BYTES_MAX: usize = 64 * 1024;

/// Links of a message that are inspected.
pub(super) const INSPECTED_LINKS_MAX: usize = 256;

/// Elements whose content is not the sender's running text.
const HIDDEN: [&str; 8] = ["blockquote", "mx-reply", "code", "pre", "script", "style", "textarea", "title"];

/// The same with what is struck out, which its sender has taken back.
const UNASKED: [&str; 11] =
    ["blockquote", "mx-reply", "code", "pre", "script", "style", "textarea", "title", "del", "s", "strike"];

/// Those of them that nobody sees: a quote for other clients, and what is not text.
const UNSEEN: [&str; 3] = ["mx-reply", "script", "style"];

/// Elements that start a new line.
const BLOCKS: [&str; 14] = ["br", "p", "div", "li", "ul", "ol", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "blockquote"];

/// Returns whether any of a text is struck out, and so not meant.
pub(in crate::core) fn is_struck(html: &str) -> bool {
    let html = html.to_ascii_lowercase();
    ["<del", "<s>", "<s ", "<strike"].iter().any(|tag| html.contains(tag))
}

/// The sender's own words of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OwnWords {
    /// The text outside quotes and code, with entities decoded and tags removed.
    pub(crate) text: String,
    /// The links in that text.
    pub(crate) links: Vec<Link>,
}

/// A link in the sender's own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// Where it points.
    pub(crate) href: String,
    /// The range of its label in [`OwnWords::text`].
    pub(crate) label: Range<usize>,
}

impl OwnWords {
    /// Parses Matrix HTML.
    pub(crate) fn of_html(html: &str) -> Self {
        Scan::of(html, &HIDDEN)
    }

    /// Parses Matrix HTML without what is struck out.
    pub(crate) fn of_unstruck_html(html: &str) -> Self {
        Scan::of(html, &UNASKED)
    }

    /// Parses all visible text of Matrix HTML, including quotes and code.
    pub(crate) fn of_all_html(html: &str) -> Self {
        Scan::of(html, &UNSEEN)
    }

    /// Parses a plain body without quoted lines, fenced blocks and code spans.
    pub(crate) fn of_body(body: &str) -> Self {
        let mut text = String::new();
        let mut fence: Option<&str> = None;
        for line in bounded(body).lines() {
            let trimmed = line.trim_start();
            let mark = ["```", "~~~"].into_iter().find(|mark| trimmed.starts_with(mark));
            match (fence, mark) {
                (None, Some(mark)) => fence = Some(mark),
                (Some(open), Some(mark)) if open == mark => fence = None,
                (Some(_), _) => {}
                (None, None) if trimmed.starts_with('>') => {}
                (None, None) => {
                    push_without_code_spans(&mut text, line);
                    text.push('\n');
                }
            }
        }
        Self { text, links: Vec::new() }
    }

    /// Returns the users that links point to, including links written out as text.
    pub(crate) fn linked_users(&self) -> impl Iterator<Item = OwnedUserId> + '_ {
        let anchors = self.links.iter().map(|link| link.href.as_str());
        anchors.chain(bare_links(&self.text)).take(INSPECTED_LINKS_MAX).filter_map(linked_user)
    }

    /// Returns the first link with its label, if no text precedes it.
    pub(crate) fn leading_link(&self) -> Option<(&str, &str)> {
        let link = self.links.first()?;
        let before = self.text.get(..link.label.start)?;
        before.trim().is_empty().then_some((link.href.as_str(), self.text.get(link.label.clone())?))
    }
}

/// Returns the user that a matrix.to or `matrix:` link points to.
pub(crate) fn linked_user(href: &str) -> Option<OwnedUserId> {
    match id::uri(href)? {
        (MatrixId::User(user), _) => Some(user),
        _ => None,
    }
}

/// Returns the inspected beginning of `text`.
pub(crate) fn bounded(text: &str) -> &str {
    &text[..text.floor_char_boundary(INSPECTED_BYTES_MAX)]
}

/// Returns `body` without the quoted lines at its beginning: a reply fallback, or a quote to answer.
pub(crate) fn after_quote(body: &str) -> &str {
    let mut rest = body;
    while rest.trim_start_matches([' ', '\t']).starts_with('>') {
        let Some(end) = rest.find('\n') else { return "" };
        rest = &rest[end + 1..];
    }
    rest.trim_start()
}

fn push_without_code_spans(text: &mut String, line: &str) {
    let mut rest = line;
    while let Some(open) = rest.find('`') {
        text.push_str(&rest[..open]);
        let Some(length) = rest[open + 1..].find('`') else {
            rest = &rest[open..];
            break;
        };
        text.push(' ');
        rest = &rest[open + 1 + length + 1..];
    }
    text.push_str(rest);
}

/// Finds matrix.to and `matrix:u/` links written out in text.
fn bare_links(text: &str) -> impl Iterator<Item = &str> {
    let ends = |c: char| c.is_whitespace() || matches!(c, '(' | ')' | '<' | '>' | '[' | ']' | '"' | '\'');
    text.split(ends)
        .filter(|word| begins(word, "https://matrix.to/#/") || begins(word, "matrix:u/"))
        .map(|word| word.trim_end_matches([',', '.', ';', ':', '!']))
}

/// Returns whether a link begins so; letters' case means nothing in a scheme and a host.
fn begins(link: &str, with: &str) -> bool {
    link.get(..with.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(with))
}

struct Scan {
    words: OwnWords,
    hides: &'static [&'static str],
    hidden: [usize; UNASKED.len()],
    open_link: Option<(String, usize)>,
}

impl Scan {
    fn of(html: &str, hides: &'static [&'static str]) -> OwnWords {
        let mut scan = Self { words: OwnWords::default(), hides, hidden: [0; UNASKED.len()], open_link: None };
        scan.run(bounded(html));
        scan.close_link();
        scan.words
    }

    fn run(&mut self, html: &str) {
        for piece in pieces(html) {
            match piece {
                Piece::Text(text) => self.push_text(text),
                Piece::Open(tag) => self.open_tag(&tag),
                Piece::Close(name) => self.close_tag(&name),
            }
        }
    }

    fn is_hidden(&self) -> bool {
        self.hidden.iter().any(|open| *open > 0)
    }

    fn push_text(&mut self, text: &str) {
        if !self.is_hidden() {
            decode_entities(text, &mut self.words.text);
        }
    }

    fn close_tag(&mut self, name: &str) {
        if let Some(index) = self.hides.iter().position(|hidden| *hidden == name) {
            self.hidden[index] = self.hidden[index].saturating_sub(1);
        }
        if name == "a" {
            self.close_link();
        }
        self.break_line(name);
    }

    fn open_tag(&mut self, tag: &Tag<'_>) {
        let name = tag.name.as_str();
        if name == "a" {
            self.close_link();
            let href = tag.attribute("href");
            if let Some(href) = href.filter(|_| !self.is_hidden() && self.words.links.len() < INSPECTED_LINKS_MAX) {
                self.open_link = Some((href.trim().to_owned(), self.words.text.len()));
            }
        }
        self.break_line(name);
        if let Some(index) = self.hides.iter().position(|hidden| *hidden == name) {
            self.hidden[index] += 1;
        }
    }

    fn close_link(&mut self) {
        if let Some((href, start)) = self.open_link.take() {
            self.words.links.push(Link { href, label: start..self.words.text.len() });
        }
    }

    fn break_line(&mut self, name: &str) {
        if BLOCKS.contains(&name) && !self.words.text.is_empty() {
            self.words.text.push('\n');
        }
    }
}

#[cfg(test)]
mod tests;
