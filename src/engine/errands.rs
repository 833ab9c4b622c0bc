//! Carries out errands (C20 to C22): what was accepted is announced in its room and becomes a run, exactly once.
//!
//! An errand is on disk before anything is visible. Its notice has a transaction id made of the errand's id, so that a
//! notice that is sent again after a crash is the same event. The run's id is made of that event, so that there is one.

mod forgetting;
mod leaving;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use ruma::{EventId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId};
use tokio::{sync::Semaphore, time::Instant};

use super::{
    Engine, EngineError, Shared,
    beginning::Started,
    caught::caught,
    records::{RoomRecord, ThreadRecord},
    word_transaction,
};
use crate::{
    clock,
    core::{
        breaker::Gate,
        brief::Brief,
        errand::{self, Charge, Errand, ErrandId, Left, MatterThread, Stage},
        event::{Place, RoomEvent},
        retry::{SEND_PAUSES, send_pause},
        run::{RunId, RunRecord},
        sealed::Carriage,
        time::Timestamp,
        voice::Voice,
    },
    matrix::Account,
    store::StoreError,
};

/// Refusals of the homeserver in a row after which an errand is left.
const REFUSALS_MAX: usize = SEND_PAUSES.len();

/// A coworker in a room.
type Desk = (OwnedRoomId, OwnedUserId);

/// Errands that are announced at once, in all rooms: a burst of them shall not fill the homeserver's line before what
/// people wait for.
const ANNOUNCED_AT_ONCE_MAX: usize = 4;
/// How long a notice of ours counts as too new to be back from the homeserver, in milliseconds.
const NEW_MS: u64 = 5_000;
/// After so many tries the log says that an errand waits.
const WORTH_A_LINE: usize = 4;

/// The errands that wait to begin. Those of one coworker in one room begin in order.
pub(super) struct Errands {
    lines: Mutex<HashMap<Desk, VecDeque<ErrandId>>>,
    /// Held while one is accepted, so that the same cause is counted once.
    accepting: Mutex<()>,
    announcing: Semaphore,
}

impl Default for Errands {
    fn default() -> Self {
        Self { lines: Mutex::default(), accepting: Mutex::default(), announcing: Semaphore::new(ANNOUNCED_AT_ONCE_MAX) }
    }
}

impl Errands {
    fn lock(&self) -> MutexGuard<'_, HashMap<Desk, VecDeque<ErrandId>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an errand to its line; returns whether there was none, so that somebody has to work on it.
    fn push(&self, desk: &Desk, id: &ErrandId) -> bool {
        let mut lines = self.lock();
        let is_new = !lines.contains_key(desk);
        let line = lines.entry(desk.clone()).or_default();
        if !line.contains(id) {
            line.push_back(id.clone());
        }
        is_new
    }

    fn first(&self, desk: &Desk) -> Option<ErrandId> {
        let mut lines = self.lock();
        let first = lines.get(desk).and_then(|line| line.front().cloned());
        if first.is_none() {
            lines.remove(desk);
        }
        first
    }

    /// Takes the first out of a line, unless the line was dropped meanwhile.
    fn done(&self, desk: &Desk, id: &ErrandId) {
        if let Some(line) = self.lock().get_mut(desk).filter(|line| line.front() == Some(id)) {
            line.pop_front();
        }
    }

    /// Takes all that wait in a line out of it.
    fn drop_line(&self, desk: &Desk) {
        if let Some(line) = self.lock().get_mut(desk) {
            line.clear();
        }
    }

