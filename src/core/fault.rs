//! Why the model gave no answer, or stopped, and the short name that operators filter by.

use super::{budget::Full, media::Unread};

/// Why the model gave no answer, as far as people are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Busy or rate limited, retries spent.
    Overloaded,
    /// The provider takes no more requests for this many minutes.
    LimitedFor(u64),
    /// The model does not exist, or not any more.
    ModelMissing,
    /// Not reachable.
    Unreachable,
    /// The answer broke off, also when asked again.
    BrokenOff,
    /// No key is configured.
    KeyMissing,
    /// The key was refused.
    KeyRefused,
    /// The account cannot pay.
    AccountExhausted,
    /// The prompt is too long.
    TooLong,
    /// The request was refused as wrong.
    RequestRefused,
    /// The request is a file that cannot be read, and says nothing besides.
    Unreadable(Unread),
    /// A budget has no room for it.
    OverBudget(Full),
    /// It took all that one request may take.
    WorkTooLong,
    /// Tools failed again and again.
    ToolsFailed,
    /// The model reached its limit while it wrote down what to do.
    CallCut,
    /// Crashes cut it off again and again.
    CutOff,
    /// Something of ours went wrong.
    Internal,
}

/// Why the model stopped, where it gave an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It had finished.
    End,
    /// It reached the limit on its output.
    Cut,
    /// The provider's own tools did not come to an end.
    Unfinished,
    /// It declined; its words are dropped.
    Refused,
}

impl Fault {
    /// Returns its short fixed name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Overloaded => "overloaded",
            Self::Unreachable => "unreachable",
            Self::BrokenOff => "broken_off",
            Self::KeyMissing => "key_missing",
            Self::KeyRefused => "key_refused",
            Self::AccountExhausted => "account_exhausted",
            Self::ModelMissing => "model_missing",
            Self::LimitedFor(_) => "rate_limited",
            Self::TooLong => "too_long",
            Self::RequestRefused => "request_refused",
            Self::Unreadable(_) => "unreadable",
            Self::OverBudget(_) => "over_budget",
            Self::WorkTooLong => "work_too_long",
            Self::ToolsFailed => "tools_failed",
            Self::CallCut => "call_cut",
            Self::CutOff => "cut_off",
            Self::Internal => "internal",
        }
    }
}
