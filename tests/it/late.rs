//! Late arrivals: requests from before a long downtime (C5), and messages whose key never comes (C8).

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use matrix_sdk::encryption::LocalTrust;
use ruma::{OwnedUserId, RoomId};
use serde_json::{Value, json};
use tokio::time;
use workmate::core::words::{self, KeyMissing};

use crate::harness::{
    Person, RoomKind, SeenEvent, Setup, Timeline,
    homeserver::shared,
    office::Office,
    slot::{Slot, user_id},
};

/// The age of the late request; the default deadline is half an hour.
const LATE: Duration = Duration::from_mins(45);
/// The shortest configurable deadline, plus the time of the last tries to decrypt.
const DEADLINE_AND_TRIES: Duration = Duration::from_secs(60 + 20);

/// A person of this homeserver who writes through another appservice's bridge, which can set a message's timestamp.
struct Bridged {
    user: OwnedUserId,
    bridge: Arc<Slot>,
}

impl Bridged {
    async fn register(name: &str) -> Result<Self> {
        let bridge = shared().take_slot();
        let localpart = format!("{}{name}", bridge.coworker_prefix());
        let bridged = Self { user: user_id(&localpart), bridge };
        let body = json!({"type": "m.login.application_service", "username": localpart, "inhibit_login": true});
        bridged.call(reqwest::Method::POST, "register", &[], body).await?;
        Ok(bridged)
    }

    async fn call(&self, method: reqwest::Method, path: &str, query: &[(&str, &str)], body: Value) -> Result<Value> {
        let mut url = shared().url().join(&format!("/_matrix/client/v3/{path}"))?;
        url.query_pairs_mut().extend_pairs(query);
        let http = reqwest::Client::builder().no_proxy().build()?;
        let sent = http.request(method, url).bearer_auth(self.bridge.as_token()).json(&body).send().await?;
        let status = sent.status();
        let answer: Value = sent.json().await?;
        anyhow::ensure!(status.is_success(), "{path}: {status} {answer}");
        Ok(answer)
    }

    async fn join(&self, room: &RoomId) -> Result<()> {
        let path = format!("rooms/{room}/join");
        self.call(reqwest::Method::POST, &path, &[("user_id", self.user.as_str())], json!({})).await.map(drop)
    }

    /// Sends a message dated that long ago.
    async fn send(&self, room: &RoomId, ago: Duration, content: Value) -> Result<()> {
        let then = std::time::UNIX_EPOCH.elapsed()?.saturating_sub(ago).as_millis().to_string();
        let path = format!("rooms/{room}/send/m.room.message/late-{then}");
        let query = [("user_id", self.user.as_str()), ("ts", &then)];
        self.call(reqwest::Method::PUT, &path, &query, content).await.map(drop)
    }
}

#[tokio::test]
async fn c5_a_request_from_before_a_long_downtime_is_answered_and_the_answer_says_that_it_is_late() -> Result<()> {
    let mut office = Office::open().await?;
    let room = office.room(RoomKind::Plain).await?;
    let dora = Bridged::register("dora").await?;
    office.alice.invite(&room, &dora.user).await?;
    dora.join(&room).await?;
    let ask = |text: &str| json!({"msgtype": "m.text", "body": text, "m.mentions": {"user_ids": [office.oncall()]}});
    let (late, in_time) = (ask("@oncall what was the matter?"), ask("@oncall and now?"));

    office.workmate.stop().await;
    dora.send(&room, LATE, late).await?;
    dora.send(&room, Duration::ZERO, in_time).await?;
    office.workmate.start_again().await;

    let oncall = office.oncall();
    let answer = async |text: &'static str| {
        let find = |seen: &Timeline| seen.messages_of(&oncall).find(|event| event.body().contains(text)).cloned();
        office.alice.until(&room, text, find).await
    };
    let late = answer("what was the matter?").await?;
    assert!(late.body().starts_with(&words::late_prefix(45)), "{}", late.body());
    assert!(late.mentions(&dora.user));
    let in_time = answer("and now?").await?;
    assert!(in_time.body().starts_with("You asked"), "{}", in_time.body());
    Ok(())
}

/// Has a person's client withhold keys from a coworker's devices, as "block this device" does.
async fn block(person: &Person, coworker: &OwnedUserId) -> Result<()> {
    let devices = person.devices(coworker).await?;
    for device in devices.devices() {
        device.set_local_trust(LocalTrust::BlackListed).await?;
    }
    anyhow::ensure!(devices.devices().count() > 0, "{coworker} has a device");
    Ok(())
}

/// Waits out the shortest possible deadline, while the rest of the room goes on.
#[tokio::test]
async fn c8_what_stays_undecryptable_is_said_once_with_its_cause_and_holds_up_nobody() -> Result<()> {
    let people = [shared().person("alice").await, shared().person("bob").await];
    let office =
        Office::open_for(people, |setup: Setup| setup.section("limits", json!({"deadline_minutes": 1}))).await?;
    let (bob, oncall) = (&office.bob, office.oncall());
    let room = office.room(RoomKind::Encrypted).await?;
    block(bob, &oncall).await?;

    for text in ["can you read this?", "or this?"] {
        office.ask(bob, &room, text).await?;
    }
    office.asked_and_answered(&room, "do you wait for it?").await?;
    let told = time::timeout(DEADLINE_AND_TRIES, until_told(bob, &room, &oncall)).await.context("the deadline")??;
    office.asked_and_answered(&room, "and afterwards?").await?;

    assert_eq!(told.body(), words::undecryptable(KeyMissing::Withheld));
    assert!(told.is_decrypted() && told.mentions(bob.user_id()), "{told:?}");
    let seen = office.alice.timeline(&room);
    let words = seen.messages_of(&oncall).filter(|event| event.body().starts_with("I can't decrypt"));
    assert_eq!(words.count(), 1, "{seen}");
    assert_eq!(office.questions().len(), 2, "{:?}", office.questions());
    Ok(())
}

/// Waits longer than the harness does, because the deadline takes that long.
async fn until_told(person: &Person, room: &RoomId, coworker: &OwnedUserId) -> Result<SeenEvent> {
    let find =
        |seen: &Timeline| seen.messages_of(coworker).find(|event| event.body().starts_with("I can't decrypt")).cloned();
    loop {
        if let Ok(found) = person.until(room, "the word that it cannot be decrypted", find).await {
            return Ok(found);
        }
    }
}
