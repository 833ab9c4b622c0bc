use super::*;

/// Histories of `cargo test`: a hundred thousand, in portions that run side by side.
const PORTION: u64 = 25_000;
/// So many histories find a planted fault at the latest.
const FOUND_WITHIN: u64 = 3_000;

/// Runs a portion of the histories; panics with the table of the first in which an invariant fails.
fn each_request_is_answered_once_or_told_why_not(portion: u64) {
    let mut held = Held::default();
    for seed in portion * PORTION..(portion + 1) * PORTION {
        match history(seed, None) {
            Ok(more) => held += more,
            Err(broken) => panic!("{broken}"),
        }
    }
    // Worlds in which nothing goes wrong prove nothing.
    assert!(held.ended > PORTION && held.deaths > PORTION && held.repeated > PORTION / 10, "{held:?}");
    assert!(held.calls > PORTION / 10 && held.decisions > PORTION / 20, "{held:?}");
}

#[test]
fn whatever_happens_each_request_is_answered_once_or_told_why_not() {
    each_request_is_answered_once_or_told_why_not(0);
}

#[test]
fn whatever_happens_each_request_is_answered_once_or_told_why_not_in_other_worlds() {
    each_request_is_answered_once_or_told_why_not(1);
}

#[test]
fn whatever_happens_each_request_is_answered_once_or_told_why_not_in_further_worlds() {
    each_request_is_answered_once_or_told_why_not(2);
}

#[test]
fn whatever_happens_each_request_is_answered_once_or_told_why_not_in_the_last_worlds() {
    each_request_is_answered_once_or_told_why_not(3);
}

/// Killed behind a "Stopped." that was sent and not noted, then asked to take all back: it stayed in the room.
#[test]
fn a_word_that_was_sent_before_a_kill_is_taken_back_with_its_request() {
    if let Err(broken) = history(28_212, None) {
        panic!("{broken}");
    }
}

#[test]
fn each_planted_fault_is_found() {
    for planted in Planted::ALL {
        let found =
            (0..FOUND_WITHIN).find_map(|seed| history(seed, Some(planted)).err().map(|broken| (seed, broken.why)));
        let (seed, why) = found.unwrap_or_else(|| panic!("{planted:?} is not found"));
        println!("{planted:?}: {} histories: {why}", seed + 1);
    }
}
