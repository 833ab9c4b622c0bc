//! What is asked of the model, before it becomes the Messages API's shapes.

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
    /// Its text: JSON records for people's messages, plain text for our own answers.
    pub text: String,
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
