//! A running Workmate answers mentions: in both kinds of room, for a strict client, across restarts on either side.

use anyhow::Result;
use matrix_sdk::deserialized_responses::ShieldState;
use ruma::{EventId, OwnedRoomId, UserId, events::room::member::MembershipState};
use workmate::standin::{Options, StandIn, Turn};

use crate::harness::{
    Message, Person, RoomKind, SeenEvent, Setup, UnsignedDevices, Workmate,
    homeserver::{Private, shared},
};

/// The stand-in's answer if the room's history reached it; the next one if not.
const KNOWS: &str = "The history reached me.";
const KNOWS_NOT: &str = "I was given no history.";
/// Said in the room before the question, and in no question.
const FACT: &str = "the valve is turquoise";

/// Starts a stand-in that tells whether the fact was in its prompt.
async fn claude() -> Result<StandIn> {
    let claude = StandIn::start(Options::scripted()).await?;
    claude.respond_with(|request| {
        let knows = request.body["messages"].to_string().contains(FACT);
        Turn::text(if knows { KNOWS } else { KNOWS_NOT })
    });
    Ok(claude)
}

/// Makes a room with two people and the coworker in which the fact was said.
async fn room_with_coworker(asker: &Person, other: &Person, kind: RoomKind, coworker: &UserId) -> Result<OwnedRoomId> {
    let room = asker.create_room(kind, "team", &[other.user_id()]).await?;
    other.until_invited_by(asker.user_id()).await?;
    other.join(&room).await?;
    asker.invite(&room, coworker).await?;
    asker.until_membership(&room, coworker, &MembershipState::Join).await?;
    asker.send(&room, FACT).await?;
    Ok(room)
}

async fn ask(asker: &Person, room: &OwnedRoomId, coworker: &UserId) -> Result<ruma::OwnedEventId> {
    asker.send(room, Message::text("@oncall which colour?").pill("@oncall", coworker)).await
}

async fn answer(asker: &Person, room: &OwnedRoomId, request: &EventId, coworker: &UserId) -> Result<SeenEvent> {
    let find = |seen: &crate::harness::Timeline| seen.answer(request, coworker, asker.user_id()).cloned();
    asker.until(room, "the coworker's answer", find).await
}

/// Asks, and checks every property that an answer must have.
async fn check_answered(asker: &Person, kind: RoomKind, room: &OwnedRoomId, coworker: &UserId) -> Result<()> {
    let request = ask(asker, room, coworker).await?;
    let answered = answer(asker, room, &request, coworker).await?;
    assert_eq!((answered.body(), answered.thread_root()), (KNOWS, Some(request.as_str())));
    assert_eq!(answered.is_decrypted(), kind == RoomKind::Encrypted);
    assert!(answered.shields().is_none_or(|(lax, _)| lax == ShieldState::None), "{:?}", answered.shields());
    Ok(())
}

async fn a_mention_is_answered_from_the_rooms_history(kind: RoomKind, devices: UnsignedDevices) -> Result<()> {
    let (slot, claude) = (shared().take_slot(), claude().await?);
    let _workmate = Setup::new(&slot, shared().url(), &claude.base_url()).start().await;
    let mut options = shared().account("alice").await;
    options.unsigned_devices = devices;
    let [alice, bob] = [Person::start(options).await?, shared().person("bob").await];
    let coworker = slot.coworker("oncall");
    let room = room_with_coworker(&alice, &bob, kind, &coworker).await?;
    check_answered(&alice, kind, &room, &coworker).await
}

#[tokio::test]
async fn a_mention_in_a_plain_room_is_answered_from_its_history() -> Result<()> {
    Box::pin(a_mention_is_answered_from_the_rooms_history(RoomKind::Plain, UnsignedDevices::Accepted)).await
}

