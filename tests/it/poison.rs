//! What one person can put into a room that no program can parse, and a proxy's error pages: each costs only itself.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use axum::{
    Json,
    extract::Request,
    http::{Method, StatusCode},
    response::{Html, IntoResponse as _, Response},
};
use matrix_sdk::ruma::api::client::room::create_room::v3::{Request as CreateRoom, RoomPreset};
use ruma::{OwnedRoomId, RoomId, events::room::member::MembershipState};
use serde_json::{Value, json};
use tokio::{sync::Notify, time::timeout};
use workmate::core::words;

use crate::harness::{
    Person, RoomKind, Setup, Timeline,
    between::homeserver_behind,
    homeserver::shared,
    office::{Office, echoing},
    readiness::{is_ready, readiness, until_logged, until_readiness},
};

/// State events of a heavy room, more than a room may have together in a sync (4 MiB).
const HEAVY_EVENTS: usize = 80;
const HEAVY_BYTES: usize = 60_000;

/// Returns an id that ruma accepts and no homeserver makes.
fn long_id() -> String {
    format!("${}", "a".repeat(20_000))
}

/// Makes a client call that no SDK would make.
async fn call(person: &Person, method: Method, path: &str, body: &Value) -> Result<StatusCode> {
    let token = person.client().access_token().context("they are logged in")?;
    let url = shared().url().join(&format!("/_matrix/client/v3/{path}"))?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    Ok(http.request(method, url).bearer_auth(token).json(body).send().await?.status())
}

/// Sends the content unchanged, encrypted if the room is. The homeserver may refuse it.
async fn send_raw(person: &Person, room: &RoomId, event_type: &str, content: Value) -> Result<()> {
    let _ = person.room(room)?.send_raw(event_type, content).await;
    Ok(())
}

/// Sends every kind of event that points at another, with an impossible target.
pub(crate) async fn send_poison(office: &Office, person: &Person, room: &RoomId) -> Result<()> {
    let (id, oncall) = (long_id(), office.oncall());
    let text = |relation: Value| {
        json!({
            "msgtype": "m.text", "body": "poisoned", "m.mentions": {"user_ids": [format!("@{id}:hs"), "@x:bad server!"]},
            "m.relates_to": relation,
        })
    };
    send_raw(person, room, "m.room.message", text(json!({"m.in_reply_to": {"event_id": id}}))).await?;
    for odd in ["$a%2F..%2Fb", "$a\u{0}b", "$a b", "$", "$a\u{202e}b", "..", "$a/../b"] {
        send_raw(person, room, "m.room.message", text(json!({"m.in_reply_to": {"event_id": odd}}))).await?;
    }
    let thread = json!({"rel_type": "m.thread", "event_id": id, "m.in_reply_to": {"event_id": id}});
    send_raw(person, room, "m.room.message", text(thread)).await?;
    for odd in ["#//", "%23//?", "//", "/x", "!x//$y", "u//", "%40bob:hs//"] {
        let link = format!("<a href=\"https://matrix.to/#/{odd}\">oncall</a>: see <a href=\"matrix:{odd}\">here</a>");
        let mut linked = text(Value::Null);
        linked["formatted_body"] = link.into();
        linked["format"] = "org.matrix.custom.html".into();
        send_raw(person, room, "m.room.message", linked).await?;
    }
    let mut edit = text(json!({"rel_type": "m.replace", "event_id": id}));
    edit["m.new_content"] = json!({"msgtype": "m.text", "body": "poisoned", "m.mentions": {"user_ids": [oncall]}});
    send_raw(person, room, "m.room.message", edit).await?;
    let reaction = json!({"m.relates_to": {"rel_type": "m.annotation", "event_id": id, "key": "🛑"}});
    send_raw(person, room, "m.reaction", reaction).await?;
    send_raw(person, room, "m.room.redaction", json!({"redacts": id})).await?;
    let _ = person.room(room)?.send_state_event_raw("m.room.pinned_events", "", json!({"pinned": [id, "$a b"]})).await;
    Ok(())
}

