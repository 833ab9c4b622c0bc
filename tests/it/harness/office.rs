//! Workmate with its stand-in and two people, for tests about what happens in a room.

use anyhow::Result;
use ruma::{EventId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId, events::room::member::MembershipState};
use serde_json::Value;
use workmate::standin::{Matcher, Options, RecordedRequest, StandIn, Turn};

use super::{Message, Person, RoomKind, SeenEvent, Setup, Workmate, homeserver::shared, workmate::coworker};

/// Workmate on a slot of the shared homeserver, its stand-in, Alice and Bob.
pub(crate) struct Office {
    pub(crate) claude: StandIn,
    pub(crate) workmate: Workmate,
    pub(crate) alice: Person,
    pub(crate) bob: Person,
}

impl Office {
    /// Opens an office with the coworker `oncall`.
    pub(crate) async fn open() -> Result<Self> {
        Self::open_with(vec![coworker("oncall")]).await
    }

    /// Opens an office with these coworkers; see [`coworker`].
    pub(crate) async fn open_with(coworkers: Vec<Value>) -> Result<Self> {
        let people = [shared().person("alice").await, shared().person("bob").await];
        Self::open_for(people, |setup| setup.coworkers(coworkers)).await
    }

    /// Opens an office for existing people, with a setup by the test.
    pub(crate) async fn open_for(people: [Person; 2], set_up: impl FnOnce(Setup) -> Setup) -> Result<Self> {
        let claude = echoing().await?;
        let setup = Setup::new(&shared().take_slot(), shared().url(), &claude.base_url());
        let workmate = set_up(setup).start().await;
        let [alice, bob] = people;
        Ok(Self { claude, workmate, alice, bob })
    }

    /// Returns the user id of `oncall`.
    pub(crate) fn oncall(&self) -> OwnedUserId {
        self.workmate.slot().coworker("oncall")
    }

    /// Makes a room of Alice's with Bob in it.
    pub(crate) async fn room_of_people(&self, kind: RoomKind) -> Result<OwnedRoomId> {
        let room = self.alice.create_room(kind, "team", &[self.bob.user_id()]).await?;
        self.join_on_invite(&self.bob, &room).await?;
        Ok(room)
    }

    /// Makes a room of Alice's with Bob and `oncall`, which has introduced itself.
    pub(crate) async fn room(&self, kind: RoomKind) -> Result<OwnedRoomId> {
        let room = self.room_of_people(kind).await?;
        self.bring(&room, &self.oncall()).await?;
        Ok(room)
    }

    /// Has Alice invite a coworker; returns its first words.
    pub(crate) async fn bring(&self, room: &RoomId, coworker: &UserId) -> Result<SeenEvent> {
        self.alice.invite(room, coworker).await?;
        let introduced = |seen: &super::Timeline| seen.messages_of(coworker).last().cloned();
        self.alice.until(room, "the coworker's first words", introduced).await
    }

    /// Waits for a room's invite and joins.
    pub(crate) async fn join_on_invite(&self, person: &Person, room: &RoomId) -> Result<()> {
        person.until_membership(room, person.user_id(), &MembershipState::Invite).await?;
        person.join(room).await
    }

    /// Has `asker` mention `oncall` in the timeline.
    pub(crate) async fn ask(&self, asker: &Person, room: &RoomId, question: &str) -> Result<OwnedEventId> {
        asker.send(room, Message::text(format!("@oncall {question}")).pill("@oncall", &self.oncall())).await
    }

    /// Waits until `person` sees a message of `coworker` that contains `text` and mentions them.
    pub(crate) async fn answer(
        &self,
        person: &Person,
        room: &RoomId,
        coworker: &UserId,
        text: &str,
    ) -> Result<SeenEvent> {
        let find = |seen: &super::Timeline| {
            let mut theirs = seen.messages_of(coworker);
            theirs.find(|event| event.body().contains(text) && event.mentions(person.user_id())).cloned()
        };
        person.until(room, &format!("an answer with {text:?}"), find).await
    }

    /// Has Alice ask `oncall`, and waits for the answer. Everything sent to the room before is handled by then.
    pub(crate) async fn asked_and_answered(&self, room: &RoomId, question: &str) -> Result<SeenEvent> {
        self.ask(&self.alice, room, question).await?;
        self.answer(&self.alice, room, &self.oncall(), question).await
    }

    /// Returns the questions sent to the model so far, in order: the text of each request's last record.
    pub(crate) fn questions(&self) -> Vec<String> {
        self.claude.requests().iter().map(question_of).collect()
    }

    /// Has one question answered by the test's turn.
    pub(crate) fn script(&self, question: &str, turn: Turn) {
        let question = question.to_owned();
        let asks = move |request: &RecordedRequest| question_of(request).contains(&question);
        self.claude.on(Matcher::when("its last record holds the test's question", asks), turn);
    }
}

/// Starts a stand-in that answers by repeating the question.
pub(crate) async fn echoing() -> Result<StandIn> {
    let claude = StandIn::start(Options::scripted()).await?;
    claude.respond_with(|request| Turn::text(format!("You asked: {}", question_of(request))));
    Ok(claude)
}

/// Returns the text of the newest message in a request.
pub(crate) fn question_of(request: &RecordedRequest) -> String {
    records(request).last().map(|record| record["text"].as_str().unwrap_or_default().to_owned()).unwrap_or_default()
}

/// Returns the records of people's messages in a request, in order.
pub(crate) fn records(request: &RecordedRequest) -> Vec<Value> {
    let turns = request.body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let theirs = turns.iter().filter(|turn| turn["role"] == "user");
    let lines = theirs.flat_map(|turn| text_of(&turn["content"]).lines().map(str::to_owned).collect::<Vec<_>>());
    let parsed = lines.filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    parsed.filter(|record| record["event_id"].is_string() && record["text"].is_string()).collect()
}

/// Returns the text of a turn's content.
pub(crate) fn text_of(content: &Value) -> String {
    let blocks = content.as_array().into_iter().flatten();
    let texts = blocks.filter_map(|block| block["text"].as_str());
    texts.chain(content.as_str()).collect::<Vec<_>>().join("\n")
}

/// Counts a coworker's messages with a mention in an event's thread.
pub(crate) fn answers_in_thread(person: &Person, room: &RoomId, root: &EventId, coworker: &UserId) -> usize {
    let seen = person.timeline(room);
    let theirs = seen.messages_of(coworker).filter(|event| event.thread_root() == Some(root.as_str()));
    theirs.filter(|event| event.mentions(person.user_id())).count()
}
