//! A request to the Messages API, laid out for prompt caching.

mod rounds;

use serde::Serialize;

use super::wire::{ContentBlock, Effort, Role};
use crate::core::prompt::{self, FileContent, Part, Prompt};

/// Most cache breakpoints in one request, including the automatic one.
pub(crate) const CACHE_BREAKPOINTS_MAX: usize = 4;

/// The body of `POST /v1/messages`; sending adds `stream: true`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Request {
    /// An exact model id.
    pub model: String,
    /// Most tokens for thinking and answer together.
    pub max_tokens: u32,
    /// Tool definitions, sorted by name; not interpreted here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<serde_json::Value>,
    /// Whether tools may be called; `None` leaves it to the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice>,
    /// Instructions, the most stable first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub system: Vec<SystemBlock>,
    /// The transcript, which ends with a user message.
    pub messages: Vec<InputMessage>,
    /// An automatic breakpoint that moves with the last block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<CacheControl>,
    /// The effort; `None` means the model's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_config: Option<OutputConfig>,
    /// An opaque id of the asker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
}

/// `tool_choice`; current models refuse forced calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ToolChoice {
    /// Call no tool in this answer.
    None,
}

/// A block of `system`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename = "text")]
pub struct SystemBlock {
    /// The instruction's text.
    pub text: String,
    /// The breakpoint after it, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<CacheControl>,
}

/// `cache_control`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename = "ephemeral")]
pub struct CacheControl {
    /// The lifetime after the last use.
    pub ttl: Ttl,
}

/// `cache_control.ttl`; longer ones must precede shorter ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Ttl {
    /// Lives for five minutes.
    #[serde(rename = "5m")]
    FiveMinutes,
    /// Lives for an hour.
    #[serde(rename = "1h")]
    OneHour,
}

/// A message of the transcript.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InputMessage {
    /// The speaker's role.
    pub role: Role,
    /// The content blocks.
    pub content: Vec<ContentBlock>,
    /// Whether this is a paused turn of the model, which the provider continues; it may be the last message.
    #[serde(skip)]
    pub paused: bool,
}

/// `output_config`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct OutputConfig {
    /// How much effort the model makes.
    pub effort: Effort,
}

/// `metadata`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Metadata {
    /// An opaque id for abuse tracing: a keyed hash, never a name.
    pub user_id: String,
}

impl Request {
    /// Lays out `prompt` with a one-hour breakpoint after each system block and a five-minute one for the transcript.
    ///
    /// Blank blocks are dropped, because the API refuses them. Of more than three system blocks, the first two and the
    /// last get a breakpoint. `user_tag` is a keyed hash of the asker.
    #[must_use]
    pub fn from_prompt(
        prompt: &Prompt,
        model: &str,
        effort: Option<Effort>,
        max_tokens: u32,
        user_tag: Option<&str>,
    ) -> Self {
        let texts: Vec<_> = prompt.system.iter().filter(|text| !text.trim().is_empty()).collect();
        let last = texts.len().saturating_sub(1);
        let leading = CACHE_BREAKPOINTS_MAX - 2;
        let system = texts.into_iter().enumerate().map(|(at, text)| SystemBlock {
            text: text.clone(),
            cache_control: (at < leading || at == last).then_some(CacheControl { ttl: Ttl::OneHour }),
        });
        let messages = prompt.turns.iter().map(|turn| InputMessage {
            role: match turn.role {
                prompt::Role::User => Role::User,
                prompt::Role::Assistant => Role::Assistant,
            },
            content: turn.parts.iter().flat_map(blocks).collect(),
            paused: false,
        });
        let messages = messages.filter(|message| !message.content.is_empty());
        let mut request = Self {
            model: model.to_owned(),
            max_tokens,
            tools: Vec::new(),
            tool_choice: None,
            system: system.collect(),
            messages: messages.collect(),
            cache_control: Some(CacheControl { ttl: Ttl::FiveMinutes }),
            output_config: effort.map(|effort| OutputConfig { effort }),
            metadata: user_tag.map(|tag| Metadata { user_id: tag.to_owned() }),
        };
        request.add_rounds(prompt);
        request
    }

    /// Returns the same request without breakpoints: what a batch writes to the cache is seldom read again, and writing
    /// costs more than not.
    #[must_use]
    pub fn uncached(mut self) -> Self {
        self.cache_control = None;
        for block in &mut self.system {
            block.cache_control = None;
        }
        self
    }

    /// Returns why the API would refuse this request, as far as that can be seen without a call.
    #[must_use]
    pub fn fault(&self) -> Option<&'static str> {
        let (Some(first), Some(last)) = (self.messages.first(), self.messages.last()) else {
            return Some("it has no message");
        };
        if first.role != Role::User {
            return Some("its first message is the assistant's");
        }
        if last.role != Role::User && !last.paused {
            return Some("its last message is the assistant's, and current models take no prefill");
        }
        (self.max_tokens == 0).then_some("max_tokens is 0")
    }

    /// Returns the body's bytes.
    pub(crate) fn body(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Body<'a> {
            #[serde(flatten)]
            request: &'a Request,
            stream: bool,
        }
        serde_json::to_vec(&Body { request: self, stream: true }).expect("a request is made of strings and numbers")
    }
}

