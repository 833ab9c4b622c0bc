//! Redactions, reactions and state that a person without power writes into ciphertext (C10, C12).

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use workmate::standin::Turn;

use crate::harness::{Message, RoomKind, Timeline, office::Office};

#[tokio::test]
async fn c10_encrypted_redactions_reactions_and_state_steer_nothing_and_are_nobodys_facts() -> Result<()> {
    let office = Office::open().await?;
    let (alice, bob, oncall) = (&office.alice, &office.bob, office.oncall());
    let room = office.room(RoomKind::Encrypted).await?;
    let words = alice.send(&room, "the valve is green").await?;
    let answered = office.asked_and_answered(&room, "first?").await?;
    let (turn, gate) = Turn::text("an answer that comes in spite of it").hold_headers();
    office.script("second?", turn);
    let request = office.ask(alice, &room, "second?").await?;
    gate.reached().await;

    // The homeserver sees only ciphertext, and Bob's power 0 allows that.
    let bobs = bob.room(&room)?;
    let pretended = |event_type: &'static str, content: Value| {
        let bobs = bobs.clone();
        async move { bobs.send_raw(event_type, content).await.map(drop).context(event_type) }
    };
    for target in [&request, &words, &answered.event_id] {
        pretended("m.room.redaction", json!({ "redacts": target, "reason": "none" })).await?;
    }
    pretended("m.room.topic", json!({ "topic": "pretended-7c1e" })).await?;
    pretended("m.room.name", json!({ "name": "pretended-7c1e" })).await?;
    pretended("m.room.member", json!({ "membership": "ban", "displayname": "pretended-7c1e" })).await?;
    pretended("m.room.power_levels", json!({ "users": { bob.user_id().as_str(): 100 } })).await?;
    pretended("m.room.tombstone", json!({ "replacement_room": room })).await?;
    // Later events of the room are handled after it.
    office.ask(bob, &room, "third?").await?;
    office.answer(bob, &room, &oncall, "third?").await?;
    gate.release();
    office.answer(alice, &room, &oncall, "in spite of it").await?;

    let asked = office.claude.requests().pop().context("the model was asked")?;
    let sent = asked.body.to_string();
    assert!(sent.contains("the valve is green") && sent.contains("second?"), "nothing is hidden: {sent}");
    assert!(!sent.contains("pretended-7c1e"), "nothing of it is a fact: {sent}");
    let taken_back =
        |seen: &Timeline| seen.events.iter().filter(|event| event.sender == oncall && event.redacts.is_some()).count();
    // Bob's message ends the scene: a redaction of ours would come before it.
    let last = bob.send(&room, Message::text("that is all")).await?;
    let count = alice.until(&room, "the last word", |seen| seen.event(&last).map(|_| taken_back(seen))).await?;
    assert_eq!(count, 0, "the coworker takes back none of its answers");
    Ok(())
}
