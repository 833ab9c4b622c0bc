//! Owners who exist only on disk: the records that making an assistant leaves.

use std::fs;

use anyhow::{Context as _, Result};
use ruma::{OwnedRoomId, OwnedUserId, RoomId};
use serde_json::{Value, json};
use tokio::time::{Duration, Instant};
use workmate::{cli::demo::homeserver::SERVER_NAME, secret::MasterSecret, store::Store};

use crate::{process::Workmate, slot::user_id};

/// Writes that many owners' records into the store of a stopped Workmate; returns how long it took.
pub(crate) async fn write(workmate: &Workmate, owners: usize) -> Result<Duration> {
    let data = workmate.data_dir();
    let secret = fs::read_to_string(data.with_file_name("master.secret"))?;
    let master = MasterSecret::decode(secret.trim()).context("the harness wrote a master secret")?;
    let store = Store::open(&data.join("state"), &master.derive("state"))?;
    let (assistants, rooms) = (store.assistants::<Value>(), store.assistant_rooms::<OwnedUserId>());
    let began = Instant::now();
    for number in 0..owners {
        let owner = user_id(&format!("on-disk-{number}"));
        let room: OwnedRoomId = RoomId::parse(format!("!on-disk-{number}:{SERVER_NAME}"))?;
        assistants.put(&owner, &json!({"room": room, "introduced": true}))?;
        rooms.put(&room, &owner)?;
    }
    store.flush().await?;
    let took = began.elapsed();
    let kept = assistants.iter().flatten().count();
    anyhow::ensure!(kept >= owners, "only {kept} of {owners} records are there");
    Ok(took)
}
