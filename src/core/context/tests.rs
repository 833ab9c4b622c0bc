mod errands;
mod facts;
mod files;
mod hostile;
mod prefix;
mod rules;

use std::collections::BTreeMap;

use ruma::{EventId, OwnedEventId, OwnedRoomId, OwnedUserId, UserId};

use super::{Composed, Files, Input, Kind, Pinned, Room, SessionStart, compose};
use crate::core::{
    brief::Brief,
    event::{
        EventKind, LiveLocation, Location, MemberChange, Membership, Message, MessageKind, Poll, PollAnswer, RoomEvent,
    },
    media,
    notes::Note,
    prompt::{Prompt, Role},
    time::Timestamp,
};

const ME: &str = "@coworker-oncall:hs";
const ALICE: &str = "@alice:hs";
const BOB: &str = "@bob:hs";

fn user(id: &str) -> OwnedUserId {
    UserId::parse(id).expect("a user id")
}

fn id(name: &str) -> OwnedEventId {
    EventId::parse(format!("${name}")).expect("an event id")
}

/// Builds a room's events, each a second after the one before.
#[derive(Clone, Debug, Default)]
struct Story {
    events: Vec<RoomEvent>,
    names: BTreeMap<OwnedUserId, String>,
    requests: Vec<OwnedEventId>,
    joined: Vec<OwnedEventId>,
    time_zone: Option<String>,
    time_zones: BTreeMap<OwnedUserId, String>,
    answered_meanwhile: Vec<OwnedEventId>,
    errands: BTreeMap<OwnedEventId, Brief>,
    thread: Option<OwnedEventId>,
    older: bool,
    begin_is_fixed: bool,
    tokens_max: u32,
    name: Option<String>,
    topic: Option<String>,
    file_limits: media::Limits,
    files: Files,
    notes: Vec<Note>,
    pinned: Vec<OwnedEventId>,
    fetched: Vec<RoomEvent>,
    invited: Vec<OwnedUserId>,
}

impl Story {
    fn new() -> Self {
        let names = [(ALICE, "Alice"), (BOB, "Bob"), (ME, "oncall · coworker")];
        Self {
            names: names.into_iter().map(|(id, name)| (user(id), name.to_owned())).collect(),
            tokens_max: 30_000,
            ..Self::default()
        }
    }

    fn event(mut self, name: &str, sender: &str, kind: EventKind) -> Self {
        let seconds = i64::try_from(self.events.len()).expect("few events");
        self.events.push(RoomEvent {
            room: OwnedRoomId::try_from("!room:hs").expect("a room id"),
            id: id(name),
            sender: user(sender),
            sent_at: Timestamp::from_ms(1_795_346_405_000 + seconds * 1000),
            kind,
        });
        self
    }

    fn says(self, name: &str, sender: &str, text: &str) -> Self {
        self.event(name, sender, EventKind::Message(Message::text(text)))
    }

    fn says_in(self, name: &str, sender: &str, root: &str, text: &str) -> Self {
        let message = Message { thread_root: Some(id(root)), ..Message::text(text) };
        self.event(name, sender, EventKind::Message(message))
    }

    fn replies(self, name: &str, sender: &str, to: &str, text: &str) -> Self {
        let message = Message { reply_to: Some(id(to)), ..Message::text(text) };
        self.event(name, sender, EventKind::Message(message))
    }

    fn edits(self, name: &str, sender: &str, target: &str, text: &str) -> Self {
        let kind = EventKind::Edit { target: id(target), new: Message::text(text), newly_mentioned: [].into() };
        self.event(name, sender, kind)
    }

    fn reacts(self, name: &str, sender: &str, target: &str, key: &str) -> Self {
        self.event(name, sender, EventKind::Reaction { target: id(target), key: key.to_owned() })
    }

    fn redacts(self, name: &str, sender: &str, target: &str) -> Self {
        self.event(
            name,
            sender,
            EventKind::Redaction { target: id(target), authority: crate::core::redaction::Authority::OwnServer },
        )
    }

    fn member(self, name: &str, who: &str, membership: Membership) -> Self {
        let change = MemberChange { user: user(who), membership, display_name: None };
        self.event(name, who, EventKind::Member(change))
    }

