//! Who can read a coworker's answers, and that an encrypted room never gets an unencrypted one.

use anyhow::Result;
use matrix_sdk::deserialized_responses::ShieldState;
use serde_json::json;
use workmate::standin::Turn;

use crate::harness::{Person, RoomKind, SeenEvent, Timeline, homeserver::shared, office::Office};

/// Waits until `person` has decrypted an event that somebody else has already seen.
async fn decrypted(person: &Person, room: &ruma::RoomId, event: &SeenEvent) -> Result<SeenEvent> {
    let id = event.event_id.clone();
    let read = move |seen: &Timeline| seen.event(&id).filter(|event| event.is_decrypted()).cloned();
    person.until(room, "the answer, decrypted", read).await
}

#[tokio::test]
async fn point_5_a_room_that_becomes_encrypted_gets_no_plain_answer_any_more() -> Result<()> {
    let office = Office::open().await?;
    let room = office.room(RoomKind::Plain).await?;
    let before = office.asked_and_answered(&room, "in the open").await?;
    let (turn, gate) = Turn::text("decided before, sent after").gate_after(1);
    office.script("across the change", turn);
    office.ask(&office.alice, &room, "across the change").await?;
    gate.reached().await;

    office.alice.room(&room)?.enable_encryption().await?;
    let after = office.asked_and_answered(&room, "in private").await?;
    gate.release();
    let across = office.answer(&office.alice, &room, &office.oncall(), "decided before").await?;

    let encrypted = [before, after, across].map(|event| event.is_decrypted());
    assert_eq!(encrypted, [false, true, true], "{}", office.alice.timeline(&room));
    Ok(())
}

#[tokio::test]
async fn point_5_an_answer_is_readable_for_who_joined_since_the_last_one() -> Result<()> {
    let office = Office::open().await?;
    let carol = shared().person("carol").await;
    let room = office.room(RoomKind::Encrypted).await?;
    office.asked_and_answered(&room, "before carol").await?;
    office.alice.invite(&room, carol.user_id()).await?;
    office.join_on_invite(&carol, &room).await?;

    office.ask(&carol, &room, "asked by carol").await?;
    let for_carol = office.answer(&carol, &room, &office.oncall(), "asked by carol").await?;
    let for_alice = office.asked_and_answered(&room, "with carol").await?;

    assert!(for_carol.is_decrypted());
    decrypted(&carol, &room, &for_alice).await?;
    decrypted(&office.bob, &room, &for_carol).await?;
    Ok(())
}

#[tokio::test]
async fn point_5_a_second_device_that_nobody_signed_asks_and_reads() -> Result<()> {
    let account = shared().account("alice").await;
    let people = [Person::start(account.clone()).await?, shared().person("bob").await];
    let office = Office::open_for(people, |setup| setup).await?;
    let room = office.room(RoomKind::Encrypted).await?;
    office.asked_and_answered(&room, "from the first device").await?;

    let second = Person::start(account).await?;
    second.until_membership(&room, second.user_id(), &ruma::events::room::member::MembershipState::Join).await?;
    let answered = office.asked_and_answered(&room, "from the first device again").await?;
    decrypted(&second, &room, &answered).await?;
    office.ask(&second, &room, "from the second device").await?;
    let answered = office.answer(&second, &room, &office.oncall(), "from the second device").await?;

    let (lax, _) = answered.shields().expect("it was decrypted");
    assert_eq!(lax, ShieldState::None);
    decrypted(&office.alice, &room, &answered).await?;
    Ok(())
}

#[tokio::test]
async fn c9_an_answer_too_long_for_a_message_comes_with_an_encrypted_file_in_the_thread() -> Result<()> {
    let office = Office::open().await?;
    let room = office.room(RoomKind::Encrypted).await?;
    office.script("at length", Turn::text("All of it. ".repeat(12_000)).delta_chars(5_000));
    let request = office.ask(&office.alice, &room, "at length").await?;

    let answered = office.answer(&office.alice, &room, &office.oncall(), "All of it.").await?;
    let attached =
        |seen: &Timeline| seen.messages_of(&office.oncall()).find(|event| event.msgtype() == "m.file").cloned();
    let file = office.alice.until(&room, "the file", attached).await?;

    assert_eq!(answered.thread_root(), Some(request.as_str()));
    assert_eq!((file.thread_root(), file.is_decrypted()), (Some(request.as_str()), true));
    assert_eq!(file.content["url"], json!(null), "the file itself is encrypted: {}", file.content);
    assert!(file.content["file"]["key"].is_object(), "{}", file.content);
    assert!(!file.mentions(office.alice.user_id()), "only the answer notifies");
    let source =
        ruma::events::room::MediaSource::Encrypted(Box::new(serde_json::from_value(file.content["file"].clone())?));
    let wanted = matrix_sdk::media::MediaRequestParameters { source, format: matrix_sdk::media::MediaFormat::File };
    let bytes = office.alice.client().media().get_media_content(&wanted, false).await?;
    assert_eq!(String::from_utf8(bytes)?.trim(), "All of it. ".repeat(12_000).trim());
    Ok(())
}
