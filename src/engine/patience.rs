//! How long a run goes on trying while the homeserver is away.

use crate::core::time::Timestamp;

/// How long a run's attempts may fail in a row, in milliseconds; then it is left to the next start.
const PATIENCE_MS: u64 = 30 * 60 * 1000;
/// An attempt that went on for longer than this had what it needed: its failure begins a new row, in milliseconds. It is
/// longer than any call of the homeserver takes.
const FINE_MS: u64 = 5 * 60 * 1000;

/// The failures of a run in a row. Time in which nothing failed does not count: an approval may take an hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Patience {
    since: Option<Timestamp>,
    failures: usize,
}

impl Patience {
    /// Takes the failure at `now` of an attempt that `began` then; returns whether another is worth it.
    pub(super) fn is_left(&mut self, began: Timestamp, now: Timestamp) -> bool {
        if now.ms_since(began) > FINE_MS {
            *self = Self::default();
        }
        self.failures += 1;
        now.ms_since(*self.since.get_or_insert(now)) < PATIENCE_MS
    }

    /// Returns how many failures there were in a row.
    pub(super) fn failures(&self) -> usize {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each attempt: when it began and when it failed, in seconds; and whether another is made, as which failure.
    fn check(attempts: &[(i64, i64, bool, usize)]) {
        let mut patience = Patience::default();
        let at = |seconds: i64| Timestamp::from_ms(seconds * 1000);
        for (began, failed, left, failures) in attempts {
            let heard = patience.is_left(at(*began), at(*failed));
            assert_eq!((heard, patience.failures()), (*left, *failures), "{began} to {failed}");
        }
    }

    #[test]
    fn c12_an_attempt_that_waited_an_hour_for_people_has_all_patience_left() {
        check(&[(0, 3_600, true, 1), (3_601, 3_602, true, 2), (3_603, 5_399, true, 1)]);
    }

    #[test]
    fn a_homeserver_that_stays_away_is_waited_for_half_an_hour_from_the_first_failure_on() {
        check(&[
            (9_000, 9_001, true, 1),
            (9_002, 9_032, true, 2),
            (10_799, 10_800, true, 3),
            (10_800, 10_801, false, 4),
        ]);
    }

    #[test]
    fn a_failure_behind_long_work_begins_a_new_row() {
        check(&[(0, 1, true, 1), (2, 400, true, 1), (401, 2_199, true, 1), (2_200, 2_201, true, 2)]);
    }
}
