//! How long a run goes on trying while the homeserver is away.

use std::time::Duration;

use crate::core::{
    retry::{ASKED_PAUSE_MAX, send_pause},
    time::Timestamp,
};

/// How long a run's attempts may fail in a row, in milliseconds; then its asker is told, where that is possible.
const PATIENCE_MS: u64 = 7 * 24 * 60 * 60 * 1000;
/// An attempt that went on for longer than this had what it needed: its failure begins a new row, in milliseconds. It is
/// longer than any call of the homeserver takes.
const FINE_MS: u64 = 5 * 60 * 1000;
/// So long a refusal is doubted that nothing known speaks for, in milliseconds.
const DOUBTED_MS: u64 = 60 * 1000;

/// The failures of a run in a row. Time in which nothing failed does not count: an approval may take an hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Patience {
    since: Option<Timestamp>,
    failures: usize,
    /// When the first doubtful refusal came.
    doubted_since: Option<Timestamp>,
    /// Before the next attempt.
    pause: Option<Duration>,
}

impl Patience {
    /// Takes the failure at `now` of an attempt that `began` then; returns whether another is worth it. `asked` is the
    /// pause that the homeserver asks for.
    pub(super) fn is_left(&mut self, began: Timestamp, now: Timestamp, asked: Option<Duration>) -> bool {
        if now.ms_since(began) > FINE_MS {
            *self = Self::default();
        }
        let own = send_pause(self.failures);
        self.failures += 1;
        self.pause = Some(own.max(asked.unwrap_or_default().min(ASKED_PAUSE_MAX)));
        now.ms_since(*self.since.get_or_insert(now)) < PATIENCE_MS
    }

    /// Returns whether a doubtful refusal at `now` may still pass.
    pub(super) fn doubts(&mut self, now: Timestamp) -> bool {
        now.ms_since(*self.doubted_since.get_or_insert(now)) < DOUBTED_MS
    }

    /// Returns the pause that is due before the next attempt, once.
    pub(super) fn take_pause(&mut self) -> Option<Duration> {
        self.pause.take()
    }

    /// Returns how long the attempts have failed in a row.
    pub(super) fn waited_ms(&self, now: Timestamp) -> u64 {
        self.since.map_or(0, |since| now.ms_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each attempt: when it began and when it failed, in seconds; and whether another is made, after which pause.
    fn check(attempts: &[(i64, i64, bool, u64)]) {
        let mut patience = Patience::default();
        let at = |seconds: i64| Timestamp::from_ms(seconds * 1000);
        for (began, failed, left, pause_ms) in attempts {
            let heard = patience.is_left(at(*began), at(*failed), None);
            let pause = patience.take_pause().map(|pause| u64::try_from(pause.as_millis()).expect("short"));
            assert_eq!((heard, pause, patience.take_pause()), (*left, Some(*pause_ms), None), "{began} to {failed}");
        }
    }

    #[test]
    fn c12_an_attempt_that_waited_an_hour_for_people_has_all_patience_left() {
        check(&[(0, 3_600, true, 300), (3_601, 3_602, true, 1_000), (3_603, 5_399, true, 300)]);
    }

    #[test]
    fn a_homeserver_that_stays_away_is_waited_for_a_week_from_the_first_failure_on() {
        const WEEK: i64 = 7 * 24 * 3_600;
        check(&[
            (9_000, 9_001, true, 300),
            (9_002, 9_032, true, 1_000),
            (9_001 + WEEK - 2, 9_001 + WEEK - 1, true, 3_000),
            (9_001 + WEEK, 9_001 + WEEK, false, 10_000),
        ]);
    }

    #[test]
    fn nothing_is_lost_a_refusal_is_doubted_for_a_minute_from_the_first_one_on() {
        let mut patience = Patience::default();
        let at = |seconds: i64| Timestamp::from_ms(seconds * 1000);
        assert_eq!([10, 11, 69, 70, 71].map(|second| patience.doubts(at(second))), [true, true, true, false, false]);
        // An attempt that had all it needed begins anew.
        assert!(patience.is_left(at(100), at(500), None) && patience.doubts(at(500)));
    }

    #[test]
    fn a_failure_behind_long_work_begins_a_new_row() {
        check(&[(0, 1, true, 300), (2, 400, true, 300), (401, 2_199, true, 300), (2_200, 2_201, true, 1_000)]);
    }

    #[test]
    fn a_pause_that_the_homeserver_asks_for_is_kept_to_within_a_limit() {
        let at = Timestamp::from_ms(0);
        for (asked_s, expected_s) in [(7, 7), (3_600, 300)] {
            let mut patience = Patience::default();
            assert!(patience.is_left(at, at, Some(Duration::from_secs(asked_s))));
            assert_eq!(patience.take_pause(), Some(Duration::from_secs(expected_s)));
        }
    }
}
