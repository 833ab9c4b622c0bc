//! Deleting at the provider what is not needed any more.

use std::{sync::Arc, time::Duration};

use super::Computing;
use crate::{
    clock,
    core::{
        computing::{FileRecord, Session, SessionKey},
        retry::doubled,
    },
    engine::EngineError,
    store::StoreError,
};

/// The pause between two clearings, where nothing calls for one earlier.
const CLEAR_EVERY: Duration = Duration::from_mins(10);
/// The first and the longest pause before what could not be deleted is tried again.
const PAUSES: (Duration, Duration) = (Duration::from_secs(2), Duration::from_mins(5));
/// How long a file is tried to be deleted, in milliseconds; those that were uploaded expire long before.
const PATIENCE_MS: u64 = 29 * 24 * 60 * 60 * 1000;

impl Computing {
    /// Deletes the files of runs that are over, soon and whatever happens.
    pub(in crate::engine) fn leave_files(&self) {
        self.left.notify_one();
    }

    /// Deletes the files of runs that are over; returns whether some are left.
    async fn clear_files(&self) -> Result<bool, EngineError> {
        let mut are_left = false;
        let kept: Vec<(String, FileRecord)> = self.runtime.tables.files.iter().collect::<Result<_, StoreError>>()?;
        for (id, record) in kept {
            if self.runtime.tables.runs.get(&record.run)?.is_some() {
                continue;
            }
            let is_gone = match self.claude.delete_file(&id).await {
                Ok(()) => true,
                Err(error) => {
                    tracing::debug!(%error, "a file at the provider cannot be deleted yet");
                    false
                }
            };
            if is_gone || clock::now().ms_since(record.noted_at) >= PATIENCE_MS {
                self.runtime.tables.files.remove(&id)?;
            }
            are_left |= !is_gone;
        }
        Ok(are_left)
    }

    /// Forgets the containers that are over.
    fn forget_containers(&self) -> Result<(), StoreError> {
        let now = clock::now();
        let kept: Vec<(SessionKey, Session)> = self.runtime.tables.containers.iter().filter_map(Result::ok).collect();
        for (key, _) in kept.into_iter().filter(|(_, session)| session.is_over(now)) {
            self.runtime.tables.containers.remove(&key)?;
        }
        Ok(())
    }
}

/// Deletes files whose runs are over, until told to stop: those of earlier processes too.
pub(in crate::engine) async fn keep_files(computing: Arc<Computing>) {
    let mut tries = 0;
    loop {
        if let Err(error) = computing.forget_containers() {
            tracing::warn!(%error, "containers that are over cannot be forgotten");
        }
        let are_left = match computing.clear_files().await {
            Ok(are_left) => are_left,
            Err(error) => {
                tracing::warn!(%error, "files at the provider cannot be deleted; it is tried again");
                true
            }
        };
        tries = if are_left { tries + 1 } else { 0 };
        let pause = if are_left { doubled(PAUSES.0, PAUSES.1, tries) } else { CLEAR_EVERY };
        tokio::select! {
            () = computing.runtime.stop.cancelled() => return,
            () = computing.left.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}
