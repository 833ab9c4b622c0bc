//! Assistants of a running Workmate: made on request, one for each owner, private to the owner.

mod again;
mod exporting;
mod forgetting;
mod places;
mod room;
mod sessions;
mod streaming;
mod tools;
mod trust;
mod upgrades;

use std::sync::Arc;

use anyhow::{Context as _, Result};
use reqwest::Method;
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId, events::room::member::MembershipState};
use serde_json::{Value, json};
use workmate::{
    core::links::room_address,
    standin::{Options, RecordedRequest, StandIn, Turn},
};

use crate::harness::{Person, SeenEvent, Setup, Workmate, homeserver::shared, slot::Slot};

/// How every assistant's first message begins.
pub(crate) const FIRST_WORDS: &str = "Hello, I'm your assistant.";

/// A running Workmate and its stand-in.
pub(crate) struct Office {
    pub(crate) workmate: Workmate,
    pub(crate) claude: StandIn,
    pub(crate) slot: Arc<Slot>,
}

impl Office {
    pub(crate) async fn open() -> Result<Self> {
        Self::open_with(|setup| setup).await
    }

    pub(crate) async fn open_with(change: impl FnOnce(Setup) -> Setup) -> Result<Self> {
        let (slot, claude) = (shared().take_slot(), StandIn::start(Options::scripted()).await?);
        let setup = change(Setup::new(&slot, shared().url(), &claude.base_url()));
        Ok(Self { workmate: setup.start().await, claude, slot })
    }

    pub(crate) fn assistant_of(&self, owner: &Person) -> OwnedUserId {
        self.slot.assistant(owner.user_id().localpart())
    }

    /// Writes to the person's assistant; returns the chat that it invites to, joined and introduced.
    pub(crate) async fn meet(&self, owner: &Person) -> Result<OwnedRoomId> {
        owner.create_dm(&self.assistant_of(owner)).await?;
        self.join_chat(owner).await
    }

    /// Joins the chat to which the person's assistant invites, and waits for its introduction.
    pub(crate) async fn join_chat(&self, owner: &Person) -> Result<OwnedRoomId> {
        let assistant = self.assistant_of(owner);
        let room = owner.until_invited_by(&assistant).await?;
        owner.join(&room).await?;
        owner.until(&room, "the first words", |seen| said(seen, &assistant, FIRST_WORDS)).await?;
        Ok(room)
    }

    /// Asks the person's assistant, which answers `answer`, and waits until that is read.
    pub(crate) async fn ask(&self, owner: &Person, room: &RoomId, question: &str, answer: &str) -> Result<SeenEvent> {
        self.claude.on(workmate::standin::Matcher::user(question), Turn::text(answer));
        owner.send(room, question).await?;
        self.answered(owner, room, answer).await
    }

    /// Waits for an answer with its complete text.
    pub(crate) async fn answered(&self, owner: &Person, room: &RoomId, answer: &str) -> Result<SeenEvent> {
        let assistant = self.assistant_of(owner);
        let find = |seen: &crate::harness::Timeline| {
            seen.messages_of(&assistant).find(|event| seen.shown_text(&event.event_id) == Some(answer)).cloned()
        };
        owner.until(room, answer, find).await
    }

    /// Calls the homeserver as one of the virtual users.
    pub(crate) async fn as_user(&self, user: &UserId, method: Method, path: &str, body: &Value) -> Result<Value> {
        call(&self.slot.as_token(), Some(user), method, path, body).await
    }

    /// Returns the joined rooms of a person's assistant.
    pub(crate) async fn rooms_of_assistant(&self, owner: &Person) -> Result<Value> {
        let rooms =
            self.as_user(&self.assistant_of(owner), Method::GET, "_matrix/client/v3/joined_rooms", &json!({})).await?;
        Ok(rooms["joined_rooms"].clone())
    }

    /// Returns the prompts sent to the model, in order.
    pub(crate) fn prompts(&self) -> Vec<String> {
        self.claude.requests().iter().map(|request: &RecordedRequest| request.body.to_string()).collect()
    }
}

/// Returns the sender's message with this beginning.
pub(crate) fn said(seen: &crate::harness::Timeline, sender: &UserId, beginning: &str) -> Option<SeenEvent> {
    seen.messages_of(sender).find(|event| event.body().starts_with(beginning)).cloned()
}

/// Calls the homeserver with a token; an error status becomes an error with the response's text.
pub(crate) async fn call(
    token: &str,
    user: Option<&UserId>,
    method: Method,
    path: &str,
    body: &Value,
) -> Result<Value> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let mut request = http.request(method.clone(), shared().url().join(path)?).bearer_auth(token);
    if let Some(user) = user {
        request = request.query(&[("user_id", user)]);
    }
    if method != Method::GET {
        request = request.json(body);
    }
    let answer = request.send().await?;
    let (status, text) = (answer.status(), answer.text().await?);
    anyhow::ensure!(status.is_success(), "{path}: {status} {text}");
    Ok(serde_json::from_str(&text)?)
}

