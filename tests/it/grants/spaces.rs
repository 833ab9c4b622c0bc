//! Grants bound to a space, in rooms that came and went there: they hold where Synapse says that the space has the room.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use reqwest::Method;
use ruma::{OwnedRoomId, RoomId, events::room::member::MembershipState};
use serde_json::{Value, json};

use super::{Ops, ask, open, room_of};
use crate::{
    assistants::call_as,
    harness::{Person, homeserver::shared, office::Office},
    provisioning::make_space,
};

/// Sets a space's entry for a room; returns the event's id.
async fn set_child(person: &Person, space: &RoomId, room: &RoomId, content: Value) -> Result<String> {
    let path = format!("_matrix/client/v3/rooms/{space}/state/m.space.child/{}", room.as_str().replace('!', "%21"));
    let set = call_as(person, Method::PUT, &path, &content).await?;
    Ok(set["event_id"].as_str().context("an event")?.to_owned())
}

/// Returns the rooms that the homeserver counts as the space's.
async fn children(person: &Person, space: &RoomId) -> Result<BTreeSet<String>> {
    let path = format!("_matrix/client/v1/rooms/{space}/hierarchy?limit=50");
    let found = call_as(person, Method::GET, &path, &json!({})).await?;
    let space = found["rooms"].as_array().and_then(|rooms| rooms.iter().find(|room| room["room_id"] == space.as_str()));
    let entries = space.context("the space itself")?["children_state"].as_array().cloned().unwrap_or_default();
    Ok(entries.iter().filter_map(|entry| entry["state_key"].as_str().map(str::to_owned)).collect())
}

async fn runs_in(office: &Office, room: &RoomId, what: &str) -> Result<bool> {
    let answer = ask(office, &office.bob, room, &format!("use in_space with {what}")).await?;
    let ran = answer.body().contains("It was run.");
    assert!(ran || answer.body().contains("It was not run."), "{}", answer.body());
    Ok(ran)
}

#[tokio::test]
async fn c12_a_grant_holds_in_the_rooms_that_the_homeserver_counts_as_the_spaces_whatever_their_history() -> Result<()>
{
    let ops = Ops::new()?;
    let (alice, bob) = (shared().person("alice").await, shared().person("bob").await);
    let space = make_space(&alice, &[]).await?;
    let tools = json!([{"name": "ops__in_space", "approval": "never", "spaces": [space]}]);
    let office = open([alice, bob], &ops, tools, |setup| setup).await?;
    let (alice, bob, service) = (&office.alice, &office.bob, office.workmate.slot().service());
    alice.invite(&space, &service).await?;
    alice.until_membership(&space, &service, &MembershipState::Join).await?;

    let via = json!({ "via": ["localhost"] });
    let histories: [(&str, Vec<Value>, bool); 7] = [
        ("added", vec![via.clone()], false),
        ("removed", vec![via.clone(), json!({})], false),
        ("redacted", vec![via.clone()], true),
        ("back again", vec![via.clone(), json!({}), via.clone()], false),
        ("by no server", vec![json!({ "via": [] })], false),
        ("by odd servers", vec![via.clone(), json!({ "via": [7, null] })], false),
        ("removed by a redaction and by a change", vec![json!({}), via.clone(), json!({ "via": "localhost" })], true),
    ];
    let mut rooms: Vec<(&str, OwnedRoomId)> = Vec::new();
    for (what, contents, is_redacted) in histories {
        let room = room_of(alice, bob, &office).await?;
        let mut last = String::new();
        for content in contents {
            last = set_child(alice, &space, &room, content).await?;
        }
        if is_redacted {
            let path = format!("_matrix/client/v3/rooms/{space}/redact/{last}/gone-{}", rooms.len());
            call_as(alice, Method::PUT, &path, &json!({})).await?;
        }
        rooms.push((what, room));
    }
    let theirs = children(alice, &space).await?;
    for (what, room) in &rooms {
        assert_eq!(runs_in(&office, room, what).await?, theirs.contains(room.as_str()), "{what}");
    }
    assert_eq!(ops.ran(), ["in_space added", "in_space back again"]);

    // What replaces a room of the space is not in it until the space says so.
    let path = format!("_matrix/client/v3/rooms/{}/upgrade", rooms[0].1);
    let upgraded = call_as(alice, Method::POST, &path, &json!({ "new_version": "11" })).await?;
    let new = RoomId::parse(upgraded["replacement_room"].as_str().context("a new room")?)?;
    for person in [bob.user_id(), &office.oncall()] {
        alice.invite(&new, person).await?;
    }
    bob.join(&new).await?;
    alice.until_membership(&new, &office.oncall(), &MembershipState::Join).await?;
    let is_there = children(alice, &space).await?.contains(new.as_str());
    assert_eq!(runs_in(&office, &new, "its successor").await?, is_there);

    // A reader who was banned sees nothing; invited again, it reads on.
    let last = room_of(alice, bob, &office).await?;
    set_child(alice, &space, &last, via).await?;
    let whom = json!({ "user_id": service });
    for (change, runs) in [("ban", false), ("unban", false), ("invite", true)] {
        call_as(alice, Method::POST, &format!("_matrix/client/v3/rooms/{space}/{change}"), &whom).await?;
        if runs {
            alice.until_membership(&space, &service, &MembershipState::Join).await?;
        }
        assert_eq!(runs_in(&office, &last, change).await?, runs, "{change}");
    }
    Ok(())
}
