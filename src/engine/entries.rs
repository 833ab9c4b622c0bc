//! What becomes of an entry: it is tried again, done, or given up.

mod giving_up;

use std::sync::{Arc, atomic::AtomicUsize};

use tokio::time::Instant;

use crate::{
    clock,
    core::retry::{Failures, Next as AfterFailure, Others},
    engine::{EngineError, homeserver::Homeserver, media::Hears, runtime::Runtime, wards::Wards},
    store::{Inbox, InboxEntry},
};

/// The entries of the inbox, and how each ends.
pub(in crate::engine) struct Entries {
    runtime: Arc<Runtime>,
    hears: Arc<Hears>,
    homeserver: Arc<Homeserver>,
    wards: Arc<Wards>,
    pub(in crate::engine) inbox: Inbox,
    /// Events that were given up because they could not be handled.
    pub(in crate::engine) given_up: AtomicUsize,
}

impl Entries {
    /// Makes it on what it may call.
    pub(in crate::engine) fn new(
        runtime: &Arc<Runtime>,
        hears: &Arc<Hears>,
        homeserver: &Arc<Homeserver>,
        wards: &Arc<Wards>,
        inbox: Inbox,
    ) -> Self {
        Self {
            runtime: runtime.clone(),
            hears: hears.clone(),
            homeserver: homeserver.clone(),
            wards: wards.clone(),
            inbox,
            given_up: AtomicUsize::new(0),
        }
    }

    /// Waits after a failure until another try is worthwhile; returns whether one is. Failures during an outage are not
    /// counted.
    pub(super) async fn waits_after(
        &self,
        error: &EngineError,
        began: Instant,
        failures: &mut Failures,
        others: Others,
    ) -> bool {
        if !error.is_passing() {
            return false;
        }
        if self.homeserver.was_away(began).await {
            failures.forget();
            return true;
        }
        match failures.failed(clock::now(), error.retry_after(), others) {
            AfterFailure::Again(pause) => tokio::time::sleep(pause).await,
            AfterFailure::GiveUp => return false,
        }
        true
    }

    /// Marks an entry as done.
    pub(super) fn done(&self, entry: &InboxEntry) {
        let event = &entry.event;
        if self.hears.is_hearing(&event.event_id) {
            // It is done once its words are known.
            return;
        }
        match self.wards.hold_back(entry) {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => tracing::error!(event.id = %event.event_id, %error, "an event cannot be kept for a user"),
        }
        if let Err(error) = self.inbox.done(entry.seq) {
            // The entry is taken again at the next start; the run's id prevents a second answer.
            tracing::error!(event.id = %event.event_id, %error, "the inbox cannot note that an event is done");
        }
    }
}
