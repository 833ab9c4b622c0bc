//! Our users start one by one; what happens to one whose device, store or disk is lost.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use anyhow::{Context as _, Result};
use axum::{
    Json,
    extract::Request,
    http::StatusCode,
    response::{Html, IntoResponse as _, Response},
};
use reqwest::Method;
use ruma::{OwnedUserId, UserId};
use serde_json::{Value, json};
use workmate::core::words;

use crate::{
    assistants::{self, call},
    harness::{
        Message, Person, RoomKind, Setup, Timeline,
        between::homeserver_behind,
        homeserver::shared,
        office::{Office, echoing},
        readiness::{is_ready, until_readiness},
        workmate::coworker,
    },
};

/// Has Alice mention `whom`, by a pill with this label, and ask.
async fn ask(
    office: &Office,
    room: &ruma::RoomId,
    whom: &UserId,
    label: &str,
    question: &str,
) -> Result<ruma::OwnedEventId> {
    office.alice.send(room, Message::text(format!("@{label} {question}")).pill(&format!("@{label}"), whom)).await
}

/// Answers the first calls of a start as a homeserver in trouble does, and every call of one user while it is barred.
fn trouble(user: OwnedUserId, barred: Arc<AtomicBool>) -> impl Fn(&Request) -> Option<Response> + Send + Sync {
    let calls = AtomicUsize::new(0);
    let refusal =
        |status: StatusCode, code: &str| (status, Json(json!({ "errcode": code, "error": "not now" }))).into_response();
    move |request| {
        let query = request.uri().query().unwrap_or_default().replace("%40", "@").replace("%3A", ":");
        if barred.load(Ordering::Relaxed) && query.contains(&format!("user_id={user}")) {
            return Some(refusal(StatusCode::INTERNAL_SERVER_ERROR, "M_UNKNOWN"));
        }
        match calls.fetch_add(1, Ordering::Relaxed) {
            0 => Some(refusal(StatusCode::INTERNAL_SERVER_ERROR, "M_UNKNOWN")),
            1 => Some(refusal(StatusCode::TOO_MANY_REQUESTS, "M_LIMIT_EXCEEDED")),
            2 | 5 | 9 => Some((StatusCode::NOT_FOUND, Html("<h1>404 Not Found</h1>")).into_response()),
            3 => Some(refusal(StatusCode::UNAUTHORIZED, "M_UNKNOWN_TOKEN")),
            _ => None,
        }
    }
}

#[tokio::test]
async fn security_2_a_user_that_cannot_start_costs_itself_alone_and_takes_what_was_kept_for_it() -> Result<()> {
    let slot = shared().take_slot();
    let (oncall, ci) = (slot.coworker("oncall"), slot.coworker("ci"));
    let barred = Arc::new(AtomicBool::new(false));
    // Chaos 5: none of these first answers ends the process.
    let url = homeserver_behind(trouble(ci.clone(), barred.clone())).await?;
    let claude = echoing().await?;
    let setup = Setup::new(&slot, &url, &claude.base_url()).coworkers(vec![coworker("oncall"), coworker("ci")]);
    let workmate = setup.start().await;
    let [alice, bob] = [shared().person("alice").await, shared().person("bob").await];
    let mut office = Office { claude, workmate, alice, bob };
    let room = office.room(RoomKind::Encrypted).await?;
    office.bring(&room, &ci).await?;
    office.workmate.stop().await;

    barred.store(true, Ordering::Relaxed);
    office.workmate.spawn();
    let named = |status, conditions: &Value| {
        let reason = conditions["users"]["reason"].as_str().unwrap_or_default();
        status == 503 && reason.contains(ci.as_str()) && !reason.contains(oncall.as_str())
    };
    until_readiness(&office.workmate, named).await?;
    office.asked_and_answered(&room, "are you well?").await?;
    ask(&office, &room, &ci, "ci", "are you there?").await?;
    office.asked_and_answered(&room, "and now?").await?;

    barred.store(false, Ordering::Relaxed);
    office.workmate.until_ready().await?;
    office.answer(&office.alice, &room, &ci, "are you there?").await?;
    let questions = office.questions();
    for question in ["are you well?", "are you there?", "and now?"] {
        assert_eq!(questions.iter().filter(|asked| asked.ends_with(question)).count(), 1, "{questions:?}");
    }
    Ok(())
}

