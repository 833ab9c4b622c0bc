//! What a program may not read (A8, A13), by the homeserver's own word; and whose connections end by themselves.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use reqwest::{Method, StatusCode};
use ruma::RoomId;
use serde_json::{Value, json};

use super::{NOT_THERE, Scene, records};
use crate::{
    assistants::call_as,
    harness::{RoomKind, homeserver::shared},
    opening::oracle::play,
    provisioning::deactivate,
};

/// Returns the texts that a tool gives, page by page.
async fn all(scene: &Scene, token: &str, tool: &str, mut arguments: Value) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for _ in 0..20 {
        let (is_error, page) = scene.tool(token, tool, arguments.clone()).await?;
        anyhow::ensure!(!is_error, "{page}");
        found.extend(records(&page).iter().filter_map(|record| record["text"].as_str().map(str::to_owned)));
        let head: Value = serde_json::from_str(page.lines().next().context("a head")?)?;
        if !head["next"].is_string() {
            break;
        }
        arguments["cursor"] = head["next"].clone();
    }
    found.sort();
    Ok(found)
}

/// Returns which messages of a room the homeserver gives its owner: their texts by id.
async fn given_by_homeserver(scene: &Scene, room: &RoomId) -> Result<BTreeMap<String, (String, bool)>> {
    let path = format!("_matrix/client/v3/rooms/{room}/messages?dir=b&limit=500");
    let page = call_as(&scene.bob, Method::GET, &path, &json!({})).await?;
    let mut given = BTreeMap::new();
    let said = |event: &&Value| {
        event["type"] == "m.room.message"
            && event["content"]["body"].as_str().is_some_and(|body| body.starts_with("word"))
    };
    for event in page["chunk"].as_array().into_iter().flatten().filter(said) {
        let id = event["event_id"].as_str().context("an id")?.to_owned();
        let path = format!("_matrix/client/v3/rooms/{room}/event/{id}");
        let is_given = call_as(&scene.alice, Method::GET, &path, &json!({})).await.is_ok();
        given.insert(id, (event["content"]["body"].as_str().context("text")?.to_owned(), is_given));
    }
    Ok(given)
}

#[tokio::test]
async fn a13_no_tool_gives_what_the_homeserver_would_refuse_to_the_owner() -> Result<()> {
    let scene = Scene::set().await?;
    let dave = shared().person("dave").await;
    let room = scene.office.team(RoomKind::Plain, &[&scene.bob, &dave]).await?;
    play(&scene.bob, &scene.alice, &room).await?;
    let (_, token) = scene.connect("laptop").await?;

    let theirs = given_by_homeserver(&scene, &room).await?;

    let mut allowed = Vec::new();
    for (event, (text, is_given)) in &theirs {
        let (is_error, told) = scene.tool(&token, "message", json!({ "room": room, "event": event })).await?;
        assert_eq!(!is_error, *is_given, "{text}: {told}");
        assert!(!is_error || told.starts_with(NOT_THERE), "{told}");
        allowed.extend((!is_error).then(|| text.clone()));
    }
    assert!(allowed.len() >= 10 && theirs.len() >= allowed.len() + 10, "{} of {}", allowed.len(), theirs.len());
    allowed.sort();
    let words = |mut given: Vec<String>| {
        given.retain(|text| text.starts_with("word"));
        given
    };
    assert_eq!(words(all(&scene, &token, "room_read", json!({ "room": room })).await?), allowed);
    assert_eq!(words(all(&scene, &token, "room_search", json!({ "room": room, "text": "word" })).await?), allowed);

    // In an encrypted room only what was sent while the owner was there, whatever its visibility says.
    let sealed = scene.office.team(RoomKind::Encrypted, &[&scene.bob, &dave]).await?;
    let before = scene.bob.send(&sealed, "word before").await?;
    scene.bob.invite(&sealed, scene.alice.user_id()).await?;
    scene.alice.until_invited_by(scene.bob.user_id()).await?;
    scene.alice.join(&sealed).await?;
    scene
        .bob
        .until_membership(&sealed, scene.alice.user_id(), &ruma::events::room::member::MembershipState::Join)
        .await?;
    scene.bob.send(&sealed, "word after").await?;
    assert_eq!(words(all(&scene, &token, "room_read", json!({ "room": sealed })).await?), ["word after"]);
    assert_eq!(
        words(all(&scene, &token, "room_search", json!({ "room": sealed, "text": "word" })).await?),
        ["word after"]
    );
    for tool in ["message", "thread_read"] {
        let (is_error, told) = scene.tool(&token, tool, json!({ "room": sealed, "event": before })).await?;
        assert!(is_error && told.starts_with(NOT_THERE), "{told}");
    }
    Ok(())
}

#[tokio::test]
async fn a13_the_connections_of_a_deactivated_account_end_at_once() -> Result<()> {
    let scene = Scene::set().await?;
    let (_, token) = scene.connect("laptop").await?;
    assert_eq!(scene.status(&token).await?, StatusCode::OK);

    deactivate(&scene.alice).await?;

    let ended = async {
        while scene.status(&token).await? != StatusCode::UNAUTHORIZED {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(std::time::Duration::from_mins(1), ended).await.context("it ends")?
}
