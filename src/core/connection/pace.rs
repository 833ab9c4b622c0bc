//! How fast one connection may call.

use std::collections::VecDeque;

use crate::core::time::Timestamp;

/// Reads of one connection in a minute.
pub(crate) const READS_PER_MINUTE_MAX: usize = 120;
/// Calls of any kind of one connection in a minute.
pub(crate) const CALLS_PER_MINUTE_MAX: usize = 300;
/// The span in which they are counted, in milliseconds.
const WINDOW_MS: u64 = 60_000;

/// The recent calls of one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pace(VecDeque<Timestamp>);

impl Pace {
    /// Counts a call at `now`.
    ///
    /// # Errors
    /// If `most` were counted in the last minute: the seconds until one more is free. The call is not counted then.
    pub(crate) fn count(&mut self, now: Timestamp, most: usize) -> Result<(), u64> {
        self.0.retain(|at| now.ms_since(*at) < WINDOW_MS && *at <= now);
        if self.0.len() >= most {
            let oldest = self.0.front().copied().unwrap_or(now);
            return Err(WINDOW_MS.saturating_sub(now.ms_since(oldest)).div_ceil(1_000).max(1));
        }
        self.0.push_back(now);
        Ok(())
    }

    /// Returns whether nothing is counted any more, so that it can be forgotten.
    #[must_use]
    pub(crate) fn is_idle(&self, now: Timestamp) -> bool {
        self.0.back().is_none_or(|at| now.ms_since(*at) >= WINDOW_MS)
    }
}
