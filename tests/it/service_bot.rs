//! The service bot in direct chats.

use anyhow::Result;
use ruma::events::room::member::MembershipState;
use serde_json::json;
use workmate::core::links::room_address;

use crate::{
    assistants::{FIRST_WORDS, Office, reason_of_leaving, said},
    harness::{RoomKind, homeserver::shared, workmate::coworker},
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
    let place_html = place.content["formatted_body"].as_str().unwrap_or_default();
    let pill = format!("<a href=\"{}\">", assistant.matrix_to_uri());
    let chat = room_address(&room, alice.user_id().server_name());
    assert!(
        place_html.contains(&pill) && place_html.contains(&chat) && place.mentions(alice.user_id()),
        "{place_html}"
    );
    let welcome_html = welcome.content["formatted_body"].as_str().unwrap_or_default();
    let oncall = office.slot.coworker("oncall").matrix_to_uri().to_string();
    assert!(welcome_html.contains(&oncall), "{welcome_html}");
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
        ("!assistant", "already; write to it there"),
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

    // Not marked as direct, as with some clients.
    let unmarked = alice.create_room(RoomKind::Encrypted, "workmate", &[&service]).await?;
    alice.until(&unmarked, "the welcome", |seen| said(seen, &service, "Hello! Claude is here")).await?;
    let team = alice.create_room(RoomKind::Encrypted, "team", &[bob.user_id()]).await?;
    alice.invite(&team, &service).await?;
    alice.until_membership(&team, &service, &MembershipState::Leave).await?;
    alice.invite(&unmarked, bob.user_id()).await?;
    bob.until_membership(&unmarked, bob.user_id(), &MembershipState::Invite).await?;
    bob.join(&unmarked).await?;

    for room in [&team, &unmarked] {
        let reason = reason_of_leaving(&alice, room, &service).await?;
        assert!(reason.contains("Start a chat with me alone"), "{reason}");
    }
    assert!(alice.client().invited_rooms().iter().all(|room| room.room_id() != team), "it is said nowhere else");
    Ok(())
}

#[tokio::test]
async fn c1_a_lobby_has_every_coworker_in_it_and_says_who_they_are() -> Result<()> {
    let mut office = Office::open_with(|setup| {
        setup.section("workspace", json!({ "lobby": true })).coworkers(vec![coworker("oncall"), coworker("ci")])
    })
    .await?;
    let alice = shared().person("alice").await;
    let (service, oncall, ci) = (office.slot.service(), office.slot.coworker("oncall"), office.slot.coworker("ci"));
    let dm = alice.create_dm(&service).await?;
    let link = |seen: &crate::harness::Timeline| {
        let said = seen.messages_of(&service).find(|event| event.body().starts_with("The coworkers here"))?;
        let html = said.content["formatted_body"].as_str()?;
        html.split("https://matrix.to/#/!").nth(1)?.split(['?', '"']).next().map(|room| format!("!{room}"))
    };
    alice.until(&dm, "the welcome", |seen| said(seen, &service, "Hello!")).await?;
    // It may be made a moment after the welcome.
    let lobby = loop {
        let asked = alice.send(&dm, "!coworkers").await?;
        let answered = |seen: &crate::harness::Timeline| {
            let mut later = seen.events.iter().skip_while(|event| event.event_id != asked);
            later.find(|event| event.sender == service && event.is_message()).map(|_| link(seen))
        };
        if let Some(lobby) = alice.until(&dm, "the list", answered).await? {
            break ruma::OwnedRoomId::try_from(lobby.replace("%21", "!").replace("%3A", ":"))?;
        }
    };
    alice.join(&lobby).await?;
    for user in [&oncall, &ci, &service] {
        alice.until_membership(&lobby, user, &MembershipState::Join).await?;
    }
    let listed = alice.until(&lobby, "who works here", |seen| said(seen, &service, "The coworkers here")).await?;
    assert!(listed.body().contains(oncall.as_str()) && listed.body().contains(ci.as_str()), "{}", listed.body());
    assert!(alice.send(&lobby, "@oncall here?").await.is_err(), "nothing is asked there");

    office.workmate.stop().await;
    office.workmate.start_again().await;
    office.ask(&alice, &office.join_chat(&alice).await?, "still there?", "Still.").await?;
    let seen = alice.timeline(&lobby);
    assert_eq!(seen.messages_of(&service).count(), 1, "the same list is said once:\n{seen}");
    assert_eq!(seen.messages_of(&oncall).count() + seen.messages_of(&ci).count(), 0, "{seen}");
    assert_eq!(alice.membership(&lobby, &ci).await?, Some(MembershipState::Join));
    Ok(())
}
