//! Upgrades of an assistant's chat (A2): followed if the new room is as tight, else replaced by a fresh chat.
//!
//! In chats that Workmate makes only the assistant can upgrade. If an owner does so here, a homeserver administrator
//! made them a moderator before.

use anyhow::{Context as _, Result};
use reqwest::Method;
use ruma::{OwnedRoomId, RoomId, UserId, events::room::member::MembershipState};
use serde_json::{Value, json};

use super::{FIRST_WORDS, Office, call_as, said};
use crate::harness::{Person, RoomKind, SeenEvent, Timeline, homeserver::shared};

/// How an assistant's first message begins in a room that replaces its chat.
const MOVED: &str = "Here I am: this chat replaces";
/// How its message begins if it does not follow, or not yet.
const NOT_FOLLOWED: &str = "This chat was replaced by a room that I don't follow you into";
const AWAITING: &str = "This chat was replaced by another room";

/// Gives an owner full power in their assistant's chat.
async fn empower(office: &Office, owner: &Person, room: &RoomId) -> Result<()> {
    let path = format!("_matrix/client/v3/rooms/{room}/state/m.room.power_levels/");
    let mut levels = call_as(owner, Method::GET, &path, &json!({})).await?;
    levels["users"][owner.user_id().as_str()] = json!(100);
    office.as_user(&office.assistant_of(owner), Method::PUT, &path, &levels).await?;
    Ok(())
}

/// Returns the request for a room that replaces `old`, as tight as an assistant's chat except for its creator's power.
fn successor(old: &RoomId, assistant: &UserId) -> Value {
    let state = |kind: &str, content: Value| json!({ "type": kind, "state_key": "", "content": content });
    json!({
        "room_version": "11", "preset": "private_chat", "is_direct": true, "invite": [assistant],
        "creation_content": { "m.federate": false, "predecessor": { "room_id": old, "event_id": "$grave" } },
        "initial_state": [
            state("m.room.guest_access", json!({ "guest_access": "forbidden" })),
            state("m.room.history_visibility", json!({ "history_visibility": "joined" })),
            state("m.room.encryption", json!({ "algorithm": "m.megolm.v1.aes-sha2" })),
        ],
    })
}

/// Makes a room and hands all power over to the assistant.
async fn make(owner: &Person, assistant: &UserId, request: &Value) -> Result<OwnedRoomId> {
    let made = call_as(owner, Method::POST, "_matrix/client/v3/createRoom", request).await?;
    let room = RoomId::parse(made["room_id"].as_str().context("a room was made")?)?;
    let levels = json!({
        "users": { assistant.as_str(): 100 }, "users_default": 0, "events": {}, "events_default": 0,
        "state_default": 100, "invite": 100, "kick": 100, "ban": 100, "redact": 50,
    });
    let path = format!("_matrix/client/v3/rooms/{room}/state/m.room.power_levels/");
    call_as(owner, Method::PUT, &path, &levels).await?;
    owner.until_membership(&room, owner.user_id(), &MembershipState::Join).await?;
    Ok(room)
}

/// Has an owner send a tombstone in `old` that names `new`.
async fn bury(owner: &Person, old: &RoomId, new: &RoomId) -> Result<()> {
    let path = format!("_matrix/client/v3/rooms/{old}/state/m.room.tombstone/");
    let grave = json!({ "body": "we moved", "replacement_room": new });
    call_as(owner, Method::PUT, &path, &grave).await?;
    Ok(())
}

async fn first_words(office: &Office, owner: &Person, room: &RoomId, beginning: &str) -> Result<SeenEvent> {
    let assistant = office.assistant_of(owner);
    owner.until(room, "the first words", |seen| said(seen, &assistant, beginning)).await
}

/// Joins the fresh chat that the assistant makes instead, and is answered there.
async fn answered_in_a_fresh_room(office: &Office, owner: &Person) -> Result<OwnedRoomId> {
    let fresh = owner.until_invited_by(&office.assistant_of(owner)).await?;
    owner.join(&fresh).await?;
    first_words(office, owner, &fresh, FIRST_WORDS).await?;
    office.ask(owner, &fresh, "and here?", "Here it is tight.").await?;
    Ok(fresh)
}

/// Asserts that nothing in a room was read or answered.
fn assert_left_alone(office: &Office, owner: &Person, room: &RoomId, planted: &str) {
    assert!(!office.prompts().iter().any(|prompt| prompt.contains(planted)), "{planted} was read");
    let seen = owner.timeline(room);
    assert_eq!(seen.messages_of(&office.assistant_of(owner)).count(), 0, "{seen}");
}

