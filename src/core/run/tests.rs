use std::collections::BTreeSet;

use ruma::{event_id, room_id, user_id};

use super::{
    showing::{News, WAITING_WORD_AFTER_MS},
    *,
};
use crate::core::{
    audit::Spent,
    event::{OutgoingKind, Place},
    mask::Mask,
    render::{self, EDIT_BYTES_MAX, MESSAGE_BYTES_MAX},
    words,
};

mod batching;
mod computing;
mod ending;
mod properties;
mod record;
mod refusing;

const NOW: Timestamp = Timestamp::from_ms(10_000_000);

fn record(private: bool) -> RunRecord {
    let (user, asker) = (user_id!("@coworker-oncall:hs"), user_id!("@alice:hs"));
    let request = event_id!("$ask");
    let place = Place::Thread { root: request.to_owned(), latest: request.to_owned() };
    RunRecord { private, ..RunRecord::new(user, room_id!("!r:hs"), request, asker, place, NOW) }
}

#[test]
fn the_same_request_and_user_are_the_same_run() {
    let a = RunId::of(event_id!("$1"), user_id!("@a:hs"));
    assert_eq!(a, RunId::of(event_id!("$1"), user_id!("@a:hs")));
    assert_ne!(a, RunId::of(event_id!("$1"), user_id!("@b:hs")));
    assert_ne!(a.transaction(Step::Answer), a.transaction(Step::Edit(1)));
    assert_eq!(a.transaction(Step::Edit(2)), a.transaction(Step::Edit(2)));
}

#[test]
fn c9_a_coworker_sends_one_message_that_mentions_the_asker() {
    let mut machine = Showing::new(&record(false), NOW);
    assert_eq!(machine.take(&News::Text("It "), NOW), vec![]);
    assert_eq!(machine.take(&News::Text("It is fixed."), NOW), vec![]);
    let answer = machine.answered("It is fixed.", Stop::End, Vec::new());
    assert_eq!(answer.outcome, Outcome::Done);
    assert_eq!(answer.message.body, "It is fixed.");
    assert_eq!(answer.message.kind, OutgoingKind::Text);
    assert_eq!(answer.message.mentions, BTreeSet::from([user_id!("@alice:hs").to_owned()]));
    assert_eq!(answer.message.place, record(false).place);
}

#[test]
fn a10_an_assistant_streams_first_text_then_edits_then_the_end_and_mentions_nobody() {
    let mut machine = Showing::new(&record(true), NOW);
    assert_eq!(machine.take(&News::Text("One **tw"), NOW), vec![], "it may be whole in a moment");
    let due = machine.next_at().expect("the first text is due");
    assert_eq!(due.ms_since(NOW), crate::core::pace::FIRST_WAIT_MS);
    let first = machine.take(&News::Tick("One **tw"), due);
    let [(Step::Answer, message)] = &first[..] else { panic!("a message, not {first:?}") };
    assert_eq!((message.body.as_str(), message.mentions.len()), ("One …", 0));
    let soon = due.later(100);
    assert_eq!(machine.take(&News::Text("One **two** thr"), soon), vec![], "an edit must wait for its gap");
    let due = machine.next_at().expect("an edit is due");
    let second = machine.take(&News::Tick("One **two** thr"), due);
    let [(Step::Edit(1), message)] = &second[..] else { panic!("an edit, not {second:?}") };
    assert_eq!((message.body.as_str(), message.mentions.len()), ("One two …", 0));
    assert_eq!(machine.take(&News::Text("One **two** three"), due), vec![]);
    let due = machine.next_at().expect("an edit is due");
    assert_eq!(machine.take(&News::Tick("One **two** three"), due), vec![], "no more of it is whole");
    assert_eq!(machine.next_at(), None, "and nothing is due for ever");
    let answer = machine.answered("One two three", Stop::End, Vec::new());
    assert_eq!((answer.message.body.as_str(), answer.message.mentions.len()), ("One two three", 0));
}

#[test]
fn a10_a_short_answer_of_an_assistant_is_one_message() {
    let mut machine = Showing::new(&record(true), NOW);
    for (ms, text) in [(0, "I "), (300, "I waited "), (1_400, "I waited 12 seconds.")] {
        assert_eq!(machine.take(&News::Text(text), NOW.later(ms)), vec![], "{text}");
    }
    let answer = machine.answered("I waited 12 seconds.", Stop::End, Vec::new());
    assert_eq!(answer.message.body, "I waited 12 seconds.");
}

