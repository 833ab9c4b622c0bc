//! What a run used: read messages, tokens and money, over all its calls of the model.

use ruma::OwnedEventId;

use super::ask::Progress;
use crate::{
    claude,
    core::{audit::Spent, time::Timestamp},
};

/// What a run used so far, for its record and its summary.
#[derive(Default)]
pub(super) struct Used {
    pub(super) read: Vec<OwnedEventId>,
    /// When the oldest and the newest of them were sent.
    pub(super) read_span: Option<(Timestamp, Timestamp)>,
    pub(super) model: Option<String>,
    model_calls: u32,
    input_tokens: u64,
    cached_tokens: u64,
    output_tokens: u64,
    /// Of each answer, whole or not; `None` where its price is not known.
    costs_micro_usd: Vec<Option<u64>>,
}

impl Used {
    /// Adds what a question cost so far, whether or not its answer was waited for.
    pub(super) fn add(&mut self, asked: &Progress) {
        let Some(model) = &asked.model else { return };
        self.model = Some(model.clone());
        for usage in asked.broken.iter().chain([&asked.usage_so_far()]) {
            if *usage == claude::Usage::default() {
                continue;
            }
            self.model_calls = self.model_calls.saturating_add(1);
            self.input_tokens = self.input_tokens.saturating_add(usage.prompt_tokens());
            self.cached_tokens = self.cached_tokens.saturating_add(usage.cache_read_input_tokens.unwrap_or_default());
            self.output_tokens = self.output_tokens.saturating_add(usage.output_tokens.unwrap_or_default());
            self.costs_micro_usd.push(claude::cost(model, usage).map(|cost| cost.micro_usd));
        }
    }

    /// Returns the sums; there is no cost where one of the prices is not known.
    pub(super) fn spent(&self) -> Spent {
        let known: Option<Vec<u64>> = self.costs_micro_usd.iter().copied().collect();
        let cost = known.filter(|costs| !costs.is_empty());
        Spent {
            model_calls: self.model_calls,
            input_tokens: self.input_tokens,
            cached_tokens: self.cached_tokens,
            output_tokens: self.output_tokens,
            cost_micro_usd: cost.map(|costs| costs.into_iter().fold(0, u64::saturating_add)),
        }
    }
}
