//! A run's trail: its steps, who approved them, and how each ended (C13).
//!
//! Steps with arguments and results are content. They appear in the thread and, sealed, in the journal while the run
//! goes on. The index keeps only [`Tally`]s, which say that a tool was used.

use ruma::{OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use super::{
    mask::Mask,
    time::Timestamp,
    tool::{Denied, ToolName},
};

/// A tool call of a run, with content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrailStep {
    /// The tool's name as the model wrote it, cleaned.
    pub tool: String,
    /// Its arguments as people see them: masked, with long values folded.
    pub arguments: String,
    /// What people decided, if they were asked.
    pub decision: Option<Decision>,
    /// How the call ended.
    pub outcome: StepOutcome,
    /// The beginning of its result as people see it: masked and folded.
    pub result: String,
    /// How long it took, in milliseconds, not counting the wait for people.
    pub duration_ms: u64,
}

/// How a tool call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepOutcome {
    /// It returned a result.
    Done,
    /// It ran and failed.
    Failed,
    /// It did not run: no allow-list has the tool.
    Denied,
    /// It did not run: its arguments were not an object, or were ambiguous.
    Unusable,
    /// It did not run: its turn had too many calls.
    Surplus,
    /// It did not run: people declined it.
    Declined,
    /// It did not run: nobody decided in time.
    Expired,
    /// The run was stopped.
    Stopped,
    /// The process ended while it ran; it may have taken effect.
    Unknown,
}

impl From<Denied> for StepOutcome {
    /// Returns the outcome of a call that is denied for this reason.
    fn from(why: Denied) -> Self {
        match why {
            Denied::NotGranted | Denied::Changed => Self::Denied,
            Denied::NotAnObject | Denied::Unclear => Self::Unusable,
        }
    }
}

/// What people decided about a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It may run once, as shown.
    Approved {
        /// Who approved it.
        by: OwnedUserId,
        /// When they did.
        at: Timestamp,
    },
    /// It may not run.
    Declined {
        /// Who declined it.
        by: OwnedUserId,
        /// When they did.
        at: Timestamp,
    },
    /// It may not run, because whoever asked has left the room.
    Left {
        /// Who asked, and left.
        by: OwnedUserId,
        /// When that was heard.
        at: Timestamp,
    },
    /// Nobody decided in time.
    Expired,
}

impl Decision {
    /// Returns who decided, if somebody did.
    #[must_use]
    pub fn by(&self) -> Option<&UserId> {
        match self {
            Self::Approved { by, .. } | Self::Declined { by, .. } | Self::Left { by, .. } => Some(by),
            Self::Expired => None,
        }
    }
}

/// What the index keeps of a call; no content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// The tool's name; `(no tool)` if the model's word for it names none.
    pub tool: String,
    /// How the call ended.
    pub outcome: StepOutcome,
    /// What people decided, if they were asked.
    #[serde(default)]
    pub decision: Option<Decision>,
    /// How long it took, in milliseconds, not counting the wait for people.
    #[serde(default)]
    pub duration_ms: u64,
}

/// Replaces a name that no tool can have: the model's words are content.
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
