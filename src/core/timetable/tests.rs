use super::{
    due::{MISSED_COUNTED_MAX, Owing},
    reminder::REMINDERS_MAX,
    room::{AddError, SCHEDULES_OF_COWORKER_MAX, SCHEDULES_OF_PERSON_MAX, SCHEDULES_OF_ROOM_MAX},
    verdict::Unread,
    *,
};
use crate::core::{time::Timestamp, zone::Zone};

mod hostile;
mod oracle;
mod phrases;
mod reminders;

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
        ("2026-11-30T09:01:00Z", (nine(), false, 0, None)),
        ("2026-11-30T09:01:01Z", (nine(), true, 0, None)),
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
    let (due, late, missed, _) = owed(&often, "2026-11-29T09:00:00Z", 60, "2026-11-30T05:02:00Z");
    assert_eq!((due.as_deref(), late, missed), (Some("2026-11-30T05:00:00Z"), true, 39));
    // A year of every minute is not counted to its end.
    let minutes = rule("* * * * *", "Etc/UTC");
    let (due, late, missed, _) = owed(&minutes, "2025-11-30T05:00:00Z", 60, "2026-11-30T05:00:30Z");
    assert_eq!((due.as_deref(), late, missed), (Some("2026-11-30T05:00:00Z"), false, MISSED_COUNTED_MAX));
    // Without grace, a restart of some seconds still costs nothing.
    assert_eq!(owed(&daily, "2026-11-30T08:00:00Z", 0, "2026-11-30T09:00:59Z").0, nine());
    assert_eq!(owed(&daily, "2026-11-30T08:00:00Z", 0, "2026-11-30T09:01:01Z").2, 1);
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
    let runs: Vec<i64> = [28, 27, 26, 25, 24].into_iter().filter_map(before).map(Timestamp::as_ms).collect();
    let unread = serde_json::from_value(serde_json::json!({ "ran_at": before(24), "unread": runs }));
    let unread: Progress = unread.expect("progress");
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
        ("somebody read the second of five", false, &unread, Around { seen_at: before(26), ..silent }, run),
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
fn c20_what_was_accepted_and_left_counts_as_skipped_and_as_never_run() {
    let day = |n: i64| Timestamp::from_ms(at(NOW).as_ms() + n * 86_400_000);
    let around = Around { is_there: true, news_at: Some(day(0)), ..Around::default() };
    let go_on = |progress: &Progress, n: i64| {
        let owing = Owing { due: Some(day(n)), until: day(n), ..Owing::default() };
        verdict(&owing, true, progress, around)
    };
    let first = go_on(&Progress::default(), 1).1;
    let second = go_on(&first, 2);
    assert_eq!(second.0, Verdict::Skip(Skip::NothingNew));
    let mut left = first.clone();
    left.left(day(1), Skip::Missed);
    assert_eq!((left.ran_at, left.skips, left.skipped), (None, 1, Some((day(1), Skip::Missed))));
    assert!(matches!(go_on(&left, 2).0, Verdict::Run { .. }), "what it did not sum up is still new");
    // A newer due time was accepted before the older one was left.
    let mut both = Progress { ran_at: Some(day(2)), ran_before: Some(day(1)), ..Progress::default() };
    both.left(day(1), Skip::NotThere);
    assert_eq!((both.ran_at, both.ran_before), (Some(day(2)), None));
    both.left(day(2), Skip::NotThere);
    both.left(day(2), Skip::NotThere);
    assert_eq!((both.ran_at, both.skips, both.skipped), (None, 2, Some((day(2), Skip::NotThere))));
}

#[test]
fn c20_a_room_that_waits_holds_up_no_other_and_repeats_nothing_there() {
    let hourly = rule("0 * * * *", "Etc/UTC");
    let (ten, half_past) = (at("2026-11-30T10:00:00Z"), at("2026-11-30T10:30:00Z"));
    let owing_at = |until: Timestamp, now: Timestamp| owing(&hourly, until, 3_600_000, now);
    let before = at("2026-11-30T09:30:00Z");
    let around = Around { is_there: true, ..Around::default() };
    let (ran, here) = verdict(&owing_at(before, ten), false, &Progress::default(), around);
    assert_eq!((ran, here.until), (Verdict::Run { due: ten, is_late: false }, Some(ten)));
    // The other room is full; half an hour later this one is looked at again beside it.
    let again = owing_at(here.until.expect("handled"), half_past);
    assert_eq!(verdict(&again, false, &here, around), (Verdict::Nothing, here.clone()));
    // At eleven the other room still waits: it missed ten, and this room did not.
    let eleven = at("2026-11-30T11:00:00Z");
    assert_eq!((owing_at(before, eleven).missed, owing_at(ten, eleven).missed), (1, 0));
}

