//! The door to a reload: everybody who wants one asks here, and is told what became of it.

use std::sync::{Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};

/// Reloads that wait for the one in progress. Each reads the files as they are when its turn comes.
pub(in crate::engine) const RELOADS_WAITING_MAX: usize = 8;

/// Who asked for a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) enum AskedBy {
    /// SIGHUP.
    Signal,
    /// `workmate reload`.
    Command,
}

impl AskedBy {
    /// Returns it for a log and for the audit room.
    pub(in crate::engine) fn name(&self) -> &'static str {
        match self {
            Self::Signal => "SIGHUP",
            Self::Command => "workmate reload",
        }
    }
}

/// What became of a reload, for an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Reloaded {
    /// Whether the files hold now, changed or not.
    pub(in crate::engine) done: bool,
    /// The changes; or the faults, as `check` says them.
    pub(in crate::engine) text: String,
}

impl Reloaded {
    pub(in crate::engine) fn refused(text: impl Into<String>) -> Self {
        Self { done: false, text: text.into() }
    }
}

/// A wanted reload.
pub(in crate::engine) struct Wanted {
    pub(in crate::engine) by: AskedBy,
    /// Who is told; a signal's sender is not.
    pub(in crate::engine) answer: Option<oneshot::Sender<Reloaded>>,
}

/// The queue of wanted reloads.
pub(in crate::engine) struct Reloads {
    wanted: mpsc::Sender<Wanted>,
    /// Until somebody carries them out.
    waiting: Mutex<Option<mpsc::Receiver<Wanted>>>,
}

impl Default for Reloads {
    fn default() -> Self {
        let (wanted, waiting) = mpsc::channel(RELOADS_WAITING_MAX);
        Self { wanted, waiting: Mutex::new(Some(waiting)) }
    }
}

impl Reloads {
    /// Returns the queue's other end, once.
    pub(in crate::engine) fn take(&self) -> Option<mpsc::Receiver<Wanted>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Has the configuration read again, after the start and after reloads that wait already, and returns what became of
    /// it.
    pub(in crate::engine) async fn reload(&self, by: AskedBy) -> Reloaded {
        let (answer, answered) = oneshot::channel();
        if self.wanted.try_send(Wanted { by, answer: Some(answer) }).is_err() {
            return Reloaded::refused(
                "too many reloads wait already, or workmate is stopping\n  Mend: try again in a moment.",
            );
        }
        answered.await.unwrap_or_else(|_| {
            Reloaded::refused("workmate is stopping\n  Mend: start it; the next start reads the configuration anyway.")
        })
    }
}