/// Has the homeserver delete a user's devices, as an administrator or a second instance does.
async fn delete_devices(token: &str, user: &UserId) -> Result<()> {
    let none = json!({});
    let devices = call(token, Some(user), Method::GET, "_matrix/client/v3/devices", &none).await?;
    for device in devices["devices"].as_array().context("a list of devices")? {
        let id = device["device_id"].as_str().context("an id")?;
        call(token, Some(user), Method::DELETE, &format!("_matrix/client/v3/devices/{id}"), &none).await?;
    }
    Ok(())
}

#[tokio::test]
async fn nothing_is_lost_a_device_that_is_gone_is_made_anew_and_the_work_goes_on() -> Result<()> {
    let office = Office::open().await?;
    let [plain, sealed] = [office.room(RoomKind::Plain).await?, office.room(RoomKind::Encrypted).await?];
    let dm = meet(&office, &office.alice).await?;
    let assistant = office.workmate.slot().assistant(office.alice.user_id().localpart());
    let token = office.workmate.slot().as_token();
    for user in [office.oncall(), assistant.clone()] {
        delete_devices(&token, &user).await?;
    }

    office.asked_and_answered(&plain, "after the loss").await?;
    // What was encrypted for the lost device, if anything, is reported; later messages are answered.
    office.asked_and_answered(&sealed, "in secret, after the loss").await?;
    office.alice.send(&dm, "and you?").await?;
    heard(&office.alice, &dm, &assistant, &["You asked: and you?", &words::sessions::renewed()]).await?;
    office.alice.send(&dm, "once more").await?;
    heard(&office.alice, &dm, &assistant, &["You asked: once more"]).await?;
    Ok(())
}

/// Overwrites the middle of a user's stores, as a bad disk does.
fn damage(store: &Path) -> Result<()> {
    for name in ["matrix-sdk-crypto.sqlite3", "matrix-sdk-state.sqlite3"] {
        let path = store.join(name);
        let mut bytes = fs::read(&path).with_context(|| path.display().to_string())?;
        let from = 100.min(bytes.len());
        bytes[from..].fill(0xa5);
        fs::write(&path, bytes)?;
        for log in ["-wal", "-shm"] {
            let _ = fs::remove_file(store.join(format!("{name}{log}")));
        }
    }
    Ok(())
}

#[tokio::test]
async fn nothing_is_lost_a_damaged_store_is_recovered_with_a_copy_kept_and_said_to_an_assistants_owner() -> Result<()> {
    let mut office = Office::open_with(vec![coworker("oncall"), coworker("ci")]).await?;
    let room = office.room(RoomKind::Encrypted).await?;
    office.bring(&room, &office.workmate.slot().coworker("ci")).await?;
    let dm = meet(&office, &office.alice).await?;
    let assistant = office.workmate.slot().assistant(office.alice.user_id().localpart());
    office.workmate.stop().await;
    let users = office.workmate.data_dir().join("users");
    for user in [&office.oncall(), &assistant] {
        damage(&users.join(user.localpart()))?;
    }
    office.workmate.start_again().await;

    office.asked_and_answered(&room, "as before?").await?;
    office.alice.send(&dm, "and you?").await?;
    heard(&office.alice, &dm, &assistant, &[&words::sessions::renewed()]).await?;
    office.alice.send(&dm, "once more").await?;
    heard(&office.alice, &dm, &assistant, &["You asked: once more"]).await?;
    let copies = fs::read_dir(office.workmate.data_dir().join("users-damaged"))?;
    assert_eq!(copies.count(), 2, "a copy of each");
    Ok(())
}

#[tokio::test]
async fn nothing_is_lost_after_a_lost_disk_an_owner_who_writes_is_answered_in_the_same_chat() -> Result<()> {
    let mut office = Office::open().await?;
    let [first, second] = [meet(&office, &office.alice).await?, meet(&office, &office.bob).await?];
    office.alice.send(&first, "before the loss").await?;
    let slot = office.workmate.slot();
    let [hers, his] = [&office.alice, &office.bob].map(|owner| slot.assistant(owner.user_id().localpart()));
    heard(&office.alice, &first, &hers, &["You asked: before the loss"]).await?;

    // The state alone: everything readable stays readable.
    office.workmate.stop().await;
    fs::remove_dir_all(office.workmate.data_dir().join("state"))?;
    office.workmate.start_again().await;
    assert!(office.workmate.logs().contains("state/ is missing beside users/"), "it is warned");
    office.alice.send(&first, "after the loss").await?;
    heard(&office.alice, &first, &hers, &[&words::sessions::adopted()]).await?;
    heard(&office.alice, &first, &hers, &["You asked: after the loss"]).await?;
    let last = office.claude.requests().pop().context("the model was asked")?.body.to_string();
    assert!(!last.contains("before the loss"), "a new session: {last}");

    // Everything is lost.
    office.workmate.stop().await;
    fs::remove_dir_all(office.workmate.data_dir())?;
    office.workmate.start_again().await;
    office.bob.send(&second, "is anybody there?").await?;
    heard(&office.bob, &second, &his, &[&words::sessions::adopted()]).await?;
    office.bob.send(&second, "once more").await?;
    heard(&office.bob, &second, &his, &["You asked: once more"]).await?;
    Ok(())
}