    fn waiting(&self, desk: &Desk) -> usize {
        self.lock().get(desk).map_or(0, VecDeque::len)
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
    /// Too many wait in its room; it may be handed in again.
    Full,
    /// The room's breaker has stopped errands; it may be handed in again.
    Stopped {
        /// When errands may begin again.
        until: Timestamp,
        /// Whether the room is to be told; once each time.
        say: bool,
    },
}

/// How far an attempt to begin an errand came.
enum Tried {
    /// It has begun, or is left for good.
    Over,
    /// It has to wait; nothing is wrong.
    Later,
}

impl Engine {
    /// Accepts an errand. What this reports as durable is on disk, and is carried out once however often it is handed
    /// in and whatever crashes.
    pub(super) async fn accept_errand(self: &Shared, errand: Errand) -> Result<Accepted, EngineError> {
        let taken = self.take_in(&errand)?;
        if let Accepted::Stopped { until, say: true } = taken {
            self.tasks.spawn(self.clone().tell_too_fast(errand, until));
            return Ok(taken);
        }
        let Accepted::Durable { is_new } = taken else { return Ok(taken) };
        // Also where it was known: another call may have stored it a moment ago.
        self.store.flush().await?;
        if is_new {
            let (room, user) = (&errand.room, &errand.user);
            tracing::info!(room.id = %room, user.id = %user, errand.id = errand.id.as_str(), "an errand is accepted");
        }
        if self.is_serving() {
            self.line_up(&errand);
        }
        Ok(taken)
    }

