//! How coworkers appear to everybody else: name, avatar, automation flag, one signed device; the same after every
//! start.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use anyhow::{Context as _, Result};
use axum::{
    Json,
    http::{Method, StatusCode},
    response::IntoResponse as _,
};
use ruma::UserId;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::harness::{
    Person, Setup,
    between::homeserver_behind,
    homeserver::shared,
    office::{Office, echoing},
    readiness::until_logged,
    workmate::coworker,
};

/// The profile field that marks a user as automated (MSC4133).
const AUTOMATED: &str = "io.workmate.automated";

/// What others see of a user.
#[derive(Debug, PartialEq)]
struct Seen {
    profile: Value,
    picture: Vec<u8>,
    devices: Vec<String>,
    unsigned: usize,
    master_key: Option<String>,
}

async fn get(person: &Person, path: &str) -> Result<reqwest::Response> {
    let token = person.client().access_token().context("a logged-in client has a token")?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    Ok(http.get(shared().url().join(path)?).bearer_auth(token).send().await?.error_for_status()?)
}

async fn see(person: &Person, user: &UserId) -> Result<Seen> {
    let profile: Value = get(person, &format!("_matrix/client/v3/profile/{user}")).await?.json().await?;
    let avatar = profile["avatar_url"].as_str().context("it has an avatar")?;
    let media = avatar.strip_prefix("mxc://").context("an avatar is an mxc URI")?;
    let picture = get(person, &format!("_matrix/client/v1/media/download/{media}")).await?.bytes().await?;
    let devices = person.devices(user).await?;
    let mut ids: Vec<_> = devices.devices().map(|device| device.device_id().to_string()).collect();
    ids.sort();
    let identity = person.client().encryption().get_user_identity(user).await?;
    Ok(Seen {
        profile,
        picture: Sha256::digest(&picture).to_vec(),
        devices: ids,
        unsigned: devices.devices().filter(|device| !device.is_cross_signed_by_owner()).count(),
        master_key: identity.and_then(|identity| identity.master_key().get_first_key().map(|key| key.to_base64())),
    })
}

#[tokio::test]
async fn c1_every_coworker_has_a_name_a_face_of_its_own_a_flag_and_one_signed_device() -> Result<()> {
    let office = Office::open_with(["oncall", "ci", "sales"].map(coworker).to_vec()).await?;
    let slot = office.workmate.slot();
    let expected = [
        (slot.coworker("oncall"), "oncall · coworker", "coworker"),
        (slot.coworker("ci"), "ci · coworker", "coworker"),
        (slot.coworker("sales"), "sales · coworker", "coworker"),
        (slot.service(), "Workmate", "service"),
    ];
    let mut pictures = Vec::new();
    for (user, name, kind) in expected {
        let seen = see(&office.alice, &user).await?;
        assert_eq!(seen.profile["displayname"], name);
        assert_eq!(seen.profile[AUTOMATED], json!({"kind": kind, "software": "workmate"}));
        assert_eq!((seen.devices.len(), seen.unsigned), (1, 0), "{user}: {seen:?}");
        assert!(seen.master_key.is_some(), "{user}: {seen:?}");
        assert!(!pictures.contains(&seen.picture), "{user} has another's face");
        pictures.push(seen.picture);
    }
    Ok(())
}

#[tokio::test]
async fn c1_a_restart_changes_nothing_about_who_they_are() -> Result<()> {
    let mut office = Office::open_with(["oncall", "ci"].map(coworker).to_vec()).await?;
    let slot = office.workmate.slot();
    let users = [slot.coworker("oncall"), slot.coworker("ci"), slot.service()];
    let mut before = Vec::new();
    for user in &users {
        before.push(see(&office.alice, user).await?);
    }

    office.workmate.stop().await;
    office.workmate.start_again().await;
    office.workmate.kill();
    office.workmate.start_again().await;

    // A fresh client remembers nothing from before.
    let carol = shared().person("carol").await;
    for (user, before) in users.iter().zip(before) {
        // An avatar that was uploaded again would have another URL.
        assert_eq!(see(&carol, user).await?, before);
    }
    Ok(())
}

#[tokio::test]
async fn c1_a_changed_name_is_taken_over_at_the_next_start() -> Result<()> {
    let mut office = Office::open().await?;
    let before = see(&office.alice, &office.oncall()).await?;
    let file = office.workmate.config().with_file_name("coworkers").join("oncall.yaml");
    office.workmate.stop().await;
    let mut renamed = coworker("oncall");
    renamed["name"] = json!("Night watch");
    std::fs::write(file, renamed.to_string())?;
    office.workmate.start_again().await;

    let after = see(&office.alice, &office.oncall()).await?;
    assert_eq!(after.profile["displayname"], "Night watch · coworker");
    assert_eq!(
        (after.devices, after.profile["avatar_url"].clone()),
        (before.devices, before.profile["avatar_url"].clone())
    );
    Ok(())
}

#[tokio::test]
async fn c1_more_coworkers_than_are_set_up_at_once_are_all_ready_after_one_start() -> Result<()> {
    let ids: Vec<String> = (0..5).map(|number| format!("c{number}")).collect();
    let coworkers = ids.iter().map(|id| coworker(id)).collect();
    let people = [shared().person("alice").await, shared().person("bob").await];
    let two_at_once = json!({"provisioning_max": 2});
    let office = Office::open_for(people, |setup| setup.coworkers(coworkers).section("limits", two_at_once)).await?;
    for id in &ids {
        let user = office.workmate.slot().coworker(id);
        let seen = see(&office.alice, &user).await?;
        assert_eq!((seen.devices.len(), seen.unsigned), (1, 0), "{user}: {seen:?}");
    }
    Ok(())
}

/// Starts a proxy before the shared homeserver that fails, when told to, on every read of the secret storage.
async fn flaky(fails: Arc<AtomicBool>) -> Result<Url> {
    homeserver_behind(move |request| {
        let is_secret = request.method() == Method::GET && request.uri().path().contains("/account_data/m.");
        let error = || Json(json!({ "errcode": "M_UNKNOWN", "error": "Internal server error" }));
        let failing = fails.load(Ordering::SeqCst) && is_secret;
        failing.then(|| (StatusCode::INTERNAL_SERVER_ERROR, error()).into_response())
    })
    .await
}

#[tokio::test]
async fn a11_an_identity_is_not_given_up_because_the_homeserver_fails_while_it_is_recovered() -> Result<()> {
    let fails = Arc::new(AtomicBool::new(false));
    let (claude, slot) = (echoing().await?, shared().take_slot());
    let workmate = Setup::new(&slot, &flaky(fails.clone()).await?, &claude.base_url()).start().await;
    let [alice, bob] = [shared().person("alice").await, shared().person("bob").await];
    let mut office = Office { claude, workmate, alice, bob };
    let before = see(&office.alice, &office.oncall()).await?;

    office.workmate.stop().await;
    let store = office.workmate.data_dir().join("users").join(office.oncall().localpart());
    std::fs::remove_dir_all(&store).with_context(|| store.display().to_string())?;
    fails.store(true, Ordering::SeqCst);
    office.workmate.spawn();
    let failed = format!("one of our users cannot be provisioned; it is tried again user.id={}", office.oncall());
    until_logged(&office.workmate, &failed, 1).await;
    fails.store(false, Ordering::SeqCst);
    office.workmate.until_ready().await?;

    let after = see(&office.alice, &office.oncall()).await?;
    assert_eq!((&after.master_key, after.devices.len(), after.unsigned), (&before.master_key, 1, 0), "{after:?}");
    assert_ne!(after.devices, before.devices);
    Ok(())
}
