//! The journal: every request that reached an endpoint, in order, and how it ended.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use crate::clock;
use crate::core::time::Timestamp;

/// How long [`super::StandIn::wait_for_request`] waits, in seconds.
pub const WAIT_SECONDS_MAX: u64 = 30;
/// Characters shown of a key's hash.
const REDACTED_CHARS: usize = 8;

/// A request as it arrived, and what became of it.
#[derive(Clone, Debug)]
pub struct RecordedRequest {
    /// The answer's `request-id`.
    pub id: String,
    /// Method and path without the query, e.g. `POST /v1/messages`.
    pub route: String,
    /// Headers by lower-case name; a key is replaced by a short hash.
    pub headers: BTreeMap<String, String>,
    /// The body; `null` if it was not JSON.
    pub body: Value,
    /// When it arrived.
    pub at: Timestamp,
    /// The answer's status; `None` until it is known.
    pub status: Option<u16>,
    /// Whether the client closed the connection before the answer was complete.
    pub disconnected: bool,
    /// Whether the answer, faults included, was sent to its end.
    pub finished: bool,
    /// The answer's `usage`, cache reads included; `null` if it had none.
    pub usage: Value,
}

/// An image or document in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedFile {
    /// `image` or `document`.
    pub kind: String,
    /// `source.media_type`.
    pub media_type: String,
    /// The document's title.
    pub title: Option<String>,
    /// The content: base64 decoded, or text as UTF-8.
    pub bytes: Vec<u8>,
    /// The text of the block before it.
    pub behind: String,
}

impl RecordedRequest {
    /// Returns whether it asks about models, or which service this is, and not for an answer.
    pub(super) fn is_look(&self) -> bool {
        let asks_nothing = self.body["messages"].as_array().is_some_and(Vec::is_empty);
        self.route.starts_with("GET /v1/models") || (self.route == "POST /v1/messages" && asks_nothing)
    }

    /// Returns whether it is about batches or files.
    pub(super) fn is_beside(&self) -> bool {
        self.route.contains("/v1/messages/batches") || self.route.contains("/v1/files")
    }

    /// Returns the images and documents of all messages, in order.
    #[must_use]
    pub fn files(&self) -> Vec<RecordedFile> {
        let messages = self.body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut files = Vec::new();
        for message in messages {
            let blocks = message["content"].as_array().map(Vec::as_slice).unwrap_or_default();
            let mut behind = String::new();
            for block in blocks {
                let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
                let kind = text(&block["type"]).unwrap_or_default();
                if kind == "text" {
                    behind = text(&block["text"]).unwrap_or_default();
                }
                if kind != "image" && kind != "document" {
                    continue;
                }
                let source = &block["source"];
                let data = text(&source["data"]).unwrap_or_default();
                let bytes = match source["type"].as_str() {
                    Some("base64") => STANDARD.decode(&data).unwrap_or_default(),
                    _ => data.into_bytes(),
                };
                let media_type = text(&source["media_type"]).unwrap_or_default();
                files.push(RecordedFile {
                    kind,
                    media_type,
                    title: text(&block["title"]),
                    bytes,
                    behind: behind.clone(),
                });
            }
        }
        files
    }

    /// Returns the system prompt's text, its blocks joined by newlines.
    #[must_use]
    pub fn system_text(&self) -> String {
        text_of(&self.body["system"])
    }

    /// Returns the last user message's text, tool results included, its blocks joined by newlines.
    #[must_use]
    pub fn last_user_text(&self) -> String {
        let messages = self.body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
        let last = messages.iter().rev().find(|message| message["role"] == "user");
        last.map(|message| text_of(&message["content"])).unwrap_or_default()
    }
}

/// Returns the text of a string or of an array of blocks.
pub(super) fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => blocks.iter().map(block_text).collect::<Vec<_>>().join("\n"),
        _ => String::new(),
    }
}

fn block_text(block: &Value) -> String {
    match block["type"].as_str() {
        Some("text") => block["text"].as_str().unwrap_or_default().to_owned(),
        Some("tool_result" | "search_result") => text_of(&block["content"]),
        _ => String::new(),
    }
}

/// Returns the hash that stands for a key in the journal.
pub(super) fn redact(key: &str) -> String {
    let digest = URL_SAFE_NO_PAD.encode(Sha256::digest(key.as_bytes()));
    let short: String = digest.chars().take(REDACTED_CHARS).collect();
    format!("sha256:{short}")
}

/// The shared list of requests; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Journal {
    requests: Arc<Mutex<Vec<RecordedRequest>>>,
    changes: Arc<watch::Sender<u64>>,
}

impl Journal {
    pub(super) fn new() -> Self {
        Self { requests: Arc::default(), changes: Arc::new(watch::Sender::new(0)) }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<RecordedRequest>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn all(&self) -> Vec<RecordedRequest> {
        self.lock().clone()
    }

    /// Opens an entry; the caller completes it through the handle.
    pub(super) fn open(&self, id: &str, route: String, headers: BTreeMap<String, String>) -> Entry {
        let request = RecordedRequest {
            id: id.to_owned(),
            route,
            headers,
            body: Value::Null,
            at: clock::now(),
            status: None,
            disconnected: false,
            finished: false,
            usage: Value::Null,
        };
        let index = {
            let mut requests = self.lock();
            requests.push(request);
            requests.len() - 1
        };
        Entry { journal: self.clone(), index, closed: false }
    }

    fn change(&self, index: usize, change: impl FnOnce(&mut RecordedRequest)) {
        if let Some(request) = self.lock().get_mut(index) {
            change(request);
        }
        self.changes.send_modify(|version| *version += 1);
    }

    /// Waits until a request satisfies `wanted`; `None` after [`WAIT_SECONDS_MAX`].
    pub(super) async fn wait_for(&self, wanted: impl Fn(&RecordedRequest) -> bool) -> Option<RecordedRequest> {
        let mut changes = self.changes.subscribe();
        let search = async {
            loop {
                changes.borrow_and_update();
                if let Some(found) = self.lock().iter().find(|request| wanted(request)).cloned() {
                    return found;
                }
                if changes.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(WAIT_SECONDS_MAX), search).await.ok()
    }
}

/// An open entry. Dropping it before [`Self::finish`] means that the client went away.
#[derive(Debug)]
pub(super) struct Entry {
    journal: Journal,
    index: usize,
    closed: bool,
}

impl Entry {
    pub(super) fn set_body(&self, body: Value) {
        self.journal.change(self.index, |request| request.body = body);
    }

    pub(super) fn set_status(&self, status: u16) {
        self.journal.change(self.index, |request| request.status = Some(status));
    }

    pub(super) fn set_usage(&self, usage: Value) {
        self.journal.change(self.index, |request| request.usage = usage);
    }

    pub(super) fn snapshot(&self) -> Option<RecordedRequest> {
        self.journal.lock().get(self.index).cloned()
    }

    pub(super) fn finish(&mut self) {
        self.closed = true;
        self.journal.change(self.index, |request| request.finished = true);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if !self.closed {
            self.journal.change(self.index, |request| request.disconnected = true);
        }
    }
}
