//! The durable list of events to process: transactions fill it, the engine empties it, each event enters once.

use std::{
    ops::RangeInclusive,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use ruma::{EventId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId};
use serde::{Deserialize, Serialize};
use sled::{
    Batch,
    transaction::{ConflictableTransactionError, TransactionError, Transactional as _},
};
use tokio::sync::watch;

use super::{Store, error::StoreError, key::Key as _, lock, seal::Seal, table::SealedTree};
use crate::core::time::Timestamp;

/// How long transaction and event ids are remembered, in days; a homeserver gives up retrying long before.
const REMEMBERED_DAYS: i64 = 30;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Old ids forgotten with each part of a transaction, beyond twice the ids that the part adds.
const FORGOTTEN_SPARE: usize = 64;
/// Old ids forgotten by one call of [`Inbox::forget_before`].
const FORGOTTEN_MAX: usize = 10_000;

/// Events stored in one database transaction. A larger one costs memory more than in proportion, and sled keeps it.
const EVENTS_AT_ONCE_MAX: usize = 100;

const LAST_SEQ: &str = "last_seq";

/// An event from a transaction, with its envelope checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboxEvent {
    /// The event's id; an id that is known already is not stored again.
    pub event_id: OwnedEventId,
    /// The room it was sent to.
    pub room_id: OwnedRoomId,
    /// Who sent it, as the homeserver says.
    pub sender: OwnedUserId,
    /// The `type`, e.g. `m.room.encrypted`; an encrypted event's inner type is not known yet.
    pub event_type: String,
    /// `state_key`; `None` if it is not a state event.
    pub state_key: Option<String>,
    /// `origin_server_ts`, which the sender's server chose.
    pub sent_at: Timestamp,
    /// The whole event as JSON, as it arrived.
    pub json: String,
}

/// An event that waits to be processed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxEntry {
    /// Its place in the order of arrival: from 1, increasing, never reused.
    pub seq: u64,
    /// When its transaction arrived.
    pub accepted_at: Timestamp,
    /// The event itself.
    pub event: InboxEvent,
}

/// The outcome of accepting a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// How many events were new and are now in the inbox.
    pub new: usize,
    /// Whether a transaction with this id was accepted before.
    pub duplicate_transaction: bool,
}

/// The inbox of one registration; cheap to clone.
#[derive(Clone, Debug)]
pub struct Inbox {
    store: Store,
    fingerprint: [u8; 16],
}

#[derive(Serialize, Deserialize)]
struct Record {
    accepted_at: Timestamp,
    event: InboxEvent,
}

impl Inbox {
    pub(super) fn new(store: Store, fingerprint: [u8; 16]) -> Self {
        Self { store, fingerprint }
    }

    /// Stores the events that are not known yet, in order, and returns once they are durable.
    ///
    /// An event is known by its id, whichever transaction brought it. A repeated transaction normally holds only known
    /// events; unknown ones in it are kept too, because a reinstalled homeserver counts from the start again.
    /// Concurrent calls are safe: the events of each stay together.
    ///
    /// # Errors
    /// If the store cannot be read or written. Then the transaction must not be acknowledged; resending it neither
    /// loses nor duplicates events.
    ///
    /// # Panics
    /// If the recording task panicked, which it does not.
    pub async fn accept(&self, txn_id: &str, events: Vec<InboxEvent>, now: Timestamp) -> Result<Accepted, StoreError> {
        let seals = self.store.seals();
        let (inner, transaction) = (Arc::clone(&self.store.0), transaction_key(self.fingerprint, txn_id));
        let number = txn_id.parse().ok();
        // Runs to its end even if the caller goes away, so that stored events are always announced.
        let recording = tokio::task::spawn_blocking(move || {
            // Seal rooms before any event is handled, so that a run about to speak sees it.
            for event in &events {
                seals.take(event)?;
            }
            let (accepted, last_seq) =
                inner.inbox.record(&transaction, events, now).map_err(|error| inner.note(error))?;
            inner.flush()?;
            inner.inbox.note_number(number);
            inner.accepted.send_if_modified(|highest| {
                let is_news = last_seq > *highest;
                *highest = last_seq.max(*highest);
                is_news
            });
            Ok(accepted)
        });
        recording.await.expect("recording a transaction does not panic")
    }

