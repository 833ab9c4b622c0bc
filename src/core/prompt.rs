//! What is asked of the model, before it becomes the Messages API's shapes.

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
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ToolResult {
    /// `tool_use_id`
    pub call: String,
    /// What the model is given, labelled as data.
    pub text: String,
    /// Whether the call failed or was not carried out.
    pub is_error: bool,
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
