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

pub use self::{
    calendar::Calendar,
    due::{LATE_AFTER_MS, MISSED_COUNTED_MAX, Owing, begins_until, next_due, owing},
    phrase::{Reading, TEXT_CHARS_MAX},
    reminder::{Asked, REMINDER_CHARS_MAX, REMINDER_GRACE_MS, REMINDERS_MAX, Reminder, ReminderError, Reminders},
    room::{
        AddError, NewSchedule, RoomSchedule, RoomSchedules, SCHEDULES_OF_COWORKER_MAX, SCHEDULES_OF_ROOM_MAX,
        TASK_CHARS_MAX, check, may_end,
    },
    verdict::{Around, Handled, Progress, Skip, UNREAD_RUNS_MAX, Unread, Verdict, verdict},
    when::{Rule, When, WhenError},
};
