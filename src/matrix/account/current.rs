//! How an account keeps up with its rooms: by syncs on demand, and by events that transactions bring.

use std::{
    sync::{PoisonError, atomic::Ordering},
    time::Duration,
};

use matrix_sdk::{
    Room, RoomState,
    config::{SyncSettings, SyncToken},
    ruma::{
        UInt,
        api::client::{
            filter::{FilterDefinition, LazyLoadOptions},
            sync::sync_events::v3::Filter as SyncFilter,
        },
        events::AnyRoomAccountDataEvent,
        presence::PresenceState,
        serde::Raw,
    },
    sync::SyncResponse,
};
use ruma::{EventId, OwnedRoomId, RoomId};
use tokio::time::Instant;
use tracing::Instrument as _;

use super::Account;
use crate::matrix::{
    disk::require_room,
    error::MatrixError,
    inbound::Read,
    marks::{AUDIT_MARK, LOBBY_MARK},
    proxy::cutting::CUT_MARK,
};

/// Timeline events of each room in a sync; older ones are fetched on demand.
const SYNC_TIMELINE_MAX: u32 = 30;

/// To-device messages that Synapse gives in one sync at most (`sync.py`, 100): where there are as many, more may wait.
const TO_DEVICE_FULL: usize = 100;

/// The longest timeout of a first sync, in milliseconds.
const FIRST_SYNC_MS_MAX: u64 = 250;

/// Pauses before the repetitions of a sync that is forbidden, which a proxy may say for a while.
const FORBIDDEN_PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// State types requested in syncs: those that the SDK stores and those that we read. Anybody can fill a room with any
/// amount of other state.
const STATE_TYPES: [&str; 16] = [
    "m.room.create",
    "m.room.member",
    "m.room.encryption",
    "m.room.power_levels",
    "m.room.join_rules",
    "m.room.history_visibility",
    "m.room.guest_access",
    "m.room.tombstone",
    "m.room.name",
    "m.room.topic",
    "m.room.avatar",
    "m.room.canonical_alias",
    "m.room.pinned_events",
    "m.space.parent",
    AUDIT_MARK,
    LOBBY_MARK,
];

