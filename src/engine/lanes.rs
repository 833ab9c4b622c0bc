//! Order and limits of runs (C11): runs wait here; `core/schedule.rs` decides whose turn it is.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{FutureExt as _, future};
use ruma::{RoomId, UserId};
use tokio::sync::{oneshot, watch};

use crate::core::schedule::{Full, Lane, Schedule, ScheduleLimits, Ticket, Wanted};

/// The queue for all runs; cheap to clone.
#[derive(Clone)]
pub(super) struct Lanes(Arc<Mutex<Waiting>>);

struct Waiting {
    schedule: Schedule,
    /// The waiting places, each notified when its turn has come.
    to_tell: HashMap<Ticket, oneshot::Sender<()>>,
    /// Notified whenever a place was granted or given up, so that another may be free.
    moved: watch::Sender<()>,
}

/// A FIFO ticket that becomes the permit to run; dropping it gives up the place.
pub(super) struct Place {
    lanes: Lanes,
    ticket: Ticket,
    turn: future::Shared<oneshot::Receiver<()>>,
}

impl Lanes {
    pub(super) fn new(limits: ScheduleLimits) -> Self {
        Self(Arc::new(Mutex::new(Waiting {
            schedule: Schedule::new(limits),
            to_tell: HashMap::new(),
            moved: watch::Sender::new(()),
        })))
    }

    /// Takes a place for a new run, which this person asked for, if one did; fails if too many are waiting in its room.
    pub(super) fn place(&self, lane: Lane, wanted: Wanted, asker: Option<&UserId>) -> Result<Place, Full> {
        self.hold(|schedule| schedule.asked_by(asker).request(lane, wanted))
    }

    /// Takes a place for a run that was accepted before, whatever the limits.
    pub(super) fn place_again(&self, lane: Lane, wanted: Wanted, asker: Option<&UserId>) -> Place {
        let held = self.hold::<std::convert::Infallible>(|schedule| Ok(schedule.asked_by(asker).resume(lane, wanted)));
        match held {
            Ok(place) => place,
        }
    }

    /// Returns whether [`Self::place`] would fail now, for a lane of a room or a thread that has yet to begin there.
    pub(super) fn is_full(&self, room: &RoomId, lane: Option<&Lane>, wanted: Wanted) -> bool {
        self.lock().schedule.is_full(room, lane, wanted)
    }

    /// Waits until [`Self::is_full`] says no. Somebody else may be faster then.
    pub(super) async fn until_free(&self, room: &RoomId, lane: Option<&Lane>, wanted: Wanted) {
        let mut moved = self.lock().moved.subscribe();
        while self.is_full(room, lane, wanted) {
            // The sender lives as long as `self`.
            let _ = moved.changed().await;
        }
    }

    fn hold<E>(&self, take: impl FnOnce(&mut Schedule) -> Result<Ticket, E>) -> Result<Place, E> {
        let mut waiting = self.lock();
        let ticket = take(&mut waiting.schedule)?;
        let (told, turn) = oneshot::channel();
        waiting.to_tell.insert(ticket, told);
        waiting.tell();
        Ok(Place { lanes: self.clone(), ticket, turn: turn.shared() })
    }

    /// Goes on with other limits.
    pub(super) fn follow(&self, limits: ScheduleLimits) {
        let mut waiting = self.lock();
        waiting.schedule.follow(limits);
        waiting.tell();
    }

    /// Returns how many runs are going on and how many are waiting.
    pub(super) fn counts(&self) -> (usize, usize) {
        self.lock().schedule.counts()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn tell(&mut self) {
        self.moved.send_replace(());
        for ticket in self.schedule.take_granted() {
            if let Some(told) = self.to_tell.remove(&ticket) {
                // The receiver is gone only if the place is being dropped, which removes it from the schedule.
                let _ = told.send(());
            }
        }
    }
}

impl Place {
    /// Waits for its turn; from then on the place is the permit to run.
    pub(super) async fn turn(&self) {
        self.turn.clone().await.expect("a held place is told, or waits");
    }

    /// Gives up the place in the room and in the whole, but keeps the lane; see [`Self::unpark`].
    pub(super) fn park(&self) {
        let mut waiting = self.lanes.lock();
        waiting.schedule.park(self.ticket);
        waiting.tell();
    }

    /// Waits until it holds all that it had before [`Self::park`]; returns at once if it was not parked. May be called
    /// again if the future was dropped.
    pub(super) async fn unpark(&self) {
        let turn = {
            let mut waiting = self.lanes.lock();
            waiting.schedule.unpark(self.ticket);
            let (told, turn) = oneshot::channel();
            waiting.to_tell.insert(self.ticket, told);
            waiting.tell();
            if waiting.schedule.goes(self.ticket) {
                waiting.to_tell.remove(&self.ticket);
                return;
            }
            turn
        };
        turn.await.expect("a held place is told, or waits");
    }

