//! Emoji verification of assistants and coworkers, with matrix-sdk as the person, started by either side (A11).

use std::{future::Future, time::Duration};

use anyhow::{Context as _, Result};
use matrix_sdk::{
    deserialized_responses::ShieldState,
    encryption::verification::{SasVerification, Verification, VerificationRequest},
};
use ruma::{OwnedDeviceId, RoomId, UserId, events::key::verification::request::ToDeviceKeyVerificationRequestEvent};
use tokio::{sync::mpsc, time};
use workmate::standin::{Matcher, Turn};

use crate::{
    assistants::{self, said},
    control::Scene,
    harness::{Message, Person, SeenEvent, Timeline, Workmate, homeserver::shared, readiness::until_runs_ended},
};

mod crossing;

const WAIT_MAX: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(50);
const COMPARE: &str = "These are mine.";

/// Waits until a verification satisfies `check`.
async fn until<T, F: Future<Output = Option<T>>>(what: &str, check: impl Fn() -> F) -> Result<T> {
    let found = async {
        loop {
            if let Some(found) = check().await {
                return found;
            }
            time::sleep(POLL).await;
        }
    };
    time::timeout(WAIT_MAX, found).await.with_context(|| format!("a verification never came to: {what}"))
}

async fn is_verified(person: &Person, user: &UserId) -> Result<bool> {
    let identity = person.client().encryption().request_user_identity(user).await?;
    Ok(identity.context("it has an identity")?.is_verified())
}

/// Waits until the person's client considers an identity verified; it stores that a moment after the last step.
async fn until_verified(person: &Person, user: &UserId) -> Result<()> {
    until("verified", async || is_verified(person, user).await.unwrap_or_default().then_some(())).await
}

/// Compares the emoji that `ours` shows in a room with those in the person's client; they must be equal.
async fn compare(person: &Person, room: &RoomId, ours: &UserId, sas: &SasVerification) -> Result<()> {
    let emoji = until("emoji", async || sas.emoji()).await?;
    let compare = |seen: &Timeline| seen.messages_of(ours).find(|event| event.body().contains(COMPARE)).cloned();
    let shown = person.until(room, "the emoji of the other side", compare).await?;
    let expected: Vec<String> = emoji.iter().map(|one| format!("{} {}", one.symbol, one.description)).collect();
    assert!(shown.body().contains(&expected.join(" · ")), "{expected:?} is not in {}", shown.body());
    assert!(shown.is_decrypted());
    Ok(())
}

/// Asks for a verification of a device, as from a client's list of sessions: by to-device messages.
async fn ask_device(person: &Person, ours: &UserId) -> Result<VerificationRequest> {
    let devices = person.devices(ours).await?;
    let request = devices.devices().next().context("it has a device")?.request_verification().await?;
    assert_eq!(request.room_id(), None);
    Ok(request)
}

/// Does what a person does who started a verification, up to their emoji.
async fn start_sas(request: &VerificationRequest) -> Result<SasVerification> {
    until("ready", async || request.is_ready().then_some(())).await?;
    request.start_sas().await?.context("the other side can compare emoji")
}

async fn confirm(sas: &SasVerification) -> Result<()> {
    sas.confirm().await?;
    until("done", async || sas.is_done().then_some(())).await
}

/// What a person's client knows about one of ours.
#[derive(Debug, PartialEq)]
struct Seen {
    verified: bool,
    /// Verified once and changed since: clients warn of this.
    violation: bool,
    master_key: Option<String>,
    devices: Vec<OwnedDeviceId>,
    devices_verified: Vec<bool>,
}

impl Seen {
    async fn of(person: &Person, user: &UserId) -> Result<Self> {
        let identity = person.client().encryption().request_user_identity(user).await?.context("it has an identity")?;
        let devices = person.devices(user).await?;
        Ok(Self {
            verified: identity.is_verified(),
            violation: identity.has_verification_violation(),
            master_key: identity.master_key().get_first_key().map(|key| key.to_base64()),
            devices: devices.devices().map(|device| device.device_id().to_owned()).collect(),
            devices_verified: devices.devices().map(|device| device.is_verified()).collect(),
        })
    }
}

