//! Where what an answer cites stands: each citation of the provider's becomes a source that people know.
//!
//! A document is cited by its place in the request, its title and the words; a page that was fetched likewise, with the
//! address in its result alone; what a tool found and what a search found by their addresses.

use ruma::OwnedEventId;
use serde_json::Value;

use crate::core::{
    citing::{self, Cited, Shelf},
    prompt::Found,
};

/// Most citations of a block that are looked at.
const CITATIONS_MAX: usize = 50;

/// A page that the provider fetched.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Page {
    url: String,
    title: String,
    /// Its text; empty for a PDF.
    text: String,
}

/// What citations can be about.
pub(super) struct Origins<'a> {
    /// The prompt's own documents.
    pub(super) shelf: &'a Shelf,
    /// The pages that were fetched, in order.
    pub(super) pages: &'a [Page],
    /// What tools found.
    pub(super) found: &'a [&'a Found],
    /// The room's messages that tools returned.
    pub(super) read: &'a [OwnedEventId],
}

/// Returns the pages that turns of the model fetched, in order.
pub(super) fn pages<'a>(blocks: impl Iterator<Item = &'a String>) -> Vec<Page> {
    blocks.filter(|raw| raw.contains("web_fetch_tool_result")).filter_map(|raw| page(raw)).collect()
}

fn page(raw: &str) -> Option<Page> {
    let block: Value = serde_json::from_str(raw).ok()?;
    let found = &block["content"];
    let document = &found["content"];
    let source = &document["source"];
    let text = if source["type"] == "text" { source["data"].as_str() } else { None };
    Some(Page {
        url: found["url"].as_str()?.to_owned(),
        title: document["title"].as_str().unwrap_or_default().to_owned(),
        text: text.unwrap_or_default().to_owned(),
    })
}

/// Whether a block may cite something.
pub(super) fn may_cite(raw: &str) -> bool {
    raw.contains("_location")
}

/// Returns the sources of a block, in order, each once.
pub(super) fn cited(raw: &str, origins: &Origins<'_>) -> Vec<Cited> {
    let block: Value = if may_cite(raw) { serde_json::from_str(raw).unwrap_or_default() } else { Value::Null };
    let citations = block["citations"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut sources: Vec<Cited> = Vec::new();
    for source in citations.iter().take(CITATIONS_MAX).filter_map(|citation| origins.source(citation)) {
        if !source.name.is_empty() && !sources.iter().any(|known| is_same(known, &source)) {
            sources.push(source);
        }
    }
    sources
}

/// Returns whether people would take two sources for one.
pub(super) fn is_same(one: &Cited, other: &Cited) -> bool {
    let is_web = |cited: &Cited| cited.link.as_deref().is_some_and(|link| citing::web_link(link).is_some());
    match (&one.link, &other.link) {
        // A page of a PDF or a sheet is not the next one, though the message is the same.
        (Some(link), Some(another)) if link == another => {
            one.name == other.name || is_web(one) && !has_page(one, other)
        }
        (None, None) => one.name == other.name,
        _ => false,
    }
}

/// Returns whether names differ by the page, as those of one fetched PDF do.
fn has_page(one: &Cited, other: &Cited) -> bool {
    [one, other].iter().all(|cited| cited.name.contains(", p. ") || cited.name.contains(", pp. "))
}

impl Origins<'_> {
    fn source(&self, citation: &Value) -> Option<Cited> {
        let words = citation["cited_text"].as_str().unwrap_or_default();
        match citation["type"].as_str()? {
            "char_location" | "content_block_location" => self.document(citation, None, words),
            "page_location" => {
                let page = |key: &str| citation[key].as_u64();
                let first = page("start_page_number")?;
                self.document(citation, Some((first, page("end_page_number").unwrap_or(first + 1))), words)
            }
            "search_result_location" => self.found(citation, words),
            "web_search_result_location" => {
                let (url, title) = (citation["url"].as_str()?, citation["title"].as_str());
                web(url, title.unwrap_or_default(), None, words)
            }
            _ => None,
        }
    }

    fn document(&self, citation: &Value, pages: Option<(u64, u64)>, words: &str) -> Option<Cited> {
        let number = |key: &str| citation[key].as_u64().and_then(|number| usize::try_from(number).ok());
        let title = citation["document_title"].as_str();
        if let Some(document) = self.shelf.document(number("document_index"), title) {
            return Some(self.shelf.cited(document, pages, number("start_char_index"), words));
        }
        let page = self.page(title, words)?;
        web(&page.url, &page.title, pages.map(citing::pages_named).as_deref(), words)
    }

    fn found(&self, citation: &Value, words: &str) -> Option<Cited> {
        let source = citation["source"].as_str()?;
        let title = citation["title"].as_str().unwrap_or_default();
        // What we said of it counts, not what comes back.
        let known = self.found.iter().find(|found| found.source == source && found.title == title);
        let title = known
            .or_else(|| self.found.iter().find(|found| found.source == source))
            .map_or(title, |found| found.title.as_str());
        let name = citing::named(title, None);
        let link = self.shelf.message_link(source, self.read).or_else(|| citing::web_link(source));
        let name = if name.is_empty() { citing::host_of(source) } else { name };
        Some(Cited { name, link, words: citing::words_of(words) })
    }

    /// Finds the fetched page that is cited: by its words and title, by its title, by its words where one page alone has
    /// them, else the only one.
    fn page(&self, title: Option<&str>, words: &str) -> Option<&Page> {
        let has_words = |page: &Page| !words.trim().is_empty() && page.text.contains(words.trim());
        let has_title = |page: &Page| title.is_some_and(|title| !title.is_empty() && page.title == title);
        only(self.pages, |page| has_words(page) && has_title(page))
            .or_else(|| only(self.pages, has_title))
            .or_else(|| only(self.pages, has_words))
            .or_else(|| only(self.pages, |_| true))
    }
}

/// Returns a web page as a source; `None` for an address that names none.
fn web(url: &str, title: &str, place: Option<&str>, words: &str) -> Option<Cited> {
    let (link, host) = (citing::web_link(url), citing::host_of(url));
    let title = if citing::named(title, None).is_empty() { &host } else { title };
    let name = citing::named(title, place);
    (!name.is_empty()).then(|| Cited { name, link, words: citing::words_of(words) })
}

/// Returns what fits, where all that does has one address.
fn only(pages: &[Page], fits: impl Fn(&Page) -> bool) -> Option<&Page> {
    let mut fitting = pages.iter().filter(|page| fits(page));
    let first = fitting.next()?;
    fitting.all(|page| page.url == first.url).then_some(first)
}
