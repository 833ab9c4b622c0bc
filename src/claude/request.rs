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
    /// How thinking is shown; `None` leaves it to the model, which then shows nothing of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking: Option<Thinking>,
    /// The container to compute in, where the model may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerParams>,
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

/// `thinking`: what a model that thinks anyway tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Thinking {
    /// As much as it sees fit.
    Adaptive {
        /// What is told of it.
        display: Display,
    },
}

/// `thinking.display`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Display {
    /// A summary.
    Summarized,
}

/// `container` of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ContainerParams {
    /// A container of an earlier answer; without one the provider makes a new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The skills to load.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skills: Vec<Skill>,
}

/// A skill of the provider's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename = "anthropic")]
pub struct Skill {
    /// Its id.
    pub skill_id: String,
    /// Which version; the newest.
    pub version: &'static str,
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
            thinking: None,
            container: None,
            metadata: user_tag.map(|tag| Metadata { user_id: tag.to_owned() }),
        };
        request.add_computing(prompt);
        request.add_rounds(prompt);
        request
    }

    /// Adds the container, and behind the transcript the files for it: their ids differ from run to run, and what stands
    /// before them is read from the cache.
    fn add_computing(&mut self, prompt: &Prompt) {
        let computing = &prompt.computing;
        if !prompt.computes() {
            return;
        }
        let skill = |id: &String| Skill { skill_id: id.clone(), version: "latest" };
        let container =
            ContainerParams { id: computing.container.clone(), skills: computing.skills.iter().map(skill).collect() };
        self.container = (container != ContainerParams::default()).then_some(container);
        if let (Some(listing), Some(last)) = (computing.listing(), self.messages.last_mut()) {
            last.content.push(ContentBlock::text(listing));
            last.content.extend(computing.uploads.iter().map(|upload| ContentBlock::container_upload(&upload.file)));
        }
    }

    /// Returns the same request with or without a summary of the thinking; for models that think without being told.
    #[must_use]
    pub fn with_summary(self, is_wanted: bool) -> Self {
        let thinking = is_wanted.then_some(Thinking::Adaptive { display: Display::Summarized });
        Self { thinking, ..self }
    }

    /// Returns the same request with an answer of so many tokens at the most.
    #[must_use]
    pub fn at_most(self, max_tokens: u32) -> Self {
        Self { max_tokens: self.max_tokens.min(max_tokens), ..self }
    }

    /// Returns the same request for a new container.
    #[must_use]
    pub fn without_container(mut self) -> Self {
        self.container = self.container.map(|container| ContainerParams { id: None, ..container });
        self.container = self.container.filter(|container| *container != ContainerParams::default());
        self
    }

    /// Returns whether it names a container of an earlier answer.
    #[must_use]
    pub fn goes_on_in_container(&self) -> bool {
        self.container.as_ref().is_some_and(|container| container.id.is_some())
    }

    /// Returns whether it puts files into a container, which costs time there even if nothing is computed.
    #[must_use]
    pub fn fills_container(&self) -> bool {
        self.messages.iter().flat_map(|message| &message.content).any(|block| block.kind() == "container_upload")
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
    use crate::core::{
        computing,
        prompt::{File, Turn},
    };

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
        let file = |content| Part::File(File { title: "a.txt".to_owned(), content, event: None, has_places: false });
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
                "type": "document", "title": "a.txt", "citations": { "enabled": true },
                "source": { "type": "base64", "media_type": "application/pdf", "data": "cGRm" },
            },
            { "type": "image", "source": { "type": "base64", "media_type": "image/jpeg", "data": "b25l" } },
            { "type": "image", "source": { "type": "base64", "media_type": "image/jpeg", "data": "dHdv" } },
            {
                "type": "document", "title": "a.txt", "citations": { "enabled": true },
                "source": { "type": "text", "media_type": "text/plain", "data": "hi" },
            },
        ]);
        assert_eq!(body["messages"][0]["content"], expected);
    }

    #[test]
    fn c24_files_go_behind_the_transcript_into_the_thread_s_container_with_the_granted_skills() {
        let upload = |number: usize| computing::Upload {
            file: format!("file_{number}"),
            name: format!("{number}.csv"),
            event: ruma::event_id!("$csv").to_owned(),
        };
        let computing = computing::Computing {
            container: Some("container_1".to_owned()),
            skills: vec!["xlsx".to_owned()],
            uploads: vec![upload(1), upload(2)],
        };
        let code = serde_json::json!({ "type": "code_execution_20260521", "name": "code_execution" });
        let prompt = Prompt {
            tools: vec![prompt::ToolDefinition::Provider(code)],
            turns: vec![turn(prompt::Role::User, "Chart it.")],
            computing,
            ..Prompt::default()
        };
        let request = Request::from_prompt(&prompt, "claude-opus-5-5", None, 4096, None);
        let body = |request: &Request| -> serde_json::Value {
            serde_json::from_slice(&request.body()).expect("the body is JSON")
        };
        let sent = body(&request);
        let skill = serde_json::json!({ "type": "anthropic", "skill_id": "xlsx", "version": "latest" });
        assert_eq!(sent["container"], serde_json::json!({ "id": "container_1", "skills": [skill] }));
        assert_eq!(sent["messages"][0]["content"][0]["text"], "Chart it.");
        assert!(sent["messages"][0]["content"][1]["text"].as_str().is_some_and(|text| text.contains("1.csv")));
        let expected = serde_json::json!({ "type": "container_upload", "file_id": "file_2" });
        assert_eq!(sent["messages"][0]["content"][3], expected);
        assert!(request.goes_on_in_container() && request.fills_container());
        let anew = request.without_container();
        assert_eq!(body(&anew)["container"], serde_json::json!({ "skills": [skill] }));
        assert!(!anew.goes_on_in_container());

        let refused = prompt.without_files("(refused)");
        let request = Request::from_prompt(&refused, "claude-opus-5-5", None, 4096, None);
        assert!(!request.fills_container() && !body(&request).to_string().contains("files_in_container"));
        let without = Prompt { tools: vec![], ..prompt };
        let sent = body(&Request::from_prompt(&without, "claude-opus-5-5", None, 4096, None));
        assert!(sent["container"].is_null() && !sent.to_string().contains("file_1"), "without the grant nothing goes");
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