    /// Returns how many runs are ahead of it.
    pub(super) fn ahead(&self) -> usize {
        // Counts on a clone, so that the lock is not held.
        let schedule = self.lanes.lock().schedule.clone();
        schedule.ahead(self.ticket)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.lanes.lock();
        waiting.to_tell.remove(&self.ticket);
        waiting.schedule.release(self.ticket);
        waiting.tell();
    }
}

#[cfg(test)]
mod tests {
    use ruma::{event_id, room_id, user_id};

    use super::*;

    fn lanes() -> Lanes {
        Lanes::new(ScheduleLimits { runs_max: 8, room_runs_max: 2, waiting_runs_max: 2 })
    }

    fn lane(thread: &ruma::EventId) -> Lane {
        Lane { room: room_id!("!r:hs").to_owned(), thread: Some(thread.to_owned()), user: user_id!("@a:hs").to_owned() }
    }

    fn has_turn(place: &Place) -> bool {
        place.turn().now_or_never().is_some()
    }

    #[test]
    fn c11_a_place_waits_for_its_turn_and_gives_it_on_when_dropped() {
        let lanes = lanes();
        let [first, second, other] = [event_id!("$1"), event_id!("$1"), event_id!("$2")]
            .map(|thread| lanes.place(lane(thread), Wanted::ByPerson, None).expect("few wait"));
        assert_eq!([&first, &second, &other].map(has_turn), [true, false, true]);
        drop(other);
        assert!(!has_turn(&second), "the thread is still taken");
        drop(first);
        assert!(has_turn(&second) && has_turn(&second), "its turn has come, and stays");
    }

    #[test]
    fn c11_who_waits_for_a_line_to_have_room_is_woken_by_each_place_that_is_given_up_or_granted() {
        let lanes = Lanes::new(ScheduleLimits { runs_max: 8, room_runs_max: 2, waiting_runs_max: 1 });
        let (room, errand) = (room_id!("!r:hs"), Wanted::ByNobody);
        let [going, waits] = [event_id!("$1"), event_id!("$2")].map(|thread| lanes.place(lane(thread), errand, None));
        let (going, waits) = (going.expect("it goes"), waits.expect("it waits"));
        assert!(has_turn(&going) && !has_turn(&waits), "one errand at a time in this room");
        let new = || Some(lane(event_id!("$3")));
        assert!(lanes.is_full(room, new().as_ref(), errand) && lanes.is_full(room, None, errand));
        assert!(!lanes.is_full(room, None, Wanted::ByPerson), "a person finds a place");
        assert!(!lanes.is_full(room_id!("!other:hs"), None, errand), "another room has a line of its own");

        let mut freed = std::pin::pin!(lanes.until_free(room, None, errand));
        assert!(freed.as_mut().now_or_never().is_none(), "it is full");
        drop(going);
        assert!(
            has_turn(&waits) && freed.now_or_never().is_some(),
            "the one that waited goes: its place in line is free"
        );
        drop(waits);
        assert!(lanes.until_free(room, None, errand).now_or_never().is_some());
    }

    #[test]
    fn c12_a_parked_place_lets_others_go_keeps_its_thread_and_comes_back() {
        let lanes = Lanes::new(ScheduleLimits { runs_max: 1, room_runs_max: 1, waiting_runs_max: 2 });
        let [first, behind, other] = [event_id!("$1"), event_id!("$1"), event_id!("$2")]
            .map(|thread| lanes.place_again(lane(thread), Wanted::ByPerson, None));
        assert_eq!([&first, &behind, &other].map(has_turn), [true, false, false]);
        first.park();
        assert_eq!([&behind, &other].map(has_turn), [false, true], "its thread waits, another goes");

        assert!(first.unpark().now_or_never().is_none(), "the other has the place; and the wait is given up");
        drop(other);
        assert!(first.unpark().now_or_never().is_some() && first.unpark().now_or_never().is_some());
        assert!(!has_turn(&behind));
        first.park();
        drop(first);
        assert!(has_turn(&behind), "a parked place is given up as any other");
        drop(behind);
        assert!(lanes.lock().to_tell.is_empty());
    }

    #[test]
    fn c11_a_place_that_is_given_up_while_waiting_holds_up_nobody() {
        let lanes = lanes();
        let first = lanes.place(lane(event_id!("$1")), Wanted::ByPerson, None).expect("nobody waits");
        let given_up = lanes.place(lane(event_id!("$1")), Wanted::ByPerson, None).expect("nobody waits");
        let last = lanes.place(lane(event_id!("$1")), Wanted::ByPerson, None).expect("one waits");
        assert_eq!((given_up.ahead(), last.ahead()), (0, 1));
        assert!(lanes.place(lane(event_id!("$1")), Wanted::ByPerson, None).is_err(), "two wait");
        let resumed = lanes.place_again(lane(event_id!("$1")), Wanted::ByPerson, None);
        drop(given_up);
        assert_eq!((last.ahead(), resumed.ahead()), (0, 1));
        drop(first);
        assert!(has_turn(&last));
        drop((last, resumed));
        assert!(lanes.lock().to_tell.is_empty());
    }
}
