//! What the model may cost (C19, C23): counted in code, reserved before each call, settled at the real cost.
//!
//! Each call falls under several accounts: the workspace's, a coworker's and its room's or an assistant's, and that of
//! the person whose gesture it serves. An account has room while the amount spent plus the reservations of calls in
//! progress is below its limit. So no burst of calls exceeds a limit by more than one call.
//!
//! A call cut short by a crash counts as the cost noted so far, and as its prompt if nothing was noted.

mod account;
mod estimate;
mod holder;
mod left;
mod low;
pub(crate) mod outlay;
mod ratio;
#[cfg(test)]
mod tests;
mod usd;

use ruma::{EventId, OwnedEventId};
use serde::{Deserialize, Serialize};

pub(crate) use self::{
    account::{Account, Entry, reserve, reserve_again},
    estimate::{Estimate, Price, estimate, prompt_tokens},
    holder::{Holder, Terms},
    left::Left,
    low::{LOW_PERCENT, Level, Low, Lows},
    ratio::Ratio,
    usd::Usd,
};
use super::time::Timestamp;

/// How long a person who was told of a reached limit is not told again in the same place, in milliseconds.
pub(crate) const WORD_INTERVAL_MS: u64 = 60 * 60 * 1000;
/// The reaction on a request that a limit declines meanwhile, so that none is ignored.
pub(crate) const DECLINED_KEY: &str = "💸";

/// The cost of a prompt token and of an answer token if the model's price is unknown, in millionths of a US dollar;
/// above every existing price.
const UNKNOWN_PRICE_MICRO_USD: (u64, u64) = (30, 150);

/// Whose spending is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The whole workspace.
    Workspace,
    /// One coworker, in all its rooms.
    Coworker,
    /// One person's assistant.
    Assistant,
    /// A person's gestures, at coworkers and at the assistant.
    Person,
    /// Coworkers in one room.
    Room,
}

impl Scope {
    /// Returns the scope's name in stored accounts, metrics and the config.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Workspace => "workspace",
            Self::Coworker => "coworker",
            Self::Assistant => "assistant",
            Self::Person => "person",
            Self::Room => "room",
        }
    }
}

/// The period of a limit, by the clock of the budgets' zone: every `now` in this module is what that clock shows, as if it
/// were UTC ([`Zone::shown_as_utc`](super::zone::Zone::shown_as_utc)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// A calendar day.
    Day,
    /// A calendar month.
    Month,
}

impl Period {
    /// Both, the longer one first.
    pub const ALL: [Self; 2] = [Self::Month, Self::Day];

    /// Returns the period's name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// Returns the month or day of `now`: `2026-11`, `2026-11-29`.
    #[must_use]
    pub fn span(self, now: Timestamp) -> String {
        match self {
            Self::Month => month_of(now),
            Self::Day => day_of(now),
        }
    }
}

/// An account's limits; `None` for no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// For a month.
    pub month: Option<Usd>,
    /// For a day.
    pub day: Option<Usd>,
}

impl Limits {
    /// Returns the limit for a period.
    #[must_use]
    pub fn of(&self, period: Period) -> Option<Usd> {
        match period {
            Period::Month => self.month,
            Period::Day => self.day,
        }
    }
}

/// The limits for everybody (`budgets:`); a coworker's own limit is in its file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budgets {
    /// For everything together.
    pub workspace: Limits,
    /// For each assistant.
    pub assistant: Limits,
    /// For each person.
    pub person: Limits,
    /// For each room.
    pub room: Limits,
}

impl Budgets {
    /// Returns the limits for each account of a scope; none for coworkers, which have their own.
    #[must_use]
    pub fn of(&self, scope: Scope) -> Limits {
        match scope {
            Scope::Workspace => self.workspace,
            Scope::Coworker => Limits::default(),
            Scope::Assistant => self.assistant,
            Scope::Person => self.person,
            Scope::Room => self.room,
        }
    }
}

/// Why a call has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// Calls in progress may use up the rest.
    Reserved,
    /// The limit is spent.
    Spent,
}

/// A limit without room for another call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// Whose limit it is.
    pub scope: Scope,
    /// The limit's period.
    pub period: Period,
    /// The amount.
    pub limit: Usd,
    /// Why there is no room.
    pub why: Why,
    /// When the next period begins.
    pub until: Timestamp,
    /// Whether the stopped request had already begun.
    pub begun: bool,
}

impl Full {
    /// Returns the limit's name, under which it is recorded that somebody was told of it.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.scope.name(), self.period.name())
    }
}

/// Returns whether to say in a room that a limit stops what nobody asks for: once until the limit ends, and again for the
/// same event, as after a crash. `said` is until when it was said, and because of which event.
#[must_use]
pub(crate) fn is_unasked_word_due(said: Option<&(Timestamp, OwnedEventId)>, full: &Full, cause: &EventId) -> bool {
    said.is_none_or(|(until, by)| *until != full.until || by == cause)
}

/// Returns the month of `now`: `2026-11`.
#[must_use]
pub(crate) fn month_of(now: Timestamp) -> String {
    at(now).strftime("%Y-%m").to_string()
}

/// Returns the day of `now`: `2026-11-29`.
#[must_use]
pub(crate) fn day_of(now: Timestamp) -> String {
    at(now).strftime("%Y-%m-%d").to_string()
}

fn at(now: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(now.as_ms()).unwrap_or_default()
}

/// Returns when the next day or month begins.
fn end_of(period: Period, now: Timestamp) -> Timestamp {
    let utc = at(now).to_zoned(jiff::tz::TimeZone::UTC);
    let last = match period {
        Period::Day => utc.date(),
        Period::Month => utc.date().last_of_month(),
    };
    let next = last.tomorrow().and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC));
    next.map_or(now, |next| Timestamp::from_ms(next.timestamp().as_millisecond()))
}

/// Returns the amount that tokens of a model without a known price count as.
#[must_use]
pub(crate) fn dearest(input_tokens: u64, output_tokens: u64) -> Usd {
    let (input, output) = UNKNOWN_PRICE_MICRO_USD;
    Usd::from_micro(input_tokens.saturating_mul(input).saturating_add(output_tokens.saturating_mul(output)))
}
