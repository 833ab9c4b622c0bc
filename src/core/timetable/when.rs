//! When something is due: once, or again and again by the wall clock of a time zone.

use jiff::{
    civil::DateTime,
    tz::{AmbiguousOffset, TimeZone},
};
use serde::{Deserialize, Serialize};

use super::cron::Cron;
use crate::core::{time::Timestamp, zone::Zone};

/// Most candidates looked at for one due time. A doubled hour of a rule for every minute has 60 that are over already,
/// and no zone was ever set back by more than a day.
const CANDIDATES_MAX: usize = 24 * 60 + 1;

/// The least time between two due times of what people set up, in milliseconds: 15 minutes.
pub(super) const EVERY_MS_MIN: u64 = 15 * 60 * 1_000;
/// Due times that are looked at for that.
const DUE_TIMES_LOOKED_AT: usize = 50;

/// When something is due, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Again and again, by a cron expression of five fields.
    Cron(String),
    /// Once.
    At(Timestamp),
}

/// Why a text says no time at which something can be due.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WhenError {
    /// The text is empty or far too long.
    #[error("say when: for example `every weekday at 09:00`, `tomorrow at 10` or `in 20 minutes`")]
    Missing,
    /// The text is not understood.
    #[error(
        "I don't understand that time; write it like `every weekday at 09:00`, `every monday and thursday at 9`, \
         `on the 1st at 10:00`, `in 20 minutes`, `tomorrow at 10`, `2026-12-24 09:00`, or as a cron expression, `0 9 * * 1-5`"
    )]
    Unknown,
    /// The text names days and no time of day.
    #[error("say at what time of day, for example `at 09:00`")]
    NoTime,
    /// A date with slashes, which is read differently in different countries.
    #[error("write the date as year-month-day, for example `2026-12-24 09:00`")]
    Slashes,
    /// The moment is over.
    #[error("that moment is over already")]
    Over,
    /// It never comes, as the 31st of February.
    #[error("there is no such day in the next four years")]
    Never,
    /// The cron expression is wrong.
    #[error("the cron expression is wrong: {0}")]
    Cron(String),
    /// It says one moment where a rule is needed, or the other way round.
    #[error("say how it repeats, for example `every monday at 09:00`, or give a date, `2026-12-24 09:00`")]
    Relative,
}

/// When something is due, ready to be asked.
#[derive(Clone, Debug)]
pub struct Rule {
    due: Due,
    zone: Zone,
}

#[derive(Clone, Debug)]
enum Due {
    Cron(Box<Cron>),
    At(Timestamp),
}

impl Rule {
    /// Makes a rule of what is stored.
    ///
    /// # Errors
    /// [`WhenError::Cron`] if it is no cron expression.
    pub fn of(when: &When, zone: &Zone) -> Result<Self, WhenError> {
        let due = match when {
            When::Cron(text) => Due::Cron(Box::new(Cron::parse(text).map_err(WhenError::Cron)?)),
            When::At(at) => Due::At(*at),
        };
        Ok(Self { due, zone: zone.clone() })
    }

    /// Returns the first due time after `now`; `None` if there is none.
    ///
    /// A time of day that a change of clocks skips is due when the gap ends. One that comes twice is due the first time.
    #[must_use]
    pub fn next_after(&self, now: Timestamp) -> Option<Timestamp> {
        let cron = match &self.due {
            Due::At(at) => return (*at > now).then_some(*at),
            Due::Cron(cron) => cron,
        };
        let clock = self.zone.wall_clock(now)?;
        let mut wall = clock.datetime();
        for _ in 0..CANDIDATES_MAX {
            wall = cron.next_after(wall)?;
            let due = instant(wall, clock.time_zone())?;
            if due > now {
                return Some(due);
            }
        }
        None
    }

    /// Returns the next due times after `now`, at most `count`.
    #[must_use]
    pub fn next(&self, now: Timestamp, count: usize) -> Vec<Timestamp> {
        let first = self.next_after(now);
        std::iter::successors(first, |last| self.next_after(*last)).take(count).collect()
    }

    /// Returns whether it is due more often from now on than people may set up.
    ///
    /// # Errors
    /// If it is never due.
    pub(super) fn is_too_often(&self, now: Timestamp) -> Result<bool, WhenError> {
        let due = self.next(now, DUE_TIMES_LOOKED_AT);
        if due.is_empty() {
            return Err(if self.repeats() { WhenError::Never } else { WhenError::Over });
        }
        Ok(due.windows(2).any(|pair| pair[1].ms_since(pair[0]) < EVERY_MS_MIN))
    }

    /// Returns whether it is due again and again.
    #[must_use]
    pub fn repeats(&self) -> bool {
        matches!(self.due, Due::Cron(_))
    }

    /// Returns the zone whose wall clock counts.
    #[must_use]
    pub fn zone(&self) -> &Zone {
        &self.zone
    }
}

/// Returns when the wall clock of a zone shows a time: the first time if twice, and the end of the gap if never.
pub(super) fn instant(wall: DateTime, tz: &TimeZone) -> Option<Timestamp> {
    let at = match tz.to_ambiguous_timestamp(wall).offset() {
        AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => {
            offset.to_timestamp(wall).ok()?
        }
        AmbiguousOffset::Gap { after, .. } => {
            // By the offset after the gap, a time inside it lies before the change.
            let before_the_change = after.to_timestamp(wall).ok()?;
            tz.following(before_the_change).next()?.timestamp()
        }
    };
    Some(Timestamp::from_ms(at.as_millisecond()))
}
