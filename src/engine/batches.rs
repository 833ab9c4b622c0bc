//! Batches (C20): sent, looked for where no reply came, waited for, and cleared away. `core/batch.rs` decides when.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::sync::Notify;

use super::{EngineError, records::BatchRecord, runtime::Runtime};
use crate::{
    claude::{self, BatchOutcome, BatchStatus, Message},
    clock,
    core::{
        batch::{self, Batch, CANCEL_PATIENCE_MS},
        retry::doubled,
        run::{BatchNews, RunId},
    },
    store::StoreError,
};

/// Other batches that are looked through, at most, for one whose creation had no reply.
const CANDIDATES_MAX: usize = 20;
/// How long a batch whose creation had no reply is looked for, in milliseconds, where none is there that it may be.
const FIND_PATIENCE_MS: u64 = 60 * 1000;
/// The pause between two clearings, where nothing calls for one earlier.
const CLEAR_EVERY: Duration = Duration::from_mins(10);
/// How long a batch is tried to be cleared away, in milliseconds: the provider keeps results for 29 days.
const CLEAR_PATIENCE_MS: u64 = 29 * 24 * 60 * 60 * 1000;

/// What waiting for a batch came to.
pub(super) enum Awaited {
    /// A batch whose creation had no reply has this id.
    Found(String),
    /// The answer.
    Answer(Box<Message>),
    /// No answer.
    Nothing {
        /// Whether the provider may charge for it nevertheless.
        may_cost: bool,
    },
}

/// What a look at a batch shows.
enum Look {
    /// There is none that it may be.
    Missing,
    Waits,
    Over(Awaited),
}

/// The batches at the provider.
pub(super) struct Batches {
    runtime: Arc<Runtime>,
    claude: Arc<claude::Client>,
    /// Tells that a run is over that left one.
    left: Notify,
}

impl Batches {
    pub(super) fn new(runtime: &Arc<Runtime>, claude: &Arc<claude::Client>) -> Self {
        Self { runtime: runtime.clone(), claude: claude.clone(), left: Notify::new() }
    }

    /// Sends a batch, once. Where nothing of it can have arrived, it is tried again until the batch would be given up.
    pub(super) async fn send_batch(
        self: &Arc<Self>,
        run: &RunId,
        batch: &Batch,
        request: &claude::Request,
    ) -> BatchNews {
        let mut tries = 0;
        loop {
            // A run that is cut off now must not lose the id: it is to be cancelled.
            let (batches, run) = (self.clone(), run.as_str().to_owned());
            let (batch_sent, request_sent) = (batch.clone(), request.clone());
            let making = async move { batches.make_batch(run, &batch_sent, &request_sent).await };
            let failed = match self.runtime.tasks.spawn(making).await {
                Ok(Ok(id)) => return BatchNews::Made(id),
                Ok(Err(failed)) => failed,
                Err(_) => return BatchNews::Unsure,
            };
            let now = clock::now();
            tracing::warn!(error = %failed.error, may_exist = failed.may_exist, "a batch cannot be made");
            self.runtime.metrics.model_failed(failed.error.cause.name());
            match (failed.may_exist, failed.may_pass && now < batch.until) {
                (true, _) => return BatchNews::Unsure,
                (false, false) => return BatchNews::GivenUp,
                (false, true) => tokio::time::sleep(batch::pause(tries, batch.until, now)).await,
            }
            tries = tries.saturating_add(1);
        }
    }

    async fn make_batch(
        &self,
        run: String,
        batch: &Batch,
        request: &claude::Request,
    ) -> Result<String, claude::NotMade> {
        let made = self.claude.create_batch(request, &batch.custom_id).await?;
        tracing::info!(batch.id = made.id, model = request.model, "a question went as a batch");
        self.note_batch(&made.id, run);
        Ok(made.id)
    }

    /// Notes a batch that has to be cleared away.
    fn note_batch(&self, id: &str, run: String) {
        let record = BatchRecord { run, made_at: clock::now() };
        if let Err(error) = self.runtime.tables.batches.put(&id.to_owned(), &record) {
            tracing::warn!(%error, batch.id = id, "a batch cannot be noted; the provider forgets it in 29 days");
        }
    }

    /// Waits until a batch ends or is to be given up; then it is cancelled.
    pub(super) async fn await_batch(&self, run: &RunId, batch: &Batch) -> Awaited {
        let (mut looks, mut excluded) = (0, BTreeSet::new());
        let since = clock::now();
        loop {
            let now = clock::now();
            if now >= batch.until {
                break;
            }
            let looked = match &batch.id {
                Some(id) => self.look_at_batch(id, &batch.custom_id).await,
                None => self.find_batch(batch, &mut excluded).await,
            };
            match looked {
                Ok(Look::Over(awaited)) => {
                    if let Awaited::Found(id) = &awaited {
                        self.note_batch(id, run.as_str().to_owned());
                    }
                    return awaited;
                }
                Ok(Look::Missing) if now.ms_since(since) >= FIND_PATIENCE_MS => {
                    return Awaited::Nothing { may_cost: true };
                }
                Ok(Look::Waits | Look::Missing) => {}
                Err(error) => {
                    tracing::warn!(%error, "how far a batch is cannot be told now");
                    self.runtime.metrics.model_failed(error.cause.name());
                }
            }
            tokio::time::sleep(batch::pause(looks, batch.until, now)).await;
            looks = looks.saturating_add(1);
        }
        match &batch.id {
            Some(id) => self.give_batch_up(id, &batch.custom_id).await,
            None => Awaited::Nothing { may_cost: true },
        }
    }

