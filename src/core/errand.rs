//! Errands (C20 to C22): work of a coworker's that nobody asks for at that moment. A due time, a delivery or a match
//! causes it, and it becomes a run like any other.
//!
//! What stands in for the person who would have asked:
//!
//! - **Asker**: nobody. The run's asker is the coworker itself, which is no person, so that no rule about people holds.
//! - **Approver**: where a tool's rule names the asker, a moderator of the room decides instead. Other rules hold as
//!   they are, and fail closed.
//! - **Payer**: the member who set up the schedule; no person for what the operator configured. The workspace, the
//!   coworker and the room always pay.
//! - **Rate**: the room's own breaker for errands of its kind. None stops another kind, nor people.
//! - **Reader**: the coworker. It reads what it could read in the room as its member.
//!
//! Whoever runs an errand again (🔁) asks for it from then on: their rights, their budget.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ruma::{EventId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde::{Deserialize, Serialize};

pub(crate) use super::origin::{Charge, ErrandId, Left, Origin, OriginKind};
use super::{
    breaker::{Breaker, BreakerLimits, Gate, Whose},
    brief::Brief,
    event::{EventKind, Message, MessageKind, Outgoing, OutgoingKind, Place, RoomEvent},
    render,
    run::RunRecord,
    schedule::Lane,
    sealed::Carriage,
    time::Timestamp,
    timetable::LATE_AFTER_MS,
    words,
};

/// Most bytes that are kept, and given to the model, of what another system reported.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 16 << 10;
/// Most errands of a room that wait to begin; further ones are refused, and their senders try again.
pub(crate) const ROOM_WAITING_MAX: usize = 64;
/// Most errands that may begin in a room within the breaker's window.
pub(crate) const ROOM_ERRANDS_MAX: usize = 60;
/// How long an errand waits for its room and its coworker before it is given up, in milliseconds: a day.
pub(crate) const PATIENCE_MS: u64 = 24 * 60 * 60 * 1000;
/// How long an errand is kept, so that a repeated delivery is known and its thread knows what it is about: 30 days, in
/// milliseconds.
pub(crate) const KEPT_MS: u64 = 30 * 24 * 60 * 60 * 1000;
/// Most errands that are kept; the oldest that have begun are dropped.
pub(crate) const KEPT_MAX: usize = 5_000;
/// How long a matter keeps its thread without news, in milliseconds: a week.
pub(crate) const MATTER_MS: u64 = 7 * 24 * 60 * 60 * 1000;

/// While people ask, errands begin so many times as long after each other as the last one took to be announced: the rest
/// of the homeserver's time is theirs.
const PAUSE_TIMES: u32 = 20;
/// The longest of these pauses.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Returns how long the next errand waits behind one that took so long to be announced, while people ask.
#[must_use]
pub(crate) fn pause_after(took: Duration) -> Duration {
    took.saturating_mul(PAUSE_TIMES).min(PAUSE_MAX)
}

/// Most messages of one sender's that a watch takes up within the breaker's window: beyond that two bots answer each
/// other.
pub(crate) const WATCHED_MAX: usize = 10;

/// What several errands are about together: they share a thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matter {
    /// Its key, unique for the coworker and the room.
    pub key: String,
    /// How it stands now in a word, such as `resolved`, if this report is the matter's own and not a part's; foreign text.
    #[serde(default)]
    pub state: Option<String>,
    /// When that was so, if the report says it.
    #[serde(default)]
    pub at: Option<Timestamp>,
}

/// How far an errand has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It is accepted, and its run is not recorded yet.
    #[default]
    Accepted,
    /// Its run is recorded; the journal and the index know the rest.
    Begun,
    /// It is not carried out.
    Left(Left),
}

