//! What the model costs (C19, C23). Each call reserves its cost in every account that it falls under, and is settled at
//! its real cost, however it ends. `core/budget.rs` decides; this module keeps the accounts.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use ruma::{OwnedUserId, UserId};
use tokio::sync::watch;

use super::{Engine, EngineError, lanes, progress::Progress, used};
use crate::{
    appservice::metrics::Labelled,
    claude, clock,
    core::{
        budget::{self, Account, Entry, Estimate, Limits, Period, Price, Ratio, Scope, Usd, Why, month_of},
        prompt::{Prompt, ToolDefinition},
        run::{Fault, RunRecord},
        time::Timestamp,
    },
    store::{StoreError, Table},
};

/// How long a call waits for others' reservations to be released before its request is declined.
const ROOM_PATIENCE: Duration = Duration::from_mins(2);
/// How often a call's cost is noted while its answer is written, in milliseconds.
const NOTE_EVERY_MS: u64 = 1_000;

/// The accounts. They are changed one at a time and written through, so that a crash loses nothing.
pub(super) struct Ledger {
    accounts: Table<String, Account>,
    changing: Mutex<()>,
    /// Numbers the calls of this process.
    calls: AtomicU64,
    /// For each model, its tokens per estimated token, learned from its answers.
    ratios: Mutex<BTreeMap<String, Ratio>>,
    /// Tells waiting calls that a reservation was released.
    freed: watch::Sender<u64>,
}

/// An account's key, whose it is, and its limits.
struct Under {
    key: String,
    scope: Scope,
    limits: Limits,
    /// The amount spent before there was a ledger.
    before: Usd,
}

/// A call's reservation. When dropped, it is settled at the usage that the provider reported.
pub(super) struct Hold<'a> {
    ledger: &'a Ledger,
    unders: Vec<Under>,
    call: String,
    estimate: Estimate,
    progress: &'a watch::Sender<Progress>,
    noted_ms: AtomicI64,
    /// The cost of answers that broke off, in millionths of a dollar.
    paid: AtomicU64,
    /// Whether the call has begun and not ended. If it is cut short before the provider reports usage, its prompt
    /// counts.
    is_under_way: bool,
}

impl Ledger {
    /// Opens the accounts: settles what an earlier process left open, and drops old accounts.
    pub(super) fn open(accounts: Table<String, Account>, now: Timestamp) -> Result<Self, StoreError> {
        for record in accounts.iter() {
            let (key, mut account) = record?;
            if account.is_stale(now) {
                accounts.remove(&key)?;
            } else if account.recover() {
                accounts.put(&key, &account)?;
            }
        }
        let (calls, freed) = (AtomicU64::new(0), watch::Sender::new(0));
        Ok(Self { accounts, changing: Mutex::new(()), calls, ratios: Mutex::default(), freed })
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ratio(&self, model: &str) -> Ratio {
        let ratios = self.ratios.lock().unwrap_or_else(PoisonError::into_inner);
        ratios.get(model).copied().unwrap_or_else(|| Ratio::of(model))
    }

    /// Learns how many tokens a model counts, from a prompt whose tokens the provider reported. Prompts with files or
    /// the provider's own tools teach nothing, because those are estimated by other measures.
    pub(super) fn learn(&self, model: &str, prompt: &Prompt, told: u64) {
        if prompt.has_files() || prompt.tools.iter().any(|tool| matches!(tool, ToolDefinition::Provider(_))) {
            return;
        }
        let estimated = budget::prompt_tokens(prompt);
        let mut ratios = self.ratios.lock().unwrap_or_else(PoisonError::into_inner);
        ratios.entry(model.to_owned()).or_insert_with(|| Ratio::of(model)).learn(estimated, told);
    }

    fn entries(&self, unders: &[Under]) -> Result<Vec<Entry>, StoreError> {
        let entry = |under: &Under| {
            let kept = self.accounts.get(&under.key)?;
            let account = kept.unwrap_or_else(|| Account::with_month(month_of(clock::now()), under.before));
            Ok(Entry { scope: under.scope, limits: under.limits, account })
        };
        unders.iter().map(entry).collect()
    }

    /// Changes accounts together and stores them, whatever `change` returns.
    fn change<T>(&self, unders: &[Under], change: impl FnOnce(&mut [Entry]) -> T) -> Result<T, StoreError> {
        let _changing = self.lock();
        let mut entries = self.entries(unders)?;
        let before: Vec<Account> = entries.iter().map(|entry| entry.account.clone()).collect();
        let changed = change(&mut entries);
        for ((under, entry), before) in unders.iter().zip(&entries).zip(before) {
            if entry.account != before {
                self.accounts.put(&under.key, &entry.account)?;
            }
        }
        Ok(changed)
    }
}

impl Hold<'_> {
    /// Notes the call's cost so far, at most once per [`NOTE_EVERY_MS`]; a crash loses only the cost since the last
    /// note.
    pub(super) fn note(&self, progress: &Progress) {
        let now = clock::now();
        let noted = Timestamp::from_ms(self.noted_ms.load(Ordering::Relaxed));
        if now >= noted && now.ms_since(noted) < NOTE_EVERY_MS {
            return;
        }
        // This goes through the whole text.
        let so_far = used::cost_of(progress);
        if so_far == Usd::ZERO {
            return;
        }
        self.noted_ms.store(now.as_ms(), Ordering::Relaxed);
        let noted = self.ledger.change(&self.unders, |entries| {
            for entry in entries {
                entry.account.note(&self.call, so_far);
            }
        });
        if let Err(error) = noted {
            tracing::warn!(%error, "what a call costs cannot be noted; it is at its end");
        }
    }

