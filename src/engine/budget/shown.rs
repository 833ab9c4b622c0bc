//! The ledger as people and `/metrics` see it.

use ruma::{RoomId, UserId};

use super::Budget;
use crate::{
    appservice::metrics::Labelled,
    core::{
        budget::{self, Holder, Level, Period, Scope, Usd},
        time::Timestamp,
        words::spending::{self, Account, Crowd},
    },
    engine::EngineError,
};

/// What is spent of a budget.
pub(in crate::engine) struct Shown {
    /// The coworker's id; empty for the workspace.
    pub(in crate::engine) name: String,
    /// The period.
    pub(in crate::engine) period: Period,
    /// What is spent.
    pub(in crate::engine) spent: Usd,
    /// What calls in progress have reserved.
    pub(in crate::engine) reserved: Usd,
    /// The limit, if there is one.
    pub(in crate::engine) limit: Option<Usd>,
}

/// The scopes with an account for each of many.
const CROWDS: [Scope; 3] = [Scope::Person, Scope::Room, Scope::Assistant];

impl Budget {
    fn shown_account(&self, name: &str, holder: &Holder) -> Result<Account, EngineError> {
        let now = self.ledger.now();
        let (account, limits) = (self.ledger.account(holder, now)?, self.ledger.terms().of(holder));
        let spent = Period::ALL.map(|period| (period, account.spent(period, now), limits.of(period)));
        Ok(Account { name: name.to_owned(), spent: spent.to_vec() })
    }

    /// Returns how much a coworker and a room have used of their limits; empty if they have none.
    pub(in crate::engine) fn budget_used(&self, user: &UserId, room: &RoomId) -> Result<String, EngineError> {
        let coworker = self.shown_account("", &Holder::Coworker(user.to_owned()))?;
        let room = self.shown_account("", &Holder::Room(room.to_owned()))?;
        Ok(spending::budget_used(&coworker, &room))
    }

    /// Returns the ledger for admins.
    pub(in crate::engine) fn ledger_shown(&self) -> Result<String, EngineError> {
        let workspace = self.shown_account("", &Holder::Workspace)?;
        let setup = self.runtime.current.get();
        let pairs = setup.users.iter().zip(&setup.config.coworkers);
        let coworkers: Result<Vec<Account>, EngineError> =
            pairs.map(|(user, coworker)| self.shown_account(&coworker.id.0, &Holder::Coworker(user.clone()))).collect();
        let mut coworkers = coworkers?;
        let this_month = |account: &Account| account.spent.first().map_or(Usd::ZERO, |(_, spent, _)| *spent);
        coworkers.sort_by_key(|account| std::cmp::Reverse(this_month(account)));
        Ok(spending::ledger(&workspace, &coworkers, &self.crowds_shown(), &self.ledger.terms().zone))
    }

    /// Returns what a person has used.
    pub(in crate::engine) fn own_ledger(&self, person: &UserId) -> Result<String, EngineError> {
        let own = self.shown_account("", &Holder::Person(person.to_owned()))?;
        let assistant = self.shown_account("", &Holder::Assistant(person.to_owned()))?;
        Ok(spending::own_ledger(&own, &assistant, &self.ledger.terms().zone))
    }

