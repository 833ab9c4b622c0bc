//! Rooms with more content than a program reads at once: their people are answered anyway.
//!
//! The content is not stored in the homeserver, which would take minutes; it is inserted into its answers.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use anyhow::Result;
use axum::body::Bytes;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::harness::{
    RoomKind, Setup,
    between::homeserver_that_says_more,
    homeserver::shared,
    office::{Office, echoing},
};

/// Rooms whose state together exceeds a sync's limit (64 MiB), while each is below a room's (4 MiB).
const ROOMS: usize = 20;
const STATE_EVENTS: usize = 60;
const LONG_BYTES: usize = 60_000;
/// Bans that together exceed an answer's limit (128 MiB).
const BANS: usize = 2_300;
/// Bans that are actually made for the figure.
const BANS_MADE: usize = 2_200;

async fn office_behind(more: impl Fn(&str, &str, Bytes) -> Bytes + Send + Sync + 'static) -> Result<Office> {
    let url = homeserver_that_says_more(more).await?;
    let claude = echoing().await?;
    let workmate = Setup::new(&shared().take_slot(), &url, &claude.base_url()).start().await;
    let (alice, bob) = (shared().person("alice").await, shared().person("bob").await);
    Ok(Office { claude, workmate, alice, bob })
}

fn state_event(event_type: &str, number: usize, state_key: &str, content: &Value) -> Value {
    json!({
        "type": event_type, "state_key": state_key, "sender": "@mallory:hs", "event_id": format!("$heavy{number}"),
        "origin_server_ts": 1, "content": content,
    })
}

/// Returns a first sync with much state in each of its rooms.
fn with_heavy_rooms(body: &Bytes) -> Option<Bytes> {
    let mut sync: Value = serde_json::from_slice(body).ok()?;
    for room in sync["rooms"]["join"].as_object_mut()?.values_mut() {
        let events = room["state"]["events"].as_array_mut()?;
        events.extend((0..STATE_EVENTS).map(|number| {
            let content = json!({"via": ["x".repeat(LONG_BYTES)]});
            state_event("m.space.parent", number, &format!("!parent{number}:hs"), &content)
        }));
    }
    Some(serde_json::to_vec(&sync).ok()?.into())
}

/// Returns a member list with many bans for long reasons, and one member with a long name.
fn with_many_bans(body: &Bytes) -> Option<Bytes> {
    let mut members: Value = serde_json::from_slice(body).ok()?;
    let long = "x".repeat(LONG_BYTES);
    let chunk = members["chunk"].as_array_mut()?;
    let long_name = json!({"membership": "leave", "displayname": long});
    chunk.insert(0, state_event("m.room.member", BANS, "@long:hs", &long_name));
    for number in 0..BANS {
        let content = json!({"membership": "ban", "reason": long});
        chunk.insert(0, state_event("m.room.member", number, &format!("@banned{number}:hs"), &content));
    }
    Some(serde_json::to_vec(&members).ok()?.into())
}

#[tokio::test]
async fn c8_who_lost_their_store_starts_in_rooms_that_are_too_much_for_one_sync() -> Result<()> {
    let heavy = Arc::new(AtomicBool::new(false));
    let is_heavy = heavy.clone();
    let mut office = office_behind(move |path, query, body| {
        let is_first = path.ends_with("/sync") && !query.contains("since=");
        let is_meant = is_first && is_heavy.load(Ordering::SeqCst);
        is_meant.then(|| with_heavy_rooms(&body)).flatten().unwrap_or(body)
    })
    .await?;
    let mut rooms = Vec::new();
    for number in 0..ROOMS {
        rooms.push(office.room(if number == 0 { RoomKind::Encrypted } else { RoomKind::Plain }).await?);
    }
    office.workmate.stop().await;
    std::fs::remove_dir_all(office.workmate.data_dir().join("users").join(office.oncall().localpart()))?;
    heavy.store(true, Ordering::SeqCst);
    office.workmate.start_again().await;
    for room in [&rooms[0], &rooms[1], &rooms[ROOMS / 2], &rooms[ROOMS - 1]] {
        office.asked_and_answered(room, "are you there?").await?;
    }
    assert!(office.workmate.logs().contains("it is read in parts"));
    // A room that was read in parts works as usual, also after another start.
    office.workmate.stop().await;
    office.workmate.start_again().await;
    office.asked_and_answered(&rooms[ROOMS - 1], "and still?").await?;
    Ok(())
}

#[tokio::test]
async fn c8_an_encrypted_room_with_thousands_of_bans_for_long_reasons_is_answered() -> Result<()> {
    let office = office_behind(|path, _, body| {
        let is_meant = path.ends_with("/members");
        is_meant.then(|| with_many_bans(&body)).flatten().unwrap_or(body)
    })
    .await?;
    let room = office.room(RoomKind::Encrypted).await?;
    let answer = office.asked_and_answered(&room, "are you there?").await?;
    assert!(answer.is_decrypted(), "{answer:?}");
    Ok(())
}

/// The same with bans that the homeserver actually has; a figure, because making them takes minutes.
#[tokio::test]
#[ignore = "bans thousands; run it by name for its figure"]
async fn figure_an_encrypted_room_with_thousands_of_real_bans() -> Result<()> {
    let office = Office::open().await?;
    let room = office.room_of_people(RoomKind::Encrypted).await?;
    let (reason, own) = ("x".repeat(LONG_BYTES), office.alice.room(&room)?);
    let server = office.alice.user_id().server_name().to_owned();
    for number in 0..BANS_MADE {
        let user = ruma::UserId::parse(format!("@banned{number}:{server}"))?;
        own.ban_user(&user, Some(&reason)).await?;
    }
    let began = Instant::now();
    office.bring(&room, &office.oncall()).await?;
    let first = began.elapsed();
    let asked = Instant::now();
    let answer = office.asked_and_answered(&room, "are you there?").await?;
    assert!(answer.is_decrypted(), "{answer:?}");
    eprintln!("{BANS_MADE} bans: first words after {first:?}, an answer after {:?}", asked.elapsed());
    Ok(())
}
