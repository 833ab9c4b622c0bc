//! Where what an answer cites stands: addresses for citations that the provider gives none.
//!
//! What a page that was fetched is cited by names the document by its number in the whole request, its title, and the
//! words cited; the address stands in the result alone.

use serde_json::Value;

/// A page that the provider fetched.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Page {
    url: String,
    title: String,
    /// Its text; empty for a PDF.
    text: String,
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

/// Returns blocks with the address and title of its page beside each citation that has none. For reading alone: what goes
/// back to the provider stays as it came.
pub(super) fn resolved(blocks: &[String], pages: &[Page]) -> Vec<String> {
    blocks.iter().map(|raw| resolve(raw, pages).unwrap_or_else(|| raw.clone())).collect()
}

fn resolve(raw: &str, pages: &[Page]) -> Option<String> {
    if pages.is_empty() || !may_cite(raw) {
        return None;
    }
    let mut block: Value = serde_json::from_str(raw).ok()?;
    for citation in block.get_mut("citations")?.as_array_mut()? {
        if citation["url"].is_string() {
            continue;
        }
        if let Some(page) = cited(citation, pages) {
            citation["url"] = Value::from(page.url.clone());
            citation["title"] = Value::from(page.title.clone());
        } else if let Some(source) = citation["source"].as_str().map(ToOwned::to_owned) {
            citation["url"] = Value::from(source);
        }
    }
    Some(block.to_string())
}

/// Finds the page that is cited: by its words and title, by its title, by its words where one page alone has them, else the
/// only one.
fn cited<'a>(citation: &Value, pages: &'a [Page]) -> Option<&'a Page> {
    if !matches!(citation["type"].as_str(), Some("char_location" | "page_location" | "content_block_location")) {
        return None;
    }
    let (words, title) = (citation["cited_text"].as_str().unwrap_or_default(), citation["document_title"].as_str());
    let has_words = |page: &Page| !words.trim().is_empty() && page.text.contains(words.trim());
    let has_title = |page: &Page| title.is_some_and(|title| !title.is_empty() && page.title == title);
    only(pages, |page| has_words(page) && has_title(page))
        .or_else(|| only(pages, has_title))
        .or_else(|| only(pages, has_words))
        .or_else(|| only(pages, |_| true))
}

/// Returns what fits, where all that does has one address.
fn only(pages: &[Page], fits: impl Fn(&Page) -> bool) -> Option<&Page> {
    let mut fitting = pages.iter().filter(|page| fits(page));
    let first = fitting.next()?;
    fitting.all(|page| page.url == first.url).then_some(first)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fetched(url: &str, title: Option<&str>, text: Option<&str>) -> String {
        let source = match text {
            Some(text) => json!({ "type": "text", "media_type": "text/plain", "data": text }),
            None => json!({ "type": "base64", "media_type": "application/pdf", "data": "JVBERi0=" }),
        };
        json!({ "type": "web_fetch_tool_result", "tool_use_id": "srvtoolu_1", "content": {
            "type": "web_fetch_result", "url": url, "content": { "type": "document", "source": source, "title": title },
        } })
        .to_string()
    }

    #[test]
    fn c12_a_citation_of_a_fetched_page_gets_its_address_and_title() {
        let one = fetched("https://a.org/one", Some("One"), Some("Alpha beta. Gamma."));
        let two = fetched("https://a.org/two", Some("Two"), Some("Delta. Gamma."));
        let pdf = fetched("https://a.org/p.pdf", Some("Paper"), None);
        let said = |citation: Value| json!({ "type": "text", "text": "x", "citations": [citation] }).to_string();
        let char_of = |words: &str, title: Option<&str>| {
            said(json!({ "type": "char_location", "document_index": 7, "document_title": title, "cited_text": words }))
        };
        let page_of = |title: &str| {
            said(json!({ "type": "page_location", "document_index": 2, "document_title": title, "cited_text": "p" }))
        };
        let all = [one.clone(), two.clone(), pdf.clone()];
        for (blocks, block, url) in [
            (&all[..], char_of("Alpha beta.", None), Some("https://a.org/one")),
            (&all[..], char_of("Gamma.", Some("Two")), Some("https://a.org/two")),
            (&all[..], char_of("Gamma.", None), None),
            (&all[..], char_of("nowhere", Some("One")), Some("https://a.org/one")),
            (&all[..], page_of("Paper"), Some("https://a.org/p.pdf")),
            (&all[2..], page_of("another title"), Some("https://a.org/p.pdf")),
            (&all[..0], page_of("Paper"), None),
            (
                &all[..],
                said(json!({ "type": "web_search_result_location", "url": "https://b.org/", "title": "B" })),
                Some("https://b.org/"),
            ),
            (
                &all[..],
                said(json!({ "type": "search_result_location", "source": "https://c.org/", "title": "C" })),
                Some("https://c.org/"),
            ),
        ] {
            let resolved = resolved(std::slice::from_ref(&block), &pages(blocks.iter()));
            let found: Value = serde_json::from_str(&resolved[0]).expect("JSON");
            assert_eq!(found["citations"][0]["url"].as_str(), url, "{block}");
        }
    }
}
