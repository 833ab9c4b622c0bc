//! Room upgrades (C18).

use anyhow::Result;
use ruma::{RoomVersionId, api::client::room::upgrade_room, events::room::member::MembershipState};
use workmate::standin::{Options, StandIn, Turn};

use crate::harness::{Message, RoomKind, SeenEvent, Setup, Timeline, homeserver::shared};

#[tokio::test]
async fn c18_an_upgraded_room_is_followed_with_its_settings() -> Result<()> {
    let slot = shared().take_slot();
    let claude = StandIn::start(Options::scripted()).await?;
    claude.respond_with(|_| Turn::text("I came along."));
    let _workmate = Setup::new(&slot, shared().url(), &claude.base_url()).start().await;
    let [alice, bob] = [shared().person("alice").await, shared().person("bob").await];
    let coworker = slot.coworker("oncall");
    let old = alice.create_room(RoomKind::Plain, "team", &[bob.user_id()]).await?;
    bob.until_invited_by(alice.user_id()).await?;
    bob.join(&old).await?;
    alice.invite(&old, &coworker).await?;
    alice.until_membership(&old, &coworker, &MembershipState::Join).await?;
    let introduced = |seen: &Timeline| seen.messages_of(&coworker).next().map(|_| ());
    alice.until(&old, "the first words", introduced).await?;

    let upgrade = upgrade_room::v3::Request::new(old.clone(), RoomVersionId::V11);
    let new = alice.client().send(upgrade).await?.replacement_room;
    alice.invite(&new, bob.user_id()).await?;
    alice.invite(&new, &coworker).await?;
    alice.until_membership(&new, &coworker, &MembershipState::Join).await?;
    bob.until_invited_by(alice.user_id()).await?;
    bob.join(&new).await?;

    let request = alice.send(&new, Message::text("@oncall here?").pill("@oncall", &coworker)).await?;
    let answered = |seen: &Timeline| seen.answer(&request, &coworker, alice.user_id()).map(|_| ());
    alice.until(&new, "an answer in the new room", answered).await?;
    let seen = alice.timeline(&new);
    let words: Vec<_> = seen.messages_of(&coworker).map(SeenEvent::body).collect();
    assert_eq!(words, ["I came along."], "it was introduced in the old room already");
    Ok(())
}
