use proptest::prelude::*;

use super::*;

const LIMITS: BreakerLimits = BreakerLimits { whose: Whose::Room, runs_max: 2, window_ms: 100, pause_ms: 1_000 };
const RATES: Rates =
    Rates { person: BreakerLimits { whose: Whose::Person, ..LIMITS }, room: BreakerLimits { runs_max: 6, ..LIMITS } };

fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms)
}

fn stopped(say: bool, until: i64) -> Gate {
    Gate::Stopped { whose: Whose::Room, say, until: at(until) }
}

#[test]
fn c14_a_room_is_stopped_at_the_rate_and_told_once() {
    let mut breaker = Breaker::default();
    let steps = [
        (0, Gate::Open),
        (50, Gate::Open),
        (100, Gate::Open),
        (120, stopped(true, 1_120)),
        (130, stopped(false, 1_120)),
        (1_119, stopped(false, 1_120)),
        (1_120, Gate::Open),
        (1_121, Gate::Open),
        (1_122, stopped(true, 2_122)),
    ];
    for (now, expected) in steps {
        assert_eq!(breaker.begin_run(at(now), &LIMITS), expected, "{now}");
    }
}

#[test]
fn c23_a_person_who_is_stopped_is_stopped_alone_and_everywhere() {
    let [mut mallory, mut alice, mut room, mut other] = <[Breaker; 4]>::default();
    let mut until = 0;
    for now in 0..50 {
        let gate = begin_run(&mut mallory, Some(&mut room), at(now), &RATES);
        match now {
            0 | 1 => assert_eq!(gate, Gate::Open),
            _ => {
                until = if now == 2 { now + 1_000 } else { until };
                assert_eq!(gate, Gate::Stopped { whose: Whose::Person, say: now == 2, until: at(until) });
            }
        }
    }
    assert_eq!(begin_run(&mut alice, Some(&mut room), at(60), &RATES), Gate::Open);
    for room in [None, Some(&mut other)] {
        let stopped = Gate::Stopped { whose: Whose::Person, say: false, until: at(until) };
        assert_eq!(begin_run(&mut mallory, room, at(61), &RATES), stopped, "nor with an assistant");
    }
}

#[test]
fn c23_a_run_that_the_room_stops_is_not_counted_for_the_person() {
    let mut room = Breaker::default();
    let mut people = <[Breaker; 4]>::default();
    for person in &mut people[..3] {
        for now in [1, 2] {
            assert_eq!(begin_run(person, Some(&mut room), at(now), &RATES), Gate::Open);
        }
    }
    for (now, say) in [(3, true), (4, false), (5, false)] {
        assert_eq!(begin_run(&mut people[3], Some(&mut room), at(now), &RATES), stopped(say, 1_003));
    }
    assert_eq!(begin_run(&mut people[3], None, at(6), &RATES), Gate::Open);
    assert_eq!(people[3].began.len(), 1);
}

#[test]
fn c14_a_breaker_without_runs_still_lets_one_through() {
    let limits = BreakerLimits { runs_max: 0, ..LIMITS };
    let mut breaker = Breaker::default();
    assert_eq!(breaker.begin_run(at(0), &limits), Gate::Open);
    assert_eq!(breaker.begin_run(at(1), &limits), stopped(true, 1_001));
}

#[test]
fn c14_a_clock_set_back_does_not_stop_a_room_for_ever() {
    let mut breaker = Breaker::default();
    for now in [1_000_000, 1_000_000, 1_000_000] {
        breaker.begin_run(at(now), &LIMITS);
    }
    assert_eq!(breaker.begin_run(at(0), &LIMITS), Gate::Open);
}

#[test]
fn c14_the_stored_shape_is_kept() {
    let mut breaker = Breaker::default();
    breaker.begin_run(at(7), &LIMITS);
    assert_eq!(serde_json::to_string(&breaker).unwrap(), r#"{"began":[7],"stopped_at":null}"#);
    breaker.begin_run(at(8), &LIMITS);
    breaker.begin_run(at(9), &LIMITS);
    let stored = serde_json::to_string(&breaker).unwrap();
    assert_eq!(stored, r#"{"began":[],"stopped_at":9}"#);
    assert_eq!(serde_json::from_str::<Breaker>(&stored).unwrap(), breaker);
}

#[test]
fn c15_a_word_to_strangers_is_due_once_a_day() {
    let day = i64::try_from(STRANGER_WORD_INTERVAL_MS).unwrap();
    let mut said = SaidOnce::default();
    let due: Vec<_> =
        [0, 1, day - 1, day, day + 1, 2 * day].map(|now| said.is_due(at(now), STRANGER_WORD_INTERVAL_MS)).into();
    assert_eq!(due, [true, false, false, true, false, true]);
    assert_eq!(serde_json::to_string(&said).unwrap(), (2 * day).to_string());
}

proptest! {
    #[test]
    fn c14_no_window_holds_more_runs_than_the_limit(mut times in prop::collection::vec(0..5_000i64, 0..60)) {
        times.sort_unstable();
        let mut breaker = Breaker::default();
        let began: Vec<_> = times.into_iter().filter(|now| breaker.begin_run(at(*now), &LIMITS) == Gate::Open).collect();
        for window in began.windows(LIMITS.runs_max + 1) {
            prop_assert!(window[LIMITS.runs_max] - window[0] >= 100);
        }
    }

    #[test]
    fn c23_no_sequence_of_gestures_begins_more_runs_in_a_window_than_the_limits(
        gestures in prop::collection::vec((0..4_usize, prop::option::of(0..2_usize), 0..60_i64), 0..300),
    ) {
        let mut people: [Breaker; 4] = Default::default();
        let mut rooms: [Breaker; 2] = Default::default();
        let mut began: Vec<(usize, Option<usize>, i64)> = Vec::new();
        let mut now = 0;
        for (person, room, passed) in gestures {
            now += passed;
            let breaker = room.map(|room| &mut rooms[room]);
            if begin_run(&mut people[person], breaker, at(now), &RATES) == Gate::Open {
                began.push((person, room, now));
            }
        }
        let within = |runs: Vec<i64>, limits: &BreakerLimits| {
            runs.windows(limits.runs_max + 1).all(|window| window[limits.runs_max] - window[0] >= 100)
        };
        for one in 0..4 {
            let of_person = began.iter().filter(|(person, ..)| *person == one).map(|(.., at)| *at).collect();
            prop_assert!(within(of_person, &RATES.person));
        }
        for one in 0..2 {
            let of_room = began.iter().filter(|(_, room, _)| *room == Some(one)).map(|(.., at)| *at).collect();
            prop_assert!(within(of_room, &RATES.room));
        }
    }

    #[test]
    fn c14_no_order_of_times_makes_a_breaker_fail(times in prop::collection::vec(any::<i64>(), 0..60)) {
        let mut breaker = Breaker::default();
        for now in times {
            breaker.begin_run(at(now), &LIMITS);
            prop_assert!(breaker.began.len() <= LIMITS.runs_max);
        }
    }
}
