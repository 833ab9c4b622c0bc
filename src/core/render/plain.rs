//! The plain body, for clients without HTML, for notifications and for search.

use std::ops::Range;

use pulldown_cmark::{CodeBlockKind, Event, Tag, TagEnd};

use crate::core::links;

use super::{
    folds, inline,
    mentions::{WORD_JOINER, is_in_address, is_room_mention, is_user_link},
};

/// The prefix of a quoted line.
const QUOTE: &str = "> ";

pub(super) fn write(events: &[Event<'_>]) -> String {
    let mut writer = Writer::default();
    for (at, event) in events.iter().enumerate() {
        match event {
            // The list continues with another number.
            Event::End(TagEnd::List(true)) if matches!(events.get(at + 1), Some(Event::Start(Tag::List(Some(_))))) => {
                continue;
            }
            Event::Start(Tag::List(Some(number)))
                if at > 0 && matches!(events[at - 1], Event::End(TagEnd::List(true))) =>
            {
                if let Some(last) = writer.lists.last_mut() {
                    *last = Some(*number);
                }
                continue;
            }
            Event::Start(Tag::CodeBlock(_)) => writer.fence = fence(&events[at + 1..]),
            Event::Start(Tag::Superscript) if is_mark(&events[at + 1..]) => {
                writer.marks = 1;
                continue;
            }
            Event::End(TagEnd::Superscript) => writer.marks = 0,
            _ => {}
        }
        writer.is_task = matches!(
            events.get(at + 1..),
            Some([Event::TaskListMarker(_), ..] | [Event::Start(Tag::Paragraph), Event::TaskListMarker(_), ..])
        );
        writer.event(event);
    }
    without_room_mention(writer.text.trim_end(), &writer.code)
}

#[derive(Default)]
struct Writer {
    text: String,
    /// The prefixes of lines in the open quotes and items.
    prefixes: Vec<Prefix>,
    /// The next numbers of the open lists; `None` for bullets.
    lists: Vec<Option<u64>>,
    /// The open links' targets, and where their texts begin.
    links: Vec<(String, usize)>,
    /// How many numbers of sources are open, whose addresses stand at the end.
    marks: usize,
    /// Line breaks due before the next text.
    breaks: usize,
    cells: usize,
    in_cell: bool,
    /// Where the open cell begins.
    cell_begin: usize,
    /// Whether a line of the open cell has ended and another may follow.
    cell_break: bool,
    /// The fence of the open code block.
    fence: String,
    /// Where the open code block begins.
    block: Option<usize>,
    /// The ranges of code.
    code: Vec<Range<usize>>,
    /// Whether a task's box follows, which serves as the bullet.
    is_task: bool,
}

struct Prefix {
    first: Option<String>,
    rest: &'static str,
    /// Whether a line with the prefix was written.
    begun: bool,
}

impl Writer {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(end) => self.end(*end),
            Event::Text(text) => self.push(text),
            Event::Code(code) => {
                let ticks = "`".repeat(ticks_in(code) + 1);
                let space = if code.starts_with('`') || code.ends_with('`') { " " } else { "" };
                let begin = self.text.len();
                self.push(&format!("{ticks}{space}{code}{space}{ticks}"));
                self.code.push(begin..self.text.len());
            }
            Event::SoftBreak | Event::HardBreak if self.in_cell => self.cell_break = !self.cell_is_empty(),
            Event::SoftBreak | Event::HardBreak => self.push("\n"),
            Event::InlineMath(source) => self.push(source),
            Event::Html(tag) => self.fold(tag),
            Event::Rule => {
                self.due(2);
                self.push("———");
                self.due(2);
            }
            Event::TaskListMarker(done) => self.push(if *done { "☑ " } else { "☐ " }),
            // `clean` passes none of these.
            Event::InlineHtml(_) | Event::DisplayMath(_) | Event::FootnoteReference(_) => {}
        }
    }

    fn start(&mut self, tag: &Tag<'_>) {
        match tag {
            Tag::BlockQuote(_) => {
                self.due(2);
                self.prefixes.push(Prefix { first: None, rest: QUOTE, begun: false });
            }
            Tag::List(number) => {
                self.due(if self.lists.is_empty() { 2 } else { 1 });
                self.lists.push(*number);
            }
            Tag::Item => {
                self.due(1);
                let mark = match self.lists.last_mut() {
                    Some(Some(number)) => {
                        let mark = format!("{number}. ");
                        *number = number.saturating_add(1);
                        mark
                    }
                    _ if self.is_task => String::new(),
                    _ => "• ".to_owned(),
                };
                self.prefixes.push(Prefix { first: Some(mark), rest: "  ", begun: false });
            }
            Tag::CodeBlock(kind) => {
                self.due(2);
                self.push(&self.fence.clone());
                self.block = Some(self.text.len());
                if let CodeBlockKind::Fenced(language) = kind {
                    self.push(language);
                }
                self.push("\n");
            }
            Tag::TableHead | Tag::TableRow => self.cells = 0,
            Tag::TableCell => {
                if self.cells > 0 {
                    self.push(" | ");
                }
                self.cells += 1;
                self.in_cell = true;
                self.cell_begin = self.text.len();
            }
            Tag::Strikethrough => self.push("~~"),
            tag if inline::sign(tag).is_some() => self.push(inline::sign(tag).unwrap_or_default()),
            Tag::Link { dest_url, .. } => self.links.push((dest_url.to_string(), self.text.len())),
            _ => {}
        }
    }

    fn end(&mut self, end: TagEnd) {
        match end {
            TagEnd::Paragraph | TagEnd::Heading(_) | TagEnd::Table => self.due(2),
            TagEnd::CodeBlock => {
                if !self.text.ends_with('\n') {
                    self.push("\n");
                }
                self.push(&self.fence.clone());
                self.code.extend(self.block.take().map(|begin| begin..self.text.len()));
                self.due(2);
            }
            TagEnd::BlockQuote(_) => {
                self.prefixes.pop();
                self.due(2);
            }
            TagEnd::Item => {
                self.prefixes.pop();
                self.due(1);
            }
            TagEnd::List(_) => {
                self.lists.pop();
                self.due(if self.lists.is_empty() { 2 } else { 1 });
            }
            TagEnd::TableCell => (self.in_cell, self.cell_break) = (false, false),
            TagEnd::TableHead | TagEnd::TableRow => self.due(1),
            TagEnd::Strikethrough => self.push("~~"),
            TagEnd::Link => {
                let (dest_url, begin) = self.links.pop().unwrap_or_default();
                let shown = self.marks > 0
                    || self.text.trim_end_matches('/').ends_with(dest_url.trim_end_matches('/'))
                    || dest_url.strip_prefix("mailto:").is_some_and(|address| self.text.ends_with(address))
                    // For a pill the name is enough.
                    || url::Url::parse(&dest_url).is_ok_and(|url| is_user_link(&url))
                    // So it is for a source that is a message.
                    || (is_numbered(&self.text[..begin])
                        && links::target(&dest_url).is_some_and(|target| target.event.is_some()));
                if !shown {
                    self.push(&format!(" ({dest_url})"));
                }
            }
            _ => {}
        }
    }

    /// Writes a fold's summary as a marked line; the fold is open here.
    fn fold(&mut self, tag: &str) {
        match tag {
            folds::SUMMARY => {
                self.due(2);
                self.push("▸ ");
            }
            folds::SUMMARY_END => self.due(1),
            _ => self.due(2),
        }
    }

    /// Requests at least this many line breaks before the next text.
    fn due(&mut self, breaks: usize) {
        if !self.text.is_empty() {
            self.breaks = self.breaks.max(breaks);
        }
    }

    fn cell_is_empty(&self) -> bool {
        self.breaks > 0 || self.text.len() == self.cell_begin
    }

    fn push(&mut self, text: &str) {
        if std::mem::take(&mut self.cell_break) {
            let ended = self.text.ends_with(['.', ',', ';', ':', '!', '?', '。', '，', '；', '：', '、']);
            self.text.push_str(if ended { " " } else { "; " });
        }
        for _ in 0..std::mem::take(&mut self.breaks) {
            self.text.push('\n');
            self.blank_quote();
        }
        for (at, line) in text.split('\n').enumerate() {
            if at > 0 {
                self.text.push('\n');
            }
            if !line.is_empty() {
                self.begin_line();
                self.text.push_str(line);
            }
        }
    }

    /// Continues a quote between two of its paragraphs.
    fn blank_quote(&mut self) {
        let quote = self.prefixes.iter().rposition(|prefix| prefix.rest == QUOTE && prefix.begun);
        if let (true, Some(quote)) = (self.text.ends_with("\n\n"), quote) {
            self.text.pop();
            let line: String = self.prefixes.iter().take(quote + 1).map(|prefix| prefix.rest).collect();
            self.text.push_str(line.trim_end());
            self.text.push('\n');
        }
    }

    fn begin_line(&mut self) {
        if !(self.text.is_empty() || self.text.ends_with('\n')) {
            return;
        }
        for prefix in &mut self.prefixes {
            prefix.begun = true;
            match prefix.first.take() {
                Some(first) => self.text.push_str(&first),
                None => self.text.push_str(prefix.rest),
            }
        }
    }
}

