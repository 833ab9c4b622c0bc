//! What nobody should write, and somebody will.

use super::*;
use crate::core::words;

fn read(text: &str, name: &str) -> Result<When, WhenError> {
    When::parse(text, &Reading { zone: &zone(name), now: at(NOW) }).map(|meant| meant.when)
}

#[test]
fn c20_what_nobody_should_write_is_refused_with_a_word_and_costs_nothing() {
    let cron = |text: &str| matches!(read(text, "UTC"), Err(WhenError::Cron(_)));
    let six = ["* * * * * *", "*/1 * * * * *", "0 0 9 * * 1-5", "* * * * * * *"];
    let wrong = ["* * * * 8-9", "*/0 * * * *", "99 99 99 99 99", "1-1000000 * * * *", "0 0 0 * *", "0 0 * 13 *"];
    for text in six.into_iter().chain(wrong) {
        assert!(cron(text), "{text}: {:?}", read(text, "UTC"));
    }
    for text in ["0 9 30 2 *", "0 9 31 2,4,6,9,11 *", "30 february at 9", "every year on 30 february at 9"] {
        assert_eq!(read(text, "UTC"), Err(WhenError::Never), "{text}");
    }
    let others = [
        "jeden Montag um 9",
        "morgen um 10 Uhr",
        "tous les lundis à 9h",
        "каждый понедельник в 9",
        "每周一上午9点",
        "كل يوم اثنين الساعة 9",
        "every m\u{200b}onday at 9",
        "every \u{202e}yadnom at 9",
        "every monday at ٩",
        "every monday at 9; rm -rf /",
        "every monday at 9\nevery second at 1",
        "-1 minutes",
        "in -5 minutes",
        "in 0x10 minutes",
        "every 0 minutes",
        "every -1 hours",
        "10000-01-01 09:00",
        "2026-13-01 09:00",
    ];
    for text in others {
        let refused = read(text, "UTC").expect_err(text);
        assert!(!refused.to_string().is_empty());
    }
    for text in ["x".repeat(10_000), "9 ".repeat(60), "every ".repeat(2_000), "🎄".repeat(10_000)] {
        assert!(read(&text, "UTC").is_err());
    }
}

#[test]
fn c20_every_minute_is_too_often_for_people_and_cheap_for_the_operator() {
    let (utc, now) = (zone("UTC"), at(NOW));
    let often = When::Cron("* * * * *".to_owned());
    assert_eq!(check(&often, &utc, "x", now).err(), Some(AddError::TooOften));
    let rule = Rule::of(&often, &utc).expect("a rule");
    assert_eq!(rule.next(now, 3).len(), 3);
    // Ten years of every minute are not walked through.
    let owed = owing(&rule, at("2016-11-30T04:00:00Z"), 0, now);
    assert_eq!((owed.due, owed.missed), (Some(now), MISSED_COUNTED_MAX));
}

#[test]
fn c20_the_end_of_the_calendar_is_no_trap() {
    for name in ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Europe/Berlin"] {
        for text in ["9999-12-31 23:59", "9999-12-30 12:00"] {
            let Ok(when) = read(text, name) else { continue };
            let rule = Rule::of(&when, &zone(name)).expect("a rule");
            let due = rule.next(at(NOW), 3);
            assert!(due.len() == 1 && due[0] > at("9999-01-01T00:00:00Z"), "{text} in {name}");
            assert!(zone(name).day(due[0]).contains("9999"));
            assert_eq!(owing(&rule, due[0], 0, at(NOW)).due, None);
        }
    }
    let yearly = rule("0 0 29 2 *", "Europe/Berlin");
    assert_eq!(yearly.next_after(at("9998-12-31T00:00:00Z")), None);
    assert!(yearly.next_after(Timestamp::from_ms(i64::MAX)).is_none());
    assert!(yearly.next_after(Timestamp::from_ms(i64::MIN)).is_none());
}

#[test]
fn c20_zones_are_those_of_the_database_whatever_their_case() {
    for name in ["europe/berlin", "EUROPE/BERLIN", "Europe/Berlin"] {
        let found = Zone::named(name).expect(name);
        assert_eq!(shown(found_nine(&found)), "2026-11-30T08:00:00Z", "{name}");
    }
    let none = [
        "",
        " ",
        "Europe/Berln",
        "Mars/Olympus",
        "Europe",
        "../../etc/passwd",
        "/etc/localtime",
        "Europe/Berlin\0",
        "Europe//Berlin",
        "Europe/Berlin ",
        "CET-1CEST,M3.5.0,M10.5.0/3",
        "Еurope/Berlin",
        "Z",
        "+02:00",
    ];
    for name in none {
        assert_eq!(Zone::named(name), None, "{name:?}");
    }
    assert_eq!(Zone::named(&"a/".repeat(5_000)), None);
}

