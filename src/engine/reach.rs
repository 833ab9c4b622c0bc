//! Whether the homeserver answers: those that wait for it are woken as soon as it does again.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use tokio::sync::{Mutex, watch};

use super::Engine;

/// Between two questions to a homeserver that somebody waits for.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// What is known of the homeserver. It is asked only while somebody waits for it, by one of those that do.
pub(super) struct Reach {
    /// How often it came back.
    returns: watch::Sender<u64>,
    /// Whether it did not answer when it was asked last.
    away: AtomicBool,
    /// Held by the one that asks.
    asking: Mutex<()>,
}

impl Default for Reach {
    fn default() -> Self {
        Self { returns: watch::Sender::new(0), away: AtomicBool::new(false), asking: Mutex::default() }
    }
}

impl Reach {
    /// Takes an answer of the homeserver, or that there was none.
    fn take(&self, answers: bool) {
        let was_away = self.away.swap(!answers, Ordering::Relaxed);
        if answers && was_away {
            self.returns.send_modify(|returns| *returns += 1);
        }
    }
}

impl Engine {
    /// Waits for `pause`; less, where the homeserver is away meanwhile and comes back.
    pub(super) async fn until_back(&self, pause: Duration) {
        let mut returns = self.reach.returns.subscribe();
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = returns.changed() => {}
            () = self.probe() => {}
        }
    }

    /// Waits for `pause`; less, where others wait for the homeserver and it comes back. Asks it nothing.
    pub(super) async fn pause_unless_back(&self, pause: Duration) {
        let mut returns = self.reach.returns.subscribe();
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = returns.changed() => {}
        }
    }

    /// Asks the homeserver again and again, unless another does so already.
    async fn probe(&self) {
        let _alone = self.reach.asking.lock().await;
        loop {
            let answer = self.api().whoami().await;
            self.reach.take(answer.is_ok());
            tokio::time::sleep(PROBE_EVERY).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_woken_by_each_return_and_by_nothing_else() {
        let reach = Reach::default();
        let mut returns = reach.returns.subscribe();
        let mut woken = |answers: bool| {
            reach.take(answers);
            let woken = returns.has_changed().expect("it is there");
            returns.mark_unchanged();
            woken
        };
        let seen = [true, false, false, true, true, false, true].map(&mut woken);
        assert_eq!(seen, [false, false, false, true, false, false, true]);
    }
}
