//! What stays of runs (C13): the index, its retention, the audit room's lines, the door for `workmate audit`, `!why`.

mod door;
mod ending;
mod room;
mod why;

pub use self::door::door_of;

use std::time::Duration;

use tokio::sync::mpsc;

use super::{Engine, Shared};
use crate::{
    clock,
    core::{
        audit::{self, RunKey},
        time::Timestamp,
    },
    store::StoreError,
};

/// Lines for the audit room that wait in memory; what does not fit is found in the index at the next start.
const LINES_WAITING_MAX: usize = 1_024;
/// Between two removals of runs that are older than the config keeps them.
const RETENTION_EVERY: Duration = Duration::from_hours(24);
/// Runs removed at once; in between, others get to the store.
const RETIRED_AT_ONCE_MAX: usize = 500;

/// The part of the engine that sees to the trail.
pub(super) struct Audit {
    lines: mpsc::Sender<RunKey>,
    /// Taken by the task that writes the lines.
    waiting: std::sync::Mutex<Option<mpsc::Receiver<RunKey>>>,
}

impl Audit {
    pub(super) fn new() -> Self {
        let (lines, waiting) = mpsc::channel(LINES_WAITING_MAX);
        Self { lines, waiting: std::sync::Mutex::new(Some(waiting)) }
    }

    /// Has the audit room told of a run that is in the index by now; never waits.
    pub(super) fn tell(&self, key: &RunKey) {
        if self.lines.try_send(key.clone()).is_err() {
            tracing::warn!(run.id = key.1, "the audit room's line for a run waits for the next start");
        }
    }
}

impl Engine {
    /// Whether there is an audit room to write to.
    pub(super) fn has_audit_room(&self) -> bool {
        self.config.audit.room && !self.config.workspace.admins.is_empty()
    }

    /// Keeps the index within its time, and opens the door to it.
    pub(super) fn open_index(self: &Shared) {
        self.tasks.spawn(retire(self.clone()));
        self.tasks.spawn(door::serve(self.clone()));
    }

    /// Keeps the audit room, where there is to be one; the service bot is there by now.
    pub(super) fn keep_audit_room(self: &Shared) {
        let waiting = self.audit.waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(waiting) = waiting.filter(|_| self.has_audit_room()) {
            self.tasks.spawn(room::keep(self.clone(), waiting));
        }
    }

    /// Removes runs that were accepted before `from`, at most [`RETIRED_AT_ONCE_MAX`]; returns how many.
    fn retire_some(&self, from: Timestamp) -> Result<usize, StoreError> {
        let index = &self.tables.run_index;
        // The oldest stand first; what cannot be read is left for whoever mends the store.
        let old = index.iter().map_while(Result::ok).map(|(key, _)| key).take_while(|key| key.0 < from);
        let old: Vec<RunKey> = old.take(RETIRED_AT_ONCE_MAX).collect();
        for key in &old {
            index.remove(key)?;
        }
        Ok(old.len())
    }
}

/// Removes what is older than the config keeps it, at start and once a day.
async fn retire(engine: Shared) {
    loop {
        let from = audit::kept_from(clock::now(), engine.config.audit.retention_days);
        let mut removed = 0;
        loop {
            match engine.retire_some(from) {
                Ok(0) => break,
                Ok(some) => removed += some,
                Err(error) => {
                    tracing::warn!(%error, "old runs cannot be removed from the index; it is tried again in a day");
                    break;
                }
            }
            tokio::task::yield_now().await;
        }
        if removed > 0 {
            let days = engine.config.audit.retention_days;
            tracing::info!(removed, days, "runs older than audit.retention_days were removed from the index");
        }
        tokio::select! {
            () = engine.stop.cancelled() => return,
            () = tokio::time::sleep(RETENTION_EVERY) => {}
        }
    }
}
