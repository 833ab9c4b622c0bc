//! An assistant's chat: how tight it is, and what happens when it is loosened (A2, A3).

use anyhow::Result;
use reqwest::Method;
use ruma::{RoomId, UserId, events::room::member::MembershipState};
use serde_json::{Value, json};
use workmate::core::words;

use super::{Office, call_as, said};
use crate::harness::{Person, RoomKind, homeserver::shared};

/// Returns a state event's content as the owner's client knows it.
async fn state(owner: &Person, room: &RoomId, kind: &str) -> Result<Value> {
    call_as(owner, Method::GET, &format!("_matrix/client/v3/rooms/{room}/state/{kind}/"), &json!({})).await
}

async fn invite_as_assistant(office: &Office, assistant: &UserId, room: &RoomId, third: &UserId) -> Result<()> {
    let path = format!("_matrix/client/v3/rooms/{room}/invite");
    office.as_user(assistant, Method::POST, &path, &json!({ "user_id": third })).await?;
    Ok(())
}

#[tokio::test]
async fn a2_the_room_is_tight_from_its_first_event() -> Result<()> {
    let office = Office::open().await?;
    let [alice, bob] = [shared().person("alice").await, shared().person("bob").await];
    let (room, assistant) = (office.meet(&alice).await?, office.assistant_of(&alice));
    office.ask(&alice, &room, "is it quiet here?", "Very.").await?;

    let shape = json!({
        "join_rule": state(&alice, &room, "m.room.join_rules").await?["join_rule"],
        "guest_access": state(&alice, &room, "m.room.guest_access").await?["guest_access"],
        "history_visibility": state(&alice, &room, "m.room.history_visibility").await?["history_visibility"],
        "m.federate": state(&alice, &room, "m.room.create").await?["m.federate"],
        "algorithm": state(&alice, &room, "m.room.encryption").await?["algorithm"],
    });
    let expected = json!({
        "join_rule": "invite", "guest_access": "forbidden", "history_visibility": "joined", "m.federate": false,
        "algorithm": "m.megolm.v1.aes-sha2",
    });
    assert_eq!(shape, expected);

    let levels = state(&alice, &room, "m.room.power_levels").await?;
    let owner = levels["users"][alice.user_id().as_str()].as_i64().or(levels["users_default"].as_i64()).unwrap_or(0);
    assert_eq!((owner, levels["invite"].as_i64()), (0, Some(100)), "{levels}");
    let refused = alice.invite(&room, bob.user_id()).await.expect_err("the owner cannot invite by accident");
    assert!(format!("{refused:#}").contains("M_FORBIDDEN"), "{refused:#}");

    let path = format!("_matrix/client/v3/rooms/{room}/messages?dir=f&limit=100");
    let events = office.as_user(&assistant, Method::GET, &path, &json!({})).await?;
    let events = events["chunk"].as_array().cloned().unwrap_or_default();
    let invite = events.iter().find(|event| event["content"]["membership"] == "invite");
    assert_eq!(invite.map(|event| event["content"]["is_direct"].clone()), Some(json!(true)));
    let plain: Vec<_> = events
        .iter()
        .filter(|event| event["state_key"].is_null() && event["type"] != "m.room.encrypted")
        .map(|event| event["type"].clone())
        .collect();
    assert_eq!(plain, Vec::<Value>::new(), "everything that was said is encrypted");
    Ok(())
}

#[tokio::test]
async fn a2_an_assistant_joins_no_other_room() -> Result<()> {
    let office = Office::open().await?;
    let [alice, bob] = [shared().person("alice").await, shared().person("bob").await];
    let (room, assistant) = (office.meet(&alice).await?, office.assistant_of(&alice));

    let team = alice.create_room(RoomKind::Encrypted, "team", &[bob.user_id(), &assistant]).await?;
    let theirs = bob.create_room(RoomKind::Encrypted, "bob's", &[&assistant]).await?;

    alice.until_membership(&team, &assistant, &MembershipState::Leave).await?;
    bob.until_membership(&theirs, &assistant, &MembershipState::Leave).await?;
    office.ask(&alice, &room, "still with me?", "And nowhere else.").await?;
    assert_eq!(office.rooms_of_assistant(&alice).await?, json!([room]));
    Ok(())
}