    /// Returns the limits of scopes that have an account for each of many.
    fn crowd_limits(&self) -> impl Iterator<Item = (Scope, Period, Usd)> + '_ {
        let budgets = self.ledger.terms().budgets;
        CROWDS.into_iter().flat_map(move |scope| {
            let limits = budgets.of(scope);
            Period::ALL.into_iter().filter_map(move |period| Some((scope, period, limits.of(period)?)))
        })
    }

    /// Returns amounts of the accounts whose number the config bounds: the workspace's and the coworkers'.
    fn each_account(&self, amounts: impl Fn(&Holder) -> Vec<(Period, Usd)>) -> Vec<Labelled> {
        let setup = self.runtime.current.get();
        let coworkers = setup.users.iter().zip(&setup.config.coworkers);
        let named = coworkers.map(|(user, coworker)| (Holder::Coworker(user.clone()), coworker.id.0.clone()));
        let all = std::iter::once((Holder::Workspace, String::new())).chain(named);
        let shown = all.flat_map(|(holder, coworker)| {
            amounts(&holder).into_iter().map(move |(period, amount)| {
                let mut labels = labels(holder.scope(), period);
                labels.push(("coworker", coworker.clone()));
                (labels, amount.as_dollars())
            })
        });
        shown.collect()
    }

    /// Returns what is spent and reserved of each budget whose number the config bounds, with its limit: the workspace's,
    /// whose name is empty, and the coworkers', by id.
    pub(in crate::engine) fn budgets_shown(&self) -> Result<Vec<Shown>, EngineError> {
        let now = self.ledger.now();
        let setup = self.runtime.current.get();
        let coworkers = setup.users.iter().zip(&setup.config.coworkers);
        let named = coworkers.map(|(user, coworker)| (Holder::Coworker(user.clone()), coworker.id.0.clone()));
        let mut all = Vec::new();
        for (holder, name) in std::iter::once((Holder::Workspace, String::new())).chain(named) {
            let (account, limits) = (self.ledger.account(&holder, now)?, self.ledger.terms().of(&holder));
            all.extend(Period::ALL.map(|period| Shown {
                name: name.clone(),
                period,
                spent: account.spent(period, now),
                reserved: account.reserved(period, now),
                limit: limits.of(period),
            }));
        }
        Ok(all)
    }

    /// Returns how many accounts of scopes with one for each of many have little or nothing left.
    pub(in crate::engine) fn crowds_shown(&self) -> Vec<Crowd> {
        let crowds = self.crowd_limits().map(|(scope, period, limit)| {
            let count = |level| self.ledger.count(scope, period, level);
            Crowd { scope, period, limit, low: count(Level::Low), used_up: count(Level::UsedUp) }
        });
        crowds.collect()
    }

    /// Returns an amount of an account for each period; none if it cannot be read.
    fn amounts_of(
        &self,
        holder: &Holder,
        amount: fn(&budget::Account, Period, Timestamp) -> Usd,
    ) -> Vec<(Period, Usd)> {
        let now = self.ledger.now();
        let Ok(account) = self.ledger.account(holder, now) else { return Vec::new() };
        Period::ALL.map(|period| (period, amount(&account, period, now))).to_vec()
    }

    /// Returns the amounts spent, for `/metrics`.
    pub(in crate::engine) fn budgets_spent(&self) -> Vec<Labelled> {
        self.each_account(|holder| self.amounts_of(holder, budget::Account::spent))
    }

    /// Returns the amounts reserved, for `/metrics`.
    pub(in crate::engine) fn budgets_reserved(&self) -> Vec<Labelled> {
        self.each_account(|holder| self.amounts_of(holder, budget::Account::reserved))
    }

    /// Returns the limits, for `/metrics`: those of single accounts, and those for each person, room and assistant.
    pub(in crate::engine) fn budget_limits(&self) -> Vec<Labelled> {
        let mut limits = self.each_account(|holder| {
            let limits = self.ledger.terms().of(holder);
            Period::ALL.into_iter().filter_map(|period| Some((period, limits.of(period)?))).collect()
        });
        limits.extend(self.crowd_limits().map(|(scope, period, limit)| {
            let mut labels = labels(scope, period);
            labels.push(("coworker", String::new()));
            (labels, limit.as_dollars())
        }));
        limits
    }

    /// Returns how many people's, rooms' and assistants' accounts have little or nothing left, for `/metrics`.
    pub(in crate::engine) fn budgets_low(&self) -> Vec<Labelled> {
        let each = self.crowd_limits().flat_map(|(scope, period, _)| {
            Level::ALL.map(|level| {
                let mut labels = labels(scope, period);
                labels.push(("level", level.name().to_owned()));
                let count = u32::try_from(self.ledger.count(scope, period, level)).unwrap_or(u32::MAX);
                (labels, f64::from(count))
            })
        });
        each.collect()
    }
}

fn labels(scope: Scope, period: Period) -> Vec<(&'static str, String)> {
    vec![("scope", scope.name().to_owned()), ("period", period.name().to_owned())]
}
