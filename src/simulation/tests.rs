use super::*;

/// Histories of `cargo test`.
const HISTORIES: u64 = 6_000;
/// So many histories find a planted fault at the latest.
const FOUND_WITHIN: u64 = 3_000;

#[test]
fn whatever_happens_each_request_is_answered_once_or_told_why_not() {
    let mut held = Held::default();
    for seed in 0..HISTORIES {
        match history(seed, None) {
            Ok(more) => held += more,
            Err(broken) => panic!("{broken}"),
        }
    }
    // Worlds in which nothing goes wrong prove nothing.
    assert!(held.ended > HISTORIES && held.deaths > HISTORIES && held.repeated > HISTORIES / 10, "{held:?}");
    assert!(held.calls > HISTORIES / 10 && held.decisions > HISTORIES / 20, "{held:?}");
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
