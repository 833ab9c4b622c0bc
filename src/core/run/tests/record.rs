//! What a run's record says to the process that takes it up.

use super::*;

fn answer(body: &str) -> Answer {
    Showing::new(&record(false), NOW).answered(body, Stop::End, Vec::new())
}

#[test]
fn c19_only_crashes_while_it_is_composed_or_asked_count_and_the_third_in_a_row_gives_it_up() {
    let mut waiting = record(false);
    let mut crashing = record(false);
    let mut found = Vec::new();
    for _ in 0..4 {
        // Cut off while it waited for its turn or for people, while it sent its answer, or by a stop in order.
        waiting.resume();
        crashing.enter();
        crashing.resume();
        found.push(crashing.is_cut_off_for_good());
    }
    assert_eq!((waiting.crashes, waiting.is_cut_off_for_good()), (0, false));
    assert_eq!(found, [false, false, true, true]);
    let answered = RunRecord { answer: Some(answer("Here.")), ..crashing.clone() };
    assert!(!answered.is_cut_off_for_good(), "what is there is sent");
    crashing.has_come_on();
    crashing.resume();
    assert_eq!((crashing.crashes, crashing.is_cut_off_for_good()), (0, false), "a turn of the model has come");
}

#[test]
fn c19_a_run_that_is_given_up_tells_its_asker_and_offers_another_try() {
    for (private, again) in [(false, words::Again::ByReaction), (true, words::Again::ByAsking)] {
        let mut record = record(private);
        record.give_up(Fault::CutOff, NOW);
        let answer = record.answer.expect("a word");
        assert_eq!(answer.message.body, render::render(&words::cut_off(again)).body);
        assert!(answer.outcome == Outcome::Failed && record.gave_up);
    }
}

#[test]
fn what_may_be_there_under_the_answers_step_is_edited_only_where_it_says_something_else() {
    let mut record = record(false);
    assert!(!record.begin_answer(&answer("One.")), "nothing can be there");
    assert!(!record.begin_answer(&answer("One.")), "the same is there, or nothing");
    record.begin_anew();
    assert!(record.answer.is_none() && record.begin_answer(&answer("Two.")), "the request was edited meanwhile");
}

#[test]
fn c9_a_notice_that_may_have_come_is_a_notice() {
    let begun = RunRecord { status_begun: true, ..record(false) };
    let mut machine = Showing::new(&begun, NOW);
    let due = machine.next_at().expect("it is edited on");
    let effects = machine.take(&News::Tick(""), due);
    assert!(matches!(&effects[..], [(Step::StatusEdit(_), _)]), "no second one: {effects:?}");
    let mask = Mask::default();
    let names = crate::core::names::Names::default();
    let ended = Ended {
        steps: &[],
        outcome: Outcome::Done,
        fallback: None,
        duration_ms: 1,
        spent: Spent::default(),
        mask: &mask,
        names: &names,
        zone: &crate::core::zone::Zone::default(),
    };
    assert!(machine.status_end(&ended).is_some());
    assert!(Showing::new(&record(false), NOW).status_end(&ended).is_none());
}

#[test]
fn a_record_of_an_earlier_version_is_read() {
    let new = serde_json::to_value(record(true)).expect("JSON");
    let mut old = new.clone();
    for field in ["status_begun", "answer_begun", "under_way", "crashes", "gave_up"] {
        assert!(old.as_object_mut().expect("an object").remove(field).is_some(), "{field}");
    }
    assert_eq!(serde_json::from_value::<RunRecord>(old).expect("read"), record(true));
}
