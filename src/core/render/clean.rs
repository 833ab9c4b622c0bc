//! The first wall: Markdown's events without raw HTML, images, odd links, mentions and bottomless nesting.

use pulldown_cmark::{CowStr, Event, LinkType, Options, Parser, Tag, TagEnd, TextMergeStream};
use url::Url;

use super::{Pills, folds, letters, shield};

/// Deeper nesting is written flat. Clients and ruma's sanitiser drop elements below their own limit of 100.
const DEPTH_MAX: usize = 12;
/// A longer link is shown as its text.
const LINK_BYTES_MAX: usize = 2_048;

pub(super) struct Cleaned {
    pub(super) events: Vec<Event<'static>>,
    /// Whether there is anything that a plain body cannot show.
    pub(super) rich: bool,
}

pub(super) fn events(markdown: &str, pills: Pills) -> Cleaned {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut cleaner = Cleaner { pills: pills == Pills::Linked, ..Cleaner::default() };
    // Words of ours have no formulas, and escape what people are called letter by letter.
    let shielded = shield::shield(markdown, pills == Pills::Flat);
    let mut in_code = false;
    for event in Parser::new_ext(&shielded.text, options) {
        match event {
            Event::Start(Tag::CodeBlock(_)) => in_code = true,
            Event::End(TagEnd::CodeBlock) => in_code = false,
            _ => {}
        }
        shielded.give_back(event, in_code, |event| cleaner.event(event));
    }
    folds::close(&mut cleaner.events);
    let mut events = Vec::with_capacity(cleaner.events.len());
    let mut in_code_block = false;
    for event in TextMergeStream::new(cleaner.events.into_iter()) {
        match event {
            Event::Start(Tag::CodeBlock(_)) => in_code_block = true,
            Event::End(TagEnd::CodeBlock) => in_code_block = false,
            _ => {}
        }
        // Tamed only here, because entities such as `&#x202e;` are characters by now.
        match event {
            Event::Text(text) if in_code_block => events.push(Event::Text(letters::tamed(&text).into())),
            Event::Text(text) => split_mentions(&letters::tamed(&text), &mut events),
            Event::Code(code) => events.push(Event::Code(letters::tamed(&code).into())),
            Event::InlineMath(formula) => events.push(Event::InlineMath(letters::tamed(&formula).into())),
            event => events.push(event),
        }
    }
    let rich = events.iter().any(|event| {
        !matches!(
            event,
            Event::Text(_)
                | Event::SoftBreak
                | Event::HardBreak
                | Event::Start(Tag::Paragraph)
                | Event::End(TagEnd::Paragraph)
        )
    });
    Cleaned { events, rich }
}

#[derive(Default)]
struct Cleaner {
    events: Vec<Event<'static>>,
    /// For each open tag whose start may be left out: whether it was written.
    open: Vec<bool>,
    depth: usize,
    in_link: bool,
    /// In a block of raw HTML; whether a paragraph is open for what it says.
    html_block: Option<bool>,
    /// Whether links to people stay.
    pills: bool,
}

