//! A room's notes: kept by its members, and read by its coworkers in this room only (C2, C16, C18).

use anyhow::Result;
use ruma::{
    OwnedRoomId, RoomId, RoomVersionId,
    api::client::room::{create_room::v3 as create_room, upgrade_room},
    events::{
        InitialStateEvent,
        room::{
            history_visibility::{HistoryVisibility, RoomHistoryVisibilityEventContent},
            member::MembershipState,
        },
    },
};
use serde_json::{Value, json, value::to_raw_value};

use crate::harness::{
    Person, RoomKind,
    office::{Office, text_of},
    readiness::until_logged,
};

const NOTE: &str = "note-6e21: the valve is green";

/// Sends a command as `person`, waits for the answer that contains `answer`, and returns it whole.
async fn says(office: &Office, person: &Person, room: &RoomId, command: &str, answer: &str) -> Result<String> {
    office.ask(person, room, command).await?;
    Ok(office.answer(person, room, &office.oncall(), answer).await?.body().to_owned())
}

/// Asks a question; returns the notes that the model was shown, with their authors.
async fn notes_in_prompt(office: &Office, room: &RoomId, question: &str) -> Result<Vec<(String, String)>> {
    office.asked_and_answered(room, question).await?;
    let request = office.claude.requests().pop().expect("the model was asked");
    let first = request.body["messages"][0]["content"].clone();
    let lines = text_of(&first);
    let line =
        lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find(|line| !line["notes"].is_null());
    let notes = line.map(|line| line["notes"].as_array().cloned().unwrap_or_default()).unwrap_or_default();
    let text = |note: &Value, key: &str| note[key].as_str().unwrap_or_default().to_owned();
    Ok(notes.iter().map(|note| (text(note, "by"), text(note, "note"))).collect())
}

#[tokio::test]
async fn c16_notes_are_added_listed_read_and_forgotten_by_members_and_outlast_a_crash() -> Result<()> {
    let mut office = Office::open().await?;
    let room = office.room(RoomKind::Encrypted).await?;
    let [alice, bob] = [office.alice.user_id().to_owned(), office.bob.user_id().to_owned()];
    says(&office, &office.alice, &room, "!notes", "This room has no notes").await?;
    says(&office, &office.alice, &room, &format!("!note {NOTE}"), "Noted as number 1").await?;
    says(&office, &office.bob, &room, "!note ask bob first", "Noted as number 2").await?;
    says(&office, &office.bob, &room, "!note", "What should I note?").await?;
    let both = [(alice.to_string(), NOTE.to_owned()), (bob.to_string(), "ask bob first".to_owned())];
    assert_eq!(notes_in_prompt(&office, &room, "before the crash").await?, both);

    office.workmate.kill();
    office.workmate.start_again().await;

    let listed = says(&office, &office.bob, &room, "!notes", "The notes of this room").await?;
    for part in [NOTE, "ask bob first", alice.as_str(), bob.as_str()] {
        assert!(listed.contains(part), "{part}: {listed}");
    }
    says(&office, &office.bob, &room, "!forget 1", "Forgotten: note 1").await?;
    says(&office, &office.bob, &room, "!forget 7", "There's no note 7").await?;
    assert_eq!(notes_in_prompt(&office, &room, "after the crash").await?, both[1..]);
    says(&office, &office.alice, &room, "!forget", "Forgotten: the one note").await?;
    assert_eq!(notes_in_prompt(&office, &room, "all is forgotten").await?, []);
    Ok(())
}

#[tokio::test]
async fn c2_a_rooms_notes_are_in_no_other_rooms_prompt_and_in_no_log() -> Result<()> {
    let office = Office::open().await?;
    let [room, other] = [office.room(RoomKind::Plain).await?, office.room(RoomKind::Plain).await?];
    says(&office, &office.alice, &room, &format!("!note {NOTE}"), "Noted as number 1").await?;
    assert_eq!(notes_in_prompt(&office, &other, "what do you know?").await?, []);
    let request = office.claude.requests().pop().expect("the model was asked");
    assert!(!request.body.to_string().contains("note-6e21"), "{}", request.body);
    assert!(!office.workmate.logs().contains("note-6e21"));
    Ok(())
}

#[tokio::test]
async fn c18_notes_follow_a_room_upgrade() -> Result<()> {
    let office = Office::open().await?;
    let old = office.room(RoomKind::Plain).await?;
    says(&office, &office.alice, &old, &format!("!note {NOTE}"), "Noted as number 1").await?;

    let upgrade = upgrade_room::v3::Request::new(old.clone(), RoomVersionId::V11);
    let new = office.alice.client().send(upgrade).await?.replacement_room;
    office.alice.invite(&new, office.bob.user_id()).await?;
    office.alice.invite(&new, &office.oncall()).await?;
    office.alice.until_membership(&new, &office.oncall(), &MembershipState::Join).await?;
    office.join_on_invite(&office.bob, &new).await?;

    let kept = [(office.alice.user_id().to_string(), NOTE.to_owned())];
    assert_eq!(notes_in_prompt(&office, &new, "still there?").await?, kept);
    Ok(())
}

/// Makes a public room, readable from outside, that names `old` as its predecessor, and names it in `old`.
async fn publish(office: &Office, old: &RoomId) -> Result<OwnedRoomId> {
    let mut request = create_room::Request::new();
    request.preset = Some(create_room::RoomPreset::PublicChat);
    request.room_version = Some(RoomVersionId::V11);
    let creation = json!({"predecessor": {"room_id": old, "event_id": "$last"}});
    request.creation_content = Some(ruma::serde::Raw::from_json(to_raw_value(&creation)?));
    let world_readable = RoomHistoryVisibilityEventContent::new(HistoryVisibility::WorldReadable);
    request.initial_state = vec![InitialStateEvent::with_empty_state_key(world_readable).to_raw_any()];
    let new = office.alice.client().create_room(request).await?.room_id().to_owned();
    office.bob.join(&new).await?;
    let tombstone = json!({"body": "moved", "replacement_room": new});
    office.alice.room(old)?.send_state_event_raw("m.room.tombstone", "", tombstone).await?;
    Ok(new)
}

#[tokio::test]
async fn c18_a_public_successor_of_a_private_room_starts_without_its_notes() -> Result<()> {
    let office = Office::open().await?;
    let old = office.room(RoomKind::Plain).await?;
    says(&office, &office.alice, &old, &format!("!note {NOTE}"), "Noted as number 1").await?;

    let new = publish(&office, &old).await?;
    until_logged(&office.workmate, "a room upgrade is followed", 1).await;

    assert_eq!(notes_in_prompt(&office, &new, "what do you keep?").await?, []);
    says(&office, &office.alice, &new, "!notes", "This room has no notes").await?;
    Ok(())
}
