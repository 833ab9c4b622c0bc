//! The inbox worker: entries of one room in order, rooms side by side.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ruma::OwnedRoomId;
use tokio::{sync::Semaphore, time::Instant};

use self::lines::{HeldLimits, Left, Lines, Next};
use super::{Engine, Shared, records::Cursor};
use crate::store::{InboxEntry, StoreError};

mod lines;

/// Entries read from the store at once.
const BATCH: usize = 256;
/// Entries that wait in memory; those beyond stay in the store and are read from there when their turn comes.
const HELD_LIMITS: HeldLimits = HeldLimits { room_max: 64, all_max: 1_024 };
/// Rooms whose events are handled at the same time.
const ROOMS_AT_ONCE_MAX: usize = 64;
/// Pauses before an entry is tried again whose handling failed for a passing reason; the last one repeats.
const RETRIES: [Duration; 5] = [
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_mins(1),
];

/// What became of an entry.
pub(super) enum Handled {
    /// It needs no more; the inbox may forget it.
    Done,
    /// A task of its own goes on with it and says when it is done.
    Parked,
}

/// Entries that wait, by room; a room has a line while a task works on it.
struct Waiting(Mutex<Lines>);

/// Takes entries until told to stop. What is not done then is taken again at the next start.
pub(super) async fn work(engine: Shared) {
    let waiting = Arc::new(Waiting(Mutex::new(Lines::new(HELD_LIMITS))));
    let places = Arc::new(Semaphore::new(ROOMS_AT_ONCE_MAX));
    let mut news = engine.inbox.watch();
    let mut after = 0;
    loop {
        // Looked at before the batch is read: everything up to here is then in the batch, or done.
        let durable = *news.borrow_and_update();
        let batch = match engine.inbox.pending(after, BATCH) {
            Ok(batch) => batch,
            Err(error) => {
                tracing::error!(%error, "the inbox cannot be read; trying again");
                tokio::time::sleep(RETRIES[1]).await;
                continue;
            }
        };
        let (accepted, whole) = (Instant::now(), batch.len() == BATCH);
        for entry in batch {
            after = entry.seq;
            let room = entry.event.room_id.clone();
            if waiting.lock().push(entry, accepted) {
                engine.tasks.spawn(drain(engine.clone(), waiting.clone(), places.clone(), room));
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn drain(engine: Shared, waiting: Arc<Waiting>, places: Arc<Semaphore>, room: OwnedRoomId) {
    loop {
        let Ok(_place) = places.acquire().await else { return };
        let Some((entry, accepted)) = next(&engine, &waiting, &room).await else { return };
        let handling = handle(&engine, &entry, accepted);
        tokio::select! {
            () = engine.stop.cancelled() => return,
            () = handling => {}
        }
    }
}

/// Returns a room's next entry, from the store where it was left there; `None` where nothing waits, or at stop.
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
                    () = tokio::time::sleep(RETRIES[1]) => {}
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
    let (inbox, room) = (engine.inbox.clone(), room.clone());
    // Other rooms' entries in between are looked at too; that may be many.
    let reading = tokio::task::spawn_blocking(move || inbox.pending_in(&room, left.from..=left.to, most));
    reading.await.expect("reading the inbox does not panic")
}

/// Handles one entry, again and again while the homeserver is away.
async fn handle(engine: &Shared, entry: &InboxEntry, accepted: Instant) {
    let mut tries = 0;
    loop {
        match Box::pin(engine.clone().take(entry, accepted)).await {
            Ok(Handled::Done) => return engine.done(entry),
            Ok(Handled::Parked) => return,
            Err(error) if error.is_passing() => {
                let pause = RETRIES[tries.min(RETRIES.len() - 1)];
                tracing::warn!(
                    room.id = %entry.event.room_id, event.id = %entry.event.event_id, %error,
                    "an event cannot be handled yet; it is kept and tried again"
                );
                tokio::time::sleep(pause).await;
                tries += 1;
            }
            Err(error) => {
                tracing::error!(
                    room.id = %entry.event.room_id, event.id = %entry.event.event_id, %error,
                    "an event cannot be handled; it is left unanswered"
                );
                return engine.done(entry);
            }
        }
    }
}

impl Engine {
    /// Notes that an entry needs no more.
    pub(super) fn done(&self, entry: &InboxEntry) {
        let event = &entry.event;
        let cursor = Cursor { event: event.event_id.clone(), sent_at: event.sent_at };
        let noted = self.tables.cursors.put(&event.room_id, &cursor).and_then(|()| self.inbox.done(entry.seq));
        if let Err(error) = noted {
            // Taken again at the next start; the run's id keeps it from being answered twice.
            tracing::error!(event.id = %event.event_id, %error, "the inbox cannot note that an event is done");
        }
    }
}
