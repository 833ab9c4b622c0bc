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
    // They go in this order: two of room 1; then rooms 1, 2, 3 in turn, and 1 again. Room 2's second ticket waits for
    // its thread, where one is ahead of it.
    assert_eq!(tickets.map(|ticket| schedule.ahead(ticket)), [0, 0, 0, 3, 1, 1, 2]);
}

#[test]
fn c11_a_place_in_line_is_about_its_own_thread_while_that_is_taken_and_else_about_its_room() {
    let limits = ScheduleLimits { runs_max: 8, room_runs_max: 2, waiting_runs_max: 16 };
    let mut schedule = Schedule::new(limits);
    let asks = ask(&mut schedule, 1, 1);
    schedule.park(asks);
    let busy: Vec<Ticket> = (2..6).map(|thread| ask(&mut schedule, 1, thread)).collect();
    let elsewhere: Vec<Ticket> = (0..4).map(|_| ask(&mut schedule, 2, 1)).collect();
    let [behind, second] = [1, 1].map(|thread| ask(&mut schedule, 1, thread));
    assert_eq!([behind, second].map(|ticket| schedule.ahead(ticket)), [0, 1], "a card waits in its thread");
    assert_eq!(busy.iter().map(|ticket| schedule.ahead(*ticket)).collect::<Vec<_>>(), [0, 0, 0, 1], "for the room");
    assert_eq!(elsewhere.iter().map(|ticket| schedule.ahead(*ticket)).collect::<Vec<_>>(), [0, 0, 1, 2]);
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

#[test]
fn c12_a_parked_run_holds_its_thread_and_nothing_else() {
    let mut schedule = Schedule::new(ScheduleLimits { runs_max: 1, room_runs_max: 1, waiting_runs_max: 2 });
    let [asks, behind, other] = [(1, 1), (1, 1), (1, 2)].map(|(r, t)| ask(&mut schedule, r, t));
    assert_eq!(schedule.take_granted(), [asks]);
    assert!(schedule.park(asks));
    assert_eq!((schedule.take_granted(), schedule.ahead(behind)), (vec![other], 0), "its own thread waits on");
    assert!(!schedule.park(asks) && !schedule.park(behind), "neither goes");

    schedule.unpark(asks);
    assert_eq!((schedule.goes(asks), schedule.ahead(behind)), (false, 0), "the room is full");
    schedule.release(other);
    assert_eq!(schedule.take_granted(), [asks]);
    schedule.unpark(asks);
    schedule.release(asks);
    assert_eq!(schedule.take_granted(), [behind]);
}

#[test]
fn c12_who_was_parked_goes_before_new_requests_of_its_room_and_in_its_rooms_turn() {
    let mut schedule = Schedule::new(ScheduleLimits { runs_max: 1, ..LIMITS });
    let [asks, new, elsewhere] = [(1, 1), (1, 2), (2, 1)].map(|(r, t)| ask(&mut schedule, r, t));
    assert!(schedule.park(asks));
    let newest = ask(&mut schedule, 1, 3);
    schedule.unpark(asks);
    assert_eq!([new, elsewhere, asks, newest].map(|ticket| schedule.ahead(ticket)), [0, 0, 1, 2]);
    let mut went = schedule.take_granted();
    for at in 1..4 {
        schedule.release(went[at]);
        went.extend(schedule.take_granted());
    }
    assert_eq!(went, [asks, new, elsewhere, asks, newest]);
}

#[test]
fn c12_as_many_are_parked_in_a_room_as_may_wait_there_and_the_next_keeps_its_place() {
    let mut schedule = Schedule::new(ScheduleLimits { runs_max: 9, room_runs_max: 1, waiting_runs_max: 2 });
    for (thread, parks) in [(0, true), (1, true), (2, false)] {
        let ticket = ask(&mut schedule, 1, thread);
        assert_eq!((schedule.take_granted(), schedule.park(ticket)), (vec![ticket], parks), "{thread}");
    }
    let waits = ask(&mut schedule, 1, 3);
    let other_room = ask(&mut schedule, 2, 0);
    assert_eq!(schedule.take_granted(), [other_room]);
    assert_eq!(schedule.ahead(waits), 0);
}

#[test]
fn c12_a_parked_run_that_ends_leaves_nothing_behind() {
    let mut schedule = Schedule::new(LIMITS);
    let [parked, returning] = [1, 2].map(|thread| ask(&mut schedule, 1, thread));
    for ticket in [parked, returning] {
        assert!(schedule.park(ticket));
    }
    let others = [3, 4].map(|thread| ask(&mut schedule, 1, thread));
    schedule.unpark(returning);
    for ticket in [parked, returning].into_iter().chain(others) {
        schedule.release(ticket);
    }
    assert!(schedule.lines.is_empty() && schedule.turns.is_empty() && schedule.going.is_empty(), "{schedule:?}");
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Ask {
        room: usize,
        thread: usize,
    },
    /// Release the ticket at this index among those held.
    Release(usize),
    /// Park the ticket at this index, if it goes.
    Park(usize),
    /// Unpark the ticket at this index, if it is parked.
    Unpark(usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4_usize, 0..3_usize).prop_map(|(room, thread)| Step::Ask { room, thread }),
        2 => (0..64_usize).prop_map(Step::Release),
        2 => (0..64_usize).prop_map(Step::Park),
        2 => (0..64_usize).prop_map(Step::Unpark),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Is {
    Waiting,
    Going,
    Parked,
    /// Was parked, and has waited for that many steps.
    Returning(usize),
}

/// Observes a schedule from outside.
#[derive(Default)]
struct Watch {
    /// The held tickets, in the order of requests.
    held: Vec<(Ticket, Lane, Is)>,
    /// For each room that could go: the rooms that went since.
    passed_over: BTreeMap<OwnedRoomId, BTreeSet<OwnedRoomId>>,
    steps: usize,
}

impl Watch {
    fn going(&self) -> impl Iterator<Item = &Lane> {
        self.held.iter().filter(|(_, _, is)| *is == Is::Going).map(|(_, lane, _)| lane)
    }

    /// Returns the tickets that wait for the same thing before this one: its thread, its room, or the whole.
    fn counted_before(&self, of: Option<&(Ticket, Lane, Is)>, runs_max: usize) -> BTreeSet<Ticket> {
        let Some((ticket, lane, _)) = of else { return BTreeSet::new() };
        let others = || self.held.iter().filter(|(held, ..)| held != ticket);
        let all_taken = self.going().count() >= runs_max;
        let thread_taken = others().any(|(_, other, _)| other == lane);
        let counts = |(_, other, is): &&(Ticket, Lane, Is)| match () {
            () if thread_taken => other == lane && *is == Is::Waiting,
            () => *is != Is::Going && *is != Is::Parked && (all_taken || other.room == lane.room),
        };
        others().filter(counts).map(|(held, ..)| *held).collect()
    }

    fn set(&mut self, ticket: Ticket, is: Is) {
        let (_, _, kept) = self.held.iter_mut().find(|(held, ..)| *held == ticket).expect("a held ticket");
        *kept = is;
    }

    /// Returns whether the ticket at this index could go now, judged by its lane and room.
    fn could_go(&self, at: usize, limits: &ScheduleLimits) -> bool {
        let (_, lane, is) = &self.held[at];
        let room_has_place = self.going().filter(|going| going.room == lane.room).count() < limits.room_runs_max;
        let is_first_of_lane = || {
            let takes_lane = |is: &Is| *is != Is::Waiting;
            !self.held[..at].iter().any(|(_, before, _)| before == lane)
                && !self.held.iter().any(|(_, other, is)| takes_lane(is) && other == lane)
        };
        room_has_place
            && match is {
                Is::Waiting => is_first_of_lane(),
                Is::Returning(_) => true,
                Is::Going | Is::Parked => false,
            }
    }

    /// Returns which ticket of a room must go first: the returning ones in their order, then by request.
    fn first_of(&self, room: &OwnedRoomId, limits: &ScheduleLimits) -> Option<usize> {
        let able = (0..self.held.len()).filter(|at| self.held[*at].1.room == *room && self.could_go(*at, limits));
        able.min_by_key(|at| match self.held[*at].2 {
            Is::Returning(since) => (false, since),
            _ => (true, *at),
        })
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
        prop_assert_eq!(self.first_of(&room, limits), Some(at), "in a room, first come, first served");
        let able = self.rooms_that_could_go(limits);
        self.passed_over.retain(|waiting, _| able.contains(waiting) && *waiting != room);
        for waiting in able.into_iter().filter(|waiting| *waiting != room) {
            let passed = self.passed_over.entry(waiting).or_default();
            prop_assert!(passed.insert(room.clone()), "a room went twice while another waited for its turn");
        }
        self.held[at].2 = Is::Going;
        Ok(())
    }

    fn check(&mut self, limits: &ScheduleLimits) -> Result<(), TestCaseError> {
        let able = self.rooms_that_could_go(limits);
        // A room that gave up and comes again starts a new wait.
        self.passed_over.retain(|waiting, _| able.contains(waiting));
        let going = self.going().count();
        prop_assert!(going <= limits.runs_max);
        let rooms: BTreeSet<_> = self.held.iter().map(|(_, lane, _)| &lane.room).collect();
        for room in rooms {
            let count = |counts: fn(&Is) -> bool| {
                self.held.iter().filter(|(_, lane, is)| lane.room == *room && counts(is)).count()
            };
            prop_assert!(count(|is| *is == Is::Waiting) <= limits.waiting_runs_max);
            prop_assert!(count(|is| matches!(is, Is::Parked | Is::Returning(_))) <= limits.waiting_runs_max);
        }
        let idle = going < limits.runs_max && !able.is_empty();
        prop_assert!(!idle, "a run waits for nothing");
        Ok(())
    }

    fn step(&mut self, step: Step, schedule: &mut Schedule) -> Result<(), TestCaseError> {
        self.steps += 1;
        let held = self.held.len().max(1);
        match step {
            Step::Ask { room, thread } => {
                let lane = lane(room, thread);
                if let Ok(ticket) = schedule.request(lane.clone()) {
                    self.held.push((ticket, lane, Is::Waiting));
                }
            }
            Step::Release(at) if !self.held.is_empty() => {
                let (ticket, ..) = self.held.remove(at % held);
                schedule.release(ticket);
            }
            Step::Park(at) if !self.held.is_empty() => {
                let (ticket, _, is) = self.held[at % held].clone();
                if schedule.park(ticket) {
                    prop_assert_eq!(is, Is::Going);
                    self.set(ticket, Is::Parked);
                }
            }
            Step::Unpark(at) if !self.held.is_empty() => {
                let (ticket, _, is) = self.held[at % held].clone();
                schedule.unpark(ticket);
                if is == Is::Parked {
                    self.set(ticket, Is::Returning(self.steps));
                }
            }
            Step::Release(_) | Step::Park(_) | Step::Unpark(_) => {}
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn c11_no_sequence_exceeds_a_limit_breaks_a_thread_s_order_or_starves_a_room(
        steps in prop::collection::vec(any_step(), 0..80),
        runs_max in 1..4_usize, room_runs_max in 1..3_usize, waiting_runs_max in 1..5_usize,
    ) {
        let limits = ScheduleLimits { runs_max, room_runs_max, waiting_runs_max };
        let (mut schedule, mut watch) = (Schedule::new(limits), Watch::default());
        for step in steps {
            watch.step(step, &mut schedule)?;
            for ticket in schedule.take_granted() {
                watch.let_go(ticket, &limits)?;
            }
            watch.check(&limits)?;
        }
        // Every waiting ticket gets a turn, after as many others as it was told.
        let last = watch.held.iter().rfind(|(_, _, is)| *is == Is::Waiting).cloned();
        let ahead = last.as_ref().map(|(last, ..)| schedule.ahead(*last));
        let counts = watch.counted_before(last.as_ref(), runs_max);
        let last = last.map(|(last, ..)| last);
        let mut order: VecDeque<Ticket> = schedule.going.iter().map(|(ticket, _)| *ticket).collect();
        let mut went = Vec::new();
        let parked = |watch: &Watch| watch.held.iter().find(|(_, _, is)| *is == Is::Parked).map(|(ticket, ..)| *ticket);
        while let Some(ticket) = order.pop_front().or_else(|| parked(&watch)) {
            watch.held.retain(|(held, ..)| *held != ticket);
            schedule.release(ticket);
            for granted in schedule.take_granted() {
                watch.let_go(granted, &limits)?;
                went.push(granted);
                order.push_back(granted);
            }
        }
        prop_assert!(watch.held.is_empty(), "nobody waits for ever");
        let before = last.map(|last| went.iter().take_while(move |ticket| **ticket != last));
        prop_assert_eq!(before.map(|before| before.filter(|ticket| counts.contains(ticket)).count()), ahead);
        prop_assert!(schedule.lines.is_empty() && schedule.turns.is_empty());
    }
}
