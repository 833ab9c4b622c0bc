//! An assistant answers, in a chat that its owner alone reads.

use std::sync::Arc;

use futures_util::{FutureExt as _, future::BoxFuture};
use ruma::OwnedUserId;
use tokio::time::Instant;

use super::{Answerer, Said};
use crate::{
    core::{
        destination,
        refused::{Breadth, Refused},
        room_check::Privacy,
        run::RunRecord,
        tool::Toolset,
    },
    engine::{Engine, EngineError, ask::Asking},
    matrix::Account,
};

/// The assistant of one person.
pub(super) struct Assistant<'e> {
    pub(super) engine: &'e Engine,
    pub(super) owner: OwnedUserId,
}

impl<'e> Answerer<'e> for Assistant<'e> {
    fn account(&self) -> BoxFuture<'e, Result<Arc<Account>, EngineError>> {
        let (engine, persona) = (self.engine, self.engine.assistant_persona(&self.owner));
        async move { Ok(Box::pin(engine.pool.passing(&persona)).await?) }.boxed()
    }

    fn catch_up<'a>(
        &'a self,
        account: &'a Arc<Account>,
        _: &'a RunRecord,
        accepted: Instant,
    ) -> BoxFuture<'a, Result<(), EngineError>> {
        async move { Ok(account.sync_since(accepted).await?) }.boxed()
    }

    fn check_room<'a>(&'a self, account: &'a Account, record: &'a RunRecord) -> BoxFuture<'a, Result<(), EngineError>> {
        async move {
            match self.engine.chats.attend(account, &self.owner, &record.room).await? {
                Privacy::Tight => Ok(()),
                Privacy::Lost => Err(destination::Refused::Silent.into()),
            }
        }
        .boxed()
    }

    fn compose<'a>(
        &'a self,
        account: &'a Account,
        record: &'a mut RunRecord,
        breadth: &'a Breadth,
    ) -> BoxFuture<'a, Result<Option<Asking>, EngineError>> {
        async move {
            let mut asking = self.engine.compose_assistant(account, record, breadth).await?;
            // The index does not say what an assistant read.
            asking.composed.read.clear();
            Ok(Some(asking))
        }
        .boxed()
    }

    fn toolset<'a>(&'a self, _: &'a RunRecord) -> BoxFuture<'a, Result<Toolset, EngineError>> {
        self.engine.toolsets.toolset_of_private_run().boxed()
    }

    fn note_posted(&self, record: &RunRecord, said: Said<'_>) -> Result<(), EngineError> {
        match said {
            Said::Answer(event) => self.engine.note_answer(record, event),
            Said::Beside(event) => self.engine.note_private_card(record, event),
        }
    }

    fn refused(&self) -> Result<Refused, EngineError> {
        Ok(self.engine.tables.assistants.get(&self.owner)?.unwrap_or_default().refused)
    }

    fn change_refused(&self, change: &mut dyn FnMut(&mut Refused)) -> Result<(), EngineError> {
        self.engine.chats.note(&self.owner, |kept| change(&mut kept.refused))
    }
}