/// Returns a part's blocks; none for blank text, which the API refuses.
fn blocks(part: &Part) -> Vec<ContentBlock> {
    match part {
        Part::Text(text) if text.trim().is_empty() => Vec::new(),
        Part::Text(text) => vec![ContentBlock::text(text.clone())],
        Part::File(file) => match &file.content {
            picture @ (FileContent::Image { .. } | FileContent::Pictures { .. }) => pictures(picture),
            FileContent::Pdf { base64 } => vec![ContentBlock::pdf(&file.title, base64)],
            FileContent::Text { text } => vec![ContentBlock::text_document(&file.title, text)],
        },
    }
}

/// Returns a picture's block; none for other content.
fn pictures(content: &FileContent) -> Vec<ContentBlock> {
    match content {
        FileContent::Image { media_type, base64 } => vec![ContentBlock::image(media_type, base64)],
        FileContent::Pictures { media_type, base64 } => {
            base64.iter().map(|base64| ContentBlock::image(media_type, base64)).collect()
        }
        FileContent::Pdf { .. } | FileContent::Text { .. } => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::prompt::{File, Turn};

    fn turn(role: prompt::Role, text: &str) -> Turn {
        Turn::new(role, text)
    }

    fn request(system: &[&str], turns: Vec<Turn>) -> Request {
        let prompt =
            Prompt { system: system.iter().map(|&text| text.to_owned()).collect(), turns, ..Prompt::default() };
        Request::from_prompt(&prompt, "claude-opus-5-5", Some(Effort::Medium), 4096, Some("h_5f0c"))
    }

    #[test]
    fn a_prompt_becomes_the_pinned_body() {
        let request = request(
            &["You are oncall.", " ", "Room: #ops"],
            vec![
                turn(prompt::Role::User, r#"{"from":"@alice:x","text":"status?"}"#),
                turn(prompt::Role::Assistant, "All green."),
                turn(prompt::Role::Assistant, ""),
                turn(prompt::Role::User, "and now?"),
                turn(prompt::Role::User, "é"),
            ],
        );
        let body: serde_json::Value = serde_json::from_slice(&request.body()).expect("the body is JSON");
        insta::assert_snapshot!("request", serde_json::to_string_pretty(&body).expect("a value prints"));
        assert_eq!(request.fault(), None);
    }

    #[test]
    fn c7_files_become_blocks_behind_the_records_that_name_them() {
        let file = |content| Part::File(File { title: "a.txt".to_owned(), content });
        let parts = vec![
            Part::Text("{\"event_id\":\"$a\"}".to_owned()),
            file(FileContent::Image { media_type: "image/png", base64: "aW1n".into() }),
            file(FileContent::Pdf { base64: "cGRm".into() }),
            file(FileContent::Pictures { media_type: "image/jpeg", base64: ["b25l".into(), "dHdv".into()].into() }),
            Part::Text(" ".to_owned()),
            file(FileContent::Text { text: "hi".into() }),
        ];
        let request = request(&[], vec![Turn { role: prompt::Role::User, parts }]);
        let body: serde_json::Value = serde_json::from_slice(&request.body()).expect("the body is JSON");
        let expected = serde_json::json!([
            { "type": "text", "text": "{\"event_id\":\"$a\"}" },
            { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "aW1n" } },
            {
                "type": "document", "title": "a.txt",
                "source": { "type": "base64", "media_type": "application/pdf", "data": "cGRm" },
            },
            { "type": "image", "source": { "type": "base64", "media_type": "image/jpeg", "data": "b25l" } },
            { "type": "image", "source": { "type": "base64", "media_type": "image/jpeg", "data": "dHdv" } },
            {
                "type": "document", "title": "a.txt",
                "source": { "type": "text", "media_type": "text/plain", "data": "hi" },
            },
        ]);
        assert_eq!(body["messages"][0]["content"], expected);
    }

    #[test]
    fn no_number_of_system_blocks_takes_more_breakpoints_than_the_api_has() {
        for (blocks, marked) in [
            (vec![], vec![]),
            (vec!["a"], vec!["a"]),
            (vec!["a", "b", "c"], vec!["a", "b", "c"]),
            (vec!["a", "b", "c", "d", "e"], vec!["a", "b", "e"]),
        ] {
            let request = request(&blocks, vec![]);
            let found: Vec<_> =
                request.system.iter().filter(|block| block.cache_control.is_some()).map(|block| &block.text).collect();
            assert_eq!(found, marked);
            assert!(found.len() < CACHE_BREAKPOINTS_MAX);
        }
    }

    #[test]
    fn a_request_that_the_api_would_refuse_is_found_out_before() {
        let (user, assistant) = (turn(prompt::Role::User, "a"), turn(prompt::Role::Assistant, "b"));
        let faults = |turns| request(&[], turns).fault().is_some();
        assert!(faults(vec![]));
        assert!(faults(vec![assistant.clone(), user.clone()]));
        assert!(faults(vec![user.clone(), assistant.clone()]));
        assert!(!faults(vec![user.clone(), assistant, user]));
    }
}