/// An errand, as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errand {
    /// Its id.
    pub id: ErrandId,
    /// The coworker that carries it out.
    pub user: OwnedUserId,
    /// The room.
    pub room: OwnedRoomId,
    /// What it comes from.
    pub origin: Origin,
    /// What is to be done, in the words of who set it up.
    pub task: String,
    /// What another system reported: data, never instructions. At most [`PAYLOAD_BYTES_MAX`].
    #[serde(default)]
    pub payload: Option<String>,
    /// Whether something of that was left out.
    #[serde(default)]
    pub payload_cut: bool,
    /// The text of its notice in the room; Markdown of ours in which foreign words are escaped.
    pub headline: String,
    /// When it was due: for a delivery, when it was accepted.
    pub due_at: Timestamp,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When its run is recorded, once that is decided: the run's key in the index is made of it.
    #[serde(default)]
    pub begun_at: Option<Timestamp>,
    /// When the model began to be asked ahead of its notice, if it was: once at the most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ahead_at: Option<Timestamp>,
    /// Until when it may begin; `None` where [`PATIENCE_MS`] alone bounds it.
    #[serde(default)]
    pub until: Option<Timestamp>,
    /// The key of the schedule that was due, where it is noted if this is left.
    #[serde(default)]
    pub schedule: Option<String>,
    /// Whether its answer says that it is late, whatever the time.
    #[serde(default)]
    pub late: bool,
    /// Whom its answer mentions; nobody if empty.
    #[serde(default)]
    pub mention: BTreeSet<OwnedUserId>,
    /// What it is about, if others are about the same.
    #[serde(default)]
    pub matter: Option<Matter>,
    /// The message that it is about: its notice once sent, or the watched message.
    #[serde(default)]
    pub request: Option<OwnedEventId>,
    /// The root of its thread, once known.
    #[serde(default)]
    pub thread: Option<OwnedEventId>,
    /// Whether no thread can begin on the request, so that the answer replies to it.
    #[serde(default)]
    pub threadless: bool,
    /// How what caused it came: what was encrypted is answered encrypted or not at all.
    #[serde(default)]
    pub came: Carriage,
    /// When the answer is due; `None` if it cannot wait. One that can goes as a batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_by: Option<Timestamp>,
    /// The time zone by whose clock it is due, by its IANA name: its times are told in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// How far it has come.
    #[serde(default)]
    pub stage: Stage,
    /// Whose message caused it, if it was a watched one.
    #[serde(default)]
    pub of: Option<OwnedUserId>,
    /// The digest of the body that names its delivery, where nothing better does.
    #[serde(default)]
    pub body: Option<String>,
    /// How often it was left and came again.
    #[serde(default)]
    pub again: u32,
}

/// The thread of a matter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatterThread {
    /// Its root: the first errand's notice.
    pub root: OwnedEventId,
    /// That notice's text.
    pub headline: String,
    /// When it last had news.
    pub at: Timestamp,
    /// In which room, if it was noted.
    #[serde(default)]
    pub room: Option<OwnedRoomId>,
    /// Whose it is, if it was noted.
    #[serde(default)]
    pub user: Option<OwnedUserId>,
    /// How it stood in its first report, which the headline says.
    #[serde(default)]
    pub first_state: Option<String>,
    /// How it stands now.
    #[serde(default)]
    pub state: Option<String>,
    /// When that was so, if its report said it.
    #[serde(default)]
    pub state_at: Option<Timestamp>,
}

impl MatterThread {
    /// Returns whether news of the matter still belongs into this thread.
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        now.ms_since(self.at) < MATTER_MS
    }

    /// Returns whether it is this coworker's in this room.
    #[must_use]
    pub fn is_of(&self, room: &RoomId, user: &UserId) -> bool {
        self.room.as_deref() == Some(room) && self.user.as_deref() == Some(user)
    }
}

impl Errand {
    /// Returns a new errand of a coworker's in a room, due now. It reports nothing, and nothing was said of it yet.
    #[must_use]
    pub fn new(id: ErrandId, user: &UserId, room: &RoomId, origin: Origin, task: &str, now: Timestamp) -> Self {
        Self {
            id,
            user: user.to_owned(),
            room: room.to_owned(),
            origin,
            task: task.to_owned(),
            payload: None,
            payload_cut: false,
            headline: String::new(),
            due_at: now,
            accepted_at: now,
            begun_at: None,
            ahead_at: None,
            until: None,
            schedule: None,
            late: false,
            mention: BTreeSet::new(),
            matter: None,
            request: None,
            thread: None,
            threadless: false,
            came: Carriage::default(),
            answer_by: None,
            zone: None,
            stage: Stage::Accepted,
            of: None,
            body: None,
            again: 0,
        }
    }

    /// Returns this errand as one of its own behind another report of the same matter: what is said again then is news.
    #[must_use]
    pub fn behind(self, newest: &Self) -> Self {
        Self { id: ErrandId::of(self.origin.kind, &[self.id.as_str(), newest.id.as_str()]), ..self }
    }

    /// Returns this errand as one that was left before and is delivered again: it is announced anew.
    #[must_use]
    pub fn after(self, left: &Self) -> Self {
        Self { again: left.again.saturating_add(1), ..self }
    }

    /// Returns what names its notice: the same after a crash, and another one where it came again.
    #[must_use]
    pub fn notice_cause(&self) -> String {
        if self.again == 0 { self.id.as_str().to_owned() } else { format!("{}|{}", self.id.as_str(), self.again) }
    }

