//! A request to the model, before it takes the Messages API's form.

use std::sync::Arc;

use ruma::OwnedEventId;

use super::computing::{self, Computing};

/// A prompt laid out for caching: the most stable part comes first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prompt {
    /// The tools sorted by name; the same in every call of a run.
    pub tools: Vec<ToolDefinition>,
    /// System blocks, the most stable first; a cache breakpoint follows each.
    pub system: Vec<String>,
    /// The transcript, oldest first. Turns alternate, and a user's turn is first and last.
    pub turns: Vec<Turn>,
    /// The rounds of this run: tool calls and their results, after the transcript.
    pub rounds: Vec<Round>,
    /// Whether the model may call its tools; the tools stay listed in any case.
    pub tool_use: ToolUse,
    /// What goes into the provider's container.
    pub computing: Computing,
}

/// Whether the model may call its tools.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ToolUse {
    /// The model may call them.
    #[default]
    On,
    /// The model must answer with what it has.
    Off,
}

/// A tool definition for the model.
#[derive(Clone, Debug, PartialEq)]
pub enum ToolDefinition {
    /// A tool that we execute.
    Client {
        /// The tool's name.
        name: String,
        /// What it does and when to use it.
        description: String,
        /// The JSON schema of its arguments.
        schema: serde_json::Value,
    },
    /// A tool that the provider executes, by its raw definition (`web_search_…`).
    Provider(serde_json::Value),
}

impl ToolDefinition {
    /// Returns whether it is the provider's code execution.
    #[must_use]
    pub fn is_code_execution(&self) -> bool {
        matches!(self, Self::Provider(raw) if raw["name"] == computing::TOOL)
    }

    /// Returns a skill's id at the provider, if it is one.
    #[must_use]
    pub(super) fn skill_id(&self) -> Option<String> {
        match self {
            Self::Provider(raw) => raw["skill_id"].as_str().map(ToOwned::to_owned),
            Self::Client { .. } => None,
        }
    }
}

/// A turn of a tool loop.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Round {
    /// The model's content blocks as the raw JSON it sent; they are sent back byte for byte.
    pub said: Vec<String>,
    /// The results of its calls, in the same order; empty if the provider paused its turn.
    pub results: Vec<ToolResult>,
}

/// The result of one call.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ToolResult {
    /// `tool_use_id`.
    pub call: String,
    /// The text for the model, labelled as data.
    pub text: String,
    /// Whether the call failed or was not executed.
    pub is_error: bool,
    /// What it found, in addition to the text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<Found>,
    /// Pictures in addition to the text.
    #[serde(skip)]
    pub pictures: Vec<FileContent>,
}

/// Something that a tool found, which an answer can cite.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Found {
    /// Its address: a message's permalink, or what a server calls it.
    pub source: String,
    /// What people know it by; not blank.
    pub title: String,
    /// Its text, as data; not blank.
    pub text: String,
}

impl ToolResult {
    /// Writes what it found as lines behind the text, for a provider that takes no search results.
    pub fn flatten(&mut self) {
        for found in self.found.drain(..) {
            let line = serde_json::json!({
                "untrusted_title": found.title, "source": found.source, "untrusted_result": found.text,
            });
            self.text.push('\n');
            self.text.push_str(&line.to_string());
        }
    }
}

/// A turn of the transcript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The speaker's role.
    pub role: Role,
    /// The parts in order: text and, in a user's turn, files right after the record that names them.
    pub parts: Vec<Part>,
}

/// A part of a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// JSON records for people's messages, plain text for our own answers.
    Text(String),
    /// A file that somebody sent.
    File(File),
}

/// A file for the model.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    /// Its name, cleaned.
    pub title: String,
    /// Its prepared content.
    pub content: FileContent,
    /// The message that it came with.
    pub event: Option<OwnedEventId>,
    /// Whether lines in brackets name the pages, slides, sheets and parts of its text.
    pub has_places: bool,
}

