//! What is asked of the model, before it becomes the Messages API's shapes.

use std::sync::Arc;

/// A prompt laid out for caching: what changes least comes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// System blocks, most stable first; a cache breakpoint goes after each.
    pub system: Vec<String>,
    /// The transcript, oldest first. It begins and ends with a user's turn, and turns alternate.
    pub turns: Vec<Turn>,
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

impl std::fmt::Debug for File {
    /// A file's content and name are people's: only what kind it is of is shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (kind, length) = match &self.content {
            FileContent::Image { media_type, base64 } => (*media_type, base64.len()),
            FileContent::Pdf { base64 } => ("application/pdf", base64.len()),
            FileContent::Text { text } => ("text/plain", text.len()),
        };
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
    /// Returns whether any turn holds a file.
    #[must_use]
    pub fn has_files(&self) -> bool {
        self.turns.iter().flat_map(|turn| &turn.parts).any(|part| matches!(part, Part::File(_)))
    }

    /// Returns the prompt with a line in the place of each file.
    #[must_use]
    pub fn without_files(&self, line: &str) -> Self {
        let mut without = self.clone();
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
