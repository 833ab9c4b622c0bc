//! Work at set times (C20) and reminders (A12): when something is due, and what becomes of a due time. No IO, and `now`
//! is an argument everywhere.
//!
//! The queue that takes rooms in turn is something else: [`super::schedule`].

mod calendar;
mod cron;
mod due;
mod moment;
mod phrase;
mod reminder;
mod room;
#[cfg(test)]
mod tests;
mod verdict;
mod when;

pub(crate) use self::{
    calendar::Calendar,
    due::{LATE_AFTER_MS, begins_until, next_due, owing},
    phrase::{Meant, Reading, TEXT_CHARS_MAX},
    reminder::{Asked, REMINDER_CHARS_MAX, Reminder, ReminderError, Reminders, check_reminder},
    room::{Counts, NewSchedule, RoomSchedule, RoomSchedules, TASK_CHARS_MAX, check, may_end},
    verdict::{Around, Handled, Progress, Skip, UNREAD_RUNS_MAX, Verdict, verdict},
    when::{Rule, When, WhenError},
};
