//! The sources of an answer: what a prompt holds that can be cited, and how people see a source.
//!
//! Titles and addresses come from files, web pages, servers and people. So a name is one line of visible characters, and a
//! link leads to a web address or to a message of the answer's own room, and nowhere else.

use std::{fmt::Write as _, sync::Arc};

use ruma::{EventId, OwnedEventId, OwnedRoomId, OwnedServerName, RoomId, ServerName};
use url::Url;

pub(crate) use super::cited::Cited;
use super::{
    legible::{MARKS_MAX, is_hidden, is_mark},
    links,
    prompt::{FileContent, Part, Prompt},
};

/// Most sources of an answer.
pub(crate) const SOURCES_MAX: usize = 30;
/// Most bytes of JSON that an answer's event keeps of its sources.
pub(crate) const SOURCES_BYTES_MAX: usize = 6_000;
/// The length at which a source's name is cut, in characters.
pub(crate) const NAME_CHARS_MAX: usize = 120;
/// The length at which the words cited are cut, in characters.
pub(crate) const WORDS_CHARS_MAX: usize = 300;
/// A source whose address is longer is named without a link.
pub(crate) const LINK_BYTES_MAX: usize = 1_000;
/// The length at which a cited place's name is cut, in characters.
const PLACE_CHARS_MAX: usize = 60;

/// What a prompt holds that can be cited by its place in the request.
#[derive(Clone, Default, PartialEq)]
pub struct Shelf {
    /// The room of the answer, and a server that is in it.
    room: Option<(OwnedRoomId, OwnedServerName)>,
    /// The documents in the order of the request.
    documents: Vec<Shelved>,
}

/// A document of a prompt.
#[derive(Clone, PartialEq)]
pub(crate) struct Shelved {
    title: String,
    event: Option<OwnedEventId>,
    /// The text in which lines in brackets name places.
    text: Option<Arc<str>>,
}

impl std::fmt::Debug for Shelf {
    /// Shows only how many there are, because names and texts are people's.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shelf({})", self.documents.len())
    }
}

impl Shelf {
    /// Returns what can be cited in an answer to this prompt that goes into this room.
    #[must_use]
    pub(crate) fn of(prompt: &Prompt, room: &RoomId, via: &ServerName) -> Self {
        let parts = prompt.turns.iter().flat_map(|turn| &turn.parts);
        let documents = parts.filter_map(|part| {
            let Part::File(file) = part else { return None };
            let text = match &file.content {
                FileContent::Pdf { .. } => None,
                FileContent::Text { text } => file.has_places.then(|| text.clone()),
                FileContent::Image { .. } | FileContent::Pictures { .. } => return None,
            };
            Some(Shelved { title: file.title.clone(), event: file.event.clone(), text })
        });
        Self { documents: documents.collect(), room: Some((room.to_owned(), via.to_owned())) }
    }

    /// Returns the document that is cited by its place in the request and its title, or by a title that one alone has.
    pub(crate) fn document(&self, index: Option<usize>, title: Option<&str>) -> Option<&Shelved> {
        let is_it = |document: &&Shelved| title == Some(document.title.as_str());
        index.and_then(|index| self.documents.get(index)).filter(is_it).or_else(|| {
            let mut named = self.documents.iter().filter(is_it);
            named.next().filter(|_| named.next().is_none())
        })
    }

    /// Returns the address of a message in the answer's room.
    fn permalink(&self, event: &EventId) -> Option<String> {
        self.room.as_ref().map(|(room, via)| permalink(room, event, via))
    }

    /// Returns the address of a message if the link leads to one of the answer's room that the answer may rest on.
    pub(crate) fn message_link(&self, link: &str, read: &[OwnedEventId]) -> Option<String> {
        let (room, _) = self.room.as_ref()?;
        let target = links::target(link).filter(|target| target.room.as_str() == room.as_str())?;
        let event = target.event.filter(|event| read.contains(event))?;
        self.permalink(&event)
    }

    /// Returns a document as a source: its name with the page, or with the sheet, slide or page at which words stand.
    pub(crate) fn cited(&self, document: &Shelved, pages: Option<(u64, u64)>, at: Option<usize>, words: &str) -> Cited {
        let place = match pages {
            Some(pages) => Some(pages_named(pages)),
            None => document.text.as_deref().and_then(|text| place_in(text, at, words)),
        };
        Cited {
            name: named(&document.title, place.as_deref()),
            link: document.event.as_ref().and_then(|event| self.permalink(event)),
            words: words_of(words),
        }
    }
}

/// Returns the address of a message, as clients understand it.
#[must_use]
pub(crate) fn permalink(room: &RoomId, event: &EventId, via: &ServerName) -> String {
    room.matrix_to_event_uri_via(event, [via.to_owned()]).to_string()
}

/// Returns a web address to which an answer may link: without credentials, not too long, and none of Matrix's own, which
/// could name people or rooms.
#[must_use]
pub(crate) fn web_link(address: &str) -> Option<String> {
    let url = Url::parse(address).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let host = url.host_str()?.trim_end_matches('.');
    let is_bare = url.username().is_empty() && url.password().is_none();
    let is_matrix = host == "matrix.to" || host.ends_with(".matrix.to") || links::target(address).is_some();
    (is_bare && !is_matrix && url.as_str().len() <= LINK_BYTES_MAX).then(|| url.to_string())
}

/// Returns what a web address is known by where it has no title.
#[must_use]
pub(crate) fn host_of(address: &str) -> String {
    let url = Url::parse(address).ok();
    url.as_ref().and_then(Url::host_str).unwrap_or_default().to_owned()
}

