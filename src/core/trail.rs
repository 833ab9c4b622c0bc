//! What a run leaves behind: the steps that it took, who approved them, and how each ended (C13).
//!
//! Steps with arguments and results are content: they stand in the thread and, sealed, in the journal while the run
//! goes on. The index keeps [`Tally`]s, which say no more than that a tool was used.

use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// One tool call of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrailStep {
    /// The tool's name as the model gave it, cleaned.
    pub tool: String,
    /// Its arguments as shown to people: masked, long values folded.
    pub arguments: String,
    /// Who decided about it, where somebody was asked.
    pub decision: Option<Decision>,
    /// How it ended.
    pub outcome: StepOutcome,
    /// The beginning of its result as shown to people: masked, folded.
    pub result: String,
    /// How long it took, in milliseconds, without the time that people took.
    pub duration_ms: u64,
}

/// How a tool call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepOutcome {
    /// It gave a result.
    Done,
    /// It failed.
    Failed,
    /// It is on no allow-list, or its arguments were no object: it did not run.
    Denied,
    /// Those who were asked declined: it did not run.
    Declined,
    /// Nobody answered in time: it did not run.
    Expired,
    /// The run was stopped.
    Stopped,
    /// The process ended while it ran; whether it took effect is not known.
    Unknown,
}

/// What people decided about a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It may run, once, as shown.
    Approved {
        /// By whom.
        by: OwnedUserId,
        /// When.
        at: Timestamp,
    },
    /// It may not.
    Declined {
        /// By whom.
        by: OwnedUserId,
        /// When.
        at: Timestamp,
    },
    /// Nobody said anything in time.
    Expired,
}

/// What the index keeps of a call: no content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// The tool.
    pub tool: String,
    /// How it ended.
    pub outcome: StepOutcome,
    /// Who decided about it.
    #[serde(default)]
    pub decision: Option<Decision>,
    /// How long it took, in milliseconds.
    #[serde(default)]
    pub duration_ms: u64,
}

impl From<&TrailStep> for Tally {
    fn from(step: &TrailStep) -> Self {
        Self {
            tool: step.tool.clone(),
            outcome: step.outcome,
            decision: step.decision.clone(),
            duration_ms: step.duration_ms,
        }
    }
}