#[test]
fn a_resumed_run_uses_no_number_of_an_edit_again() {
    let mut record = RunRecord { edits: 3, ..record(true) };
    record.resume();
    let first = record.edits;
    record.edits += 7;
    record.resume();
    assert!(first > 3 + 100 && record.edits > first + 100 && record.resumed, "{first}, {}", record.edits);
}

#[test]
fn c9_work_that_takes_long_shows_one_status_that_is_edited_ever_more_rarely() {
    let mut machine = Showing::new(&record(false), NOW);
    assert_eq!(machine.take(&News::Tick(""), NOW), vec![], "a quick answer needs none");
    let mut shown = Vec::new();
    let mut gaps = Vec::new();
    let mut last = NOW;
    for _ in 0..8 {
        let due = machine.next_at().expect("a status is always due at some time");
        gaps.push(due.ms_since(last));
        last = due;
        for effect in machine.take(&News::Tick(""), due) {
            match effect {
                (Step::Status | Step::StatusEdit(_), message) => {
                    assert_eq!((message.kind, message.mentions.len()), (OutgoingKind::Notice, 0));
                    shown.push(message.body);
                }
                other => panic!("only a status, not {other:?}"),
            }
        }
    }
    assert_eq!(gaps, [6_000, 10_000, 20_000, 40_000, 80_000, 120_000, 120_000, 120_000]);
    assert_eq!(shown.len(), 8);
    assert!(shown[0].contains("6 s"), "{}", shown[0]);
    let names = crate::core::names::Names::default();
    let ended = Ended {
        steps: &[],
        outcome: Outcome::Done,
        fallback: None,
        duration_ms: 500_000,
        spent: Spent::default(),
        mask: &Mask::default(),
        names: &names,
        zone: &crate::core::zone::Zone::default(),
    };
    let end = machine.status_end(&ended).expect("its status was shown");
    assert_eq!((end.body.as_str(), end.mentions.len()), ("Done after 8 min 20 s", 0));
    assert_eq!(Showing::new(&record(false), NOW).status_end(&ended), None, "without a status, nothing is left");
}

#[test]
fn a10_an_assistant_has_no_status() {
    let mut machine = Showing::new(&record(true), NOW);
    assert_eq!(machine.next_at(), None);
    assert_eq!(machine.take(&News::Tick(""), NOW.later(60_000)), vec![]);
}

#[test]
fn c19_failures_speak_plainly_and_to_the_asker() {
    let faults = [
        Fault::Overloaded,
        Fault::Unreachable,
        Fault::BrokenOff,
        Fault::KeyMissing,
        Fault::KeyRefused,
        Fault::AccountExhausted,
        Fault::TooLong,
        Fault::RequestRefused,
        Fault::Internal,
    ];
    let mut said = BTreeSet::new();
    for fault in faults {
        let answer = Showing::new(&record(false), NOW).failed(fault);
        assert_eq!(answer.outcome, Outcome::Failed);
        assert!(answer.message.mentions.contains(user_id!("@alice:hs")));
        said.insert(answer.message.body);
    }
    assert_eq!(said.len(), faults.len(), "each fault has words of its own");
}

#[test]
fn c19_no_blank_message_and_no_false_done() {
    let table = [
        ("", Stop::End, words::nothing_to_say(), Outcome::Failed),
        ("", Stop::Cut, words::limit_before_words(), Outcome::Failed),
        ("", Stop::Unfinished, words::work_too_long(), Outcome::Failed),
        (" \n", Stop::End, words::nothing_to_say(), Outcome::Failed),
        ("&nbsp;\u{200b}\u{2800}<!-- -->", Stop::End, words::nothing_to_say(), Outcome::Failed),
        ("half an answ", Stop::Refused, words::refused(), Outcome::Failed),
    ];
    for (text, stop, expected, outcome) in table {
        let answer = Showing::new(&record(false), NOW).answered(text, stop, Vec::new());
        assert_eq!((answer.message.body.as_str(), answer.outcome), (expected.as_str(), outcome));
    }
    let answer = Showing::new(&record(false), NOW).answered("Long", Stop::Cut, Vec::new());
    let body = &answer.message.body;
    assert!(body.starts_with("Long") && body.contains("length limit"), "{body}");
}

#[test]
fn c19_the_word_that_the_model_is_busy_comes_once_and_late() {
    let mut machine = Showing::new(&record(false), NOW);
    assert_eq!(machine.take(&News::Waiting(WAITING_WORD_AFTER_MS - 1), NOW), vec![]);
    let told = machine.take(&News::Waiting(WAITING_WORD_AFTER_MS), NOW);
    let [(Step::Status, message)] = &told[..] else { panic!("one notice, not {told:?}") };
    assert_eq!((message.kind, message.mentions.len()), (OutgoingKind::Notice, 0));
    assert_eq!(machine.take(&News::Waiting(WAITING_WORD_AFTER_MS * 2), NOW), vec![]);
}

