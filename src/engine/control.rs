//! Runs that are going on, and how people steer them (C6, C10): stop, run again, edit, redact, kick.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use ruma::{EventId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId};
use tokio::sync::watch;

use crate::core::run::{RunId, RunRecord};

/// What a run is told from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Order {
    /// Nothing: go on.
    #[default]
    GoOn,
    /// Begin anew with the request as it reads now; counted, so that each is seen.
    Restart(u32),
    /// Stop, and say so.
    Stop,
    /// Stop and say nothing: the room is closed to us.
    Drop,
    /// Stop, and take back what was said: the request is gone.
    TakeBack,
}

/// The runs that are going on or wait for their turn.
#[derive(Default)]
pub(super) struct Running(Mutex<HashMap<RunId, Entry>>);

struct Entry {
    user: OwnedUserId,
    room: OwnedRoomId,
    request: OwnedEventId,
    thread: Option<OwnedEventId>,
    asker: OwnedUserId,
    /// What the run has shown so far: its status, its streamed answer.
    shown: Vec<OwnedEventId>,
    order: watch::Sender<Order>,
}

/// Takes a run out of [`Running`] when it ends.
pub(super) struct Registered<'a> {
    running: &'a Running,
    id: RunId,
    pub(super) orders: watch::Receiver<Order>,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.running.lock().remove(&self.id);
    }
}

/// Which runs an order is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which<'a> {
    /// Those that this message asked for, or that showed it.
    Touching(&'a EventId),
    /// Those that this message asked for, where this person sent it.
    AskedBy(&'a EventId, &'a UserId),
    /// Those of one of our users, in one thread if it is named.
    Of(&'a UserId, Option<&'a EventId>),
}

impl Running {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<RunId, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn register(&self, id: &RunId, record: &RunRecord) -> Registered<'_> {
        let (order, orders) = watch::channel(Order::default());
        let entry = Entry {
            user: record.user.clone(),
            room: record.room.clone(),
            request: record.request.clone(),
            thread: record.place.thread_root().map(ToOwned::to_owned),
            asker: record.asker.clone(),
            shown: record.streamed.iter().cloned().collect(),
            order,
        };
        self.lock().insert(id.clone(), entry);
        Registered { running: self, id: id.clone(), orders }
    }

    /// Notes that a run has shown an event, so that reactions to it are for the run.
    pub(super) fn show(&self, id: &RunId, event: &EventId) {
        if let Some(entry) = self.lock().get_mut(id) {
            entry.shown.push(event.to_owned());
        }
    }

    /// Gives an order to runs in a room; returns to how many.
    pub(super) fn order(&self, room: &RoomId, which: Which<'_>, order: &Order) -> usize {
        let running = self.lock();
        let meant = running.values().filter(|entry| entry.room == room && entry.is_meant(which));
        meant
            .map(|entry| {
                entry.order.send_modify(|current| {
                    *current = match (&current, order) {
                        (Order::Restart(n), Order::Restart(_)) => Order::Restart(n + 1),
                        // What ends a run is not taken back by what goes on with it.
                        (Order::Stop | Order::Drop | Order::TakeBack, Order::GoOn | Order::Restart(_)) => return,
                        _ => order.clone(),
                    };
                });
            })
            .count()
    }

    /// Returns how many runs of `user` are in `room`.
    pub(super) fn count(&self, room: &RoomId, user: &UserId) -> usize {
        self.lock().values().filter(|entry| entry.room == room && entry.user == user).count()
    }
}

impl Entry {
    fn is_meant(&self, which: Which<'_>) -> bool {
        match which {
            Which::Touching(event) => self.request == event || self.shown.iter().any(|shown| shown == event),
            Which::AskedBy(event, person) => self.request == event && self.asker == person,
            Which::Of(user, thread) => self.user == user && (thread.is_none() || self.thread.as_deref() == thread),
        }
    }
}
