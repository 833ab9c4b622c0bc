//! What the model may cost (C19, C23): counted in code, reserved before each call, settled with what it really cost.
//!
//! Each call falls under several accounts: the workspace's, a coworker's and its room's or an assistant's, and the
//! person's whose gesture it serves. An account has room while what is spent, and what calls that are going on have
//! reserved, is less than its limit. So no burst of calls spends past a limit by more than one call.
//!
//! A call that a crash cut short counts as what was noted of it, and at least as its prompt until anything was.

mod account;
mod estimate;
mod ratio;
#[cfg(test)]
mod tests;
mod usd;

use serde::{Deserialize, Serialize};

pub use self::{
    account::{Account, Entry, look, reserve, reserve_again},
    estimate::{Estimate, Price, estimate, prompt_tokens},
    ratio::Ratio,
    usd::Usd,
};
use super::{audit::Spent, time::Timestamp};

/// How long somebody who was told that a limit is reached is not told of it again, in milliseconds.
pub const WORD_INTERVAL_MS: u64 = 60 * 60 * 1000;

/// What a token of the prompt, and one of the answer, counts as where the model's price is not known, in millionths of
/// a US dollar: more than any price there is.
const UNKNOWN_PRICE_MICRO_USD: (u64, u64) = (30, 150);

/// Whose spending is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Everything together.
    Workspace,
    /// One coworker, in all its rooms.
    Coworker,
    /// One person's assistant.
    Assistant,
    /// What one person's gestures cost, of coworkers and of the assistant.
    Person,
    /// What coworkers cost in one room.
    Room,
}

/// The span that a limit is for, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// A day.
    Day,
    /// A month.
    Month,
}

/// The limits of one account; none where there is no number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// In a month.
    pub month: Option<Usd>,
    /// In a day.
    pub day: Option<Usd>,
}

/// The limits that hold for everybody (`budgets:`); a coworker's own stands in its file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budgets {
    /// All of it together.
    pub workspace: Limits,
    /// Each assistant.
    pub assistant: Limits,
    /// Each person.
    pub person: Limits,
    /// Each room.
    pub room: Limits,
}

/// What is in the way of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// Calls that are going on may use up what is left.
    Reserved,
    /// It is spent.
    Spent,
}

/// A limit that has no room for another call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// Whose.
    pub scope: Scope,
    /// For which span.
    pub period: Period,
    /// How much.
    pub limit: Usd,
    /// What is in the way.
    pub why: Why,
    /// When the next span begins.
    pub until: Timestamp,
    /// Whether the request that it stops had begun.
    pub begun: bool,
}

impl Full {
    /// Returns the limit's name, under which it is noted that somebody was told of it.
    #[must_use]
    pub fn name(&self) -> String {
        let scope = match self.scope {
            Scope::Workspace => "workspace",
            Scope::Coworker => "coworker",
            Scope::Assistant => "assistant",
            Scope::Person => "person",
            Scope::Room => "room",
        };
        let period = match self.period {
            Period::Day => "day",
            Period::Month => "month",
        };
        format!("{scope}/{period}")
    }
}

/// Returns the month that `now` lies in, in UTC: `2026-11`.
#[must_use]
pub fn month_of(now: Timestamp) -> String {
    at(now).strftime("%Y-%m").to_string()
}

/// Returns the day that `now` lies in, in UTC: `2026-11-29`.
#[must_use]
pub fn day_of(now: Timestamp) -> String {
    at(now).strftime("%Y-%m-%d").to_string()
}

fn at(now: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(now.as_ms()).unwrap_or_default()
}

/// Returns when the day or the month after that of `now` begins.
fn end_of(period: Period, now: Timestamp) -> Timestamp {
    let utc = at(now).to_zoned(jiff::tz::TimeZone::UTC);
    let last = match period {
        Period::Day => utc.date(),
        Period::Month => utc.date().last_of_month(),
    };
    let next = last.tomorrow().and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC));
    next.map_or(now, |next| Timestamp::from_ms(next.timestamp().as_millisecond()))
}

/// Returns what a run, or a call, counts as.
#[must_use]
pub fn counted(spent: &Spent) -> Usd {
    let (input, output) = UNKNOWN_PRICE_MICRO_USD;
    let dearest = spent.input_tokens.saturating_mul(input).saturating_add(spent.output_tokens.saturating_mul(output));
    Usd::from_micro(spent.cost_micro_usd.unwrap_or(dearest))
}
