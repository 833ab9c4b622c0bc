//! What a run leaves behind: the steps that it took, who approved them, and how each ended (C13).
//!
//! Steps with arguments and results are content: they stand in the thread and, sealed, in the journal while the run
//! goes on. The index keeps [`Tally`]s, which say no more than that a tool was used.

use ruma::{OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use super::{mask::Mask, time::Timestamp, tool::ToolName};

mod record;

pub use self::record::{Ended, outcome_of, record};

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
    /// It is on no allow-list: it did not run.
    Denied,
    /// Its arguments were no object, or could be read in two ways: it did not run.
    Unusable,
    /// There were more calls in its turn than are looked at: it did not run.
    Surplus,
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

impl Decision {
    /// Returns who decided, where somebody did.
    #[must_use]
    pub fn by(&self) -> Option<&UserId> {
        match self {
            Self::Approved { by, .. } | Self::Declined { by, .. } => Some(by),
            Self::Expired => None,
        }
    }
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

/// Stands in the index for a name that no tool can have: the model's words are content.
const NO_TOOL: &str = "(no tool)";

impl Tally {
    /// Returns what the index keeps of a step.
    #[must_use]
    pub fn of(step: &TrailStep, mask: &Mask) -> Self {
        let name = ToolName::parse(&step.tool).filter(|name| mask.hide(name.as_str()) == name.as_str());
        Self {
            tool: name.map_or_else(|| NO_TOOL.to_owned(), |name| name.as_str().to_owned()),
            outcome: step.outcome,
            decision: step.decision.clone(),
            duration_ms: step.duration_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c13_the_index_keeps_names_of_tools_and_no_other_words_of_the_model() {
        let mask = Mask::new(["sk-ant-a-secret"]);
        let kept = |tool: &str| {
            let step = TrailStep {
                tool: tool.to_owned(),
                arguments: "{\"q\":\"canary\"}".to_owned(),
                decision: None,
                outcome: StepOutcome::Denied,
                result: "canary".to_owned(),
                duration_ms: 7,
            };
            Tally::of(&step, &mask)
        };
        let expected = Tally { tool: "rm".to_owned(), outcome: StepOutcome::Denied, decision: None, duration_ms: 7 };
        assert_eq!(kept("rm"), expected);
        for words in ["what alice said in the room", "", "sk-ant-a-secret", "x\ny"] {
            assert_eq!(kept(words), Tally { tool: NO_TOOL.to_owned(), ..expected.clone() }, "{words}");
        }
    }
}