/// Asserts that the identity is the same, with one new device that it verifies.
fn assert_still_trusted(before: &Seen, after: &Seen) {
    assert!(before.verified && before.master_key.is_some(), "{before:?}");
    let trusted = Seen {
        devices: after.devices.clone(),
        devices_verified: vec![true],
        verified: true,
        violation: false,
        master_key: before.master_key.clone(),
    };
    assert_eq!(*after, trusted);
    assert!(after.devices.len() == 1 && after.devices != before.devices, "{before:?} {after:?}");
}

/// Deletes the stored data of a virtual user between two runs of Workmate.
async fn lose_store(workmate: &mut Workmate, user: &UserId) -> Result<()> {
    // Stop, do not kill: the newest keys must reach the backup first.
    workmate.stop().await;
    let store = workmate.data_dir().join("users").join(user.localpart());
    std::fs::remove_dir_all(&store).with_context(|| store.display().to_string())?;
    workmate.start_again().await;
    Ok(())
}

/// Opens an office whose person has one chat, with their assistant, and no other.
async fn meet_by_service_bot(office: &assistants::Office, person: &Person) -> Result<ruma::OwnedRoomId> {
    let assistant = office.assistant_of(person);
    person.create_dm(&office.slot.service()).await?;
    let room = person.until_invited_by(&assistant).await?;
    person.join(&room).await?;
    person.until(&room, "the first words", |seen| said(seen, &assistant, assistants::FIRST_WORDS)).await?;
    Ok(room)
}

/// Returns the verifications that others request from a person's client.
fn requests_to(person: &Person) -> mpsc::UnboundedReceiver<(ruma::OwnedUserId, String)> {
    let (asked, requests) = mpsc::unbounded_channel();
    person.client().add_event_handler(move |event: ToDeviceKeyVerificationRequestEvent| {
        let asked = asked.clone();
        async move {
            let _ = asked.send((event.sender, event.content.transaction_id.to_string()));
        }
    });
    requests
}

/// Accepts the verification that `ours` requested, as a person does, up to their emoji.
async fn accept_from(
    person: &Person,
    ours: &UserId,
    requests: &mut mpsc::UnboundedReceiver<(ruma::OwnedUserId, String)>,
) -> Result<SasVerification> {
    let (by, flow) = time::timeout(WAIT_MAX, requests.recv()).await?.context("the client runs")?;
    assert_eq!(by, ours);
    let encryption = person.client().encryption();
    let request = encryption.get_verification_request(ours, &flow).await.context("it is known")?;
    request.accept().await?;
    let started = async || encryption.get_verification(ours, &flow).await.and_then(Verification::sas);
    let sas = until("started", started).await?;
    sas.accept().await?;
    Ok(sas)
}

#[tokio::test]
async fn a11_a_person_verifies_their_assistant_and_it_stays_verified_when_the_store_is_lost() -> Result<()> {
    let mut office = assistants::Office::open().await?;
    let alice = shared().person("alice").await;
    let (room, assistant) = (meet_by_service_bot(&office, &alice).await?, office.assistant_of(&alice));
    assert!(!is_verified(&alice, &assistant).await?);

    let identity = alice.client().encryption().get_user_identity(&assistant).await?.context("it has an identity")?;
    let request = identity.request_verification().await?;
    assert_eq!(request.room_id(), Some(&*room), "it is asked in the chat with the assistant");
    let sas = start_sas(&request).await?;
    compare(&alice, &room, &assistant, &sas).await?;
    assert!(!is_verified(&alice, &assistant).await?, "she has not confirmed");
    confirm(&sas).await?;
    alice.until(&room, "that it is done", |seen| said(seen, &assistant, "Verified.")).await?;
    until_verified(&alice, &assistant).await?;

    office.ask(&alice, &room, "is it you?", "It is.").await?;
    assert!(!office.prompts()[0].contains(COMPARE), "what verification said is no part of the session");
    until_runs_ended(&office.workmate, 1).await;
    let before = Seen::of(&alice, &assistant).await?;
    lose_store(&mut office.workmate, &assistant).await?;
    let answer = office.ask(&alice, &room, "and now?", "Still.").await?;

    assert_still_trusted(&before, &Seen::of(&alice, &assistant).await?);
    assert_eq!(answer.shields(), Some((ShieldState::None, ShieldState::None)));
    Ok(())
}

