//! The runs in progress, and how people steer them (C6, C10): stop, run again, edit, redact, kick.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ruma::{EventId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId};
use tokio::{
    sync::{Mutex as FairMutex, OwnedMutexGuard, watch},
    time::Instant,
};

use crate::{
    clock,
    core::{
        breaker::Gate,
        edits::{self, Edit, Edits, JOINED_MAX},
        event::{Place, RoomEvent},
        run::{Nearness, RunId, RunRecord},
        time::Timestamp,
    },
};

pub(super) use crate::core::run::Order;

/// How long a shutdown waits for an answer that is being written.
const WRITING_PATIENCE: Duration = Duration::from_secs(3);
/// How long a shutdown waits for a run that is sending its answer or has sent it; less than the whole shutdown may
/// take.
const ENDING_PATIENCE: Duration = Duration::from_secs(8);

/// Orders kept for each run about messages that no run is known to have posted, in case it posted one of them.
const EARLY_MAX: usize = 16;

/// The runs that are going on or waiting for their turn.
#[derive(Clone, Default)]
pub(super) struct Running(Arc<Mutex<HashMap<RunId, Entry>>>);

struct Entry {
    user: OwnedUserId,
    room: OwnedRoomId,
    request: OwnedEventId,
    asker: OwnedUserId,
    thread: Option<OwnedEventId>,
    /// Files that belong to the request, and when the request or its latest file was sent.
    joined: (Vec<OwnedEventId>, Timestamp),
    /// Events that the run has posted: its status, its streamed answer.
    shown: Vec<OwnedEventId>,
    /// Orders about unknown events: one may be the run's own, if the homeserver's reply to its send is still on the
    /// way.
    early: Vec<(OwnedEventId, Order)>,
    place: Place,
    edits: Edits,
    /// Who last restarted the run by an edit.
    editor: Option<OwnedUserId>,
    order: watch::Sender<Order>,
    nearness: watch::Sender<Nearness>,
    sending: Arc<FairMutex<()>>,
}

/// A request that is being worked on.
pub(super) struct OpenRequest {
    /// The thread of its answer; `None` on the timeline.
    pub(super) thread: Option<OwnedEventId>,
    /// Who works on it.
    pub(super) users: BTreeSet<OwnedUserId>,
}

/// Removes a run from [`Running`] when it ends.
pub(super) struct Registered {
    running: Running,
    id: RunId,
    orders: watch::Receiver<Order>,
    /// An order that was received but not carried out yet.
    pending: Option<Order>,
    sending: Arc<FairMutex<()>>,
}

impl Registered {
    /// Returns the run's id.
    pub(super) fn id(&self) -> &RunId {
        &self.id
    }

    /// Returns the next order other than to go on, once no tool of the run is posting anything.
    pub(super) async fn next_order(&mut self) -> Order {
        while self.pending.is_none() {
            if self.orders.changed().await.is_err() {
                return std::future::pending().await;
            }
            let order = self.orders.borrow_and_update().clone();
            self.pending = (order != Order::GoOn).then_some(order);
        }
        let _sent = self.sending.lock().await;
        self.pending.take().unwrap_or_default()
    }

    /// Returns whether what the run posted must be redacted, even if the order came too late to end it.
    pub(super) fn is_taken_back(&self) -> bool {
        *self.orders.borrow() == Order::TakeBack
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.running.lock().remove(&self.id);
    }
}

