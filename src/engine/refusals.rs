//! Refusals by the model's provider (C26): what was to blame is left out of later requests. `core::run` decides what that
//! is, and retries the request without its context.

use std::sync::Arc;

use ruma::OwnedEventId;

use super::{
    Engine, EngineError, Shared,
    records::{AssistantRecord, RoomRecord},
    runs::Asking,
};
use crate::{
    core::{
        refused::{Breadth, Refused},
        run::RunRecord,
        tool::Toolset,
    },
    matrix::Account,
};

impl Engine {
    /// Composes the context and the toolset for a run; `None` if its coworker is gone.
    pub(super) async fn compose_for<'a>(
        self: &'a Shared,
        account: &Arc<Account>,
        record: &mut RunRecord,
        breadth: Breadth,
    ) -> Result<Option<(Asking<'a>, Toolset)>, EngineError> {
        let Some(asking) = self.asking_for(account, record, breadth).await? else { return Ok(None) };
        let tools = match self.coworker(&record.user) {
            Some(coworker) if !record.private => self.toolset_of_run(coworker, &record.room).await?,
            _ => self.toolset_of_private_run().await?,
        };
        Ok(Some((asking, tools)))
    }

    async fn asking_for<'a>(
        self: &'a Shared,
        account: &Arc<Account>,
        record: &mut RunRecord,
        breadth: Breadth,
    ) -> Result<Option<Asking<'a>>, EngineError> {
        if record.private {
            return Ok(Some(Box::pin(self.compose_assistant(account, record, breadth)).await?));
        }
        let Some(coworker) = self.coworker(&record.user) else { return Ok(None) };
        Ok(Some(Box::pin(self.compose_coworker(account, coworker, record, breadth)).await?))
    }

    /// Returns the refused messages of the run's room or assistant.
    pub(super) fn refused(&self, record: &RunRecord) -> Result<Refused, EngineError> {
        Ok(if record.private {
            self.tables.assistants.get(&record.asker)?.unwrap_or_default().refused
        } else {
            self.tables.rooms.get(&record.room)?.unwrap_or_default().refused
        })
    }

    /// Leaves messages out of later requests where a run reads.
    pub(super) fn note_refused(&self, record: &RunRecord, ids: &[OwnedEventId]) -> Result<(), EngineError> {
        self.change_refused(record, |refused| refused.add(ids))
    }

    /// A request that was refused before was taken.
    pub(super) fn note_taken(&self, record: &RunRecord) -> Result<(), EngineError> {
        if !self.refused(record)?.has(&record.request) {
            return Ok(());
        }
        self.change_refused(record, |refused| refused.remove(&record.request))
    }

    fn change_refused(&self, record: &RunRecord, change: impl FnOnce(&mut Refused)) -> Result<(), EngineError> {
        if record.private {
            self.tables.assistants.update(&record.asker, |kept: Option<AssistantRecord>| {
                let mut kept = kept.unwrap_or_default();
                change(&mut kept.refused);
                Some(kept)
            })?;
        } else {
            self.tables.rooms.update(&record.room, |kept: Option<RoomRecord>| {
                let mut kept = kept.unwrap_or_default();
                change(&mut kept.refused);
                Some(kept)
            })?;
        }
        Ok(())
    }
}