#[test]
fn c20_progress_of_an_earlier_version_is_read() {
    let stored = r#"{"ran_at":1796011200000,"unread":4,"asked_at":null,"skipped":[1796011200000,"missed"],"skips":1}"#;
    let read: Progress = serde_json::from_str(stored).expect("progress");
    assert_eq!((read.ran_at, read.skips, &read.unread), (Some(at(NOW)), 1, &Unread::default()));
    let stored = serde_json::to_string(&read).expect("JSON");
    assert_eq!(serde_json::from_str::<Progress>(&stored).expect("progress"), read);
}

#[test]
fn c18_schedules_are_taken_over_once_however_often_a_crash_cuts_that_in_two() {
    let (mut old, mut new_room, now) = (RoomSchedules::default(), RoomSchedules::default(), at(NOW));
    for cause in ["1", "2"] {
        old.add(&new("daily at 9", "old", cause), Counts::default(), now).expect("added");
    }
    old.remove(1);
    old.add(&new("daily at 9", "old", "3"), Counts::default(), now).expect("added");
    new_room.add(&new("daily at 9", "new", "4"), Counts::default(), now).expect("added");
    new_room.add(&new("daily at 9", "new", "5"), Counts::default(), now).expect("added");
    let numbers = |taken: Vec<(RoomSchedule, RoomSchedule)>| -> Vec<(u32, u32)> {
        taken.iter().map(|(was, is)| (was.number, is.number)).collect()
    };
    assert_eq!(numbers(new_room.take_over(&old)), [(2, 3), (3, 4)]);
    assert_eq!(numbers(new_room.take_over(&old)), []);
    let all: Vec<_> = new_room.list().iter().map(|one| (one.number, one.cause.as_str())).collect();
    assert_eq!(all, [(1, "4"), (2, "5"), (3, "2"), (4, "3")]);
}

#[test]
fn c20_the_record_says_what_was_missed() {
    let missed = Owing { missed: 3, last_missed: Some(at(NOW)), until: at(NOW), ..Owing::default() };
    let (verdict_, after) = verdict(&missed, false, &Progress::default(), Around::default());
    assert_eq!((verdict_, after.skips, after.skipped), (Verdict::Skip(Skip::Missed), 3, Some((at(NOW), Skip::Missed))));
    let nothing = Owing { until: at(NOW), ..Owing::default() };
    assert_eq!(verdict(&nothing, false, &after, Around::default()), (Verdict::Nothing, after));
}

fn new<'a>(when: &str, task: &'a str, cause: &'a str) -> NewSchedule<'a> {
    static UTC: std::sync::LazyLock<Zone> = std::sync::LazyLock::new(Zone::default);
    let when = When::parse(when, &Reading { zone: &UTC, now: at(NOW) }).expect("a time").when;
    NewSchedule {
        user: ruma::user_id!("@coworker-ci:hs"),
        set_by: ruma::user_id!("@alice:hs"),
        said: "as said",
        when,
        zone: &UTC,
        task,
        only_if_new_messages: false,
        mention: false,
        answer_within_hours: None,
        cause,
    }
}