#[tokio::test]
async fn a2_a_third_member_silences_the_assistant_until_a_new_room_is_asked_for() -> Result<()> {
    let office = Office::open().await?;
    let [alice, bob] = [shared().person("alice").await, shared().person("bob").await];
    let (room, assistant) = (office.meet(&alice).await?, office.assistant_of(&alice));

    invite_as_assistant(&office, &assistant, &room, bob.user_id()).await?;
    let why = alice.until(&room, "why it is silent", |seen| said(seen, &assistant, "Someone else is in")).await?;
    bob.join(&room).await?;
    alice.until_membership(&room, bob.user_id(), &MembershipState::Join).await?;
    alice.send(&room, "a question of the owner's in company").await?;
    bob.send(&room, "a question of somebody else's").await?;

    let fresh = office.meet(&alice).await?;
    office.ask(&alice, &fresh, "alone again?", "The two of us.").await?;
    assert!(why.mentions(alice.user_id()), "{why:?}");
    assert_ne!(fresh, room);
    let company: Vec<_> = office.prompts().into_iter().filter(|prompt| prompt.contains("a question of")).collect();
    assert_eq!(company, Vec::<String>::new(), "what was said in company was answered or read");
    let seen = alice.timeline(&room);
    assert_eq!(seen.messages_of(&assistant).last().map(|event| &event.event_id), Some(&why.event_id), "{seen}");
    Ok(())
}

/// Loosens a chat in the assistant's name (`kind`: a state event's type, and its key after a space). Checks that it
/// goes silent there and answers in a new chat.
async fn a_loosened_room_is_left_alone(kind: &str, content: Value, told: &str) -> Result<()> {
    let office = Office::open().await?;
    let alice = shared().person("alice").await;
    let (room, assistant) = (office.meet(&alice).await?, office.assistant_of(&alice));
    office.ask(&alice, &room, "all well?", "All well.").await?;

    let (kind, key) = kind.split_once(' ').unwrap_or((kind, ""));
    let path = format!("_matrix/client/v3/rooms/{room}/state/{kind}/{key}");
    // A missing event starts as the content alone.
    let mut whole = state(&alice, &room, kind).await.unwrap_or_else(|_| json!({}));
    for (key, value) in content.as_object().into_iter().flatten() {
        whole[key] = value.clone();
    }
    office.as_user(&assistant, Method::PUT, &path, &whole).await?;
    let why = alice.until(&room, "why it is silent", |seen| said(seen, &assistant, "This chat is not as")).await?;
    alice.send(&room, "a question in a loosened room").await?;

    let fresh = office.meet(&alice).await?;
    office.ask(&alice, &fresh, "and here?", "Here it is tight.").await?;
    assert!(why.body().contains(told), "{}", why.body());
    assert_ne!(fresh, room);
    assert!(!office.prompts().iter().any(|prompt| prompt.contains("a question in a loosened room")));
    Ok(())
}

#[tokio::test]
async fn a2_history_that_newcomers_could_read_silences_the_assistant() -> Result<()> {
    let shared_history = json!({ "history_visibility": "shared" });
    let told = "people who join later can read what was said before";
    Box::pin(a_loosened_room_is_left_alone("m.room.history_visibility", shared_history, told)).await
}

#[tokio::test]
async fn a2_an_owner_who_could_invite_by_accident_silences_the_assistant() -> Result<()> {
    let told = "a third person can be invited by accident";
    Box::pin(a_loosened_room_is_left_alone("m.room.power_levels", json!({ "invite": 0 }), told)).await
}

#[tokio::test]
async fn a2_a_room_that_anybody_could_join_silences_the_assistant() -> Result<()> {
    let told = "others can join without an invite";
    Box::pin(a_loosened_room_is_left_alone("m.room.join_rules", json!({ "join_rule": "public" }), told)).await
}

#[tokio::test]
async fn a2_a_room_that_a_space_shows_silences_the_assistant() -> Result<()> {
    let (parent, via) = ("m.space.parent !space:localhost", json!({ "via": ["localhost"] }));
    Box::pin(a_loosened_room_is_left_alone(parent, via, "the room can be found by others")).await
}

#[tokio::test]
async fn a3_a_message_that_is_not_encrypted_is_neither_answered_nor_read_later() -> Result<()> {
    let office = Office::open().await?;
    let alice = shared().person("alice").await;
    let room = office.meet(&alice).await?;

    let path = format!("_matrix/client/v3/rooms/{room}/send/m.room.message/plain-1");
    let forged = json!({ "msgtype": "m.text", "body": "forged by the homeserver" });
    call_as(&alice, Method::PUT, &path, &forged).await?;
    let assistant = office.assistant_of(&alice);
    let word = &words::trust::not_encrypted_here()[..40];
    let told = alice.until(&room, "that it was not read", |seen| said(seen, &assistant, word)).await?;
    assert!(told.is_decrypted(), "{told:?}");
    let sticker = path.replace("m.room.message/plain-1", "m.sticker/plain-2");
    call_as(&alice, Method::PUT, &sticker, &json!({ "body": "forged", "url": "mxc://hs/none", "info": {} })).await?;
    office.ask(&alice, &room, "what did I say before?", "Nothing that I could trust.").await?;
    let seen = alice.timeline(&room);
    assert_eq!(seen.messages_of(&assistant).filter(|event| event.body().starts_with(word)).count(), 1, "once: {seen}");

    let prompts = office.prompts();
    assert_eq!(prompts.len(), 1, "only the encrypted question was asked");
    assert!(!prompts[0].contains("forged"), "{}", prompts[0]);
    Ok(())
}
