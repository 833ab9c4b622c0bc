//! What stays of runs (C13): the index and its retention, the audit room's lines, the socket for `workmate audit`,
//! `!why`.

mod door;
mod ending;
mod room;
mod why;

pub use self::door::{at_socket, door_of};

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;

use super::{
    books,
    budget::{self, Budget},
    console::Console,
    errands::Errands,
    runtime::Runtime,
    toolsets::Toolsets,
    zones::Zones,
};
use crate::{
    appservice::health::Condition,
    clock,
    core::{
        audit::{self, RunKey, RunSummary},
        time::Timestamp,
    },
    store::StoreError,
};

/// Audit lines waiting in memory, at most; the next start finds the others in the index.
const LINES_WAITING_MAX: usize = 1_024;
/// The time between two removals of runs past their retention.
const RETENTION_EVERY: Duration = Duration::from_hours(24);
/// Runs removed in one go; other tasks run in between.
const RETIRED_AT_ONCE_MAX: usize = 500;

/// What stays of runs, and who is shown it.
pub(super) struct Audit {
    runtime: Arc<Runtime>,
    budget: Arc<Budget>,
    toolsets: Arc<Toolsets>,
    zones: Arc<Zones>,
    errands: Arc<Errands>,
    /// Where operators see it.
    pub(super) console: Arc<Console>,
    /// The queue of lines for the audit room.
    lines: mpsc::Sender<RunKey>,
    /// Taken once, by the task that writes the lines.
    waiting: std::sync::Mutex<Option<mpsc::Receiver<RunKey>>>,
}

impl Audit {
    pub(super) fn new(
        runtime: &Arc<Runtime>,
        (budget, errands): (&Arc<Budget>, &Arc<Errands>),
        (toolsets, zones): (&Arc<Toolsets>, &Arc<Zones>),
    ) -> Self {
        let (lines, waiting) = mpsc::channel(LINES_WAITING_MAX);
        Self {
            runtime: runtime.clone(),
            budget: budget.clone(),
            toolsets: toolsets.clone(),
            zones: zones.clone(),
            errands: errands.clone(),
            console: Arc::new(Console::new(runtime, budget, toolsets)),
            lines,
            waiting: std::sync::Mutex::new(Some(waiting)),
        }
    }

    /// Queues the line of a run that is in the index; never waits.
    pub(super) fn tell(&self, key: &RunKey) {
        if self.lines.try_send(key.clone()).is_err() {
            tracing::warn!(run.id = key.1, "the audit room's line for a run waits for the next start");
        }
    }
}

impl Audit {
    /// Returns whether the config asks for an audit room and names admins.
    pub(super) fn has_audit_room(&self) -> bool {
        self.runtime.config().audit.room && !self.runtime.config().workspace.admins.is_empty()
    }

    /// Adds an ended run to the index. A run that ends again, because a crash cut off its first end, replaces itself.
    pub(super) fn index_run(&self, key: &RunKey, summary: &RunSummary) -> Result<(), StoreError> {
        let index = &self.runtime.tables.run_index;
        let mut books = self.budget.books.open();
        let before = index.get(key)?;
        index.put(key, summary)?;
        books.note_run(key, before.as_ref(), summary);
        Ok(())
    }

    /// Starts the index's sums and retention, and the socket for questions about it.
    pub(super) fn open_index(self: &Arc<Self>) {
        self.runtime.tasks.spawn(books::keep(self.budget.books.clone(), self.runtime.stop.clone()));
        self.runtime.tasks.spawn(retire(self.clone()));
        self.runtime.tasks.spawn(door::serve(self.clone()));
    }

    /// Starts keeping the audit room, if there should be one. The service bot must be provisioned.
    pub(super) fn keep_audit_room(self: &Arc<Self>) {
        let waiting = self.waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        match waiting {
            Some(waiting) if self.has_audit_room() => {
                self.runtime.tasks.spawn(room::keep(self.clone(), waiting));
            }
            Some(_) => {
                self.runtime.tasks.spawn(budget::log(self.budget.clone()));
            }
            None => {}
        }
    }

    /// Removes runs accepted before `from` and their outlays, at most [`RETIRED_AT_ONCE_MAX`]; returns how many.
    fn retire_some(&self, from: Timestamp) -> Result<usize, StoreError> {
        let runs = self.runtime.tables.run_index.remove_first(RETIRED_AT_ONCE_MAX, |key| key.0 < from)?;
        let outlays = self.budget.ledger.retire_some(from, RETIRED_AT_ONCE_MAX)?;
        Ok(runs.max(outlays))
    }
}

/// Removes runs past their retention, and errands that are over, at the start and once a day.
async fn retire(audit: Arc<Audit>) {
    loop {
        let from = audit::kept_from(clock::now(), audit.runtime.config().audit.retention_days);
        let mut removed = 0;
        loop {
            match audit.retire_some(from) {
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
            let days = audit.runtime.config().audit.retention_days;
            audit.budget.books.recount();
            tracing::info!(removed, days, "runs older than audit.retention_days were removed from the index");
        }
        if let Err(error) = audit.errands.forget_errands() {
            tracing::warn!(%error, "old errands cannot be forgotten; it is tried again in a day");
        }
        tokio::select! {
            () = audit.runtime.stop.cancelled() => return,
            () = tokio::time::sleep(RETENTION_EVERY) => {}
        }
        // Not at the start: a clock that is far ahead then would make every account look old.
        if audit.runtime.health.get(Condition::Clock).reason().is_none()
            && let Err(error) = audit.budget.ledger.drop_stale(clock::now())
        {
            tracing::warn!(%error, "unused budget accounts cannot be dropped; it is tried again in a day");
        }
    }
}