/// A file's content; shared, because a thread includes the same file repeatedly.
#[derive(Clone, PartialEq, Eq)]
pub enum FileContent {
    /// A picture.
    Image {
        /// The new format: `image/png` or `image/jpeg`.
        media_type: &'static str,
        /// The bytes in base64.
        base64: Arc<str>,
    },
    /// The parts of a long picture, in order.
    Pictures {
        /// The format of each part.
        media_type: &'static str,
        /// Their bytes in base64.
        base64: Arc<[Arc<str>]>,
    },
    /// A PDF.
    Pdf {
        /// The bytes in base64.
        base64: Arc<str>,
    },
    /// A text file.
    Text {
        /// The decoded text.
        text: Arc<str>,
    },
}

impl FileContent {
    /// Returns its media type and stored length.
    fn kind_and_length(&self) -> (&'static str, usize) {
        match self {
            Self::Image { media_type, base64 } => (media_type, base64.len()),
            Self::Pictures { media_type, base64 } => (media_type, base64.iter().map(|part| part.len()).sum()),
            Self::Pdf { base64 } => ("application/pdf", base64.len()),
            Self::Text { text } => ("text/plain", text.len()),
        }
    }
}

impl std::fmt::Debug for FileContent {
    /// Shows only the kind of file, because the content is people's.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (kind, length) = self.kind_and_length();
        write!(f, "FileContent({kind}, {length})")
    }
}

impl std::fmt::Debug for File {
    /// Shows only the kind of file, because content and name are people's.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (kind, length) = self.content.kind_and_length();
        f.debug_struct("File").field("kind", &kind).field("length", &length).finish_non_exhaustive()
    }
}

impl Turn {
    /// Returns a turn with only text.
    #[must_use]
    pub fn new(role: Role, text: impl Into<String>) -> Self {
        Self { role, parts: vec![Part::Text(text.into())] }
    }

    /// Returns its text parts, each on its own lines, without files.
    #[must_use]
    pub fn text(&self) -> String {
        let texts = self.parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::File(_) => None,
        });
        texts.collect::<Vec<_>>().join("\n")
    }

    /// Appends text, after `separator` if the last part is text.
    pub fn push_text(&mut self, separator: &str, text: &str) {
        match self.parts.last_mut() {
            Some(Part::Text(so_far)) => {
                so_far.push_str(separator);
                so_far.push_str(text);
            }
            _ => self.parts.push(Part::Text(text.to_owned())),
        }
    }
}

impl Prompt {
    /// Returns whether the model may run code.
    #[must_use]
    pub fn computes(&self) -> bool {
        self.tools.iter().any(ToolDefinition::is_code_execution)
    }

    /// Returns whether any turn has a file, or any tool result a picture or something found.
    #[must_use]
    pub fn has_files(&self) -> bool {
        let mut results = self.rounds.iter().flat_map(|round| &round.results);
        let shown = results.any(|result| !result.pictures.is_empty() || !result.found.is_empty());
        shown
            || !self.computing.uploads.is_empty()
            || self.turns.iter().flat_map(|turn| &turn.parts).any(|part| matches!(part, Part::File(_)))
    }

    /// Returns the prompt with `line` in place of each file.
    #[must_use]
    pub fn without_files(&self, line: &str) -> Self {
        let mut without = self.clone();
        without.computing.uploads.clear();
        for result in without.rounds.iter_mut().flat_map(|round| &mut round.results) {
            result.pictures.clear();
            result.flatten();
        }
        for turn in &mut without.turns {
            for part in std::mem::take(&mut turn.parts) {
                match part {
                    Part::Text(text) => turn.push_text("\n", &text),
                    Part::File(_) => turn.push_text("\n", line),
                }
            }
        }
        without
    }
}

/// The role of a turn in the Messages API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The people in the room.
    User,
    /// The coworker or assistant that answers.
    Assistant,
}

/// `output_config.effort` of the Messages API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effort {
    /// `low`
    Low,
    /// `medium`
    Medium,
    /// `high`
    High,
    /// `xhigh`
    Xhigh,
    /// `max`
    Max,
}
