use std::collections::BTreeSet;

use proptest::prelude::*;
use ruma::user_id;

use super::*;

const LIMITS: ScheduleLimits = ScheduleLimits { runs_max: 3, room_runs_max: 2, waiting_runs_max: 4 };

fn lane(room: usize, thread: usize) -> Lane {
    Lane {
        room: OwnedRoomId::try_from(format!("!{room}:hs")).expect("a room id"),
        thread: Some(OwnedEventId::try_from(format!("${thread}")).expect("an event id")),
        user: user_id!("@a:hs").to_owned(),
    }
}

fn ask(schedule: &mut Schedule, room: usize, thread: usize) -> Ticket {
    schedule.request(lane(room, thread)).expect("few wait")
}

#[test]
fn c11_one_thread_runs_in_order_and_threads_run_in_parallel_up_to_the_room_s_limit() {
    let mut schedule = Schedule::new(LIMITS);
    let [first, second, other, full] = [(1, 1), (1, 1), (1, 2), (1, 3)].map(|(r, t)| ask(&mut schedule, r, t));
    assert_eq!(schedule.take_granted(), [first, other], "the thread's second and the room's third wait");

    schedule.release(other);
    assert_eq!(schedule.take_granted(), [full], "the thread is still taken");
    schedule.release(first);
    assert_eq!(schedule.take_granted(), [second]);
}

#[test]
fn c11_the_places_of_the_whole_go_round_the_rooms() {
    let mut schedule = Schedule::new(ScheduleLimits { runs_max: 1, ..LIMITS });
    let busy: Vec<_> = (0..4).map(|thread| ask(&mut schedule, 1, thread)).collect();
    let [quiet, third] = [2, 3].map(|room| ask(&mut schedule, room, 0));
    let mut went = schedule.take_granted();
    while let Some(last) = went.last().copied().filter(|_| went.len() < 6) {
        schedule.release(last);
        went.extend(schedule.take_granted());
    }
    assert_eq!(went, [busy[0], busy[1], quiet, third, busy[2], busy[3]], "each room once before one comes again");
}

#[test]
fn c11_a_run_that_waits_for_its_thread_holds_no_place_of_others() {
    let mut schedule = Schedule::new(ScheduleLimits { runs_max: 2, ..LIMITS });
    let [first, behind, elsewhere] = [(1, 1), (1, 1), (2, 1)].map(|(r, t)| ask(&mut schedule, r, t));
    assert_eq!(schedule.take_granted(), [first, elsewhere]);
    assert_eq!(schedule.ahead(behind), 0);
}

#[test]
fn c11_beyond_the_room_s_limit_a_run_is_declined_and_one_that_need_not_wait_is_not() {
    let mut schedule = Schedule::new(LIMITS);
    for _ in 0..5 {
        ask(&mut schedule, 1, 1);
    }
    assert_eq!(schedule.request(lane(1, 1)), Err(Full), "four wait");
    assert!(schedule.request(lane(2, 1)).is_ok(), "another room has a line of its own");
    let free = schedule.request(lane(1, 2)).expect("its thread and the room are free");
    assert!(schedule.take_granted().contains(&free));
    let resumed = schedule.resume(lane(1, 1));
    assert_eq!(schedule.ahead(resumed), 4, "what was accepted before is never declined");
}

#[test]
fn c11_a_place_in_line_counts_who_goes_before() {
    let mut schedule = Schedule::new(ScheduleLimits { runs_max: 2, ..LIMITS });
    let rows = [(1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (2, 1), (3, 1)];
    let tickets = rows.map(|(room, thread)| ask(&mut schedule, room, thread));
    // They go in this order: two of room 1; then 1, 2, 3 in turn, 1 again, and the second of room 2's one thread.
    assert_eq!(tickets.map(|ticket| schedule.ahead(ticket)), [0, 0, 0, 3, 1, 4, 2]);
}

#[test]
fn c11_who_gives_up_leaves_the_line_and_is_never_let_go() {
    let mut schedule = Schedule::new(ScheduleLimits { runs_max: 1, ..LIMITS });
    let [first, gone, last] = [(1, 1), (1, 2), (2, 1)].map(|(r, t)| ask(&mut schedule, r, t));
    assert_eq!(schedule.take_granted(), [first]);
    schedule.release(gone);
    schedule.release(first);
    schedule.release(first);
    assert_eq!(schedule.take_granted(), [last]);
    schedule.release(last);
    assert!(schedule.lines.is_empty() && schedule.turns.is_empty() && schedule.going.is_empty(), "{schedule:?}");
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Ask {
        room: usize,
        thread: usize,
    },
    /// The run at this place among those that hold a ticket ends or gives up.
    Release(usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..4_usize, 0..3_usize).prop_map(|(room, thread)| Step::Ask { room, thread }),
        2 => (0..64_usize).prop_map(Step::Release),
    ]
}

