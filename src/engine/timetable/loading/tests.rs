//! What thousands of schedules cost at a start: when each is due next, read from the records and worked out anew.

use ruma::{OwnedRoomId, room_id, user_id};

use super::*;
use crate::{
    core::{
        timetable::{Calendar, Counts, NewSchedule, Reading, When},
        zone::Zone,
    },
    store::{Store, Table},
};

const SCHEDULES: usize = 10_000;
const IN_A_ROOM: usize = 20;
/// What is said, in turn, and where.
const SAID: [&str; 6] = [
    "every weekday at 09:00",
    "on the first monday of the month at 9",
    "every 15 minutes",
    "0 9 1,15 * 1-5",
    "on the last day of the month at 17:00",
    "every year on 24 december at 9",
];
const ZONES: [&str; 4] = ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"];

struct Records {
    schedules: Table<OwnedRoomId, RoomSchedules>,
    timetable: Table<String, Handled>,
}

impl Records {
    fn furnish(store: &Store, count: usize, now: Timestamp) -> Self {
        let records = Self { schedules: store.schedules(), timetable: store.timetable() };
        let zones = ZONES.map(|name| Zone::named(name).expect(name));
        for room_number in 0..count.div_ceil(IN_A_ROOM) {
            let room = OwnedRoomId::try_from(format!("!room{room_number}:hs")).expect("an id");
            let mut kept = RoomSchedules::default();
            for number in 0..IN_A_ROOM {
                let (said, zone) = (SAID[(room_number + number) % SAID.len()], &zones[number % zones.len()]);
                let new = NewSchedule {
                    user: user_id!("@coworker-ci:hs"),
                    set_by: user_id!("@alice:hs"),
                    said,
                    when: When::parse(said, &Reading { zone, now }).expect(said).when,
                    zone,
                    task: "Sum up what happened since the last time: what broke, what was mended, and who has it.",
                    only_if_new_messages: true,
                    mention: false,
                    answer_within_hours: None,
                    cause: &format!("{number}"),
                };
                let added = kept.add(&new, Counts::default(), now).expect("there is room");
                let next = next_due(&added.rule().expect("a rule"), now, now);
                let handled = Handled { until: now, said: added.said.clone(), next, rooms: BTreeMap::new() };
                records.timetable.put(&key_of_room(&room, &added), &handled).expect("stored");
            }
            records.schedules.put(&room, &kept).expect("stored");
        }
        records
    }

    /// Finds when each schedule is due next: where it is `noted`, from its record, and else by its rule.
    fn find(&self, noted: bool, now: Timestamp) -> Calendar<(OwnedRoomId, u32)> {
        let known = self.timetable.each().map(|kept| {
            let (key, handled) = kept.expect("a key");
            (key, handled.expect("readable"))
        });
        let known: HashMap<String, Handled> = known.collect();
        let mut calendar = Calendar::default();
        for kept in self.schedules.each() {
            let (room, schedules) = kept.expect("a key");
            for schedule in schedules.expect("readable").list() {
                let handled = known.get(&key_of_room(&room, schedule));
                let next = handled.filter(|_| noted).and_then(|handled| handled.next_noted(&schedule.said, now));
                let worked_out = || {
                    let job = job_of_room(&room, schedule).expect("a job");
                    next_due(&job.rule, handled.map_or(now, |handled| handled.until), now)
                };
                calendar.set(&(room.clone(), schedule.number), next.or_else(worked_out));
            }
        }
        calendar
    }
}

#[test]
fn c20_what_is_due_next_is_read_from_the_record_as_long_as_that_holds() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::open(dir.path(), &[7; 32]).expect("the store opens");
    let now = Timestamp::from_ms(1_796_011_200_000);
    let records = Records::furnish(&store, 100, now);
    let (noted, anew) = (records.find(true, now), records.find(false, now));
    assert_eq!((noted.len(), noted.first()), (100, anew.first()));

    let room = room_id!("!room0:hs").to_owned();
    let kept = records.schedules.get(&room).expect("read").expect("a room");
    let first = &kept.list()[0];
    let handled = records.timetable.get(&key_of_room(&room, first)).expect("read").expect("known");
    assert!(handled.next_noted(&first.said, now).is_some());
    assert_eq!(handled.next_noted("every sunday at 9", now), None, "it says another time now");
    assert_eq!(handled.next_noted(&first.said, Timestamp::from_ms(0)), None, "the clock was set back");
}

#[test]
#[ignore = "measures, run by hand"]
fn what_ten_thousand_schedules_cost_at_a_start() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::open(dir.path(), &[7; 32]).expect("the store opens");
    let now = clock::now();
    let records = Records::furnish(&store, SCHEDULES, now);
    let mut seconds = HashMap::new();
    // Each way twice, in turn: the first round fills the store's cache for both.
    for _ in 0..2 {
        for noted in [false, true] {
            let began = tokio::time::Instant::now();
            assert_eq!(records.find(noted, now).len(), SCHEDULES);
            seconds.insert(noted, began.elapsed().as_secs_f64());
        }
    }
    let mut calendar = records.find(true, now);
    let began = tokio::time::Instant::now();
    let none = (0..1_000).filter(|_| calendar.take_due(now).is_none()).count();
    let look_us = began.elapsed().as_secs_f64() * 1e3;
    println!(
        "{SCHEDULES} schedules: {:.2} s worked out anew, {:.2} s read from the records ({:.1} x); a look while none is \
         due costs {look_us:.2} us ({none} of 1000 found none)",
        seconds[&false],
        seconds[&true],
        seconds[&false] / seconds[&true]
    );
}
