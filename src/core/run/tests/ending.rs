//! Runs that end without a word (docs/endings.md).

use super::{batching::World, *};

#[test]
fn c10_a_request_that_is_gone_when_its_context_is_composed_is_not_asked_about_and_leaves_nothing() {
    for private in [false, true] {
        let ready = Ready { is_gone: true, ..Ready::default() };
        let world = World::begin_with(record(private), NOW, ready);
        let end = world.end().expect("it ends");
        assert_eq!((end.outcome, end.taken_back, &end.answer), (Outcome::Dropped, true, &None), "private: {private}");
        assert_eq!((world.asked, world.shown()), (0, Vec::new()), "private: {private}");
    }
}

#[test]
fn c2_a_run_whose_coworker_is_no_longer_configured_asks_nothing_and_says_nothing() {
    let world = World::begin_with(record(false), NOW, None);
    let end = world.end().expect("it ends");
    assert_eq!((end.outcome, end.taken_back, &end.answer), (Outcome::Dropped, false, &None));
    assert_eq!((world.asked, world.shown()), (0, Vec::new()));
}
