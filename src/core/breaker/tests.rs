use proptest::prelude::*;

use super::*;

const LIMITS: BreakerLimits = BreakerLimits { runs_max: 2, window_ms: 100, pause_ms: 1_000 };

fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms)
}

fn stopped(say: bool, until: i64) -> Gate {
    Gate::Stopped { say, until: at(until) }
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
    fn c14_no_order_of_times_makes_a_breaker_fail(times in prop::collection::vec(any::<i64>(), 0..60)) {
        let mut breaker = Breaker::default();
        for now in times {
            breaker.begin_run(at(now), &LIMITS);
            prop_assert!(breaker.began.len() <= LIMITS.runs_max);
        }
    }
}
