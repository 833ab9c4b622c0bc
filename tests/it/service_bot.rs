//! The service bot in direct chats.

use anyhow::Result;
use reqwest::Method;
use ruma::events::room::member::MembershipState;
use serde_json::json;

use crate::{
    assistants::{FIRST_WORDS, Office, call_as, said},
    harness::{RoomKind, homeserver::shared},
};

#[tokio::test]
async fn service_bot_a_dm_explains_lists_the_coworkers_and_makes_the_assistant() -> Result<()> {
    let office = Office::open().await?;
    let alice = shared().person("alice").await;
    let (service, assistant) = (office.slot.service(), office.assistant_of(&alice));

    let dm = alice.create_dm(&service).await?;
    let welcome = alice.until(&dm, "the welcome", |seen| said(seen, &service, "Hello! Claude is here")).await?;
    let place = alice.until(&dm, "where the assistant is", |seen| said(seen, &service, "Your assistant is")).await?;
    let room = alice.until_invited_by(&assistant).await?;
    alice.join(&room).await?;
    alice.until(&room, "the first words", |seen| said(seen, &assistant, FIRST_WORDS)).await?;

    assert!(welcome.is_decrypted() && place.is_decrypted());
    for part in ["Coworkers", "Your assistant", office.slot.coworker("oncall").as_str()] {
        assert!(welcome.body().contains(part), "{part} is missing in {}", welcome.body());
    }
    assert!(place.body().contains(assistant.as_str()) && place.mentions(alice.user_id()), "{}", place.body());
    office.ask(&alice, &room, "hello?", "Hello.").await?;
    Ok(())
}

#[tokio::test]
async fn service_bot_answers_its_commands_and_finds_the_assistant_again() -> Result<()> {
    let office = Office::open().await?;
    let alice = shared().person("alice").await;
    let (service, room) = (office.slot.service(), office.meet(&alice).await?);

    let dm = alice.create_dm(&service).await?;
    alice.until(&dm, "where the assistant is", |seen| said(seen, &service, "Your assistant is")).await?;
    for (message, answer) in [
        ("!coworkers", "The coworkers here:"),
        ("good morning", "!assistant get your assistant"),
        ("!assistant", "You are in its chat already"),
    ] {
        let asked = alice.send(&dm, message).await?;
        let answered = |seen: &crate::harness::Timeline| {
            let later = seen.events.iter().skip_while(|event| event.event_id != asked);
            let mut answers = later.filter(|event| event.sender == service && event.is_message());
            answers.find(|event| event.body().replace('`', "").contains(answer)).cloned()
        };
        let answered = alice.until(&dm, message, answered).await?;
        assert!(answered.is_decrypted());
    }
    office.ask(&alice, &room, "only one of you?", "Only me.").await?;
    assert_eq!(office.prompts().len(), 1, "the service bot asks no model");
    Ok(())
}

#[tokio::test]
async fn service_bot_answers_where_it_was_asked_and_leaves_rooms_of_several_people_with_a_reason() -> Result<()> {
    let office = Office::open().await?;
    let (alice, bob) = (shared().person("alice").await, shared().person("bob").await);
    let service = office.slot.service();

    // Not marked as direct, as some clients make it.
    let unmarked = alice.create_room(RoomKind::Encrypted, "workmate", &[&service]).await?;
    alice.until(&unmarked, "the welcome", |seen| said(seen, &service, "Hello! Claude is here")).await?;
    let team = alice.create_room(RoomKind::Encrypted, "team", &[bob.user_id()]).await?;
    alice.invite(&team, &service).await?;
    alice.until_membership(&team, &service, &MembershipState::Leave).await?;
    alice.invite(&unmarked, bob.user_id()).await?;
    bob.until_membership(&unmarked, bob.user_id(), &MembershipState::Invite).await?;
    bob.join(&unmarked).await?;
    alice.until_membership(&unmarked, &service, &MembershipState::Leave).await?;

    for room in [&team, &unmarked] {
        let path = format!("_matrix/client/v3/rooms/{room}/state/m.room.member/{service}");
        let member = call_as(&alice, Method::GET, &path, &json!({})).await?;
        assert!(member["reason"].as_str().unwrap_or_default().contains("Start a chat with me alone"), "{member}");
    }
    assert!(alice.client().invited_rooms().iter().all(|room| room.room_id() != team), "it is said nowhere else");
    Ok(())
}