/// Watches a schedule from outside.
#[derive(Default)]
struct Watch {
    /// Who holds a ticket, in the order of requests, and whether it goes.
    held: Vec<(Ticket, Lane, bool)>,
    /// For each room that could go: the rooms that went since.
    passed_over: BTreeMap<OwnedRoomId, BTreeSet<OwnedRoomId>>,
}

impl Watch {
    fn going(&self) -> impl Iterator<Item = &Lane> {
        self.held.iter().filter(|(_, _, goes)| *goes).map(|(_, lane, _)| lane)
    }

    /// Whether the run at this place could go now, as far as its lane and room are concerned.
    fn could_go(&self, at: usize, limits: &ScheduleLimits) -> bool {
        let (_, lane, goes) = &self.held[at];
        !goes
            && self.going().filter(|going| going.room == lane.room).count() < limits.room_runs_max
            && !self.held[..at].iter().any(|(_, before, _)| before == lane)
            && !self.going().any(|going| going == lane)
    }

    fn rooms_that_could_go(&self, limits: &ScheduleLimits) -> BTreeSet<OwnedRoomId> {
        let able = (0..self.held.len()).filter(|at| self.could_go(*at, limits));
        able.map(|at| self.held[at].1.room.clone()).collect()
    }

    fn let_go(&mut self, ticket: Ticket, limits: &ScheduleLimits) -> Result<(), TestCaseError> {
        let at = self.held.iter().position(|(held, ..)| *held == ticket);
        let at = at.ok_or_else(|| TestCaseError::fail("a ticket went that nobody holds"))?;
        prop_assert!(self.could_go(at, limits), "out of order, or beyond a limit");
        let room = self.held[at].1.room.clone();
        let first = (0..self.held.len()).find(|at| self.held[*at].1.room == room && self.could_go(*at, limits));
        prop_assert_eq!(first, Some(at), "in a room, first come, first served");
        let able = self.rooms_that_could_go(limits);
        self.passed_over.retain(|waiting, _| able.contains(waiting) && *waiting != room);
        for waiting in able.into_iter().filter(|waiting| *waiting != room) {
            let passed = self.passed_over.entry(waiting).or_default();
            prop_assert!(passed.insert(room.clone()), "a room went twice while another waited for its turn");
        }
        self.held[at].2 = true;
        Ok(())
    }

    fn check(&mut self, limits: &ScheduleLimits) -> Result<(), TestCaseError> {
        let able = self.rooms_that_could_go(limits);
        // Who gave up, and comes again, waits anew.
        self.passed_over.retain(|waiting, _| able.contains(waiting));
        let going = self.going().count();
        prop_assert!(going <= limits.runs_max);
        let rooms: BTreeSet<_> = self.held.iter().map(|(_, lane, _)| &lane.room).collect();
        for room in rooms {
            let waiting = self.held.iter().filter(|(_, lane, goes)| lane.room == *room && !goes).count();
            prop_assert!(waiting <= limits.waiting_runs_max);
        }
        let idle = going < limits.runs_max && !able.is_empty();
        prop_assert!(!idle, "a run waits for nothing");
        Ok(())
    }
}

proptest! {
    #[test]
    fn c11_no_sequence_exceeds_a_limit_breaks_a_thread_s_order_or_starves_a_room(
        steps in prop::collection::vec(any_step(), 0..60),
        runs_max in 1..4_usize, room_runs_max in 1..3_usize, waiting_runs_max in 1..5_usize,
    ) {
        let limits = ScheduleLimits { runs_max, room_runs_max, waiting_runs_max };
        let (mut schedule, mut watch) = (Schedule::new(limits), Watch::default());
        for step in steps {
            match step {
                Step::Ask { room, thread } => {
                    let lane = lane(room, thread);
                    if let Ok(ticket) = schedule.request(lane.clone()) {
                        watch.held.push((ticket, lane, false));
                    }
                }
                Step::Release(at) if !watch.held.is_empty() => {
                    let (ticket, ..) = watch.held.remove(at % watch.held.len());
                    schedule.release(ticket);
                }
                Step::Release(_) => {}
            }
            for ticket in schedule.take_granted() {
                watch.let_go(ticket, &limits)?;
            }
            watch.check(&limits)?;
        }
        // Everyone who waits gets a turn, as many before it as it was told.
        let last = watch.held.iter().rfind(|(_, _, goes)| !goes).map(|(ticket, ..)| *ticket);
        let ahead = last.map(|last| schedule.ahead(last));
        let mut order: VecDeque<Ticket> = schedule.going.iter().map(|(ticket, _)| *ticket).collect();
        let mut went = Vec::new();
        while let Some(ticket) = order.pop_front() {
            watch.held.retain(|(held, ..)| *held != ticket);
            schedule.release(ticket);
            for granted in schedule.take_granted() {
                watch.let_go(granted, &limits)?;
                went.push(granted);
                order.push_back(granted);
            }
        }
        prop_assert!(watch.held.is_empty(), "nobody waits for ever");
        prop_assert_eq!(last.and_then(|last| went.iter().position(|ticket| *ticket == last)), ahead);
    }
}