#[test]
fn c20_a_room_keeps_a_few_schedules_under_numbers_that_stay() {
    let mut room = RoomSchedules::default();
    let now = at(NOW);
    let number = |added: Result<RoomSchedule, AddError>| added.map(|added| added.number);
    assert_eq!(number(room.add(&new("daily at 9", "a", "1"), Counts::default(), now)), Ok(1));
    assert_eq!(number(room.add(&new("daily at 9", "a", "1"), Counts::default(), now)), Ok(1), "the same call");
    assert_eq!(number(room.add(&new("daily at 9", "b", "2"), Counts::default(), now)), Ok(2));
    assert_eq!(room.remove(1).map(|one| one.task), Some("a".to_owned()));
    assert_eq!(number(room.add(&new("daily at 9", "c", "3"), Counts::default(), now)), Ok(3));
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
        assert_eq!(room.add(&new, Counts::default(), now), Err(expected));
    }
    let (of_coworker, of_person) = (SCHEDULES_OF_COWORKER_MAX, SCHEDULES_OF_PERSON_MAX);
    for (counts, expected) in [
        (Counts { of_coworker, of_person: 0 }, AddError::CoworkerFull),
        (Counts { of_coworker: 0, of_person }, AddError::PersonFull),
        (Counts { of_coworker, of_person }, AddError::PersonFull),
    ] {
        assert_eq!(room.add(&new("daily at 9", "a", "x"), counts, now), Err(expected));
    }
    while room.list().len() < SCHEDULES_OF_ROOM_MAX {
        room.add(&new("every 15 minutes", "a", ""), Counts::default(), now).expect("there is room");
    }
    assert_eq!(room.add(&new("daily at 9", "a", "x"), Counts::default(), now), Err(AddError::RoomFull));
    let (alice, bob) = (ruma::user_id!("@alice:hs"), ruma::user_id!("@bob:hs"));
    let one = &room.list()[0];
    let may = [(alice, false, false), (bob, false, false), (bob, true, false), (bob, false, true)];
    assert_eq!(may.map(|(who, moderator, admin)| may_end(one, who, moderator, admin)), [true, false, true, true]);
    assert_eq!(room.remove_of(ruma::user_id!("@coworker-ci:hs")).len(), SCHEDULES_OF_ROOM_MAX);
    assert!(room.list().is_empty());
}

#[test]
fn c20_c23_one_person_sets_up_so_many_schedules_however_many_rooms_and_coworkers_there_are() {
    let (ci, ops) = (ruma::user_id!("@coworker-ci:hs"), ruma::user_id!("@coworker-ops:hs"));
    let (alice, bob, now) = (ruma::user_id!("@alice:hs"), ruma::user_id!("@bob:hs"), at(NOW));
    let mut rooms: Vec<RoomSchedules> = Vec::new();
    let counts = |rooms: &[RoomSchedules], user: &ruma::UserId, set_by: &ruma::UserId| {
        let mut counts = Counts::default();
        for room in rooms {
            counts.add(room, user, set_by);
        }
        counts
    };
    let mut added = 0;
    for cause in (0..4 * SCHEDULES_OF_PERSON_MAX).map(|cause| cause.to_string()) {
        let user = if added % 2 == 0 { ci } else { ops };
        let wanted = NewSchedule { user, set_by: alice, ..new("daily at 9", "a", &cause) };
        if rooms.last().is_none_or(|room| room.list().len() >= 3) {
            rooms.push(RoomSchedules::default());
        }
        let counts = counts(&rooms, user, alice);
        let done = rooms.last_mut().expect("a room").add(&wanted, counts, now);
        assert!(done.is_ok() || done == Err(AddError::PersonFull), "{done:?}");
        added += usize::from(done.is_ok());
    }
    assert_eq!(added, SCHEDULES_OF_PERSON_MAX);
    let half = SCHEDULES_OF_PERSON_MAX / 2;
    assert_eq!(counts(&rooms, ci, alice), Counts { of_coworker: half, of_person: 2 * half });
    assert_eq!(counts(&rooms, ops, bob), Counts { of_coworker: half, of_person: 0 }, "others are not held up");
}

#[test]
fn stored_schedules_look_so() {
    let mut room = RoomSchedules::default();
    room.add(&new("every weekday at 9", "sum up", "1"), Counts::default(), at(NOW)).expect("added");
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
    calendar.change(&9_999, Some(Timestamp::from_ms(7)), None);
    assert_eq!((calendar.len(), calendar.ids().len()), (9_999, 9_999), "it was changed meanwhile");
    calendar.change(&9_999, Some(Timestamp::from_ms(10_999)), None);
    assert_eq!(calendar.len(), 9_998);
    let due: Vec<i64> = std::iter::from_fn(|| calendar.take_due(Timestamp::from_ms(1_002))).collect();
    assert_eq!(due, [5, 0, 1, 2]);
    assert!(calendar.len() > 0);
}