#[tokio::test]
async fn a11_a_coworker_stays_verified_when_its_store_is_lost_and_nobody_is_warned() -> Result<()> {
    let mut scene = Box::pin(Scene::set()).await?;
    let mut requests = requests_to(&scene.alice);
    let coworker = scene.coworker.clone();
    let ask = Message::text("@oncall !verify").mentioning(&coworker);
    scene.alice.send(&scene.room, ask).await?;
    let sas = accept_from(&scene.alice, &coworker, &mut requests).await?;
    compare(&scene.alice, &scene.room, &coworker, &sas).await?;
    confirm(&sas).await?;
    until_verified(&scene.alice, &coworker).await?;
    scene.claude.on(Matcher::user("is it you"), Turn::text("It is."));
    scene.ask("is it you").await?;
    scene.until_said("It is.").await?;
    until_runs_ended(&scene.workmate, 1).await;
    let before = [Seen::of(&scene.alice, &coworker).await?, Seen::of(&scene.bob, &coworker).await?];

    // Twice: what the first loss recovered must be recoverable again.
    for (count, answer) in [(2, "Still me."), (3, "And still me.")] {
        lose_store(&mut scene.workmate, &coworker).await?;
        scene.claude.on(Matcher::user("and now"), Turn::text(answer));
        scene.ask("and now").await?;
        let answer = scene.until_said(answer).await?;
        until_runs_ended(&scene.workmate, count).await;

        let after = [Seen::of(&scene.alice, &coworker).await?, Seen::of(&scene.bob, &coworker).await?];
        assert_still_trusted(&before[0], &after[0]);
        assert_eq!((after[1].master_key.clone(), after[1].violation), (before[1].master_key.clone(), false));
        let seen = scene.alice.timeline(&scene.room);
        let shields = seen.event(&answer).and_then(SeenEvent::shields);
        assert_eq!(shields, Some((ShieldState::None, ShieldState::None)), "even where only verified users are trusted");
    }
    Ok(())
}

#[tokio::test]
async fn a11_emoji_that_differ_verify_nothing() -> Result<()> {
    let office = assistants::Office::open().await?;
    let alice = shared().person("alice").await;
    let (room, assistant) = (meet_by_service_bot(&office, &alice).await?, office.assistant_of(&alice));
    let identity = alice.client().encryption().request_user_identity(&assistant).await?.context("it has one")?;
    let request = identity.request_verification().await?;
    let sas = start_sas(&request).await?;
    compare(&alice, &room, &assistant, &sas).await?;

    sas.mismatch().await?;

    alice.until(&room, "that nothing has changed", |seen| said(seen, &assistant, "The verification was")).await?;
    assert!(!is_verified(&alice, &assistant).await?);
    Ok(())
}

#[tokio::test]
async fn a11_an_assistant_asks_its_owner_to_verify_it() -> Result<()> {
    let office = assistants::Office::open().await?;
    let alice = shared().person("alice").await;
    let (room, assistant) = (office.meet(&alice).await?, office.assistant_of(&alice));
    let mut requests = requests_to(&alice);

    alice.send(&room, "!verify").await?;

    let sas = accept_from(&alice, &assistant, &mut requests).await?;
    compare(&alice, &room, &assistant, &sas).await?;
    confirm(&sas).await?;
    until_verified(&alice, &assistant).await?;
    assert!(office.prompts().is_empty(), "the model is not asked");
    Ok(())
}

#[tokio::test]
async fn a11_a_coworker_asks_whoever_says_so_to_verify_it() -> Result<()> {
    let scene = Box::pin(Scene::set()).await?;
    let mut requests = requests_to(&scene.alice);

    let ask = Message::text("@oncall !verify").mentioning(&scene.coworker);
    scene.alice.send(&scene.room, ask).await?;

    // Element waits for the other side's start; other clients start themselves.
    let (_, flow) = time::timeout(WAIT_MAX, requests.recv()).await?.context("the client runs")?;
    let encryption = scene.alice.client().encryption();
    let request = encryption.get_verification_request(&scene.coworker, &flow).await.context("it is known")?;
    request.accept().await?;
    let sas = start_sas(&request).await?;
    compare(&scene.alice, &scene.room, &scene.coworker, &sas).await?;
    confirm(&sas).await?;
    until_verified(&scene.alice, &scene.coworker).await?;
    assert!(!is_verified(&scene.bob, &scene.coworker).await?, "each person verifies for themselves");
    Ok(())
}

