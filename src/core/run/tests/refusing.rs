//! What a run does when the provider refuses (C26).

use super::{batching::World, *};
use crate::core::{
    refused::{Breadth, Part, Suspect, Suspects},
    work::{ModelTurn, TurnStop},
};

fn suspect(number: u32) -> Suspect {
    Suspect { part: Part::Note(number), room: None, version: None, by: None, sent_at: None }
}

/// What is composed where so many messages stand before the request, of which some came since the last answer.
fn ready(many: u32, newest: usize, fallbacks: usize) -> Ready {
    let request = Suspect { part: Part::Event(event_id!("$ask").to_owned()), ..suspect(0) };
    let suspects = Suspects { parts: (1..=many).map(suspect).collect(), newest, request: Some(request) };
    Ready { suspects, fallbacks, ..Ready::default() }
}

fn reply(blocks: &[serde_json::Value], stop: TurnStop) -> Input {
    let blocks = blocks.iter().map(ToString::to_string).collect();
    Input::Replied(Reply { turn: Ok(ModelTurn { blocks, stop }), tokens: 9, bill: None, files_refused: false })
}

fn refused() -> Input {
    reply(&[], TurnStop::Refused)
}

fn answered(text: &str) -> Input {
    reply(&[serde_json::json!({ "type": "text", "text": text })], TurnStop::End)
}

fn breadths(world: &World) -> Vec<Breadth> {
    let breadths = world.wanted.iter().filter_map(|effect| match effect {
        Effect::Compose(breadth) => Some(breadth.clone()),
        _ => None,
    });
    breadths.collect()
}

fn blamed(world: &World) -> Vec<Part> {
    let blamed = world.wanted.iter().filter_map(|effect| match effect {
        Effect::NoteRefused(parts, _) => Some(parts),
        _ => None,
    });
    blamed.flatten().map(|one| one.part.clone()).collect()
}

fn said(world: &World) -> String {
    world.run.record().answer.as_ref().expect("it ends").message.body.clone()
}

#[test]
fn c26_a_refused_request_is_answered_without_the_one_message_that_is_to_blame() {
    let mut world = World::begin_with(record(false), NOW, ready(4, 1, 0));
    world.hand(refused());
    assert_eq!(world.asked, 2);
    assert_eq!(breadths(&world)[1].without, [Part::Note(4)].into());
    world.hand(answered("Here."));
    assert_eq!((blamed(&world), world.asked), (vec![Part::Note(4)], 2));
    assert!(said(&world).starts_with("Here.") && said(&world).contains("!leftout"), "{}", said(&world));
}

#[test]
fn c26_probes_are_not_shown_and_are_no_answer() {
    let mut world = World::begin_with(record(false), NOW, ready(8, 4, 0));
    world.hand(refused());
    assert!(breadths(&world)[1].probes);
    world.hand(Input::Heard { text: "not to be shown".to_owned(), thought: String::new(), waiting_ms: 0 });
    world.hand(reply(&[serde_json::json!({ "type": "text", "text": "not to be shown" })], TurnStop::Cut));
    assert!(world.run.record().answer.is_none() && world.asked == 3);
    // Of 5, 6, 7 and 8, 7 is to blame.
    world.hand(answered("with 5 and 6"));
    world.hand(refused());
    assert_eq!(breadths(&world)[4].without, [Part::Note(7)].into());
    world.hand(answered("The answer."));
    assert_eq!((blamed(&world), world.asked), (vec![Part::Note(7)], 5));
    assert!(said(&world).starts_with("The answer.") && !said(&world).contains("not to be shown"));
}

#[test]
fn c26_a_request_that_is_refused_by_itself_is_told_no_and_left_out() {
    let mut world = World::begin_with(record(false), NOW, ready(3, 0, 0));
    world.hand(refused());
    assert_eq!(breadths(&world)[1].without.len(), 3);
    world.hand(refused());
    assert_eq!((blamed(&world), said(&world)), (vec![Part::Event(event_id!("$ask").to_owned())], words::refused()));
}

#[test]
fn c26_further_models_are_asked_the_same_before_anything_is_left_out() {
    let mut world = World::begin_with(record(false), NOW, ready(3, 1, 2));
    world.hand(refused());
    assert_eq!((world.run.record().fallback, breadths(&world)[1].clone()), (1, Breadth::default()));
    // One that is out of order is one less.
    let overloaded = Reply { turn: Err(Fault::Overloaded), tokens: 0, bill: None, files_refused: false };
    world.hand(Input::Replied(overloaded));
    assert_eq!(world.run.record().fallback, 2);
    world.hand(answered("Of another model."));
    assert_eq!((blamed(&world), said(&world)), (vec![], "Of another model.".to_owned()));
}

fn told_who_took(world: &World) -> usize {
    world.wanted.iter().filter(|effect| matches!(effect, Effect::NoteWhoTook)).count()
}

