//! Matrix HTML as text: what people see, with marks for what letters alone do not say.

use std::ops::Range;

use ruma::matrix_uri::MatrixId;

use crate::core::{
    id,
    markup::{Piece, Tag, decoded, pieces},
};

/// The deepest nesting that is followed; deeper elements are text only. The specification recommends 100 to clients.
const NESTING_MAX: usize = 100;
/// The deepest nesting of quotes and lists that is shown.
const INDENT_MAX: usize = 8;
/// The longest text of a message's HTML, in bytes; the rest is dropped.
const SEEN_BYTES_MAX: usize = 64 * 1024;
/// Most addresses of links and pictures of a message that its plain text may write out.
const ADDRESSES_MAX: usize = 64;
/// The longest name of a block's language, in bytes.
const LANGUAGE_BYTES_MAX: usize = 30;

/// Elements that nobody sees: a quote for other clients, and what is not text.
const UNSEEN: [&str; 7] = ["mx-reply", "script", "style", "textarea", "option", "noscript", "template"];

/// A message's HTML as text.
#[derive(Clone, Debug, Default)]
pub(super) struct Drawing {
    /// The text with marks: `~~struck~~`, `[spoiler: hidden]`, `[image: what it shows]`, `^(raised)`.
    pub(super) text: String,
    /// The words alone.
    pub(super) said: String,
    /// Names of people and rooms in `said`, with the id that each links to.
    pub(super) names: Vec<(Range<usize>, String)>,
    /// Addresses of links and pictures, and ids.
    pub(super) addresses: Vec<String>,
    /// What a plain text writes for a form that `said` lacks.
    pub(super) forms: Vec<String>,
    /// How much is struck out.
    pub(super) strikes: usize,
    /// How much is hidden until it is clicked.
    pub(super) spoilers: usize,
    /// How much is raised or lowered.
    pub(super) raised: usize,
}

impl Drawing {
    /// Draws HTML.
    pub(super) fn of(html: &str) -> Self {
        let mut pen = Pen::default();
        for piece in pieces(html) {
            match piece {
                Piece::Text(text) => pen.write(&decoded(text)),
                Piece::Open(tag) => pen.open(&tag),
                Piece::Close(name) => pen.close(&name),
            }
            if pen.drawing.text.len().max(pen.drawing.said.len()) > SEEN_BYTES_MAX {
                break;
            }
        }
        pen.close_down_to(0);
        let mut drawing = pen.drawing;
        for text in [&mut drawing.text, &mut drawing.said] {
            text.truncate(text.floor_char_boundary(SEEN_BYTES_MAX));
        }
        drawing.text.truncate(drawing.text.trim_end().len());
        drawing
    }
}

/// What the end of an element does.
#[derive(Clone, Debug)]
enum End {
    Nothing,
    Break(usize),
    /// Shows text again.
    Shown,
    /// Closes a mark that opened at this place in the text; nothing stays of an empty one.
    Mark {
        from: usize,
        opened: usize,
        closes: &'static str,
        is: Mark,
    },
    /// The name of whom or what a link points to began at this place in the words.
    Name {
        from: usize,
        id: String,
    },
    Quote,
    List,
    Fence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Strike,
    Spoiler,
    Raised,
}

#[derive(Default)]
struct Pen {
    drawing: Drawing,
    open: Vec<(String, End)>,
    /// The open lists: the number of the next item, if they are numbered.
    lists: Vec<Option<u32>>,
    hidden: usize,
    quotes: usize,
    fences: usize,
    cells: usize,
    /// Line breaks before the next text.
    breaks: usize,
    space: bool,
}

impl Pen {
    fn write(&mut self, text: &str) {
        if self.hidden > 0 {
            return;
        }
        self.drawing.said.push_str(text);
        if self.fences > 0 {
            return self.write_as_it_is(text);
        }
        for letter in text.chars() {
            if letter.is_ascii_whitespace() {
                self.space =
                    self.breaks == 0 && !self.drawing.text.is_empty() && !self.drawing.text.ends_with([' ', '\n']);
            } else {
                self.begin_line();
                if std::mem::take(&mut self.space) {
                    self.drawing.text.push(' ');
                }
                self.drawing.text.push(letter);
            }
        }
    }

    fn write_as_it_is(&mut self, text: &str) {
        for (number, line) in text.split('\n').enumerate() {
            self.breaks = (self.breaks + usize::from(number > 0)).min(2);
            if !line.is_empty() {
                self.begin_line();
                self.drawing.text.push_str(line);
            }
        }
    }

    /// Adds a mark, which is nobody's word.
    fn mark(&mut self, mark: &str) {
        self.begin_line();
        if std::mem::take(&mut self.space) {
            self.drawing.text.push(' ');
        }
        self.drawing.text.push_str(mark);
    }

    /// Adds words that stand in an attribute.
    fn say(&mut self, words: &str) {
        self.drawing.said.push_str(words);
        let line: Vec<&str> = words.split_whitespace().collect();
        self.mark(&line.join(" "));
    }

