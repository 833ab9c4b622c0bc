//! The inbox worker: entries of one room in order, rooms in parallel.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ruma::OwnedRoomId;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::Instant,
};

use self::lines::{HeldLimits, Left, Lines, Next};
use super::{Shared, caught::caught};
use crate::{
    core::retry::{Failures, Others},
    store::{InboxEntry, StoreError},
};

mod lines;

/// Entries read from the store at once.
const BATCH: usize = 256;
/// Limits of entries waiting in memory; the rest stay in the store and are read when their turn comes.
const HELD_LIMITS: HeldLimits = HeldLimits { room_max: 64, all_max: 1_024 };
/// Rooms whose events are handled at the same time.
const ROOMS_AT_ONCE_MAX: usize = 64;
/// Pause before the store is read again after a failed read.
const READ_AGAIN: Duration = Duration::from_secs(2);

/// What became of an entry.
pub(super) enum Handled {
    /// It is done; the inbox may forget it.
    Done,
    /// Its own task continues with it and reports when it is done.
    Parked,
}

/// Waiting entries by room; a room has a line while a task works on it.
struct Waiting {
    lines: Mutex<Lines>,
    /// Places for rooms that are being worked on; a room holds none between two tries.
    places: Semaphore,
    /// How many entries were handled without trouble.
    handled: AtomicU64,
}

/// Takes entries until told to stop; unfinished ones are taken again at the next start.
pub(super) async fn work(engine: Shared) {
    let (lines, places) = (Mutex::new(Lines::new(HELD_LIMITS)), Semaphore::new(ROOMS_AT_ONCE_MAX));
    let waiting = Arc::new(Waiting { lines, places, handled: AtomicU64::new(0) });
    let mut news = engine.entries.inbox.watch();
    let mut after = 0;
    loop {
        // Read before the batch, so that everything up to here is either in the batch or done.
        let durable = *news.borrow_and_update();
        let batch = match engine.entries.inbox.pending(after, BATCH) {
            Ok(batch) => batch,
            Err(error) => {
                tracing::error!(%error, "the inbox cannot be read; trying again");
                tokio::time::sleep(READ_AGAIN).await;
                continue;
            }
        };
        let (accepted, whole) = (Instant::now(), batch.len() == BATCH);
        for entry in batch {
            after = entry.seq;
            let room = entry.event.room_id.clone();
            if waiting.lock().push(entry, accepted) {
                engine.tasks.spawn(drain(engine.clone(), waiting.clone(), room));
            }
        }
        if whole {
            continue;
        }
        after = after.max(durable);
        tokio::select! {
            () = engine.stop.cancelled() => return,
            changed = news.changed() => if changed.is_err() { return },
        }
    }
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn drain(engine: Shared, waiting: Arc<Waiting>, room: OwnedRoomId) {
    loop {
        let Ok(place) = waiting.places.acquire().await else { return };
        let Some((entry, accepted)) = next(&engine, &waiting, &room).await else { return };
        tokio::select! {
            () = engine.stop.cancelled() => return,
            () = handle(&engine, &waiting, &entry, accepted, place) => {}
        }
    }
}

/// Returns a room's next entry, read from the store if it was left there; `None` if nothing waits, or at a stop.
async fn next(engine: &Shared, waiting: &Waiting, room: &OwnedRoomId) -> Option<(InboxEntry, Instant)> {
    loop {
        let next = waiting.lock().next(room);
        let (left, most) = match next {
            Next::Entry(entry) => return Some(*entry),
            Next::Read(left, most) => (left, most),
            Next::Nothing => return None,
        };
        match read_left(engine, room, left, most).await {
            Ok(read) => waiting.lock().refill(room, (left, most), read, Instant::now()),
            Err(error) => {
                tracing::error!(room.id = %room, %error, "the inbox cannot be read; trying again");
                tokio::select! {
                    () = engine.stop.cancelled() => return None,
                    () = tokio::time::sleep(READ_AGAIN) => {}
                }
            }
        }
    }
}

async fn read_left(
    engine: &Shared,
    room: &OwnedRoomId,
    left: Left,
    most: usize,
) -> Result<Vec<InboxEntry>, StoreError> {
    let (inbox, room) = (engine.entries.inbox.clone(), room.clone());
    // This also reads other rooms' entries in between, which may be many.
    let reading = tokio::task::spawn_blocking(move || inbox.pending_in(&room, left.from..=left.to, most));
    reading.await.expect("reading the inbox does not panic")
}

/// Handles one entry until it is done or given up. An outage of the homeserver is waited out; an entry that fails while
/// the homeserver answers is given up after a limited number of tries. Between two tries, others may use the room's
/// place.
async fn handle<'a>(
    engine: &Shared,
    waiting: &'a Waiting,
    entry: &InboxEntry,
    accepted: Instant,
    mut place: SemaphorePermit<'a>,
) {
    let (mut failures, mut doubts) = (Failures::default(), Failures::default());
    let mut handled_before = waiting.handled.load(Ordering::Relaxed);
    loop {
        let began = Instant::now();
        let error = match caught(Box::pin(engine.clone().take(entry, accepted))).await {
            Ok(Handled::Done) => {
                waiting.handled.fetch_add(1, Ordering::Relaxed);
                return engine.entries.done(entry);
            }
            Ok(Handled::Parked) => return,
            Err(error) => error,
        };
        drop(place);
        if failures.count() == 0 {
            handled_before = waiting.handled.load(Ordering::Relaxed);
        }
        let handled_since = waiting.handled.load(Ordering::Relaxed) > handled_before;
        let others = if handled_since { Others::Succeed } else { Others::Unknown };
        let waited = engine.entries.waits_after(&error, began, &mut failures, others).await
            || Box::pin(engine.doubts.waits_out_doubt(entry, &error, &mut doubts)).await;
        if !waited {
            engine.entries.give_up(entry, &error).await;
            return engine.entries.done(entry);
        }
        tracing::debug!(
            room.id = %entry.event.room_id, event.id = %entry.event.event_id, tries = failures.count(), %error,
            "an event could not be handled yet; it is tried again"
        );
        let Ok(free) = waiting.places.acquire().await else { return };
        place = free;
    }
}
