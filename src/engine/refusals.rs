//! Refusals by the model's provider (C26): the request is retried without its context, and what was to blame is left
//! out of later ones.

use std::sync::Arc;

use ruma::OwnedEventId;

use super::{
    Engine, EngineError, Shared,
    records::{AssistantRecord, RoomRecord},
    runs::Asking,
    used::Used,
    work::Stage,
};
use crate::{
    core::{
        refused::{Breadth, Refused},
        run::{Fault, Machine, RunRecord, Stop},
        tool::Toolset,
        words,
    },
    matrix::Account,
};

/// The outcome of a run's loop.
type Reply = Result<(String, Stop), Fault>;

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

    /// Works on a request. If it is refused, retries it once without earlier messages. From then on leaves out what was
    /// to blame: the earlier messages if the retry succeeds, else the request.
    pub(super) async fn work_unsilenced(
        self: &Shared,
        stage: &Stage<'_>,
        record: &mut RunRecord,
        machine: &mut Machine,
        asking: &mut Asking<'_>,
        used: &mut Used,
    ) -> Result<Reply, EngineError> {
        let reply = Box::pin(self.work(stage, record, machine, asking, used)).await?;
        if !is_refused(&reply) {
            if reply.is_ok() {
                self.note_taken(record)?;
            }
            return Ok(reply);
        }
        let blamed = std::mem::take(&mut asking.blamed);
        let request = [record.request.clone()];
        if blamed.is_empty() {
            self.note_refused(record, &request)?;
            return Ok(reply);
        }
        tracing::info!("a request was refused; it is asked once more by itself");
        record.begin_anew();
        self.journal(stage.id, record)?;
        let Some(mut alone) = self.asking_for(stage.account, record, Breadth::Alone).await? else {
            return Ok(reply);
        };
        let reply = Box::pin(self.work(stage, record, machine, &mut alone, used)).await?;
        Ok(match reply {
            Ok((text, stop)) if stop != Stop::Refused => {
                tracing::info!(messages = blamed.len(), "earlier messages were refused; they are left out from now on");
                self.note_refused(record, &blamed)?;
                Ok((format!("{text}\n\n{}", words::answered_alone()), stop))
            }
            Ok(refused) => {
                self.note_refused(record, &request)?;
                Ok(refused)
            }
            Err(fault) => Err(fault),
        })
    }

    /// Returns the refused messages of the run's room or assistant.
    pub(super) fn refused(&self, record: &RunRecord) -> Result<Refused, EngineError> {
        Ok(if record.private {
            self.tables.assistants.get(&record.asker)?.unwrap_or_default().refused
        } else {
            self.tables.rooms.get(&record.room)?.unwrap_or_default().refused
        })
    }

    fn note_refused(&self, record: &RunRecord, ids: &[OwnedEventId]) -> Result<(), EngineError> {
        self.change_refused(record, |refused| refused.add(ids))
    }

    fn note_taken(&self, record: &RunRecord) -> Result<(), EngineError> {
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

fn is_refused(reply: &Reply) -> bool {
    matches!(reply, Ok((_, Stop::Refused)))
}
