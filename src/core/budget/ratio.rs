//! The ratio of a model's tokens to our estimate, learnt from reported usage for each model.

/// Bounds of the ratio in thousandths: half to three times the estimate.
const BOUNDS: (u64, u64) = (500, 3_000);
/// Smaller prompts are not learnt from, because their fixed overhead weighs too much.
const TOKENS_MIN: u64 = 1_000;
/// How many answers weigh as much as the previous ratio.
const INERTIA: u64 = 4;
/// Models with the old tokenizer; those since Opus 4.7 count about 30 % more tokens.
const OLD: [&str; 5] =
    ["claude-opus-4-6", "claude-sonnet-4-6", "claude-haiku-4-5", "claude-opus-4-5", "claude-sonnet-4-5"];

/// A model's tokens for a thousand estimated ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ratio(u64);

impl Ratio {
    /// Returns the assumed ratio of a model that has not reported usage yet.
    #[must_use]
    pub(crate) fn of(model: &str) -> Self {
        Self(if OLD.iter().any(|old| model.starts_with(old)) { 1_000 } else { 1_300 })
    }

    /// Learns from a prompt's estimated and reported tokens.
    pub(crate) fn learn(&mut self, estimated: u64, told: u64) {
        if estimated < TOKENS_MIN || told == 0 {
            return;
        }
        let seen = (told.saturating_mul(1_000) / estimated).clamp(BOUNDS.0, BOUNDS.1);
        self.0 = (self.0 * (INERTIA - 1) + seen) / INERTIA;
    }

    /// Converts estimated tokens to the model's, rounding up.
    #[must_use]
    pub(crate) fn apply(self, estimated: u64) -> u64 {
        estimated.saturating_mul(self.0).div_ceil(1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c23_what_a_model_counts_is_learnt_within_bounds() {
        assert_eq!(
            (Ratio::of("claude-opus-5-5").apply(1_000), Ratio::of("claude-haiku-4-5-20251001").apply(999)),
            (1_300, 999)
        );
        let mut ratio = Ratio::of("claude-opus-5-5");
        ratio.learn(999, 9_990);
        assert_eq!(ratio, Ratio::of("claude-opus-5-5"), "too short to say anything");
        for _ in 0..30 {
            ratio.learn(10_000, 15_000);
        }
        assert!((1_495..=1_500).contains(&ratio.apply(1_000)), "{ratio:?}");
        for (told, bound) in [(1, 500), (u64::MAX, 3_000)] {
            (0..60).for_each(|_| ratio.learn(10_000, told));
            assert!(ratio.apply(1_000).abs_diff(bound) <= 4, "{ratio:?}");
        }
        assert_eq!(Ratio::of("x").apply(u64::MAX), u64::MAX / 1_000 + 1);
    }
}
