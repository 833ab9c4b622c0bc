//! Answers that are edited while they are written (A10).

use anyhow::Result;
use workmate::{
    core::pace::EDITS_MAX,
    standin::{Gate, Turn},
};

use reqwest::Method;
use serde_json::json;

use super::{FIRST_WORDS, Office, said};
use crate::harness::{Person, SeenEvent, homeserver::shared};

const ANSWER: &str = "It rises in the hills, runs through three towns, turns south, and ends in the sea.";

/// Returns an answer that pauses after its first words and again a little later.
fn paused() -> (Turn, Gate, Gate) {
    let (turn, first) = Turn::text(ANSWER).word_by_word().gate_after(2);
    let (turn, second) = turn.gate_after(8);
    (turn, first, second)
}

/// Waits for an answer's first text.
async fn begun(office: &Office, owner: &Person, room: &ruma::RoomId) -> Result<SeenEvent> {
    let assistant = office.assistant_of(owner);
    let find = |seen: &crate::harness::Timeline| {
        seen.messages_of(&assistant).find(|event| event.body().starts_with("It")).cloned()
    };
    owner.until(room, "the first text", find).await
}

fn answers(office: &Office, owner: &Person, room: &ruma::RoomId) -> Vec<String> {
    let (seen, assistant) = (owner.timeline(room), office.assistant_of(owner));
    let messages = seen.messages_of(&assistant).filter(|event| !event.body().starts_with(FIRST_WORDS));
    messages.map(|event| seen.shown_text(&event.event_id).unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn a10_an_answer_begins_at_once_is_edited_and_ends_complete() -> Result<()> {
    let office = Office::open().await?;
    let alice = shared().person("alice").await;
    let room = office.meet(&alice).await?;
    let (turn, first_pause, second_pause) = paused();
    office.claude.enqueue(turn);

    alice.send(&room, "describe the river").await?;
    let message = begun(&office, &alice, &room).await?;
    assert_eq!(message.body(), "It rises …");
    first_pause.release();
    let interim = alice.until(&room, "an edit", |seen| seen.edits(&message.event_id).next().cloned()).await?;
    let so_far = interim.content["m.new_content"]["body"].as_str().unwrap_or_default().to_owned();
    assert!(so_far.len() > message.body().len() && so_far.len() < ANSWER.len(), "{so_far}");
    assert!(so_far.ends_with(" …") && ANSWER.starts_with(so_far.trim_end_matches('…')), "{so_far}");
    second_pause.release();
    office.answered(&alice, &room, ANSWER).await?;

    office.ask(&alice, &room, "thank you", "You're welcome.").await?;
    let seen = alice.timeline(&room);
    let edits: Vec<_> = seen.edits(&message.event_id).collect();
    let last = edits.last().expect("it was edited");
    assert_eq!(last.content["m.new_content"]["body"], ANSWER);
    assert!(edits.len() <= usize::try_from(EDITS_MAX)?, "{} edits", edits.len());
    assert!(edits.iter().all(|edit| edit.is_decrypted() && !edit.mentions(alice.user_id())), "{seen}");
    assert!(!message.mentions(alice.user_id()), "a chat of two notifies by itself");
    let thanks = seen.messages_of(&office.assistant_of(&alice)).last().expect("an answer");
    assert_eq!(seen.edits(&thanks.event_id).count(), 0, "a short answer is never edited");
    assert_eq!(answers(&office, &alice, &room), [ANSWER, "You're welcome."]);
    Ok(())
}

#[tokio::test]
async fn a10_an_answer_cut_by_a_kill_is_edited_on_and_not_sent_again() -> Result<()> {
    let mut office = Office::open().await?;
    let alice = shared().person("alice").await;
    let room = office.meet(&alice).await?;
    let (turn, _never_released, _) = paused();
    office.claude.enqueue(turn);

    alice.send(&room, "describe the river").await?;
    let message = begun(&office, &alice, &room).await?;
    office.workmate.kill();
    office.claude.enqueue(Turn::text(ANSWER));
    office.workmate.start_again().await;

    let answered = office.answered(&alice, &room, ANSWER).await?;
    office.ask(&alice, &room, "thank you", "You're welcome.").await?;
    assert_eq!(answered.event_id, message.event_id);
    assert_eq!(answers(&office, &alice, &room), [ANSWER, "You're welcome."]);
    Ok(())
}

#[tokio::test]
async fn a10_an_answer_ends_where_it_is_when_a_third_member_comes() -> Result<()> {
    let office = Office::open().await?;
    let [alice, bob] = [shared().person("alice").await, shared().person("bob").await];
    let (room, assistant) = (office.meet(&alice).await?, office.assistant_of(&alice));
    let (turn, first_pause, second_pause) = paused();
    office.claude.enqueue(turn);

    alice.send(&room, "describe the river").await?;
    let message = begun(&office, &alice, &room).await?;
    let invite = format!("_matrix/client/v3/rooms/{room}/invite");
    office.as_user(&assistant, Method::POST, &invite, &json!({ "user_id": bob.user_id() })).await?;
    let why = alice.until(&room, "why it is silent", |seen| said(seen, &assistant, "Someone else is in")).await?;
    first_pause.release();
    second_pause.release();
    // The stream ended, or was closed because nothing of it may be said any more.
    office.claude.wait_for_request(|request| request.finished || request.disconnected).await?;

    let fresh = office.meet(&alice).await?;
    office.ask(&alice, &fresh, "where were we?", "By the river.").await?;
    let seen = alice.timeline(&room);
    let last = seen.events.iter().rfind(|event| event.sender == assistant);
    assert_eq!(last.map(|event| &event.event_id), Some(&why.event_id), "{seen}");
    assert_ne!(seen.shown_text(&message.event_id), Some(ANSWER));
    Ok(())
}
