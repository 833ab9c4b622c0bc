//! Decrypts events from transactions, ahead of the sync that also delivers them, if their session's key is here.
//!
//! The sync then runs in parallel with the model call. Nothing is encrypted before it has ended, because it reports
//! devices and members that came or went. Without the key no attempt is made: the SDK would ask the backup and other
//! devices for it, although the next sync most likely delivers it.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use matrix_sdk::{
    deserialized_responses::TimelineEvent, ruma::events::room::encrypted::OriginalSyncRoomEncryptedEvent,
};
use ruma::{RoomId, serde::Raw};
use tokio::time::Instant;

use super::{Account, megolm::Megolm};
use crate::matrix::{
    error::MatrixError,
    inbound::{Read, Rules},
};

/// Most sessions remembered as decryptable; the oldest are dropped.
const SESSIONS_MAX: usize = 1_024;
/// How long people's devices count as known since the sync that reported them: an answer that took longer to write is
/// preceded by another sync, because nothing else tells of a new device.
const DEVICES_KEPT: Duration = Duration::from_secs(10);
/// How long what is encrypted waits for such a sync.
const DEVICES_PATIENCE: Duration = Duration::from_secs(5);
/// The pause after such a sync that failed; meanwhile devices count as known.
const DEVICES_PAUSE: Duration = Duration::from_secs(30);
/// The longest session id (spec, "m.megolm.v1.aes-sha2": 43 characters).
const SESSION_BYTES_MAX: usize = 64;

/// Which events a client can decrypt ahead of its syncs, and which sync must precede its next encryption.
#[derive(Default)]
pub(super) struct Ahead {
    sessions: Mutex<Sessions>,
    /// Before anything is encrypted, a sync that began at this time or later must have ended.
    due: Mutex<Option<Instant>>,
    /// When a sync for people's devices failed last.
    failed: Mutex<Option<Instant>>,
}

/// The ids of Megolm sessions with which this client has decrypted.
#[derive(Default)]
struct Sessions {
    known: HashSet<String>,
    order: VecDeque<String>,
}

impl Sessions {
    fn add(&mut self, session: &str) {
        if session.len() > SESSION_BYTES_MAX || !self.known.insert(session.to_owned()) {
            return;
        }
        self.order.push_back(session.to_owned());
        if self.order.len() > SESSIONS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

impl Ahead {
    /// Remembers the sessions with which these events were decrypted.
    pub(super) fn note(&self, events: &[TimelineEvent]) {
        let infos = events.iter().filter_map(|event| event.encryption_info());
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        for session in infos.filter_map(|info| info.session_id()) {
            sessions.add(session);
        }
    }

    fn knows(&self, session: &str) -> bool {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).known.contains(session)
    }

    /// Forbids encrypting before a sync that began at `since` or later.
    fn owe(&self, since: Instant) {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        *due = Some(due.map_or(since, |known| known.max(since)));
    }

    fn due(&self) -> Option<Instant> {
        *self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the sync that people's devices are worth at `now`, if what is `owed` anyway does not include it.
    fn worth(&self, owed: Option<Instant>, now: Instant) -> Option<Instant> {
        let failed = *self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.is_some_and(|failed| now.duration_since(failed) < DEVICES_PAUSE) {
            return None;
        }
        now.checked_sub(DEVICES_KEPT).filter(|fresh| Some(*fresh) > owed)
    }
}

impl Account {
    /// Decrypts an encrypted event from a transaction that came at `accepted`; `None` if a sync has to come first.
    pub async fn read_ahead(&self, room: &RoomId, json: &str, accepted: Instant) -> Option<Read> {
        let sealed = Megolm::of(json)?;
        if !self.ahead.knows(&sealed.session) {
            return None;
        }
        let here = self.room(room).ok()?;
        let event: Raw<OriginalSyncRoomEncryptedEvent> = Raw::from_json_string(json.to_owned()).ok()?;
        let decrypted = here.decrypt_event(&event, None).await.ok()?;
        // The room's rules do not apply to decrypted events.
        let read = self.opened(room, &Rules::default(), &decrypted).await.filter(|read| read.sealed.is_none())?;
        // What this user said itself tells nothing new of who can read it.
        if sealed.sender != self.user {
            self.ahead.owe(accepted);
        }
        Some(Read { ciphertext: Some(sealed.place(room)), ..read })
    }

    /// Makes sure that every change of who can read a room is known before anything is encrypted for it.
    ///
    /// # Errors
    /// As [`Self::sync_since`].
    pub(super) async fn keep_up_with(&self, room: &RoomId) -> Result<(), MatrixError> {
        let behind = self.behind.lock().unwrap_or_else(PoisonError::into_inner).get(room).copied();
        let owed = self.ahead.due().max(behind);
        // Devices come and go without an event in any room. Where this sync fails, they are as known as they were.
        if let Some(fresh) = self.ahead.worth(owed, Instant::now()) {
            let synced = tokio::time::timeout(DEVICES_PATIENCE, Box::pin(self.sync_since(fresh))).await;
            if matches!(synced, Ok(Ok(()))) {
                return Ok(());
            }
            *self.ahead.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        match owed {
            Some(since) => Box::pin(self.sync_since(since)).await,
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sessions_that_were_found_last_are_known() {
        let mut sessions = Sessions::default();
        for number in 0..SESSIONS_MAX + 2 {
            sessions.add(&format!("session-{number}"));
            sessions.add("session-2");
        }
        sessions.add(&"x".repeat(SESSION_BYTES_MAX + 1));
        assert_eq!((sessions.known.len(), sessions.order.len()), (SESSIONS_MAX, SESSIONS_MAX));
        assert!(!sessions.known.contains("session-1") && sessions.known.contains("session-9"));
    }

    #[tokio::test]
    async fn after_a_failed_sync_devices_count_as_known_for_a_while() {
        let (ahead, now) = (Ahead::default(), Instant::now() + Duration::from_mins(5));
        let fresh = now - DEVICES_KEPT;
        assert_eq!(ahead.worth(None, now), Some(fresh));
        assert_eq!(ahead.worth(Some(fresh - Duration::from_secs(1)), now), Some(fresh));
        assert_eq!(ahead.worth(Some(fresh), now), None, "it is owed anyway");
        *ahead.failed.lock().expect("no panic") = Some(now);
        let soon = now + DEVICES_PAUSE - Duration::from_millis(1);
        assert_eq!((ahead.worth(None, soon), ahead.worth(None, now + DEVICES_PAUSE).is_some()), (None, true));
    }

    #[tokio::test]
    async fn the_latest_sync_that_is_owed_counts() {
        let (ahead, now) = (Ahead::default(), Instant::now());
        assert_eq!(ahead.due(), None);
        ahead.owe(now);
        ahead.owe(now - Duration::from_secs(1));
        assert_eq!(ahead.due(), Some(now));
    }
}
