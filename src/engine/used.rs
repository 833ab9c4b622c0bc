//! What a question to the model cost, from what the provider told of it.

use super::progress::Progress;
use crate::{
    claude,
    core::{
        audit::counted,
        budget::outlay::Cost,
        run::{Answered, Bill, Used},
    },
};

/// Returns a question's cost so far, as budgets count it.
pub(super) fn cost_of(asked: &Progress) -> Cost {
    let mut used = Used::default();
    if let Some(bill) = bill_of(asked) {
        used.add(&bill);
    }
    let spent = used.spent();
    // If nothing was told, nothing is counted that would need a price.
    let priced = spent.cost_micro_usd.is_some() || spent.model_calls == 0;
    Cost { amount: counted(&spent), model: used.model.clone(), priced }
}

/// Returns what a question cost so far, whether or not its answer was waited for; `None` where nobody was asked.
pub(super) fn bill_of(asked: &Progress) -> Option<Bill> {
    let model = asked.model.clone()?;
    let told = [asked.usage_so_far()];
    let usages = asked.broken.iter().chain(&told).filter(|usage| **usage != claude::Usage::default());
    let mut answers: Vec<Answered> = usages
        .map(|usage| Answered {
            input_tokens: usage.prompt_tokens(),
            cached_tokens: usage.cache_read_input_tokens.unwrap_or_default(),
            output_tokens: usage.output_tokens.unwrap_or_default(),
            cost_micro_usd: claude::cost(&model, usage).map(|cost| cost.micro_usd),
        })
        .collect();
    if asked.unbilled
        && let Some(last) = answers.last_mut()
    {
        last.cost_micro_usd = Some(0);
    }
    Some(Bill { model, refused: asked.refused.clone(), answers })
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
        let bill = |asked: &Progress| bill_of(asked).expect("it was asked");
        assert_eq!(bill_of(&Progress::default()), None, "nothing was asked");
        used.add(&bill(&first));
        let once = used.spent().cost_micro_usd.expect("the model's price is known");
        used.add(&bill(&second));

        assert_eq!((used.spent().input_tokens, used.spent().output_tokens), (4_000, 40));
        assert_eq!(used.spent().cost_micro_usd, Some(once * 4));
        used.add(&bill(&Progress { complete: true, unbilled: true, ..asked("claude-opus-5-5", 9_000, 0) }));
        assert_eq!(used.spent().cost_micro_usd, Some(once * 4), "a refusal before any word is not charged for");
        used.add(&bill(&asked("a model without a price", 1, 1)));
        assert_eq!(used.spent().cost_micro_usd, None, "a part of it is not known");
    }
}
