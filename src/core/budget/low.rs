//! Accounts that run low: which of them, and of which admins have still to be told.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Account, Holder, Limits, Period, Scope, Usd};
use crate::core::time::Timestamp;

/// The percentage of a limit from which on an account runs low.
pub(crate) const LOW_PERCENT: u64 = 80;

/// An account that has spent most of a limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Low {
    /// Whose it is.
    pub holder: Holder,
    /// The limit's period.
    pub period: Period,
    /// The month or day in UTC: `2026-11`, `2026-11-29`.
    pub span: String,
    /// The amount spent.
    pub spent: Usd,
    /// The limit.
    pub limit: Usd,
}

/// How far an account is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// At least [`LOW_PERCENT`] of a limit is spent.
    Low,
    /// The limit is spent.
    UsedUp,
}

impl Level {
    /// All of them.
    pub(crate) const ALL: [Self; 2] = [Self::Low, Self::UsedUp];

    /// Returns the level's name in metrics.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::UsedUp => "used_up",
        }
    }

    /// Returns the level of an account that has spent so much; `None` below both.
    #[must_use]
    pub(crate) fn of(spent: Usd, limit: Usd) -> Option<Self> {
        if spent >= limit {
            return Some(Self::UsedUp);
        }
        let (spent, limit) = (u128::from(spent.micro()), u128::from(limit.micro()));
        (spent * 100 >= limit * u128::from(LOW_PERCENT)).then_some(Self::Low)
    }
}

impl Low {
    /// Returns how far the account is used.
    #[must_use]
    pub(crate) fn level(&self) -> Level {
        Level::of(self.spent, self.limit).unwrap_or(Level::Low)
    }
}

/// The accounts that run low now; all others are not in it.
#[derive(Debug, Default)]
pub(crate) struct Lows(BTreeMap<(Holder, Period), Noted>);

#[derive(Debug)]
struct Noted {
    low: Low,
    /// Whether admins have still to be told.
    is_due: bool,
}

impl Lows {
    /// Takes an account as it is now. Returns whether admins have to be told of it from now on.
    pub(crate) fn see(&mut self, holder: &Holder, account: &Account, limits: &Limits, now: Timestamp) -> bool {
        let mut is_new = false;
        for period in Period::ALL {
            let (key, spent) = ((holder.clone(), period), account.spent(period, now));
            let Some(limit) = limits.of(period).filter(|limit| Level::of(spent, *limit).is_some()) else {
                self.0.remove(&key);
                continue;
            };
            let low = Low { holder: holder.clone(), period, span: period.span(now), spent, limit };
            let is_due = !account.is_warned(&low.span, limit);
            let before = self.0.insert(key, Noted { low, is_due });
            is_new |= is_due && before.is_none_or(|before| !before.is_due);
        }
        is_new
    }

    /// Returns the accounts of which admins have still to be told. Those of past periods are dropped.
    pub(crate) fn due(&mut self, now: Timestamp) -> Vec<Low> {
        self.0.retain(|(_, period), noted| noted.low.span == period.span(now));
        self.0.values().filter(|noted| noted.is_due).map(|noted| noted.low.clone()).collect()
    }

    /// Counts a scope's accounts at a level, in the period of `now`.
    #[must_use]
    pub(crate) fn count(&self, scope: Scope, period: Period, level: Level, now: Timestamp) -> usize {
        let span = period.span(now);
        let is_meant = |low: &&Noted| low.low.span == span && low.low.level() == level;
        let of_scope = self.0.iter().filter(|((holder, of), _)| holder.scope() == scope && *of == period);
        of_scope.map(|(_, noted)| noted).filter(is_meant).count()
    }
}

#[cfg(test)]
mod tests {
    use ruma::owned_user_id;

    use super::*;
    use crate::core::budget::tests::spend;

    /// 29 November 2026, 17:05:09 UTC.
    const AT: Timestamp = Timestamp::from_ms(1_795_971_909_000);
    const DAY_MS: i64 = 24 * 60 * 60 * 1000;

    fn dollars(month: u32, day: u32) -> Limits {
        Limits { month: Some(Usd::dollars(month)), day: Some(Usd::dollars(day)) }
    }

    #[test]
    fn c23_an_account_runs_low_at_eighty_percent_of_any_limit() {
        let table = [
            (0, 1_000_000, None),
            (799_999, 1_000_000, None),
            (800_000, 1_000_000, Some(Level::Low)),
            (999_999, 1_000_000, Some(Level::Low)),
            (1_000_000, 1_000_000, Some(Level::UsedUp)),
            (9, 1, Some(Level::UsedUp)),
            (0, 0, Some(Level::UsedUp)),
            (u64::MAX - 1, u64::MAX, Some(Level::Low)),
        ];
        for (spent, limit, level) in table {
            assert_eq!(Level::of(Usd::from_micro(spent), Usd::from_micro(limit)), level, "{spent} of {limit}");
        }
    }

    #[test]
    fn c23_admins_are_told_once_of_each_account_and_period_and_again_only_of_a_raised_limit() {
        let holder = Holder::Person(owned_user_id!("@alice:hs"));
        let (mut lows, mut account) = (Lows::default(), Account::default());
        spend(&mut account, 3_900_000, AT);
        assert!(!lows.see(&holder, &account, &dollars(100, 5), AT));
        spend(&mut account, 100_000, AT);
        assert!(lows.see(&holder, &account, &dollars(100, 5), AT));
        assert!(!lows.see(&holder, &account, &dollars(100, 5), AT), "it is due already");
        let due = lows.due(AT);
        assert_eq!(due.iter().map(|low| (low.period, &*low.span)).collect::<Vec<_>>(), [(Period::Day, "2026-11-29")]);
        account.note_warned(&due[0].span, due[0].limit);
        let stored = serde_json::to_string(&account).expect("an account is stored");
        let mut account: Account = serde_json::from_str(&stored).expect("and read");

        // A restart, more spending, a lower limit: nobody is told again.
        let mut lows = Lows::default();
        spend(&mut account, 500_000, AT);
        assert!(
            !lows.see(&holder, &account, &dollars(100, 5), AT) && !lows.see(&holder, &account, &dollars(100, 1), AT)
        );
        assert_eq!(lows.count(Scope::Person, Period::Day, Level::UsedUp, AT), 1);
        // A raised one is another matter, as are the month and the next day.
        assert!(!lows.see(&holder, &account, &dollars(100, 6), AT), "4.5 of 6");
        spend(&mut account, 500_000, AT);
        assert!(lows.see(&holder, &account, &dollars(6, 6), AT));
        assert_eq!(lows.due(AT).len(), 2);
        let tomorrow = Timestamp::from_ms(AT.as_ms() + DAY_MS);
        assert_eq!(lows.due(tomorrow).len(), 1, "the day is over, the month is not");
        assert_eq!(lows.count(Scope::Person, Period::Month, Level::Low, tomorrow), 1);
        assert_eq!(lows.count(Scope::Room, Period::Month, Level::Low, tomorrow), 0);
        assert!(!lows.see(&holder, &account, &dollars(100, 6), tomorrow), "nothing is spent on that day");
    }
}
