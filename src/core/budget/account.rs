//! An account: what was spent in which span, and what calls that are going on hold.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Estimate, Full, Limits, Period, Scope, Usd, Why, day_of, end_of, month_of};
use crate::core::time::Timestamp;

/// Months, and days, that an account remembers.
const MONTHS_KEPT: usize = 13;
const DAYS_KEPT: usize = 32;
/// An account in which nothing was spent for this long is forgotten at a start, in milliseconds: three months.
const STALE_AFTER_MS: i64 = 92 * 24 * 60 * 60 * 1000;

/// What is kept of one account. Each span has a sum of its own, so that a clock that jumps forth and back forgets
/// nothing and holds up nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Account {
    months: BTreeMap<String, Usd>,
    days: BTreeMap<String, Usd>,
    /// Calls that are going on, by their ids.
    held: BTreeMap<String, Held>,
}

/// What a call that is going on holds, in the spans in which it began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    reserved: Usd,
    /// What it cost so far, as far as that was noted; without what was counted already.
    so_far: Usd,
    /// What was counted already, of answers that it had before: see [`reserve_again`].
    #[serde(default)]
    counted: Usd,
    month: String,
    day: String,
}

impl Held {
    fn counts(&self) -> Usd {
        self.reserved.max(self.so_far)
    }
}

/// An account with what limits it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Whose it is.
    pub scope: Scope,
    /// Its limits.
    pub limits: Limits,
    /// What is kept of it.
    pub account: Account,
}

/// Reserves what a call may cost with all the accounts that it falls under, or with none.
///
/// # Errors
/// The limit that has no room: of several, one that is spent, and the one that lasts longest.
pub fn reserve(entries: &mut [Entry], call: &str, estimate: &Estimate, now: Timestamp) -> Result<(), Full> {
    look(entries, now)?;
    for entry in entries {
        entry.account.hold(call, estimate, Usd::ZERO, now);
    }
    Ok(())
}

/// Reserves once more for a call that is made again, of which so much is spent in all. That is counted in the spans in
/// which it was reserved; the call to come falls into those of `now`.
///
/// # Errors
/// As [`reserve`]; the call holds nothing then.
pub fn reserve_again(
    entries: &mut [Entry],
    call: &str,
    so_far: Usd,
    estimate: &Estimate,
    now: Timestamp,
) -> Result<(), Full> {
    for entry in &mut *entries {
        entry.account.settle(call, so_far);
    }
    let room = look(entries, now);
    let to_come = if room.is_ok() { *estimate } else { Estimate { prompt: Usd::ZERO, answer: Usd::ZERO } };
    for entry in entries {
        entry.account.hold(call, &to_come, so_far, now);
    }
    room
}

/// Returns whether all accounts have room for another call at `now`.
///
/// # Errors
/// As [`reserve`].
pub fn look(entries: &[Entry], now: Timestamp) -> Result<(), Full> {
    let full = entries.iter().flat_map(|entry| {
        let Entry { scope, limits, account } = entry;
        let limits = [(Period::Month, limits.month), (Period::Day, limits.day)];
        limits.into_iter().filter_map(|(period, limit)| account.full(*scope, period, limit?, now))
    });
    full.max_by_key(|full| (full.why, full.until)).map_or(Ok(()), Err)
}

impl Account {
    /// Returns an account in which so much was spent in a month.
    #[must_use]
    pub fn with_month(month: String, spent: Usd) -> Self {
        Self { months: BTreeMap::from([(month, spent)]), ..Self::default() }
    }

    /// Returns what was spent in the span that `now` lies in, without what is reserved.
    #[must_use]
    pub fn spent(&self, period: Period, now: Timestamp) -> Usd {
        let (sums, span) = match period {
            Period::Month => (&self.months, month_of(now)),
            Period::Day => (&self.days, day_of(now)),
        };
        sums.get(&span).copied().unwrap_or_default()
    }

    fn held(&self, period: Period, now: Timestamp) -> Usd {
        let span = match period {
            Period::Month => month_of(now),
            Period::Day => day_of(now),
        };
        let of_span = self.held.values().filter(|held| match period {
            Period::Month => held.month == span,
            Period::Day => held.day == span,
        });
        of_span.fold(Usd::ZERO, |sum, held| sum.add(held.counts()))
    }

    fn full(&self, scope: Scope, period: Period, limit: Usd, now: Timestamp) -> Option<Full> {
        let spent = self.spent(period, now);
        let why = if spent >= limit {
            Why::Spent
        } else if spent.add(self.held(period, now)) >= limit {
            Why::Reserved
        } else {
            return None;
        };
        Some(Full { scope, period, limit, why, until: end_of(period, now), begun: false })
    }

    fn hold(&mut self, call: &str, estimate: &Estimate, counted: Usd, now: Timestamp) {
        let held = Held {
            reserved: estimate.whole(),
            so_far: estimate.prompt,
            counted,
            month: month_of(now),
            day: day_of(now),
        };
        self.held.insert(call.to_owned(), held);
    }

    /// Notes what a call cost so far, in all.
    pub fn note(&mut self, call: &str, so_far: Usd) {
        let Some(held) = self.held.get_mut(call).filter(|held| so_far > held.counted) else { return };
        held.so_far = so_far.without(held.counted);
    }

    /// Takes what a call cost in all in place of what it had reserved, in the spans in which it began. A call that
    /// holds nothing here counts nothing: it is settled once.
    pub fn settle(&mut self, call: &str, cost: Usd) {
        let Some(held) = self.held.remove(call) else { return };
        let cost = cost.without(held.counted);
        add(&mut self.months, held.month, cost, MONTHS_KEPT);
        add(&mut self.days, held.day, cost, DAYS_KEPT);
    }

    /// Settles the calls of an earlier process, which nobody else will: each with what was noted of it. Returns
    /// whether there were any.
    pub fn recover(&mut self) -> bool {
        let cost = |held: &Held| held.so_far.add(held.counted);
        let left: Vec<_> = self.held.iter().map(|(call, held)| (call.clone(), cost(held))).collect();
        for (call, cost) in &left {
            self.settle(call, *cost);
        }
        !left.is_empty()
    }

    /// Whether nothing was spent for so long that it may be forgotten.
    #[must_use]
    pub fn is_stale(&self, now: Timestamp) -> bool {
        let oldest = month_of(Timestamp::from_ms(now.as_ms().saturating_sub(STALE_AFTER_MS)));
        self.held.is_empty() && self.months.keys().all(|month| *month < oldest)
    }
}

fn add(sums: &mut BTreeMap<String, Usd>, span: String, cost: Usd, kept_max: usize) {
    let sum = sums.entry(span).or_default();
    *sum = sum.add(cost);
    while sums.len() > kept_max {
        sums.pop_first();
    }
}