    /// Looks how far a batch is, and reads its result if it has ended.
    async fn look_at_batch(&self, id: &str, custom_id: &str) -> Result<Look, claude::Error> {
        let Some(batch) = self.claude.look_at_batch(id).await? else {
            return Ok(Look::Over(Awaited::Nothing { may_cost: true }));
        };
        if batch.status != BatchStatus::Ended {
            return Ok(Look::Waits);
        }
        let nothing = |may_cost| Ok(Look::Over(Awaited::Nothing { may_cost }));
        match self.claude.batch_result(id, custom_id).await? {
            Some(BatchOutcome::Succeeded(message)) => Ok(Look::Over(Awaited::Answer(message))),
            Some(BatchOutcome::Errored(said)) => {
                tracing::warn!(batch.id = id, %said, "a batch's request failed");
                nothing(false)
            }
            Some(outcome @ (BatchOutcome::Canceled | BatchOutcome::Expired)) => {
                tracing::warn!(batch.id = id, ?outcome, "a batch ended without an answer");
                nothing(false)
            }
            None => nothing(true),
        }
    }

    /// Looks for a batch whose creation had no reply, among those of its time with one request. Only its result
    /// says which one it is.
    async fn find_batch(&self, batch: &Batch, excluded: &mut BTreeSet<String>) -> Result<Look, claude::Error> {
        let listed = self.claude.newest_batches().await?;
        let is_of_its_time = |one: &&claude::Batch| one.created_at.is_none_or(|at| batch.may_be(at));
        let mut may_come = Look::Missing;
        for one in listed.iter().filter(|one| one.requests == 1).filter(is_of_its_time).take(CANDIDATES_MAX) {
            let is_another_run_s = matches!(self.runtime.tables.batches.get(&one.id), Ok(Some(_)));
            if is_another_run_s || excluded.contains(&one.id) {
                continue;
            }
            if one.status != BatchStatus::Ended {
                may_come = Look::Waits;
                continue;
            }
            if self.claude.batch_result(&one.id, &batch.custom_id).await?.is_some() {
                tracing::info!(batch.id = one.id, "a batch whose creation had no reply is found");
                return Ok(Look::Over(Awaited::Found(one.id.clone())));
            }
            excluded.insert(one.id.clone());
        }
        Ok(may_come)
    }

    /// Cancels a batch, and waits a little for its end: it may bring the answer nevertheless.
    async fn give_batch_up(&self, id: &str, custom_id: &str) -> Awaited {
        tracing::info!(batch.id = id, "a batch is given up; the question is asked in a normal call");
        let until = clock::now().later(CANCEL_PATIENCE_MS);
        let mut looks = 0;
        loop {
            if let Err(error) = self.claude.cancel_batch(id).await {
                // One that has ended is refused, and needs none.
                tracing::debug!(%error, batch.id = id, "a batch cannot be cancelled");
            }
            match self.look_at_batch(id, custom_id).await {
                Ok(Look::Over(awaited)) => return awaited,
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, batch.id = id, "how a batch ends cannot be told now"),
            }
            let now = clock::now();
            if now >= until {
                return Awaited::Nothing { may_cost: true };
            }
            tokio::time::sleep(batch::pause(looks, until, now)).await;
            looks = looks.saturating_add(1);
        }
    }

    /// Clears away what a run leaves at the provider, soon and whatever happens.
    pub(super) fn leave_batches(&self) {
        self.left.notify_one();
    }

    /// Clears away the batches whose runs are over; returns whether some are left.
    async fn clear_batches(&self) -> Result<bool, EngineError> {
        let mut are_left = false;
        let kept: Vec<(String, BatchRecord)> = self.runtime.tables.batches.iter().collect::<Result<_, StoreError>>()?;
        for (id, record) in kept {
            if self.runtime.tables.runs.get(&record.run)?.is_some() {
                continue;
            }
            let is_gone = match self.clear_batch(&id).await {
                Ok(is_gone) => is_gone,
                Err(error) => {
                    tracing::debug!(%error, batch.id = id, "a batch cannot be cleared away yet");
                    false
                }
            };
            if is_gone || clock::now().ms_since(record.made_at) >= CLEAR_PATIENCE_MS {
                self.runtime.tables.batches.remove(&id)?;
            }
            are_left |= !is_gone;
        }
        Ok(are_left)
    }

    /// Deletes a batch, or cancels it if it goes on; returns whether it is gone.
    async fn clear_batch(&self, id: &str) -> Result<bool, claude::Error> {
        let Some(batch) = self.claude.look_at_batch(id).await? else { return Ok(true) };
        if batch.status == BatchStatus::Ended {
            self.claude.delete_batch(id).await?;
            return Ok(true);
        }
        if batch.status == BatchStatus::InProgress {
            self.claude.cancel_batch(id).await?;
            tracing::info!(batch.id = id, "a batch is cancelled that nobody waits for");
        }
        Ok(false)
    }
}

/// Clears batches away whose runs are over, until told to stop: those of earlier processes too.
pub(super) async fn keep_batches(batches: Arc<Batches>) {
    let mut tries = 0;
    loop {
        let are_left = match batches.clear_batches().await {
            Ok(are_left) => are_left,
            Err(error) => {
                tracing::warn!(%error, "batches cannot be cleared away; it is tried again");
                true
            }
        };
        tries = if are_left { tries + 1 } else { 0 };
        let pause = if are_left { doubled(batch::LOOK_FIRST, batch::LOOK_MAX, tries) } else { CLEAR_EVERY };
        tokio::select! {
            () = batches.runtime.stop.cancelled() => return,
            () = batches.left.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}