#[tokio::test]
async fn a11_a_person_s_client_asks_a_coworker_which_takes_it_up() -> Result<()> {
    let scene = Box::pin(Scene::set()).await?;
    let request = ask_device(&scene.alice, &scene.coworker).await?;

    // It says where to show the emoji.
    let ask = Message::text("@oncall !verify").mentioning(&scene.coworker);
    scene.alice.send(&scene.room, ask).await?;

    let sas = start_sas(&request).await?;
    compare(&scene.alice, &scene.room, &scene.coworker, &sas).await?;
    confirm(&sas).await?;
    until_verified(&scene.alice, &scene.coworker).await?;

    // As a room event in a group: Bob's client takes the room for his chat with the coworker.
    let (bob, coworker) = (&scene.bob, &scene.coworker);
    bob.client().account().mark_as_dm(&scene.room, std::slice::from_ref(coworker)).await?;
    until("the chat", async || bob.client().get_dm_room(coworker).map(drop)).await?;
    let identity = bob.client().encryption().request_user_identity(coworker).await?.context("it has an identity")?;
    let request = identity.request_verification().await?;
    assert_eq!(request.room_id(), Some(&*scene.room));
    let sas = start_sas(&request).await?;
    until("emoji", async || sas.emoji()).await?;
    confirm(&sas).await?;
    until_verified(bob, coworker).await?;
    Ok(())
}

#[tokio::test]
async fn a11_a_verification_that_hangs_does_not_end_the_next_one() -> Result<()> {
    let office = assistants::Office::open().await?;
    let alice = shared().person("alice").await;
    let (room, assistant) = (office.meet(&alice).await?, office.assistant_of(&alice));
    let mut requests = requests_to(&alice);

    // The first request is ignored.
    alice.send(&room, "!verify").await?;
    time::timeout(WAIT_MAX, requests.recv()).await?.context("the client runs")?;
    alice.send(&room, "!Verify").await?;

    let sas = accept_from(&alice, &assistant, &mut requests).await?;
    compare(&alice, &room, &assistant, &sas).await?;
    confirm(&sas).await?;
    until_verified(&alice, &assistant).await?;
    alice.until(&room, "that it is done", |seen| said(seen, &assistant, "Verified.")).await?;
    let seen = alice.timeline(&room);
    let broken = seen.messages_of(&assistant).filter(|event| event.body().starts_with("The verification")).count();
    assert_eq!(broken, 0, "the newer one says the rest:\n{seen}");
    Ok(())
}

#[tokio::test]
async fn a11_a_request_for_a_device_is_taken_up_though_nobody_writes_anything() -> Result<()> {
    let mut office = assistants::Office::open().await?;
    let (alice, bob) = (shared().person("alice").await, shared().person("bob").await);
    let (room, assistant) = (meet_by_service_bot(&office, &alice).await?, office.assistant_of(&alice));
    let verify = async |request: &VerificationRequest, times: usize| {
        let sas = start_sas(request).await?;
        let emoji = until("emoji", async || sas.emoji()).await?;
        let emoji: Vec<String> = emoji.iter().map(|one| format!("{} {}", one.symbol, one.description)).collect();
        let these = |seen: &Timeline| {
            seen.messages_of(&assistant).find(|event| event.body().starts_with(&emoji.join(" · "))).map(drop)
        };
        alice.until(&room, "the emoji of the other side", these).await?;
        confirm(&sas).await?;
        let said = |seen: &Timeline| {
            let count = seen.messages_of(&assistant).filter(|event| event.body().starts_with("Verified.")).count();
            (count == times).then_some(())
        };
        alice.until(&room, "that it is done", said).await
    };

    // She has just met it, so its client is open. What somebody else asks of it is nobody's business.
    let ignored = ask_device(&bob, &assistant).await?;
    verify(&ask_device(&alice, &assistant).await?, 1).await?;
    until_verified(&alice, &assistant).await?;

    // After a start it is closed until she writes, and she doesn't.
    office.workmate.stop().await;
    let while_down = ask_device(&alice, &assistant).await?;
    office.workmate.start_again().await;
    verify(&while_down, 2).await?;

    // A coworker in whose rooms nothing happens; its emoji come in her chat with the service bot.
    let coworker = office.slot.coworker("oncall");
    let request = ask_device(&alice, &coworker).await?;
    let sas = start_sas(&request).await?;
    until("emoji", async || sas.emoji()).await?;
    confirm(&sas).await?;
    until_verified(&alice, &coworker).await?;
    assert!(!ignored.is_ready() && office.prompts().is_empty());
    Ok(())
}