/// Returns a source's name with a place in it.
#[must_use]
pub(crate) fn named(title: &str, place: Option<&str>) -> String {
    let mut name = line(title, NAME_CHARS_MAX);
    if let Some(place) = place.map(|place| line(place, PLACE_CHARS_MAX)).filter(|place| !place.is_empty()) {
        name.push_str(if name.is_empty() { "" } else { ", " });
        name.push_str(&place);
    }
    name
}

/// Returns cited pages, the last of which is not among them, as people write them.
#[must_use]
pub(crate) fn pages_named((first, behind): (u64, u64)) -> String {
    let last = behind.saturating_sub(1).max(first);
    if last == first { format!("p. {first}") } else { format!("pp. {first}–{last}") }
}

/// Returns the words cited as people see them.
#[must_use]
pub(crate) fn words_of(cited: &str) -> String {
    // What a room's tool found is a record.
    let record: Option<serde_json::Value> = serde_json::from_str(cited).ok();
    let said = record.as_ref().and_then(|record| record["text"].as_str()).unwrap_or(cited);
    line(said, WORDS_CHARS_MAX)
}

/// Returns a text on one line, of visible characters, cut.
fn line(text: &str, chars_max: usize) -> String {
    let mut marks = 0;
    let visible = text.chars().map(|letter| if is_hidden(letter) { ' ' } else { letter }).filter(|letter| {
        marks = if is_mark(*letter) { marks + 1 } else { 0 };
        marks <= MARKS_MAX
    });
    let visible: String = visible.take(4 * chars_max).collect();
    let mut line = visible.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((at, _)) = line.char_indices().nth(chars_max) {
        line.truncate(at);
        line.truncate(line.trim_end().len());
        line.push('…');
    }
    line
}

/// Returns the sheet, slide, page or part in which words stand, by the lines in brackets that name them.
fn place_in(text: &str, at: Option<usize>, words: &str) -> Option<String> {
    let is_there = |at: &usize| text[*at..].starts_with(words);
    let told = at.and_then(|at| text.char_indices().nth(at)).map(|(at, _)| at).filter(is_there);
    let begin = told.or_else(|| text.find(words).filter(|_| !words.trim().is_empty()))?;
    // The words may begin with the line that names their place.
    let begin = begin + words.len() - words.trim_start().len();
    let end = if text[begin..].starts_with('[') {
        text[begin..].find('\n').map_or(text.len(), |end| begin + end)
    } else {
        begin
    };
    text[..end].lines().rev().find_map(place)
}

/// Returns the place that a line names, as short as people say it.
fn place(line: &str) -> Option<String> {
    let name = line.strip_prefix('[')?.strip_suffix(']')?;
    let name = name.strip_suffix(", continued").unwrap_or(name);
    if let Some(sheet) = name.strip_prefix("sheet \"") {
        return sheet.rsplit_once('"').map(|(sheet, _)| sheet.to_owned());
    }
    if let Some(page) = name.strip_prefix("page ") {
        return Some(format!("p. {page}"));
    }
    let is_part = ["slide ", "notes of slide ", "attachment "].iter().any(|kind| name.starts_with(kind));
    is_part.then(|| name.split([',', ':']).next().unwrap_or(name).to_owned())
}

/// Returns an address without the signs that Markdown, a table or a formula would take for its own.
#[must_use]
pub(crate) fn target(address: &str) -> String {
    let mut target = String::with_capacity(address.len());
    for letter in address.chars() {
        match letter {
            '$' | '\\' | '|' | '`' | '<' | '>' | '*' => {
                let _ = write!(target, "%{:02X}", letter as u32);
            }
            letter => target.push(letter),
        }
    }
    target
}

/// Returns Markdown that shows a name literally inside a link.
#[must_use]
pub(crate) fn literal(name: &str) -> String {
    let mut literal = String::with_capacity(name.len());
    for letter in name.chars() {
        match letter {
            '_' | '*' => literal.extend(['\\', letter]),
            '[' | ']' | '<' | '>' | '\\' | '`' | '$' | '|' | '&' | '~' | '#' | '!' | '/' => {
                let _ = write!(literal, "&#{};", letter as u32);
            }
            letter => literal.push(letter),
        }
    }
    literal
}

/// Returns sources within what an event keeps of them: the words of the last go first.
#[must_use]
pub(crate) fn kept(mut sources: Vec<Cited>) -> Vec<Cited> {
    sources.truncate(SOURCES_MAX);
    while bytes_of(&sources) > SOURCES_BYTES_MAX {
        match sources.iter_mut().rev().find(|source| !source.words.is_empty()) {
            Some(source) => source.words.clear(),
            None => drop(sources.pop()),
        }
    }
    sources
}

/// Returns the bytes that sources take in an event.
#[must_use]
pub(crate) fn bytes_of(sources: &[Cited]) -> usize {
    if sources.is_empty() { 0 } else { serde_json::to_string(sources).map_or(usize::MAX / 2, |json| json.len()) }
}

/// Reads the sources of an answer's event, and checks them as if they were anybody's.
#[must_use]
pub(crate) fn read(told: &serde_json::Value, room: &RoomId) -> Vec<Cited> {
    let told: Vec<Cited> = serde_json::from_value(told.clone()).unwrap_or_default();
    let checked = told.into_iter().take(SOURCES_MAX).map(|source| {
        let link = source.link.as_deref();
        let leads_here = |link: &&str| links::target(link).is_some_and(|target| target.room.as_str() == room.as_str());
        Cited {
            name: line(&source.name, NAME_CHARS_MAX + PLACE_CHARS_MAX),
            link: link.and_then(web_link).or_else(|| link.filter(leads_here).map(ToOwned::to_owned)),
            words: line(&source.words, WORDS_CHARS_MAX),
        }
    });
    checked.collect()
}

#[cfg(test)]
mod tests;
