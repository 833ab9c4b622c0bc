//! What a scripted answer cites, looked up in the request as the API does: a document by its number, a search result by its
//! address, a page of the web by its result. What the request does not hold, or not for citing, cannot be cited.

use serde_json::{Value, json};

use super::cite::Cite;
use super::prompt::array;
use super::turn::{Block, Turn};

/// Gives the turn's texts the citations that it asks for.
///
/// # Errors
/// What cannot be cited, and why.
pub(super) fn resolve(turn: &mut Turn, body: &Value) -> Result<(), String> {
    for at in 0..turn.blocks.len() {
        let Block::Cited { text, cites } = &turn.blocks[at] else { continue };
        let given = Given::of(body, &turn.blocks[..at]);
        let citations = cites.iter().map(|cite| given.citation(cite)).collect::<Result<Vec<Value>, String>>()?;
        turn.blocks[at] = Block::Whole(json!({ "type": "text", "text": text, "citations": citations }));
    }
    Ok(())
}

/// What a request and the answer so far hold that can be cited.
struct Given {
    /// Documents, in order: the request's, then those that were fetched.
    documents: Vec<Value>,
    results: Vec<Value>,
    web: Vec<Value>,
}

impl Given {
    fn of(body: &Value, said: &[Block]) -> Self {
        let mut given = Self { documents: Vec::new(), results: Vec::new(), web: Vec::new() };
        let messages = array(&body["messages"]).iter();
        let blocks: Vec<&Value> = messages.flat_map(|message| array(&message["content"])).collect();
        let said = said.iter().filter_map(|block| if let Block::Whole(block) = block { Some(block) } else { None });
        let blocks: Vec<&Value> = blocks.into_iter().chain(said).collect();
        for block in &blocks {
            let inner = if block["type"] == "tool_result" { array(&block["content"]) } else { &[] };
            for block in std::iter::once(*block).chain(inner) {
                match block["type"].as_str() {
                    Some("document") => given.documents.push(block.clone()),
                    Some("search_result") => given.results.push(block.clone()),
                    Some("web_search_tool_result") => given.web.extend(array(&block["content"]).iter().cloned()),
                    _ => {}
                }
            }
        }
        let fetched = blocks.iter().filter(|block| block["type"] == "web_fetch_tool_result");
        given.documents.extend(fetched.map(|block| block["content"]["content"].clone()));
        given
    }

    fn citation(&self, cite: &Cite) -> Result<Value, String> {
        match cite {
            Cite::Page { title, page, words } => self.page(title, *page, words),
            Cite::Words(words) => self.words(words),
            Cite::Web { title, words } => {
                let mut found = self.web.iter().filter(|found| found["title"] == title.as_str());
                let found = found.next().ok_or_else(|| format!("no web search found {title:?}"))?;
                Ok(json!({
                    "type": "web_search_result_location", "url": found["url"], "title": title,
                    "encrypted_index": "c3RhbmQtaW4=", "cited_text": words,
                }))
            }
        }
    }

    fn page(&self, title: &str, page: u64, words: &str) -> Result<Value, String> {
        let is_it = |document: &Value| {
            document["title"] == title && document["source"]["media_type"] == "application/pdf" && is_citable(document)
        };
        let index = self.documents.iter().position(is_it);
        let index = index.ok_or_else(|| format!("no PDF with the title {title:?} can be cited"))?;
        Ok(json!({
            "type": "page_location", "document_index": index, "document_title": title, "file_id": null,
            "start_page_number": page, "end_page_number": page + 1, "cited_text": words,
        }))
    }

    fn words(&self, words: &str) -> Result<Value, String> {
        let in_document = |document: &Value| {
            let text = document["source"]["data"].as_str().filter(|_| document["source"]["type"] == "text")?;
            text.find(words).map(|at| text[..at].chars().count())
        };
        let mut documents = self.documents.iter().enumerate().filter(|(_, document)| is_citable(document));
        if let Some((index, document, begin)) =
            documents.find_map(|(index, document)| Some((index, document, in_document(document)?)))
        {
            return Ok(json!({
                "type": "char_location", "document_index": index, "document_title": document["title"], "file_id": null,
                "start_char_index": begin, "end_char_index": begin + words.chars().count(), "cited_text": words,
            }));
        }
        for (index, result) in self.results.iter().enumerate().filter(|(_, result)| is_citable(result)) {
            for (at, block) in array(&result["content"]).iter().enumerate() {
                // A block of a search result is cited as a whole.
                if let Some(text) = block["text"].as_str().filter(|text| text.contains(words)) {
                    return Ok(json!({
                        "type": "search_result_location", "source": result["source"], "title": result["title"],
                        "search_result_index": index, "start_block_index": at, "end_block_index": at + 1,
                        "cited_text": text,
                    }));
                }
            }
        }
        Err(format!("nothing that can be cited holds {words:?}"))
    }
}

fn is_citable(block: &Value) -> bool {
    block["citations"]["enabled"] == true
}
