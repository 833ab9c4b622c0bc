//! A room's rate breaker and words that are due once a while (rules C14, C15).

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// At which rate a room is stopped, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerLimits {
    /// Runs that may begin within the window; at least 1.
    pub runs_max: usize,
    /// The window, in milliseconds.
    pub window_ms: u64,
    /// How long the room is stopped, in milliseconds.
    pub pause_ms: u64,
}

impl Default for BreakerLimits {
    fn default() -> Self {
        Self { runs_max: 30, window_ms: 5 * 60 * 1000, pause_ms: 10 * 60 * 1000 }
    }
}

/// The breaker of one room; persisted, so that a restart does not forgive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    /// When runs began, oldest first; never more than `runs_max`.
    began: VecDeque<Timestamp>,
    /// Since when the room is stopped.
    stopped_at: Option<Timestamp>,
}

/// Whether a run may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// It may, and is counted.
    Open,
    /// It may not.
    Stopped {
        /// Whether the room must be told: true once for each time that it is stopped.
        say: bool,
        /// When it may be tried again.
        until: Timestamp,
    },
}

impl Breaker {
    /// Asks for a run to begin at `now`, and counts it.
    pub fn begin_run(&mut self, now: Timestamp, limits: &BreakerLimits) -> Gate {
        if let Some(stopped_at) = self.stopped_at {
            if is_within(stopped_at, now, limits.pause_ms) {
                return Gate::Stopped { say: false, until: later(stopped_at, limits.pause_ms) };
            }
            *self = Self::default();
        }
        self.began.retain(|began| is_within(*began, now, limits.window_ms));
        if self.began.len() < limits.runs_max.max(1) {
            self.began.push_back(now);
            return Gate::Open;
        }
        self.began.clear();
        self.stopped_at = Some(now);
        Gate::Stopped { say: true, until: later(now, limits.pause_ms) }
    }
}

/// A word that is said at most once in an interval, such as why a stranger is not answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SaidOnce(Option<Timestamp>);

/// The interval between two words to strangers in one room, in milliseconds: a day.
pub const STRANGER_WORD_INTERVAL_MS: u64 = 24 * 60 * 60 * 1000;

impl SaidOnce {
    /// Returns whether the word is due at `now`, and if so takes it as said.
    pub fn is_due(&mut self, now: Timestamp, interval_ms: u64) -> bool {
        let due = self.0.is_none_or(|said| !is_within(said, now, interval_ms));
        if due {
            self.0 = Some(now);
        }
        due
    }
}

/// Whether less than `span_ms` lie between `since` and `now`. A clock that was set back by more than the span
/// ends the wait instead of prolonging it.
fn is_within(since: Timestamp, now: Timestamp, span_ms: u64) -> bool {
    now.ms_since(since) < span_ms && since.ms_since(now) < span_ms
}

fn later(at: Timestamp, ms: u64) -> Timestamp {
    Timestamp::from_ms(at.as_ms().saturating_add(i64::try_from(ms).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests;
