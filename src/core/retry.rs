//! How long a call that fails temporarily is retried, and when it is given up.
//!
//! While the homeserver is unavailable, everything waits without limit; that is not counted here. What counts is one
//! call that keeps failing while the homeserver answers, because it is likely to fail for ever.

use std::time::Duration;

use super::time::Timestamp;

/// Pauses between tries; the last one repeats.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_mins(1),
];
/// Pauses between two tries to say something while the homeserver is away; the last one repeats.
pub(crate) const SEND_PAUSES: [Duration; 6] = [
    Duration::from_millis(300),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_mins(1),
];
/// Tries before giving up while similar calls succeed.
pub(crate) const TRIES_MAX: u32 = 8;
/// How long failures may continue while it is unknown whether similar calls succeed, in milliseconds.
pub(crate) const ROW_MS_MAX: u64 = 30 * 60 * 1000;
/// The longest pause that a homeserver may demand (429).
pub(crate) const ASKED_PAUSE_MAX: Duration = Duration::from_mins(5);

/// Returns the pause behind so many earlier ones of a row; the last one repeats.
#[must_use]
pub(crate) fn step(pauses: &[Duration], earlier: usize) -> Duration {
    pauses.get(earlier).or(pauses.last()).copied().unwrap_or_default()
}

/// Returns the pause behind so many earlier ones, each twice as long as the one before, up to `most`.
#[must_use]
pub(crate) fn doubled(first: Duration, most: Duration, earlier: u32) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(earlier)).min(most)
}

/// Returns the pause after so many failed tries to say something.
#[must_use]
pub(crate) fn send_pause(failures: usize) -> Duration {
    step(&SEND_PAUSES, failures)
}

/// What is known about similar calls meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Others {
    /// Similar calls have succeeded since this one began to fail.
    Succeed,
    /// Nothing.
    Unknown,
}

/// What to do after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Try again after this pause.
    Again(Duration),
    /// Give up.
    GiveUp,
}

/// A count of consecutive failures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Failures {
    since: Option<Timestamp>,
    count: u32,
}

impl Failures {
    /// Counts a failure at `now`; `asked` is the pause that the homeserver demands.
    pub(crate) fn failed(&mut self, now: Timestamp, asked: Option<Duration>, others: Others) -> Next {
        let since = *self.since.get_or_insert(now);
        self.count += 1;
        let is_alone = others == Others::Succeed && self.count >= TRIES_MAX;
        if is_alone || now.ms_since(since) >= ROW_MS_MAX {
            return Next::GiveUp;
        }
        let pause = step(&PAUSES, self.count as usize - 1);
        Next::Again(asked.map_or(pause, |asked| asked.clamp(pause, ASKED_PAUSE_MAX)))
    }

    /// Resets the count: the homeserver was unavailable, so no failure was this call's own.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Returns the number of consecutive failures.
    #[must_use]
    pub(crate) fn count(&self) -> u32 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_ms(seconds * 1000)
    }

    #[test]
    fn what_fails_while_others_succeed_is_given_up_after_so_many_tries() {
        let mut failures = Failures::default();
        let pauses: Vec<Next> = (0..8).map(|try_| failures.failed(at(try_), None, Others::Succeed)).collect();
        let again = |seconds: f64| Next::Again(Duration::from_secs_f64(seconds));
        let waits = [0.5, 2.0, 5.0, 15.0, 60.0, 60.0, 60.0].map(again);
        assert_eq!((&pauses[..7], pauses[7]), (&waits[..], Next::GiveUp));
    }

    #[test]
    fn pauses_grow_up_to_the_last_and_never_overflow() {
        let seconds = Duration::from_secs;
        let steps = [seconds(1), seconds(4)];
        assert_eq!([0, 1, 2, usize::MAX].map(|earlier| step(&steps, earlier)), [1, 4, 4, 4].map(seconds));
        assert_eq!(step(&[], 3), Duration::ZERO);
        let pauses = [0, 1, 2, 31, 32, u32::MAX].map(|earlier| doubled(seconds(10), seconds(30), earlier));
        assert_eq!(pauses, [10, 20, 30, 30, 30, 30].map(seconds));
    }

    #[test]
    fn where_nothing_is_known_of_others_half_an_hour_passes_first() {
        let mut failures = Failures::default();
        for minute in 0..30 {
            assert!(matches!(failures.failed(at(minute * 60), None, Others::Unknown), Next::Again(_)), "{minute}");
        }
        assert_eq!(failures.failed(at(30 * 60), None, Others::Unknown), Next::GiveUp);
        failures.forget();
        assert_eq!(failures.failed(at(31 * 60), None, Others::Unknown), Next::Again(PAUSES[0]));
    }

    #[test]
    fn a_pause_that_is_asked_for_is_kept_within_bounds() {
        let asked = |ms| Failures::default().failed(at(0), Some(Duration::from_millis(ms)), Others::Unknown);
        assert_eq!(asked(1), Next::Again(PAUSES[0]));
        assert_eq!(asked(9_000), Next::Again(Duration::from_secs(9)));
        assert_eq!(asked(u64::MAX), Next::Again(ASKED_PAUSE_MAX));
    }

    proptest! {
        #[test]
        fn every_row_ends(gaps in prop::collection::vec((0_i64..600, any::<bool>()), 4_000)) {
            let (mut failures, mut now) = (Failures::default(), 0);
            let ended = gaps.into_iter().any(|(gap, others)| {
                now += gap;
                let others = if others { Others::Succeed } else { Others::Unknown };
                failures.failed(at(now), None, others) == Next::GiveUp
            });
            prop_assert!(ended);
        }
    }
}
