//! Room upgrades (C18): followed with settings where both rooms point at each other; notes stay out of the open.

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
        EmptyStateKey,
        room::{
            join_rules::{JoinRule, RoomJoinRulesEventContent},
            member::MembershipState,
            tombstone::RoomTombstoneEventContent,
        },
    },
};
use workmate::core::{render, words};

use crate::harness::{RoomKind, Timeline, office::Office};

async fn upgrade(office: &Office, old: &OwnedRoomId) -> Result<OwnedRoomId> {
    let upgrade = upgrade_room::v3::Request::new(old.clone(), RoomVersionId::V12);
    Ok(office.alice.client().send(upgrade).await?.replacement_room)
}

/// Gives the command and waits until it is answered so.
async fn command(office: &Office, room: &OwnedRoomId, command: &str, markdown: &str) -> Result<()> {
    office.ask(&office.alice, room, command).await?;
    let said = render::render(markdown).body;
    office.answer(&office.alice, room, &office.oncall(), &said).await?;
    Ok(())
}

/// Everybody follows alice into the new room by her invite.
async fn follow_by_invite(office: &Office, new: &OwnedRoomId) -> Result<()> {
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

/// Makes a room that anybody may join, with bob and `oncall` in it.
async fn public_room(office: &Office) -> Result<OwnedRoomId> {
    let mut request = CreateRoom::new();
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
    let old = public_room(&office).await?;

    let new = upgrade(&office, &old).await?;
    office.alice.until_membership(&new, &office.oncall(), &MembershipState::Join).await?;
    office.bob.join(&new).await?;

    office.asked_and_answered(&new, "here too?").await?;
    assert_eq!(introductions(&office, &new), 0, "it was introduced in the old room already");
    Ok(())
}

#[tokio::test]
async fn c18_a_tombstone_that_names_a_room_which_does_not_point_back_is_not_followed() -> Result<()> {
    let office = Office::open().await?;
    let old = public_room(&office).await?;
    let mut request = CreateRoom::new();
    request.preset = Some(RoomPreset::PublicChat);
    let elsewhere = office.alice.client().create_room(request).await?.room_id().to_owned();

    let grave = RoomTombstoneEventContent::new("come along".to_owned(), elsewhere.clone());
    let grave = send_state_event::v3::Request::new(old.clone(), &EmptyStateKey, &grave)?;
    office.alice.client().send(grave).await?;

    let oncall = office.oncall();
    office.alice.until_membership(&elsewhere, &oncall, &MembershipState::Leave).await.context("it looks and leaves")?;
    office.asked_and_answered(&old, "still here?").await?;
    let said = |seen: &Timeline| seen.messages_of(&oncall).count();
    assert_eq!(said(&office.alice.timeline(&elsewhere)), 0);
    Ok(())
}
