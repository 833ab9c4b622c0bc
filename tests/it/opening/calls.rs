//! The homeserver calls of a turn with an opened room.

use std::sync::{Arc, Mutex};

use anyhow::Result;
use workmate::standin::{Options, StandIn};

use super::OPENED;
use crate::{
    assistants::Office,
    harness::{RoomKind, Setup, between::homeserver_behind, homeserver::shared},
};

#[tokio::test]
async fn a7_a_turn_asks_for_the_owners_own_membership_and_for_no_list_of_members() -> Result<()> {
    let calls: Arc<Mutex<Vec<String>>> = Arc::default();
    let (slot, claude) = (shared().take_slot(), StandIn::start(Options::scripted()).await?);
    let seen = calls.clone();
    let url = homeserver_behind(move |request| {
        let call = format!("{} {}", request.method(), request.uri());
        seen.lock().expect("nobody panics with it").push(call);
        None
    })
    .await?;
    let workmate = Setup::new(&slot, &url, &claude.base_url()).start().await;
    let office = Office { workmate, claude, slot };
    let [alice, bob] = [shared().person("alice").await, shared().person("bob").await];
    let team = office.team(RoomKind::Plain, &[&bob, &alice]).await?;
    let dm = office.meet(&alice).await?;
    office.word(&alice, &dm, &format!("!open {team}"), OPENED).await?;
    office.ask(&alice, &dm, "the first turn", "One.").await?;

    let before = calls.lock().expect("nobody panics with it").len();
    office.ask(&alice, &dm, "the second turn", "Two.").await?;

    let all = calls.lock().expect("nobody panics with it")[before..].to_vec();
    let room = team.as_str().trim_start_matches('!');
    // Clients' calls name their device; the check for gaps, which comes when it comes, is made without one.
    let about: Vec<&String> = all.iter().filter(|call| call.contains(room) && call.contains("device_id=")).collect();
    let memberships = about.iter().filter(|call| call.contains("/state/m.room.member/")).count();
    assert_eq!((about.len(), memberships), (2, 2), "before and after the reading: {all:#?}");
    Ok(())
}
