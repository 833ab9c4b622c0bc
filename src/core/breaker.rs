//! Rate breakers for people and rooms, and notices that are said once in an interval (rules C14, C15, C23).
//!
//! Each gesture that makes the model work counts for the person who made it: a request, a follow-up, an edit that
//! restarts, 🔁, a message to an assistant. While a person is stopped, their attempts do not count for the room.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// The default of how many runs a person may start within the window.
pub(crate) const PERSON_RUNS_MAX: usize = 30;
/// The default of how many runs may start in a room within the window; three people's worth.
pub(crate) const ROOM_RUNS_MAX: usize = 90;
/// The window, in milliseconds.
pub(crate) const WINDOW_MS: u64 = 5 * 60 * 1000;
/// How long a person or a room is stopped, in milliseconds.
pub(crate) const PAUSE_MS: u64 = 10 * 60 * 1000;

/// Whose breaker is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// A person's, across all rooms.
    Person,
    /// A room's, for everybody in it.
    Room,
}

/// The rate at which a breaker trips, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerLimits {
    /// Whether it limits a person or a room.
    pub whose: Whose,
    /// Runs that may start within the window; at least 1.
    pub runs_max: usize,
    /// The window, in milliseconds.
    pub window_ms: u64,
    /// How long a tripped breaker stops runs, in milliseconds.
    pub pause_ms: u64,
}

impl BreakerLimits {
    /// Returns limits with this many runs and the default window and pause.
    #[must_use]
    pub const fn of(whose: Whose, runs_max: usize) -> Self {
        Self { whose, runs_max, window_ms: WINDOW_MS, pause_ms: PAUSE_MS }
    }
}

/// The limits for people and for rooms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// For each person.
    pub person: BreakerLimits,
    /// For each room.
    pub room: BreakerLimits,
}

/// The breaker of a person or a room. It is stored, so that a restart does not reset it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Breaker {
    /// When runs started, oldest first; never more than `runs_max`.
    began: VecDeque<Timestamp>,
    /// When it tripped, if it is tripped.
    stopped_at: Option<Timestamp>,
}

/// A breaker's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// The run may start, and was counted.
    Open,
    /// The run may not start.
    Stopped {
        /// Whether the person or the room is stopped.
        whose: Whose,
        /// Whether to tell them; true once each time it trips.
        say: bool,
        /// When runs may start again.
        until: Timestamp,
    },
}

impl Breaker {
    /// Asks to start a run at `now`; counts it if it may.
    pub(crate) fn begin_run(&mut self, now: Timestamp, limits: &BreakerLimits) -> Gate {
        if let Some(stopped_at) = self.stopped_at {
            if is_within(stopped_at, now, limits.pause_ms) {
                return limits.stopped(false, stopped_at);
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
        limits.stopped(true, now)
    }

    /// Returns whether nothing that it counted matters any more.
    #[must_use]
    pub(crate) fn is_idle(&self, now: Timestamp, limits: &BreakerLimits) -> bool {
        self.stopped_at.is_none_or(|at| !is_within(at, now, limits.pause_ms))
            && !self.began.iter().any(|began| is_within(*began, now, limits.window_ms))
    }

    /// Takes back the last count, because the run did not start after all.
    fn take_back(&mut self) {
        self.began.pop_back();
    }
}

impl BreakerLimits {
    fn stopped(&self, say: bool, at: Timestamp) -> Gate {
        Gate::Stopped { whose: self.whose, say, until: at.later(self.pause_ms) }
    }
}

/// Asks to start a person's run, in a room or in their assistant's chat; counts it for both, or for neither.
pub(crate) fn begin_run(person: &mut Breaker, room: Option<&mut Breaker>, now: Timestamp, rates: &Rates) -> Gate {
    let gate = person.begin_run(now, &rates.person);
    let (Gate::Open, Some(room)) = (gate, room) else { return gate };
    let gate = room.begin_run(now, &rates.room);
    if gate != Gate::Open {
        person.take_back();
    }
    gate
}

/// A notice that is said at most once in an interval, such as why a stranger gets no answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct SaidOnce(Option<Timestamp>);

/// The interval between two notices to strangers in a room, in milliseconds: a day.
pub(crate) const STRANGER_WORD_INTERVAL_MS: u64 = 24 * 60 * 60 * 1000;

impl SaidOnce {
    /// Returns whether the notice is due at `now`, and records it as said if so.
    pub(crate) fn is_due(&mut self, now: Timestamp, interval_ms: u64) -> bool {
        let due = self.0.is_none_or(|said| !is_within(said, now, interval_ms));
        if due {
            self.0 = Some(now);
        }
        due
    }
}

/// Returns whether less than `span_ms` has passed from `since` to `now`. A clock set back by more than the span ends
/// the wait instead of prolonging it.
fn is_within(since: Timestamp, now: Timestamp, span_ms: u64) -> bool {
    now.ms_since(since) < span_ms && since.ms_since(now) < span_ms
}

#[cfg(test)]
mod tests;