impl Account {
    /// Makes sure that a sync which began at or after `since` has ended; concurrent callers share one sync.
    ///
    /// # Errors
    /// When the homeserver does not answer; the caller tries again.
    pub async fn sync_since(&self, since: Instant) -> Result<(), MatrixError> {
        let Some(me) = self.me.upgrade() else { return self.sync_to_end(since).await };
        // In its own task, so that it ends even if a stopped run drops this future. The SDK records early what it has
        // received, so an aborted sync would never deliver the rest to the window.
        let syncing = async move { me.sync_to_end(since).await };
        match tokio::spawn(syncing.in_current_span()).await {
            Ok(synced) => synced,
            Err(ended) => match ended.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is shutting down, and this future with it.
                Err(_) => std::future::pending().await,
            },
        }
    }

    async fn sync_to_end(&self, since: Instant) -> Result<(), MatrixError> {
        let mut last = self.last_sync.lock().await;
        if last.is_some_and(|begun| begun >= since) {
            return Ok(());
        }
        require_room(&self.dir)?;
        let (begun, owes_start_over) = (Instant::now(), self.owes_start_over());
        self.sync_all(begun, owes_start_over).await.inspect_err(|error| self.notice_damage(error))?;
        self.outdated.told(&self.user);
        if owes_start_over {
            self.notice_start_over();
        }
        self.notice_synced();
        *last = Some(begun);
        Ok(())
    }

    /// Syncs all rooms: at once if possible, otherwise in parts; anew if that is owed, or the homeserver does not go on from
    /// the last sync.
    async fn sync_all(&self, begun: Instant, owes_start_over: bool) -> Result<(), MatrixError> {
        if !self.is_in_parts() {
            let mut synced = if owes_start_over {
                Box::pin(self.sync_anew()).await
            } else {
                self.sync_whole(&SyncToken::ReusePrevious).await
            };
            if synced.as_ref().is_err_and(MatrixError::is_odd_refusal) {
                self.notice_refused_sync();
                synced = Box::pin(self.sync_anew()).await;
            }
            for pause in FORBIDDEN_PAUSES {
                if !synced.as_ref().is_err_and(MatrixError::is_forbidden) {
                    break;
                }
                tokio::time::sleep(pause).await;
                synced = self.sync_whole(&SyncToken::ReusePrevious).await;
            }
            match synced {
                Ok(response) => {
                    self.take_sync(response, begun).await;
                    return Ok(());
                }
                Err(error) if error.is_forbidden() => {
                    // Nobody is forbidden to sync, but a user whom the homeserver does not know (any more).
                    self.notice_unknown_user();
                    return Err(MatrixError::DeviceGone { cause: error.to_string() });
                }
                Err(error) if error.is_too_large() => {}
                Err(error) => return Err(error),
            }
        }
        Box::pin(self.sync_in_parts(begun)).await.map_err(|error| {
            if error.is_too_large() { MatrixError::TooMuch { user: self.user.clone() } } else { error }
        })
    }

    /// Syncs all rooms at once.
    pub(super) async fn sync_whole(&self, token: &SyncToken) -> Result<SyncResponse, MatrixError> {
        let asked = |timeline_max: u32| {
            let asked = asked(timeline_max, None).token(token.clone());
            if matches!(token, SyncToken::NoToken) { asked.timeout(uncached()) } else { asked }
        };
        let synced = self.sync_with(asked(SYNC_TIMELINE_MAX)).await;
        if synced.as_ref().is_err_and(MatrixError::is_too_large) {
            // Less of each room: what is left out is read backwards on demand.
            return self.sync_with(asked(1)).await;
        }
        synced
    }

    /// Applies a sync that began at `begun`.
    pub(super) async fn take_sync(&self, response: SyncResponse, begun: Instant) {
        self.take_seals(&response.rooms);
        self.keys_wait.store(response.to_device.len() >= TO_DEVICE_FULL, Ordering::Relaxed);
        let mut joined = Vec::new();
        for (room, update) in response.rooms.joined {
            self.note_synced(&room, &update.timeline.events, update.timeline.limited);
            if update.account_data.iter().any(is_mark_of_a_cut) {
                self.note_cut(&room);
            }
            let read = self.read(&room, &update.timeline.events).await;
            self.keep_requests(&read).await;
            joined.push((room, update.timeline, read));
        }
        {
            let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
            let mut behind = self.behind.lock().unwrap_or_else(PoisonError::into_inner);
            behind.retain(|_, since| *since > begun);
            for (room, timeline, read) in joined {
                if timeline.limited {
                    // Events delivered during this sync are dropped with the rest of the window.
                    behind.insert(room.clone(), Instant::now());
                    // Redactions in the gap are unknown.
                    self.forget_pins(&room);
                }
                windows.entry(room).or_default().extend(read, timeline.limited, timeline.prev_batch);
            }
            for room in response.rooms.left.keys() {
                windows.remove(room);
                self.forget_pins(room);
                behind.remove(room);
            }
        }
    }

    pub(super) async fn sync_with(&self, settings: SyncSettings) -> Result<SyncResponse, MatrixError> {
        Box::pin(self.client.sync_once(settings)).await.map_err(MatrixError::from)
    }

    /// Returns whether more to-device messages may wait than the last sync took; one of them may hold a key.
    #[must_use]
    pub fn is_behind_in_keys(&self) -> bool {
        self.keys_wait.load(Ordering::Relaxed)
    }

    /// Adds an event from a transaction to the room's window; returns whether the window has it. `None` stands for what
    /// only a sync can deliver, such as state, or ciphertext without its key.
    ///
    /// Must be called for every event of the room in order. `accepted` is when the transaction came.
    pub fn deliver(&self, room: &RoomId, read: Option<Read>, accepted: Instant) -> bool {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let mut behind = self.behind.lock().unwrap_or_else(PoisonError::into_inner);
        // A window that is behind waits for a sync, because events before and after a gap must not be joined.
        let placed = !behind.contains_key(room)
            && read.is_some_and(|read| windows.get_mut(room).is_some_and(|window| window.deliver(read)));
        if !placed {
            behind.insert(room.to_owned(), accepted);
        }
        placed
    }

    /// Returns whether this user can compose an answer to `event` without a sync: transactions brought it, and
    /// everything since the last sync. Encrypting still requires a sync (`keep_up_with`).
    #[must_use]
    pub fn is_current(&self, room: &RoomId, event: &EventId) -> bool {
        let is_known = |room: &Room| room.state() == RoomState::Joined && !room.encryption_state().is_unknown();
        let Some(here) = self.client.get_room(room).filter(is_known) else { return false };
        if self.behind.lock().unwrap_or_else(PoisonError::into_inner).contains_key(room) {
            return false;
        }
        let windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(window) = windows.get(room) else { return false };
        let Some(read) = window.get(event) else { return false };
        if read.was_encrypted {
            // A late key arrives by sync, and no transaction announces it.
            return read.sealed.is_none() && !window.awaits_keys(read.event.sent_at);
        }
        !here.encryption_state().is_encrypted() && !self.is_sealed(room)
    }

    /// Returns whether transactions brought everything of a room since the last sync, and no key is waited for.
    #[must_use]
    pub fn is_up_to_date(&self, room: &RoomId) -> bool {
        let is_known = |room: &Room| room.state() == RoomState::Joined && !room.encryption_state().is_unknown();
        if !self.client.get_room(room).as_ref().is_some_and(is_known) {
            return false;
        }
        if self.behind.lock().unwrap_or_else(PoisonError::into_inner).contains_key(room) {
            return false;
        }
        let windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        windows.get(room).is_some_and(|window| !window.awaits_keys(crate::clock::now()))
    }

    /// Starts a sync and waits for it; concurrent callers share one.
    ///
    /// # Errors
    /// As [`Self::sync_since`].
    pub async fn sync(&self) -> Result<(), MatrixError> {
        self.sync_since(Instant::now()).await
    }
}