    /// Returns whether a notice of ours announces it, as nobody's message caused it.
    #[must_use]
    pub fn is_announced(&self) -> bool {
        !self.headline.is_empty()
    }

    /// Returns what a run keeps of it.
    #[must_use]
    pub fn charge(self) -> Charge {
        Charge { id: self.id, origin: self.origin, mention: self.mention, answer_by: self.answer_by }
    }

    /// Returns the key of its matter's thread, if it has one.
    #[must_use]
    pub fn matter_key(&self) -> Option<String> {
        let matter = self.matter.as_ref()?;
        let id =
            ErrandId::of(self.origin.kind, &[self.user.as_str(), self.room.as_str(), &self.origin.name, &matter.key]);
        Some(id.as_str().to_owned())
    }

    /// Returns whether it waited too long to be worth beginning. What its notice has announced begins late, and says so.
    #[must_use]
    pub fn is_too_old(&self, now: Timestamp) -> bool {
        let is_past = self.request.is_none() && self.until.is_some_and(|until| now > until);
        is_past || now.ms_since(self.accepted_at) >= PATIENCE_MS
    }

    /// Returns whether the store may forget it.
    #[must_use]
    pub fn is_stale(&self, now: Timestamp) -> bool {
        self.stage != Stage::Accepted && now.ms_since(self.accepted_at) >= KEPT_MS
    }

    /// Returns what the model is told of it.
    #[must_use]
    pub fn brief(&self) -> Brief {
        Brief {
            origin: self.origin.clone(),
            task: self.task.clone(),
            payload: self.payload.clone(),
            payload_cut: self.payload_cut,
            due_at: self.due_at,
        }
    }

    /// Returns its notice, for the timeline or its matter's thread. It notifies nobody.
    #[must_use]
    pub fn notice(&self, place: Place) -> Outgoing {
        quiet(&self.headline, place)
    }

    /// Returns the thread of its matter after its notice `request`, as it stands in `kept` before, if that is open.
    #[must_use]
    pub fn matter_thread(&self, request: &EventId, kept: Option<&MatterThread>, now: Timestamp) -> MatterThread {
        let (room, user) = (Some(self.room.clone()), Some(self.user.clone()));
        let mut thread = kept.cloned().unwrap_or_else(|| MatterThread {
            root: self.thread.clone().unwrap_or_else(|| request.to_owned()),
            headline: self.headline.clone(),
            at: now,
            room: None,
            user: None,
            first_state: self.matter.as_ref().and_then(|matter| matter.state.clone()),
            state: None,
            state_at: None,
        });
        if let Some(state) = self.news_of(&thread) {
            thread.state = Some(state.to_owned());
            thread.state_at = self.matter.as_ref().and_then(|matter| matter.at).or(thread.state_at);
        }
        MatterThread { at: now, room, user, ..thread }
    }

    /// Returns how its matter stands by this report, unless the report is a part's or older than what is known.
    fn news_of(&self, thread: &MatterThread) -> Option<&str> {
        let matter = self.matter.as_ref()?;
        let is_older = matches!((matter.at, thread.state_at), (Some(at), Some(known)) if at < known);
        matter.state.as_deref().filter(|_| !is_older)
    }

    /// Returns its notice as an event of its room, before the homeserver has sent it back; `None` if none announces it.
    #[must_use]
    pub fn notice_event(&self, id: &EventId) -> Option<RoomEvent> {
        if !self.is_announced() {
            return None;
        }
        let said = Message {
            kind: MessageKind::Notice,
            thread_root: self.thread.clone(),
            ..Message::text(render::own(&self.headline).body)
        };
        let sent_at = self.begun_at.or(self.ahead_at).unwrap_or(self.accepted_at);
        Some(RoomEvent {
            room: self.room.clone(),
            id: id.to_owned(),
            sender: self.user.clone(),
            sent_at,
            kind: EventKind::Message(said),
        })
    }

    /// Returns what its notice becomes when it is not carried out after all.
    #[must_use]
    pub fn notice_left(&self, why: Left) -> Outgoing {
        quiet(&words::errands::left(&self.headline, why), Place::Timeline)
    }

    /// Returns what the notice at the root of its matter's thread becomes, if it says how the matter stands.
    #[must_use]
    pub fn root_now(&self, thread: &MatterThread) -> Option<Outgoing> {
        let state = self.news_of(thread).filter(|state| thread.state.as_deref() != Some(state))?;
        let text = if thread.first_state.as_deref() == Some(state) {
            thread.headline.clone()
        } else {
            words::errands::standing(&thread.headline, state)
        };
        Some(quiet(&text, Place::Timeline))
    }

