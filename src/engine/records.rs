//! The engine's stored records and their tables.

use std::collections::{BTreeMap, BTreeSet};

use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde::{Deserialize, Serialize};

use crate::{
    clock,
    core::{
        address::ThreadSoFar,
        audit::{RunKey, RunSummary},
        belonging::Belonging,
        breaker::{Breaker, SaidOnce},
        company::Liveliness,
        computing::{FileRecord, Session, SessionKey},
        connection::Connections,
        errand::{Breakers, Errand, ErrandId, MatterThread},
        event::Place,
        notes::Notes,
        opened::{Opened, Withheld},
        owed::Owed,
        refused::Refused,
        room_check::Origin,
        run::RunRecord,
        sealed::heard::Heard,
        time::Timestamp,
        timetable::{Handled, Reminders, RoomSchedules},
        told::Told,
        voice::Waiting,
    },
    store::{Store, StoreError, Table},
};

/// The record of a room that is not an assistant's.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct RoomRecord {
    /// The person, if this is their direct chat with the service bot.
    #[serde(default)]
    pub(super) service_dm: Option<OwnedUserId>,
    /// Whether coworkers work here.
    #[serde(default)]
    pub(super) liveliness: Liveliness,
    /// The coworkers that joined and found enough people to stay.
    #[serde(default)]
    pub(super) stays: BTreeSet<OwnedUserId>,
    /// The coworkers that have said their first words.
    #[serde(default)]
    pub(super) introduced: BTreeSet<OwnedUserId>,
    /// The room that replaced it, if that was followed with everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) moved_to: Option<OwnedRoomId>,
    /// The coworker that is here only to tell one person why it does not stay.
    #[serde(default)]
    pub(super) visit: Option<Visiting>,
    /// Messages that the model's provider refused; later requests leave them out (C26).
    #[serde(default)]
    pub(super) refused: Refused,
    /// Pauses runs that come too fast.
    #[serde(default)]
    pub(super) breaker: Breaker,
    /// Pause errands that come too fast.
    #[serde(default)]
    pub(super) errand_breakers: Breakers,
    /// When the room was last told that so much waits that nothing more is taken up.
    #[serde(default)]
    pub(super) full_told: SaidOnce,
    /// What watches take up of each sender, by coworker, watch and sender.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) watch_breakers: BTreeMap<String, Breaker>,
    /// The coworkers that are muted here.
    #[serde(default)]
    pub(super) muted: BTreeSet<OwnedUserId>,
    /// When a stranger was last told that they are not served.
    #[serde(default)]
    pub(super) stranger_told: SaidOnce,
    /// Who was told that a message cannot be decrypted.
    #[serde(default)]
    pub(super) undecryptable: Told,
    /// Who was told that their message was not encrypted.
    #[serde(default)]
    pub(super) unencrypted_told: Told,
    /// Who was told that ours keep silent because the room uses an encryption that we do not know.
    #[serde(default)]
    pub(super) other_encryption_told: Told,
    /// Who was told that ours keep silent for lack of power.
    #[serde(default)]
    pub(super) no_power_told: Told,
    /// For each coworker and limit, until when it was said that what nobody asks for waits, and because of which event.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) budget_told: BTreeMap<String, (Timestamp, OwnedEventId)>,
    /// Requests to users that could not speak here at the time.
    #[serde(default)]
    pub(super) waiting: Vec<Waiting>,
    /// The IANA time zones of those who have asked in the room.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) zones: BTreeMap<OwnedUserId, String>,
    /// Who invited each of our users that has not said its first words yet.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) invited_by: BTreeMap<OwnedUserId, OwnedUserId>,
}

/// Most people whose zones are kept for a room: those who asked there.
const ASKERS_MAX: usize = 50;

impl RoomRecord {
    /// Records a person's time zone, or that it is unknown. If too many are known, another is dropped.
    pub(super) fn note_zone(&mut self, person: &OwnedUserId, zone: Option<&str>) {
        self.zones.remove(person);
        let Some(zone) = zone else { return };
        if self.zones.len() >= ASKERS_MAX {
            self.zones.pop_first();
        }
        self.zones.insert(person.clone(), zone.to_owned());
    }
}