    /// Returns a watch on the highest durable sequence number.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.store.0.accepted.subscribe()
    }

    /// Returns a watch on how often the homeserver restarted its transaction numbers, as Synapse does at each start.
    ///
    /// Gaps in the numbers mean nothing: a homeserver may share one count among all its application services.
    #[must_use]
    pub fn watch_recounts(&self) -> watch::Receiver<u64> {
        self.store.0.inbox.recounts.subscribe()
    }

    /// Returns those of the events, in order, that the inbox never had or has forgotten.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn unknown<'a>(&self, events: impl IntoIterator<Item = &'a EventId>) -> Result<Vec<&'a EventId>, StoreError> {
        let mut unknown = Vec::new();
        for event in events {
            if !self.store.0.inbox.is_seen(&[b"e", event.as_bytes()].concat())? {
                unknown.push(event);
            }
        }
        Ok(unknown)
    }

    /// Returns at most `most` entries after the sequence number `after` (0 for all), oldest first.
    ///
    /// # Errors
    /// If the store cannot be read or an entry is damaged.
    pub fn pending(&self, after: u64, most: usize) -> Result<Vec<InboxEntry>, StoreError> {
        let entries = &self.store.0.inbox.entries;
        let Some(from) = after.checked_add(1) else { return Ok(Vec::new()) };
        entries.tree.range(from.to_bytes()..).take(most).map(|entry| self.entry(entry)).collect()
    }

    /// Returns at most `most` entries of one room whose sequence numbers lie in `range`, oldest first.
    ///
    /// Walks over other rooms' entries in between.
    ///
    /// # Errors
    /// As [`Self::pending`].
    pub fn pending_in(
        &self,
        room: &RoomId,
        range: RangeInclusive<u64>,
        most: usize,
    ) -> Result<Vec<InboxEntry>, StoreError> {
        let range = range.start().to_bytes()..=range.end().to_bytes();
        let entries = self.store.0.inbox.entries.tree.range(range).map(|entry| self.entry(entry));
        entries.filter(|entry| entry.as_ref().map_or(true, |entry| entry.event.room_id == room)).take(most).collect()
    }

    fn entry(&self, stored: sled::Result<(sled::IVec, sled::IVec)>) -> Result<InboxEntry, StoreError> {
        let entries = &self.store.0.inbox.entries;
        let (key, sealed) = stored.map_err(|source| entries.failed(source))?;
        let seq = u64::from_bytes(&key).ok_or_else(|| entries.corrupt("its key is no sequence number"))?;
        let Record { accepted_at, event } = entries.open(&key, &sealed)?;
        Ok(InboxEntry { seq, accepted_at, event })
    }

    /// Removes an entry that is fully processed; its event id stays known.
    ///
    /// Durable with the next flush. After a crash the entry may come again, so its run must be recorded by then.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn done(&self, seq: u64) -> Result<(), StoreError> {
        self.store.0.inbox.entries.remove(&seq.to_bytes())
    }

    /// Counts the waiting entries by walking over all of them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.store.0.inbox.entries.tree.len()
    }

    /// Returns whether no entry is waiting.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.store.0.inbox.entries.tree.is_empty()
    }

    /// Forgets at most 10 000 ids accepted before `before`, and returns how many; waiting entries are kept.
    ///
    /// Each [`Self::accept`] does this itself for ids older than 30 days.
    ///
    /// # Errors
    /// If the store cannot be read or written.
    pub fn forget_before(&self, before: Timestamp) -> Result<usize, StoreError> {
        let trees = &self.store.0.inbox;
        let _writing = lock(&trees.writing);
        let mut change = Change::default();
        let forgotten = trees.forget(&mut change, before, FORGOTTEN_MAX)?;
        trees.apply(&change)?;
        Ok(forgotten)
    }
}

/// The trees that all [`Inbox`] handles share.
pub(super) struct InboxTrees {
    /// Sequence number → sealed [`Record`].
    entries: SealedTree,
    /// Ids of accepted transactions and events; no values.
    seen: sled::Tree,
    /// Time of acceptance and id, for forgetting the oldest first; no values.
    seen_by_time: sled::Tree,
    /// Holds [`LAST_SEQ`].
    state: sled::Tree,
    /// Held from the lookup of an id until it is written, so that each event is stored once and in order.
    writing: Mutex<()>,
    /// The newest transaction's number, for ids that are numbers; 0 before the first.
    number: AtomicU64,
    recounts: watch::Sender<u64>,
}

/// The changes of one database transaction.
#[derive(Default)]
struct Change {
    entries: Batch,
    seen: Batch,
    seen_by_time: Batch,
    state: Batch,
}

impl InboxTrees {
    pub(super) fn open(db: &sled::Db, seal: &Seal, dir: &Arc<Path>) -> Result<Self, StoreError> {
        let open = |name| db.open_tree(name).map_err(|source| StoreError::from_sled(dir, source));
        let name = "inbox_entries";
        Ok(Self {
            entries: SealedTree { tree: open(name)?, name, seal: seal.clone(), dir: Arc::clone(dir) },
            seen: open("inbox_seen")?,
            seen_by_time: open("inbox_seen_by_time")?,
            state: open("inbox_state")?,
            writing: Mutex::new(()),
            number: AtomicU64::new(0),
            recounts: watch::Sender::new(0),
        })
    }

