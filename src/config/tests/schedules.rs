//! A coworker's `schedules:` (C20).

use super::*;

const GOOD: &str = "  - {name: a, when: daily at 9, rooms: [\"#a:b.c\"], task: x}\n";

fn folder_with(schedules: &str) -> Folder {
    let folder = Folder::new(MINIMAL);
    folder.write("coworkers/ci.yaml", &format!("{CI}schedules:\n{schedules}"));
    folder
}

fn with(schedules: &str) -> Config {
    folder_with(schedules).load(&[]).expect("loads").0
}

#[test]
fn c20_a_file_sets_times_rooms_and_a_task() {
    let config = with(
        "  - name: weekday summary\n    when: \"0 9 * * 1-5\"\n    zone: Europe/Berlin\n    rooms: [\"!a:b.c\", \"#d:e.f\"]\n    \
         task: |\n      Sum up.\n    only_if_new_messages: true\n    mention: [\"@a:b.c\"]\n    grace_minutes: 0\n",
    );
    let one = &config.coworkers[0].schedules[0];
    let words = (one.name.as_str(), one.said.as_str(), one.task.as_str(), one.rule.zone().name());
    assert_eq!(words, ("weekday summary", "0 9 * * 1-5", "Sum up.", Some("Europe/Berlin")));
    assert_eq!((one.rooms.len(), one.mention.len(), one.only_if_new_messages, one.grace_ms()), (2, 1, true, 0));
    let plain = with(GOOD);
    let one = &plain.coworkers[0].schedules[0];
    assert_eq!((one.grace_minutes, one.only_if_new_messages, one.mention.len()), (60, false, 0));
    assert!(with("  []\n").coworkers[0].schedules.is_empty());
}

#[test]
fn c20_what_may_wait_says_how_long() {
    let within = |more: &str| {
        with(&GOOD.replace("task: x", &format!("task: x{more}"))).coworkers[0].schedules[0].answer_within_hours
    };
    assert_eq!([within(""), within(", latency: normal")], [None, None]);
    assert_eq!(within(", latency: batch"), Some(4));
    assert_eq!(within(", latency: batch, answer_within_hours: 24"), Some(24));
}

#[test]
fn c20_each_fault_of_a_schedule_says_how_to_mend_it() {
    let changed = |from: &str, to: &str| GOOD.replace(from, to);
    let table = [
        (changed("name: a, ", ""), "schedules[0].name: missing"),
        (changed("when: daily at 9, ", ""), "schedules[0].when: missing"),
        (changed("daily at 9", "tomorrow at 9"), "or give a date, `2026-12-24 09:00`"),
        (changed("daily at 9", "every monday"), "say at what time of day"),
        (changed("daily at 9", "\"61 * * * *\""), "must be in range"),
        (changed("daily at 9", "\"0 0 31 2 *\""), "no such day"),
        (changed("task: x", "zone: Mars, task: x"), "is no time zone"),
        (changed("task: x", "task: \"\""), "schedules[0].task"),
        (changed("rooms: [\"#a:b.c\"]", "rooms: []"), "list 1 to 50 room ids or aliases"),
        (changed("\"#a:b.c\"", "here"), "neither a room id nor an alias"),
        (changed("task: x", "task: x, grace_minutes: 2000"), "0 to 1440"),
        (changed("task: x", "task: x, latency: slow"), "schedules[0].latency"),
        (changed("task: x", "task: x, answer_within_hours: 3"), "add `latency: batch`"),
        (changed("task: x", "task: x, latency: batch, answer_within_hours: 25"), "1 to 24"),
        (changed("task: x", "task: x, latency: batch, answer_within_hours: 0"), "1 to 24"),
        (changed("task: x", "task: x, every: day"), "unknown key"),
        ("  - daily\n".to_owned(), "a single value where a schedule belongs"),
        (format!("{GOOD}{GOOD}"), "is the name of another schedule too"),
    ];
    for (schedules, expected) in table {
        let faults = folder_with(&schedules).faults();
        assert!(faults.contains(expected), "{schedules}: {faults}");
    }
}
