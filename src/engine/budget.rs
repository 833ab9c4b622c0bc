//! What the model costs (C19, C23). Each call reserves its cost in every account that it falls under, and is settled at
//! its real cost, however it ends. `core/budget.rs` decides; this module keeps the accounts.

use std::{
    sync::Arc,
    sync::atomic::{AtomicI64, AtomicU64},
    time::Duration,
};

use tokio::sync::watch;

mod hold;
mod ledger;
mod shown;
mod warning;

use self::ledger::Opening;
pub(super) use self::{
    hold::Hold,
    ledger::Ledger,
    shown::Shown,
    warning::{Pace, log},
};
use super::{EngineError, books::Books, lanes, progress::Progress, runtime::Runtime};
use crate::{
    claude, clock,
    config::Config,
    core::{
        audit::Spent,
        batch::Latency,
        budget::{
            self, Estimate, Holder, Price, Terms, Usd, Why,
            outlay::{RunBy, key_of},
        },
        prompt::Prompt,
        run::{Fault, Run, RunRecord},
    },
    store::StoreError,
};

/// How long a call waits for others' reservations to be released before its request is declined.
const ROOM_PATIENCE: Duration = Duration::from_mins(2);

/// Returns the limits in the config.
fn terms(config: &Config) -> Terms {
    let namespace = config.namespace();
    let limited = config
        .coworkers
        .iter()
        .filter_map(|coworker| Some((namespace.coworker(&coworker.id.0), coworker.budget_usd_month?)));
    Terms { budgets: config.budgets, coworkers: limited.collect(), zone: config.workspace.zone.clone() }
}

/// What the model may cost and has cost: for each call of a run its reservation, and what people are shown of it.
pub(super) struct Budget {
    runtime: Arc<Runtime>,
    pub(super) ledger: Ledger,
    /// Sums of all runs and of what they cost.
    pub(super) books: Arc<Books>,
}

impl Budget {
    /// Opens the accounts, and settles what an earlier process left open.
    pub(super) fn open(runtime: &Arc<Runtime>) -> Result<Self, StoreError> {
        let setup = runtime.current.get();
        let (config, namespace) = (&setup.config, (*setup.namespace).clone());
        let books = Books::new(&runtime.store, config.workspace.zone.clone(), namespace, config.console.is_some());
        let books = Arc::new(books);
        let ledger = Ledger::open(&runtime.store, terms(config), clock::now())?.counted_in(books.clone());
        Ok(Self { runtime: runtime.clone(), ledger, books })
    }

    /// Goes on with the limits of the config in use.
    pub(super) fn follow(&self) -> Result<(), StoreError> {
        self.ledger.follow(terms(&self.runtime.config()))
    }