/// An assistant's answer and its request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answered {
    /// The answer, or another message of its run.
    pub(super) answer: OwnedEventId,
    /// The owner's message.
    pub(super) request: OwnedEventId,
    /// The place of the answer.
    pub(super) place: Place,
    /// How often the request had run before this answer.
    pub(super) attempt: u32,
    /// Whether this is an approval card rather than an answer; it is removed with the request too.
    #[serde(default)]
    pub(super) card: bool,
}

/// A coworker's visit to one person's room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Visiting {
    /// The visiting coworker.
    pub(super) user: OwnedUserId,
    /// The person it visits.
    pub(super) person: OwnedUserId,
}

/// The record of an event that asked somebody or that we posted, and of the thread on it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct ThreadRecord {
    /// The thread whose root the event is.
    #[serde(default)]
    pub(super) thread: ThreadSoFar,
    /// The coworkers that the event, or an edit of it, triggered.
    #[serde(default)]
    pub(super) triggered: BTreeSet<OwnedUserId>,
    /// What our users posted in answer to the event.
    #[serde(default)]
    pub(super) posted: Vec<Posted>,
    /// The request that the event answers, if the event is ours.
    #[serde(default)]
    pub(super) answers: Option<Posted>,
    /// The root of the thread in which the event was answered.
    #[serde(default)]
    pub(super) answered_in: Option<OwnedEventId>,
    /// Files that the sender posted after the event and that belong to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) joined: Vec<OwnedEventId>,
    /// How often the event was run again.
    #[serde(default)]
    pub(super) again: u32,
    /// The 🔁 reactions on the event, if it is ours; each counts once.
    #[serde(default)]
    pub(super) heard: BTreeSet<OwnedEventId>,
    /// The index key of the run that posted the event, if the event is ours.
    #[serde(default)]
    pub(super) run: Option<RunKey>,
    /// For each coworker, the index key of its newest run in the thread on the event.
    #[serde(default)]
    pub(super) last_runs: BTreeMap<OwnedUserId, RunKey>,
    /// The errands that the event announces or caused, if it is an errand's notice or a watched message: one for each
    /// coworker.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) errands: BTreeMap<OwnedUserId, ErrandId>,
}

/// A message, and the user of ours that posted or answered it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Posted {
    /// Our user.
    pub(super) user: OwnedUserId,
    /// The message.
    pub(super) event: OwnedEventId,
}

/// The record of one person's assistant.
#[expect(clippy::struct_excessive_bools, reason = "facts that are stored and asked one by one")]
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct AssistantRecord {
    /// Its private room; `None` before it is made.
    #[serde(default)]
    pub(super) room: Option<OwnedRoomId>,
    /// Whether the first words were said in the room (A5).
    #[serde(default)]
    pub(super) introduced: bool,
    /// Whether the owner began another chat with it before, where they may have written something.
    #[serde(default)]
    pub(super) elsewhere: bool,
    /// Whether it is silent for good because others are in the room or could join (A2).
    #[serde(default)]
    pub(super) silent: bool,
    /// Whether it has said why it is silent.
    #[serde(default)]
    pub(super) silence_told: bool,
    /// Handled `!new` and `!forget` commands, after which a session begins; the newest last, only a few are kept.
    #[serde(default)]
    pub(super) markers: Vec<OwnedEventId>,
    /// Rooms opened in the session (A7): which ones, without content.
    #[serde(default)]
    pub(super) opened: Vec<Opened>,
    /// Messages that the model's provider refused; later requests leave them out (C26).
    #[serde(default)]
    pub(super) refused: Refused,
    /// Its answers that it does not read again, because a room that was open then is closed.
    #[serde(default)]
    pub(super) withheld: Withheld,
    /// The request with which it last said that a session starts afresh.
    #[serde(default)]
    pub(super) afresh_told: Option<OwnedEventId>,
    /// Its latest answers with their requests, for 🔁; the newest last, only a few are kept.
    #[serde(default)]
    pub(super) answers: Vec<Answered>,
    /// What it was last told to do by the owner's schedules (A12), each with the notice that announced it; the newest
    /// last, only a few are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) tasks: Vec<Tasked>,
    /// The room that its own replaces, if it followed an upgrade; the owner may have made the new one (A2).
    #[serde(default)]
    pub(super) followed: Option<OwnedRoomId>,
    /// An upgrade of its room that was not followed; cleared when it is, or when another room is made.
    #[serde(default)]
    pub(super) upgrade: Option<Upgrade>,
    /// Device keys that wrote without their owner's verification, each of which it has mentioned.
    #[serde(default)]
    pub(super) unverified: BTreeSet<String>,
}