    /// Returns the events that wait.
    pub(super) fn entries(&self) -> &SealedTree {
        &self.entries
    }

    /// Returns the highest sequence number given out; 0 before the first.
    pub(super) fn last_seq(&self) -> Result<u64, StoreError> {
        let Some(bytes) = self.state.get(LAST_SEQ).map_err(|source| self.entries.failed(source))? else {
            return Ok(0);
        };
        u64::from_bytes(&bytes).ok_or_else(|| self.entries.corrupt("the last sequence number is no number"))
    }

    /// Stores a transaction's new events, part by part, and returns the highest sequence number too. After a failure
    /// some parts may be stored; their events are known when the transaction is resent.
    fn record(
        &self,
        transaction: &[u8],
        events: Vec<InboxEvent>,
        now: Timestamp,
    ) -> Result<(Accepted, u64), StoreError> {
        let _writing = lock(&self.writing);
        let oldest = Timestamp::from_ms(now.as_ms().saturating_sub(REMEMBERED_DAYS * DAY_MS));
        let duplicate_transaction = self.is_seen(transaction)?;
        let mut last = self.last_seq()?;
        let (mut new, mut left) = (0, events.into_iter());
        loop {
            let mut change = Change::default();
            self.forget(&mut change, oldest, 2 * EVENTS_AT_ONCE_MAX + FORGOTTEN_SPARE)?;
            let mut ids = std::collections::HashSet::new();
            for event in left.by_ref().take(EVENTS_AT_ONCE_MAX) {
                let id = event_key(&event);
                if self.is_seen(&id)? || !ids.insert(id.clone()) {
                    continue;
                }
                last += 1;
                let key = last.to_bytes();
                let sealed = self.entries.seal(&key, &Record { accepted_at: now, event })?;
                change.entries.insert(key, sealed);
                change.remember(&id, now);
            }
            new += ids.len();
            let is_last = left.len() == 0;
            if is_last && !duplicate_transaction {
                change.remember(transaction, now);
            }
            change.state.insert(LAST_SEQ, last.to_bytes());
            self.apply(&change)?;
            if is_last {
                return Ok((Accepted { new, duplicate_transaction }, last));
            }
        }
    }

    /// Notes a transaction's number: a lower one than the last means that the homeserver restarted its count.
    fn note_number(&self, number: Option<u64>) {
        let Some(number) = number else { return };
        if number < self.number.swap(number, Ordering::Relaxed) {
            self.recounts.send_modify(|recounts| *recounts += 1);
        }
    }

    fn is_seen(&self, id: &[u8]) -> Result<bool, StoreError> {
        self.seen.contains_key(id).map_err(|source| self.entries.failed(source))
    }

    fn forget(&self, change: &mut Change, before: Timestamp, most: usize) -> Result<usize, StoreError> {
        let mut forgotten = 0;
        for entry in self.seen_by_time.range(..before.to_bytes()).keys().take(most) {
            let key = entry.map_err(|source| self.entries.failed(source))?;
            let id = key.get(TIME_BYTES..).ok_or_else(|| self.entries.corrupt("a remembered id has no time"))?;
            change.seen.remove(id);
            change.seen_by_time.remove(&key);
            forgotten += 1;
        }
        Ok(forgotten)
    }

    fn apply(&self, change: &Change) -> Result<(), StoreError> {
        let trees = (&self.entries.tree, &self.seen, &self.seen_by_time, &self.state);
        let applied = trees.transaction(|(entries, seen, seen_by_time, state)| {
            entries.apply_batch(&change.entries)?;
            seen.apply_batch(&change.seen)?;
            seen_by_time.apply_batch(&change.seen_by_time)?;
            state.apply_batch(&change.state)?;
            Ok::<(), ConflictableTransactionError<sled::Error>>(())
        });
        applied.map_err(|error| match error {
            TransactionError::Abort(source) | TransactionError::Storage(source) => self.entries.failed(source),
        })
    }
}

/// Bytes of a [`Timestamp`] as a key.
const TIME_BYTES: usize = 8;

impl Change {
    fn remember(&mut self, id: &[u8], now: Timestamp) {
        self.seen.insert(id, &[]);
        self.seen_by_time.insert([now.to_bytes().as_slice(), id].concat(), &[]);
    }
}

fn transaction_key(fingerprint: [u8; 16], txn_id: &str) -> Vec<u8> {
    [b"t".as_slice(), &fingerprint, txn_id.as_bytes()].concat()
}

fn event_key(event: &InboxEvent) -> Vec<u8> {
    [b"e", event.event_id.as_bytes()].concat()
}

#[cfg(test)]
mod tests;