#[test]
fn c9_c19_the_word_that_the_model_is_busy_stands_in_the_status_until_the_answer_begins() {
    let mut machine = Showing::new(&record(false), NOW);
    let at = |machine: &Showing| machine.next_at().expect("a status is always due at some time");
    let first = at(&machine);
    let shown = machine.take(&News::Tick(""), first);
    assert!(matches!(&shown[..], [(Step::Status, _)]), "{shown:?}");
    let told = machine.take(&News::Waiting(WAITING_WORD_AFTER_MS), NOW.later(13_000));
    let [(Step::StatusEdit(13_000), message)] = &told[..] else { panic!("an edit, not {told:?}") };
    assert_eq!(message.body, words::overloaded_trying());
    let due = at(&machine);
    assert_eq!(machine.take(&News::Tick(""), due), vec![], "nothing has changed");
    let due = at(&machine);
    let working = machine.take(&News::Tick("Here"), due);
    assert!(
        matches!(&working[..], [(Step::StatusEdit(_), message)] if message.body.contains("Working")),
        "{working:?}"
    );
}

#[test]
fn c19_an_assistant_that_has_no_status_says_that_the_model_is_busy_too() {
    let told = Showing::new(&record(true), NOW).take(&News::Waiting(WAITING_WORD_AFTER_MS), NOW);
    assert!(matches!(&told[..], [(Step::Waiting, _)]), "{told:?}");
}

#[test]
fn c9_a_run_begun_anew_uses_no_number_of_a_status_edit_again() {
    let record = RunRecord { status: Some(event_id!("$status").to_owned()), ..record(false) };
    let mut steps = BTreeSet::new();
    for begun_after_ms in [0, 40_000] {
        let mut machine = Showing::new(&record, NOW.later(begun_after_ms));
        for _ in 0..3 {
            let due = machine.next_at().expect("a status is always due at some time");
            match &machine.take(&News::Tick(""), due)[..] {
                [(step @ Step::StatusEdit(_), _)] => assert!(steps.insert(record.id().transaction(*step))),
                other => panic!("an edit of the status that is there, not {other:?}"),
            }
        }
    }
    assert_eq!(steps.len(), 6);
}

#[test]
fn c5_a_late_answer_says_so() {
    let asked_at = Timestamp::from_ms(NOW.as_ms() - 45 * 60_000);
    let machine = Showing::new(&RunRecord { late: true, asked_at, ..record(false) }, NOW);
    let answer = machine.answered("Here.", Stop::End, Vec::new());
    let body = &answer.message.body;
    assert!(body.contains("45 minutes") && body.ends_with("Here."), "{body}");
}

#[test]
fn a10_an_assistants_status_begins_with_its_first_tool_and_no_edit_is_due_while_it_works() {
    let mut machine = Showing::new(&record(true), NOW);
    assert_eq!(machine.next_at(), None);
    assert_eq!(machine.take(&News::Text("Let me look"), NOW), vec![]);
    let due = machine.next_at().expect("the first text is due");
    let first = machine.take(&News::Tick("Let me look"), due);
    assert!(matches!(&first[..], [(Step::Answer, _)]), "{first:?}");
    assert_eq!(machine.take(&News::Text("Let me look."), due), vec![]);

    let doing = Doing { done: 0, running: vec!["time".to_owned()], asked: Vec::new() };
    let shown = machine.take(&News::Steps(&doing), NOW);
    let status = matches!(&shown[..], [(Step::Status, notice)] if notice.kind == OutgoingKind::Notice);
    assert!(status, "{shown:?}");
    // Nothing of the text that is not the answer's is waited for: a due edit with nothing to show would come for ever.
    let due = machine.next_at().expect("the status goes on");
    let edits = machine.take(&News::Tick(""), due);
    assert!(matches!(&edits[..], [(Step::StatusEdit(_), _)]), "{edits:?}");
    assert!(machine.next_at().is_some_and(|next| next > due));

    let answer = machine.answered("It is noon.", Stop::End, Vec::new());
    assert_eq!(answer.message.body, "It is noon.");
}