impl AssistantRecord {
    /// Returns how its room became its own.
    pub(super) fn origin(&self) -> Origin {
        if self.followed.is_some() { Origin::Followed } else { Origin::Made }
    }
}

/// A task that came due in an assistant's chat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tasked {
    /// Its number among the owner's reminders.
    pub(super) number: u32,
    /// What made it; see [`crate::core::timetable::Reminder::cause`].
    pub(super) cause: String,
    /// What is to be done.
    pub(super) task: String,
    /// When it was due.
    pub(super) due: Timestamp,
    /// The notice that announced it, which is its run's request.
    pub(super) request: OwnedEventId,
    /// When its run is recorded, as part of its key in the index.
    pub(super) at: Timestamp,
}

/// An upgrade of an assistant's room that was not followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Upgrade {
    /// The room that the tombstone names.
    pub(super) successor: OwnedRoomId,
    /// Why it is not followed; empty while an invite is awaited.
    #[serde(default)]
    pub(super) refused: Vec<String>,
    /// Whether the owner was told.
    #[serde(default)]
    pub(super) told: bool,
}

/// How far an assistant's forgetting has come. It holds nothing of what is forgotten.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Forgetting {
    /// The assistant's room.
    pub(super) room: OwnedRoomId,
    /// The `!forget` command.
    pub(super) command: OwnedEventId,
    /// The part of its record that stays.
    pub(super) kept: AssistantRecord,
    /// Our message that nothing stored is left; messages before it are redacted.
    #[serde(default)]
    pub(super) notice: Option<OwnedEventId>,
    /// The token of the next page; the first page ends at the notice.
    #[serde(default)]
    pub(super) from: Option<String>,
    /// Pages processed.
    #[serde(default)]
    pub(super) pages: u32,
    /// Messages redacted.
    #[serde(default)]
    pub(super) redacted: u64,
    /// Whether some messages could not be redacted.
    #[serde(default)]
    pub(super) missed: bool,
}

/// How fast a person asks, and which limits they were told of.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct PersonRecord {
    /// Pauses the person's runs if they come too fast.
    #[serde(default)]
    pub(super) breaker: Breaker,
    /// For each limit they were told of, when, and because of which event.
    #[serde(default)]
    pub(super) told: BTreeMap<String, (Timestamp, OwnedEventId)>,
}

/// What a recogniser heard in a recording.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Transcript {
    /// The words.
    pub(super) words: String,
    /// When they were heard.
    pub(super) at: Timestamp,
    /// In whose assistant's chat, if it was in one.
    #[serde(default)]
    pub(super) owner: Option<OwnedUserId>,
}

/// The mark up to which a room was compared with the inbox.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Checked {
    /// The newest event at that time; `None` until a check finds one.
    #[serde(default)]
    pub(super) event: Option<OwnedEventId>,
    /// When that event was sent, or when the room was found.
    pub(super) at: Timestamp,
}

/// An event held back for users that were out of order when it was handled.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct HeldBack {
    /// Its entry in the inbox.
    pub(super) seq: u64,
    /// The users that have yet to handle it.
    pub(super) users: BTreeSet<OwnedUserId>,
}

/// How far a room was processed, as earlier versions recorded it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// The last event taken from the inbox.
    pub(super) event: OwnedEventId,
    /// When it was sent.
    pub(super) sent_at: Timestamp,
}

/// The audit room's key in the settings table.
pub(super) const AUDIT_ROOM: &str = "audit_room";

/// A room that the service bot made, such as the audit room or the lobby.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AuditRoom {
    /// Its id; `None` until it is made.
    pub(super) room: Option<OwnedRoomId>,
    /// The admins that were invited; one who leaves is not invited again.
    #[serde(default)]
    pub(super) invited: BTreeSet<OwnedUserId>,
}

/// A batch at the provider, by its id there; kept until it is deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BatchRecord {
    /// The run whose question it holds. Once that is over, nobody waits for it.
    pub(super) run: String,
    /// When it was made.
    pub(super) made_at: Timestamp,
}

/// A verification in progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct VerificationRecord {
    /// The flow's id; `None` if ours has not been requested yet.
    #[serde(default)]
    pub(super) id: Option<String>,
    /// The room in which it was requested; `None` if it was by to-device message.
    #[serde(default)]
    pub(super) room: Option<OwnedRoomId>,
    /// Where its emoji are shown; `None`: in the person's chat with the service bot.
    #[serde(default)]
    pub(super) shown: Option<(OwnedRoomId, Place)>,
    /// When it began.
    pub(super) begun: Timestamp,
}