#[test]
fn c26_where_the_first_model_is_known_to_refuse_another_is_asked_at_once() {
    let at_once = || Ready { instead: 1, ..ready(3, 1, 1) };
    let mut world = World::begin_with(record(false), NOW, at_once());
    assert_eq!((world.run.record().fallback, world.asked, told_who_took(&world)), (1, 1, 0));
    world.hand(answered("Of the other model."));
    assert_eq!((said(&world), told_who_took(&world)), ("Of the other model.".to_owned(), 1));
    assert_eq!((blamed(&world), world.asked), (vec![], 1));

    // If that one fails too, the first one tells what is to blame.
    for fails in [refused(), {
        let turn = Err(Fault::Overloaded);
        Input::Replied(Reply { turn, tokens: 0, bill: None, files_refused: false })
    }] {
        let mut world = World::begin_with(record(false), NOW, at_once());
        world.hand(fails);
        assert_eq!((world.run.record().fallback, world.asked), (0, 2));
        world.hand(answered("Without it."));
        assert_eq!((blamed(&world), told_who_took(&world)), (vec![Part::Note(3)], 0));
    }
}

#[test]
fn c26_if_all_models_refuse_the_configured_one_tells_what_is_to_blame() {
    let mut world = World::begin_with(record(false), NOW, ready(3, 1, 1));
    world.hand(refused());
    world.hand(refused());
    assert_eq!((world.run.record().fallback, world.asked), (0, 3));
    world.hand(answered("Without it."));
    assert_eq!((blamed(&world), world.asked), (vec![Part::Note(3)], 3));
}

#[test]
fn c26_an_overload_while_searching_is_told_as_one() {
    let mut world = World::begin_with(record(false), NOW, ready(8, 4, 0));
    world.hand(refused());
    let overloaded = Reply { turn: Err(Fault::Overloaded), tokens: 0, bill: None, files_refused: false };
    world.hand(Input::Replied(overloaded));
    assert_eq!((blamed(&world), said(&world)), (vec![], words::overloaded_gave_up(words::Again::ByReaction)));
}

#[test]
fn c26_what_a_tool_brought_is_left_out_before_the_room_and_is_not_brought_again() {
    let mut world = World::begin_with(record(false), NOW, ready(3, 1, 0));
    // A tool that it does not have: the call is answered at once.
    let call = serde_json::json!({ "type": "tool_use", "id": "toolu_1", "name": "look", "input": {} });
    world.hand(reply(&[call], TurnStop::End));
    assert_eq!(world.asked, 2);
    world.hand(refused());
    let result = &world.run.record().work.rounds()[0].results[0];
    assert!(result.text.contains("left out"), "{}", result.text);
    assert_eq!((world.asked, breadths(&world).len()), (3, 1));
    world.hand(answered("Without it."));
    assert_eq!(blamed(&world), []);
    assert!(said(&world).starts_with("Without it.") && said(&world).contains("looked up"), "{}", said(&world));

    // Refused nevertheless: it ends, and nothing said before is blamed, because that was accepted.
    let mut world = World::begin_with(record(false), NOW, ready(3, 1, 0));
    let call = serde_json::json!({ "type": "tool_use", "id": "toolu_1", "name": "look", "input": {} });
    world.hand(reply(&[call], TurnStop::End));
    world.hand(refused());
    world.hand(refused());
    assert_eq!((blamed(&world), said(&world), world.asked), (vec![], words::refused(), 3));
}

#[test]
fn c26_what_the_provider_looked_up_is_answered_without() {
    let mut world = World::begin_with(record(false), NOW, ready(3, 1, 0));
    let found = serde_json::json!({ "type": "web_search_tool_result", "tool_use_id": "s", "content": [] });
    world.hand(reply(&[found], TurnStop::Refused));
    let asks = |world: &World| {
        let asks = world.wanted.iter().filter_map(|effect| match effect {
            Effect::Reserve(tool_use, _) => Some(*tool_use),
            _ => None,
        });
        asks.collect::<Vec<_>>()
    };
    assert_eq!(asks(&world), [crate::core::prompt::ToolUse::On, crate::core::prompt::ToolUse::Off]);
    world.hand(answered("Without it."));
    assert_eq!((blamed(&world), world.asked), (vec![], 2));
}

#[test]
fn c26_where_tokens_run_out_the_search_ends_with_an_answer() {
    let mut world = World::begin_with(record(false), NOW, ready(200, 100, 0));
    let dear = |stop| {
        let turn = Ok(ModelTurn { blocks: Vec::new(), stop });
        Input::Replied(Reply { turn, tokens: 60_000, bill: None, files_refused: false })
    };
    world.hand(dear(TurnStop::Refused));
    world.hand(dear(TurnStop::Cut));
    let last = breadths(&world).pop().expect("one more");
    assert!(!last.probes && last.without.len() == 100, "{}", last.without.len());
    world.hand(answered("With what is left."));
    assert_eq!((blamed(&world).len(), world.asked), (100, 3));
}
