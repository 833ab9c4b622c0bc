//! Samples, and how they are printed.

use std::fmt;

use tokio::time::Duration;

/// One contender's times.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    pub(crate) fn push(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    #[allow(dead_code, reason = "some benches use it")]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn median_ms(&self) -> f64 {
        self.percentile_ms(50)
    }

    /// Returns the given percentile in milliseconds (nearest rank).
    pub(crate) fn percentile_ms(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).map_or(f64::NAN, |sample| sample.as_secs_f64() * 1000.0)
    }
}

impl fmt::Display for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (median, p95) = (self.median_ms(), self.percentile_ms(95));
        write!(f, "median {median:6.1} ms   p95 {p95:6.1} ms   n {}", self.0.len())
    }
}

/// Returns whether the goal was met, as a word.
pub(crate) fn verdict(reached: f64, goal: f64) -> &'static str {
    if reached <= goal { "reached" } else { "missed" }
}
