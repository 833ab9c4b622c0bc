//! Texts about schedules and reminders (C20, A12).

use ruma::UserId;

use super::errands::literal;
use crate::core::{
    names::{letter_by_letter, literal_name},
    time::Timestamp,
    timetable::{Progress, Reminder, ReminderError, Skip, When},
    zone::Zone,
};

/// Names who set up a schedule.
fn set_by(who: Option<&UserId>) -> String {
    who.map_or_else(
        || "set up by this workspace's operators".to_owned(),
        |who| format!("set up by {}", literal_name(who.as_str())),
    )
}

/// Announces a due time in the room: which schedule, when it works, and who set it up.
#[must_use]
pub(crate) fn due(name: &str, said: &str, who: Option<&UserId>) -> String {
    format!("🗓️ **{}** · {} · {}", literal_name(name), literal_name(said), set_by(who))
}

/// Says, while a batch is waited for, by when its answer is there.
#[must_use]
pub(crate) fn batched(answer_by: Timestamp, zone: &Zone) -> String {
    format!("🕰️ This can wait, so I asked at half price. My answer is here by {}.", zone.date(answer_by))
}

/// Begins an answer that nobody asked for and that comes late.
#[must_use]
pub(crate) fn late(minutes: u64) -> String {
    format!("(This comes late: it was due {} ago.)", super::duration_minutes(minutes))
}

/// Says in the room that what was to come once did not come, and will not. `due` is when it was due.
#[must_use]
pub(crate) fn missed(name: &str, due: &str, who: Option<&UserId>) -> String {
    format!(
        "🗓️ **{}** · missed · {}\n\nIt was due on {due}, when I was away or too busy, and now it is too late. Ask me again if \
         you still want it.",
        literal_name(name),
        set_by(who)
    )
}

/// Asks whether a schedule that nobody reads should go on.
#[must_use]
pub(crate) fn still_wanted(name: &str, runs: usize) -> String {
    format!(
        "Nobody has written or read here since my last {runs} runs of **{}**. Shall I go on? Write something here, and I \
         will. Until then I pause it.",
        literal_name(name)
    )
}

/// Names a schedule that a member set up, which has only a number.
#[must_use]
pub(crate) fn numbered(number: u32) -> String {
    format!("Schedule {number}")
}

/// Lists due times in words.
fn next_times(times: &[Timestamp], zone: &Zone) -> String {
    let lines: Vec<String> = times.iter().map(|at| format!("- {}", zone.day(*at))).collect();
    lines.join("\n")
}

// ---- Reminders (A12) ----

/// Says a reminder. `late` is when it was due, if it comes late.
#[must_use]
pub(crate) fn reminder(text: &str, late: Option<&str>) -> String {
    let text = letter_by_letter(text);
    match late {
        None => format!("⏰ {text}"),
        Some(due) => format!("⏰ {text}\n\nThis was due on {due}. I was away then, sorry."),
    }
}

/// Confirms a reminder with when it comes.
#[must_use]
pub(crate) fn reminder_set(reminder: &Reminder, zone: &Zone, now: Timestamp) -> String {
    // With the text, because that shows whether the time in it was read as it was meant.
    let (number, text) = (reminder.number, literal_name(&reminder.text));
    match reminder.next(now) {
        Some(at) if reminder.is_task && matches!(reminder.when, When::At(_)) => {
            format!("I'll do that on {}. `!unremind {number}` cancels it.", zone.day(at))
        }
        Some(at) if reminder.is_task => {
            format!("I'll do that each time, next on {}. `!unremind {number}` ends it.", zone.day(at))
        }
        Some(at) if matches!(reminder.when, When::At(_)) => {
            format!("I'll remind you on {} of “{text}”. `!unremind {number}` cancels it.", zone.day(at))
        }
        Some(at) => {
            format!("I'll remind you of “{text}” each time, next on {}. `!unremind {number}` ends it.", zone.day(at))
        }
        None => "That moment is just over.".to_owned(),
    }
}

/// Announces in an owner's chat what their assistant does now, because it is due.
#[must_use]
pub(crate) fn task_due(task: &str) -> String {
    format!("🗓️ {}", letter_by_letter(task))
}

/// Asks an owner for their time zone, once.
#[must_use]
pub(crate) fn which_zone() -> String {
    "I don't know your time zone. Tell me once, for example `!zone Europe/Berlin`, and then ask again. (If your client can \
     set a time zone in your profile, I read it there.)"
        .to_owned()
}

/// Says that there is no such time zone.
#[must_use]
pub(crate) fn no_such_zone(name: &str) -> String {
    format!(
        "There is no time zone called {}. Write it with its city, for example `!zone Europe/Berlin` or `!zone America/New_York`.",
        literal_name(name)
    )
}

/// Confirms an owner's time zone.
#[must_use]
pub(crate) fn zone_noted(zone: &Zone, now: Timestamp) -> String {
    format!("Noted: it is {} where you are.", zone.day(now))
}

/// Says why there is no reminder.
#[must_use]
pub(crate) fn no_reminder(why: &ReminderError) -> String {
    format!("I can't set that: {why}.")
}