    fn break_line(&mut self, breaks: usize) {
        self.breaks = self.breaks.max(breaks);
        self.space = false;
        self.drawing.said.push('\n');
    }

    fn begin_line(&mut self) {
        let breaks = std::mem::take(&mut self.breaks);
        if breaks == 0 {
            return;
        }
        let lines = if self.drawing.text.is_empty() { 1 } else { breaks };
        for _ in 0..lines {
            if !self.drawing.text.is_empty() {
                self.drawing.text.push('\n');
            }
            (0..self.quotes.min(INDENT_MAX)).for_each(|_| self.drawing.text.push_str("> "));
        }
    }

    fn open(&mut self, tag: &Tag<'_>) {
        let name = tag.name.as_str();
        self.close_what_it_ends(name);
        if self.hidden > 0 {
            // Only to find the end of what is hidden.
            return self.push(name, End::Nothing);
        }
        match name {
            "br" => {
                self.drawing.said.push('\n');
                self.space = false;
                self.breaks = (self.breaks + 1).min(2);
            }
            "hr" => {
                self.break_line(1);
                self.mark("---");
                self.break_line(1);
            }
            "img" => self.picture(tag),
            _ => {
                let end = self.begin(name, tag);
                self.push(name, end);
            }
        }
    }

    /// Does what the beginning of an element does, and returns what its end does.
    fn begin(&mut self, name: &str, tag: &Tag<'_>) -> End {
        if UNSEEN.contains(&name) {
            return self.hide();
        }
        if let Some(formula) = tag.attribute("data-mx-maths").filter(|formula| !formula.trim().is_empty()) {
            let bound = if name == "div" { "$$" } else { "$" };
            self.mark(bound);
            self.say(&formula);
            self.drawing.text.push_str(bound);
            return self.hide();
        }
        if let Some(reason) = tag.attribute("data-mx-spoiler") {
            return self.begin_spoiler(reason.trim());
        }
        match name {
            "del" | "s" | "strike" => self.begin_mark("~~", "~~", Mark::Strike),
            "sup" => self.begin_mark("^(", ")", Mark::Raised),
            "sub" => self.begin_mark("_(", ")", Mark::Raised),
            "a" => self.begin_link(tag),
            "blockquote" => {
                self.break_line(2);
                self.quotes += 1;
                End::Quote
            }
            "ul" | "ol" => {
                let from = tag.attribute("start").and_then(|from| from.trim().parse().ok()).unwrap_or(1);
                self.break_line(1);
                self.lists.push((name == "ol").then_some(from));
                End::List
            }
            "li" => self.begin_item(),
            "pre" => {
                self.break_line(2);
                self.mark("```");
                self.break_line(1);
                self.fences += 1;
                End::Fence
            }
            "code" => self.begin_code(tag),
            "tr" => {
                self.cells = 0;
                self.break_line(1);
                End::Break(1)
            }
            "td" | "th" => {
                if self.cells > 0 {
                    self.space = false;
                    self.mark(" | ");
                }
                self.cells += 1;
                self.drawing.said.push(' ');
                End::Nothing
            }
            "p" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "table" => {
                // The first paragraph of an item stands behind the item's mark.
                self.break_line(if self.lists.is_empty() { 2 } else { self.breaks.min(1) });
                End::Break(if self.lists.is_empty() { 2 } else { 1 })
            }
            "div" | "details" | "summary" | "caption" => {
                self.break_line(1);
                End::Break(1)
            }
            _ => End::Nothing,
        }
    }

    fn hide(&mut self) -> End {
        self.hidden += 1;
        End::Shown
    }

    fn begin_mark(&mut self, opens: &str, closes: &'static str, is: Mark) -> End {
        self.mark("");
        let from = self.drawing.text.len();
        self.mark(opens);
        End::Mark { from, opened: self.drawing.text.len(), closes, is }
    }

    fn begin_spoiler(&mut self, reason: &str) -> End {
        self.mark("");
        let from = self.drawing.text.len();
        if reason.is_empty() {
            self.mark("[spoiler: ");
        } else {
            self.mark("[spoiler (");
            self.say(reason);
            self.drawing.text.push_str("): ");
            self.drawing.said.push(' ');
        }
        End::Mark { from, opened: self.drawing.text.len(), closes: "]", is: Mark::Spoiler }
    }

    fn begin_link(&mut self, tag: &Tag<'_>) -> End {
        let Some(href) = tag.attribute("href") else { return End::Nothing };
        let href = href.trim();
        let named = id::uri(href).and_then(|(id, _)| match id {
            MatrixId::User(user) => Some(user.to_string()),
            MatrixId::Room(room) => Some(room.to_string()),
            MatrixId::RoomAlias(alias) => Some(alias.to_string()),
            _ => None,
        });
        if let Some(title) = tag.attribute("title") {
            self.address(&format!("{href} \"{title}\""));
        }
        self.address(href);
        match named {
            Some(id) => {
                self.address(&id);
                End::Name { from: self.drawing.said.len(), id }
            }
            None => End::Nothing,
        }
    }

