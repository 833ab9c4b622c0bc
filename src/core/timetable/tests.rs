use super::*;
use crate::core::{time::Timestamp, zone::Zone};

mod oracle;

fn zone(name: &str) -> Zone {
    Zone::named(name).expect(name)
}

/// Parses `2026-03-29T00:30:00Z`.
fn at(text: &str) -> Timestamp {
    let at: jiff::Timestamp = text.parse().expect(text);
    Timestamp::from_ms(at.as_millisecond())
}

fn shown(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.as_ms()).expect("a time").to_string()
}

/// Monday, 30 November 2026, 04:00 in London, 05:00 in Berlin.
const NOW: &str = "2026-11-30T04:00:00Z";

fn parsed(text: &str) -> Result<String, WhenError> {
    let berlin = zone("Europe/Berlin");
    let when = When::parse(text, &Reading { zone: &berlin, now: at(NOW) })?;
    Ok(match when {
        When::Cron(cron) => cron,
        When::At(at) => shown(at),
    })
}

#[test]
fn c20_phrases_that_repeat_become_cron_expressions() {
    let table = [
        ("every weekday at 09:00", "0 9 * * 1-5"),
        ("Every Weekday at 9", "0 9 * * 1-5"),
        ("weekdays 9:30", "30 9 * * 1-5"),
        ("on weekdays at 9am", "0 9 * * 1-5"),
        ("at 9 on weekdays", "0 9 * * 1-5"),
        ("9:00 every monday", "0 9 * * 1"),
        ("every monday and thursday at 9", "0 9 * * 1,4"),
        ("every mon, wed and fri at 17.15", "15 17 * * 1,3,5"),
        ("mondays at noon", "0 12 * * 1"),
        ("every sunday at midnight", "0 0 * * 0"),
        ("monday to friday at 8 pm", "0 20 * * 1,2,3,4,5"),
        ("mon-fri at 12:00 am", "0 0 * * 1,2,3,4,5"),
        ("fri-mon at 7", "0 7 * * 0,1,5,6"),
        ("every weekend at ten", "0 10 * * 0,6"),
        ("daily at 18:30", "30 18 * * *"),
        ("every day at 6:05 a.m.", "5 6 * * *"),
        ("every day at 9:00 and 17:00", "0 17,9 * * *"),
        ("weekly on friday at 16:00", "0 16 * * 5"),
        ("every week on tuesday at 8", "0 8 * * 2"),
        ("on the 1st at 10:00", "0 10 1 * *"),
        ("on the 1st and 15th of every month at 10", "0 10 1,15 * *"),
        ("every month on the 2nd at 7:45", "45 7 2 * *"),
        ("monthly on the 15th at 9", "0 9 15 * *"),
        ("on the last day of the month at 17:00", "0 17 L * *"),
        ("on the first monday of the month at 9", "0 9 * * 1#1"),
        ("every second friday of the month at 14:00", "0 14 * * 5#2"),
        ("every year on 24 december at 9", "0 9 24 12 *"),
        ("yearly on march 1st at 9", "0 9 1 3 *"),
        ("every hour", "0 * * * *"),
        ("hourly", "0 * * * *"),
        ("every 15 minutes", "*/15 * * * *"),
        ("every 2 hours", "0 */2 * * *"),
        ("0 9 * * 1-5", "0 9 * * 1-5"),
        ("*/5  8-18 * * mon-fri", "*/5 8-18 * * mon-fri"),
        ("0 17 L * *", "0 17 L * *"),
        ("@daily", "@daily"),
    ];
    for (text, expected) in table {
        assert_eq!(parsed(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn c20_phrases_for_one_moment_are_read_by_the_clock_of_their_zone() {
    let table = [
        ("in 20 minutes", "2026-11-30T04:20:00Z"),
        ("20m", "2026-11-30T04:20:00Z"),
        ("in 1h30m", "2026-11-30T05:30:00Z"),
        ("in an hour", "2026-11-30T05:00:00Z"),
        ("in half an hour", "2026-11-30T04:30:00Z"),
        ("in 2 hours and 5 minutes", "2026-11-30T06:05:00Z"),
        ("in 90 seconds", "2026-11-30T04:01:30Z"),
        ("in two days", "2026-12-02T04:00:00Z"),
        ("in 3 days at 9", "2026-12-03T08:00:00Z"),
        ("in a week", "2026-12-07T04:00:00Z"),
        ("tomorrow at 10", "2026-12-01T09:00:00Z"),
        ("tomorrow at ten", "2026-12-01T09:00:00Z"),
        ("10:00 tomorrow", "2026-12-01T09:00:00Z"),
        ("the day after tomorrow at 7pm", "2026-12-02T18:00:00Z"),
        ("today at 17:00", "2026-11-30T16:00:00Z"),
        ("at 17:00", "2026-11-30T16:00:00Z"),
        ("at 4", "2026-12-01T03:00:00Z"),
        ("on monday at 9", "2026-11-30T08:00:00Z"),
        ("next monday at 9", "2026-12-07T08:00:00Z"),
        ("friday at 9 o'clock", "2026-12-04T08:00:00Z"),
        ("monday at 4", "2026-12-07T03:00:00Z"),
        ("2026-12-24 09:00", "2026-12-24T08:00:00Z"),
        ("2026-12-24T09:00:05", "2026-12-24T08:00:05Z"),
        ("24.12.2026 at 9", "2026-12-24T08:00:00Z"),
        ("24 December 2026 at 9", "2026-12-24T08:00:00Z"),
        ("on dec 24th at 9:00", "2026-12-24T08:00:00Z"),
        ("the 1st of march at noon", "2027-03-01T11:00:00Z"),
        ("29 feb at 8", "2028-02-29T07:00:00Z"),
    ];
    for (text, expected) in table {
        assert_eq!(parsed(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn c20_what_is_not_understood_says_how_to_write_it() {
    let long = "at 9 ".repeat(100);
    let table = [
        ("", WhenError::Missing),
        (long.as_str(), WhenError::Missing),
        ("soon", WhenError::Unknown),
        ("every other monday at 9", WhenError::Unknown),
        ("every 7 minutes", WhenError::Unknown),
        ("every day at 9:00 and 17:30", WhenError::Unknown),
        ("tomorrow at 25", WhenError::Unknown),
        ("at 9:60", WhenError::Unknown),
        ("13pm", WhenError::Unknown),
        ("every monday", WhenError::NoTime),
        ("tomorrow", WhenError::NoTime),
        ("on the 1st", WhenError::NoTime),
        ("12/24/2026 at 9", WhenError::Slashes),
        ("today at 4", WhenError::Over),
        ("2026-11-29 09:00", WhenError::Over),
        ("2026-02-30 09:00", WhenError::Unknown),
        ("30 february at 9", WhenError::Never),
        ("0 0 31 2 *", WhenError::Never),
        ("in 4000 weeks", WhenError::Never),
        ("in 999999999999 hours", WhenError::Unknown),
        ("٣ at 9", WhenError::Unknown),
    ];
    for (text, expected) in table {
        assert_eq!(parsed(text), Err(expected), "{text}");
    }
    for text in
        ["61 * * * *", "* * * * mon-", "0 9 * * 5L", "0 9 1,L * *", "0 0 * * * UTC", "@midnightish", "0 9-5 * * *"]
    {
        assert!(matches!(parsed(text), Err(WhenError::Cron(_) | WhenError::Unknown)), "{text}: {:?}", parsed(text));
    }
    let shown = WhenError::Cron(String::new()).to_string();
    assert!(shown.starts_with("the cron expression is wrong"));
    assert_eq!(
        parsed("61 * * * *").map_err(|error| error.to_string()),
        Err("the cron expression is wrong: value must be in range 0..=59; found 61".to_owned())
    );
}

#[test]
fn c20_a_file_names_rules_and_whole_dates_and_nothing_that_counts_from_its_reading() {
    let berlin = zone("Europe/Berlin");
    let table = [
        ("every weekday at 09:00", Ok(When::Cron("0 9 * * 1-5".to_owned()))),
        ("2026-12-24 09:00", Ok(When::At(at("2026-12-24T08:00:00Z")))),
        ("2020-01-01 09:00", Ok(When::At(at("2020-01-01T08:00:00Z")))),
        ("in 20 minutes", Err(WhenError::Relative)),
        ("tomorrow at 10", Err(WhenError::Relative)),
        ("monday at 10", Err(WhenError::Relative)),
        ("24 december at 10", Err(WhenError::Relative)),
        ("0 0 31 2 *", Err(WhenError::Never)),
    ];
    for (text, expected) in table {
        assert_eq!(When::in_file(text, &berlin), expected, "{text}");
    }
}

#[test]
fn a12_a_reminder_says_when_and_what_in_either_order() {
    let berlin = zone("Europe/Berlin");
    let reading = Reading { zone: &berlin, now: at(NOW) };
    let split = |text: &str| {
        When::split_off(text, &reading).map(|(when, rest)| match when {
            When::At(at) => (shown(at), rest.to_owned()),
            When::Cron(cron) => (cron, rest.to_owned()),
        })
    };
    let table = [
        ("10m tea", Some(("2026-11-30T04:10:00Z", "tea"))),
        ("tomorrow 10:00 call Anna", Some(("2026-12-01T09:00:00Z", "call Anna"))),
        ("tomorrow at ten call Anna", Some(("2026-12-01T09:00:00Z", "call Anna"))),
        ("in 2 hours and 5 minutes look at the oven", Some(("2026-11-30T06:05:00Z", "look at the oven"))),
        ("tea in 10 minutes", Some(("2026-11-30T04:10:00Z", "tea"))),
        ("call Anna on friday at 9", Some(("2026-12-04T08:00:00Z", "call Anna"))),
        ("every monday at 9 water the plants", Some(("0 9 * * 1", "water the plants"))),
        ("2026-12-24 09:00 Übermut & 🎄", Some(("2026-12-24T08:00:00Z", "Übermut & 🎄"))),
        ("10m", Some(("2026-11-30T04:10:00Z", ""))),
        ("buy milk", None),
        ("", None),
    ];
    for (text, expected) in table {
        let expected = expected.map(|(when, what)| (when.to_owned(), what.to_owned()));
        assert_eq!(split(text), expected, "{text}");
    }
}

fn rule(cron: &str, name: &str) -> Rule {
    Rule::of(&When::Cron(cron.to_owned()), &zone(name)).expect(cron)
}

#[test]
fn c20_a_time_that_is_skipped_runs_when_the_gap_ends_and_a_doubled_one_runs_once() {
    let table = [
        // 02:30 does not exist in Berlin on 29 March 2026: clocks go from 02:00 to 03:00, at 01:00 UTC.
        (rule("30 2 * * *", "Europe/Berlin"), "2026-03-28T12:00:00Z", ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]),
        // Several skipped times, and the one at the gap's end, are one.
        (
            rule("*/30 2,3 * * *", "Europe/Berlin"),
            "2026-03-29T00:59:00Z",
            ["2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"],
        ),
        // 02:30 comes twice on 25 October 2026, at 00:30 and 01:30 UTC.
        (rule("30 2 * * *", "Europe/Berlin"), "2026-10-24T12:00:00Z", ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]),
        (rule("30 2 * * *", "Europe/Berlin"), "2026-10-25T00:45:00Z", ["2026-10-26T01:30:00Z", "2026-10-27T01:30:00Z"]),
        (rule("0 * * * *", "Europe/Berlin"), "2026-10-24T23:30:00Z", ["2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z"]),
        // Lord Howe Island's change is half an hour.
        (
            rule("15 2 * * *", "Australia/Lord_Howe"),
            "2026-10-03T12:00:00Z",
            ["2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"],
        ),
        // A whole day was skipped in Samoa at the end of 2011.
        (
            rule("0 12 30 12 *", "Pacific/Apia"),
            "2011-12-01T00:00:00Z",
            ["2011-12-30T10:00:00Z", "2012-12-29T22:00:00Z"],
        ),
        (
            rule("0 9 * * 1-5", "America/New_York"),
            "2026-03-06T12:00:00Z",
            ["2026-03-06T14:00:00Z", "2026-03-09T13:00:00Z"],
        ),
        (rule("0 17 L * *", "Etc/UTC"), "2026-11-30T18:00:00Z", ["2026-12-31T17:00:00Z", "2027-01-31T17:00:00Z"]),
        (rule("*/15 * L 2 *", "Etc/UTC"), "2027-02-28T23:40:00Z", ["2027-02-28T23:45:00Z", "2028-02-29T00:00:00Z"]),
    ];
    for (rule, now, expected) in table {
        let next: Vec<String> = rule.next(at(now), 2).into_iter().map(shown).collect();
        assert_eq!(next, expected, "{now}");
    }
}

fn owed(rule: &Rule, until: &str, grace_minutes: u64, now: &str) -> (Option<String>, bool, u32, Option<String>) {
    let owing = owing(rule, at(until), grace_minutes * 60_000, at(now));
    (owing.due.map(shown), owing.is_late, owing.missed, owing.last_missed.map(shown))
}

#[test]
fn c20_within_its_grace_the_newest_missed_time_runs_late_and_everything_older_is_skipped() {
    let daily = rule("0 9 * * *", "Etc/UTC");
    let nine = || Some("2026-11-30T09:00:00Z".to_owned());
    let table = [
        ("2026-11-30T09:00:00Z", (nine(), false, 0, None)),
        ("2026-11-30T09:00:10Z", (nine(), false, 0, None)),
        ("2026-11-30T09:00:11Z", (nine(), true, 0, None)),
        ("2026-11-30T10:00:00Z", (nine(), true, 0, None)),
        ("2026-11-30T10:00:01Z", (None, false, 1, nine())),
        ("2026-11-30T08:59:59Z", (None, false, 0, None)),
        (
            "2026-12-03T09:30:00Z",
            (Some("2026-12-03T09:00:00Z".to_owned()), true, 3, Some("2026-12-02T09:00:00Z".to_owned())),
        ),
        ("2026-12-03T11:00:00Z", (None, false, 4, Some("2026-12-03T09:00:00Z".to_owned()))),
    ];
    for (now, expected) in table {
        assert_eq!(owed(&daily, "2026-11-29T12:00:00Z", 60, now), expected, "{now}");
    }
    // A day's downtime with 40 due times.
    let often = rule("*/36 * * * *", "Etc/UTC");
    let (due, late, missed, _) = owed(&often, "2026-11-29T09:00:00Z", 60, "2026-11-30T05:00:20Z");
    assert_eq!((due.as_deref(), late, missed), (Some("2026-11-30T05:00:00Z"), true, 39));
    // A year of every minute is not counted to its end.
    let minutes = rule("* * * * *", "Etc/UTC");
    let (due, late, missed, _) = owed(&minutes, "2025-11-30T05:00:00Z", 60, "2026-11-30T05:00:30Z");
    assert_eq!((due.as_deref(), late, missed), (Some("2026-11-30T05:00:00Z"), true, MISSED_COUNTED_MAX));
    // Without grace, a restart of a few seconds still costs nothing.
    assert_eq!(owed(&daily, "2026-11-30T08:00:00Z", 0, "2026-11-30T09:00:09Z").0, nine());
    assert_eq!(owed(&daily, "2026-11-30T08:00:00Z", 0, "2026-11-30T09:00:11Z").2, 1);
}

#[test]
fn c20_a_clock_that_jumps_neither_repeats_nor_loses_a_due_time() {
    let daily = rule("0 9 * * *", "Etc/UTC");
    // It ran at nine, and the clock is set back by an hour: nine comes again.
    assert_eq!(owed(&daily, "2026-11-30T09:00:00Z", 60, "2026-11-30T08:00:00Z"), (None, false, 0, None));
    assert_eq!(owed(&daily, "2026-11-30T09:00:00Z", 60, "2026-11-30T09:00:00Z"), (None, false, 0, None));
    // The clock jumps ahead by an hour, over nine.
    assert_eq!(
        owed(&daily, "2026-11-30T08:30:00Z", 60, "2026-11-30T09:30:00Z").0,
        Some("2026-11-30T09:00:00Z".to_owned())
    );
    // It stood in 2099 for a while: what was handled there does not count.
    assert_eq!(owed(&daily, "2099-01-01T09:00:00Z", 60, "2026-11-30T09:00:00Z"), (None, false, 0, None));
    let healed = owing(&daily, at("2099-01-01T09:00:00Z"), 0, at(NOW));
    assert_eq!(shown(healed.until), NOW);
    let next = next_due(&daily, at("2099-01-01T09:00:00Z"), at(NOW));
    assert_eq!(next.map(shown).as_deref(), Some("2026-11-30T09:00:00Z"));
}

#[test]
fn c20_a_due_time_asks_the_room_before_it_runs() {
    let due = at("2026-11-30T09:00:00Z");
    let owing = Owing { due: Some(due), until: due, ..Owing::default() };
    let before = |hours: i64| Some(Timestamp::from_ms(due.as_ms() - hours * 3_600_000));
    let here = Around { is_there: true, news_at: before(2), seen_at: before(1), ..Around::default() };
    let ran = Progress { ran_at: before(24), ..Progress::default() };
    let unread = Progress { unread: UNREAD_RUNS_MAX, ..ran.clone() };
    let silent = Around { news_at: before(30), seen_at: before(30), ..here };
    let asked = Progress { asked_at: before(20), ..unread.clone() };
    let run = Verdict::Run { due, is_late: false };
    let table = [
        ("somebody is there", false, &ran, here, run),
        ("never ran before", true, &Progress::default(), here, run),
        ("muted", false, &ran, Around { is_muted: true, ..here }, Verdict::Skip(Skip::Muted)),
        ("gone", false, &ran, Around { is_there: false, ..here }, Verdict::Skip(Skip::NotThere)),
        ("nothing new", true, &ran, silent, Verdict::Skip(Skip::NothingNew)),
        ("read but not written", true, &ran, Around { seen_at: before(1), ..silent }, Verdict::Skip(Skip::NothingNew)),
        ("silent, and it does not mind", false, &ran, silent, run),
        ("nobody read the last five", false, &unread, silent, Verdict::AskWhether { due }),
        ("somebody read the fifth", false, &unread, Around { seen_at: before(1), ..silent }, run),
        ("it asked and nobody came", false, &asked, silent, Verdict::Skip(Skip::NobodyReads)),
        ("it asked and somebody wrote", false, &asked, here, run),
    ];
    for (case, only_if_new, progress, around, expected) in table {
        assert_eq!(verdict(&owing, only_if_new, progress, around).0, expected, "{case}");
    }
}

#[test]
fn c20_it_asks_once_whether_to_go_on_and_then_pauses_until_somebody_comes() {
    let day = |n: i64| Timestamp::from_ms(at(NOW).as_ms() + n * 86_400_000);
    let mut progress = Progress::default();
    let mut around = Around { is_there: true, ..Around::default() };
    let mut seen = String::new();
    for n in 0..14 {
        if n == 10 {
            around.seen_at = Some(Timestamp::from_ms(day(n).as_ms() - 1));
        }
        let owing = Owing { due: Some(day(n)), until: day(n), ..Owing::default() };
        let (verdict, after) = verdict(&owing, false, &progress, around);
        progress = after;
        seen.push(match verdict {
            Verdict::Run { .. } => 'r',
            Verdict::AskWhether { .. } => '?',
            Verdict::Skip(Skip::NobodyReads) => '-',
            _ => 'x',
        });
    }
    assert_eq!(seen, "rrrrr?----rrrr");
    assert_eq!((progress.skips, progress.skipped), (4, Some((day(9), Skip::NobodyReads))));
}

#[test]
fn c20_the_record_says_what_was_missed() {
    let missed = Owing { missed: 3, last_missed: Some(at(NOW)), until: at(NOW), ..Owing::default() };
    let (verdict_, after) = verdict(&missed, false, &Progress::default(), Around::default());
    assert_eq!((verdict_, after.skips, after.skipped), (Verdict::Skip(Skip::Missed), 3, Some((at(NOW), Skip::Missed))));
    assert_eq!(verdict(&Owing::default(), false, &after, Around::default()), (Verdict::Nothing, after));
}

fn new<'a>(when: &str, task: &'a str, cause: &'a str) -> NewSchedule<'a> {
    static UTC: std::sync::LazyLock<Zone> = std::sync::LazyLock::new(Zone::default);
    let when = When::parse(when, &Reading { zone: &UTC, now: at(NOW) }).expect("a time");
    NewSchedule {
        user: ruma::user_id!("@coworker-ci:hs"),
        set_by: ruma::user_id!("@alice:hs"),
        said: "as said",
        when,
        zone: &UTC,
        task,
        only_if_new_messages: false,
        mention: false,
        cause,
    }
}

#[test]
fn c20_a_room_keeps_a_few_schedules_under_numbers_that_stay() {
    let mut room = RoomSchedules::default();
    let now = at(NOW);
    let number = |added: Result<RoomSchedule, AddError>| added.map(|added| added.number);
    assert_eq!(number(room.add(&new("daily at 9", "a", "1"), 0, now)), Ok(1));
    assert_eq!(number(room.add(&new("daily at 9", "a", "1"), 0, now)), Ok(1), "the same call");
    assert_eq!(number(room.add(&new("daily at 9", "b", "2"), 0, now)), Ok(2));
    assert_eq!(room.remove(1).map(|one| one.task), Some("a".to_owned()));
    assert_eq!(number(room.add(&new("daily at 9", "c", "3"), 0, now)), Ok(3));
    assert_eq!(room.remove(1), None);
    let long = "x".repeat(TASK_CHARS_MAX + 1);
    let table = [
        (new("daily at 9", " ", "x"), AddError::NoTask),
        (new("daily at 9", &long, "x"), AddError::LongTask),
        (new("every 10 minutes", "a", "x"), AddError::TooOften),
        (new("0,1 9 1 1 *", "a", "x"), AddError::TooOften),
        (NewSchedule { when: When::At(now), ..new("daily at 9", "a", "x") }, AddError::When(WhenError::Over)),
    ];
    for (new, expected) in table {
        assert_eq!(room.add(&new, 0, now), Err(expected));
    }
    assert_eq!(room.add(&new("daily at 9", "a", "x"), SCHEDULES_OF_COWORKER_MAX, now), Err(AddError::CoworkerFull));
    while room.list().len() < SCHEDULES_OF_ROOM_MAX {
        room.add(&new("every 15 minutes", "a", ""), 0, now).expect("there is room");
    }
    assert_eq!(room.add(&new("daily at 9", "a", "x"), 0, now), Err(AddError::RoomFull));
    let (alice, bob) = (ruma::user_id!("@alice:hs"), ruma::user_id!("@bob:hs"));
    let one = &room.list()[0];
    let may = [(alice, false, false), (bob, false, false), (bob, true, false), (bob, false, true)];
    assert_eq!(may.map(|(who, moderator, admin)| may_end(one, who, moderator, admin)), [true, false, true, true]);
    assert_eq!(room.remove_of(ruma::user_id!("@coworker-ci:hs")).len(), SCHEDULES_OF_ROOM_MAX);
    assert!(room.list().is_empty());
}

#[test]
fn stored_schedules_look_so() {
    let mut room = RoomSchedules::default();
    room.add(&new("every weekday at 9", "sum up", "1"), 0, at(NOW)).expect("added");
    let stored = serde_json::to_string(&room).expect("JSON");
    let expected = concat!(
        r#"{"schedules":[{"number":1,"user":"@coworker-ci:hs","set_by":"@alice:hs","said":"as said","#,
        r#""when":{"cron":"0 9 * * 1-5"},"zone":null,"task":"sum up","only_if_new_messages":false,"mention":false,"#,
        r#""at":1796011200000,"cause":"1"}],"last":1}"#
    );
    assert_eq!(stored, expected);
    assert_eq!(serde_json::from_str::<RoomSchedules>(expected).expect("schedules"), room);
    assert_eq!(serde_json::from_str::<Progress>("{}").expect("progress"), Progress::default());
}

#[test]
fn c20_ten_thousand_schedules_wait_in_one_list() {
    let mut calendar = Calendar::default();
    for n in 0..10_000_i64 {
        calendar.set(&n, Some(Timestamp::from_ms(1_000 + n)));
    }
    calendar.set(&5, Some(Timestamp::from_ms(1)));
    calendar.set(&6, None);
    assert_eq!((calendar.len(), calendar.first()), (9_999, Some(Timestamp::from_ms(1))));
    assert_eq!(calendar.take_due(Timestamp::from_ms(0)), None);
    let due: Vec<i64> = std::iter::from_fn(|| calendar.take_due(Timestamp::from_ms(1_002))).collect();
    assert_eq!(due, [5, 0, 1, 2]);
    assert!(!calendar.is_empty());
}

#[test]
fn a12_what_follows_remind_says_when_and_of_what() {
    let berlin = zone("Europe/Berlin");
    let reading = Reading { zone: &berlin, now: at(NOW) };
    let table = [
        ("10m tea", Ok(("2026-11-30T04:10:00Z", "tea"))),
        ("me tomorrow at ten to call Anna", Ok(("2026-12-01T09:00:00Z", "call Anna"))),
        ("tomorrow 10:00 call Anna", Ok(("2026-12-01T09:00:00Z", "call Anna"))),
        ("that the oven is on in 5 minutes", Ok(("2026-11-30T04:05:00Z", "the oven is on"))),
        ("10m", Err(ReminderError::NoText)),
        ("", Err(ReminderError::When(WhenError::Missing))),
        ("buy milk", Err(ReminderError::When(WhenError::Unknown))),
        ("tomorrow", Err(ReminderError::When(WhenError::NoTime))),
    ];
    for (said, expected) in table {
        let asked = Asked::parse(said, &reading).map(|asked| match asked.when {
            When::At(at) => (shown(at), asked.text),
            When::Cron(cron) => (cron, asked.text),
        });
        assert_eq!(asked, expected.map(|(when, text)| (when.to_owned(), text.to_owned())), "{said}");
    }
    let table = [("10m tea", true), ("tomorrow at 9 tea", false), ("daily at 9 tea", false), ("in 2 hours tea", true)];
    for (said, expected) in table {
        assert_eq!(Asked::is_same_everywhere(|reading| Asked::parse(said, reading), at(NOW)), expected, "{said}");
    }
}

#[test]
fn a12_a_reminder_comes_however_late_and_goes_when_it_came() {
    let (berlin, now) = (zone("Europe/Berlin"), at(NOW));
    let mut kept = Reminders::default();
    let ask = |said: &str| Asked::parse(said, &Reading { zone: &berlin, now }).expect(said);
    let once = kept.add(&ask("tomorrow at 10 tea"), &berlin, "$1", now).expect("added");
    assert_eq!(kept.add(&ask("tomorrow at 10 tea"), &berlin, "$1", now).map(|one| one.number), Ok(1), "the same event");
    let daily = kept.add(&ask("daily at 10 water"), &berlin, "$2", now).expect("added");
    let owes = |one: &Reminder, now: &str| {
        let owing = one.owing(at(now)).expect("a rule");
        (owing.due.map(shown), owing.is_late)
    };
    let ten = || Some("2026-12-01T09:00:00Z".to_owned());
    assert_eq!(owes(&once, "2026-12-01T08:59:59Z"), (None, false));
    assert_eq!(owes(&once, "2026-12-01T09:00:01Z"), (ten(), false));
    assert_eq!(owes(&once, "2027-12-01T09:00:01Z"), (ten(), true), "a year late");
    assert_eq!(owes(&daily, "2026-12-05T09:30:00Z"), (Some("2026-12-05T09:00:00Z".to_owned()), true));
    kept.handled(1, at("2026-12-01T09:00:00Z"));
    kept.handled(2, at("2026-12-01T09:00:00Z"));
    let left: Vec<_> = kept.list().iter().map(|one| (one.number, one.next(now).map(shown))).collect();
    assert_eq!(left, [(2, Some("2026-12-02T09:00:00Z".to_owned()))]);
    let table = [
        (Asked { text: " ".to_owned(), ..ask("10m x") }, ReminderError::NoText),
        (Asked { text: "x".repeat(REMINDER_CHARS_MAX + 1), ..ask("10m x") }, ReminderError::LongText),
        (ask("every 5 minutes x"), ReminderError::TooOften),
        (Asked { when: When::At(now), text: "x".to_owned() }, ReminderError::When(WhenError::Over)),
    ];
    for (asked, expected) in table {
        assert_eq!(kept.add(&asked, &berlin, "", now), Err(expected));
    }
    while kept.list().len() < REMINDERS_MAX {
        kept.add(&ask("10m x"), &berlin, "", now).expect("there is room");
    }
    assert_eq!(kept.add(&ask("10m x"), &berlin, "", now), Err(ReminderError::Full));
    assert_eq!(kept.remove(2).map(|one| one.text), Some("water".to_owned()));
    let stored = serde_json::to_string(&kept.list()[0]).expect("JSON");
    let expected = r#"{"number":3,"text":"x","when":{"at":1796011800000},"zone":"Europe/Berlin","until":1796011200000,"cause":""}"#;
    assert_eq!(stored, expected);
    assert_eq!(serde_json::from_str::<Reminders>("{}").expect("reminders"), Reminders::default());
}
