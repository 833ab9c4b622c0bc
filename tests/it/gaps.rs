//! Events that the homeserver did not deliver are found: at any time, at a start, and once it is back.

use anyhow::{Context as _, Result};
use ruma::{OwnedRoomId, events::room::member::MembershipState};
use serde_json::json;
use tokio::time;

use crate::{
    assistants::{FIRST_WORDS, said},
    harness::{
        Person, RoomKind, Setup,
        faults::{Fault, Faults},
        homeserver::shared,
        office::{Office, echoing},
        readiness::until_logged,
        relay::{Relay, Rule},
    },
};

/// Opens an office whose transactions pass through a relay.
async fn behind_a_relay(rule: Rule) -> Result<(Office, Relay)> {
    let [alice, bob] = [shared().person("alice").await, shared().person("bob").await];
    let claude = echoing().await?;
    let mut workmate = Setup::new(&shared().take_slot(), shared().url(), &claude.base_url()).write();
    let relay = Relay::before(&workmate, rule).await?;
    workmate.start_again().await;
    Ok((Office { claude, workmate, alice, bob }, relay))
}

/// Has Alice ask a question whose transaction is lost, and then one that is answered.
async fn lose_one(office: &Office, relay: &Relay, room: &OwnedRoomId, lost: &str) -> Result<()> {
    lose_the_last(office, relay, room, lost).await?;
    office.asked_and_answered(room, "and what came since?").await?;
    Ok(())
}

/// Has Alice ask a question whose transaction is lost.
async fn lose_the_last(office: &Office, relay: &Relay, room: &OwnedRoomId, lost: &str) -> Result<()> {
    let before = relay.messages_away();
    relay.follow(Rule::ThrowAway);
    office.ask(&office.alice, room, lost).await?;
    let thrown_away = async {
        while relay.messages_away() == before {
            time::sleep(time::Duration::from_millis(20)).await;
        }
    };
    time::timeout(time::Duration::from_mins(1), thrown_away).await.context("nothing was sent")?;
    relay.follow(Rule::PassOn);
    Ok(())
}

#[tokio::test]
async fn nothing_is_lost_what_was_thrown_away_is_found_whatever_came_since() -> Result<()> {
    let (mut office, relay) = behind_a_relay(Rule::PassOn).await?;
    let [plain, sealed] = [office.room(RoomKind::Plain).await?, office.room(RoomKind::Encrypted).await?];

    // Without any sign: what a sync brings is compared with the inbox.
    lose_one(&office, &relay, &sealed, "lost in secret").await?;
    office.answer(&office.alice, &sealed, &office.oncall(), "lost in secret").await?;

    // Transaction numbers that start over mean that the homeserver restarted.
    lose_one(&office, &relay, &plain, "lost by a restart").await?;
    assert_eq!(relay.send(1, &json!([])).await?, 200);
    office.answer(&office.alice, &plain, &office.oncall(), "lost by a restart").await?;

    // At our own start. Events since the loss were handled and moved every position but the mark.
    lose_one(&office, &relay, &plain, "lost before a kill").await?;
    office.workmate.kill();
    office.workmate.start_again().await;
    office.answer(&office.alice, &plain, &office.oncall(), "lost before a kill").await?;

    office.asked_and_answered(&plain, "once each?").await?;
    let questions = office.questions();
    for lost in ["lost in secret", "lost by a restart", "lost before a kill"] {
        let asked = questions.iter().filter(|question| question.ends_with(lost));
        assert_eq!(asked.count(), 1, "{lost}: {questions:?}");
    }
    let logs = office.workmate.logs();
    assert!(!logs.contains("new registration"), "a restart of the homeserver is no reason to register anew");
    Ok(())
}

/// Synapse forgets to send what it stores between finding nothing more to send and noting that we are back.
#[tokio::test]
async fn nothing_is_lost_what_slips_through_just_after_a_return_is_found_though_nothing_comes_after_it() -> Result<()> {
    let (office, relay) = behind_a_relay(Rule::PassOn).await?;
    let room = office.room(RoomKind::Encrypted).await?;
    office.asked_and_answered(&room, "are you there?").await?;
    assert_eq!(relay.send(1, &json!([])).await?, 200);
    until_logged(&office.workmate, "the homeserver may have been away", 1).await;
    let other = office.room_of_people(RoomKind::Plain).await?;
    relay.follow(Rule::ThrowAway);
    office.alice.invite(&other, &office.oncall()).await?;
    lose_the_last(&office, &relay, &room, "and now?").await?;
    office.answer(&office.alice, &room, &office.oncall(), "and now?").await?;
    assert_eq!(office.questions().iter().filter(|question| question.ends_with("and now?")).count(), 1);
    // An invite that no transaction brought is taken too.
    office.alice.until_membership(&other, &office.oncall(), &MembershipState::Join).await?;
    Ok(())
}

/// Rooms whose timeline the homeserver cannot give.
const BAD_ROOMS: usize = 8;

