//! What is asked of the model, before it becomes the Messages API's shapes.

use std::sync::Arc;

/// A prompt laid out for caching: what changes least comes first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prompt {
    /// The tools, by name; the same in every call of a run.
    pub tools: Vec<ToolDefinition>,
    /// System blocks, most stable first; a cache breakpoint goes after each.
    pub system: Vec<String>,
    /// The transcript, oldest first. It begins and ends with a user's turn, and turns alternate.
    pub turns: Vec<Turn>,
    /// What the model did since, in this run: tool calls and their results, behind the transcript.
    pub rounds: Vec<Round>,
    /// Whether the model may call its tools; the tools themselves stay the same.
    pub tool_use: ToolUse,
}

/// Whether the model may call its tools.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ToolUse {
    /// As it sees fit.
    #[default]
    On,
    /// Not any more: it is to answer with what it has.
    Off,
}

/// A tool as the model is told of it.
#[derive(Clone, Debug, PartialEq)]
pub enum ToolDefinition {
    /// One that we carry out.
    Client {
        /// Its name.
        name: String,
        /// What it does and when to use it.
        description: String,
        /// The JSON schema of its arguments.
        schema: serde_json::Value,
    },
    /// One that the provider carries out: its raw definition (`web_search_…`).
    Provider(serde_json::Value),
}

/// One turn of a tool loop.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Round {
    /// The model's content blocks, each as the raw JSON that it sent: they are echoed byte for byte.
    pub said: Vec<String>,
    /// The results of its calls, in the order of the calls; none where the provider paused its turn.
    pub results: Vec<ToolResult>,
}

/// The result of one call.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ToolResult {
    /// `tool_use_id`
    pub call: String,
    /// What the model is given, labelled as data.
    pub text: String,
    /// Whether the call failed or was not carried out.
    pub is_error: bool,
    /// Pictures beside the text.
    #[serde(skip)]
    pub pictures: Vec<FileContent>,
}

/// One turn of the transcript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Who speaks.
    pub role: Role,
    /// What is said, in order: text, and in a user's turn files right behind the record that names them.
    pub parts: Vec<Part>,
}

/// A piece of a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// JSON records for people's messages, plain text for our own answers.
    Text(String),
    /// A file that was sent.
    File(File),
}

/// A file as the model gets it.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    /// Its cleaned name.
    pub title: String,
    /// What is in it.
    pub content: FileContent,
}

/// The content of a file; shared, because a thread gives the same one again and again.
#[derive(Clone, PartialEq, Eq)]
pub enum FileContent {
    /// A picture.
    Image {
        /// `image/png` or `image/jpeg`: what it was made into.
        media_type: &'static str,
        /// Its bytes in base64.
        base64: Arc<str>,
    },
    /// A long picture in parts, in order.
    Pictures {
        /// What each was made into.
        media_type: &'static str,
        /// Their bytes in base64.
        base64: Arc<[Arc<str>]>,
    },
    /// A PDF.
    Pdf {
        /// Its bytes in base64.
        base64: Arc<str>,
    },
    /// A text file.
    Text {
        /// Its text.
        text: Arc<str>,
    },
}

impl FileContent {
    /// Returns its media type, and its length as it is held.
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
    /// A file's content is people's: only what kind it is of is shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (kind, length) = self.kind_and_length();
        write!(f, "FileContent({kind}, {length})")
    }
}

impl std::fmt::Debug for File {
    /// A file's content and name are people's: only what kind it is of is shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (kind, length) = self.content.kind_and_length();
        f.debug_struct("File").field("kind", &kind).field("length", &length).finish_non_exhaustive()
    }
}

impl Turn {
    /// Returns a turn of text alone.
    #[must_use]
    pub fn new(role: Role, text: impl Into<String>) -> Self {
        Self { role, parts: vec![Part::Text(text.into())] }
    }

    /// Returns its text, without its files, a line each.
    #[must_use]
    pub fn text(&self) -> String {
        let texts = self.parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::File(_) => None,
        });
        texts.collect::<Vec<_>>().join("\n")
    }

    /// Adds text to it, behind `separator` where text stands last.
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
    /// Returns whether any turn holds a file, or a tool's result a picture.
    #[must_use]
    pub fn has_files(&self) -> bool {
        let shown = self.rounds.iter().flat_map(|round| &round.results).any(|result| !result.pictures.is_empty());
        shown || self.turns.iter().flat_map(|turn| &turn.parts).any(|part| matches!(part, Part::File(_)))
    }

    /// Returns the prompt with a line in the place of each file.
    #[must_use]
    pub fn without_files(&self, line: &str) -> Self {
        let mut without = self.clone();
        for result in without.rounds.iter_mut().flat_map(|round| &mut round.results) {
            result.pictures.clear();
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
    /// The room's people.
    User,
    /// The coworker or assistant that is asked.
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