impl Cleaner {
    fn event(&mut self, event: Event<'static>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(end) => self.end(end),
            // Raw HTML is shown, not obeyed, but for line breaks, which Markdown has no other way to write in a table.
            Event::InlineHtml(text) if folds::is_break(&text) => self.events.push(Event::HardBreak),
            // The last two are off in the options; shown as text, should that ever change.
            Event::InlineHtml(text) | Event::DisplayMath(text) | Event::FootnoteReference(text) => {
                self.events.push(Event::Text(text));
            }
            Event::Html(text) => self.html(&text),
            Event::InlineMath(_)
            | Event::Text(_)
            | Event::Code(_)
            | Event::SoftBreak
            | Event::HardBreak
            | Event::Rule
            | Event::TaskListMarker(_) => self.events.push(event),
        }
    }

    fn start(&mut self, tag: Tag<'static>) {
        match tag {
            Tag::HtmlBlock => self.html_block = Some(false),
            Tag::Link { link_type: LinkType::Email, dest_url, .. } => self.link(format!("mailto:{dest_url}").into()),
            // Nothing remote is loaded: an image becomes a link with its description.
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => self.link(dest_url),
            Tag::List(_) | Tag::BlockQuote(_) | Tag::Emphasis | Tag::Strong | Tag::Strikethrough => {
                self.depth += 1;
                let written = self.depth <= DEPTH_MAX;
                self.open.push(written);
                if written {
                    self.events.push(Event::Start(tag));
                }
            }
            // An item stands or falls with its list.
            Tag::Item => {
                let written = self.depth <= DEPTH_MAX;
                self.open.push(written);
                if written {
                    self.events.push(Event::Start(tag));
                }
            }
            tag => self.events.push(Event::Start(tag)),
        }
    }

    fn end(&mut self, end: TagEnd) {
        match end {
            TagEnd::HtmlBlock => {
                self.end_html_paragraph();
                self.html_block = None;
            }
            TagEnd::Link | TagEnd::Image => {
                if self.open.pop() == Some(true) {
                    self.in_link = false;
                    self.describe();
                    self.events.push(Event::End(TagEnd::Link));
                }
            }
            TagEnd::List(_)
            | TagEnd::BlockQuote(_)
            | TagEnd::Emphasis
            | TagEnd::Strong
            | TagEnd::Strikethrough
            | TagEnd::Item => {
                if end != TagEnd::Item {
                    self.depth = self.depth.saturating_sub(1);
                }
                if self.open.pop() == Some(true) {
                    self.events.push(Event::End(end));
                }
            }
            end => self.events.push(Event::End(end)),
        }
    }

    fn link(&mut self, dest_url: CowStr<'static>) {
        let written = !self.in_link && may_link(&dest_url, self.pills);
        self.open.push(written);
        if written {
            self.in_link = true;
            self.events.push(Event::Start(Tag::Link {
                link_type: LinkType::Inline,
                dest_url,
                title: CowStr::Borrowed(""),
                id: CowStr::Borrowed(""),
            }));
        }
    }

    /// A link without a text shows where it leads.
    fn describe(&mut self) {
        if let Some(Event::Start(Tag::Link { dest_url, .. })) = self.events.last() {
            let dest_url = dest_url.clone();
            self.events.push(Event::Text(dest_url));
        }
    }

    /// A line of a block of raw HTML: what folds is kept, and the rest is shown.
    fn html(&mut self, text: &str) {
        for line in text.split_inclusive('\n') {
            let ended = line.ends_with('\n');
            for piece in folds::pieces(line.trim_end_matches('\n')) {
                match piece {
                    folds::Piece::Tag(tag) => {
                        self.end_html_paragraph();
                        self.events.push(Event::Html(CowStr::Borrowed(tag)));
                    }
                    folds::Piece::Break => {
                        self.begin_html_paragraph();
                        self.events.push(Event::HardBreak);
                    }
                    folds::Piece::Text(text) => {
                        self.begin_html_paragraph();
                        self.events.push(Event::Text(text.to_owned().into()));
                    }
                }
            }
            if ended && self.html_block == Some(true) {
                self.events.push(Event::SoftBreak);
            }
        }
    }

    fn begin_html_paragraph(&mut self) {
        if self.html_block == Some(false) {
            self.html_block = Some(true);
            if !matches!(self.events.last(), Some(Event::Html(tag)) if **tag == *folds::SUMMARY) {
                self.events.push(Event::Start(Tag::Paragraph));
            }
        }
    }

    fn end_html_paragraph(&mut self) {
        if self.html_block == Some(true) {
            self.html_block = Some(false);
            if matches!(self.events.last(), Some(Event::SoftBreak)) {
                self.events.pop();
            }
            let open = self.events.iter().rev().find_map(|event| match event {
                Event::Start(Tag::Paragraph) => Some(true),
                Event::Html(tag) if **tag == *folds::SUMMARY => Some(false),
                _ => None,
            });
            if open == Some(true) {
                self.events.push(Event::End(TagEnd::Paragraph));
            }
        }
    }
}

fn may_link(dest_url: &str, pills: bool) -> bool {
    // Clients may look for `@room` anywhere in what they are sent, an address included.
    let pings = dest_url.match_indices('@').any(|(at, _)| is_room_mention(dest_url, at));
    if pings || dest_url.len() > LINK_BYTES_MAX || letters::tamed(dest_url) != dest_url {
        return false;
    }
    let Ok(url) = Url::parse(dest_url) else { return false };
    matches!(url.scheme(), "http" | "https" | "mailto" | "matrix") && (pills || !is_user_link(&url))
}

