//! Generated sequences of everything that can happen in a room, handled by core in the engine's order.
//!
//! The properties hold for core's decisions. That the engine follows them is tested against a real homeserver.

use std::collections::BTreeSet;

use proptest::prelude::*;

use self::{
    room::Room,
    steps::{Happening, any_happening},
};
use crate::core::{
    event::Place,
    pace::EDITS_MAX,
    run::{
        Outcome, RunRecord, Step, Stop,
        showing::{News, Showing},
    },
    time::Timestamp,
};

mod room;
mod steps;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn c5_c11_c14_no_sequence_answers_twice_answers_a_bot_or_exceeds_a_limit(
        happenings in prop::collection::vec(any_happening(), 0..80),
    ) {
        let mut room = Room::new();
        for happening in happenings {
            room.take(happening)?;
            room.check()?;
        }
        room.run_out()?;
    }

    #[test]
    fn a10_no_sequence_edits_an_answer_too_often_or_uses_a_transaction_twice(
        steps in prop::collection::vec((0..30_u64, 0..4_000_i64, 0..8_usize), 0..200),
    ) {
        let (user, owner) = (steps::user(steps::ASSISTANT), steps::user(0));
        let (room, request) = (ruma::room_id!("!dm:here.org"), ruma::event_id!("$ask"));
        let mut now = 0;
        let begins = Timestamp::from_ms(now);
        let mut record = RunRecord { private: true, ..RunRecord::new(&user, room, request, &owner, Place::Timeline, begins) };
        let mut machine = Showing::new(&record, begins);
        let (mut text, mut used, mut edits) = (String::new(), BTreeSet::new(), 0);
        for (what, passed, more) in steps {
            now += passed;
            let at = Timestamp::from_ms(now);
            let input = match what {
                0 => {
                    record.resume();
                    (machine, edits) = (Showing::new(&record, at), 0);
                    text.clear();
                    continue;
                }
                1..=5 => News::Tick(&text),
                6 => News::Waiting(passed.unsigned_abs()),
                _ => {
                    text.push_str(&"word ".repeat(more));
                    News::Text(&text)
                }
            };
            for (step, _) in machine.take(&input, at) {
                if step != Step::Waiting {
                    prop_assert!(used.insert(record.id().transaction(step)), "{step:?} twice");
                }
                match step {
                    Step::Answer => record.streamed = Some(ruma::event_id!("$answer").to_owned()),
                    Step::Edit(number) => (record.edits, edits) = (number, edits + 1),
                    _ => {}
                }
            }
            prop_assert!(edits < EDITS_MAX, "the last one is for the end");
        }
        let last = machine.answered(&text, Stop::End, Vec::new());
        prop_assert_eq!(last.outcome == Outcome::Done, !crate::core::render::is_blank(&text), "{:?}", last);
    }
}

/// Checks that the sequences reach every outcome: properties of a room in which nobody is answered would prove nothing.
#[test]
fn the_model_answers_runs_again_after_a_restart_declines_and_stops() {
    let ask = |text| Happening::Say(steps::Saying { body: text, ..steps::Saying::plain(0) });
    let mut room = Room::new();
    for happening in [
        ask("oncall: one"),
        ask("ci: two"),
        Happening::Restart,
        Happening::Model(0, steps::Progress::Answer(Stop::End)),
        ask("oncall: !mute"),
        ask("oncall: not heard"),
        ask("oncall: !unmute"),
    ] {
        room.take(happening).expect("the properties hold");
    }
    assert_eq!((room.begun(), room.ended()), (2, 1));
    for _ in 0..8 {
        room.take(ask("ci: more")).expect("the properties hold");
    }
    assert_eq!((room.begun(), room.declined()), (6, 1), "two go and three wait: of eight, four begin");
    assert_eq!(room.told_stopped(), 1);
    room.run_out().expect("everyone is answered");
    assert_eq!(room.ended(), 6);
}