    fn take_in(&self, errand: &Errand) -> Result<Accepted, EngineError> {
        let _accepting = self.errands.accepting.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.kept_errand(&errand.id)?;
        let left = match known {
            Some(known) if !Self::may_come_again(&known) => return Ok(Accepted::Durable { is_new: false }),
            left => left,
        };
        if self.errands.waiting(&desk_of(errand)) >= errand::ROOM_WAITING_MAX {
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
        self.tables.errands.get(&id.as_str().to_owned())
    }

    fn keep_errand(&self, errand: &Errand) -> Result<(), StoreError> {
        self.tables.errands.put(&errand.id.as_str().to_owned(), errand)
    }

    /// Asks the breakers for errands, of the room and of a watch's sender, whether one may be accepted, and counts it.
    fn gate_errand(&self, errand: &Errand) -> Result<Gate, EngineError> {
        let (mut gate, room, now) = (Gate::Open, &errand.room, clock::now());
        self.tables.rooms.update(room, |record: Option<RoomRecord>| {
            let mut record = record.unwrap_or_default();
            gate = errand::gate(errand, &mut record.errand_breaker, &mut record.watch_breakers, now);
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
        for errand in self.tables.errands.iter() {
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
        Ok(self.tables.runs.get(&run)?.is_some() || self.tables.run_index.get(&(at, run))?.is_some())
    }

    /// Returns whether an errand's run is going on.
    fn is_carried_out(&self, errand: &Errand) -> Result<bool, StoreError> {
        let Some(request) = &errand.request else { return Ok(false) };
        let run = RunId::of(request, &errand.user).as_str().to_owned();
        Ok(self.tables.runs.get(&run)?.is_some())
    }

    /// Begins what was accepted and has not begun, in order.
    pub(super) fn take_up_errands(self: &Shared) {
        let waiting = self.tables.errands.iter().filter_map(Result::ok).map(|(_, errand)| errand);
        let mut waiting: Vec<Errand> = waiting.filter(|errand| errand.stage == Stage::Accepted).collect();
        waiting.sort_by(|a, b| (a.accepted_at, &a.id).cmp(&(b.accepted_at, &b.id)));
        for errand in waiting {
            self.line_up(&errand);
        }
    }

    fn line_up(self: &Shared, errand: &Errand) {
        let desk = desk_of(errand);
        if self.errands.push(&desk, &errand.id) {
            self.tasks.spawn(begin_all(self.clone(), desk));
        }
    }

    /// Begins an errand: announces it, and records its run.
    async fn begin_errand(self: &Shared, id: &ErrandId) -> Result<Tried, EngineError> {
        let seen = Instant::now();
        let Some(errand) = self.kept_errand(id)? else { return Ok(Tried::Over) };
        if errand.stage != Stage::Accepted {
            return Ok(Tried::Over);
        }
        if self.has_run(&errand)? {
            self.keep_errand(&Errand { stage: Stage::Begun, ..errand })?;
            return Ok(Tried::Over);
        }
        let room = self.tables.rooms.get(&errand.room)?.unwrap_or_default();
        if room.muted.contains(&errand.user) {
            return Box::pin(self.leave_errand(&errand, Left::Muted)).await;
        }
        if room.liveliness.is_paused() {
            return Box::pin(self.leave_errand(&errand, Left::Paused)).await;
        }
        if errand.is_too_old(clock::now()) {
            return Box::pin(self.leave_errand(&errand, Left::TooOld)).await;
        }
        let Some(account) = self.pool.kept(&errand.user) else {
            // It is set up, or out of order and being mended.
            return Ok(Tried::Later);
        };
        if !account.is_in(&errand.room) {
            account.sync().await?;
            if !account.is_in(&errand.room) {
                return Ok(Tried::Later);
            }
        }
        if self.voice_in(&account, &errand.room).await? != Voice::Heard {
            return Ok(Tried::Later);
        }
        if errand.came == Carriage::Encrypted {
            account.note_encrypted(&errand.room);
        }
        let (came, errand) = if account.is_sealed(&errand.room) {
            // Nothing is encrypted for people whose joining is not known.
            account.sync_since(seen).await?;
            (Carriage::Encrypted, Box::pin(self.announce(&account, errand)).await?)
        } else {
            // The run reads what this sync brings.
            let (synced, errand) = tokio::join!(account.sync_since(seen), Box::pin(self.announce(&account, errand)));
            synced?;
            (Carriage::Plain, errand?)
        };
        self.record_run_of(&account, errand, came, seen)
    }

    /// Posts the errand's notice, unless a message of somebody else's caused it; returns it with request and thread.
    /// Each step may be repeated after a crash: the notice is the same event, and the matter's thread is noted again.
    async fn announce(&self, account: &Account, mut errand: Errand) -> Result<Errand, EngineError> {
        if !errand.is_announced() || errand.begun_at.is_some() {
            return Ok(errand);
        }
        let now = clock::now();
        let matter = errand.matter_key();
        let kept = match &matter {
            Some(key) => self.tables.matters.get(key)?.filter(|thread| thread.is_open(now)),
            None => None,
        };
        let notice = if let Some(notice) = errand.request.clone() {
            notice
        } else {
            errand.thread = errand.thread.or_else(|| kept.as_ref().map(|thread| thread.root.clone()));
            let notice = self.post_notice(account, &errand).await?;
            errand.request = Some(notice.clone());
            self.keep_errand(&errand)?;
            notice
        };
        let Some(key) = matter else { return Ok(errand) };
        // Before its note, by which it would be no news any more after a crash.
        if let Some(thread) = kept.as_ref().filter(|thread| thread.root != notice) {
            self.edit_root(account, &errand, thread).await;
        }
        self.tables.matters.put(&key, &errand.matter_thread(&notice, kept.as_ref(), now))?;
        Ok(errand)
    }

    async fn post_notice(&self, account: &Account, errand: &Errand) -> Result<OwnedEventId, EngineError> {
        let room = &errand.room;
        let place = match &errand.thread {
            Some(root) => {
                let latest = account.latest_in_thread(room, root).unwrap_or_else(|| root.clone());
                Place::Thread { root: root.clone(), latest }
            }
            None => Place::Timeline,
        };
        let txn = word_transaction("errand", &errand.notice_cause(), account.user());
        let _turn = self.errands.announcing.acquire().await;
        Ok(account.send(room, &errand.notice(place), txn).await?)
    }

    /// Shows at the root of a matter's thread how it stands now. A root that is gone stays gone.
    async fn edit_root(&self, account: &Account, errand: &Errand, thread: &MatterThread) {
        let Some(message) = errand.root_now(thread) else { return };
        let txn = word_transaction("matter", errand.id.as_str(), account.user());
        if let Err(error) = account.edit(&errand.room, &thread.root, &message, txn).await {
            tracing::debug!(room.id = %errand.room, %error, "how a matter stands cannot be shown at its thread's root");
        }
    }

    /// Records the errand's run. When it is recorded is on disk before, and part of its key in the index: whoever finds
    /// the errand after a crash finds its run too, going on or ended.
    fn record_run_of(
        self: &Shared,
        account: &Account,
        mut errand: Errand,
        came: Carriage,
        seen: Instant,
    ) -> Result<Tried, EngineError> {
        let Some(request) = errand.request.clone() else { return Ok(Tried::Later) };
        let latest = errand.thread.as_ref().and_then(|root| account.latest_in_thread(&errand.room, root));
        let place = errand.place(&request, latest);
        self.note_errand(&errand, &request, place.thread_root().map(ToOwned::to_owned))?;
        let begun_at = *errand.begun_at.get_or_insert_with(clock::now);
        self.keep_errand(&errand)?;
        let record = errand.run(&request, place, came, self.config.limits.deadline_ms(), begun_at);
        if self.start_run(record, Some(seen))? == Started::TooManyWait {
            return Ok(Tried::Later);
        }
        errand.stage = Stage::Begun;
        self.keep_errand(&errand)?;
        Ok(Tried::Over)
    }

    /// Notes at the request which errand it is, and in its thread that the coworker works there.
    fn note_errand(
        &self,
        errand: &Errand,
        request: &OwnedEventId,
        root: Option<OwnedEventId>,
    ) -> Result<(), StoreError> {
        let key = (errand.room.clone(), request.clone());
        self.tables.threads.update(&key, |kept: Option<ThreadRecord>| {
            let mut kept = kept.unwrap_or_default();
            kept.errands.insert(errand.user.clone(), errand.id.clone());
            Some(kept)
        })?;
        let Some(root) = root else { return Ok(()) };
        self.tables.threads.update(&(errand.room.clone(), root), |kept: Option<ThreadRecord>| {
            let mut kept = kept.unwrap_or_default();
            kept.thread.asked.insert(errand.user.clone());
            Some(kept)
        })?;
        Ok(())
    }

    /// Returns the notice of the errand that a new run carries out.
    pub(super) fn new_notice_of(&self, record: &RunRecord) -> Result<Option<RoomEvent>, StoreError> {
        let Some(charge) = record.unasked().filter(|_| !record.resumed) else {
            return Ok(None);
        };
        let notice = self.kept_errand(&charge.id)?.and_then(|errand| errand.notice_event());
        Ok(notice.filter(|notice| notice.id == record.request && clock::now().ms_since(notice.sent_at) < NEW_MS))
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
            theirs.is_some() && theirs == root.map(|root| &**root) && self.is_our_notice(event)
        });
        let ids = std::iter::once(&record.request).chain(root).chain(in_thread.map(|event| &event.id));
        let mut found = BTreeMap::new();
        for id in ids {
            if let Some(errand) = self.errand_at(&record.room, id, &record.user)? {
                found.insert(id.clone(), errand.brief());
            }
        }
        Ok(found)
    }

    /// Returns the errand of a coworker's that an event announces or caused; several may watch one message.
    fn errand_at(&self, room: &RoomId, event: &OwnedEventId, user: &UserId) -> Result<Option<Errand>, StoreError> {
        let noted = self.tables.threads.get(&(room.to_owned(), event.clone()))?;
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

fn desk_of(errand: &Errand) -> Desk {
    (errand.room.clone(), errand.user.clone())
}

/// Begins a coworker's errands in a room one after the other, until none waits. An outage is waited out.
async fn begin_all(engine: Shared, desk: Desk) {
    let (mut tries, mut refusals) = (0, 0);
    while let Some(id) = engine.errands.first(&desk) {
        let why = match caught(Box::pin(engine.begin_errand(&id))).await {
            Ok(Tried::Over) => None,
            Ok(Tried::Later) => {
                refusals = 0;
                Some(String::new())
            }
            Err(error) => {
                refusals = if error.is_passing() { 0 } else { refusals + 1 };
                Some(error.to_string())
            }
        };
        match why {
            Some(why) if refusals <= REFUSALS_MAX => {
                if tries == WORTH_A_LINE {
                    tracing::warn!(
                        room.id = %desk.0, user.id = %desk.1, errand.id = id.as_str(), error = why,
                        "an errand waits; is its coworker in the room, and may it speak there?"
                    );
                }
                tokio::select! {
                    () = engine.stop.cancelled() => return,
                    () = tokio::time::sleep(send_pause(tries)) => tries += 1,
                }
                continue;
            }
            Some(why) => engine.give_up_errand(&id, &why),
            None => {}
        }
        engine.errands.done(&desk, &id);
        (tries, refusals) = (0, 0);
    }
}
