//! An account: the amounts spent in each period, and the reservations of calls in progress.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Estimate, Full, Limits, Period, Scope, Usd, Why, day_of, end_of, month_of};
use crate::core::time::Timestamp;

/// Most months, and most days, that an account remembers.
const MONTHS_KEPT: usize = 13;
const DAYS_KEPT: usize = 32;
/// Most warnings that an account remembers.
const WARNINGS_KEPT: usize = 8;
/// The characters of a month at the beginning of a day.
const MONTH_CHARS: usize = "2026-11".len();
/// How long an account must be unused to be dropped at a start, in milliseconds: three months.
const STALE_AFTER_MS: i64 = 92 * 24 * 60 * 60 * 1000;

/// An account's stored state. Each period has its own sum, so that a jumping clock forgets nothing and blocks nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Account {
    months: BTreeMap<String, Usd>,
    days: BTreeMap<String, Usd>,
    /// Calls in progress, by id.
    held: BTreeMap<String, Held>,
    /// The months and days in which admins were told that it runs low, and the limit at that time.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    warned: BTreeMap<String, Usd>,
}

/// A call's reservation, in the periods in which it began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    reserved: Usd,
    /// The cost noted so far, without what was counted already.
    so_far: Usd,
    /// The cost counted already, of its earlier answers; see [`reserve_again`].
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

/// An account with its limits.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Whose account it is.
    pub scope: Scope,
    /// The limits on it.
    pub limits: Limits,
    /// The stored state.
    pub account: Account,
}

/// Reserves a call's possible cost in all accounts that it falls under, or in none.
///
/// # Errors
/// The limit without room; of several, one that is spent, and of those the one that lasts longest.
pub(crate) fn reserve(entries: &mut [Entry], call: &str, estimate: &Estimate, now: Timestamp) -> Result<(), Full> {
    look(entries, now)?;
    for entry in entries {
        entry.account.hold(call, estimate, Usd::ZERO, now);
    }
    Ok(())
}

/// Reserves again for a call that is repeated, after `so_far` was spent in all. That amount is counted in the periods
/// of the first reservation; the repeated call falls under those of `now`.
///
/// # Errors
/// As for [`reserve`]; the call then holds no reservation.
pub(crate) fn reserve_again(
    entries: &mut [Entry],
    call: &str,
    so_far: Usd,
    estimate: &Estimate,
    now: Timestamp,
) -> Result<(), Full> {
    let counted: Vec<Usd> = entries.iter_mut().map(|entry| entry.account.settle(call, so_far)).collect();
    let room = look(entries, now);
    let to_come = if room.is_ok() { *estimate } else { Estimate { prompt: Usd::ZERO, answer: Usd::ZERO } };
    for (entry, counted) in entries.iter_mut().zip(counted) {
        entry.account.hold(call, &to_come, counted, now);
    }
    room
}

/// Checks whether all accounts have room for another call at `now`.
///
/// # Errors
/// As for [`reserve`].
pub(super) fn look(entries: &[Entry], now: Timestamp) -> Result<(), Full> {
    let full = entries.iter().flat_map(|entry| {
        let Entry { scope, limits, account } = entry;
        Period::ALL.into_iter().filter_map(|period| account.full(*scope, period, limits.of(period)?, now))
    });
    full.max_by_key(|full| (full.why, full.until)).map_or(Ok(()), Err)
}

impl Account {
    /// Returns an account with this amount spent in a month.
    #[must_use]
    pub(crate) fn with_month(month: String, spent: Usd) -> Self {
        Self { months: BTreeMap::from([(month, spent)]), ..Self::default() }
    }

    /// Returns the amount spent in the period of `now`, without reservations.
    #[must_use]
    pub(crate) fn spent(&self, period: Period, now: Timestamp) -> Usd {
        let sums = match period {
            Period::Month => &self.months,
            Period::Day => &self.days,
        };
        sums.get(&period.span(now)).copied().unwrap_or_default()
    }

    /// Returns the amount reserved in the period of `now` by calls in progress.
    #[must_use]
    pub(crate) fn reserved(&self, period: Period, now: Timestamp) -> Usd {
        let span = period.span(now);
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
        } else if spent.add(self.reserved(period, now)) >= limit {
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

    /// Notes a call's total cost so far.
    pub(crate) fn note(&mut self, call: &str, so_far: Usd) {
        let Some(held) = self.held.get_mut(call).filter(|held| so_far > held.counted) else { return };
        held.so_far = so_far.without(held.counted);
    }

    /// Replaces a call's reservation by its total cost, in the periods in which it began. A call without a reservation
    /// counts nothing, so it is settled only once. Returns what the call counts as in all.
    pub(crate) fn settle(&mut self, call: &str, cost: Usd) -> Usd {
        let Some(held) = self.held.remove(call) else { return Usd::ZERO };
        let more = cost.without(held.counted);
        add(&mut self.months, &held.month, more, MONTHS_KEPT);
        add(&mut self.days, &held.day, more, DAYS_KEPT);
        held.counted.add(more)
    }

    /// Replaces a call's reservation by what its answers cost, each on its day. So its sums are those of the outlays, even
    /// if a crash came between an answer that broke off and the next one's reservation in this account.
    pub(crate) fn recover(&mut self, call: &str, parts: &[(String, Usd)]) {
        let Some(held) = self.held.remove(call) else { return };
        let mut counted = held.counted;
        for (day, cost) in parts {
            let more = cost.without(counted);
            counted = counted.without(*cost);
            let month = day.get(..MONTH_CHARS).unwrap_or(&held.month);
            add(&mut self.months, month, more, MONTHS_KEPT);
            add(&mut self.days, day, more, DAYS_KEPT);
        }
    }

    /// Returns the calls that it holds, and the cost noted of each. At a start, they are those of an earlier process.
    #[must_use]
    pub(crate) fn held(&self) -> Vec<(String, Usd)> {
        self.held.iter().map(|(call, held)| (call.clone(), held.so_far.add(held.counted))).collect()
    }

    /// Returns whether admins were told that it runs low, in this month or on this day and at this limit or a higher one.
    #[must_use]
    pub(crate) fn is_warned(&self, span: &str, limit: Usd) -> bool {
        self.warned.get(span).is_some_and(|told| *told >= limit)
    }

    /// Notes that admins were told.
    pub(crate) fn note_warned(&mut self, span: &str, limit: Usd) {
        self.warned.insert(span.to_owned(), limit);
        trim(&mut self.warned, span, WARNINGS_KEPT);
    }

    /// Returns whether the account has been unused long enough to be dropped.
    #[must_use]
    pub(crate) fn is_stale(&self, now: Timestamp) -> bool {
        let oldest = month_of(Timestamp::from_ms(now.as_ms().saturating_sub(STALE_AFTER_MS)));
        self.held.is_empty() && self.months.keys().all(|month| *month < oldest)
    }
}

fn add(sums: &mut BTreeMap<String, Usd>, span: &str, cost: Usd, kept_max: usize) {
    let sum = sums.entry(span.to_owned()).or_default();
    *sum = sum.add(cost);
    trim(sums, span, kept_max);
}

/// Drops what is farthest from `span`, which after a jump of the clock need not be the newest.
fn trim(sums: &mut BTreeMap<String, Usd>, span: &str, kept_max: usize) {
    while sums.len() > kept_max {
        let earlier = sums.keys().take_while(|key| key.as_str() < span).count();
        let _ = if earlier * 2 >= sums.len() { sums.pop_first() } else { sums.pop_last() };
    }
}
