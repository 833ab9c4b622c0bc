//! `schedules:` of a coworker: work at set times (C20).

use std::collections::BTreeSet;

use ruma::{OwnedRoomOrAliasId, OwnedUserId};

use super::{
    fault::{Faults, Trouble, shown},
    keys::{MENTIONS_MAX, NAME_CHARS_MAX, ROOMS_MAX, SCHEDULES_MAX, TASK_BYTES_MAX},
    section::{Item, Section},
    value,
    yaml::Node,
};
use crate::core::{
    batch::Latency,
    timetable::{Rule, When, WhenError},
    zone::Zone,
};

/// One of a coworker's `schedules`.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Its name, which people see.
    pub name: String,
    /// When it is due, as it is written.
    pub said: String,
    /// When it is due.
    pub rule: Rule,
    /// Where it works.
    pub rooms: Vec<OwnedRoomOrAliasId>,
    /// What is to be done.
    pub task: String,
    /// Whether it runs only if something new was said.
    pub only_if_new_messages: bool,
    /// Whom its answers mention.
    pub mention: BTreeSet<OwnedUserId>,
    /// How late it may still run, in minutes.
    pub grace_minutes: u32,
    /// How many hours the answer may take, if what it asks first goes as a batch.
    pub answer_within_hours: Option<u32>,
}

impl Schedule {
    /// Returns how late it may still run, in milliseconds.
    #[must_use]
    pub fn grace_ms(&self) -> u64 {
        u64::from(self.grace_minutes) * 60_000
    }
}

/// Parses a coworker's `schedules:`.
pub(super) fn read(coworker: &Section<'_>, faults: &mut Faults) -> Vec<Schedule> {
    let mut items = coworker.items("schedules", faults);
    if items.len() > SCHEDULES_MAX {
        let trouble = Trouble::new(
            format!("{} schedules", items.len()),
            "Each works by itself and costs money each time.",
            format!("keep at most {SCHEDULES_MAX}."),
        );
        coworker.report("schedules", trouble, faults);
        items.truncate(SCHEDULES_MAX);
    }
    let mut names = BTreeSet::new();
    let mut schedules = Vec::new();
    for item in items {
        let section = match item {
            Item::Keys(section) => section,
            Item::Word(_, at) => {
                let trouble = Trouble::new(
                    "a single value where a schedule belongs",
                    "A schedule has a name, a time, rooms and a task.",
                    "write it as {name: …, when: every weekday at 09:00, rooms: [\"#oncall:example.org\"], task: …}.",
                );
                at.report("", trouble, faults);
                continue;
            }
        };
        let Some(schedule) = schedule(&section, faults) else { continue };
        if names.insert(schedule.name.clone()) {
            schedules.push(schedule);
        } else {
            let trouble = Trouble::new(
                format!("{} is the name of another schedule too", shown(&schedule.name)),
                "What ran last is kept under the name.",
                "give each a name of its own.",
            );
            section.report("name", trouble, faults);
        }
    }
    schedules
}

fn schedule(section: &Section<'_>, faults: &mut Faults) -> Option<Schedule> {
    let name = section.need("name", ("People see who set off the work.", "set it to a short name."), faults, |node| {
        value::line(node, NAME_CHARS_MAX)
    });
    let zone = section.get("zone", faults, value::zone).unwrap_or_default();
    let due = section.need(
        "when",
        ("It would never be due.", "write for example `every weekday at 09:00`, or a cron expression in quotes."),
        faults,
        |node| due(node, &zone),
    );
    let task =
        section.need("task", ("It would not know what to do.", "say what it should do each time."), faults, |node| {
            value::task(node, TASK_BYTES_MAX)
        });
    let before = faults.as_slice().len();
    let rooms = section.list("rooms", faults, value::room_or_alias);
    let is_faulty = faults.as_slice().len() > before;
    if (rooms.is_empty() && !is_faulty) || rooms.len() > ROOMS_MAX {
        let trouble = Trouble::new(
            format!("{} rooms", rooms.len()),
            "It works in the rooms that are named, and nowhere else.",
            format!("list 1 to {ROOMS_MAX} room ids or aliases, such as [\"#oncall:example.org\"]."),
        );
        section.report("rooms", trouble, faults);
    }
    let mention = section.list("mention", faults, value::user_id);
    if mention.len() > MENTIONS_MAX {
        let trouble = Trouble::new(
            format!("{} people", mention.len()),
            "Each is notified each time.",
            format!("name at most {MENTIONS_MAX}, or none."),
        );
        section.report("mention", trouble, faults);
    }
    let only_if_new_messages = section.truth("only_if_new_messages", faults);
    let grace_minutes = section.number("grace_minutes", faults);
    let answer_within_hours = waits(section, faults);
    let (said, rule) = due?;
    Some(Schedule {
        name: name?,
        said,
        rule,
        rooms,
        task: task?,
        only_if_new_messages,
        mention: mention.into_iter().collect(),
        grace_minutes,
        answer_within_hours,
    })
}

/// Returns how many hours the answer may take, if it may wait.
fn waits(section: &Section<'_>, faults: &mut Faults) -> Option<u32> {
    let latencies = [("normal", Latency::Normal), ("batch", Latency::Batch)];
    if section.choice("latency", faults, &latencies) == Some(Latency::Batch) {
        return Some(section.number("answer_within_hours", faults));
    }
    if section.has("answer_within_hours") {
        let trouble = Trouble::new(
            "it is without `latency: batch`",
            "An answer that does not go as a batch is there within minutes.",
            "add `latency: batch`, for half the price, or remove this line.",
        );
        section.report("answer_within_hours", trouble, faults);
    }
    None
}

fn due(node: &Node, zone: &Zone) -> Result<(String, Rule), Trouble> {
    let said = value::text(node)?.trim().to_owned();
    let read = When::in_file(&said, zone);
    let rule = read.and_then(|meant| Rule::of(&meant.when, &meant.zone)).map_err(|why| trouble(&said, &why))?;
    Ok((said, rule))
}

fn trouble(said: &str, why: &WhenError) -> Trouble {
    let what = format!("{} is no time at which it can be due", shown(said));
    // What people may say in a room counts from that moment; a file is read at every start.
    let why = match why {
        WhenError::Missing | WhenError::Unknown => "it is not understood".to_owned(),
        why => why.to_string(),
    };
    Trouble::new(
        what,
        format!("It cannot be put into the calendar: {why}."),
        "write it like `every weekday at 09:00`, `on the 1st at 10:00`, `2026-12-24 09:00` or, in quotes, `0 9 * * 1-5`; \
         docs/schedules.md has every form.",
    )
}