/// Lists an owner's reminders.
#[must_use]
pub(crate) fn reminders(list: &[Reminder], zone: &Zone, now: Timestamp) -> String {
    if list.is_empty() {
        return "You have no reminders. `!remind 10m tea` sets one; with `!schedule every friday at 16:00 plan my week` I do \
                something each time."
            .to_owned();
    }
    let line = |one: &Reminder| {
        let next = one.next(now).map_or_else(|| "now".to_owned(), |at| zone.day(at));
        let again = if matches!(one.when, When::Cron(_)) { ", and again" } else { "" };
        let does = if one.is_task { "🗓️ " } else { "" };
        format!("- {}: {does}{} ({next}{again})", one.number, literal_name(&one.text))
    };
    let lines: Vec<String> = list.iter().map(line).collect();
    format!("{}\n\n`!unremind {}` ends one.", lines.join("\n"), list[0].number)
}

/// Confirms that a reminder is ended, or says that there is none.
#[must_use]
pub(crate) fn reminder_ended(number: u32, was_there: bool) -> String {
    if was_there {
        format!("Reminder {number} is gone.")
    } else {
        format!("There is no reminder {number}. `!reminders` lists them.")
    }
}

// ---- What members set up in a room (C20) ----

/// How much of a task the list shows, in characters.
const TASK_CHARS_SHOWN: usize = 80;

/// A schedule in the list that `!schedules` shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listed<'a> {
    /// Its number; `None` for one of the coworker's file.
    pub number: Option<u32>,
    /// Its name.
    pub name: &'a str,
    /// When it works, as it was said; `None` where that is no more than when it is due next.
    pub said: Option<&'a str>,
    /// The zone of what was said, if the times are shown in another.
    pub zone: Option<&'a str>,
    /// What it is to do, where no name says so.
    pub task: Option<&'a str>,
    /// Who set it up; `None` for the operator.
    pub set_by: Option<&'a UserId>,
    /// When it is due next.
    pub next: Option<Timestamp>,
    /// How many hours the answer may take, if it may wait.
    pub within_hours: Option<u32>,
}

/// Says on a card when what is asked for would be due.
#[must_use]
pub(crate) fn would_be_due(next: &[Timestamp], within_hours: Option<u32>, zone: &Zone) -> String {
    let waits = within_hours.map_or_else(String::new, |hours| {
        format!("\n\nThe answer may wait: it comes at half price, within {} of being due.", counted_hours(hours))
    });
    format!("It would be due next on:\n\n{}{waits}", next_times(next, zone))
}

fn counted_hours(hours: u32) -> String {
    if hours == 1 { "an hour".to_owned() } else { format!("{hours} hours") }
}

/// Says on a card that what is asked for cannot be set up.
#[must_use]
pub(crate) fn cannot_be_set(why: &str) -> String {
    format!("**This can't be set up**: {why}.")
}

/// Returns one line of `!schedules`.
#[must_use]
pub(crate) fn schedule_line(of: &Listed<'_>, progress: &Progress, zone: &Zone) -> String {
    let name = of.number.map_or_else(|| literal_name(of.name), |number| number.to_string());
    let task = of.task.map(|task| literal(task, TASK_CHARS_SHOWN)).unwrap_or_default();
    let said = match (of.said.map(literal_name), of.zone) {
        (None, _) => String::new(),
        (Some(said), None) => said,
        (Some(said), Some(zone)) => format!("{said} ({zone})"),
    };
    let next = of.next.map_or_else(|| "not due again".to_owned(), |at| format!("next on {}", zone.day(at)));
    let parts = [task, said, next, set_by(of.set_by)];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    let mut line = format!("- **{name}** · {}", parts.join(" · "));
    if let Some(hours) = of.within_hours {
        line = format!("{line} · at half price as a batch, answered within {}", counted_hours(hours));
    }
    if progress.asked_at.is_some() {
        line.push_str(" · paused, because nobody reads it; write something here, and it goes on");
    }
    if let Some((at, why)) = progress.skipped {
        line = format!("{line} · last skipped on {}, because {}", zone.day(at), because(why));
    }
    line
}

fn because(why: Skip) -> &'static str {
    match why {
        Skip::Missed => "I was away or too busy",
        Skip::NothingNew => "nobody had written",
        Skip::Muted => "I was muted",
        Skip::NobodyReads => "nobody read it",
        Skip::NotThere => "I couldn't work here",
    }
}

/// Lists what works in a room at set times; `number` is that of one which people can end here.
#[must_use]
pub(crate) fn schedules(lines: &[String], number: Option<u32>, coworker: &str) -> String {
    let list = lines.join("\n");
    match number {
        _ if lines.is_empty() => "I have no schedules in this room.".to_owned(),
        Some(number) => format!("{list}\n\n`@{coworker} !unschedule {number}` ends schedule {number}."),
        None => format!(
            "{list}\n\nThey stand in my file, so only the operator can end them; `@{coworker} !mute` pauses them here."
        ),
    }
}

/// Says that there is no schedule with a number.
#[must_use]
pub(crate) fn no_such_schedule(number: u32) -> String {
    format!(
        "There is no schedule {number} in this room. `!schedules` lists them; those without a number are set by the operators."
    )
}

/// Says who may end a schedule.
#[must_use]
pub(crate) fn not_yours_to_end(number: u32) -> String {
    format!("Only whoever set schedule {number} up, or a moderator of this room, can end it.")
}

/// Confirms that a schedule is ended.
#[must_use]
pub(crate) fn schedule_ended(number: u32) -> String {
    format!("Schedule {number} has ended.")
}
