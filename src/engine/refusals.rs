//! Refusals by the model's provider (C26): what was to blame is left out of later requests. `core::run` decides what that
//! is, and retries the request without its context.

use ruma::OwnedEventId;

use super::{Engine, EngineError};
use crate::core::run::RunRecord;

impl Engine {
    /// Leaves messages out of later requests where a run reads.
    pub(super) fn note_refused(&self, record: &RunRecord, ids: &[OwnedEventId]) -> Result<(), EngineError> {
        self.answerer(record).change_refused(&mut |refused| refused.add(ids))
    }

    /// A request that was refused before was taken.
    pub(super) fn note_taken(&self, record: &RunRecord) -> Result<(), EngineError> {
        let answerer = self.answerer(record);
        if !answerer.refused()?.has(&record.request) {
            return Ok(());
        }
        answerer.change_refused(&mut |refused| refused.remove(&record.request))
    }
}
