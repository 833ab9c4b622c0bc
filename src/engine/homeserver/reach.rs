//! What is known about the homeserver: whether it answers, and since when; for all who wait for it.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tokio::{
    sync::{Mutex, Notify, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{appservice::arrivals::Arrivals, core::retry::step, matrix::MatrixError};

/// How often it is asked who we are while all is well.
const ASK_EVERY: Duration = Duration::from_secs(10);
/// Pauses between two looks while it is away or cannot reach us; the last one repeats.
const AWAY_PAUSES: [Duration; 5] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
];
/// The longest of these pauses while somebody waits.
const AWAITED_PAUSE_MAX: Duration = Duration::from_secs(1);

/// What is known about the homeserver; shared by all who wait for it.
pub(in crate::engine) struct Reach {
    pub(super) away: watch::Sender<bool>,
    /// How often it came back, or may have been away unnoticed.
    pub(super) returns: watch::Sender<u64>,
    /// Held while the homeserver is asked.
    pub(super) seen: Mutex<Seen>,
    /// How many wait for it to come back.
    waiting: AtomicUsize,
    /// Tells the watcher that somebody began to wait.
    pub(super) hurry: Notify,
    pub(super) arrivals: Arrivals,
}

#[derive(Debug, Default)]
pub(super) struct Seen {
    /// When the last question that it answered was asked.
    pub(super) answered: Option<Instant>,
    /// When it last came back after having been away.
    pub(super) back: Option<Instant>,
}

/// The result of a look at the homeserver.
pub(super) enum Look {
    /// It answers, and reaches us as far as one can tell.
    Well,
    /// It answers; whether it reaches us was not tested.
    There,
    /// It answers but cannot reach us properly: what is wrong, and how to mend it.
    Deaf(String),
    /// It answers, and refuses us in its own words.
    Refuses(MatrixError),
    /// It does not answer, or not as a homeserver.
    Away(MatrixError),
}

impl Reach {
    /// Returns the state before the first look.
    pub(in crate::engine) fn new(arrivals: Arrivals) -> Self {
        Self {
            away: watch::Sender::new(false),
            returns: watch::Sender::new(0),
            seen: Mutex::default(),
            waiting: AtomicUsize::new(0),
            hurry: Notify::new(),
            arrivals,
        }
    }

    /// Returns whether it failed to answer the last look.
    pub(in crate::engine) fn is_away(&self) -> bool {
        *self.away.borrow()
    }

    /// Waits until it answers; returns at once if it is not known to be away.
    pub(in crate::engine) async fn until_back(&self) {
        let _waits = self.waits();
        let mut away = self.away.subscribe();
        // The sender lives as long as `self`.
        let _ = away.wait_for(|away| !away).await;
    }

    /// As [`Self::until_back`], but ends early if Workmate stops.
    pub(in crate::engine) async fn until_back_or(&self, stop: &CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.until_back() => {}
        }
    }

    /// Waits for `pause`, or until the homeserver comes back.
    pub(in crate::engine) async fn until_back_within(&self, pause: Duration) {
        let _waits = self.waits();
        self.pause_unless_back(pause).await;
    }

    /// As [`Self::until_back_within`], but does not make the watcher ask more often.
    pub(in crate::engine) async fn pause_unless_back(&self, pause: Duration) {
        let mut returns = self.returns.subscribe();
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = returns.changed() => {}
        }
    }

    /// Returns a counter of its returns to wait on. Events that it sent before a return may be lost.
    pub(in crate::engine) fn returns(&self) -> watch::Receiver<u64> {
        self.returns.subscribe()
    }

    fn waits(&self) -> Waits<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.hurry.notify_one();
        Waits(&self.waiting)
    }

    /// Returns how long to wait before the next look.
    pub(super) fn rest(&self, is_troubled: bool, failures: usize) -> Duration {
        if !is_troubled {
            return ASK_EVERY;
        }
        let pause = step(&AWAY_PAUSES, failures);
        if self.waiting.load(Ordering::Relaxed) > 0 { pause.min(AWAITED_PAUSE_MAX) } else { pause }
    }

    /// Applies the result of a look.
    pub(super) fn take(&self, look: &Look, asked: Instant, seen: &mut Seen) {
        let is_away = matches!(look, Look::Away(_));
        let changed = self.away.send_if_modified(|away| std::mem::replace(away, is_away) != is_away);
        if !is_away {
            seen.answered = Some(asked);
            if changed {
                seen.back = Some(Instant::now());
            }
        }
    }
}

/// Counts a waiting task until dropped.
struct Waits<'a>(&'a AtomicUsize);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn away() -> Look {
        Look::Away(MatrixError::Token { url: String::new() })
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_the_return_and_what_was_heard_before_counts_for_nothing() {
        let homeserver = Reach::new(Arrivals::new("a"));
        let mut seen = Seen::default();
        let mut now = Instant::now();
        let mut told = Vec::new();
        for look in [Look::Well, away(), away(), Look::There, Look::Deaf(String::new())] {
            now += Duration::from_secs(1);
            homeserver.take(&look, now, &mut seen);
            told.push((homeserver.is_away(), seen.answered == Some(now), seen.back.is_some()));
        }
        assert_eq!(
            told,
            [
                (false, true, false),
                (true, false, false),
                (true, false, false),
                (false, true, true),
                (false, true, true)
            ]
        );
        homeserver.until_back().await;
    }

    #[test]
    fn a_homeserver_that_is_away_is_asked_every_second_while_somebody_waits() {
        let homeserver = Reach::new(Arrivals::new("a"));
        let rests = |failures: [usize; 3]| failures.map(|failures| homeserver.rest(true, failures).as_millis());
        assert_eq!(rests([0, 3, 99]), [500, 5_000, 10_000]);
        let waits = homeserver.waits();
        assert_eq!(rests([0, 3, 99]), [500, 1_000, 1_000]);
        assert_eq!(homeserver.rest(false, 0), ASK_EVERY);
        drop(waits);
        assert_eq!(rests([0, 3, 99]), [500, 5_000, 10_000]);
    }
}
