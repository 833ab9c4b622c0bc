//! Order and limits of runs (C11): one at a time in each thread, a few in each room, a bounded number over all.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};
use tokio::sync::{Mutex as FairMutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

/// What runs one after the other: the runs of one user in one thread.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Lane {
    pub(super) room: OwnedRoomId,
    pub(super) thread: Option<OwnedEventId>,
    pub(super) user: OwnedUserId,
}

/// Gates that a run passes in order: its lane, its room, all.
pub(super) struct Lanes {
    threads: Mutex<HashMap<Lane, Weak<FairMutex<()>>>>,
    rooms: Mutex<HashMap<OwnedRoomId, Weak<Semaphore>>>,
    all: Arc<Semaphore>,
    room_runs_max: usize,
}

/// Leave to run; dropped when the run ends.
pub(super) struct Leave {
    _lane: OwnedMutexGuard<()>,
    _room: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

/// A place in a lane, taken in the order of requests; [`Place::leave`] waits for its turn.
pub(super) struct Place {
    lane: Arc<FairMutex<()>>,
    room: Arc<Semaphore>,
    all: Arc<Semaphore>,
}

impl Lanes {
    pub(super) fn new(runs_max: usize, room_runs_max: usize) -> Self {
        Self {
            threads: Mutex::default(),
            rooms: Mutex::default(),
            all: Arc::new(Semaphore::new(runs_max.max(1))),
            room_runs_max: room_runs_max.max(1),
        }
    }

    pub(super) fn place(&self, lane: Lane) -> Place {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.retain(|_, room| room.strong_count() > 0);
        let room = rooms.get(&lane.room).and_then(Weak::upgrade).unwrap_or_else(|| {
            let room = Arc::new(Semaphore::new(self.room_runs_max));
            rooms.insert(lane.room.clone(), Arc::downgrade(&room));
            room
        });
        drop(rooms);
        let mut lanes = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.retain(|_, lane| lane.strong_count() > 0);
        let gate = lanes.get(&lane).and_then(Weak::upgrade).unwrap_or_else(|| {
            let gate = Arc::new(FairMutex::new(()));
            lanes.insert(lane, Arc::downgrade(&gate));
            gate
        });
        Place { lane: gate, room, all: self.all.clone() }
    }
}

impl Place {
    /// Waits until the lane, the room and the whole have a place free. Each of these is fair.
    pub(super) async fn leave(self) -> Leave {
        let lane = self.lane.lock_owned().await;
        let room = self.room.acquire_owned().await.expect("the semaphores are never closed");
        let all = self.all.acquire_owned().await.expect("the semaphores are never closed");
        Leave { _lane: lane, _room: room, _all: all }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use ruma::{event_id, room_id, user_id};

    use super::*;

    fn lane(thread: &ruma::EventId) -> Lane {
        Lane { room: room_id!("!r:hs").to_owned(), thread: Some(thread.to_owned()), user: user_id!("@a:hs").to_owned() }
    }

    #[test]
    fn c11_one_thread_runs_in_order_and_threads_run_in_parallel_up_to_the_room_s_limit() {
        let lanes = Lanes::new(8, 2);
        let first = lanes.place(lane(event_id!("$1"))).leave().now_or_never().expect("nothing is before it");
        let same_thread = lanes.place(lane(event_id!("$1")));
        let mut waiting = Box::pin(same_thread.leave());
        assert!((&mut waiting).now_or_never().is_none(), "the thread is taken");
        let second = lanes.place(lane(event_id!("$2"))).leave().now_or_never().expect("another thread is free");
        assert!(lanes.place(lane(event_id!("$3"))).leave().now_or_never().is_none(), "the room is full");
        drop((first, second));
        assert!(waiting.now_or_never().is_some(), "its turn has come");
    }
}
