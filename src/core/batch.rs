//! Work that may wait, at half price (C20): the first question of such a run goes as a batch of its own, and counts half.
//!
//! A schedule with `latency: batch` begins at its time, as any other: that is when the room is read. Its answer is due so
//! many hours later at the latest. [`FALLBACK_MS`] before that the batch is given up: it is cancelled, and if it does not
//! end with an answer nevertheless, the question is asked in a normal call. What follows the first answer, rounds of tools
//! for example, is asked in normal calls: nobody waits for several batches.
//!
//! - A run makes one batch at the most. Before it is sent, the journal holds on disk that it is; where nobody knows
//!   whether it was made, it is looked for, and never sent again.
//! - What is no answer (the request was refused, cancelled, or expired) costs nothing at the provider.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{retry::doubled, time::Timestamp};

/// Within how many hours an answer that may wait is there. Batches end within a day.
pub(crate) const WITHIN_HOURS: Hours = Hours { min: 1, max: 24, default: 4 };
/// How long before the answer is due a batch is given up, in milliseconds: time for a normal call, its tools and retries.
pub(crate) const FALLBACK_MS: u64 = 15 * 60 * 1000;
/// A batch that would be given up sooner than this is not begun, in milliseconds.
pub(crate) const WORTH_MS: u64 = 5 * 60 * 1000;
/// How long the end of a cancelled batch is awaited, in milliseconds: it may still bring the answer.
pub(crate) const CANCEL_PATIENCE_MS: u64 = 60 * 1000;
/// The pause before the first look at a batch; it doubles with each look.
pub(crate) const LOOK_FIRST: Duration = Duration::from_secs(1);
/// The longest pause between two looks at a batch.
pub(crate) const LOOK_MAX: Duration = Duration::from_mins(2);
/// How much earlier than by our clock a batch may have been made by the API's, in milliseconds.
const CLOCKS_DIFFER_MS: u64 = 5 * 60 * 1000;

/// A number of hours that people choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hours {
    /// The least.
    pub min: u32,
    /// The most.
    pub max: u32,
    /// The default.
    pub default: u32,
}

/// How a question to the model is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Latency {
    /// Now.
    #[default]
    Normal,
    /// As a batch: at half price, within hours.
    Batch,
}

/// A run's batch, as the journal keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Our id of the request in it.
    pub custom_id: String,
    /// When it was about to be sent.
    pub posted_at: Timestamp,
    /// When it is given up.
    pub until: Timestamp,
    /// The provider's id; `None` while it is not known whether it was made.
    #[serde(default)]
    pub id: Option<String>,
    /// What became of it; `None` while it is waited for.
    #[serde(default)]
    pub end: Option<BatchEnd>,
}

/// What became of a run's batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchEnd {
    /// It brought the answer, at half price.
    Answered,
    /// It brought none, and the question was asked in a normal call.
    GivenUp,
}

impl Batch {
    /// Returns the batch of one question, about to be sent now; `None` if there is no time for one.
    #[must_use]
    pub fn begin(custom_id: String, answer_by: Timestamp, now: Timestamp) -> Option<Self> {
        let until = answer_by.earlier(FALLBACK_MS);
        let batch = Self { custom_id, posted_at: now, until, id: None, end: None };
        (until.ms_since(now) >= WORTH_MS).then_some(batch)
    }

    /// Returns whether it is still waited for.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.end.is_none()
    }

    /// Returns whether a batch of one request that the provider made at this time may be this one.
    #[must_use]
    pub fn may_be(&self, created_at: Timestamp) -> bool {
        created_at >= self.posted_at.earlier(CLOCKS_DIFFER_MS) && created_at <= self.until
    }
}

/// Returns when the answer of work that is due now is there at the latest, if it may take so many hours.
#[must_use]
pub(crate) fn answer_by(due: Timestamp, within_hours: u32) -> Timestamp {
    due.later(u64::from(within_hours) * 60 * 60 * 1000)
}

/// Returns the pause before the next look at a batch, which does not reach beyond `until`.
#[must_use]
pub(crate) fn pause(looks: u32, until: Timestamp, now: Timestamp) -> Duration {
    doubled(LOOK_FIRST, LOOK_MAX, looks).min(Duration::from_millis(until.ms_since(now)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);
    const HOUR_MS: u64 = 60 * 60 * 1000;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_ms(NOW.as_ms() + i64::try_from(ms).expect("it fits"))
    }

    fn begin(answer_by: Timestamp, now: Timestamp) -> Option<Batch> {
        Batch::begin("wm-1".to_owned(), answer_by, now)
    }

    #[test]
    fn c20_a_batch_is_begun_only_where_the_answer_may_wait_and_there_is_time() {
        let (hour, min) = (at(HOUR_MS), at(FALLBACK_MS + WORTH_MS));
        let batch = begin(hour, NOW).expect("there is time");
        assert_eq!((batch.until.ms_since(NOW), batch.is_open()), (HOUR_MS - FALLBACK_MS, true));
        assert!(begin(min, NOW).is_some());
        assert_eq!(begin(min, at(1)), None, "a run that is late has no time for one");
        assert_eq!(begin(NOW, at(HOUR_MS)), None);
    }

    #[test]
    fn c20_a_batch_is_looked_at_gently_and_never_beyond_its_end() {
        let pauses: Vec<u64> = (0..9).map(|looks| pause(looks, at(HOUR_MS), NOW).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 120, 120]);
        assert_eq!(pause(9, at(5_000), NOW).as_secs(), 5);
        assert_eq!(pause(9, NOW, at(5_000)), Duration::ZERO);
        assert_eq!(pause(u32::MAX, at(HOUR_MS), NOW), LOOK_MAX);
    }

    #[test]
    fn c20_only_a_batch_of_its_time_may_be_the_one_whose_reply_was_lost() {
        let batch = begin(at(4 * HOUR_MS), at(HOUR_MS)).expect("there is time");
        let table = [(0, false), (HOUR_MS - CLOCKS_DIFFER_MS, true), (HOUR_MS + 1, true), (4 * HOUR_MS, false)];
        for (ms, expected) in table {
            assert_eq!(batch.may_be(at(ms)), expected, "{ms}");
        }
    }
}