#[tokio::test]
async fn a2_a_tight_upgrade_of_the_owners_is_followed_and_the_old_room_is_left_alone() -> Result<()> {
    let mut office = Office::open().await?;
    let alice = shared().person("alice").await;
    let (old, assistant) = (office.meet(&alice).await?, office.assistant_of(&alice));
    office.ask(&alice, &old, "a question before the move", "An answer before it.").await?;
    empower(&office, &alice, &old).await?;

    let new = make(&alice, &assistant, &successor(&old, &assistant)).await?;
    bury(&alice, &old, &new).await?;
    first_words(&office, &alice, &new, MOVED).await?;
    alice.send(&old, "a question in the old room").await?;
    let answer = office.ask(&alice, &new, "are you here too?", "I followed you.").await?;
    office.workmate.stop().await;
    office.workmate.start_again().await;
    alice.send(&new, "!forget").await?;
    let forgotten = |seen: &Timeline| {
        let done =
            |event: &&SeenEvent| seen.shown_text(&event.event_id).is_some_and(|text| text.starts_with("Forgotten."));
        seen.messages_of(&assistant).find(done).cloned()
    };
    alice.until(&new, "what remains", forgotten).await?;
    office.ask(&alice, &new, "still here?", "Still here, and only here.").await?;

    assert!(answer.is_decrypted(), "{answer:?}");
    let prompts = office.prompts();
    assert_eq!(prompts.len(), 3, "{prompts:?}");
    let old_words = ["before the move", "in the old room"];
    assert!(prompts[1..].iter().all(|prompt| old_words.iter().all(|words| !prompt.contains(words))), "{prompts:?}");
    Ok(())
}

