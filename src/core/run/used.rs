//! What a run used: read messages, tokens and money, over all its calls of the model.

use ruma::OwnedEventId;
use serde::{Deserialize, Serialize};

use super::Fault;
use crate::core::{audit::Spent, time::Timestamp};

/// What one question to the model cost, whether or not its answer was waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bill {
    /// The model that answered.
    pub model: String,
    /// The category under which the provider refused.
    pub refused: Option<String>,
    /// Each answer, whole or not.
    pub answers: Vec<Answered>,
}

/// What one answer used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answered {
    /// Prompt tokens, cached ones included.
    pub input_tokens: u64,
    /// Prompt tokens that the provider had cached.
    pub cached_tokens: u64,
    /// Answer tokens, thinking included.
    pub output_tokens: u64,
    /// What it cost, in millionths of a US dollar; `None` where its price is not known.
    pub cost_micro_usd: Option<u64>,
}

/// What a run used so far, for its record and its summary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Used {
    /// The messages whose text the model read.
    pub read: Vec<OwnedEventId>,
    /// When the oldest and the newest of them were sent.
    pub read_span: Option<(Timestamp, Timestamp)>,
    /// The model that answered last.
    pub model: Option<String>,
    /// Why there was no answer.
    #[serde(skip)]
    pub fault: Option<Fault>,
    /// The category under which the provider refused, the last time that it did.
    pub refused: Option<String>,
    /// How much is left out of later requests, because the provider refused it.
    pub left_out: u32,
    answers: Vec<Answered>,
}

impl Used {
    /// Adds what a question cost.
    pub(crate) fn add(&mut self, bill: &Bill) {
        self.model = Some(bill.model.clone());
        self.refused = bill.refused.clone().or(self.refused.take());
        self.answers.extend(&bill.answers);
    }

    /// Returns the sums; there is no cost where one of the prices is not known.
    #[must_use]
    pub(crate) fn spent(&self) -> Spent {
        let sum = |tokens: fn(&Answered) -> u64| self.answers.iter().map(tokens).fold(0, u64::saturating_add);
        let known: Option<Vec<u64>> = self.answers.iter().map(|answer| answer.cost_micro_usd).collect();
        let cost = known.filter(|costs| !costs.is_empty());
        Spent {
            model_calls: u32::try_from(self.answers.len()).unwrap_or(u32::MAX),
            input_tokens: sum(|answer| answer.input_tokens),
            cached_tokens: sum(|answer| answer.cached_tokens),
            output_tokens: sum(|answer| answer.output_tokens),
            cost_micro_usd: cost.map(|costs| costs.into_iter().fold(0, u64::saturating_add)),
        }
    }
}
