//! How runs end.

use serde::{Deserialize, Serialize};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Answered.
    Done,
    /// Answered with words of ours about why there is no answer.
    Failed,
    /// Nothing could or may be said any more.
    Dropped,
    /// Stopped by a person.
    Stopped,
    /// Ended with words of the model after every write that it wanted was declined.
    Declined,
}