#[tokio::test]
async fn a2_an_upgrade_in_the_assistants_own_name_is_followed_and_its_owner_invited() -> Result<()> {
    let office = Office::open().await?;
    let alice = shared().person("alice").await;
    let (old, assistant) = (office.meet(&alice).await?, office.assistant_of(&alice));
    let (path, body) = (format!("_matrix/client/v3/rooms/{old}/upgrade"), json!({ "new_version": "12" }));
    let refused = call_as(&alice, Method::POST, &path, &body).await.expect_err("no power to upgrade");
    assert!(format!("{refused:#}").contains("M_FORBIDDEN"), "{refused:#}");

    let upgraded = office.as_user(&assistant, Method::POST, &path, &body).await?;
    let new = alice.until_invited_by(&assistant).await?;
    alice.join(&new).await?;
    first_words(&office, &alice, &new, MOVED).await?;
    let answer = office.ask(&alice, &new, "are you here too?", "I am.").await?;

    assert_eq!(upgraded["replacement_room"], json!(new));
    assert!(answer.is_decrypted(), "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn a2_an_upgrade_that_a_crash_left_half_followed_is_followed_after_the_start() -> Result<()> {
    let mut office = Office::open().await?;
    let alice = shared().person("alice").await;
    let (old, assistant) = (office.meet(&alice).await?, office.assistant_of(&alice));
    empower(&office, &alice, &old).await?;
    alice.until(&old, "that it is silent", |seen| said(seen, &assistant, "This chat is not as")).await?;
    office.workmate.kill();

    let new = make(&alice, &assistant, &successor(&old, &assistant)).await?;
    bury(&alice, &old, &new).await?;
    office.as_user(&assistant, Method::POST, &format!("_matrix/client/v3/join/{new}"), &json!({})).await?;
    office.workmate.start_again().await;

    first_words(&office, &alice, &new, MOVED).await?;
    office.ask(&alice, &new, "are you here too?", "I am.").await?;
    Ok(())
}

/// Has an owner move to a looser room, made by a request that `loosen` changes; the assistant must say `why`.
async fn a_loosened_upgrade_is_not_followed(loosen: impl FnOnce(&mut Value), why: &str) -> Result<()> {
    let office = Office::open().await?;
    let alice = shared().person("alice").await;
    let (old, assistant) = (office.meet(&alice).await?, office.assistant_of(&alice));
    empower(&office, &alice, &old).await?;
    let mut request = successor(&old, &assistant);
    loosen(&mut request);

    let new = make(&alice, &assistant, &request).await?;
    bury(&alice, &old, &new).await?;
    let told = alice.until(&old, "why not", |seen| said(seen, &assistant, NOT_FOLLOWED)).await?;
    alice.until_membership(&new, &assistant, &MembershipState::Leave).await?;
    alice.send(&new, "a question in a loosened room").await?;
    alice.send(&old, "a question in a loosened room, in the old one").await?;
    let fresh = answered_in_a_fresh_room(&office, &alice).await?;

    assert!(told.body().contains(why) && told.mentions(alice.user_id()), "{}", told.body());
    assert!(fresh != new && fresh != old);
    assert_left_alone(&office, &alice, &new, "a question in a loosened room");
    Ok(())
}

#[tokio::test]
async fn a2_an_upgrade_to_a_public_room_is_not_followed() -> Result<()> {
    let loosen = |request: &mut Value| {
        let rule = json!({ "type": "m.room.join_rules", "state_key": "", "content": { "join_rule": "public" } });
        request["initial_state"].as_array_mut().expect("a list").push(rule);
    };
    Box::pin(a_loosened_upgrade_is_not_followed(loosen, "others can join without an invite")).await
}

#[tokio::test]
async fn a2_an_upgrade_with_a_third_member_is_not_followed() -> Result<()> {
    let bob = shared().person("bob").await;
    let loosen = |request: &mut Value| request["invite"].as_array_mut().expect("a list").push(json!(bob.user_id()));
    Box::pin(a_loosened_upgrade_is_not_followed(loosen, "someone else is there")).await
}

#[tokio::test]
async fn a2_an_upgrade_to_a_room_without_encryption_is_not_followed() -> Result<()> {
    let loosen = |request: &mut Value| {
        let state = request["initial_state"].as_array_mut().expect("a list");
        state.retain(|event| event["type"] != "m.room.encryption");
    };
    Box::pin(a_loosened_upgrade_is_not_followed(loosen, "messages are not encrypted")).await
}

#[tokio::test]
async fn a2_a_clients_own_upgrade_leaves_the_owner_too_much_power_and_is_not_followed() -> Result<()> {
    let office = Office::open().await?;
    let alice = shared().person("alice").await;
    let (old, assistant) = (office.meet(&alice).await?, office.assistant_of(&alice));
    empower(&office, &alice, &old).await?;

    let path = format!("_matrix/client/v3/rooms/{old}/upgrade");
    let upgraded = call_as(&alice, Method::POST, &path, &json!({ "new_version": "11" })).await?;
    let new = RoomId::parse(upgraded["replacement_room"].as_str().context("a room was made")?)?;
    alice.until(&old, "that it waits", |seen| said(seen, &assistant, AWAITING)).await?;
    alice.until_membership(&new, alice.user_id(), &MembershipState::Join).await?;
    alice.invite(&new, &assistant).await?;
    let told = alice.until(&old, "why not", |seen| said(seen, &assistant, NOT_FOLLOWED)).await?;
    alice.until_membership(&new, &assistant, &MembershipState::Leave).await?;
    alice.send(&new, "a question in a loosened room").await?;
    answered_in_a_fresh_room(&office, &alice).await?;

    assert!(told.body().contains("a third person can be invited by accident"), "{}", told.body());
    assert_left_alone(&office, &alice, &new, "a question in a loosened room");
    Ok(())
}

#[tokio::test]
async fn a2_a_tombstone_that_names_somebody_elses_room_is_not_followed() -> Result<()> {
    let office = Office::open().await?;
    let [alice, bob] = [shared().person("alice").await, shared().person("bob").await];
    let (old, assistant) = (office.meet(&alice).await?, office.assistant_of(&alice));
    let bobs = bob.create_room(RoomKind::Encrypted, "bob's", &[alice.user_id()]).await?;
    alice.until_invited_by(bob.user_id()).await?;
    alice.join(&bobs).await?;
    empower(&office, &alice, &old).await?;

    bury(&alice, &old, &bobs).await?;
    alice.until(&old, "that it waits", |seen| said(seen, &assistant, AWAITING)).await?;
    assert_eq!(bob.membership(&bobs, &assistant).await?, None, "it joins no room by itself");
    alice.invite(&bobs, &assistant).await?;
    let told = alice.until(&old, "why not", |seen| said(seen, &assistant, NOT_FOLLOWED)).await?;
    bob.until_membership(&bobs, &assistant, &MembershipState::Leave).await?;
    bob.send(&bobs, "a question in bob's room").await?;
    answered_in_a_fresh_room(&office, &alice).await?;

    assert!(told.body().contains("it does not say that it replaces this chat"), "{}", told.body());
    assert_left_alone(&office, &alice, &bobs, "a question in bob's room");
    Ok(())
}