fn found_nine(zone: &Zone) -> Timestamp {
    let when = When::parse("at 9", &Reading { zone, now: at(NOW) }).expect("a time").when;
    Rule::of(&when, zone).expect("a rule").next_after(at(NOW)).expect("it comes")
}

#[test]
fn c20_names_are_shown_on_one_line_and_turn_nothing_around() {
    let nasty = format!("\u{202e}evil\u{200b}\n# @room <b>[x](https://e.org)</b> {}", "n".repeat(10_000));
    let line = words::timetable::due(&nasty, &nasty, None);
    assert!(line.chars().count() < 1_000 && !line.contains(['\n', '\u{202e}', '\u{200b}']), "{line}");
    let html = crate::core::render::own(&line).html.unwrap_or_default();
    assert!(!html.contains("<b>") && !html.contains("<a ") && !html.contains("<h1>"), "{html}");
    // What is done at a due time is announced as it was written, and means nothing where it is shown.
    let html = crate::core::render::own(&words::timetable::task_due("!forget <b>x</b> @room")).html.unwrap_or_default();
    assert!(html.contains("&lt;b&gt;"), "{html}");
}

#[test]
fn c20_a_model_that_sets_up_a_hundred_schedules_fills_the_room_and_no_more() {
    let (mut room, now) = (RoomSchedules::default(), at(NOW));
    let causes: Vec<String> = (0..100).map(|n| format!("run|0|{n}")).collect();
    let add = |room: &mut RoomSchedules, cause: &str| {
        room.add(&new("daily at 9", "!forget", cause), Counts::default(), now).is_ok()
    };
    let added = causes.iter().filter(|cause| add(&mut room, cause)).count();
    assert_eq!((added, room.list().len()), (SCHEDULES_OF_ROOM_MAX, SCHEDULES_OF_ROOM_MAX));
    assert!(add(&mut room, "run|0|3"), "the same call adds nothing");
    assert_eq!(room.list().len(), SCHEDULES_OF_ROOM_MAX);
}

#[test]
fn c6_an_edit_takes_the_place_of_what_it_said_before() {
    let (mut room, now) = (RoomSchedules::default(), at(NOW));
    for cause in ["run|0|a", "run|0|b", "run|1|a", "running|0|a", "other"] {
        room.add(&new("daily at 9", "x", cause), Counts::default(), now).expect("added");
    }
    let gone: Vec<u32> = room.replace("run", "run|1").iter().map(|one| one.number).collect();
    let left: Vec<u32> = room.list().iter().map(|one| one.number).collect();
    assert_eq!((gone, left), (vec![1, 2], vec![3, 4, 5]));

    let (utc, mut kept) = (zone("UTC"), Reminders::default());
    let asked = Asked::parse("10m tea", &Reading { zone: &utc, now }).expect("a reminder");
    for cause in ["$first", "$first|$edit", "$first|$edit2", "$firstborn"] {
        kept.add(&asked, &utc, cause, now).expect("added");
    }
    assert_eq!(kept.replace("$first", "$first|$edit2"), [1, 2]);
    assert_eq!(kept.list().iter().map(|one| one.number).collect::<Vec<_>>(), [3, 4]);
}

#[test]
fn c20_two_changes_of_clocks_in_one_wait_cost_no_due_time() {
    // From before the change in spring to after that in autumn, and back again the next spring.
    let nine = rule("0 9 * * *", "Europe/Berlin");
    let due = nine.next(at("2026-03-27T12:00:00Z"), 400);
    let days: std::collections::BTreeSet<String> = due.iter().map(|at| zone("Europe/Berlin").day(*at)).collect();
    assert_eq!(days.len(), 400, "each day once");
    assert!(due.windows(2).all(|pair| [23, 24, 25].map(|h| h * 3_600_000).contains(&pair[1].ms_since(pair[0]))));
    let odd = due.windows(2).filter(|pair| pair[1].ms_since(pair[0]) != 24 * 3_600_000).count();
    assert_eq!(odd, 3, "spring, autumn, spring");
    let owed = owing(&nine, at("2026-03-27T12:00:00Z"), 3_600_000, at("2026-11-30T08:10:00Z"));
    assert_eq!((owed.due.map(shown).as_deref(), owed.missed), (Some("2026-11-30T08:00:00Z"), 247));
}