/// Returns whether clients may show a link as a mention of a person: matrix.to, `matrix:u/…`, and the permalinks of
/// web clients, which name the person in their fragment. Clients decode a link before they look at it.
pub(super) fn is_user_link(url: &Url) -> bool {
    let whole = percent_decoded(url.as_str());
    if url.scheme() == "matrix" {
        // The authority is optional ("matrix: URI scheme", spec 1.18).
        let path = percent_decoded(url.path());
        let path = path.trim_start_matches('/');
        return path.starts_with("u/") || path.starts_with("user/");
    }
    let fragment = whole.split_once('#').map(|(_, fragment)| fragment).unwrap_or_default();
    fragment.starts_with('@') || fragment.contains("/@")
}

pub(in crate::core) fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = text.get(at + 1..at + 3).filter(|hex| byte == b'%' && hex.bytes().all(|c| c.is_ascii_hexdigit()));
        let value = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        decoded.push(value.unwrap_or(byte));
        at += if value.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Writes a text with what clients could turn into a mention as code, which they leave alone.
fn split_mentions(text: &str, events: &mut Vec<Event<'_>>) {
    let mut written = 0;
    for (begin, end) in mentions(text) {
        if begin > written {
            events.push(Event::Text(text[written..begin].to_owned().into()));
        }
        events.push(Event::Code(text[begin..end].to_owned().into()));
        written = end;
    }
    if written < text.len() {
        events.push(Event::Text(text[written..].to_owned().into()));
    }
}

fn mentions(text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    for word in text.split_inclusive(char::is_whitespace) {
        let whole = word.trim_end();
        let begin = at + (whole.len() - whole.trim_start_matches(['(', '<', '[', '"', '\'']).len());
        let end = at + whole.trim_end_matches(['.', ',', ';', '!', '?', ')', '>', ']', '"', '\'']).len();
        let is_link = begin < end
            && (text[begin..end].contains("://") || text[begin..end].starts_with("matrix:"))
            && Url::parse(&text[begin..end]).is_ok_and(|url| is_user_link(&url));
        if is_link {
            found.push((begin, end));
        } else {
            let is_address = begin < end && text[begin..end].contains("://") && Url::parse(&text[begin..end]).is_ok();
            ids(whole, at, is_address, &mut found);
        }
        at += word.len();
    }
    found
}

/// Returns whether `@room` stands at the `@` as a word of its own: only so do push rules find it in a body (spec,
/// "event_match": a pattern for `content.body` ends at word boundaries).
pub(super) fn is_room_mention(text: &str, at: usize) -> bool {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let behind = text.get(at + 1..).unwrap_or_default();
    let names = behind.get(..4).is_some_and(|room| room.eq_ignore_ascii_case("room"));
    names && !text[..at].ends_with(is_word) && !behind[4..].starts_with(is_word)
}

/// Finds `@room` and user ids in a word that begins at `offset`. An address on the web is not looked into for ids.
fn ids(word: &str, offset: usize, is_address: bool, found: &mut Vec<(usize, usize)>) {
    let mut done = 0;
    for (at, _) in word.match_indices('@') {
        if at < done {
            continue;
        }
        let rest = &word[at + 1..];
        let after_letter = word[..at].ends_with(|letter: char| letter.is_ascii_alphanumeric());
        // What stands behind code is a text of its own for clients.
        let len = if is_room_mention(&word[done..], at - done) {
            4
        } else if after_letter || is_address {
            0
        } else {
            user_id_len(rest)
        };
        if len > 0 {
            done = at + 1 + len;
            found.push((offset + at, offset + done));
        }
    }
}

/// Returns the length of `localpart:server` at the beginning of `rest`; 0 where there is none.
fn user_id_len(rest: &str) -> usize {
    let Some(colon) = rest.find(|letter: char| letter == ':' || letter == '@' || !letter.is_ascii_graphic()) else {
        return 0;
    };
    if colon == 0 || !rest[colon..].starts_with(':') {
        return 0;
    }
    let server = &rest[colon + 1..];
    let end = server
        .find(|letter: char| !letter.is_ascii_alphanumeric() && !matches!(letter, '.' | '-' | ':' | '[' | ']'))
        .unwrap_or(server.len());
    let server = server[..end].trim_end_matches(['.', '-', ':', ']', '[']);
    if server.is_empty() { 0 } else { colon + 1 + server.len() }
}
