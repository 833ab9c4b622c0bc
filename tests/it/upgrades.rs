//! Room upgrades (C18): followed with settings if both rooms point at each other; notes do not move to a public room.

use anyhow::{Context as _, Result};
use ruma::{
    OwnedRoomId, RoomVersionId,
    api::client::{
        room::{
            create_room::v3::{Request as CreateRoom, RoomPreset},
            upgrade_room,
        },
        state::send_state_event,
    },
    events::{
        EmptyStateKey, InitialStateEvent,
        room::{
            history_visibility::{HistoryVisibility, RoomHistoryVisibilityEventContent},
            join_rules::{JoinRule, RoomJoinRulesEventContent},
            member::MembershipState,
            tombstone::RoomTombstoneEventContent,
        },
    },
};
use workmate::core::{render, words};

use crate::harness::{Message, Person, RoomKind, office::Office};

pub(crate) async fn upgrade(office: &Office, old: &OwnedRoomId) -> Result<OwnedRoomId> {
    let upgrade = upgrade_room::v3::Request::new(old.clone(), RoomVersionId::V12);
    Ok(office.alice.client().send(upgrade).await?.replacement_room)
}

/// Sends the command and waits for this answer.
async fn command(office: &Office, room: &OwnedRoomId, command: &str, markdown: &str) -> Result<()> {
    office.ask(&office.alice, room, command).await?;
    let said = render::render(markdown).body;
    office.answer(&office.alice, room, &office.oncall(), &said).await?;
    Ok(())
}

/// Everybody follows Alice into the new room on her invite.
pub(crate) async fn follow_by_invite(office: &Office, new: &OwnedRoomId) -> Result<()> {
    office.alice.invite(new, office.bob.user_id()).await?;
    office.join_on_invite(&office.bob, new).await?;
    office.alice.invite(new, &office.oncall()).await?;
    office.alice.until_membership(new, &office.oncall(), &MembershipState::Join).await
}

fn introductions(office: &Office, room: &OwnedRoomId) -> usize {
    let seen = office.alice.timeline(room);
    seen.messages_of(&office.oncall()).filter(|event| event.body().contains("automated coworker")).count()
}

#[tokio::test]
async fn c18_a_private_room_is_followed_by_invite_with_its_settings() -> Result<()> {
    let office = Office::open().await?;
    let old = office.room(RoomKind::Encrypted).await?;
    command(&office, &old, "!mute", &words::muted("oncall")).await?;

    let new = upgrade(&office, &old).await?;
    follow_by_invite(&office, &new).await?;
    office.ask(&office.alice, &new, "still muted?").await?;
    command(&office, &new, "!unmute", &words::unmuted()).await?;
    let answered = office.asked_and_answered(&new, "and now?").await?;

    assert!(answered.is_decrypted());
    assert_eq!(office.questions(), ["@oncall and now?"], "a muted one stays muted");
    assert_eq!(introductions(&office, &new), 0, "it was introduced in the old room already");
    Ok(())
}

#[tokio::test]
async fn c18_a_public_successor_of_a_private_room_keeps_the_settings_and_not_the_notes() -> Result<()> {
    let office = Office::open().await?;
    let old = office.room(RoomKind::Plain).await?;
    command(&office, &old, "!note the valve is green", &words::noted(1)).await?;
    command(&office, &old, "!mute", &words::muted("oncall")).await?;

    let new = upgrade(&office, &old).await?;
    let open = RoomJoinRulesEventContent::new(JoinRule::Public);
    let open = send_state_event::v3::Request::new(new.clone(), &EmptyStateKey, &open)?;
    office.alice.client().send(open).await?;
    follow_by_invite(&office, &new).await?;

    office.ask(&office.alice, &new, "still muted?").await?;
    command(&office, &new, "!unmute", &words::unmuted()).await?;
    office.asked_and_answered(&new, "what do you keep?").await?;
    assert_eq!(office.questions(), ["@oncall what do you keep?"], "a muted one stays muted");
    let asked = office.claude.requests().pop().expect("the model was asked");
    assert!(!asked.body.to_string().contains("the valve is green"), "{}", asked.body);
    assert_eq!(introductions(&office, &new), 0);
    Ok(())
}

/// Makes a room that anybody may join, with Bob and `oncall`.
async fn public_room(office: &Office, version: Option<RoomVersionId>) -> Result<OwnedRoomId> {
    let mut request = CreateRoom::new();
    request.room_version = version;
    request.preset = Some(RoomPreset::PublicChat);
    let room = office.alice.client().create_room(request).await?.room_id().to_owned();
    office.alice.until_membership(&room, office.alice.user_id(), &MembershipState::Join).await?;
    office.bob.join(&room).await?;
    office.bring(&room, &office.oncall()).await?;
    Ok(room)
}

