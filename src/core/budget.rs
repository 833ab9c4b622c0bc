//! What a coworker may cost in a month (C19): counted in code, declined before work begins.

use super::{audit::Spent, time::Timestamp};

/// What a token of the prompt, and one of the answer, counts as where the model's price is not known, in millionths of
/// a US dollar: more than any price there is.
const UNKNOWN_PRICE_MICRO_USD: (u64, u64) = (30, 150);
/// Millionths in a US dollar.
const MICRO: u64 = 1_000_000;

/// Returns the month that `now` lies in, in UTC: `2026-11`.
#[must_use]
pub fn month_of(now: Timestamp) -> String {
    let at = jiff::Timestamp::from_millisecond(now.as_ms()).unwrap_or_default();
    at.strftime("%Y-%m").to_string()
}

/// Returns what a run counts as, in millionths of a US dollar.
#[must_use]
pub fn counted_micro_usd(spent: &Spent) -> u64 {
    let (input, output) = UNKNOWN_PRICE_MICRO_USD;
    let dearest = spent.input_tokens.saturating_mul(input).saturating_add(spent.output_tokens.saturating_mul(output));
    spent.cost_micro_usd.unwrap_or(dearest)
}

/// Whether a month's budget, in US dollars, is used up.
#[must_use]
pub fn is_used_up(budget_usd: u32, spent_micro_usd: u64) -> bool {
    spent_micro_usd >= u64::from(budget_usd) * MICRO
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(cost_micro_usd: Option<u64>) -> Spent {
        Spent { model_calls: 1, input_tokens: 1_000, cached_tokens: 0, output_tokens: 10, cost_micro_usd }
    }

    #[test]
    fn c19_a_budget_is_used_up_when_it_is_reached_and_not_before() {
        for (micro_usd, used_up) in [(0, false), (1_999_999, false), (2_000_000, true), (u64::MAX, true)] {
            assert_eq!(is_used_up(2, micro_usd), used_up, "{micro_usd}");
        }
    }

    #[test]
    fn c19_what_has_no_known_price_counts_as_the_dearest() {
        assert_eq!(counted_micro_usd(&spent(Some(7))), 7);
        assert_eq!(counted_micro_usd(&spent(None)), 31_500);
        assert_eq!(counted_micro_usd(&Spent { input_tokens: u64::MAX, ..spent(None) }), u64::MAX);
    }

    #[test]
    fn c19_months_begin_in_utc() {
        let months = [1_793_491_199_999, 1_793_491_200_000].map(|ms| month_of(Timestamp::from_ms(ms)));
        assert_eq!(months, ["2026-10", "2026-11"]);
    }
}
