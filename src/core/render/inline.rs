//! Inline HTML for which Markdown has another sign or none: `H<sub>2</sub>O`, `<kbd>Ctrl</kbd>`.
//!
//! Only names without attributes count, and only if they are closed in the same text; anything else is shown as
//! written.

use pulldown_cmark::{Event, Tag, TagEnd};

/// Most tags open at once; further ones are shown as written.
const OPEN_MAX: usize = 8;

/// The meaning of a pair of tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Below,
    Above,
    Bold,
    Slanted,
    Gone,
    Code,
}

/// An open tag.
#[derive(Clone, Copy, Debug)]
struct Opened {
    kind: Kind,
    /// Its event's index.
    at: usize,
    /// How many Markdown tags were open at that point.
    depth: usize,
}

/// The open tags of a text.
#[derive(Debug, Default)]
pub(super) struct Inline(Vec<Opened>);

impl Inline {
    /// Handles a tag; returns whether it was one of these. `depth` is the number of open Markdown tags.
    pub(super) fn take(&mut self, html: &str, depth: usize, events: &mut Vec<Event<'static>>) -> bool {
        let Some((closes, kind)) = kind(html) else { return false };
        if !closes {
            if self.0.len() >= OPEN_MAX {
                return false;
            }
            self.0.push(Opened { kind, at: events.len(), depth });
            // Shown as text unless its end comes.
            events.push(Event::Text(html.to_owned().into()));
            return true;
        }
        let Some(at) = self.0.iter().rposition(|open| open.kind == kind && open.depth == depth) else { return false };
        let open = self.0[at];
        self.0.truncate(at);
        if let Some(tag) = kind.tag() {
            events.push(Event::End(tag.to_end()));
            events[open.at] = Event::Start(tag);
        } else {
            let text: Option<String> = events[open.at + 1..]
                .iter()
                .map(|event| if let Event::Text(text) = event { Some(&**text) } else { None })
                .collect();
            let Some(text) = text.filter(|text| !text.is_empty()) else { return false };
            events.truncate(open.at);
            events.push(Event::Code(text.into()));
        }
        true
    }

    /// Forgets tags opened at a greater depth than now, which can no longer be closed.
    pub(super) fn within(&mut self, depth: usize) {
        self.0.retain(|open| open.depth <= depth);
    }

    /// Forgets all open tags at the end of a text.
    pub(super) fn end(&mut self) {
        self.0.clear();
    }
}

impl Kind {
    fn tag(self) -> Option<Tag<'static>> {
        Some(match self {
            Self::Below => Tag::Subscript,
            Self::Above => Tag::Superscript,
            Self::Bold => Tag::Strong,
            Self::Slanted => Tag::Emphasis,
            Self::Gone => Tag::Strikethrough,
            Self::Code => return None,
        })
    }
}

/// Returns a tag's kind, and whether it closes.
fn kind(html: &str) -> Option<(bool, Kind)> {
    let name = html.strip_prefix('<')?.strip_suffix('>')?;
    let (closes, name) = name.strip_prefix('/').map_or((false, name), |name| (true, name));
    let kind = match name {
        "sub" => Kind::Below,
        "sup" => Kind::Above,
        "b" | "strong" => Kind::Bold,
        "i" | "em" => Kind::Slanted,
        "s" | "del" => Kind::Gone,
        "kbd" | "code" => Kind::Code,
        _ => return None,
    };
    Some((closes, kind))
}

/// Returns the sign that replaces superscript or subscript without HTML.
pub(super) fn sign(tag: &Tag<'_>) -> Option<&'static str> {
    match tag {
        Tag::Superscript => Some("^"),
        Tag::Subscript => Some("_"),
        _ => None,
    }
}

/// Returns the element of superscript or subscript.
pub(super) fn element(end: TagEnd) -> Option<&'static str> {
    match end {
        TagEnd::Superscript => Some("sup"),
        TagEnd::Subscript => Some("sub"),
        _ => None,
    }
}
