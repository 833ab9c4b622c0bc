//! What a run used: read messages, tokens and money, over all its calls of the model.

use ruma::OwnedEventId;

use super::ask::Progress;
use crate::{
    claude,
    core::{
        audit::Spent,
        budget::{Usd, counted},
        run::Fault,
        time::Timestamp,
    },
};

/// Returns a question's cost so far, as budgets count it.
pub(super) fn cost_of(asked: &Progress) -> Usd {
    let mut used = Used::default();
    used.add(asked);
    counted(&used.spent())
}

/// What a run used so far, for its record and its summary.
#[derive(Default)]
pub(super) struct Used {
    pub(super) read: Vec<OwnedEventId>,
    /// When the oldest and the newest of them were sent.
    pub(super) read_span: Option<(Timestamp, Timestamp)>,
    pub(super) model: Option<String>,
    /// Why there was no answer.
    pub(super) fault: Option<Fault>,
    model_calls: u32,
    input_tokens: u64,
    cached_tokens: u64,
    output_tokens: u64,
    /// The category under which the provider refused, the last time that it did.
    pub(super) refused: Option<String>,
    /// Of each answer, whole or not; `None` where its price is not known.
    costs_micro_usd: Vec<Option<u64>>,
}

impl Used {
    /// Adds what a question cost so far, whether or not its answer was waited for.
    pub(super) fn add(&mut self, asked: &Progress) {
        let Some(model) = &asked.model else { return };
        self.model = Some(model.clone());
        self.refused = asked.refused.clone().or(self.refused.take());
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
        if asked.unbilled
            && let Some(last) = self.costs_micro_usd.last_mut()
        {
            *last = Some(0);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(model: &str, input_tokens: u64, output_tokens: u64) -> Progress {
        let usage = claude::Usage {
            input_tokens: Some(input_tokens),
            output_tokens: Some(output_tokens),
            ..claude::Usage::default()
        };
        Progress { model: Some(model.to_owned()), usage, ..Progress::default() }
    }

    #[test]
    fn c10_a_run_counts_every_question_that_it_asked_also_those_that_were_cut_short() {
        let first = asked("claude-opus-5-5", 1_000, 10);
        let second = Progress { broken: vec![first.usage.clone()], ..asked("claude-opus-5-5", 2_000, 20) };
        let mut used = Used::default();
        used.add(&Progress::default());
        assert_eq!((used.spent().cost_micro_usd, used.model.clone()), (None, None), "nothing was asked");
        used.add(&first);
        let once = used.spent().cost_micro_usd.expect("the model's price is known");
        used.add(&second);

        assert_eq!((used.input_tokens, used.output_tokens), (4_000, 40));
        assert_eq!(used.spent().cost_micro_usd, Some(once * 4));
        used.add(&Progress { complete: true, unbilled: true, ..asked("claude-opus-5-5", 9_000, 0) });
        assert_eq!(used.spent().cost_micro_usd, Some(once * 4), "a refusal before any word is not charged for");
        used.add(&asked("a model without a price", 1, 1));
        assert_eq!(used.spent().cost_micro_usd, None, "a part of it is not known");
    }
}
