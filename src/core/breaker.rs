//! Rate breakers by person and by room, and words that are due once a while (rules C14, C15, C23).
//!
//! Every gesture that makes the model work counts as the person's who made it: a request, a follow-up, an edit that
//! restarts, 🔁, a message to one's assistant. A person who is stopped is stopped alone: the room counts nothing of
//! what they try then.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// Runs that one person may begin within the window, unless config says otherwise.
pub const PERSON_RUNS_MAX: usize = 30;
/// Runs that may begin in one room within the window, unless config says otherwise: three people's.
pub const ROOM_RUNS_MAX: usize = 90;
/// The window, in milliseconds.
pub const WINDOW_MS: u64 = 5 * 60 * 1000;
/// How long a person or a room is stopped, in milliseconds.
pub const PAUSE_MS: u64 = 10 * 60 * 1000;

/// Who is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// One person, in all rooms.
    Person,
    /// One room, for everybody.
    Room,
}

/// At which rate a person or a room is stopped, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerLimits {
    /// Whose breaker it is.
    pub whose: Whose,
    /// Runs that may begin within the window; at least 1.
    pub runs_max: usize,
    /// The window, in milliseconds.
    pub window_ms: u64,
    /// How long the person or the room is stopped, in milliseconds.
    pub pause_ms: u64,
}

impl BreakerLimits {
    /// Returns the limits of a person or a room with this many runs in the window.
    #[must_use]
    pub const fn of(whose: Whose, runs_max: usize) -> Self {
        Self { whose, runs_max, window_ms: WINDOW_MS, pause_ms: PAUSE_MS }
    }
}

/// The limits of people and of rooms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Of each person.
    pub person: BreakerLimits,
    /// Of each room.
    pub room: BreakerLimits,
}

/// The breaker of one person or room; persisted, so that a restart does not forgive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    /// When runs began, oldest first; never more than `runs_max`.
    began: VecDeque<Timestamp>,
    /// Since when it is stopped.
    stopped_at: Option<Timestamp>,
}

/// Whether a run may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// It may, and is counted.
    Open,
    /// It may not.
    Stopped {
        /// Who is stopped.
        whose: Whose,
        /// Whether they must be told: true once for each time that they are stopped.
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

    /// Takes the last run back, which did not begin after all.
    fn take_back(&mut self) {
        self.began.pop_back();
    }
}

impl BreakerLimits {
    fn stopped(&self, say: bool, at: Timestamp) -> Gate {
        Gate::Stopped { whose: self.whose, say, until: later(at, self.pause_ms) }
    }
}

/// Asks for a run of a person to begin, in a room or in the chat with their assistant, and counts it for both.
pub fn begin_run(person: &mut Breaker, room: Option<&mut Breaker>, now: Timestamp, rates: &Rates) -> Gate {
    let gate = person.begin_run(now, &rates.person);
    let (Gate::Open, Some(room)) = (gate, room) else { return gate };
    let gate = room.begin_run(now, &rates.room);
    if gate != Gate::Open {
        person.take_back();
    }
    gate
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
