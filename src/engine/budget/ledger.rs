//! The stored accounts and outlays. They are changed one at a time and written through.
//!
//! A reservation writes the outlay before the accounts, and so does a settlement. The store keeps the order of writes,
//! so what a crash leaves is known: a call that an account still holds has an outlay, and if that is settled, the
//! account is settled at the same amount.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};

use crate::{
    claude, clock,
    core::{
        batch::Latency,
        budget::{
            self, Account, Entry, Estimate, Full, Holder, Left, Level, Low, Lows, Period, Ratio, Scope, Terms, Usd,
            day_of, month_of,
            outlay::{Cost, Outlay, OutlaysKey, RunBy, RunOutlays, call_name, call_named, key_of},
        },
        prompt::{Prompt, ToolDefinition},
        run::RunRecord,
        time::Timestamp,
    },
    engine::books::Books,
    store::{Store, StoreError, Table},
};

/// What the answers of an earlier process's call cost: the outer `None` means that the call goes on, the inner one that
/// it has no outlay, as in early versions.
type Recovered = Option<Option<Vec<(String, Usd)>>>;

/// The key of the warning in the settings table.
const WARNING: &str = "budget_warning";

/// The accounts.
pub(in crate::engine) struct Ledger {
    accounts: Table<String, Account>,
    outlays: Table<OutlaysKey, RunOutlays>,
    /// What coworkers spent before there was a ledger.
    spent_before: Table<(ruma::OwnedUserId, String), u64>,
    warning: Table<String, Warning>,
    terms: RwLock<Arc<Terms>>,
    changing: Mutex<()>,
    /// For each model, its tokens per estimated token, learned from its answers.
    ratios: Mutex<BTreeMap<String, Ratio>>,
    lows: Mutex<Lows>,
    /// Tells waiting calls that a reservation was released.
    pub(super) freed: watch::Sender<u64>,
    /// Sums of what is written here.
    books: Option<Arc<Books>>,
    /// Tells that admins have to be warned.
    pub(in crate::engine) warning_due: Notify,
}

/// The warning to admins that is being sent, so that one that a crash cut off is sent again as the same message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Warning {
    /// Its number.
    pub(in crate::engine) number: u64,
    /// What it tells; empty once it is sent.
    pub(in crate::engine) lows: Vec<Low>,
}

/// A call that is about to be reserved.
pub(super) struct Opening<'a> {
    pub(super) record: &'a RunRecord,
    pub(super) by: RunBy,
    pub(super) model: &'a str,
    pub(super) estimate: Estimate,
    pub(super) latency: Latency,
}

/// A call whose cost is reserved.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) key: OutlaysKey,
    pub(super) number: usize,
    pub(super) name: String,
}

impl Ledger {
    /// Opens the accounts, and settles what an earlier process left open.
    pub(in crate::engine) fn open(store: &Store, terms: Terms, now: Timestamp) -> Result<Self, StoreError> {
        let this = Self {
            accounts: store.ledger(),
            outlays: store.outlays(),
            spent_before: store.spent(),
            warning: store.settings(),
            terms: RwLock::new(Arc::new(terms)),
            changing: Mutex::new(()),
            ratios: Mutex::default(),
            lows: Mutex::default(),
            freed: watch::Sender::new(0),
            books: None,
            warning_due: Notify::new(),
        };
        let now = this.terms().zone.shown_as_utc(now);
        for (name, account) in this.settle_left(&store.runs())? {
            if let Some(holder) = Holder::parse(&name) {
                this.see(&holder, &account, now);
            }
        }
        if this.warning.get(&WARNING.to_owned())?.is_some_and(|warning| !warning.lows.is_empty()) {
            this.warning_due.notify_one();
        }
        Ok(this)
    }

    /// Notes in these books what it writes from now on.
    pub(super) fn counted_in(self, books: Arc<Books>) -> Self {
        Self { books: Some(books), ..self }
    }

