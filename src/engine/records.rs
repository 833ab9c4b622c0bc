//! What the engine keeps in the store, and under which keys.

use std::collections::{BTreeMap, BTreeSet};

use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};
use serde::{Deserialize, Serialize};

use super::{assistants::Answered, unencrypted::Told};
use crate::{
    core::{
        address::ThreadSoFar,
        audit::{RunKey, RunSummary},
        belonging::Belonging,
        breaker::{Breaker, SaidOnce},
        company::Liveliness,
        notes::Notes,
        opened::{Opened, Withheld},
        owed::Owed,
        refused::Refused,
        room_check::Origin,
        run::RunRecord,
        time::Timestamp,
        voice::Waiting,
    },
    store::{Store, Table},
};

/// What is kept of a room that is no assistant's.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct RoomRecord {
    /// Whose direct chat with the service bot it is.
    #[serde(default)]
    pub(super) service_dm: Option<OwnedUserId>,
    /// Whether coworkers work here.
    #[serde(default)]
    pub(super) liveliness: Liveliness,
    /// Which coworkers joined and found enough people to stay for.
    #[serde(default)]
    pub(super) stays: BTreeSet<OwnedUserId>,
    /// Which coworkers have said their first words.
    #[serde(default)]
    pub(super) introduced: BTreeSet<OwnedUserId>,
    /// Which coworker is there only until one person knows why it does not stay.
    #[serde(default)]
    pub(super) visit: Option<Visiting>,
    /// What the model's provider refused: left out of later requests (C26).
    #[serde(default)]
    pub(super) refused: Refused,
    /// Stops runs that come too fast.
    #[serde(default)]
    pub(super) breaker: Breaker,
    /// Which coworkers are muted here.
    #[serde(default)]
    pub(super) muted: BTreeSet<OwnedUserId>,
    /// When a stranger was told last.
    #[serde(default)]
    pub(super) stranger_told: SaidOnce,
    /// When somebody was told last that a message cannot be decrypted.
    #[serde(default)]
    pub(super) undecryptable_told: SaidOnce,
    /// Who was told that what they wrote was not encrypted.
    #[serde(default)]
    pub(super) unencrypted_told: Told,
    /// Who was told that nothing is said here, because the room asks for an encryption that we do not know.
    #[serde(default)]
    pub(super) other_encryption_told: Told,
    /// Who was told that nothing is said here for lack of power.
    #[serde(default)]
    pub(super) no_power_told: Told,
    /// What was asked here while whom it was asked of could not speak.
    #[serde(default)]
    pub(super) waiting: Vec<Waiting>,
}

/// A coworker that does not stay in the room of one person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Visiting {
    /// The coworker.
    pub(super) user: OwnedUserId,
    /// The person.
    pub(super) person: OwnedUserId,
}

/// What is kept of an event that asked somebody, and of the thread on it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct ThreadRecord {
    /// The thread that the event is the root of.
    #[serde(default)]
    pub(super) thread: ThreadSoFar,
    /// Which coworkers the event itself, or an edit of it, triggered.
    #[serde(default)]
    pub(super) triggered: BTreeSet<OwnedUserId>,
    /// What our users posted in answer to the event.
    #[serde(default)]
    pub(super) posted: Vec<Posted>,
    /// Which request the event answers, where it is one of ours.
    #[serde(default)]
    pub(super) answers: Option<Posted>,
    /// The root of the thread that the event was answered in.
    #[serde(default)]
    pub(super) answered_in: Option<OwnedEventId>,
    /// Files that its sender sent behind the event and that belong to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) joined: Vec<OwnedEventId>,
    /// How often the event was run again.
    #[serde(default)]
    pub(super) again: u32,
    /// The 🔁 on the event that were heard, where it is one of ours: each counts once.
    #[serde(default)]
    pub(super) heard: BTreeSet<OwnedEventId>,
    /// Where the run that posted the event stands in the index, where it is one of ours.
    #[serde(default)]
    pub(super) run: Option<RunKey>,
    /// The same for each coworker's newest run in the thread on the event.
    #[serde(default)]
    pub(super) last_runs: BTreeMap<OwnedUserId, RunKey>,
}