    /// Returns where the answer goes. `latest` is the newest message of the thread, if it is known.
    #[must_use]
    pub fn place(&self, request: &EventId, latest: Option<OwnedEventId>) -> Place {
        match &self.thread {
            None if self.threadless => Place::Reply { to: request.to_owned() },
            None => Place::Thread { root: request.to_owned(), latest: request.to_owned() },
            Some(root) => Place::Thread { root: root.clone(), latest: latest.unwrap_or_else(|| request.to_owned()) },
        }
    }

    /// Returns the lane in which its run waits (C11); `None` while its thread has yet to begin, with its notice.
    #[must_use]
    pub(crate) fn lane(&self) -> Option<Lane> {
        let begins = if self.threadless { None } else { self.request.clone() };
        let thread = self.thread.clone().or(begins);
        (thread.is_some() || self.threadless).then(|| Lane { room: self.room.clone(), thread, user: self.user.clone() })
    }

    /// Returns whether the model may be asked before the notice is there: the first time that it is announced, and only
    /// for a webhook's, which somebody waits for.
    #[must_use]
    pub fn may_be_asked_ahead(&self) -> bool {
        self.origin.kind == OriginKind::Hook
            && self.is_announced()
            && self.again == 0
            && (&self.request, self.begun_at, self.ahead_at) == (&None, None, None)
    }

    /// Returns the record of its run. `deadline_ms` is the age from which it counts as late (C5); a due time does from a
    /// minute on (C20).
    #[must_use]
    pub fn run(&self, request: &EventId, place: Place, came: Carriage, deadline_ms: u64, now: Timestamp) -> RunRecord {
        let late_after_ms = if self.origin.kind == OriginKind::Schedule { LATE_AFTER_MS } else { deadline_ms };
        let charge = self.clone().charge();
        RunRecord {
            asked_at: self.due_at,
            late: self.late || now.ms_since(self.due_at) > late_after_ms,
            came,
            zone: self.zone.clone(),
            errand: Some(charge),
            ..RunRecord::new(&self.user, &self.room, request, &self.user, place, now)
        }
    }
}

fn quiet(markdown: &str, place: Place) -> Outgoing {
    let rendered = render::own(markdown);
    let (body, html, mentions, sources) = (rendered.body, rendered.html, BTreeSet::new(), Vec::new());
    Outgoing { kind: OutgoingKind::Notice, body, html, mentions, place, sources }
}

/// Returns the rate of a room's errands.
#[must_use]
pub(crate) fn rate() -> BreakerLimits {
    BreakerLimits::of(Whose::Room, ROOM_ERRANDS_MAX)
}

/// A room's breakers for errands, one for each kind: a busy webhook stops no watch and no schedule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Breakers {
    #[serde(default)]
    hooks: Breaker,
    #[serde(default)]
    schedules: Breaker,
    #[serde(default)]
    watches: Breaker,
}

impl Breakers {
    fn of(&mut self, kind: OriginKind) -> &mut Breaker {
        match kind {
            OriginKind::Hook => &mut self.hooks,
            OriginKind::Schedule => &mut self.schedules,
            OriginKind::Watch => &mut self.watches,
        }
    }
}

/// Asks a room's breakers whether an errand may be accepted, and counts it. A watched message counts for its sender first
/// (`of_senders`, by coworker, watch and sender), so that two bots which answer each other stop before the room's other
/// watches have to.
pub(crate) fn gate(
    errand: &Errand,
    of_room: &mut Breakers,
    of_senders: &mut BTreeMap<String, Breaker>,
    now: Timestamp,
) -> Gate {
    let limits = BreakerLimits::of(Whose::Room, WATCHED_MAX);
    of_senders.retain(|_, breaker| !breaker.is_idle(now, &limits));
    if let Some(sender) = &errand.of {
        let key = format!("{}|{}|{sender}", errand.user, errand.origin.name);
        let gate = of_senders.entry(key).or_default().begin_run(now, &limits);
        if gate != Gate::Open {
            return gate;
        }
    }
    of_room.of(errand.origin.kind).begin_run(now, &rate())
}

/// Returns the ids of the oldest errands beyond what is kept, of those that have come to an end.
#[must_use]
pub(crate) fn surplus(mut ended: Vec<(Timestamp, ErrandId)>, kept: usize) -> Vec<ErrandId> {
    let surplus = kept.saturating_sub(KEPT_MAX).min(ended.len());
    ended.sort();
    ended.into_iter().take(surplus).map(|(_, id)| id).collect()
}