/// Returns the settings of a sync: at most this many events of each room, and only the named rooms if there are any.
pub(super) fn asked(timeline_max: u32, rooms: Option<Vec<OwnedRoomId>>) -> SyncSettings {
    let mut filter = sync_filter(timeline_max);
    filter.room.rooms = rooms;
    SyncSettings::new()
        .timeout(Duration::ZERO)
        .set_presence(PresenceState::Offline)
        .filter(SyncFilter::FilterDefinition(filter))
}

/// Returns a timeout for a first sync. No homeserver waits in one that has anything to say, but Synapse repeats its answer
/// to the same question for two minutes (`sync_response_cache_duration`): such an answer may be older than what we know.
pub(super) fn uncached() -> Duration {
    let odd = crate::clock::now().as_ms().unsigned_abs() % FIRST_SYNC_MS_MAX;
    Duration::from_millis(odd + 1)
}

fn sync_filter(timeline_max: u32) -> FilterDefinition {
    let mut filter = FilterDefinition::default();
    filter.presence.not_types = vec!["*".to_owned()];
    filter.room.ephemeral.not_types = vec!["*".to_owned()];
    filter.room.timeline.limit = Some(UInt::from(timeline_max));
    filter.room.state.types = Some(STATE_TYPES.map(str::to_owned).into());
    filter.room.state.lazy_load_options = LazyLoadOptions::Enabled { include_redundant_members: false };
    filter
}

/// Returns whether this marks a room that the proxy cut (`proxy/cutting.rs`).
fn is_mark_of_a_cut(event: &Raw<AnyRoomAccountDataEvent>) -> bool {
    event.get_field::<String>("type").ok().flatten().as_deref() == Some(CUT_MARK)
}
