//! A homeserver that is restored from an earlier copy knows less than Workmate does.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use axum::{
    Json,
    extract::Request,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde_json::json;
use tokio::{sync::Notify, time::timeout};
use workmate::cli::demo::person::Person;

use crate::harness::{
    RoomKind, Setup, Timeline,
    between::{bad_gateway, homeserver_behind},
    homeserver::{Private, shared},
    office::{Office, echoing},
    progress,
    readiness::until_logged,
};

/// Copies the homeserver's database, with what SQLite keeps beside it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let name = format!("homeserver.db{suffix}");
        let _ = fs::remove_file(to.join(&name));
        if from.join(&name).exists() {
            fs::copy(from.join(&name), to.join(&name)).context(name)?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn nothing_is_lost_a_homeserver_that_was_restored_from_a_copy_is_served_again() -> Result<()> {
    let mut private = Private::start().await;
    let claude = echoing().await?;
    let workmate = Setup::new(&private.slot, private.homeserver.url(), &claude.base_url()).start().await;
    let [alice, bob] = [private.person("alice").await, private.person("bob").await];
    let mut office = Office { claude, workmate, alice, bob };
    let rooms = [office.room(RoomKind::Plain).await?, office.room(RoomKind::Encrypted).await?];
    for room in &rooms {
        office.asked_and_answered(room, "before the copy").await?;
    }
    let kept = tempfile::tempdir()?;
    private.homeserver.stop().await?;
    copy(&private.dir(), kept.path())?;
    private.homeserver.start_again(&progress).await?;
    let assistant = private.slot.assistant(office.alice.user_id().localpart());
    office.alice.create_dm(&assistant).await?;
    office.alice.until_invited_by(&assistant).await?;
    let lost = office.room(RoomKind::Plain).await?;
    for room in rooms.iter().chain([&lost]) {
        office.asked_and_answered(room, "behind the copy").await?;
    }

    private.homeserver.stop().await?;
    copy(kept.path(), &private.dir())?;
    private.homeserver.start_again(&progress).await?;

    // People's apps would not go on either.
    office.alice = private.login("alice").await?;
    office.bob = private.login("bob").await?;
    for room in &rooms {
        office.asked_and_answered(room, "and now?").await?;
        office.asked_and_answered(room, "and again?").await?;
    }
    let new = office.room(RoomKind::Encrypted).await?;
    office.asked_and_answered(&new, "in a new room").await?;
    office.alice.create_dm(&assistant).await?;
    let chat = office.alice.until_invited_by(&assistant).await?;
    office.alice.join(&chat).await?;
    let welcomed = |seen: &Timeline| seen.messages_of(&assistant).next().map(drop);
    office.alice.until(&chat, "the assistant's first words", welcomed).await?;
    office.workmate.stop().await;
    office.workmate.start_again().await;
    for room in rooms.iter().chain([&new]) {
        office.asked_and_answered(room, "after a start").await?;
    }
    Ok(())
}

/// Refuses to go on from the last sync, and says nothing about devices.
fn forgetful(request: &Request) -> Option<Response> {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    let odd = json!({ "errcode": "M_UNKNOWN", "error": "no such token" });
    match () {
        () if path.ends_with("/sync") && query.contains("since=") => {
            Some((StatusCode::BAD_REQUEST, Json(odd)).into_response())
        }
        () if path.ends_with("/keys/query") => Some(bad_gateway("later")),
        () => None,
    }
}

#[tokio::test]
async fn c8_a_device_that_came_before_a_first_sync_is_asked_for_before_anything_is_encrypted() -> Result<()> {
    let (is_forgetful, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
    let between = (is_forgetful.clone(), asked.clone());
    let url = homeserver_behind(move |request: &Request| {
        let instead = between.0.load(Ordering::SeqCst).then(|| forgetful(request)).flatten();
        if instead.is_some() && request.uri().path().ends_with("/keys/query") {
            between.1.notify_one();
        }
        instead
    })
    .await?;
    let claude = echoing().await?;
    let workmate = Setup::new(&shared().take_slot(), &url, &claude.base_url()).start().await;
    let bobs = shared().account("bob").await;
    let [alice, bob] = [shared().person("alice").await, Person::start(bobs.clone()).await?];
    let office = Office { claude, workmate, alice, bob };
    let room = office.room(RoomKind::Encrypted).await?;
    office.asked_and_answered(&room, "before").await?;

    is_forgetful.store(true, Ordering::SeqCst);
    let new = Person::start(bobs).await?;
    office.ask(&office.alice, &room, "after").await?;
    until_logged(&office.workmate, "it is asked for a first one", 1).await;
    timeout(Duration::from_mins(1), asked.notified()).await.context("nobody asks for devices")?;
    is_forgetful.store(false, Ordering::SeqCst);

    office.answer(&office.alice, &room, &office.oncall(), "after").await?;
    let read = |seen: &Timeline| {
        seen.messages_of(&office.oncall()).find(|event| event.body().contains("You asked: @oncall after")).map(drop)
    };
    new.until(&room, "the answer on a device that nobody named", read).await
}