    /// Reserves again, for an answer that broke off and is requested again. The broken answer's cost counts as paid.
    pub(super) fn again(&self) -> Result<(), Fault> {
        let so_far = used::cost_of(&self.progress.borrow()).max(self.estimate.prompt);
        let reserved = self.ledger.change(&self.unders, |entries| {
            budget::reserve_again(entries, &self.call, so_far, &self.estimate, clock::now())
        });
        match reserved {
            Ok(Ok(())) => {
                self.paid.store(so_far.micro(), Ordering::Relaxed);
                Ok(())
            }
            Ok(Err(full)) => Err(Fault::OverBudget(budget::Full { begun: true, ..full })),
            Err(error) => {
                tracing::error!(%error, "a call's cost cannot be reserved; it is not made");
                Err(Fault::Internal)
            }
        }
    }

    /// Marks the call as begun.
    pub(super) fn begin(&mut self) {
        self.is_under_way = true;
    }

    /// Marks the call as ended: its cost is what the provider reported.
    pub(super) fn end(mut self) {
        self.is_under_way = false;
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let told = used::cost_of(&self.progress.borrow());
        let paid = self.paid.load(Ordering::Relaxed);
        let is_told = told.micro() > paid || !self.is_under_way;
        let cost = if is_told { told } else { Usd::from_micro(paid.saturating_add(self.estimate.prompt.micro())) };
        let settled = self.ledger.change(&self.unders, |entries| {
            for entry in entries {
                entry.account.settle(&self.call, cost);
            }
        });
        if let Err(error) = settled {
            tracing::error!(%error, "what a call cost cannot be counted; it is at the next start");
        }
        self.ledger.freed.send_modify(|count| *count = count.wrapping_add(1));
    }
}

