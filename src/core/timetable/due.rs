//! What is owed at a moment: the due time that runs now, and how many were missed.

use super::when::Rule;
use crate::core::time::Timestamp;

/// A run that begins this much after its due time says that it is late: a minute. A restart takes less, and so does
/// waiting for a few others that are due at the same time.
pub(crate) const LATE_AFTER_MS: u64 = 60_000;
/// Most missed due times that are counted one by one.
pub(super) const MISSED_COUNTED_MAX: u32 = 1_000;
/// So far in the future a handled due time may lie, after a clock was set back. Beyond that the clock was wrong when it
/// was handled, and the rule begins anew.
const AHEAD_MS_MAX: i64 = 48 * 3_600 * 1_000;

/// What is owed at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Owing {
    /// The due time that runs now.
    pub due: Option<Timestamp>,
    /// Whether it is so late that it says so.
    pub is_late: bool,
    /// How many earlier due times do not run any more; at most [`MISSED_COUNTED_MAX`].
    pub missed: u32,
    /// The newest of those.
    pub last_missed: Option<Timestamp>,
    /// Up to where everything is handled once this is.
    pub until: Timestamp,
}

/// Returns until when a due time may begin. Without a grace, a moment of being late still costs nothing.
#[must_use]
pub(crate) fn begins_until(due: Timestamp, grace_ms: u64) -> Timestamp {
    due.later(grace_ms.max(LATE_AFTER_MS))
}

/// Returns when something is due next, when all due times up to `until` are handled.
#[must_use]
pub(crate) fn next_due(rule: &Rule, until: Timestamp, now: Timestamp) -> Option<Timestamp> {
    rule.next_after(sane(until, now))
}

/// Returns up to where due times are handled; `now` if that lies further ahead than a clock is set back.
fn sane(until: Timestamp, now: Timestamp) -> Timestamp {
    if until.as_ms().saturating_sub(now.as_ms()) > AHEAD_MS_MAX { now } else { until }
}

/// Returns what is owed at `now`, when all due times up to `until` are handled.
///
/// Of several due times that came while nobody was there, the newest runs if it is within its grace: two summaries of
/// the same morning would be one too many.
#[must_use]
pub(crate) fn owing(rule: &Rule, until: Timestamp, grace_ms: u64, now: Timestamp) -> Owing {
    let until = sane(until, now);
    let mut owing = Owing { until, ..Owing::default() };
    let mut newest = None;
    let mut from = until;
    while let Some(due) = rule.next_after(from).filter(|due| *due <= now) {
        owing.missed = owing.missed.saturating_add(u32::from(newest.is_some())).min(MISSED_COUNTED_MAX);
        if newest.is_some() {
            owing.last_missed = newest;
        }
        newest = Some(due);
        from = due;
        if owing.missed >= MISSED_COUNTED_MAX {
            // Only those within the grace matter now.
            let grace_begins =
                now.as_ms().saturating_sub(i64::try_from(grace_ms).unwrap_or(i64::MAX)).saturating_sub(1);
            from = from.max(Timestamp::from_ms(grace_begins));
        }
    }
    let Some(newest) = newest else { return owing };
    owing.until = newest;
    let late_ms = now.ms_since(newest);
    if now <= begins_until(newest, grace_ms) {
        owing.due = Some(newest);
        owing.is_late = late_ms > LATE_AFTER_MS;
    } else {
        owing.missed = owing.missed.saturating_add(1).min(MISSED_COUNTED_MAX);
        owing.last_missed = Some(newest);
    }
    owing
}