/// The engine's view of the store's tables.
pub(super) struct Tables {
    pub(super) runs: Table<String, RunRecord>,
    pub(super) run_index: Table<RunKey, RunSummary>,
    /// What ended runs still owe.
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
    /// Fingerprints of MCP servers' tools as they were when granted or approved.
    pub(super) tool_pins: Table<(OwnedUserId, String), String>,
    pub(super) audit_room: Table<String, AuditRoom>,
    /// Who should have an assistant and who is gone; the table is also the queue for both.
    pub(super) members: Table<OwnedUserId, Belonging>,
    pub(super) people: Table<OwnedUserId, PersonRecord>,
    /// Work that nobody asked for.
    pub(super) errands: Table<String, Errand>,
    /// The threads of what several errands are about.
    pub(super) matters: Table<String, MatterThread>,
    /// Which messages of encrypted sessions were heard.
    pub(super) heard: Table<String, Heard>,
    /// How far schedules have come.
    pub(super) timetable: Table<String, Handled>,
    /// The batches at the provider, by their ids there.
    pub(super) batches: Table<String, BatchRecord>,
    /// The files at the provider, by their ids there.
    pub(super) files: Table<String, FileRecord>,
    /// The containers in which threads compute.
    pub(super) containers: Table<SessionKey, Session>,
    /// What a recogniser heard, by who was told and the recording.
    pub(super) transcripts: Table<(OwnedUserId, String), Transcript>,
    /// The verifications in progress.
    pub(super) verifications: Table<(OwnedUserId, OwnedUserId), VerificationRecord>,
    pub(super) schedules: Table<OwnedRoomId, RoomSchedules>,
    pub(super) reminders: Table<OwnedUserId, Reminders>,
    /// Owners' connections, and the trail of their calls.
    pub(super) connections: Table<OwnedUserId, Connections>,
    /// Whose connection a token proves, by its hash.
    pub(super) connection_tokens: Table<String, OwnedUserId>,
}

impl Tables {
    /// Changes what is known of a schedule, unless it is gone by now.
    pub(super) fn note_handled(&self, key: &str, change: impl FnOnce(&mut Handled)) -> Result<(), StoreError> {
        self.timetable.update(&key.to_owned(), |kept: Option<Handled>| {
            let mut kept = kept?;
            change(&mut kept);
            Some(kept)
        })?;
        Ok(())
    }

    /// Returns whether a person is to be told something in a room now, at most once in a while, and notes it as told.
    pub(super) fn is_told_now(
        &self,
        room: &RoomId,
        person: &UserId,
        told: impl FnOnce(&mut RoomRecord) -> &mut Told,
    ) -> Result<bool, StoreError> {
        let mut due = false;
        self.rooms.update(&room.to_owned(), |record: Option<RoomRecord>| {
            let mut record = record.unwrap_or_default();
            due = told(&mut record).is_due(person, clock::now());
            Some(record)
        })?;
        Ok(due)
    }

    pub(super) fn of(store: &Store) -> Self {
        Self {
            // Records about a person's sessions are sealed under that person's key and die with it (A3).
            runs: store.runs().owned_by(|_, run: &RunRecord| run.owner()),
            run_index: store.run_index().owned_by(|_, run: &RunSummary| run.owner()),
            owed: store.owed().owned_by(|_, owed: &Owed| owed.owner()),
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
            audit_room: store.settings(),
            members: store.members(),
            people: store.people(),
            errands: store.errands(),
            matters: store.matters(),
            heard: store.heard().owned_by(|_, heard: &Heard| heard.owner.as_deref()),
            timetable: store.timetable(),
            batches: store.batches(),
            files: store.provider_files(),
            containers: store.containers().owned_by(|_, session: &Session| session.owner.as_deref()),
            transcripts: store.transcripts().owned_by(|_, heard: &Transcript| heard.owner.as_deref()),
            verifications: store.verifications(),
            schedules: store.schedules(),
            reminders: store.reminders().owned_by(|owner, _: &Reminders| Some(owner)),
            connections: store.connections().owned_by(|owner, _: &Connections| Some(owner)),
            connection_tokens: store.connection_tokens(),
        }
    }
}
