//! The two that answer: a coworker in rooms, and an assistant in its owner's chat. What a run does differently for one of
//! them is in its implementation of [`Answerer`], and nowhere else in the engine.

mod assistant;
mod coworker;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use ruma::{EventId, OwnedEventId};
use tokio::time::Instant;

use self::{assistant::Assistant, coworker::Coworker};
use super::{Engine, EngineError, ask::Asking};
use crate::{
    core::{
        refused::{Breadth, Refused},
        run::RunRecord,
        tool::Toolset,
    },
    matrix::Account,
};

/// Something that a run has posted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Said<'a> {
    /// An answer, or a part of one: 🔁 on it runs the request again.
    Answer(&'a OwnedEventId),
    /// A card or a word beside the answer, which goes with the request; 🔁 on it means nothing.
    Beside(&'a EventId),
}

/// Who answers a run, with the engine `'e`.
pub(super) trait Answerer<'e>: Send + Sync {
    /// Opens the account that answers.
    fn account(&self) -> BoxFuture<'e, Result<Arc<Account>, EngineError>>;

    /// Makes sure that what is known of the room is new enough to read it and to speak there.
    fn catch_up<'a>(
        &'a self,
        account: &'a Arc<Account>,
        record: &'a RunRecord,
        accepted: Instant,
    ) -> BoxFuture<'a, Result<(), EngineError>>;

    /// Checks, after a sync, that the run may still speak in its room.
    fn check_room<'a>(&'a self, account: &'a Account, record: &'a RunRecord) -> BoxFuture<'a, Result<(), EngineError>>;

    /// Composes what the model reads; `None` if who would answer is gone.
    fn compose<'a>(
        &'a self,
        account: &'a Account,
        record: &'a mut RunRecord,
        breadth: &'a Breadth,
    ) -> BoxFuture<'a, Result<Option<Asking>, EngineError>>;

    /// Returns the tools that a run has, once MCP servers are there.
    fn toolset<'a>(&'a self, record: &'a RunRecord) -> BoxFuture<'a, Result<Toolset, EngineError>>;

    /// Notes what a run has posted, so that people can react to it and it goes with its request.
    fn note_posted(&self, record: &RunRecord, said: Said<'_>) -> Result<(), EngineError>;

    /// Returns the messages that the model's provider refused where the run reads.
    fn refused(&self) -> Result<Refused, EngineError>;

    /// Changes them.
    fn change_refused(&self, change: &mut dyn FnMut(&mut Refused)) -> Result<(), EngineError>;
}

impl Engine {
    /// Returns who answers a run.
    pub(super) fn answerer(&self, record: &RunRecord) -> Box<dyn Answerer<'_> + '_> {
        if let Some(owner) = record.owner() {
            return Box::new(Assistant { engine: self, owner: owner.to_owned() });
        }
        let (user, room) = (record.user.clone(), record.room.clone());
        Box::new(Coworker { engine: self, coworker: self.coworker(&user), user, room })
    }
}
