//! Carries out errands (C20 to C22): what was accepted is announced in its room and becomes a run, exactly once.
//!
//! An errand is on disk before anything is visible. Its notice has a transaction id made of the errand's id, so that a
//! notice that is sent again after a crash is the same event. The run's id is made of that event, so that there is one.

mod beginning;
mod forgetting;
mod leaving;
mod pace;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ruma::{EventId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId};
use tokio::sync::{Semaphore, mpsc};

pub(super) use self::beginning::keep_beginning;
use self::pace::Pace;
use super::{EngineError, records::RoomRecord, runtime::Runtime};
use crate::{
    clock,
    core::{
        breaker::Gate,
        brief::Brief,
        errand::{self, Charge, Errand, ErrandId, MatterThread, OriginKind, Stage},
        event::RoomEvent,
        run::{RunId, RunRecord},
        time::Timestamp,
    },
    store::StoreError,
};

/// A coworker in a room.
pub(super) type Desk = (OwnedRoomId, OwnedUserId);

/// How long a notice of ours counts as too new to be back from the homeserver, in milliseconds.
const NEW_MS: u64 = 5_000;

/// Calls of the model that are made ahead of a notice at once.
const AHEAD_AT_ONCE_MAX: usize = 1;

/// The errands that wait to begin. Those of one coworker in one room begin in order.
#[derive(Default)]
struct Lines(Mutex<HashMap<Desk, VecDeque<(ErrandId, OriginKind)>>>);

impl Lines {
    fn lock(&self) -> MutexGuard<'_, HashMap<Desk, VecDeque<(ErrandId, OriginKind)>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an errand to its line; returns whether there was none, so that somebody has to work on it.
    fn push(&self, desk: &Desk, id: &ErrandId, kind: OriginKind) -> bool {
        let mut lines = self.lock();
        let is_new = !lines.contains_key(desk);
        let line = lines.entry(desk.clone()).or_default();
        if !line.iter().any(|(known, _)| known == id) {
            line.push_back((id.clone(), kind));
        }
        is_new
    }

    fn first(&self, desk: &Desk) -> Option<ErrandId> {
        let mut lines = self.lock();
        let first = lines.get(desk).and_then(|line| line.front().map(|(id, _)| id.clone()));
        if first.is_none() {
            lines.remove(desk);
        }
        first
    }

    /// Takes the first out of a line, unless the line was dropped meanwhile.
    fn done(&self, desk: &Desk, id: &ErrandId) {
        if let Some(line) = self.lock().get_mut(desk).filter(|line| line.front().is_some_and(|(first, _)| first == id))
        {
            line.pop_front();
        }
    }

    /// Takes all that wait in a line out of it.
    fn drop_line(&self, desk: &Desk) {
        if let Some(line) = self.lock().get_mut(desk) {
            line.clear();
        }
    }

    /// Returns whether so many of a kind wait at a desk that no further one is accepted.
    fn is_full(&self, desk: &Desk, kind: OriginKind) -> bool {
        let lines = self.lock();
        let waiting = lines.get(desk).map_or(0, |line| line.iter().filter(|(_, theirs)| *theirs == kind).count());
        waiting >= errand::ROOM_WAITING_MAX
    }
}

/// The errands: those that are kept, and those that wait to begin.
pub(super) struct Errands {
    runtime: Arc<Runtime>,
    lines: Lines,
    /// Held while one is accepted, so that the same cause is counted once.
    accepting: Mutex<()>,
    /// How fast they begin.
    pub(super) pace: Pace,
    /// Places for calls of the model that are made ahead of a notice.
    pub(super) ahead: Arc<Semaphore>,
    /// Tells whoever begins errands where the first waits; each place at most once until its line is empty again.
    to_begin: mpsc::UnboundedSender<Desk>,
    /// Taken once, by whoever begins them.
    desks: Mutex<Option<mpsc::UnboundedReceiver<Desk>>>,
}

impl Errands {
    pub(super) fn new(runtime: &Arc<Runtime>) -> Self {
        let (to_begin, desks) = mpsc::unbounded_channel();
        Self {
            runtime: runtime.clone(),
            lines: Lines::default(),
            accepting: Mutex::new(()),
            pace: Pace::default(),
            ahead: Arc::new(Semaphore::new(AHEAD_AT_ONCE_MAX)),
            to_begin,
            desks: Mutex::new(Some(desks)),
        }
    }

    /// Returns whether so many of a kind wait at a desk that no further one is accepted.
    pub(super) fn is_full(&self, desk: &Desk, kind: OriginKind) -> bool {
        self.lines.is_full(desk, kind)
    }
}