    /// Asks a question with answers named `1`, `2`, ….
    fn polls(self, name: &str, sender: &str, question: &str, answers: &[&str], poll: &Poll) -> Self {
        let answers = answers.iter().enumerate();
        let answers = answers.map(|(at, text)| PollAnswer { id: (at + 1).to_string(), text: (*text).to_owned() });
        let poll = Poll { answers: answers.collect(), ..poll.clone() };
        self.event(
            name,
            sender,
            EventKind::Message(Message { kind: MessageKind::Poll(poll), ..Message::text(question) }),
        )
    }

    fn votes(self, name: &str, sender: &str, target: &str, answers: &[&str]) -> Self {
        let answers = answers.iter().map(|&answer| answer.to_owned()).collect();
        self.event(name, sender, EventKind::PollVote { target: id(target), answers })
    }

    fn ends(self, name: &str, sender: &str, target: &str) -> Self {
        self.event(name, sender, EventKind::PollEnd { target: id(target) })
    }

    fn notes(mut self, sender: &str, text: &str) -> Self {
        let number = u32::try_from(self.notes.len()).expect("few notes") + 1;
        let at = Timestamp::from_ms(1_795_346_405_000);
        self.notes.push(Note { number, text: text.to_owned(), by: user(sender), at, cause: String::new() });
        self
    }

    fn asks(mut self, name: &str) -> Self {
        self.requests = vec![id(name)];
        self
    }

    fn in_thread(mut self, root: &str) -> Self {
        self.thread = Some(id(root));
        self
    }

    fn input<'a>(&'a self, kind: &Kind<'a>, session: Option<SessionStart<'a>>, me: &'a UserId) -> Input<'a> {
        Input {
            me,
            kind: *kind,
            room: Room {
                name: self.name.as_deref(),
                topic: self.topic.as_deref(),
                encrypted: true,
                readable_from: Some(Timestamp::from_ms(1_795_000_000_000)),
                time_zone: self.time_zone.as_deref(),
                time_zones: Some(&self.time_zones),
                invited: &self.invited,
            },
            events: &self.events,
            older: self.older,
            begin_is_fixed: self.begin_is_fixed,
            names: &self.names,
            requests: &self.requests,
            joined: &self.joined,
            answered_meanwhile: &self.answered_meanwhile,
            errands: &self.errands,
            notes: &self.notes,
            pinned: Pinned { ids: &self.pinned, fetched: &self.fetched },
            replied_to: &self.fetched,
            opened: &[],
            withheld: &[],
            thread_root: self.thread.as_deref(),
            session,
            tokens_max: self.tokens_max,
            file_limits: self.file_limits,
            files: Some(&self.files),
        }
    }

    fn compose_as(&self, kind: Kind<'_>, session: Option<SessionStart<'_>>) -> Composed {
        compose(&self.input(&kind, session, &user(ME)))
    }

    fn compose(&self) -> Composed {
        self.compose_as(
            Kind::Coworker { name: "oncall", purpose: "Helps with incidents.", instructions: "Be calm." },
            None,
        )
    }
}

/// Returns the transcript as text, for snapshots.
fn transcript(composed: &Composed) -> String {
    let turns = composed.prompt.turns.iter().map(|turn| format!("[{:?}]\n{}\n", turn.role, turn.text()));
    turns.collect::<Vec<_>>().join("\n")
}

/// Returns the parsed records of the user's turns.
fn records(prompt: &Prompt) -> Vec<serde_json::Value> {
    let users = prompt.turns.iter().filter(|turn| turn.role == Role::User);
    let lines = users.flat_map(|turn| turn.text().split('\n').map(str::to_owned).collect::<Vec<_>>());
    lines.map(|line| serde_json::from_str(&line).expect("a record")).collect()
}

/// Returns the event ids of the messages in the prompt, in order; our answers have none.
fn shown(prompt: &Prompt) -> Vec<String> {
    let ids = records(prompt).into_iter().filter_map(|record| Some(record.get("event_id")?.as_str()?.to_owned()));
    ids.collect()
}
