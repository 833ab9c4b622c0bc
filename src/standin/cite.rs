//! What a script says that an answer cites, and the forms in which the API tells it.

use serde_json::{Map, Value};

/// Something that an answer cites.
#[derive(Clone, Debug)]
pub enum Cite {
    /// A page of a PDF in the request with this title, and the words that stand there.
    Page {
        /// The document's title.
        title: String,
        /// The page's number, from 1.
        page: u64,
        /// What is cited of it.
        words: String,
    },
    /// Words of a text document, of a page that was fetched, or of something that a tool found.
    Words(String),
    /// A result of a web search with this title, and the words that stand there.
    Web {
        /// The result's title.
        title: String,
        /// What is cited of it.
        words: String,
    },
}

/// Returns what a citation that the API gave out may hold beside its type; `None` for an unknown type.
pub(super) fn fields_of(citation: &Map<String, Value>) -> Option<&'static [&'static str]> {
    Some(match citation.get("type")?.as_str()? {
        "char_location" => {
            &["document_index", "document_title", "file_id", "start_char_index", "end_char_index", "cited_text"]
        }
        "page_location" => {
            &["document_index", "document_title", "file_id", "start_page_number", "end_page_number", "cited_text"]
        }
        "content_block_location" => {
            &["document_index", "document_title", "file_id", "start_block_index", "end_block_index", "cited_text"]
        }
        "search_result_location" => {
            &["source", "title", "search_result_index", "start_block_index", "end_block_index", "cited_text"]
        }
        "web_search_result_location" => &["url", "title", "encrypted_index", "cited_text"],
        _ => return None,
    })
}