/// What became of an errand that was handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accepted {
    /// It is on disk, now or since earlier: it will be carried out once.
    Durable {
        /// Whether it was not known before.
        is_new: bool,
    },
    /// Too many of its kind wait in its room; it may be handed in again.
    Full,
    /// The room's breaker has stopped errands of its kind; it may be handed in again.
    Stopped {
        /// When errands may begin again.
        until: Timestamp,
        /// Whether the room is to be told; once each time.
        say: bool,
    },
}

impl Errands {
    /// Accepts an errand. What this reports as durable is on disk, and is carried out once however often it is handed
    /// in and whatever crashes.
    pub(super) async fn accept_errand(self: &Arc<Self>, errand: Errand) -> Result<Accepted, EngineError> {
        let taken = self.take_in(&errand)?;
        if let Accepted::Stopped { until, say: true } = taken {
            self.runtime.tasks.spawn(self.clone().tell_too_fast(errand, until));
            return Ok(taken);
        }
        let Accepted::Durable { is_new } = taken else { return Ok(taken) };
        // Also where it was known: another call may have stored it a moment ago.
        self.runtime.store.flush().await?;
        if is_new {
            let (room, user) = (&errand.room, &errand.user);
            tracing::info!(room.id = %room, user.id = %user, errand.id = errand.id.as_str(), "an errand is accepted");
        }
        if self.runtime.life.is_serving() {
            self.line_up(&errand);
        }
        Ok(taken)
    }

    fn take_in(&self, errand: &Errand) -> Result<Accepted, EngineError> {
        let _accepting = self.accepting.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.kept_errand(&errand.id)?;
        let left = match known {
            Some(known) if !Self::may_come_again(&known) => return Ok(Accepted::Durable { is_new: false }),
            left => left,
        };
        if self.is_full(&desk_of(errand), errand.origin.kind) {
            return Ok(Accepted::Full);
        }
        if let Gate::Stopped { until, say, .. } = self.gate_errand(errand)? {
            return Ok(Accepted::Stopped { until, say });
        }
        match left {
            Some(left) => self.keep_errand(&errand.clone().after(&left))?,
            None => self.keep_errand(errand)?,
        }
        Ok(Accepted::Durable { is_new: true })
    }

    /// Returns an errand as it is on disk.
    pub(super) fn kept_errand(&self, id: &ErrandId) -> Result<Option<Errand>, StoreError> {
        self.runtime.tables.errands.get(&id.as_str().to_owned())
    }

    pub(super) fn keep_errand(&self, errand: &Errand) -> Result<(), StoreError> {
        self.runtime.tables.errands.put(&errand.id.as_str().to_owned(), errand)
    }

    /// Asks the breakers for errands, of the room and of a watch's sender, whether one may be accepted, and counts it.
    fn gate_errand(&self, errand: &Errand) -> Result<Gate, EngineError> {
        let (mut gate, room, now) = (Gate::Open, &errand.room, clock::now());
        self.runtime.tables.rooms.update(room, |record: Option<RoomRecord>| {
            let mut record = record.unwrap_or_default();
            gate = errand::gate(errand, &mut record.errand_breakers, &mut record.watch_breakers, now);
            Some(record)
        })?;
        if let Gate::Stopped { say: true, .. } = gate {
            let (kind, name) = (errand.origin.kind.name(), &errand.origin.name);
            tracing::warn!(room.id = %room, kind, name, "errands come too fast; none is taken for a while");
        }
        Ok(gate)
    }

    /// Notes which errands' runs an earlier process had recorded. Before runs go on.
    pub(super) fn settle_errands(&self) -> Result<(), StoreError> {
        for errand in self.runtime.tables.errands.iter() {
            let (_, errand) = errand?;
            if errand.stage == Stage::Accepted && self.has_run(&errand)? {
                self.keep_errand(&Errand { stage: Stage::Begun, ..errand })?;
            }
        }
        Ok(())
    }

    /// Returns whether an errand's run is recorded.
    fn has_run(&self, errand: &Errand) -> Result<bool, StoreError> {
        let (Some(request), Some(at)) = (&errand.request, errand.begun_at) else { return Ok(false) };
        self.is_recorded(request, &errand.user, at)
    }

    /// Returns whether the run of a request that was accepted at `at` is recorded: it goes on, or has ended.
    pub(super) fn is_recorded(&self, request: &EventId, user: &UserId, at: Timestamp) -> Result<bool, StoreError> {
        let run = RunId::of(request, user).as_str().to_owned();
        Ok(self.runtime.tables.runs.get(&run)?.is_some() || self.runtime.tables.run_index.get(&(at, run))?.is_some())
    }