/// Waits until one of ours has left; returns the reason that apps show.
pub(crate) async fn reason_of_leaving(person: &Person, room: &RoomId, who: &UserId) -> Result<String> {
    person.until_membership(room, who, &MembershipState::Leave).await?;
    let path = format!("_matrix/client/v3/rooms/{room}/state/m.room.member/{who}");
    let member = call_as(person, Method::GET, &path, &json!({})).await?;
    Ok(member["reason"].as_str().unwrap_or_default().to_owned())
}

/// Calls the homeserver as the person's own client.
pub(crate) async fn call_as(person: &Person, method: Method, path: &str, body: &Value) -> Result<Value> {
    let token = person.client().access_token().context("a person is logged in")?;
    call(&token, None, method, path, body).await
}

#[tokio::test]
async fn a1_a_dm_to_ones_assistant_is_declined_and_an_own_room_is_made_instead() -> Result<()> {
    let office = Office::open().await?;
    let alice = shared().person("alice").await;
    let assistant = office.assistant_of(&alice);

    let dm = alice.create_dm(&assistant).await?;
    let reason = reason_of_leaving(&alice, &dm, &assistant).await?;
    let room = alice.until_invited_by(&assistant).await?;
    alice.join(&room).await?;
    let first = alice.until(&room, "the first words", |seen| said(seen, &assistant, FIRST_WORDS)).await?;
    assert!(first.body().contains("send it again here"), "what was written there is not lost: {}", first.body());
    let led = room_address(&room, alice.user_id().server_name());
    assert!(reason.contains(&led), "{reason}");

    let answer = office.ask(&alice, &room, "are you there?", "I am.").await?;
    assert!(answer.is_decrypted(), "{answer:?}");
    assert_eq!(office.rooms_of_assistant(&alice).await?, json!([room]));
    Ok(())
}

#[tokio::test]
async fn a1_two_requests_at_once_and_a_later_one_make_one_room() -> Result<()> {
    let office = Office::open().await?;
    let alice = shared().person("alice").await;
    let (assistant, service) = (office.assistant_of(&alice), office.slot.service());

    let (first, second) = tokio::join!(alice.create_dm(&assistant), alice.create_dm(&assistant));
    for dm in [first?, second?] {
        alice.until_membership(&dm, &assistant, &MembershipState::Leave).await?;
    }
    // Assistants are made one at a time: once the service bot has found this one, the others exist too.
    let bot = alice.create_dm(&service).await?;
    alice.until(&bot, "where the assistant is", |seen| said(seen, &service, "Your assistant is")).await?;

    let room = alice.until_invited_by(&assistant).await?;
    assert_eq!(office.rooms_of_assistant(&alice).await?, json!([room]));
    Ok(())
}

#[tokio::test]
async fn a1_an_owner_who_left_is_invited_to_their_room_again() -> Result<()> {
    let office = Office::open().await?;
    let alice = shared().person("alice").await;
    let (room, assistant) = (office.meet(&alice).await?, office.assistant_of(&alice));

    alice.room(&room)?.leave().await?;
    alice.create_dm(&assistant).await?;
    let again = alice.until_invited_by(&assistant).await?;
    alice.join(&again).await?;

    office.ask(&alice, &again, "are you still there?", "Always.").await?;
    assert_eq!(again, room);
    assert_eq!(office.rooms_of_assistant(&alice).await?, json!([room]));
    Ok(())
}

#[tokio::test]
async fn a1_somebody_elses_assistant_declines_and_says_why() -> Result<()> {
    let office = Office::open().await?;
    let [alice, mallory] = [shared().person("alice").await, shared().person("mallory").await];
    let assistant = office.assistant_of(&alice);

    let dm = mallory.create_dm(&assistant).await?;
    mallory.until_membership(&dm, &assistant, &MembershipState::Leave).await?;

    let service = office.slot.service();
    let room = mallory.until_invited_by(&service).await?;
    mallory.join(&room).await?;
    let why = |seen: &crate::harness::Timeline| {
        seen.messages_of(&service).find(|event| event.body().contains("someone else's assistant")).map(|_| ())
    };
    mallory.until(&room, "why", why).await?;
    let reason = reason_of_leaving(&mallory, &dm, &assistant).await?;
    assert!(reason.contains(service.as_str()), "{reason}");
    assert_eq!(office.rooms_of_assistant(&alice).await?, json!([]));
    Ok(())
}

#[tokio::test]
async fn a1_the_homeserver_learns_which_assistants_there_can_be() -> Result<()> {
    let office = Office::open().await?;
    let alice = shared().person("alice").await;
    let table = [
        (office.assistant_of(&alice), 200),
        (office.slot.assistant("nobody-of-that-name"), 404),
        (office.slot.service(), 200),
        (office.slot.coworker("oncall"), 200),
        (office.slot.coworker("dismissed"), 404),
    ];
    let http = reqwest::Client::builder().no_proxy().build()?;
    for (user, expected) in table {
        let url = format!("http://{}/_matrix/app/v1/users/{user}", office.slot.listen);
        let answer = http.get(url).bearer_auth(office.slot.hs_token()).send().await?;
        assert_eq!(answer.status().as_u16(), expected, "{user}");
    }
    Ok(())
}
