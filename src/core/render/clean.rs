//! The first wall: Markdown events without raw HTML, images, odd links, mentions and endless nesting.

use std::ops::Range;

use pulldown_cmark::{CowStr, Event, LinkType, Options, Parser, Tag, TagEnd, TextMergeStream, TextMergeWithOffset};
use url::Url;

use super::{
    Pills, folds, inline, letters,
    mentions::{calls_in_its_host, is_user_link, split_mentions},
    shield::{self, Shielded},
    source,
};

/// Deeper nesting is flattened. Clients and ruma's sanitiser drop elements below their own limit of 100.
const DEPTH_MAX: usize = 12;
/// A longer link is shown as text only.
const LINK_BYTES_MAX: usize = 2_048;
/// Most bytes of a target that is shown after a link's text, because clients get no link.
const SHOWN_BYTES_MAX: usize = 300;

const OPTIONS: Options = Options::ENABLE_TABLES.union(Options::ENABLE_STRIKETHROUGH).union(Options::ENABLE_TASKLISTS);

pub(super) struct Cleaned {
    pub(super) events: Vec<Event<'static>>,
    /// Whether anything needs more than a plain body.
    pub(super) rich: bool,
}

pub(super) fn events(markdown: &str, pills: Pills) -> Cleaned {
    let mut cleaner = Cleaner { pills: pills == Pills::Linked, ..Cleaner::default() };
    let mut shielded = shield::shield(markdown, pills == Pills::Linked);
    if pills == Pills::Flat
        && let Some(text) = source::with_unused_definitions(&shielded.text, OPTIONS)
    {
        shielded.text = text.into();
    }
    let mut in_code = false;
    for (event, range) in TextMergeWithOffset::new(Parser::new_ext(&shielded.text, OPTIONS).into_offset_iter()) {
        match event {
            Event::Start(Tag::CodeBlock(_)) => in_code = true,
            Event::End(TagEnd::CodeBlock) => in_code = false,
            _ => {}
        }
        if pills == Pills::Linked || !cleaner.by_source(&event, &range, &shielded) {
            shielded.give_back(event, in_code, |event| cleaner.event(event));
        }
    }
    folds::close(&mut cleaner.events);
    let mut events = Vec::with_capacity(cleaner.events.len());
    let (mut in_code_block, mut in_cell) = (false, false);
    for event in TextMergeStream::new(cleaner.events.into_iter()) {
        match event {
            Event::Start(Tag::CodeBlock(_)) => in_code_block = true,
            Event::End(TagEnd::CodeBlock) => in_code_block = false,
            Event::Start(Tag::TableCell) => in_cell = true,
            Event::End(TagEnd::TableCell) => in_cell = false,
            _ => {}
        }
        // Tame text only now, because entities such as `&#x202e;` are characters by here.
        match event {
            Event::Text(text) if in_code_block => events.push(Event::Text(letters::tamed(&text).into())),
            Event::Text(text) => split_mentions(&letters::tamed(&text), &mut events),
            Event::Code(code) => events.push(Event::Code(letters::tamed(&code).into())),
            Event::InlineMath(formula) => {
                let formula = letters::tamed(&formula);
                // A table's escape, which is no part of its cell (GitHub Flavored Markdown 0.29, "Tables").
                let formula = if in_cell { formula.replace("\\|", "|") } else { formula };
                events.push(Event::InlineMath(formula.into()));
            }
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
    /// For each open tag that may be omitted: whether it was written.
    open: Vec<bool>,
    /// For each open link: its target, if that is to be shown after the text.
    unlinked: Vec<Option<Unlinked>>,
    /// The line under an open heading whose text is a paragraph.
    underline: Option<source::Underline>,
    /// The number of each open list's last item, as written.
    numbers: Vec<Option<u64>>,
    /// Where a row's last cell ends in the source.
    cell_end: usize,
    /// Whether a summary inside running text is open.
    in_summary: bool,
    inline: inline::Inline,
    depth: usize,
    in_link: bool,
    /// In a block of raw HTML: whether a paragraph is open for its text.
    html_block: Option<bool>,
    /// Whether links to people stay.
    pills: bool,
}

/// A link that clients do not get.
struct Unlinked {
    dest_url: String,
    /// The index of the event at which its text begins.
    begin: usize,
    /// Whether it directly follows a word, so that it may be program text: `a[i](b)`.
    is_raw: bool,
}

impl Cleaner {
    /// Handles an event that the source means differently from the parser; returns whether it did.
    fn by_source(&mut self, event: &Event<'_>, range: &Range<usize>, shielded: &Shielded<'_>) -> bool {
        match event {
            Event::Start(Tag::Heading { .. }) => {
                self.underline = source::accidental_underline(&shielded.text[range.clone()]);
                if self.underline.is_some() {
                    self.events.push(Event::Start(Tag::Paragraph));
                }
                self.underline.is_some()
            }
            Event::End(TagEnd::Heading(_)) => {
                self.end_summary();
                let Some(underline) = self.underline.take() else { return false };
                match underline {
                    source::Underline::Rule => self.events.extend([Event::End(TagEnd::Paragraph), Event::Rule]),
                    source::Underline::Text(text) => {
                        let text = Event::Text(text.into());
                        self.events.extend([Event::SoftBreak, text, Event::End(TagEnd::Paragraph)]);
                    }
                }
                true
            }
            Event::Start(Tag::List(number)) => {
                self.numbers.push(number.map(|_| u64::MAX));
                false
            }
            Event::End(TagEnd::List(_)) => {
                self.numbers.pop();
                false
            }
            Event::Start(Tag::Item) => {
                self.number(source::number(&shielded.text[range.clone()]));
                false
            }
            Event::End(TagEnd::TableCell) => {
                self.end_summary();
                self.cell_end = range.end;
                false
            }
            Event::End(TagEnd::TableRow) => {
                let more = source::more_cells(shielded.text.get(self.cell_end..range.end).unwrap_or_default());
                if let (Some(more), Some(Event::End(TagEnd::TableCell))) = (more, self.events.last()) {
                    self.events.pop();
                    let more = format!(" | {}", shielded.original(more));
                    self.events.extend([Event::Text(more.into()), Event::End(TagEnd::TableCell)]);
                }
                false
            }
            _ => false,
        }
    }

    /// Starts another list if a number does not follow the one before, because the number is meant.
    fn number(&mut self, number: Option<u64>) {
        let Some((Some(last), number)) = self.numbers.last_mut().zip(number) else { return };
        let follows = *last == u64::MAX || number == *last || Some(number) == last.checked_add(1);
        *last = number;
        if !follows && self.depth <= DEPTH_MAX {
            self.events.extend([Event::End(TagEnd::List(true)), Event::Start(Tag::List(Some(number)))]);
        }
    }

    fn event(&mut self, event: Event<'static>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(end) => {
                self.end(end);
                self.inline.within(self.open.len());
            }
            // Raw HTML is shown and not obeyed, except line breaks, which Markdown cannot write in a table.
            Event::InlineHtml(text) if folds::is_break(&text) => self.events.push(Event::HardBreak),
            Event::InlineHtml(text) if folds::tag(&text).is_some() => self.inline_fold(folds::tag(&text)),
            Event::InlineHtml(text) if !self.pills && self.inline.take(&text, self.open.len(), &mut self.events) => {}
            // The options turn the last two off; if that changes, they are shown as text.
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
            Tag::Link { link_type: LinkType::Email, dest_url, .. } => self.link(&format!("mailto:{dest_url}")),
            // Nothing remote is loaded: an image becomes a link with its description.
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => self.link(&dest_url),
            Tag::List(_) | Tag::BlockQuote(_) | Tag::Emphasis | Tag::Strong | Tag::Strikethrough => {
                self.depth += 1;
                let written = self.depth <= DEPTH_MAX;
                self.open.push(written);
                if written {
                    self.events.push(Event::Start(tag));
                }
            }
            // An item is written only if its list is.
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
                let unlinked = self.unlinked.pop().flatten();
                if self.open.pop() == Some(true) {
                    self.in_link = false;
                    self.describe();
                    self.events.push(Event::End(TagEnd::Link));
                } else if let Some(unlinked) = unlinked {
                    self.show(unlinked);
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
            end => {
                self.end_summary();
                self.events.push(Event::End(end));
            }
        }
    }

    fn link(&mut self, dest_url: &str) {
        let dest_url = CowStr::from(with_small_scheme(dest_url));
        let written = !self.in_link && may_link(&dest_url, self.pills);
        self.open.push(written);
        let is_raw = matches!(self.events.last(), Some(Event::Text(text)) if text.ends_with(char::is_alphanumeric));
        let unlinked = (!written && !self.in_link && !self.pills && may_be_shown(&dest_url)).then(|| Unlinked {
            dest_url: dest_url.to_string(),
            begin: self.events.len(),
            is_raw: is_raw && Url::parse(&dest_url).is_err(),
        });
        self.unlinked.push(unlinked);
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

    /// Shows a target that is not a link for clients: a relative file, an odd scheme.
    fn show(&mut self, Unlinked { dest_url, begin, is_raw }: Unlinked) {
        let text: String = self.events[begin..]
            .iter()
            .filter_map(|event| match event {
                Event::Text(text) | Event::Code(text) => Some(&**text),
                _ => None,
            })
            .collect();
        if is_raw {
            self.events.insert(begin, Event::Text("[".into()));
            self.events.push(Event::Text(format!("]({dest_url})").into()));
        } else if text.is_empty() {
            self.events.push(Event::Text(dest_url.into()));
        } else if text != dest_url && !dest_url.is_empty() {
            self.events.push(Event::Text(format!(" ({dest_url})").into()));
        }
    }

    /// Renders a fold inside running text: nothing folds, the summary is bold, and the content follows it.
    fn inline_fold(&mut self, tag: Option<&'static str>) {
        match tag {
            Some(folds::SUMMARY) if !self.in_summary => {
                self.in_summary = true;
                self.events.push(Event::Start(Tag::Strong));
            }
            Some(folds::SUMMARY_END) if self.in_summary => {
                self.end_summary();
                self.events.push(Event::HardBreak);
            }
            _ => {}
        }
    }

    fn end_summary(&mut self) {
        self.inline.end();
        if std::mem::take(&mut self.in_summary) {
            self.events.push(Event::End(TagEnd::Strong));
        }
    }

    /// Shows the target of a link without a text.
    fn describe(&mut self) {
        if let Some(Event::Start(Tag::Link { dest_url, .. })) = self.events.last() {
            let dest_url = dest_url.clone();
            self.events.push(Event::Text(dest_url));
        }
    }

    /// Handles a line of a raw HTML block: keeps folds and shows the rest.
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
                        self.html_text(text);
                    }
                }
            }
            if ended && self.html_block == Some(true) {
                self.events.push(Event::SoftBreak);
            }
        }
    }

    /// Handles a text inside a block of raw HTML: emphasis and the like within it count, everything else is shown.
    fn html_text(&mut self, text: &str) {
        let mut rest = text;
        while let Some(begin) = rest.find('<') {
            let Some(end) = rest[begin..].find('>').map(|end| begin + end + 1) else { break };
            let (before, tag) = (&rest[..begin], &rest[begin..end]);
            if !before.is_empty() {
                self.events.push(Event::Text(before.to_owned().into()));
            }
            if self.pills || !self.inline.take(tag, self.open.len(), &mut self.events) {
                self.events.push(Event::Text(tag.to_owned().into()));
            }
            rest = &rest[end..];
        }
        if !rest.is_empty() {
            self.events.push(Event::Text(rest.to_owned().into()));
        }
        self.inline.end();
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

/// Returns whether a link's target may be shown: not a script, and not somebody who would seem mentioned.
fn may_be_shown(dest_url: &str) -> bool {
    let is_script = || {
        let scheme = dest_url.split(':').next().unwrap_or_default().trim();
        ["javascript", "vbscript", "data"].iter().any(|script| scheme.eq_ignore_ascii_case(script))
    };
    dest_url.len() <= SHOWN_BYTES_MAX
        && letters::tamed(dest_url) == dest_url
        && !is_script()
        && !Url::parse(dest_url).is_ok_and(|url| is_user_link(&url))
}

/// Returns an address with its scheme in small letters: the last wall compares it letter by letter.
fn with_small_scheme(dest_url: &str) -> String {
    match dest_url.split_once(':') {
        Some((scheme, rest)) if scheme.chars().all(|letter| letter.is_ascii_alphabetic()) => {
            format!("{}:{rest}", scheme.to_ascii_lowercase())
        }
        _ => dest_url.to_owned(),
    }
}

fn may_link(dest_url: &str, pills: bool) -> bool {
    // It would read like a call, and no host is named so.
    let pings = calls_in_its_host(dest_url);
    if pings || dest_url.len() > LINK_BYTES_MAX || letters::tamed(dest_url) != dest_url {
        return false;
    }
    let Ok(url) = Url::parse(dest_url) else { return false };
    matches!(url.scheme(), "http" | "https" | "mailto" | "matrix") && (pills || !is_user_link(&url))
}