/// A message and the user of ours that it concerns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Posted {
    /// Who posted, or answered.
    pub(super) user: OwnedUserId,
    /// The message.
    pub(super) event: OwnedEventId,
}

/// A person's assistant.
#[expect(clippy::struct_excessive_bools, reason = "facts that are stored and asked one by one")]
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct AssistantRecord {
    /// Its private room, once made.
    #[serde(default)]
    pub(super) room: Option<OwnedRoomId>,
    /// Whether the first words were said in it (A5).
    #[serde(default)]
    pub(super) introduced: bool,
    /// Whether its owner, before, began another chat with it, where they may have written something.
    #[serde(default)]
    pub(super) elsewhere: bool,
    /// Whether it is silent for good because others are in the room, or could come in (A2).
    #[serde(default)]
    pub(super) silent: bool,
    /// Whether it said why.
    #[serde(default)]
    pub(super) silence_told: bool,
    /// Handled `!new` and `!forget`: sessions begin after them. Newest last, few are kept.
    #[serde(default)]
    pub(super) markers: Vec<OwnedEventId>,
    /// Rooms that were opened in the session (A7): where they are, and no content.
    #[serde(default)]
    pub(super) opened: Vec<Opened>,
    /// What the model's provider refused: left out of later requests (C26).
    #[serde(default)]
    pub(super) refused: Refused,
    /// Which of its answers it does not read again, because a room that was open then is closed.
    #[serde(default)]
    pub(super) withheld: Withheld,
    /// The message up to which it was said that a session starts afresh.
    #[serde(default)]
    pub(super) afresh_told: Option<OwnedEventId>,
    /// What it answered lately, and to what: for 🔁. Newest last, few are kept.
    #[serde(default)]
    pub(super) answers: Vec<Answered>,
    /// The room that its own replaces, where it followed an upgrade: its owner may have made the new one (A2).
    #[serde(default)]
    pub(super) followed: Option<OwnedRoomId>,
    /// How an upgrade of its room stands, until that is followed or another room is made.
    #[serde(default)]
    pub(super) upgrade: Option<Upgrade>,
    /// The keys of devices that wrote and that their owner has not verified: of each it said so.
    #[serde(default)]
    pub(super) unverified: BTreeSet<String>,
}

impl AssistantRecord {
    /// How its room came to be its own.
    pub(super) fn origin(&self) -> Origin {
        if self.followed.is_some() { Origin::Followed } else { Origin::Made }
    }
}

/// An upgrade of an assistant's room that it has not followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Upgrade {
    /// The room that the tombstone names.
    pub(super) successor: OwnedRoomId,
    /// Why it is not followed; empty while an invite is awaited.
    #[serde(default)]
    pub(super) refused: Vec<String>,
    /// Whether that was said.
    #[serde(default)]
    pub(super) told: bool,
}

/// An assistant that is being made to forget: how far that is. Holds nothing of what is forgotten.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Forgetting {
    /// Its room.
    pub(super) room: OwnedRoomId,
    /// The `!forget`.
    pub(super) command: OwnedEventId,
    /// What stays of its record.
    pub(super) kept: AssistantRecord,
    /// Our word in the room, once nothing stored is left; messages before it are redacted.
    #[serde(default)]
    pub(super) notice: Option<OwnedEventId>,
    /// Where the next page ends; at the notice to begin with.
    #[serde(default)]
    pub(super) from: Option<String>,
    /// Pages gone through.
    #[serde(default)]
    pub(super) pages: u32,
    /// Messages redacted.
    #[serde(default)]
    pub(super) redacted: u64,
    /// Whether some could not be.
    #[serde(default)]
    pub(super) missed: bool,
}