#[tokio::test]
async fn security_2_rooms_that_cannot_be_read_back_hide_no_gap_and_no_invite_of_others() -> Result<()> {
    let [alice, bob] = [shared().person("alice").await, shared().person("bob").await];
    let (claude, faults) = (echoing().await?, Faults::before(shared().url().clone()).await?);
    let mut workmate = Setup::new(&shared().take_slot(), faults.url(), &claude.base_url()).write();
    let relay = Relay::before(&workmate, Rule::PassOn).await?;
    workmate.start_again().await;
    let mut office = Office { claude, workmate, alice, bob };
    let good = office.room(RoomKind::Encrypted).await?;
    let mut bad = Vec::new();
    for _ in 0..BAD_ROOMS {
        bad.push(office.room(RoomKind::Plain).await?);
    }
    let (unjoinable, invited) =
        (office.room_of_people(RoomKind::Plain).await?, office.room_of_people(RoomKind::Plain).await?);

    let names: Vec<String> = bad.iter().map(name_of).collect();
    let cannot_be_joined = name_of(&unjoinable);
    faults.decide(move |call| {
        let is_read = call.path.ends_with("/messages") && names.iter().any(|name| call.path.contains(name));
        let is_joined = call.path.contains("/join") && call.path.contains(&cannot_be_joined);
        if is_read || is_joined { Fault::Json(500, "M_UNKNOWN") } else { Fault::None }
    });
    // A start reads every room back, and finds the invites that came meanwhile.
    office.workmate.kill();
    for room in [&unjoinable, &invited] {
        office.alice.invite(room, &office.oncall()).await?;
    }
    relay.follow(Rule::ThrowAway);
    office.workmate.start_again().await;
    office.alice.until_membership(&invited, &office.oncall(), &MembershipState::Join).await?;
    relay.follow(Rule::PassOn);
    for number in 0..3 {
        let lost = format!("lost beside bad rooms, {number}");
        lose_one(&office, &relay, &good, &lost).await?;
        office.answer(&office.alice, &good, &office.oncall(), &lost).await?;
    }

    // Nothing of them is lost either: once it can be read, it is.
    faults.heal();
    office.alice.until_membership(&unjoinable, &office.oncall(), &MembershipState::Join).await?;
    office.asked_and_answered(&bad[0], "and here?").await?;
    Ok(())
}

/// Returns what of a room's id no escaping changes.
fn name_of(room: &OwnedRoomId) -> String {
    room.as_str().trim_start_matches('!').split(':').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn homeservers_1_a_homeserver_that_keeps_what_failed_until_the_next_event_is_woken_at_a_start() -> Result<()> {
    let (mut office, relay) = behind_a_relay(Rule::UntilTheNextEvent).await?;
    let assistant = office.workmate.slot().assistant(office.alice.user_id().localpart());
    let dm = meet(&office.alice, &assistant).await?;

    office.workmate.kill();
    let others = office.workmate.slot().assistant(office.bob.user_id().localpart());
    office.alice.send(&dm, "while you were away").await?;
    // An account that the homeserver made by itself, without asking us whether it may exist.
    register(&office, &others).await?;
    office.bob.create_dm(&others).await?;
    let kept = async {
        while relay.away(|event| event["state_key"] == others.as_str()) == 0 || relay.messages_away() == 0 {
            time::sleep(time::Duration::from_millis(20)).await;
        }
    };
    time::timeout(time::Duration::from_mins(1), kept).await.context("nothing was kept")?;
    office.workmate.start_again().await;

    let answered = |seen: &crate::harness::Timeline| {
        let shown = |event: &&crate::harness::SeenEvent| {
            seen.shown_text(&event.event_id).is_some_and(|text| text.contains("while you were away"))
        };
        seen.messages_of(&assistant).find(shown).map(|_| ())
    };
    office.alice.until(&dm, "the answer to what was kept", answered).await?;
    let theirs = office.bob.until_invited_by(&others).await?;
    office.bob.join(&theirs).await?;
    office.bob.until(&theirs, "the first words", |seen| said(seen, &others, FIRST_WORDS)).await?;
    assert_eq!(office.bob.membership(&theirs, &others).await?, Some(MembershipState::Join));
    Ok(())
}

async fn meet(owner: &Person, assistant: &ruma::UserId) -> Result<OwnedRoomId> {
    owner.create_dm(assistant).await?;
    let room = owner.until_invited_by(assistant).await?;
    owner.join(&room).await?;
    owner.until(&room, "the first words", |seen| said(seen, assistant, FIRST_WORDS)).await?;
    Ok(room)
}

async fn register(office: &Office, user: &ruma::UserId) -> Result<()> {
    let body = json!({ "type": "m.login.application_service", "username": user.localpart(), "inhibit_login": true });
    let token = office.workmate.slot().as_token();
    crate::assistants::call(&token, None, reqwest::Method::POST, "_matrix/client/v3/register", &body).await?;
    Ok(())
}