/// Returns whether a superscript is the number of a source alone, linked or not.
fn is_mark(events: &[Event<'_>]) -> bool {
    let ([Event::Text(text), Event::End(TagEnd::Superscript), ..]
    | [
        Event::Start(Tag::Link { .. }),
        Event::Text(text),
        Event::End(TagEnd::Link),
        Event::End(TagEnd::Superscript),
        ..,
    ]) = events
    else {
        return false;
    };
    is_numbered(&format!("{text} "))
}

/// Returns whether a text ends with the number of a source: `[1] `.
fn is_numbered(text: &str) -> bool {
    let number = text.strip_suffix("] ").and_then(|text| text.rsplit_once('[')).map(|(_, number)| number);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Returns a fence that nothing in the code closes, so that the body read as Markdown stays one block.
fn fence(behind: &[Event<'_>]) -> String {
    let code = behind.iter().take_while(|event| !matches!(event, Event::End(TagEnd::CodeBlock)));
    let ticks = code.filter_map(|event| match event {
        Event::Text(text) => text.lines().map(|line| line.len() - line.trim_start_matches('`').len()).max(),
        _ => None,
    });
    "`".repeat(ticks.max().unwrap_or(0).max(2) + 1)
}

/// Returns the length of the longest run of backticks.
fn ticks_in(code: &str) -> usize {
    code.split(|letter| letter != '`').map(str::len).max().unwrap_or(0)
}

/// Returns a text in which `@room` does not match outside web addresses and the ranges of `code`, which are in order.
pub(super) fn without_room_mention(text: &str, code: &[Range<usize>]) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut done = 0;
    let mut code = code.iter().peekable();
    for (at, _) in text.match_indices('@').filter(|(at, _)| is_room_mention(text, *at)) {
        while code.next_if(|code| code.end <= at).is_some() {}
        if code.peek().is_some_and(|code| code.contains(&at)) || is_in_address(text, at) {
            continue;
        }
        safe.push_str(&text[done..=at]);
        safe.push(WORD_JOINER);
        done = at + 1;
    }
    safe.push_str(&text[done..]);
    safe
}
