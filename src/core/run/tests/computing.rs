//! What a run posts behind its answer (C24).

use super::{batching::World, *};
use crate::core::work::{ModelTurn, TurnStop};

fn computed(text: &str, files: &[&str], stop: TurnStop) -> Reply {
    let files: Vec<_> = files.iter().map(|file| serde_json::json!({ "file_id": file })).collect();
    let result = serde_json::json!({ "type": "bash_code_execution_tool_result", "tool_use_id": "s1", "content": {
        "type": "bash_code_execution_result", "stdout": "", "stderr": "", "return_code": 0, "content": files } });
    let said = serde_json::json!({ "type": "text", "text": text });
    let blocks = [result, said].map(|block| block.to_string()).to_vec();
    Reply { turn: Ok(ModelTurn { blocks, stop }), tokens: 9, bill: None, files_refused: false }
}

fn posts(world: &World) -> Vec<Vec<String>> {
    let posts = world.wanted.iter().filter_map(|effect| match effect {
        Effect::PostMade { made, .. } => Some(made.clone()),
        _ => None,
    });
    posts.collect()
}

fn ended(world: &World) -> bool {
    world.wanted.iter().any(|effect| matches!(effect, Effect::End(_)))
}

#[test]
fn c24_the_files_follow_the_answer_once_and_it_ends_behind_them() {
    let mut world = World::begin(record(false), NOW);
    world.hand(Input::Replied(computed("Here is the chart.", &["file_1", "file_2"], TurnStop::End)));
    assert_eq!(posts(&world), [["file_1", "file_2"]]);
    let sent = world.wanted.iter().position(|effect| matches!(effect, Effect::Send(Step::Answer, _)));
    let posted = world.wanted.iter().position(|effect| matches!(effect, Effect::PostMade { .. }));
    assert!(sent < posted && sent.is_some() && !ended(&world));
    let place = world.wanted.iter().find_map(|effect| match effect {
        Effect::PostMade { place, .. } => Some(place.clone()),
        _ => None,
    });
    assert!(matches!(place, Some(Place::Thread { .. })), "{place:?}");
    world.hand(Input::Sent(Ok(event_id!("$sent").to_owned())));
    assert!(ended(&world));
}

#[test]
fn c24_a_kill_between_answer_and_files_posts_the_same_files_and_asks_nothing_again() {
    let mut world = World::begin(record(false), NOW);
    world.hand(Input::Replied(computed("Here.", &["file_1"], TurnStop::End)));
    assert_eq!((posts(&world).len(), world.asked), (1, 1));
    let mut world = world.restart();
    assert_eq!((posts(&world), world.asked), (vec![vec!["file_1".to_owned()]], 1));
    world.hand(Input::Sent(Ok(event_id!("$sent").to_owned())));
    assert!(ended(&world));
}

#[test]
fn c24_an_answer_of_files_alone_has_a_word_and_a_refusal_has_no_files() {
    let mut world = World::begin(record(false), NOW);
    world.hand(Input::Replied(computed(" ", &["file_1"], TurnStop::End)));
    let said = world.run.record().answer.clone().expect("it answers");
    assert_eq!((said.message.body.as_str(), said.made.len()), (words::files::made_files().as_str(), 1));

    let mut world = World::begin(record(false), NOW);
    // Once more without tools, because what they brought may be to blame.
    for _ in 0..2 {
        world.hand(Input::Replied(computed("Half", &["file_1"], TurnStop::Refused)));
    }
    assert!(posts(&world).is_empty() && ended(&world));
}

#[test]
fn c24_what_was_stored_before_there_were_files_is_read() {
    let answer = Answer {
        message: Showing::new(&record(false), NOW).answered("Hi", Stop::End, Vec::new()).message,
        file: None,
        made: Vec::new(),
        outcome: Outcome::Done,
    };
    let stored = serde_json::to_string(&answer).expect("it is stored");
    assert!(!stored.contains("made"));
    assert_eq!(serde_json::from_str::<Answer>(&stored).expect("it is read"), answer);
}