#[tokio::test]
async fn c7_a_reference_that_no_event_can_have_costs_itself_and_the_room_goes_on() -> Result<()> {
    let office = Office::open().await?;
    for kind in [RoomKind::Plain, RoomKind::Encrypted] {
        let room = office.room(kind).await?;
        // Both a bystander and the asker send it.
        send_poison(&office, &office.bob, &room).await?;
        send_poison(&office, &office.alice, &room).await?;
        // With a mention, the message itself is a request, and is answered.
        let relation = json!({"m.in_reply_to": {"event_id": long_id()}});
        let mentions = json!({"user_ids": [office.oncall(), "@bob", 5]});
        let request = json!({
            "msgtype": "m.text", "body": "oncall: a poisoned request", "m.relates_to": relation,
            "m.mentions": {"user_ids": mentions["user_ids"].as_array().map(|all| vec![all[0].clone()])},
        });
        send_raw(&office.alice, &room, "m.room.message", request).await?;
        office.answer(&office.alice, &room, &office.oncall(), "a poisoned request").await?;
        office.asked_and_answered(&room, "still there?").await?;
        office.ask(&office.bob, &room, "and for bob?").await?;
        office.answer(&office.bob, &room, &office.oncall(), "and for bob?").await?;
    }
    let logs = office.workmate.logs();
    assert!(!logs.contains("it is given up"), "nothing had to be given up");
    assert!(!logs.contains("it panicked"), "no library was handed what it cannot take");
    assert!(!logs.contains("a call was not sent"), "nothing reached the second net");
    Ok(())
}

/// Makes a room without a name, which is then named after its members.
async fn unnamed_room(office: &Office) -> Result<OwnedRoomId> {
    let mut request = CreateRoom::new();
    request.preset = Some(RoomPreset::PrivateChat);
    request.invite = vec![office.bob.user_id().to_owned()];
    let room = office.alice.client().create_room(request).await?.room_id().to_owned();
    office.join_on_invite(&office.bob, &room).await?;
    office.bring(&room, &office.oncall()).await?;
    Ok(room)
}

#[tokio::test]
async fn c4_a_name_that_is_none_costs_nothing_and_a_room_without_people_is_left() -> Result<()> {
    let mut office = Office::open().await?;
    let (elsewhere, sealed) = (office.room(RoomKind::Plain).await?, office.room(RoomKind::Encrypted).await?);
    // A user's own membership event can contain anything.
    for room in [&elsewhere, &sealed] {
        let path = format!("rooms/{room}/state/m.room.member/{}", office.bob.user_id());
        let odd = json!({"membership": "join", "displayname": "Bob", "is_direct": "yes", "third_party_invite": 5});
        assert!(call(&office.bob, Method::PUT, &path, &odd).await?.is_success(), "the homeserver takes it");
    }
    let trap = unnamed_room(&office).await?;
    for name in ["@x:bad server name!", "@x\u{0}y:hs", "@:", "no name at all"] {
        call(&office.alice, Method::POST, &format!("rooms/{trap}/ban"), &json!({"user_id": name})).await?;
    }
    call(&office.bob, Method::POST, &format!("rooms/{trap}/leave"), &json!({})).await?;
    call(&office.alice, Method::POST, &format!("rooms/{trap}/leave"), &json!({})).await?;

    until_logged(&office.workmate, "left a room without people", 1).await;
    office.asked_and_answered(&elsewhere, "before a restart").await?;
    office.asked_and_answered(&sealed, "sealed, before a restart").await?;
    office.workmate.stop().await;
    office.workmate.start_again().await;
    office.asked_and_answered(&elsewhere, "after a restart").await?;
    office.asked_and_answered(&sealed, "sealed, after a restart").await?;
    // We do not mend what the people's own clients receive.
    let [carol, dave] = [shared().person("carol").await, shared().person("dave").await];
    let new = carol.create_room(RoomKind::Encrypted, "new", &[dave.user_id()]).await?;
    office.join_on_invite(&dave, &new).await?;
    carol.invite(&new, &office.oncall()).await?;
    carol.until_membership(&new, &office.oncall(), &MembershipState::Join).await?;
    office.ask(&carol, &new, "in a new room").await?;
    office.answer(&carol, &new, &office.oncall(), "in a new room").await?;
    Ok(())
}

#[tokio::test]
async fn c4_a_room_that_was_deserted_while_workmate_was_down_is_left_at_the_start() -> Result<()> {
    let mut office = Office::open().await?;
    let elsewhere = office.room(RoomKind::Plain).await?;
    let trap = unnamed_room(&office).await?;
    office.workmate.stop().await;
    call(&office.alice, Method::POST, &format!("rooms/{trap}/ban"), &json!({"user_id": "@x:bad server name!"})).await?;
    for person in [&office.bob, &office.alice] {
        call(person, Method::POST, &format!("rooms/{trap}/leave"), &json!({})).await?;
    }

    office.workmate.start_again().await;

    until_logged(&office.workmate, "left a room without people", 1).await;
    office.asked_and_answered(&elsewhere, "all well?").await?;
    Ok(())
}

/// The mode in which only messages do not get through.
const SENDS: u8 = 6;

