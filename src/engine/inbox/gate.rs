//! Whether the homeserver answers at all, asked by one for all who wait.

use tokio::{sync::Mutex, time::Instant};

use crate::{
    appservice::health::{Condition, State},
    core::retry::{Failures, Next, Others},
    engine::Engine,
};

/// What is known of the homeserver. Whoever asks it holds the lock, and the others wait for what is heard.
#[derive(Debug, Default)]
pub(in crate::engine) struct Gate(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// When it was last asked and answered.
    answered: Option<Instant>,
    /// When it was last back after it had been away.
    back: Option<Instant>,
}

impl Gate {
    /// Returns once the homeserver answers, and whether it was away at or after `since`. It is asked anew only if
    /// nothing was heard since then.
    pub(in crate::engine) async fn was_away(&self, engine: &Engine, since: Instant) -> bool {
        let mut seen = self.0.lock().await;
        if seen.answered.is_none_or(|at| at < since) {
            let mut row = Failures::default();
            loop {
                let asked = Instant::now();
                let Err(error) = engine.api().whoami().await else {
                    seen.answered = Some(asked);
                    break;
                };
                if !error.is_passing() {
                    // It refuses us in its own words: it is there.
                    seen.answered = Some(asked);
                    break;
                }
                if row.count() == 0 {
                    engine.health.set(Condition::Homeserver, State::Waiting(error.to_string()));
                }
                let asked_pause = error.retry_after(crate::clock::now());
                let pause = match row.failed(crate::clock::now(), asked_pause, Others::Unknown) {
                    Next::Again(pause) => pause.min(AWAY_PAUSE_MAX),
                    // Away for longer than any single call is waited for: that changes nothing here.
                    Next::GiveUp => AWAY_PAUSE_MAX,
                };
                tokio::time::sleep(pause).await;
            }
            if row.count() > 0 {
                seen.back = seen.answered;
                engine.health.set(Condition::Homeserver, State::Ready);
            }
        }
        seen.back.is_some_and(|at| at >= since)
    }
}

/// The longest pause between two questions whether it is back.
const AWAY_PAUSE_MAX: std::time::Duration = std::time::Duration::from_secs(10);