/// How fast a person asks, and what they were told of limits.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct PersonRecord {
    /// Stops runs of theirs that come too fast.
    #[serde(default)]
    pub(super) breaker: Breaker,
    /// Of which limits they were told, when, and because of which event.
    #[serde(default)]
    pub(super) told: BTreeMap<String, (Timestamp, OwnedEventId)>,
}

/// Up to where a room was compared with what came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Checked {
    /// The newest event that was there then; none where a check is yet to find one.
    #[serde(default)]
    pub(super) event: Option<OwnedEventId>,
    /// When it was sent, or when the room was found.
    pub(super) at: Timestamp,
}

/// An event that waits for users of ours who were out of order when it was handled.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct HeldBack {
    /// Its entry in the inbox.
    pub(super) seq: u64,
    /// Who is still to take it.
    pub(super) users: BTreeSet<OwnedUserId>,
}

/// How far a room was processed, as earlier versions noted it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// The last event taken from the inbox.
    pub(super) event: OwnedEventId,
    /// When it was sent.
    pub(super) sent_at: Timestamp,
}

/// The audit room, once made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AuditRoom {
    /// The room.
    pub(super) room: Option<OwnedRoomId>,
    /// Which admins were invited; who leaves is not asked again.
    #[serde(default)]
    pub(super) invited: BTreeSet<OwnedUserId>,
}

/// The engine's tables.
pub(super) struct Tables {
    pub(super) runs: Table<String, RunRecord>,
    pub(super) run_index: Table<RunKey, RunSummary>,
    /// What runs that are over still owe.
    pub(super) owed: Table<String, Owed>,
    pub(super) rooms: Table<OwnedRoomId, RoomRecord>,
    pub(super) threads: Table<(OwnedRoomId, OwnedEventId), ThreadRecord>,
    pub(super) assistants: Table<OwnedUserId, AssistantRecord>,
    pub(super) assistant_rooms: Table<OwnedRoomId, OwnedUserId>,
    pub(super) forgetting: Table<OwnedUserId, Forgetting>,
    pub(super) cursors: Table<OwnedRoomId, Cursor>,
    pub(super) checked: Table<OwnedRoomId, Checked>,
    pub(super) held_back: Table<(OwnedRoomId, OwnedEventId), HeldBack>,
    pub(super) notes: Table<OwnedRoomId, Notes>,
    /// What coworkers' tools on servers were like when they were granted or approved.
    pub(super) tool_pins: Table<(OwnedUserId, String), String>,
    /// What coworkers cost in a month before there was a ledger, in millionths of a US dollar.
    pub(super) spent: Table<(OwnedUserId, String), u64>,
    pub(super) audit_room: Table<String, AuditRoom>,
    /// Who is to have an assistant, and who is gone: the queue of both is here.
    pub(super) members: Table<OwnedUserId, Belonging>,
    pub(super) people: Table<OwnedUserId, PersonRecord>,
}

impl Tables {
    pub(super) fn of(store: &Store) -> Self {
        Self {
            // What is about somebody's sessions is sealed under a key of theirs, and gone with it (A3).
            runs: store.runs().owned_by(|_, run: &RunRecord| run.private.then_some(&run.asker)),
            run_index: store.run_index().owned_by(|_, run: &RunSummary| run.private.then_some(&run.asker)),
            owed: store.owed().owned_by(|_, owed: &Owed| owed.private.then_some(&owed.asker)),
            rooms: store.rooms(),
            threads: store.threads(),
            assistants: store.assistants().owned_by(|owner, _: &AssistantRecord| Some(owner)),
            assistant_rooms: store.assistant_rooms(),
            forgetting: store.forgetting(),
            cursors: store.cursors(),
            checked: store.checked(),
            held_back: store.held_back(),
            notes: store.notes(),
            tool_pins: store.tool_pins(),
            spent: store.spent(),
            audit_room: store.settings(),
            members: store.members(),
            people: store.people(),
        }
    }
}
