//! Verification by emoji, with matrix-sdk as the person: assistants and coworkers, both ways (A11).

use std::{future::Future, time::Duration};

use anyhow::{Context as _, Result};
use matrix_sdk::encryption::verification::{SasVerification, Verification, VerificationRequest};
use ruma::{RoomId, UserId, events::key::verification::request::ToDeviceKeyVerificationRequestEvent};
use tokio::{sync::mpsc, time};

use crate::{
    assistants::{self, said},
    control::Scene,
    harness::{Message, Person, homeserver::shared, readiness::until_runs_ended},
};

const WAIT_MAX: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(50);
const COMPARE: &str = "Compare these with the emoji";

/// Waits until a verification has come to what is looked for.
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

/// Waits until the person's client holds an identity for verified: it stores that a moment after the last step.
async fn until_verified(person: &Person, user: &UserId) -> Result<()> {
    until("verified", async || is_verified(person, user).await.unwrap_or_default().then_some(())).await
}

/// Compares the emoji that `ours` shows in a room with those of the person's client, which must be the same.
async fn compare(person: &Person, room: &RoomId, ours: &UserId, sas: &SasVerification) -> Result<()> {
    let emoji = until("emoji", async || sas.emoji()).await?;
    let shown = person.until(room, "the emoji of the other side", |seen| said(seen, ours, COMPARE)).await?;
    let expected: Vec<String> = emoji.iter().map(|one| format!("{} {}", one.symbol, one.description)).collect();
    assert!(shown.body().contains(&expected.join(" · ")), "{expected:?} is not in {}", shown.body());
    assert!(shown.is_decrypted());
    Ok(())
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

/// An office whose person has one chat with their assistant and no other.
async fn meet_by_service_bot(office: &assistants::Office, person: &Person) -> Result<ruma::OwnedRoomId> {
    let assistant = office.assistant_of(person);
    person.create_dm(&office.slot.service()).await?;
    let room = person.until_invited_by(&assistant).await?;
    person.join(&room).await?;
    person.until(&room, "the first words", |seen| said(seen, &assistant, assistants::FIRST_WORDS)).await?;
    Ok(room)
}

/// The verifications that others ask a person's client for.
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

/// Accepts what `ours` asked for, as a person does, up to their emoji.
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
    // Stopped, not killed: the newest keys reach the backup before it ends.
    office.workmate.stop().await;
    let store = office.workmate.data_dir().join("users").join(assistant.localpart());
    std::fs::remove_dir_all(&store).with_context(|| store.display().to_string())?;
    office.workmate.start_again().await;
    office.ask(&alice, &room, "and now?", "Still.").await?;
    until_verified(&alice, &assistant).await?;
    let devices = alice.devices(&assistant).await?;
    let verified: Vec<_> = devices.devices().map(|device| device.is_verified()).collect();
    assert_eq!(verified, [true], "the one new device is verified through the identity");
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

    let sas = accept_from(&scene.alice, &scene.coworker, &mut requests).await?;
    compare(&scene.alice, &scene.room, &scene.coworker, &sas).await?;
    confirm(&sas).await?;
    until_verified(&scene.alice, &scene.coworker).await?;
    assert!(!is_verified(&scene.bob, &scene.coworker).await?, "each person verifies for themselves");
    Ok(())
}

#[tokio::test]
async fn a11_a_person_s_client_asks_a_coworker_which_takes_it_up() -> Result<()> {
    let scene = Box::pin(Scene::set()).await?;
    let devices = scene.alice.devices(&scene.coworker).await?;
    let device = devices.devices().next().context("it has a device")?;
    let request = device.request_verification().await?;

    // The request is in no room that wakes anybody: the next sync brings it, and this asks for one.
    let ask = Message::text("@oncall !verify").mentioning(&scene.coworker);
    scene.alice.send(&scene.room, ask).await?;

    let sas = start_sas(&request).await?;
    compare(&scene.alice, &scene.room, &scene.coworker, &sas).await?;
    confirm(&sas).await?;
    until_verified(&scene.alice, &scene.coworker).await?;
    Ok(())
}