/// The response of a proxy in the homeserver's place.
fn answers(mode: u8) -> Option<Response> {
    let page = |status| (status, Html("<html><body>Please come back later</body></html>")).into_response();
    let token = json!({"errcode": "M_UNKNOWN_TOKEN", "error": "Unrecognised access token."});
    match mode {
        1 => Some(page(StatusCode::FORBIDDEN)),
        2 => Some(page(StatusCode::NOT_FOUND)),
        3 => Some((StatusCode::UNAUTHORIZED, Json(token)).into_response()),
        4 => Some(page(StatusCode::OK)),
        5 => Some(StatusCode::NOT_FOUND.into_response()),
        SENDS => Some(page(StatusCode::BAD_GATEWAY)),
        _ => None,
    }
}

#[tokio::test]
async fn point_3_a_page_or_a_401_between_us_and_the_homeserver_loses_nothing() -> Result<()> {
    let (mode, refused) = (Arc::new(AtomicU8::new(0)), Arc::new(Notify::new()));
    let between = (mode.clone(), refused.clone());
    let url = homeserver_behind(move |request: &Request| {
        let mode = between.0.load(Ordering::SeqCst);
        let is_met = mode != SENDS || request.uri().path().contains("/send/m.room.message/");
        if is_met && mode == SENDS {
            between.1.notify_one();
        }
        is_met.then(|| answers(mode)).flatten()
    })
    .await?;
    let claude = echoing().await?;
    let workmate = Setup::new(&shared().take_slot(), &url, &claude.base_url()).start().await;
    let [alice, bob] = [shared().person("alice").await, shared().person("bob").await];
    let office = Office { claude, workmate, alice, bob };
    let (plain, sealed) = (office.room(RoomKind::Plain).await?, office.room(RoomKind::Encrypted).await?);

    for (number, name) in [(1, "403 page"), (2, "404 page"), (3, "401"), (4, "200 page"), (5, "empty 404")] {
        mode.store(number, Ordering::SeqCst);
        office.ask(&office.alice, &plain, &format!("plain, {name}")).await?;
        office.ask(&office.alice, &sealed, &format!("sealed, {name}")).await?;
        until_readiness(&office.workmate, |_, conditions| !is_ready(conditions, "homeserver")).await?;
        mode.store(0, Ordering::SeqCst);
        office.answer(&office.alice, &plain, &office.oncall(), &format!("plain, {name}")).await?;
        office.answer(&office.alice, &sealed, &office.oncall(), &format!("sealed, {name}")).await?;
        until_readiness(&office.workmate, |_, conditions| is_ready(conditions, "homeserver")).await?;
    }
    // C4: the word that a coworker pauses meets the page.
    mode.store(SENDS, Ordering::SeqCst);
    office.bob.room(&plain)?.leave().await?;
    timeout(Duration::from_mins(1), refused.notified()).await.context("it is not said at all")?;
    mode.store(0, Ordering::SeqCst);
    let lonely =
        |seen: &Timeline| seen.messages_of(&office.oncall()).find(|event| event.body() == words::lonely()).map(drop);
    office.alice.until(&plain, "the word that it pauses", lonely).await
}

/// Makes a room of Alice and Bob with many large state events of one type.
async fn heavy_room(office: &Office, event_type: &str) -> Result<OwnedRoomId> {
    let state: Vec<_> = (0..HEAVY_EVENTS)
        .map(|number| {
            let via = "x".repeat(HEAVY_BYTES);
            json!({ "type": event_type, "state_key": format!("!{number}:hs"), "content": { "via": [via] } })
        })
        .collect();
    let content = json!({ "preset": "private_chat", "initial_state": state, "invite": [office.bob.user_id()] });
    ensure!(call(&office.alice, Method::POST, "createRoom", &content).await?.is_success(), "the room is made");
    let room = office.bob.until_invited_by(office.alice.user_id()).await?;
    office.bob.join(&room).await?;
    Ok(room)
}

#[tokio::test]
async fn c4_a_room_that_is_too_large_to_be_read_costs_itself() -> Result<()> {
    let office = Office::open().await?;
    let (old, oncall) = (office.room(RoomKind::Encrypted).await?, office.oncall());
    // State that we do not read may have any size.
    let odd = heavy_room(&office, "org.example.odd").await?;
    office.bring(&odd, &oncall).await?;
    office.ask(&office.bob, &odd, "is it heavy here?").await?;
    office.answer(&office.bob, &odd, &oncall, "is it heavy here?").await?;

    let heavy = heavy_room(&office, "m.space.parent").await?;
    office.bob.invite(&heavy, &oncall).await?;

    office.bob.until_membership(&heavy, &oncall, &MembershipState::Leave).await?;
    let new = office.room(RoomKind::Encrypted).await?;
    for room in [&old, &new] {
        office.asked_and_answered(room, "still there?").await?;
    }
    assert_eq!(readiness(&office.workmate).await?.0, 200, "nothing of it remains");
    Ok(())
}
