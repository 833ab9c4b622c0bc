//! A coworker answers, in a room that others read.

use std::sync::Arc;

use futures_util::{FutureExt as _, future::BoxFuture};
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};
use tokio::time::Instant;

use super::{Answerer, Said};
use crate::{
    config,
    core::{
        refused::{Breadth, Refused},
        room_tools::RoomTool,
        run::RunRecord,
        tool::Toolset,
    },
    engine::{
        Engine, EngineError,
        ask::Asking,
        events::sync_beside,
        records::{Posted, RoomRecord, ThreadRecord},
    },
    matrix::{Account, MatrixError},
};

/// A coworker that answers in one room.
pub(super) struct Coworker<'e> {
    pub(super) engine: &'e Engine,
    /// As the config had it when the run began, whatever a reload changes meanwhile; `None` if it is gone.
    pub(super) coworker: Option<Arc<config::Coworker>>,
    pub(super) user: OwnedUserId,
    pub(super) room: OwnedRoomId,
}

impl Coworker<'_> {
    fn opened(&self) -> Result<Arc<Account>, EngineError> {
        let (engine, user) = (self.engine, &self.user);
        match engine.pool.kept(user) {
            Some(account) => Ok(account),
            // It is being set up, or out of order: its runs wait for it.
            None if self.coworker.is_some() => {
                let cause = format!("{user} is not set up yet");
                Err(MatrixError::Unreachable { url: engine.config().homeserver.url.to_string(), cause }.into())
            }
            None => Err(MatrixError::NotJoined { user: user.to_string(), room: self.room.to_string() }.into()),
        }
    }

    fn note_under_request(&self, record: &RunRecord, event: OwnedEventId, is_answer: bool) -> Result<(), EngineError> {
        let posted = Posted { user: record.user.clone(), event };
        let request = (record.room.clone(), record.request.clone());
        self.engine.tables.threads.update(&request, |kept: Option<ThreadRecord>| {
            let mut kept = kept.unwrap_or_default();
            if !kept.posted.contains(&posted) {
                kept.posted.push(posted.clone());
            }
            if is_answer {
                kept.answered_in = record.place.thread_root().map(ToOwned::to_owned);
            }
            Some(kept)
        })?;
        Ok(())
    }

    /// Notes an answer both under its request and under its own id.
    fn note_answer(&self, record: &RunRecord, event: &OwnedEventId) -> Result<(), EngineError> {
        self.note_under_request(record, event.clone(), true)?;
        let threads = &self.engine.tables.threads;
        let run = (record.accepted_at, record.id().as_str().to_owned());
        if let Some(root) = record.place.thread_root() {
            threads.update(&(record.room.clone(), root.to_owned()), |kept: Option<ThreadRecord>| {
                let mut kept = kept.unwrap_or_default();
                kept.last_runs.insert(record.user.clone(), run.clone());
                Some(kept)
            })?;
        }
        threads.update(&(record.room.clone(), event.clone()), |kept: Option<ThreadRecord>| {
            let answers = Some(Posted { user: record.user.clone(), event: record.request.clone() });
            Some(ThreadRecord { answers, run: Some(run), ..kept.unwrap_or_default() })
        })?;
        Ok(())
    }
}

impl<'e> Answerer<'e> for Coworker<'e> {
    fn account(&self) -> BoxFuture<'e, Result<Arc<Account>, EngineError>> {
        std::future::ready(self.opened()).boxed()
    }

    fn catch_up<'a>(
        &'a self,
        account: &'a Arc<Account>,
        record: &'a RunRecord,
        accepted: Instant,
    ) -> BoxFuture<'a, Result<(), EngineError>> {
        async move {
            // Where transactions brought everything, the sync comes beside the model's work; see `presence::show`.
            // Nothing is encrypted before it has ended.
            if !account.is_current(&record.room, &record.request) {
                account.sync_since(accepted).await?;
            } else if account.is_sealed(&record.room) {
                self.engine.tasks.spawn(sync_beside(account.clone(), accepted));
            }
            Ok(())
        }
        .boxed()
    }

    fn check_room<'a>(&'a self, _: &'a Account, _: &'a RunRecord) -> BoxFuture<'a, Result<(), EngineError>> {
        std::future::ready(Ok(())).boxed()
    }

    fn compose<'a>(
        &'a self,
        account: &'a Account,
        record: &'a mut RunRecord,
        breadth: &'a Breadth,
    ) -> BoxFuture<'a, Result<Option<Asking>, EngineError>> {
        async move {
            let Some(coworker) = &self.coworker else { return Ok(None) };
            Ok(Some(self.engine.compose_coworker(account, coworker, record, breadth).await?))
        }
        .boxed()
    }

    fn toolset<'a>(&'a self, record: &'a RunRecord) -> BoxFuture<'a, Result<Toolset, EngineError>> {
        async move {
            let Some(coworker) = &self.coworker else { return Ok(Toolset::default()) };
            let mut tools = self.engine.toolsets.toolset_of_run(coworker, &record.room).await?;
            if record.is_unasked() {
                // Only who asks can set up work; a card for it could only fail.
                tools.remove(RoomTool::ScheduleAdd.name());
            }
            Ok(tools)
        }
        .boxed()
    }

    fn note_posted(&self, record: &RunRecord, said: Said<'_>) -> Result<(), EngineError> {
        match said {
            Said::Answer(event) => self.note_answer(record, event),
            Said::Beside(event) => self.note_under_request(record, event.to_owned(), false),
        }
    }

    fn refused(&self) -> Result<Refused, EngineError> {
        Ok(self.engine.tables.rooms.get(&self.room)?.unwrap_or_default().refused)
    }

    fn change_refused(&self, change: &mut dyn FnMut(&mut Refused)) -> Result<(), EngineError> {
        self.engine.tables.rooms.update(&self.room, |kept: Option<RoomRecord>| {
            let mut kept = kept.unwrap_or_default();
            change(&mut kept.refused);
            Some(kept)
        })?;
        Ok(())
    }
}