#[test]
fn a_resumed_stream_edits_on_and_never_sends_a_second_message() {
    let streamed = Some(event_id!("$first").to_owned());
    let mut machine = Showing::new(&RunRecord { streamed, edits: 3, ..record(true) }, NOW);
    let mut steps = Vec::new();
    for at in 0..20 {
        let text = "word ".repeat(at + 1);
        let now = Timestamp::from_ms(NOW.as_ms() + 6_000 * i64::try_from(at).expect("small"));
        for effect in machine.take(&News::Text(&text), now) {
            match effect {
                (Step::Edit(n), _) => steps.push(n),
                other => panic!("only edits, not {other:?}"),
            }
        }
    }
    assert_eq!(steps.first(), Some(&4));
    assert!(steps.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{steps:?}");
}

#[test]
fn c9_a_run_with_tools_shows_its_status_at_the_first_call_and_says_how_far_it_is() {
    let mut machine = Showing::new(&record(false), NOW);
    let doing = |done, running: &[&str]| Doing {
        done,
        running: running.iter().map(|&name| name.to_owned()).collect(),
        asked: Vec::new(),
    };
    let soon = NOW.later(2_000);
    let shown = machine.take(&News::Steps(&doing(0, &["time"])), soon);
    let [(Step::Status, message)] = &shown[..] else { panic!("a status, not {shown:?}") };
    assert_eq!((message.body.as_str(), message.mentions.len()), ("Working on it (now `time`) …", 0));
    assert_eq!(machine.take(&News::Steps(&doing(1, &["a", "b"])), soon), vec![], "edits keep their distance");
    let due = machine.next_at().expect("an edit is due");
    let edited = machine.take(&News::Tick(""), due);
    let [(Step::StatusEdit(_), message)] = &edited[..] else { panic!("an edit, not {edited:?}") };
    assert_eq!(message.body, "Working on it (12 s, 1 step done, now `a`, `b`) …");
}

#[test]
fn c10_a_status_says_that_it_waits_for_people_and_at_once_where_it_said_something_else() {
    let waits = |done, names: &[&str]| Doing {
        done,
        running: Vec::new(),
        asked: names.iter().map(|&name| name.to_owned()).collect(),
    };
    let runs = |done| Doing { done, running: vec!["look".to_owned()], asked: vec!["deploy".to_owned()] };
    let text = |effects: &[Show]| match effects {
        [(Step::Status | Step::StatusEdit(_), message)] => message.body.clone(),
        [] => String::new(),
        other => panic!("a status, not {other:?}"),
    };
    let mut machine = Showing::new(&record(false), NOW);
    let first = machine.take(&News::Steps(&waits(0, &["deploy"])), NOW);
    assert_eq!(text(&first), "Waiting for approval of `deploy` …");
    assert_eq!(machine.take(&News::Steps(&waits(0, &["deploy"])), NOW.later(1)), vec![], "it says so already");

    let mut machine = Showing::new(&record(false), NOW);
    assert_eq!(text(&machine.take(&News::Steps(&runs(0)), NOW.later(1))), "Working on it (now `look`) …");
    let asked = machine.take(&News::Steps(&waits(1, &["deploy", "mail", "tell"])), NOW.later(7_000));
    assert_eq!(text(&asked), "Waiting for approval of `deploy`, `mail` and `tell` (7 s, 1 step done) …");
    assert_eq!(machine.take(&News::Steps(&waits(2, &["mail"])), NOW.later(7_001)), vec![]);
    let due = machine.next_at().expect("it goes on");
    assert_eq!(machine.take(&News::Steps(&runs(3)), due), vec![]);
    assert!(text(&machine.take(&News::Tick(""), due)).starts_with("Working on it ("));
    let again = machine.take(&News::Steps(&waits(4, &["deploy"])), due.later(1));
    assert!(text(&again).starts_with("Waiting for approval of `deploy`"), "{again:?}");
}

#[test]
fn c11_c20_nobody_is_told_the_place_in_line_of_what_nobody_asked_for() {
    let by_nobody = batching::scheduled(None);
    let again = RunRecord { asker: user_id!("@alice:hs").to_owned(), attempt: 1, ..by_nobody.clone() };
    for (record, is_told) in [(record(false), true), (by_nobody, false), (again, true)] {
        let mut run = Run::new(record, batching::rules(), NOW);
        while run.next_effect().is_some() {}
        run.handle(Input::Quiet, NOW);
        let due = NOW.later(QUEUE_WORD_AFTER_MS);
        assert_eq!(run.next_at(), is_told.then_some(due), "nothing wakes it");
        run.handle(Input::Tick, due);
        assert_eq!(run.next_effect(), is_told.then_some(Effect::CountAhead));
    }
}

#[test]
fn a_record_of_an_earlier_version_without_work_is_read() {
    let mut stored = serde_json::to_value(record(false)).expect("a record is JSON");
    stored.as_object_mut().expect("an object").remove("work").expect("it is there now");
    assert_eq!(serde_json::from_value::<RunRecord>(stored).expect("it is read"), record(false));
}