    /// Reserves the highest possible cost of a run's call before it is made. If others have reserved what is left,
    /// waits for them, and gives up the run's places meanwhile.
    ///
    /// The reservation is on disk when this returns, so that a killed process loses no spending.
    pub(super) async fn reserve<'a>(
        &'a self,
        (leave, progress): (&lanes::Place, &'a watch::Sender<Progress>),
        (record, is_begun): (&RunRecord, bool),
        (prompt, model): (&Prompt, &str),
        latency: Latency,
    ) -> Result<Result<Hold<'a>, Fault>, EngineError> {
        let (holders, by) = (Self::holders_of(record), self.run_by(record));
        let estimate = self.estimate(prompt, model, latency);
        let hold = |holders, call| self.hold((holders, call), (model, estimate), progress, latency);
        if let Some(call) = self.waiting(record, &by)? {
            if latency == Latency::Batch {
                // An earlier process, or attempt, reserved it.
                return Ok(Ok(hold(holders, call)));
            }
            self.ledger.leave(&holders, &call)?;
        }
        let opening = Opening { record, by, model, estimate, latency };
        let mut freed = self.ledger.freed.subscribe();
        let deadline = tokio::time::Instant::now() + ROOM_PATIENCE;
        let mut is_parked = false;
        let reserved = loop {
            freed.borrow_and_update();
            let reserved = self.ledger.reserve(&holders, &opening, clock::now())?;
            let Err(full) = reserved else { break reserved };
            if full.why == Why::Spent {
                break Err(full);
            }
            if !is_parked {
                tracing::info!("a call waits for what others have reserved of its budget");
                leave.park();
                is_parked = true;
            }
            if tokio::time::timeout_at(deadline, freed.changed()).await.is_err() {
                break Err(full);
            }
        };
        let reserved = reserved.map(|call| hold(holders, call));
        if is_parked {
            leave.unpark().await;
        }
        match reserved {
            Ok(hold) => {
                self.runtime.store.flush().await?;
                Ok(Ok(hold))
            }
            Err(full) => {
                tracing::info!(limit = full.name(), "a call is not made: a budget has no room for it");
                Ok(Err(Fault::OverBudget(budget::Full { begun: is_begun, ..full })))
            }
        }
    }

    /// Reserves a call like [`Self::reserve`], now or not at all: for a run that is not there yet.
    pub(super) async fn reserve_ahead<'a>(
        &'a self,
        progress: &'a watch::Sender<Progress>,
        record: &RunRecord,
        (prompt, model): (&Prompt, &str),
    ) -> Result<Option<Hold<'a>>, EngineError> {
        let (holders, by, latency) = (Self::holders_of(record), self.run_by(record), Latency::Normal);
        let estimate = self.estimate(prompt, model, latency);
        let opening = Opening { record, by, model, estimate, latency };
        let Ok(call) = self.ledger.reserve(&holders, &opening, clock::now())? else { return Ok(None) };
        let hold = self.hold((holders, call), (model, estimate), progress, latency);
        self.runtime.store.flush().await?;
        Ok(Some(hold))
    }

    fn hold<'a>(
        &'a self,
        (holders, call): (Vec<Holder>, ledger::Call),
        (model, estimate): (&str, Estimate),
        progress: &'a watch::Sender<Progress>,
        latency: Latency,
    ) -> Hold<'a> {
        Hold {
            ledger: &self.ledger,
            holders,
            call,
            model: model.to_owned(),
            estimate,
            progress,
            noted_ms: AtomicI64::new(i64::MIN),
            untold: AtomicU64::new(0),
            is_under_way: false,
            waits: latency == Latency::Batch,
        }
    }

    /// Returns the estimated number of a prompt's tokens, before it is sent.
    pub(super) fn tokens_of(&self, prompt: &Prompt, model: &str) -> u64 {
        self.ledger.ratio(model).apply(budget::prompt_tokens(prompt))
    }

    /// Returns a run's call that waits for a batch, if one does. Only errands are asked in batches.
    fn waiting(&self, record: &RunRecord, by: &RunBy) -> Result<Option<ledger::Call>, StoreError> {
        if record.errand.is_none() {
            return Ok(None);
        }
        self.ledger.waiting(&key_of(record.accepted_at, &record.outlays_name(), by))
    }

    /// Settles what a run that is over reserved for a batch.
    pub(super) fn leave_batch(&self, record: &RunRecord) {
        let left = self.waiting(record, &self.run_by(record)).and_then(|call| match call {
            Some(call) => self.ledger.leave(&Self::holders_of(record), &call),
            None => Ok(()),
        });
        if let Err(error) = left {
            tracing::error!(%error, "what a batch cost cannot be counted; it is at the next start");
        }
    }

    fn estimate(&self, prompt: &Prompt, model: &str, latency: Latency) -> Estimate {
        let tokens = self.tokens_of(prompt, model);
        let price = claude::dearest(model, tokens).map_or(Price::UNKNOWN, |dearest| Price {
            prompt_nano_usd: dearest.prompt,
            answer_nano_usd: dearest.answer,
            search_nano_usd: dearest.search,
            container_nano_usd: dearest.container,
        });
        let price = match latency {
            Latency::Normal => price,
            Latency::Batch => price.halved(),
        };
        budget::estimate(prompt, tokens, self.runtime.config().claude.output_tokens_max, price)
    }

    /// Returns whose accounts a run's calls fall under.
    fn holders_of(record: &RunRecord) -> Vec<Holder> {
        let owner = record.owner();
        let room = owner.is_none().then_some(&*record.room);
        Holder::of_call(record.payer(), &record.user, room, owner)
    }

    /// Returns whose run it is, as its outlays keep it.
    fn run_by(&self, record: &RunRecord) -> RunBy {
        if record.owner().is_some() {
            return RunBy::Assistant;
        }
        let id = self.runtime.coworker(&record.user).map(|coworker| coworker.id.0.clone());
        RunBy::Coworker(id, record.room.clone())
    }

    /// Returns a run's usage of the model. Its cost is what the accounts were charged, those of processes that crashed
    /// included.
    pub(super) fn spent_on(&self, run: &Run) -> Spent {
        let (record, spent) = (run.record(), run.used().spent());
        let key = key_of(record.accepted_at, &record.outlays_name(), &self.run_by(record));
        match self.ledger.outlays_at(&key) {
            Ok(Some(outlays)) if spent.model_calls > 0 || outlays.cost() != Some(Usd::ZERO) => {
                Spent { cost_micro_usd: outlays.cost().map(Usd::micro), ..spent }
            }
            Ok(_) => spent,
            Err(error) => {
                tracing::warn!(%error, "what a run was charged cannot be read; its index entry may say less");
                spent
            }
        }
    }
}

#[cfg(test)]
mod tests;