impl Engine {
    /// Reserves the highest possible cost of a run's call before it is made. If others have reserved what is left,
    /// waits for them, and gives up the run's places meanwhile.
    ///
    /// The reservation is on disk when this returns, so that a killed process loses no spending.
    pub(super) async fn reserve<'a>(
        &'a self,
        (leave, progress): (&lanes::Place, &'a watch::Sender<Progress>),
        (record, is_begun): (&RunRecord, bool),
        prompt: &Prompt,
        model: &str,
    ) -> Result<Result<Hold<'a>, Fault>, EngineError> {
        let (unders, estimate) = (self.budgets_of(record)?, self.estimate(prompt, model));
        let number = self.ledger.calls.fetch_add(1, Ordering::Relaxed);
        let call = format!("{}/{number}", record.id().as_str());
        let mut freed = self.ledger.freed.subscribe();
        let deadline = tokio::time::Instant::now() + ROOM_PATIENCE;
        let mut is_parked = false;
        let full = loop {
            freed.borrow_and_update();
            let now = clock::now();
            let reserved = self.ledger.change(&unders, |entries| budget::reserve(entries, &call, &estimate, now))?;
            let Err(full) = reserved else { break None };
            if full.why == Why::Spent {
                break Some(full);
            }
            if !is_parked {
                tracing::info!("a call waits for what others have reserved of its budget");
                leave.park();
                is_parked = true;
            }
            if tokio::time::timeout_at(deadline, freed.changed()).await.is_err() {
                break Some(full);
            }
        };
        let hold = full.is_none().then(|| Hold {
            ledger: &self.ledger,
            unders,
            call,
            estimate,
            progress,
            noted_ms: AtomicI64::new(i64::MIN),
            paid: AtomicU64::new(0),
            is_under_way: false,
        });
        if is_parked {
            leave.unpark().await;
        }
        if let Some(full) = full {
            tracing::info!(limit = full.name(), "a call is not made: a budget has no room for it");
            return Ok(Err(Fault::OverBudget(budget::Full { begun: is_begun, ..full })));
        }
        self.store.flush().await?;
        Ok(Ok(hold.expect("it was reserved")))
    }

    /// Returns what a coworker has spent this month and its limit, if it has one.
    pub(super) fn budget_used(&self, user: &UserId) -> Result<Option<(Usd, Usd)>, EngineError> {
        let Some(limit) = self.coworker(user).and_then(|coworker| coworker.budget_usd_month) else { return Ok(None) };
        let under = self.coworker_account(user)?;
        let entries = self.ledger.entries(std::slice::from_ref(&under))?;
        let spent = entries.first().map(|entry| entry.account.spent(Period::Month, clock::now()));
        Ok(spent.map(|spent| (spent, limit)))
    }

    /// Returns the amounts spent of the budgets that carry no person's name, for `/metrics`.
    pub(super) fn budgets_used(&self) -> Result<Vec<Labelled>, EngineError> {
        let limits = self.config.budgets.workspace;
        let under = Under { key: "workspace".to_owned(), scope: Scope::Workspace, limits, before: Usd::ZERO };
        let mut shown = vec![("workspace", under)];
        for (user, coworker) in self.users.iter().zip(&self.config.coworkers) {
            shown.push((coworker.id.0.as_str(), self.coworker_account(user)?));
        }
        let mut used = Vec::new();
        for (budget, under) in shown {
            let Some(entry) = self.ledger.entries(std::slice::from_ref(&under))?.pop() else { continue };
            for period in [Period::Month, Period::Day] {
                used.push((labels(budget, period), entry.account.spent(period, clock::now()).as_dollars()));
            }
        }
        Ok(used)
    }

    /// Returns the limits of the same budgets, where they have one.
    pub(super) fn budget_limits(&self) -> Vec<Labelled> {
        let workspace = self.config.budgets.workspace;
        let all = [("workspace", workspace.month, workspace.day)].into_iter();
        let all = all.chain(self.config.coworkers.iter().map(|one| (one.id.0.as_str(), one.budget_usd_month, None)));
        let each = all.flat_map(|(budget, month, day)| {
            [(Period::Month, month), (Period::Day, day)]
                .into_iter()
                .filter_map(move |(period, limit)| Some((labels(budget, period), limit?.as_dollars())))
        });
        each.collect()
    }

    /// Returns the estimated number of a prompt's tokens, before it is sent.
    pub(super) fn tokens_of(&self, prompt: &Prompt, model: &str) -> u64 {
        self.ledger.ratio(model).apply(budget::prompt_tokens(prompt))
    }

    fn estimate(&self, prompt: &Prompt, model: &str) -> Estimate {
        let tokens = self.tokens_of(prompt, model);
        let price = claude::dearest(model, tokens).map_or(Price::UNKNOWN, |dearest| Price {
            prompt_nano_usd: dearest.prompt,
            answer_nano_usd: dearest.answer,
            search_nano_usd: dearest.search,
        });
        budget::estimate(prompt, tokens, self.config.claude.output_tokens_max, price)
    }

    /// Returns the accounts that a run's calls fall under.
    fn budgets_of(&self, record: &RunRecord) -> Result<Vec<Under>, EngineError> {
        let budgets = &self.config.budgets;
        let under = |key: String, scope, limits| Under { key, scope, limits, before: Usd::ZERO };
        let mut unders = vec![under("workspace".to_owned(), Scope::Workspace, budgets.workspace)];
        unders.extend(record.payer().map(|payer| under(format!("person:{payer}"), Scope::Person, budgets.person)));
        match record.owner() {
            Some(owner) => unders.push(under(format!("assistant:{owner}"), Scope::Assistant, budgets.assistant)),
            None => {
                unders.push(self.coworker_account(&record.user)?);
                unders.push(under(format!("room:{}", record.room), Scope::Room, budgets.room));
            }
        }
        Ok(unders)
    }

    fn coworker_account(&self, user: &UserId) -> Result<Under, EngineError> {
        let month = self.coworker(user).and_then(|coworker| coworker.budget_usd_month);
        let key: (OwnedUserId, String) = (user.to_owned(), month_of(clock::now()));
        let before = self.tables.spent.get(&key)?.unwrap_or_default();
        let limits = Limits { month, day: None };
        let key = format!("coworker:{user}");
        Ok(Under { key, scope: Scope::Coworker, limits, before: Usd::from_micro(before) })
    }
}

fn labels(budget: &str, period: Period) -> Vec<(&'static str, String)> {
    let span = match period {
        Period::Month => "month",
        Period::Day => "day",
    };
    vec![("budget", budget.to_owned()), ("span", span.to_owned())]
}