#[tokio::test]
async fn a_mention_in_an_encrypted_room_is_answered_encrypted_from_its_history() -> Result<()> {
    Box::pin(a_mention_is_answered_from_the_rooms_history(RoomKind::Encrypted, UnsignedDevices::Accepted)).await
}

#[tokio::test]
async fn a_client_that_excludes_unsigned_devices_is_answered_and_reads_the_answer() -> Result<()> {
    Box::pin(a_mention_is_answered_from_the_rooms_history(RoomKind::Encrypted, UnsignedDevices::Excluded)).await
}

async fn an_encrypted_mention_sent_while_workmate_is_down(go_down: impl AsyncFnOnce(&mut Workmate)) -> Result<()> {
    let (slot, claude) = (shared().take_slot(), claude().await?);
    let mut workmate = Setup::new(&slot, shared().url(), &claude.base_url()).start().await;
    let [alice, bob] = [shared().person("alice").await, shared().person("bob").await];
    let coworker = slot.coworker("oncall");
    let room = room_with_coworker(&alice, &bob, RoomKind::Encrypted, &coworker).await?;
    check_answered(&alice, RoomKind::Encrypted, &room, &coworker).await?;

    go_down(&mut workmate).await;
    let request = ask(&alice, &room, &coworker).await?;
    workmate.start_again().await;

    let answered = answer(&alice, &room, &request, &coworker).await?;
    assert_eq!((answered.body(), answered.is_decrypted()), (KNOWS, true));
    // The second answer would come after a duplicate of the first, so now there is exactly one of each.
    check_answered(&alice, RoomKind::Encrypted, &room, &coworker).await?;
    let seen = alice.timeline(&room);
    let answers = seen.messages_of(&coworker).filter(|event| event.thread_root() == Some(request.as_str()));
    assert_eq!(answers.filter(|event| event.mentions(alice.user_id())).count(), 1, "{seen}");
    Ok(())
}

#[tokio::test]
async fn a_mention_sent_while_workmate_is_killed_is_answered_once() -> Result<()> {
    Box::pin(an_encrypted_mention_sent_while_workmate_is_down(async |workmate| workmate.kill())).await
}

#[tokio::test]
async fn a_coworker_whose_encryption_store_is_lost_reads_and_answers_again() -> Result<()> {
    let lose_stores = async |workmate: &mut Workmate| {
        // Stop, do not kill: the newest keys must reach the backup first.
        workmate.stop().await;
        std::fs::remove_dir_all(workmate.data_dir().join("users")).expect("there are stores to lose");
    };
    Box::pin(an_encrypted_mention_sent_while_workmate_is_down(lose_stores)).await
}

#[tokio::test]
async fn a_restarted_homeserver_is_served_again() -> Result<()> {
    let (mut private, claude) = (Private::start().await, claude().await?);
    let _workmate = Setup::new(&private.slot, private.homeserver.url(), &claude.base_url()).start().await;
    let [alice, bob] = [private.person("alice").await, private.person("bob").await];
    let coworker = private.slot.coworker("oncall");
    let room = room_with_coworker(&alice, &bob, RoomKind::Encrypted, &coworker).await?;

    private.homeserver.restart(&crate::harness::progress).await?;

    check_answered(&alice, RoomKind::Encrypted, &room, &coworker).await
}

#[tokio::test]
async fn a_workmate_started_again_with_nothing_left_to_do_stops_when_told() -> Result<()> {
    let (slot, claude) = (shared().take_slot(), claude().await?);
    let mut workmate = Setup::new(&slot, shared().url(), &claude.base_url()).start().await;
    let [alice, bob] = [shared().person("alice").await, shared().person("bob").await];
    let coworker = slot.coworker("oncall");
    let room = room_with_coworker(&alice, &bob, RoomKind::Plain, &coworker).await?;
    check_answered(&alice, RoomKind::Plain, &room, &coworker).await?;
    workmate.stop().await;
    workmate.start_again().await;
    workmate.stop().await;
    Ok(())
}
