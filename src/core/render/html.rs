//! The second wall: writes a fixed set of tags and escapes everything else.

use std::fmt::Write as _;

use pulldown_cmark::{CodeBlockKind, Event, Tag, TagEnd};

use super::{inline, kept, mentions, tasks};

/// The largest heading level written, because `<h1>` shouts in a chat.
const HEADING_MIN: u8 = 3;
/// The language of a code block that is a formula, as GitHub and GitLab write them.
const MATHS: &str = "math";
/// The length at which a code block's language is cut, in characters.
const LANGUAGE_CHARS_MAX: usize = 30;

pub(super) fn write(events: &[Event<'_>]) -> String {
    let mut writer = Writer::default();
    writer.events(events);
    let html = writer.html;
    // A single paragraph needs no element.
    match html.strip_prefix("<p>").and_then(|inner| inner.strip_suffix("</p>")) {
        Some(inner) if !inner.contains("<p>") => inner.to_owned(),
        _ => html,
    }
}

#[derive(Default)]
struct Writer {
    html: String,
    /// The open link's target, and its text so far.
    link: Option<(String, String)>,
    in_table_head: bool,
}

impl Writer {
    fn events(&mut self, events: &[Event<'_>]) {
        let mut at = 0;
        while let Some(event) = events.get(at) {
            let rest = &events[at..];
            if let Some(length) = tasks::list(rest) {
                self.tasks(&rest[..length]);
                at += length;
            } else if let [Event::Start(Tag::Paragraph), Event::InlineMath(source), Event::End(TagEnd::Paragraph), ..] =
                rest
                && kept::formula(source).1
            {
                self.formula(source, "div");
                at += 3;
            } else if let [Event::Start(Tag::CodeBlock(kind)), Event::Text(tex), Event::End(TagEnd::CodeBlock), ..] =
                rest
                && language(kind) == Some(MATHS)
                && tex.len() <= kept::FORMULA_BYTES_MAX
            {
                self.formula(tex.trim(), "div");
                at += 3;
            } else {
                self.event(event);
                at += 1;
            }
        }
    }

    /// Writes a task list as lines, because its boxes serve as bullets; nested lists are indented.
    fn tasks(&mut self, list: &[Event<'_>]) {
        let (mut depth, mut first, mut paragraph_ended) = (0_usize, true, false);
        self.html.push_str("<p>");
        for event in list {
            if std::mem::take(&mut paragraph_ended) && matches!(event, Event::Start(Tag::Paragraph)) {
                self.html.push_str("<br>");
            }
            match event {
                Event::Start(Tag::List(_)) => depth += 1,
                Event::End(TagEnd::List(_)) => depth -= 1,
                Event::Start(Tag::Item) => {
                    if !std::mem::take(&mut first) {
                        self.html.push_str("<br>");
                    }
                    self.html.push_str(&"\u{a0}\u{a0}\u{a0}\u{a0}".repeat(depth.saturating_sub(1)));
                }
                Event::End(TagEnd::Paragraph) => paragraph_ended = true,
                Event::End(TagEnd::Item) | Event::Start(Tag::Paragraph) => {}
                event => self.event(event),
            }
        }
        self.html.push_str("</p>");
    }

    /// Writes a formula as its source, which clients that know `data-mx-maths` typeset (spec, "Mathematical messages").
    fn formula(&mut self, source: &str, element: &str) {
        let (tex, _) = kept::formula(source);
        write!(self.html, "<{element}").expect("writing to a string never fails");
        if is_only_maths(tex) {
            self.html.push_str(r#" data-mx-maths=""#);
            escape(tex, &mut self.html);
            self.html.push('"');
        }
        self.html.push_str("><code>");
        self.text(source);
        write!(self.html, "</code></{element}>").expect("writing to a string never fails");
    }

    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(end) => self.end(*end),
            Event::Text(text) => self.text(text),
            Event::Code(code) => {
                self.html.push_str("<code>");
                self.text(mentions::unjoined(code).as_deref().unwrap_or(code));
                self.html.push_str("</code>");
            }
            Event::SoftBreak | Event::HardBreak => self.html.push_str("<br>"),
            Event::Rule => self.html.push_str("<hr>"),
            Event::TaskListMarker(done) => self.html.push_str(if *done { "☑ " } else { "☐ " }),
            Event::InlineMath(source) => self.formula(source, "span"),
            // Only the tags of `folds` get here.
            Event::Html(tag) => self.html.push_str(tag),
            // `clean` passes none of these; should it, nothing is written.
            Event::InlineHtml(_) | Event::DisplayMath(_) | Event::FootnoteReference(_) => {}
        }
    }

    fn text(&mut self, text: &str) {
        escape(text, &mut self.html);
        if let Some((_, label)) = &mut self.link {
            label.push_str(text);
        }
    }

    fn start(&mut self, tag: &Tag<'_>) {
        match tag {
            Tag::Heading { level, .. } => {
                let level = (*level as u8).max(HEADING_MIN);
                write!(self.html, "<h{level}>").expect("writing to a string never fails");
            }
            Tag::CodeBlock(kind) => {
                self.html.push_str("<pre><code");
                if let Some(language) = language(kind) {
                    write!(self.html, r#" class="language-{language}""#).expect("writing to a string never fails");
                }
                self.html.push('>');
            }
            Tag::List(Some(start)) if *start != 1 => {
                write!(self.html, r#"<ol start="{start}">"#).expect("writing to a string never fails");
            }
            Tag::List(Some(_)) => self.html.push_str("<ol>"),
            Tag::Link { dest_url, .. } => {
                self.html.push_str(r#"<a href=""#);
                escape(dest_url, &mut self.html);
                self.html.push_str(r#"">"#);
                self.link = Some((dest_url.to_string(), String::new()));
            }
            Tag::TableHead => {
                self.in_table_head = true;
                self.html.push_str("<thead><tr>");
            }
            Tag::TableCell => self.html.push_str(if self.in_table_head { "<th>" } else { "<td>" }),
            tag => {
                if let Some(name) = plain_name(tag.to_end()) {
                    write!(self.html, "<{name}>").expect("writing to a string never fails");
                }
            }
        }
    }

    fn end(&mut self, end: TagEnd) {
        match end {
            TagEnd::Heading(level) => {
                let level = (level as u8).max(HEADING_MIN);
                write!(self.html, "</h{level}>").expect("writing to a string never fails");
            }
            TagEnd::CodeBlock => self.html.push_str("</code></pre>"),
            TagEnd::Link => self.end_link(),
            TagEnd::TableHead => {
                self.in_table_head = false;
                self.html.push_str("</tr></thead><tbody>");
            }
            TagEnd::Table => self.html.push_str("</tbody></table>"),
            TagEnd::TableCell => self.html.push_str(if self.in_table_head { "</th>" } else { "</td>" }),
            TagEnd::List(true) => self.html.push_str("</ol>"),
            end => {
                if let Some(name) = plain_name(end) {
                    write!(self.html, "</{name}>").expect("writing to a string never fails");
                }
            }
        }
    }

    /// Ends a link. If its text looks like another link, the real target follows in parentheses.
    fn end_link(&mut self) {
        self.html.push_str("</a>");
        let Some((dest_url, label)) = self.link.take() else { return };
        let label = label.trim();
        let reads_like_link = label.contains("://") || label.starts_with("www.") || label.starts_with("mailto:");
        let same = dest_url.trim_end_matches('/') == label.trim_end_matches('/');
        if reads_like_link && !same {
            self.html.push_str(" (");
            escape(&dest_url, &mut self.html);
            self.html.push(')');
        }
    }
}

/// Returns the element name of a tag without attributes.
fn plain_name(end: TagEnd) -> Option<&'static str> {
    Some(match end {
        TagEnd::Paragraph => "p",
        TagEnd::BlockQuote(_) => "blockquote",
        TagEnd::List(false) => "ul",
        TagEnd::Item => "li",
        TagEnd::Table => "table",
        TagEnd::TableRow => "tr",
        TagEnd::Emphasis => "em",
        TagEnd::Strong => "strong",
        TagEnd::Strikethrough => "del",
        end => return inline::element(end),
    })
}

/// Returns the language in a fence, if it looks like one.
fn language<'a>(kind: &'a CodeBlockKind<'_>) -> Option<&'a str> {
    let CodeBlockKind::Fenced(info) = kind else { return None };
    let language = info.split([' ', ',', '{']).next()?;
    let named = !language.is_empty()
        && language.len() <= LANGUAGE_CHARS_MAX
        && language.chars().all(|letter| letter.is_ascii_alphanumeric() || "+#-_.".contains(letter));
    named.then_some(language)
}

pub(super) fn escape(text: &str, html: &mut String) {
    for letter in text.chars() {
        match letter {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            letter => html.push(letter),
        }
    }
}

/// Commands of formulas that do more than set maths: they link, load, style, name elements, or make other commands.
const NOT_MATHS: [&str; 30] = [
    "href",
    "url",
    "includegraphics",
    "class",
    "cssId",
    "style",
    "data",
    "require",
    "unicode",
    "mmlToken",
    "bbox",
    "def",
    "edef",
    "gdef",
    "xdef",
    "let",
    "futurelet",
    "newcommand",
    "renewcommand",
    "providecommand",
    "newenvironment",
    "renewenvironment",
    "DeclareMathOperator",
    "csname",
    "catcode",
    "input",
    "include",
    "write",
    "openin",
    "special",
];

/// Returns whether a formula only sets maths. What else there is depends on the client that typesets it.
fn is_only_maths(tex: &str) -> bool {
    // `^^` and a code stand for another character in TeX.
    let mut rest = tex;
    while let Some(at) = rest.find('\\') {
        rest = &rest[at + 1..];
        let letters = rest.find(|char: char| !char.is_ascii_alphabetic()).unwrap_or(rest.len());
        let (name, behind) = rest.split_at(letters);
        if NOT_MATHS.contains(&name) || name.starts_with("html") {
            return false;
        }
        rest = behind;
        if name.is_empty() {
            // A command of one sign, such as a line's end.
            let mut chars = behind.chars();
            chars.next();
            rest = chars.as_str();
        }
    }
    !tex.contains("^^")
}