#[tokio::test]
async fn nothing_is_lost_a_full_disk_is_said_and_the_work_goes_on_by_itself_once_there_is_room() -> Result<()> {
    if std::process::Command::new("prlimit").arg("--version").output().is_err() {
        eprintln!("SKIPPED: there is no prlimit to fill the disk with");
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let script = dir.path().join("workmate");
    // Otherwise a signal ends a process that writes too much.
    fs::write(&script, format!("#!/bin/sh\ntrap '' XFSZ\nexec {} \"$@\"\n", env!("CARGO_BIN_EXE_workmate")))?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700))?;
    let people = [shared().person("alice").await, shared().person("bob").await];
    let mut office = Office::open_for(people, |setup| setup.program(script)).await?;
    let room = office.room(RoomKind::Plain).await?;
    let pid = office.workmate.pid().context("it runs")?;
    let limit = |most: String| -> Result<()> {
        let mut limiting = std::process::Command::new("prlimit");
        let limiting = limiting.args(["--pid", &pid.to_string()]).arg(format!("--fsize={most}"));
        anyhow::ensure!(limiting.status()?.success(), "prlimit failed");
        Ok(())
    };
    let size = fs::metadata(office.workmate.data_dir().join("state/db"))?.len();
    limit(format!("{size}:unlimited"))?;
    let slot = office.workmate.slot();
    let http = reqwest::Client::builder().no_proxy().build()?;
    let mut status = 200;
    for number in 0..200 {
        let event = json!({
            "event_id": format!("$fill{number}"), "room_id": "!nowhere:localhost", "sender": "@x:localhost",
            "type": "m.room.message", "origin_server_ts": 1, "content": {"body": "x".repeat(50_000)},
        });
        let url = format!("http://{}/_matrix/app/v1/transactions/fill{number}", slot.listen);
        let put = http.put(url).bearer_auth(slot.hs_token()).json(&json!({ "events": [event] }));
        status = put.send().await?.status().as_u16();
        if status != 200 {
            break;
        }
    }
    assert_eq!(status, 500, "the homeserver is to send it again");
    let full = |status, conditions: &Value| status == 503 && !is_ready(conditions, "store");
    until_readiness(&office.workmate, full).await?;
    let alive = http.get(format!("http://{}/healthz", slot.health_listen)).send().await?;
    assert_eq!(alive.status().as_u16(), 503, "it says that it cannot go on");
    office.ask(&office.alice, &room, "while the disk is full").await?;

    limit("unlimited:unlimited".to_owned())?;
    office.answer(&office.alice, &room, &office.oncall(), "while the disk is full").await?;
    office.workmate.until_ready().await?;
    assert_eq!(office.workmate.pid(), Some(pid), "the same process, started anew by itself");
    office.asked_and_answered(&room, "and now?").await?;
    Ok(())
}

async fn meet(office: &Office, owner: &Person) -> Result<ruma::OwnedRoomId> {
    let assistant = office.workmate.slot().assistant(owner.user_id().localpart());
    owner.create_dm(&assistant).await?;
    let room = owner.until_invited_by(&assistant).await?;
    owner.join(&room).await?;
    owner.until(&room, "the first words", |seen| assistants::said(seen, &assistant, assistants::FIRST_WORDS)).await?;
    Ok(room)
}

/// Waits until a user has said one of these texts, in its last form.
async fn heard(person: &Person, room: &ruma::RoomId, who: &UserId, texts: &[&str]) -> Result<()> {
    let find = |seen: &Timeline| {
        let shown = |event: &&crate::harness::SeenEvent| {
            seen.shown_text(&event.event_id).is_some_and(|text| texts.iter().any(|wanted| text.contains(wanted)))
        };
        seen.messages_of(who).find(shown).map(|_| ())
    };
    person.until(room, &format!("one of {texts:?}"), find).await
}
