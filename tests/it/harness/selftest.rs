//! Tests the harness itself, without Workmate.

use anyhow::Result;
use serde_json::{Value, json};

use super::{
    Message, Person, RoomKind, UnsignedDevices,
    homeserver::{Private, shared},
};

#[tokio::test]
async fn two_people_read_each_other_in_an_encrypted_room() -> Result<()> {
    let [alice, bob] = [shared().person("alice").await, shared().person("bob").await];
    let room = alice.create_room(RoomKind::Encrypted, "team", &[bob.user_id()]).await?;
    assert_eq!(bob.until_invited_by(alice.user_id()).await?, room);
    bob.join(&room).await?;

    let question = alice.send(&room, Message::text("lunch?").pill("lunch", bob.user_id())).await?;
    let read = bob.until(&room, "the question", |seen| seen.event(&question).cloned()).await?;
    let answer = bob.send(&room, Message::text("at one").mentioning(alice.user_id()).in_thread(&question)).await?;
    let answered = alice
        .until(&room, "the answer", |seen| seen.answer(&question, bob.user_id(), alice.user_id()).cloned())
        .await?;

    assert!(read.is_decrypted() && read.mentions(bob.user_id()), "{read:?}");
    assert!(answered.is_decrypted(), "{answered:?}");
    assert_eq!(
        (answered.event_id.clone(), answered.body(), answered.thread_root()),
        (answer, "at one", Some(question.as_str()))
    );
    let (lax, _) = answered.shields().expect("it was decrypted");
    assert_eq!(lax, matrix_sdk::deserialized_responses::ShieldState::None);
    Ok(())
}

#[tokio::test]
async fn edits_redactions_and_reactions_are_seen() -> Result<()> {
    let [alice, bob] = [shared().person("alice").await, shared().person("bob").await];
    let room = alice.create_room(RoomKind::Plain, "team", &[bob.user_id()]).await?;
    bob.until_invited_by(alice.user_id()).await?;
    bob.join(&room).await?;

    let first = alice.send(&room, "frist").await?;
    alice.send(&room, Message::text("first").replacing(&first)).await?;
    let second = alice.send(&room, "second").await?;
    alice.redact(&room, &second).await?;
    alice.react(&room, &first, "👍").await?;

    let seen = bob
        .until(&room, "edit, redaction, reaction", |seen| {
            let done = seen.is_redacted(&second) && seen.reactions(&first).count() == 1;
            done.then(|| seen.clone())
        })
        .await?;
    assert_eq!(seen.shown_text(&first), Some("first"));
    assert_eq!(seen.reactions(&first).collect::<Vec<_>>(), [(alice.user_id(), "👍")]);
    Ok(())
}

#[tokio::test]
async fn a_strict_client_and_a_cross_signed_one_read_each_other() -> Result<()> {
    let mut strict = shared().account("carol").await;
    strict.unsigned_devices = UnsignedDevices::Excluded;
    let [carol, bob] = [Person::start(strict).await?, shared().person("bob").await];
    let room = carol.create_room(RoomKind::Encrypted, "strict", &[bob.user_id()]).await?;
    bob.until_invited_by(carol.user_id()).await?;
    bob.join(&room).await?;

    let from_carol = carol.send(&room, "to a signed device").await?;
    let from_bob = bob.send(&room, "from a signed device").await?;

    let read = |seen: &super::Timeline, id| seen.event(id).is_some_and(super::SeenEvent::is_decrypted).then_some(());
    bob.until(&room, "carol's message, decrypted", |seen| read(seen, &from_carol)).await?;
    carol.until(&room, "bob's message, decrypted", |seen| read(seen, &from_bob)).await?;
    assert!(carol.devices(bob.user_id()).await?.devices().all(|device| device.is_cross_signed_by_owner()));
    Ok(())
}

#[tokio::test]
async fn a_slots_token_acts_as_its_virtual_users_and_nobody_elses() -> Result<()> {
    let [slot, other] = [shared().take_slot(), shared().take_slot()];
    let http = reqwest::Client::builder().no_proxy().build()?;
    let user = slot.coworker("oncall");
    let register = json!({"type": "m.login.application_service", "username": user.localpart(), "inhibit_login": true});
    let url = shared().url().join("_matrix/client/v3/register")?;
    let whoami = shared().url().join("_matrix/client/v3/account/whoami")?;

    let refused = http.post(url.clone()).bearer_auth(other.as_token()).json(&register).send().await?;
    let made = http.post(url).bearer_auth(slot.as_token()).json(&register).send().await?;
    let me = http.get(whoami).query(&[("user_id", &user)]).bearer_auth(slot.as_token()).send().await?;

    assert_eq!((refused.status().as_u16(), made.status().as_u16()), (400, 200));
    assert_eq!(me.json::<Value>().await?["user_id"], user.as_str());
    Ok(())
}

#[tokio::test]
async fn a_private_homeserver_keeps_its_rooms_over_a_restart() -> Result<()> {
    let mut private = Private::start().await;
    let [alice, bob] = [private.person("alice").await, private.person("bob").await];
    let room = alice.create_room(RoomKind::Encrypted, "team", &[bob.user_id()]).await?;
    bob.until_invited_by(alice.user_id()).await?;
    bob.join(&room).await?;

    private.homeserver.restart(&super::progress).await?;
    let sent = alice.send(&room, "still here").await?;

    let read = bob.until(&room, "the message after the restart", |seen| seen.event(&sent).cloned()).await?;
    assert_eq!(read.body(), "still here");
    Ok(())
}

#[test]
fn the_configuration_of_a_test_is_accepted() {
    let slot = shared().take_slot();
    let claude = url::Url::parse("http://127.0.0.1:9").expect("a URL");
    let written = super::Setup::new(&slot, shared().url(), &claude).write();
    let config = workmate::config::Config::load(&written.config()).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(config.namespace().user_id(&(slot.coworker_prefix() + "oncall")), slot.coworker("oncall"));
}
