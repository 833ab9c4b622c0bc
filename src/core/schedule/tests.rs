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
    schedule.request(lane(room, thread), Wanted::ByPerson).expect("few wait")
}

fn errand(schedule: &mut Schedule, room: usize, thread: usize) -> Ticket {
    schedule.request(lane(room, thread), Wanted::ByNobody).expect("few wait")
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
fn c11_whoever_has_a_run_going_leaves_a_quarter_of_the_places_to_those_who_have_none() {
    let limits = ScheduleLimits { runs_max: 8, room_runs_max: 4, waiting_runs_max: 16 };
    let mut schedule = Schedule::new(limits);
    let [greedy, helper, victim] = [user_id!("@greedy:hs"), user_id!("@helper:hs"), user_id!("@victim:hs")];
    let mut thread = 0;
    let mut ask_by = |schedule: &mut Schedule, room: usize, asker: &UserId| {
        thread += 1;
        schedule.asked_by(Some(asker)).request(lane(room, thread), Wanted::ByPerson).expect("few wait")
    };
    let many: Vec<Ticket> =
        (0..20).map(|at| ask_by(&mut schedule, at % 5, if at % 2 == 0 { greedy } else { helper })).collect();
    assert_eq!(schedule.take_granted().len(), 6, "two of eight are kept for others");

    let victims = ask_by(&mut schedule, 9, victim);
    assert_eq!(schedule.take_granted(), [victims]);
    let second = ask_by(&mut schedule, 9, victim);
    assert_eq!(schedule.take_granted(), [], "now they have one going, as everybody");
    let in_a_busy_room = ask_by(&mut schedule, 0, user_id!("@other:hs"));
    assert_eq!(schedule.take_granted(), [in_a_busy_room], "it overtakes whoever waits there for lack of a place");
    assert!(schedule.ahead(second) > 0);

    for ticket in schedule.going.iter().map(|going| going.ticket).collect::<Vec<_>>() {
        schedule.release(ticket);
    }
    assert!(many.iter().any(|ticket| schedule.goes(*ticket)), "the others go on");
    let alone = ScheduleLimits { runs_max: 3, room_runs_max: 3, waiting_runs_max: 4 };
    let mut schedule = Schedule::new(alone);
    for _ in 0..3 {
        ask_by(&mut schedule, 1, greedy);
    }
    assert_eq!(schedule.take_granted().len(), 3, "with few places in all, none is kept");
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
    assert_eq!(schedule.request(lane(1, 1), Wanted::ByPerson), Err(Full), "four wait");
    assert!(schedule.request(lane(2, 1), Wanted::ByPerson).is_ok(), "another room has a line of its own");
    let free = schedule.request(lane(1, 2), Wanted::ByPerson).expect("its thread and the room are free");
    assert!(schedule.take_granted().contains(&free));
    let resumed = schedule.resume(lane(1, 1), Wanted::ByPerson);
    assert_eq!(schedule.ahead(resumed), 4, "what was accepted before is never declined");
}

#[test]
fn c20_whether_an_errand_would_be_declined_is_known_without_asking_for_a_turn() {
    let mut schedule = Schedule::new(LIMITS);
    let room = lane(1, 0).room;
    let (nobody, person) = (Wanted::ByNobody, Wanted::ByPerson);
    // One errand goes in a room; four wait.
    for thread in 0..5 {
        assert!(!schedule.is_full(&room, Some(&lane(1, thread)), nobody), "{thread}");
        errand(&mut schedule, 1, thread);
    }
    let before = format!("{schedule:?}");
    assert!(schedule.is_full(&room, Some(&lane(1, 9)), nobody) && schedule.is_full(&room, None, nobody));
    assert!(!schedule.is_full(&room, None, person) && !schedule.is_full(&lane(2, 0).room, None, nobody));
    assert_eq!(format!("{schedule:?}"), before, "nothing was asked for");
    assert_eq!(schedule.request(lane(1, 9), nobody), Err(Full));

    let going = schedule.take_granted()[0];
    schedule.release(going);
    assert!(!schedule.is_full(&room, None, nobody), "the next one went, and left its place in line");
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
fn c12_however_many_cards_are_open_all_places_are_free_and_only_whoever_has_too_many_is_declined() {
    let limits = ScheduleLimits { runs_max: 32, room_runs_max: 4, waiting_runs_max: 2 };
    let mut schedule = Schedule::new(limits);
    let [greedy, victim] = [user_id!("@greedy:hs"), user_id!("@victim:hs")];
    let ask_by = |schedule: &mut Schedule, asker: &UserId, room: usize, thread: usize| {
        schedule.asked_by(Some(asker)).request(lane(room, thread), Wanted::ByPerson)
    };
    for thread in 0..PARKED_OF_PERSON_MAX {
        let ticket = ask_by(&mut schedule, greedy, thread % 5, thread).expect("it need not wait");
        assert_eq!((schedule.take_granted(), schedule.park(ticket)), (vec![ticket], true), "{thread}");
    }
    assert_eq!(schedule.counts(), (0, 0), "no place is held");
    assert_eq!(ask_by(&mut schedule, greedy, 7, 0), Err(Full), "not even elsewhere");
    assert!(!schedule.is_full(&lane(0, 0).room, None, Wanted::ByNobody));
    let victims = ask_by(&mut schedule, victim, 0, 99).expect("others go on, there too");
    assert_eq!(schedule.take_granted(), [victims]);

    // A room whose cards are many people's.
    for thread in 0..PARKED_OF_ROOM_MAX {
        let asker = UserId::parse(format!("@p{thread}:hs")).expect("an id");
        let ticket = ask_by(&mut schedule, &asker, 8, thread).expect("it need not wait");
        assert!(schedule.take_granted() == [ticket] && schedule.park(ticket), "{thread}");
    }
    assert_eq!(ask_by(&mut schedule, victim, 8, 99), Err(Full));
    let resumed = schedule.asked_by(Some(greedy)).resume(lane(9, 0), Wanted::ByPerson);
    assert_eq!(schedule.take_granted(), [resumed], "what was accepted before is never declined");
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

#[test]
fn c21_a_burst_of_errands_in_many_rooms_leaves_half_of_all_places_and_of_each_room_s() {
    let limits = ScheduleLimits { runs_max: 32, room_runs_max: 4, waiting_runs_max: 16 };
    let mut schedule = Schedule::new(limits);
    let burst: Vec<Ticket> = (0..8)
        .flat_map(|room| (0..8).map(move |thread| (room, thread)))
        .map(|(r, t)| errand(&mut schedule, r, t))
        .collect();
    let mut went = schedule.take_granted();
    assert_eq!((went.len(), schedule.counts()), (16, (16, 48)));
    // Two people in each of these rooms, and in eight quiet ones, go at once.
    let asked: Vec<Ticket> =
        (0..8).flat_map(|room| [(room, 100), (room, 101)]).map(|(r, t)| ask(&mut schedule, r, t)).collect();
    assert_eq!(schedule.take_granted(), asked);
    let quiet = ask(&mut schedule, 9, 0);
    assert_eq!((schedule.take_granted(), schedule.ahead(quiet)), (vec![], 0), "all places are taken");
    // The next free place is a person's, whoever leaves it; then an errand takes what an errand left.
    schedule.release(went[0]);
    assert_eq!(schedule.take_granted(), [quiet]);
    schedule.release(went[1]);
    let next = schedule.take_granted();
    assert!(matches!(next[..], [one] if burst.contains(&one)), "{next:?}");
    // Without people errands are carried out all the same, in time.
    asked.into_iter().chain([quiet]).for_each(|ticket| schedule.release(ticket));
    went.extend(next);
    for at in 2.. {
        went.extend(schedule.take_granted());
        assert!(schedule.counts().0 <= 16);
        let Some(ticket) = went.get(at) else { break };
        schedule.release(*ticket);
    }
    assert_eq!(went.into_iter().collect::<BTreeSet<_>>(), burst.into_iter().collect(), "each went");
}

#[test]
fn c21_people_go_before_errands_of_their_room_and_their_line_is_their_own() {
    let mut schedule = Schedule::new(ScheduleLimits { runs_max: 9, room_runs_max: 2, waiting_runs_max: 2 });
    let [first, second] = [1, 2].map(|thread| errand(&mut schedule, 1, thread));
    assert_eq!(schedule.take_granted(), [first], "half of the room's places");
    errand(&mut schedule, 1, 3);
    assert_eq!(schedule.request(lane(1, 4), Wanted::ByNobody), Err(Full), "two errands wait");
    let people = [11, 12, 13].map(|thread| ask(&mut schedule, 1, thread));
    assert_eq!(schedule.take_granted(), people[..1], "a person has the other place, and two wait");
    assert_eq!(schedule.request(lane(1, 14), Wanted::ByPerson), Err(Full));
    assert_eq!(people.map(|ticket| schedule.ahead(ticket)), [0, 0, 1]);
    schedule.release(first);
    assert_eq!(schedule.take_granted(), people[1..2], "before errands that came first");
    schedule.release(people[0]);
    schedule.release(people[1]);
    assert_eq!(schedule.take_granted(), [people[2], second]);
}

#[test]
fn c21_an_errand_that_a_person_waits_for_is_as_urgent_as_that_person() {
    let limits = ScheduleLimits { runs_max: 4, room_runs_max: 2, waiting_runs_max: 9 };
    let mut schedule = Schedule::new(limits);
    let [busy, report, other] = [1, 2, 3].map(|thread| errand(&mut schedule, 1, thread));
    assert_eq!(schedule.take_granted(), [busy]);
    // In the thread of the second report a person asks on: it goes first, beyond the share, and then the person.
    let question = ask(&mut schedule, 1, 2);
    assert_eq!(schedule.take_granted(), [report]);
    assert_eq!(schedule.ahead(question), 0);
    schedule.release(report);
    assert_eq!(schedule.take_granted(), [question]);
    schedule.release(question);
    schedule.release(busy);
    assert_eq!(schedule.take_granted(), [other]);

    // One that was parked, and comes back.
    assert!(schedule.park(other));
    let [third, fourth] = [4, 5].map(|thread| errand(&mut schedule, 1, thread));
    schedule.unpark(other);
    assert_eq!((schedule.take_granted(), schedule.goes(other)), (vec![third], false), "the errands' place is taken");
    ask(&mut schedule, 1, 3);
    assert_eq!(schedule.take_granted(), [other]);
    schedule.release(third);
    assert!(!schedule.goes(fourth), "the errands' place is taken again");
}

#[test]
fn c21_where_there_is_one_place_an_errand_gets_it_when_no_person_wants_it() {
    let mut schedule = Schedule::new(ScheduleLimits { runs_max: 1, room_runs_max: 1, waiting_runs_max: 1 });
    let [going, waits] = [1, 2].map(|thread| errand(&mut schedule, 1, thread));
    let person = ask(&mut schedule, 1, 3);
    schedule.release(going);
    assert_eq!(schedule.take_granted(), [person]);
    schedule.release(person);
    assert_eq!(schedule.take_granted(), [waits]);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Ask {
        room: usize,
        thread: usize,
        wanted: Wanted,
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
        4 => (0..4_usize, 0..3_usize, any_wanted()).prop_map(|(room, thread, wanted)| Step::Ask { room, thread, wanted }),
        2 => (0..64_usize).prop_map(Step::Release),
        2 => (0..64_usize).prop_map(Step::Park),
        2 => (0..64_usize).prop_map(Step::Unpark),
    ]
}

fn any_wanted() -> impl Strategy<Value = Wanted> {
    prop_oneof![Just(Wanted::ByPerson), Just(Wanted::ByNobody)]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Is {
    Waiting,
    Going,
    Parked,
    /// Was parked, and has waited for that many steps.
    Returning(usize),
}

/// A ticket that is held, with what it was taken for.
#[derive(Clone, Debug)]
struct Held {
    ticket: Ticket,
    lane: Lane,
    wanted: Wanted,
    is: Is,
}

/// Observes a schedule from outside.
#[derive(Default)]
struct Watch {
    /// The held tickets, in the order of requests.
    held: Vec<Held>,
    /// For each room and rank that could go: the rooms that went since with that rank.
    passed_over: BTreeMap<(OwnedRoomId, Wanted), BTreeSet<OwnedRoomId>>,
    steps: usize,
}

impl Watch {
    fn going(&self) -> impl Iterator<Item = &Held> {
        self.held.iter().filter(|held| held.is == Is::Going)
    }

    fn rank(&self, of: &Held) -> Wanted {
        let asks = |other: &Held| other.wanted == Wanted::ByPerson && other.lane == of.lane && other.is == Is::Waiting;
        if self.held.iter().any(asks) { Wanted::ByPerson } else { of.wanted }
    }

    /// Returns the tickets that wait for the same thing before this one: its thread, its room, or the whole.
    fn counted_before(&self, of: Option<&Held>, runs_max: usize) -> BTreeSet<Ticket> {
        let Some(of) = of else { return BTreeSet::new() };
        let others = || self.held.iter().filter(|held| held.ticket != of.ticket);
        let all_taken = self.going().count() >= runs_max;
        let is_before = |other: &Held| other.is != Is::Waiting || other.ticket < of.ticket;
        let thread_taken = others().any(|other| other.lane == of.lane && is_before(other));
        let counts = |other: &&Held| match () {
            () if thread_taken => other.lane == of.lane && other.is == Is::Waiting,
            () => other.is != Is::Going && other.is != Is::Parked && (all_taken || other.lane.room == of.lane.room),
        };
        others().filter(counts).map(|held| held.ticket).collect()
    }

    fn set(&mut self, ticket: Ticket, is: Is) {
        self.held.iter_mut().find(|held| held.ticket == ticket).expect("a held ticket").is = is;
    }

    /// Returns whether the ticket at this index could go now, judged by its lane, its room and its kind's share.
    fn could_go(&self, at: usize, limits: &ScheduleLimits) -> bool {
        let held = &self.held[at];
        let in_room = || self.going().filter(|going| going.lane.room == held.lane.room);
        let errands = |going: &&Held| going.wanted == Wanted::ByNobody;
        let in_share = self.rank(held) == Wanted::ByPerson
            || in_room().filter(errands).count() < limits.room_errand_runs_max()
                && self.going().filter(errands).count() < limits.errand_runs_max();
        let is_first_of_lane = || {
            !self.held[..at].iter().any(|before| before.lane == held.lane)
                && !self.held.iter().any(|other| other.is != Is::Waiting && other.lane == held.lane)
        };
        in_share
            && in_room().count() < limits.room_runs_max
            && match held.is {
                Is::Waiting => is_first_of_lane(),
                Is::Returning(_) => true,
                Is::Going | Is::Parked => false,
            }
    }

    /// Returns which ticket of a room must go first: what people wait for, of that the returning ones in their order,
    /// then by request.
    fn first_of(&self, room: &OwnedRoomId, limits: &ScheduleLimits) -> Option<usize> {
        let able = (0..self.held.len()).filter(|at| self.held[*at].lane.room == *room && self.could_go(*at, limits));
        able.min_by_key(|at| {
            let rank = self.rank(&self.held[*at]);
            match self.held[*at].is {
                Is::Returning(since) => (rank, false, since),
                _ => (rank, true, *at),
            }
        })
    }

    fn that_could_go(&self, limits: &ScheduleLimits) -> BTreeSet<(OwnedRoomId, Wanted)> {
        let able = (0..self.held.len()).filter(|at| self.could_go(*at, limits)).map(|at| &self.held[at]);
        able.map(|held| (held.lane.room.clone(), self.rank(held))).collect()
    }

    fn let_go(&mut self, ticket: Ticket, limits: &ScheduleLimits) -> Result<(), TestCaseError> {
        let at = self.held.iter().position(|held| held.ticket == ticket);
        let at = at.ok_or_else(|| TestCaseError::fail("a ticket went that nobody holds"))?;
        prop_assert!(self.could_go(at, limits), "out of order, or beyond a limit");
        let (room, rank) = (self.held[at].lane.room.clone(), self.rank(&self.held[at]));
        prop_assert_eq!(
            self.first_of(&room, limits),
            Some(at),
            "in a room, people first, then first come, first served"
        );
        let able = self.that_could_go(limits);
        let people_wait = able.iter().any(|(_, rank)| *rank == Wanted::ByPerson);
        prop_assert!(rank == Wanted::ByPerson || !people_wait, "an errand went before a person");
        self.passed_over.retain(|waiting, _| able.contains(waiting) && waiting.0 != room);
        for waiting in able.into_iter().filter(|waiting| waiting.0 != room && waiting.1 == rank) {
            let passed = self.passed_over.entry(waiting).or_default();
            prop_assert!(passed.insert(room.clone()), "a room went twice while another waited for its turn");
        }
        self.held[at].is = Is::Going;
        Ok(())
    }

    fn check(&mut self, limits: &ScheduleLimits) -> Result<(), TestCaseError> {
        let able = self.that_could_go(limits);
        // A room that gave up and comes again starts a new wait.
        self.passed_over.retain(|waiting, _| able.contains(waiting));
        let going = self.going().count();
        prop_assert!(going <= limits.runs_max);
        let rooms: BTreeSet<_> = self.held.iter().map(|held| &held.lane.room).collect();
        for room in rooms {
            let count = |counts: fn(&Held) -> bool| {
                self.held.iter().filter(|held| held.lane.room == *room && counts(held)).count()
            };
            let people = |held: &Held| held.is == Is::Waiting && held.wanted == Wanted::ByPerson;
            let errands = |held: &Held| held.is == Is::Waiting && held.wanted == Wanted::ByNobody;
            prop_assert!(count(people) <= limits.waiting_runs_max && count(errands) <= limits.waiting_runs_max);
        }
        let idle = going < limits.runs_max && !able.is_empty();
        prop_assert!(!idle, "a run waits for nothing");
        Ok(())
    }

    fn step(&mut self, step: Step, schedule: &mut Schedule) -> Result<(), TestCaseError> {
        self.steps += 1;
        let held = self.held.len().max(1);
        match step {
            Step::Ask { room, thread, wanted } => {
                let lane = lane(room, thread);
                if let Ok(ticket) = schedule.request(lane.clone(), wanted) {
                    self.held.push(Held { ticket, lane, wanted, is: Is::Waiting });
                }
            }
            Step::Release(at) if !self.held.is_empty() => {
                schedule.release(self.held.remove(at % held).ticket);
            }
            Step::Park(at) if !self.held.is_empty() => {
                let Held { ticket, is, .. } = self.held[at % held].clone();
                if schedule.park(ticket) {
                    prop_assert_eq!(is, Is::Going);
                    self.set(ticket, Is::Parked);
                }
            }
            Step::Unpark(at) if !self.held.is_empty() => {
                let Held { ticket, is, .. } = self.held[at % held].clone();
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
        let asked = |held: &&Held| held.is == Is::Waiting && held.wanted == Wanted::ByPerson;
        let last = watch.held.iter().rfind(asked).cloned();
        let ahead = last.as_ref().map(|last| schedule.ahead(last.ticket));
        let counts = watch.counted_before(last.as_ref(), runs_max);
        let last = last.map(|last| last.ticket);
        let mut order: VecDeque<Ticket> = schedule.going.iter().map(|going| going.ticket).collect();
        let mut went = Vec::new();
        let parked = |watch: &Watch| watch.held.iter().find(|held| held.is == Is::Parked).map(|held| held.ticket);
        while let Some(ticket) = order.pop_front().or_else(|| parked(&watch)) {
            watch.held.retain(|held| held.ticket != ticket);
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