    /// Returns whether an errand's run is going on.
    fn is_carried_out(&self, errand: &Errand) -> Result<bool, StoreError> {
        let Some(request) = &errand.request else { return Ok(false) };
        let run = RunId::of(request, &errand.user).as_str().to_owned();
        Ok(self.runtime.tables.runs.get(&run)?.is_some())
    }

    /// Begins what was accepted and has not begun, in order.
    pub(super) fn take_up_errands(&self) {
        let waiting = self.runtime.tables.errands.iter().filter_map(Result::ok).map(|(_, errand)| errand);
        let mut waiting: Vec<Errand> = waiting.filter(|errand| errand.stage == Stage::Accepted).collect();
        waiting.sort_by(|a, b| (a.accepted_at, &a.id).cmp(&(b.accepted_at, &b.id)));
        for errand in waiting {
            self.line_up(&errand);
        }
    }

    /// Returns the thread of an errand's matter, if news of it still belongs there.
    pub(super) fn open_matter(&self, errand: &Errand, now: Timestamp) -> Result<Option<MatterThread>, StoreError> {
        let Some(key) = errand.matter_key() else { return Ok(None) };
        Ok(self.runtime.tables.matters.get(&key)?.filter(|thread| thread.is_open(now)))
    }

    /// Returns an errand that is to be announced with the thread in which it is.
    fn with_thread(&self, errand: Errand) -> Result<Errand, StoreError> {
        if !errand.is_announced() || errand.request.is_some() || errand.thread.is_some() {
            return Ok(errand);
        }
        let kept = self.open_matter(&errand, clock::now())?;
        Ok(Errand { thread: kept.map(|thread| thread.root), ..errand })
    }

    fn line_up(&self, errand: &Errand) {
        let desk = desk_of(errand);
        if self.lines.push(&desk, &errand.id, errand.origin.kind) {
            // Nobody begins them any more once Workmate stops.
            let _ = self.to_begin.send(desk);
        }
    }

    /// Returns the notice of the errand that a new run carries out.
    pub(super) fn new_notice_of(&self, record: &RunRecord) -> Result<Option<RoomEvent>, StoreError> {
        let Some(charge) = record.unasked().filter(|_| !record.resumed) else {
            return Ok(None);
        };
        let notice = self.kept_errand(&charge.id)?.and_then(|errand| errand.notice_event(&record.request));
        Ok(notice.filter(|notice| clock::now().ms_since(notice.sent_at) < NEW_MS))
    }

    /// Returns the errands that a run reads about: its own, and those of its thread.
    pub(super) fn errands_of(
        &self,
        record: &RunRecord,
        root: Option<&OwnedEventId>,
        events: &[RoomEvent],
    ) -> Result<BTreeMap<OwnedEventId, Brief>, StoreError> {
        let in_thread = events.iter().filter(|event| {
            let theirs = event.thread_root();
            theirs.is_some() && theirs == root.map(|root| &**root) && self.runtime.is_our_notice(event)
        });
        let ids = std::iter::once(&record.request).chain(root).chain(in_thread.map(|event| &event.id));
        let mut found = BTreeMap::new();
        for id in ids {
            if let Some(errand) = self.errand_at(&record.room, id, &record.user)? {
                found.insert(id.clone(), errand.brief());
            }
        }
        // Where the model is asked ahead, nothing is noted at the notice yet.
        if let Some(charge) = record.unasked().filter(|_| !found.contains_key(&record.request))
            && let Some(errand) = self.kept_errand(&charge.id)?
        {
            found.insert(record.request.clone(), errand.brief());
        }
        Ok(found)
    }

    /// Returns the errand of a coworker's that an event announces or caused; several may watch one message.
    fn errand_at(&self, room: &RoomId, event: &OwnedEventId, user: &UserId) -> Result<Option<Errand>, StoreError> {
        let noted = self.runtime.tables.threads.get(&(room.to_owned(), event.clone()))?;
        match noted.and_then(|mut noted| noted.errands.remove(user)) {
            Some(id) => self.kept_errand(&id),
            None => Ok(None),
        }
    }

    /// Returns what a coworker's run keeps of the errand that this event announces or caused.
    pub(super) fn charge_of(
        &self,
        room: &RoomId,
        request: &OwnedEventId,
        user: &UserId,
    ) -> Result<Option<Charge>, StoreError> {
        let errand = self.errand_at(room, request, user)?;
        Ok(errand.map(Errand::charge))
    }
}

pub(super) fn desk_of(errand: &Errand) -> Desk {
    (errand.room.clone(), errand.user.clone())
}
