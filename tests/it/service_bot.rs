//! The service bot in direct chats.

use anyhow::Result;
use ruma::events::room::member::MembershipState;

use crate::{
    assistants::{FIRST_WORDS, Office, said},
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
async fn service_bot_declines_rooms_and_says_why() -> Result<()> {
    let office = Office::open().await?;
    let alice = shared().person("alice").await;
    let service = office.slot.service();

    let team = alice.create_room(RoomKind::Encrypted, "team", &[&service]).await?;
    alice.until_membership(&team, &service, &MembershipState::Leave).await?;
    let dm = alice.until_invited_by(&service).await?;
    alice.join(&dm).await?;

    alice.until(&dm, "why", |seen| said(seen, &service, "I work in direct chats only.")).await?;
    Ok(())
}