/// The runs that an order addresses.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which<'a> {
    /// Runs that this message requested, or that posted it.
    Touching(&'a EventId),
    /// Runs that this message requested.
    AskedBy(&'a EventId),
    /// Runs of one of our users, in one thread if given.
    Of(&'a UserId, Option<&'a EventId>),
}

impl Running {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<RunId, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a run, before anything later of its room is handled: that may be about it.
    pub(super) fn register(&self, id: &RunId, record: &RunRecord) -> Registered {
        let (order, orders) = watch::channel(Order::default());
        let sending = Arc::new(FairMutex::new(()));
        let entry = Entry {
            user: record.user.clone(),
            room: record.room.clone(),
            request: record.request.clone(),
            asker: record.asker.clone(),
            joined: (record.joined.clone(), record.asked_at),
            thread: record.place.thread_root().map(ToOwned::to_owned),
            shown: record.streamed.iter().chain(&record.status).cloned().collect(),
            early: Vec::new(),
            place: record.place.clone(),
            edits: edits_of(record),
            editor: None,
            order,
            nearness: watch::Sender::default(),
            sending: sending.clone(),
        };
        self.lock().insert(id.clone(), entry);
        Registered { running: self.clone(), id: id.clone(), orders, pending: None, sending }
    }

    /// Starts a send by a tool of a run. While the guard is held, no order interrupts the run, so that every event that
    /// reaches the room is recorded and can be redacted. `core::run` does the same for what the run itself sends.
    pub(super) async fn sending(&self, id: &RunId) -> Option<OwnedMutexGuard<()>> {
        let sending = self.lock().get(id).map(|entry| entry.sending.clone())?;
        Some(sending.lock_owned().await)
    }

    /// Records how near a run is to its end.
    pub(super) fn enter(&self, id: &RunId, nearness: Nearness) {
        if let Some(entry) = self.lock().get(id) {
            entry.nearness.send_replace(nearness);
        }
    }

    /// Waits for a run that is nearly done, but no longer than a shutdown allows; returns at once for any other.
    pub(super) async fn until_done_or_cut_off(&self, id: &RunId) {
        let nearness = self.lock().get(id).map(|entry| entry.nearness.subscribe());
        let (Some(mut nearness), began) = (nearness, Instant::now()) else { return };
        loop {
            let patience = match *nearness.borrow_and_update() {
                Nearness::Far => return,
                Nearness::Writing => WRITING_PATIENCE,
                Nearness::Ending => ENDING_PATIENCE,
            };
            tokio::select! {
                () = tokio::time::sleep_until(began + patience) => return,
                changed = nearness.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Returns the number of runs.
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Records that a run has posted an event, and delivers the orders about it that came earlier.
    pub(super) fn show(&self, id: &RunId, event: &EventId) {
        if let Some(entry) = self.lock().get_mut(id) {
            entry.shown.push(event.to_owned());
            let early = std::mem::take(&mut entry.early);
            for (_, order) in early.iter().filter(|(target, _)| target == event) {
                entry.give(order);
            }
            entry.early = early.into_iter().filter(|(target, _)| target != event).collect();
        }
    }

    /// Gives an order to runs in a room; returns to how many.
    ///
    /// People may react to a message before we have the homeserver's reply to its send. So an order about an unknown
    /// message is kept for the run that turns out to have posted it ([`Self::show`]).
    pub(super) fn order(&self, room: &RoomId, which: Which<'_>, order: &Order) -> usize {
        let mut running = self.lock();
        let meant = running.values().filter(|entry| entry.room == room && entry.is_meant(which));
        let told = meant.map(|entry| entry.give(order)).count();
        if let (0, Which::Touching(target)) = (told, which) {
            for entry in running.values_mut().filter(|entry| entry.room == room) {
                entry.keep_early(target, order);
            }
        }
        told
    }

    /// Applies an edit to the runs of a request: they start over once editing pauses, or carry on. Runs of users that
    /// the new text no longer asks stop. `gate` asks the breakers whether a run may start. Returns each outcome with
    /// who answers and where.
    pub(super) fn edit<E>(
        &self,
        room: &RoomId,
        (request, editor, is_live): (&EventId, &UserId, bool),
        not_asked: &BTreeSet<OwnedUserId>,
        gate: impl Fn() -> Result<Gate, E>,
    ) -> Result<Vec<(OwnedUserId, Place, Edit)>, E> {
        let mut running = self.lock();
        let meant = running.values_mut().filter(|entry| entry.room == room && entry.request == request);
        let mut taken = Vec::new();
        for entry in meant {
            if not_asked.contains(&entry.user) {
                entry.give(&Order::Stop);
            } else {
                taken.push(entry.begin_anew(editor, &gate)?);
                entry.edits.note_live(is_live);
            }
        }
        Ok(taken)
    }

    /// Adds a file to the newest request that it belongs to. Returns that request and the outcome for its runs, as
    /// [`Self::edit`] does; `None` if it belongs to none.
    #[expect(clippy::type_complexity, reason = "the pair is taken apart at once")]
    pub(super) fn join<E>(
        &self,
        event: &RoomEvent,
        gate: impl Fn() -> Result<Gate, E>,
    ) -> Result<Option<(OwnedEventId, Vec<(OwnedUserId, Place, Edit)>)>, E> {
        let mut running = self.lock();
        let here = running.values().filter(|entry| entry.room == event.room && edits::joins(event, &entry.open()));
        let Some(newest) = here.max_by_key(|entry| entry.joined.1).map(|entry| entry.request.clone()) else {
            return Ok(None);
        };
        let mut taken = Vec::new();
        for entry in running.values_mut().filter(|entry| entry.room == event.room && entry.request == newest) {
            if entry.joined.0.contains(&event.id) || entry.joined.0.len() >= JOINED_MAX {
                continue;
            }
            let anew = entry.begin_anew(&event.sender, &gate)?;
            if matches!(anew.2, Edit::Replaces | Edit::Restarts) {
                entry.joined.0.push(event.id.clone());
                entry.joined.1 = entry.joined.1.max(event.sent_at);
            }
            taken.push(anew);
        }
        Ok(Some((newest, taken)))
    }

    /// Returns the newest request to which a file would be added, with its thread and who works on it.
    pub(super) fn open_for(&self, event: &RoomEvent) -> Option<OpenRequest> {
        let running = self.lock();
        let here = running.values().filter(|entry| entry.room == event.room && edits::joins(event, &entry.open()));
        let newest = here.max_by_key(|entry| entry.joined.1)?;
        let (request, thread) = (&newest.request, newest.thread.clone());
        let users = running.values().filter(|entry| entry.room == event.room && entry.request == *request);
        Some(OpenRequest { thread, users: users.map(|entry| entry.user.clone()).collect() })
    }

    /// Returns the files that belong to a run's request.
    pub(super) fn joined(&self, id: &RunId) -> Vec<OwnedEventId> {
        self.lock().get(id).map(|entry| entry.joined.0.clone()).unwrap_or_default()
    }

    /// Waits until the request has not been edited for a while.
    pub(super) async fn until_quiet(&self, id: &RunId) {
        let left = || self.lock().get(id).and_then(|entry| entry.edits.quiet_in_ms(clock::now()));
        while let Some(ms) = left() {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
    }

    /// Records that the model is asked with the request's current text.
    pub(super) fn asks(&self, id: &RunId) {
        if let Some(entry) = self.lock().get_mut(id) {
            entry.edits.ask();
        }
    }

    /// Returns how often edits have restarted a run, and who made the last restarting edit.
    pub(super) fn edited(&self, id: &RunId) -> (u32, Option<OwnedUserId>) {
        let running = self.lock();
        running.get(id).map(|entry| (entry.edits.restarts(), entry.editor.clone())).unwrap_or_default()
    }

    /// Returns whether `user` has a run, going on or waiting, for this request.
    pub(super) fn is_asked_by(&self, room: &RoomId, request: &EventId, user: &UserId) -> bool {
        let is_it = |entry: &Entry| entry.room == room && entry.request == request && entry.user == user;
        self.lock().values().any(is_it)
    }

    /// Returns whether a run has posted this event, as its status or its answer so far.
    pub(super) fn has_shown(&self, id: &RunId, event: &EventId) -> bool {
        self.lock().get(id).is_some_and(|entry| entry.shown.iter().any(|shown| shown == event))
    }

    /// Returns the number of runs of `user` in `room`.
    pub(super) fn count(&self, room: &RoomId, user: &UserId) -> usize {
        self.lock().values().filter(|entry| entry.room == room && entry.user == user).count()
    }
}

impl Entry {
    fn open(&self) -> edits::Open<'_> {
        edits::Open { request: &self.request, asker: &self.asker, thread: self.thread.as_deref(), since: self.joined.1 }
    }

    fn begin_anew<E>(
        &mut self,
        editor: &UserId,
        gate: impl Fn() -> Result<Gate, E>,
    ) -> Result<(OwnedUserId, Place, Edit), E> {
        let edit = self.edits.take(clock::now(), gate)?;
        if matches!(edit, Edit::Replaces | Edit::Restarts) {
            if edit == Edit::Restarts {
                self.editor = Some(editor.to_owned());
            }
            self.give(&Order::Restart);
        }
        Ok((self.user.clone(), self.place.clone(), edit))
    }

    fn give(&self, order: &Order) {
        self.order.send_if_modified(|current| current.give(order));
    }

    fn keep_early(&mut self, target: &EventId, order: &Order) {
        if self.early.len() >= EARLY_MAX {
            self.early.remove(0);
        }
        self.early.push((target.to_owned(), order.clone()));
    }

    fn is_meant(&self, which: Which<'_>) -> bool {
        match which {
            Which::Touching(event) => self.request == event || self.shown.iter().any(|shown| shown == event),
            Which::AskedBy(event) => self.request == event,
            Which::Of(user, thread) => self.user == user && (thread.is_none() || self.thread.as_deref() == thread),
        }
    }
}

/// Returns what edits have made of a run that begins.
fn edits_of(record: &RunRecord) -> Edits {
    let edits = Edits::resumed(record.restarts);
    match (record.gathers, record.live) {
        (_, true) => edits.live(record.accepted_at),
        (true, false) => edits.gathering(record.accepted_at),
        (false, false) => edits,
    }
}

#[cfg(test)]
mod tests;