    /// Settles the calls that an earlier process left open, but for batches that their runs still wait for. Returns all
    /// accounts as they are then.
    fn settle_left(&self, runs: &Table<String, RunRecord>) -> Result<BTreeMap<String, Account>, StoreError> {
        let mut accounts: BTreeMap<String, Account> = self.accounts.iter().collect::<Result<_, _>>()?;
        let mut calls: BTreeMap<String, Left> = BTreeMap::new();
        for (name, account) in &accounts {
            Left::gather(&mut calls, name, account);
        }
        for (call, left) in calls {
            let Some(parts) = self.recovered(&call, &left, runs)? else { continue };
            for name in left.held_by {
                let Some(account) = accounts.get_mut(&name) else { continue };
                match &parts {
                    Some(parts) => account.recover(&call, parts),
                    None => {
                        account.settle(&call, left.noted);
                    }
                }
                self.accounts.put(&name, account)?;
            }
        }
        Ok(accounts)
    }

    /// Settles the outlay of a call of an earlier process, and returns what its answers cost.
    fn recovered(&self, call: &str, left: &Left, runs: &Table<String, RunRecord>) -> Result<Recovered, StoreError> {
        let Some((key, number)) = call_named(call) else { return Ok(Some(None)) };
        let Some(mut run) = self.outlays.get(&key)? else { return Ok(Some(None)) };
        if run.waiting() == Some(number) && runs.get(&key.1)?.is_some() {
            return Ok(None);
        }
        let before = run.clone();
        let is_held = |holder: &Holder| left.held_by.contains(&holder.to_string());
        run.recover(number, left.noted, run.holders(number).iter().all(is_held));
        if run != before {
            self.outlays.put(&key, &run)?;
        }
        Ok(Some(Some(run.parts(number))))
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lows(&self) -> MutexGuard<'_, Lows> {
        self.lows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what the clock of the budgets' zone shows.
    pub(super) fn now(&self) -> Timestamp {
        self.terms().zone.shown_as_utc(clock::now())
    }

    /// Returns when a limit ends by everybody's clock.
    fn full(&self, full: Full) -> Full {
        Full { until: self.terms().zone.when_it_shows(full.until), ..full }
    }

    pub(super) fn terms(&self) -> Arc<Terms> {
        self.terms.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Goes on with other limits, which hold from the next call on, and has those who wait look again.
    pub(super) fn follow(&self, terms: Terms) -> Result<(), StoreError> {
        let _changing = self.lock();
        *self.terms.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(terms);
        let now = self.now();
        for kept in self.accounts.iter() {
            let (name, account) = kept?;
            if let Some(holder) = Holder::parse(&name) {
                self.see(&holder, &account, now);
            }
        }
        self.freed.send_modify(|count| *count = count.wrapping_add(1));
        Ok(())
    }

    /// Returns the tokens that a model counts for a thousand estimated ones, as far as its answers have shown.
    pub(super) fn ratio(&self, model: &str) -> Ratio {
        let ratios = self.ratios.lock().unwrap_or_else(PoisonError::into_inner);
        ratios.get(model).copied().unwrap_or_else(|| Ratio::of(model))
    }

    /// Learns how many tokens a model counts, from a prompt whose tokens the provider reported. Prompts with files or
    /// the provider's own tools teach nothing, because those are estimated by other measures.
    pub(in crate::engine) fn learn(&self, model: &str, prompt: &Prompt, told: u64) {
        if prompt.has_files() || prompt.tools.iter().any(|tool| matches!(tool, ToolDefinition::Provider(_))) {
            return;
        }
        let estimated = budget::prompt_tokens(prompt);
        let mut ratios = self.ratios.lock().unwrap_or_else(PoisonError::into_inner);
        ratios.entry(model.to_owned()).or_insert_with(|| Ratio::of(model)).learn(estimated, told);
    }

    /// Returns a holder's account as it is now.
    pub(super) fn account(&self, holder: &Holder, now: Timestamp) -> Result<Account, StoreError> {
        if let Some(kept) = self.accounts.get(&holder.to_string())? {
            return Ok(kept);
        }
        let before = match holder {
            Holder::Coworker(user) => self.spent_before.get(&(user.clone(), month_of(now)))?.unwrap_or_default(),
            _ => 0,
        };
        Ok(if before == 0 { Account::default() } else { Account::with_month(month_of(now), Usd::from_micro(before)) })
    }

    fn entries(&self, holders: &[Holder], now: Timestamp) -> Result<Vec<Entry>, StoreError> {
        let entry = |holder: &Holder| {
            let account = self.account(holder, now)?;
            Ok(Entry { scope: holder.scope(), limits: self.terms().of(holder), account })
        };
        holders.iter().map(entry).collect()
    }

    /// Changes accounts together and stores them. Whoever calls it holds the lock.
    fn change<T>(&self, holders: &[Holder], change: impl FnOnce(&mut [Entry]) -> T) -> Result<T, StoreError> {
        let now = self.now();
        let before = self.entries(holders, now)?;
        let mut after = before.clone();
        let changed = change(&mut after);
        self.keep(holders, &before, &after, now)?;
        Ok(changed)
    }

    /// Stores the accounts that were changed.
    fn keep(&self, holders: &[Holder], before: &[Entry], after: &[Entry], now: Timestamp) -> Result<(), StoreError> {
        for ((holder, before), Entry { account, .. }) in holders.iter().zip(before).zip(after) {
            if *account != before.account {
                self.accounts.put(&holder.to_string(), account)?;
                self.see(holder, account, now);
            }
        }
        Ok(())
    }

    fn see(&self, holder: &Holder, account: &Account, now: Timestamp) {
        if self.lows().see(holder, account, &self.terms().of(holder), now) {
            self.warning_due.notify_one();
        }
    }

    /// Reserves a call in all accounts that it falls under, or in none.
    pub(super) fn reserve(
        &self,
        holders: &[Holder],
        opening: &Opening<'_>,
        now: Timestamp,
    ) -> Result<Result<Call, Full>, StoreError> {
        let (_changing, now) = (self.lock(), self.terms().zone.shown_as_utc(now));
        let Opening { record, by, model, estimate, latency } = opening;
        let key = key_of(record.accepted_at, &record.outlays_name(), by);
        let before_run = self.outlays.get(&key)?;
        let mut run = before_run.clone().unwrap_or_else(|| RunOutlays::of(record.user.clone(), by.clone()));
        let number = run.next();
        let call = Call { name: call_name(&key, number), key, number };
        let before = self.entries(holders, now)?;
        let mut after = before.clone();
        if let Err(full) = budget::reserve(&mut after, &call.name, estimate, now) {
            return Ok(Err(self.full(full)));
        }
        run.begin(Outlay {
            day: day_of(now),
            person: record.payer().map(ToOwned::to_owned),
            model: (*model).to_owned(),
            cost: None,
            priced: is_priced(model),
            batch: *latency == Latency::Batch,
        });
        self.write(&call.key, before_run.as_ref(), &run)?;
        self.keep(holders, &before, &after, now)?;
        Ok(Ok(call))
    }

    /// Stores a run's outlays.
    fn write(&self, key: &OutlaysKey, before: Option<&RunOutlays>, run: &RunOutlays) -> Result<(), StoreError> {
        let mut books = self.books.as_ref().map(|books| books.open());
        self.outlays.put(key, run)?;
        if let Some(books) = &mut books {
            books.note_outlays(key, before, run);
        }
        Ok(())
    }

    /// Changes a run's outlays, if there are any.
    fn rewrite(&self, key: &OutlaysKey, change: impl FnOnce(&mut RunOutlays)) -> Result<(), StoreError> {
        let Some(before) = self.outlays.get(key)? else { return Ok(()) };
        let mut run = before.clone();
        change(&mut run);
        if run == before { Ok(()) } else { self.write(key, Some(&before), &run) }
    }

    /// Returns the call of a run that waits for a batch, if one does.
    pub(super) fn waiting(&self, key: &OutlaysKey) -> Result<Option<Call>, StoreError> {
        let number = self.outlays.get(key)?.and_then(|run| run.waiting());
        Ok(number.map(|number| Call { name: call_name(key, number), key: key.clone(), number }))
    }

    /// Settles a call at what is noted of it: nobody waits for its answer any more, and what it costs is not known.
    pub(super) fn leave(&self, holders: &[Holder], call: &Call) -> Result<(), StoreError> {
        let account = self.account(&Holder::Workspace, self.now())?;
        let noted = account.held().into_iter().find(|(name, _)| *name == call.name);
        let priced = self.outlays.get(&call.key)?.is_some_and(|run| run.is_priced(call.number));
        let amount = noted.map(|(_, noted)| noted).unwrap_or_default();
        self.settle(holders, call, &Cost { amount, model: None, priced })?;
        self.freed.send_modify(|count| *count = count.wrapping_add(1));
        Ok(())
    }

    /// Reserves a call again whose answer broke off.
    pub(super) fn again(
        &self,
        holders: &[Holder],
        call: &Call,
        cost: &Cost,
        estimate: &Estimate,
    ) -> Result<Result<(), Full>, StoreError> {
        let _changing = self.lock();
        let now = self.now();
        self.rewrite(&call.key, |run| {
            run.settle(call.number, cost);
            run.again(call.number, now);
        })?;
        let reserved =
            self.change(holders, |entries| budget::reserve_again(entries, &call.name, cost.amount, estimate, now))?;
        Ok(reserved.map_err(|full| self.full(full)))
    }

    /// Notes what a call costs so far.
    pub(super) fn note(&self, holders: &[Holder], call: &Call, so_far: Usd) -> Result<(), StoreError> {
        let _changing = self.lock();
        self.change(holders, |entries| {
            for entry in entries {
                entry.account.note(&call.name, so_far);
            }
        })
    }

    /// Replaces a call's reservation by its cost.
    pub(super) fn settle(&self, holders: &[Holder], call: &Call, cost: &Cost) -> Result<(), StoreError> {
        let _changing = self.lock();
        self.rewrite(&call.key, |run| run.settle(call.number, cost))?;
        self.change(holders, |entries| {
            for entry in entries {
                entry.account.settle(&call.name, cost.amount);
            }
        })
    }

    /// Returns what a run's calls cost, if there were any.
    pub(in crate::engine) fn outlays_at(&self, key: &OutlaysKey) -> Result<Option<RunOutlays>, StoreError> {
        self.outlays.get(key)
    }

    /// Returns the outlays of all runs, oldest first.
    pub(in crate::engine) fn outlays(
        &self,
    ) -> impl Iterator<Item = Result<(OutlaysKey, RunOutlays), StoreError>> + use<> {
        self.outlays.iter()
    }

    /// Removes outlays of runs accepted before `from`, at most so many; returns how many.
    pub(in crate::engine) fn retire_some(&self, from: Timestamp, runs_max: usize) -> Result<usize, StoreError> {
        self.outlays.remove_first(runs_max, |key| key.0 < from)
    }

    /// Drops accounts that have been unused for long.
    pub(in crate::engine) fn drop_stale(&self, now: Timestamp) -> Result<(), StoreError> {
        for record in self.accounts.iter() {
            let (name, account) = record?;
            if account.is_stale(now) {
                let _changing = self.lock();
                let is_stale = |account: Account| account.is_stale(now);
                if self.accounts.get(&name)?.is_some_and(is_stale) {
                    self.accounts.remove(&name)?;
                }
            }
        }
        Ok(())
    }

    /// Counts a scope's accounts at a level.
    pub(super) fn count(&self, scope: Scope, period: Period, level: Level) -> usize {
        self.lows().count(scope, period, level, self.now())
    }

    /// Returns the warning that is to be sent now; `None` if there is none. It is stored, and its accounts are marked, so
    /// that it is sent once whatever happens.
    pub(in crate::engine) fn next_warning(&self) -> Result<Option<Warning>, StoreError> {
        let _changing = self.lock();
        let key = WARNING.to_owned();
        let mut warning = self.warning.get(&key)?.unwrap_or_default();
        if warning.lows.is_empty() {
            let lows = self.lows().due(self.now());
            if lows.is_empty() {
                return Ok(None);
            }
            warning = Warning { number: warning.number.wrapping_add(1), lows };
            self.warning.put(&key, &warning)?;
        }
        for low in &warning.lows {
            self.change(std::slice::from_ref(&low.holder), |entries| {
                for entry in entries {
                    entry.account.note_warned(&low.span, low.limit);
                }
            })?;
        }
        Ok(Some(warning))
    }

    /// Notes that a warning is sent.
    pub(in crate::engine) fn warned(&self, warning: &Warning) -> Result<(), StoreError> {
        let _changing = self.lock();
        self.warning.put(&WARNING.to_owned(), &Warning { lows: Vec::new(), ..warning.clone() })
    }
}

/// Returns whether a model's price is known.
pub(super) fn is_priced(model: &str) -> bool {
    claude::dearest(model, 0).is_some()
}