#[tokio::test]
async fn c18_a_public_room_is_followed_without_an_invite() -> Result<()> {
    let office = Office::open().await?;
    let old = public_room(&office, None).await?;

    let new = upgrade(&office, &old).await?;
    office.alice.until_membership(&new, &office.oncall(), &MembershipState::Join).await?;
    office.bob.join(&new).await?;

    office.asked_and_answered(&new, "here too?").await?;
    assert_eq!(introductions(&office, &new), 0, "it was introduced in the old room already");
    Ok(())
}

async fn bury(person: &Person, old: &OwnedRoomId, named: &OwnedRoomId) -> Result<()> {
    let grave = RoomTombstoneEventContent::new("come along".to_owned(), named.clone());
    let grave = send_state_event::v3::Request::new(old.clone(), &EmptyStateKey, &grave)?;
    person.client().send(grave).await?;
    Ok(())
}

#[tokio::test]
async fn c18_a_tombstone_in_ones_own_room_moves_nobody_into_or_out_of_somebody_elses() -> Result<()> {
    let office = Office::open().await?;
    let (alice, bob, oncall) = (&office.alice, &office.bob, office.oncall());
    // Bob's own room, and rooms of Alice's that do not point back: one in which `oncall` works, one that anybody may
    // join, one that anybody may read.
    let works = office.room(RoomKind::Plain).await?;
    let mut request = CreateRoom::new();
    request.preset = Some(RoomPreset::PublicChat);
    let open = alice.client().create_room(request.clone()).await?.room_id().to_owned();
    let world_readable = RoomHistoryVisibilityEventContent::new(HistoryVisibility::WorldReadable);
    request.initial_state = vec![InitialStateEvent::with_empty_state_key(world_readable).to_raw_any()];
    let glass = alice.client().create_room(request).await?.room_id().to_owned();
    let mine = bob.create_room(RoomKind::Plain, "mine", &[alice.user_id()]).await?;
    office.join_on_invite(alice, &mine).await?;
    bob.invite(&mine, &oncall).await?;
    bob.until_membership(&mine, &oncall, &MembershipState::Join).await?;

    for named in [&works, &open, &glass] {
        bury(bob, &mine, named).await?;
    }
    // A room's events are handled in order.
    let asked = bob.send(&mine, Message::text("@oncall still here?").pill("@oncall", &oncall)).await;
    asked.context("a tombstone ends nothing by itself")?;
    office.answer(bob, &mine, &oncall, "still here?").await?;
    office.asked_and_answered(&works, "and you here?").await?;
    for room in [&open, &glass] {
        assert_eq!(alice.membership(room, &oncall).await?, None, "no room is joined to look");
        assert!(!alice.timeline(room).to_string().contains(oncall.as_str()));
    }
    Ok(())
}

#[tokio::test]
async fn c18_a_world_readable_successor_of_an_older_version_is_looked_at_and_followed() -> Result<()> {
    let office = Office::open().await?;
    let (alice, oncall) = (&office.alice, office.oncall());
    let old = public_room(&office, Some(RoomVersionId::V10)).await?;
    let world_readable = RoomHistoryVisibilityEventContent::new(HistoryVisibility::WorldReadable);
    let state = send_state_event::v3::Request::new(old.clone(), &EmptyStateKey, &world_readable)?;
    alice.client().send(state).await?;
    let upgrade = upgrade_room::v3::Request::new(old.clone(), RoomVersionId::V11);
    let seen = alice.client().send(upgrade).await?.replacement_room;
    alice.until_membership(&seen, &oncall, &MembershipState::Join).await?;
    office.bob.join(&seen).await?;
    office.asked_and_answered(&seen, "here too?").await?;

    // The new room cannot be seen from outside and its id proves nothing, so the invite is awaited.
    let hidden = RoomHistoryVisibilityEventContent::new(HistoryVisibility::Shared);
    let state = send_state_event::v3::Request::new(seen.clone(), &EmptyStateKey, &hidden)?;
    alice.client().send(state).await?;
    let upgrade = upgrade_room::v3::Request::new(seen.clone(), RoomVersionId::V10);
    let new = alice.client().send(upgrade).await?.replacement_room;
    follow_by_invite(&office, &new).await?;
    office.asked_and_answered(&new, "and here?").await?;
    assert_eq!(introductions(&office, &seen) + introductions(&office, &new), 0);
    Ok(())
}
