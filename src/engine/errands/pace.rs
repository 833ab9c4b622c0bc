//! How fast errands begin, in all rooms together: what people ask goes before what nobody asked for.
//!
//! A homeserver works on one thing after the other. While nobody asks anything, errands begin a few at a time. Once people
//! do, they begin one after the other, none just behind a question, and each only after a pause many times as long as the
//! last one took to be announced: however slow the homeserver is, most of its time is left to people.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, sleep_until},
};

use crate::core::errand::pause_after;

/// Errands that begin at once, in all rooms.
const AT_ONCE_MAX: usize = 4;
/// People count as asking for so long after the last question.
const ASKING: Duration = Duration::from_secs(10);
/// For so long after a question no errand begins: most of what the homeserver has to do for it is done then.
const BEHIND_QUESTION: Duration = Duration::from_millis(300);
/// So many further questions are let through before an errand begins nevertheless.
const QUESTIONS_FIRST_MAX: usize = 4;

/// When errands may begin.
pub(in crate::engine) struct Pace {
    at_once: Semaphore,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// When a person asked last.
    asked: Option<Instant>,
    /// When the next errand may begin while people ask.
    next: Option<Instant>,
    /// How long the last one took to be announced.
    took: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { at_once: Semaphore::new(AT_ONCE_MAX), known: Mutex::default() }
    }
}

/// Leave to begin an errand, for as long as it is held.
pub(super) struct Turn<'p> {
    pace: &'p Pace,
    began: Instant,
    _place: SemaphorePermit<'p>,
}

impl Known {
    /// Takes the next moment at which one may begin; `None` while nobody asks.
    fn place(&mut self, now: Instant) -> Option<Instant> {
        if self.asked.is_none_or(|at| now.saturating_duration_since(at) >= ASKING) {
            return None;
        }
        let at = self.next.map_or(now, |next| next.max(now));
        self.next = Some(at + pause_after(self.took));
        Some(at)
    }

    /// Returns until when none begins because of a question.
    fn behind_question(&self, now: Instant) -> Option<Instant> {
        self.asked.map(|asked| asked + BEHIND_QUESTION).filter(|until| *until > now)
    }
}

impl Pace {
    /// Notes that a person asks for something.
    pub(in crate::engine) fn note_question(&self) {
        self.known().asked = Some(Instant::now());
    }

    /// Waits until an errand may begin.
    pub(super) async fn turn(&self) -> Turn<'_> {
        let at = self.known().place(Instant::now());
        if let Some(at) = at {
            sleep_until(at).await;
        }
        for _ in 0..QUESTIONS_FIRST_MAX {
            let Some(until) = self.known().behind_question(Instant::now()) else { break };
            sleep_until(until).await;
        }
        let place = self.at_once.acquire().await.expect("it is never closed");
        Turn { pace: self, began: Instant::now(), _place: place }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.pace.known().took = self.began.elapsed();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn c11_c20_while_people_ask_errands_begin_one_by_one_behind_their_questions_and_with_pauses() {
        let (now, took) = (Instant::now(), 20 * MS);
        let mut known = Known { took, ..Known::default() };
        assert_eq!((known.place(now), known.place(now), known.behind_question(now)), (None, None, None), "nobody asks");

        known.asked = Some(now);
        assert_eq!(known.behind_question(now), Some(now + BEHIND_QUESTION), "the question first");
        assert_eq!(known.behind_question(now + BEHIND_QUESTION), None);
        let pause = pause_after(took);
        let places: Vec<_> = (0..3).map(|_| known.place(now + BEHIND_QUESTION)).collect();
        let first = now + BEHIND_QUESTION;
        assert_eq!(places, [first, first + pause, first + 2 * pause].map(Some));
        // Whoever comes when the line is empty waits for nobody.
        let later = first + 10 * pause;
        known.asked = Some(later);
        known.took = Duration::from_mins(1);
        assert_eq!((known.place(later), known.place(later)), (Some(later), Some(later + pause_after(Duration::MAX))));
        assert_eq!(known.place(later + ASKING), None, "nobody asks any more");
    }

    #[test]
    fn c20_while_nobody_asks_errands_begin_at_once_and_a_few_at_a_time() {
        let pace = Pace::default();
        let turns: Vec<Turn<'_>> = (0..AT_ONCE_MAX).map(|_| pace.turn().now_or_never().expect("at once")).collect();
        assert!(pace.turn().now_or_never().is_none(), "all places are taken");
        drop(turns);
        assert!(pace.turn().now_or_never().is_some());
    }
}
