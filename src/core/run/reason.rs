//! Why a run failed, for operators: a short name that stays, for lists and filters.

use super::Fault;

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