    /// Notes what a plain text may write out, if it looks like an address: other words must not pass for one.
    fn address(&mut self, text: &str) {
        let text = text.strip_prefix("mailto:").unwrap_or(text);
        let is_one = text.contains("://") || text.starts_with("matrix:") || text.contains('@') || text.contains(':');
        if is_one && text.len() > 3 && self.drawing.addresses.len() < ADDRESSES_MAX {
            self.drawing.addresses.push(text.to_owned());
        }
    }

    fn begin_item(&mut self) -> End {
        self.break_line(1);
        let depth = self.lists.len().saturating_sub(1).min(INDENT_MAX);
        let mark = match self.lists.last_mut() {
            Some(Some(number)) => {
                let mark = format!("{number}. ");
                *number = number.saturating_add(1);
                mark
            }
            _ => "- ".to_owned(),
        };
        self.mark(&"  ".repeat(depth));
        self.mark(&mark);
        End::Break(1)
    }

    fn begin_code(&mut self, tag: &Tag<'_>) -> End {
        let class = tag.attribute("class").unwrap_or_default();
        let language = class.split_whitespace().find_map(|class| class.strip_prefix("language-"));
        let is_name =
            |name: &&str| name.len() <= LANGUAGE_BYTES_MAX && name.bytes().all(|byte| byte.is_ascii_graphic());
        if let Some(language) =
            language.filter(is_name).filter(|_| self.fences > 0 && self.drawing.text.ends_with("```"))
        {
            self.drawing.text.push_str(language);
            if self.drawing.forms.len() < ADDRESSES_MAX {
                self.drawing.forms.extend([format!("```{language}"), format!("~~~{language}")]);
            }
        }
        End::Nothing
    }

    fn picture(&mut self, tag: &Tag<'_>) {
        if let Some(source) = tag.attribute("src") {
            self.address(source.trim());
        }
        let named = ["alt", "title"].into_iter().filter_map(|name| tag.attribute(name));
        let Some(words) = named.into_iter().find(|words| !words.trim().is_empty()) else { return };
        if tag.attribute("data-mx-emoticon").is_some() {
            return self.say(&words);
        }
        self.mark("[image: ");
        self.say(&words);
        self.drawing.text.push(']');
    }

    fn push(&mut self, name: &str, end: End) {
        const EMPTY: [&str; 4] = ["br", "hr", "img", "input"];
        if EMPTY.contains(&name) {
            return;
        }
        if self.open.len() < NESTING_MAX {
            self.open.push((name.to_owned(), end));
        } else {
            self.end(end);
        }
    }

    /// Closes the elements whose end tag people may leave out.
    fn close_what_it_ends(&mut self, name: &str) {
        let ends: &[&str] = match name {
            "li" => &["li"],
            "p" => &["p"],
            "td" | "th" => &["td", "th"],
            "tr" => &["td", "th", "tr"],
            _ => return,
        };
        while self.open.last().is_some_and(|(open, _)| ends.contains(&open.as_str())) {
            self.close_down_to(self.open.len() - 1);
        }
    }

    fn close(&mut self, name: &str) {
        if let Some(at) = self.open.iter().rposition(|(open, _)| open == name) {
            self.close_down_to(at);
        }
    }

    fn close_down_to(&mut self, left: usize) {
        while self.open.len() > left {
            if let Some((_, end)) = self.open.pop() {
                self.end(end);
            }
        }
    }

    fn end(&mut self, end: End) {
        match end {
            End::Nothing => {}
            End::Break(breaks) => self.break_line(breaks),
            End::Shown => self.hidden = self.hidden.saturating_sub(1),
            End::Mark { from, opened, closes, is } => self.end_mark(from, opened, closes, is),
            End::Name { from, id } => {
                let to = self.drawing.said.len();
                if self.drawing.names.len() < ADDRESSES_MAX {
                    self.drawing.names.push((from..to, id));
                }
            }
            End::Quote => {
                self.break_line(2);
                self.quotes = self.quotes.saturating_sub(1);
            }
            End::List => {
                self.lists.pop();
                self.break_line(1);
            }
            End::Fence => {
                self.fences = self.fences.saturating_sub(1);
                self.break_line(1);
                self.mark("```");
                self.break_line(2);
            }
        }
    }

    fn end_mark(&mut self, from: usize, opened: usize, closes: &str, is: Mark) {
        let text = &mut self.drawing.text;
        if text.get(opened..).is_none_or(|inside| inside.trim().is_empty()) {
            text.truncate(from.min(text.len()));
            return;
        }
        text.push_str(closes);
        match is {
            Mark::Strike => self.drawing.strikes += 1,
            Mark::Spoiler => self.drawing.spoilers += 1,
            Mark::Raised => self.drawing.raised += 1,
        }
    }
}
