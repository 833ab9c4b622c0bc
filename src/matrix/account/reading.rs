//! What a user reads of a room: its window, filled backwards on demand, and single events.

use std::sync::PoisonError;

use matrix_sdk::{deserialized_responses::TimelineEvent, room::MessagesOptions, ruma::UInt};
use ruma::{
    EventId, OwnedEventId, OwnedRoomId, RoomId, api::client::room::get_room_event, events::AnySyncTimelineEvent,
    serde::Raw,
};
use tokio::time::Instant;

use super::{Account, PAGE_EVENTS, Redactions};
use crate::{
    core::{
        event::{EventKind, RoomEvent},
        time::Timestamp,
    },
    matrix::{
        error::MatrixError,
        inbound::{self, Read, Rules},
        window::{Older, Window},
    },
};

/// The type of a room's first event.
const CREATION: &str = "m.room.create";
const REDACTION: &str = "m.room.redaction";
/// Most pages of history fetched for one context.
const PAGES_MAX: usize = 3;
/// Most undecryptable events that are retried for one history.
const UNSEAL_MAX: usize = 50;

impl Account {
    /// Returns an event from the window, or else from the homeserver.
    ///
    /// # Errors
    /// When it is not in the window and cannot be fetched.
    pub async fn event(&self, room: &RoomId, id: &EventId) -> Result<Option<Read>, MatrixError> {
        if let Some(read) = self.held(room, id) {
            return Ok(Some(read));
        }
        let fetched = self.room(room)?.event(id, None).await?;
        Ok(self.read(room, &[fetched]).await.pop())
    }

    /// Returns whether an event is redacted by now, as the homeserver says.
    ///
    /// # Errors
    /// When the homeserver does not answer.
    pub async fn is_redacted(&self, room: &RoomId, id: &EventId) -> Result<bool, MatrixError> {
        let fetched = self.room(room)?.event(id, None).await?;
        Ok(self.read(room, &[fetched]).await.pop().is_some_and(|read| read.event.kind == EventKind::Redacted))
    }

    /// Returns the content of an event, decrypted; `None` if that is not possible.
    ///
    /// # Errors
    /// When the homeserver does not answer.
    pub async fn content_of(&self, room: &RoomId, id: &EventId) -> Result<Option<String>, MatrixError> {
        let fetched = match self.room(room)?.event(id, None).await.map_err(MatrixError::from) {
            Err(error) if !error.is_passing() => return Ok(None),
            fetched => fetched?,
        };
        let is_readable = !fetched.kind.is_utd();
        Ok(inbound::content_of(fetched.raw().json().get()).filter(|_| is_readable))
    }

    /// Returns an event as the homeserver has it now: encrypted, if it is.
    ///
    /// # Errors
    /// When the homeserver refuses or does not answer.
    pub(super) async fn raw_event(
        &self,
        room: &RoomId,
        id: &EventId,
    ) -> Result<Raw<AnySyncTimelineEvent>, MatrixError> {
        let request = get_room_event::v3::Request::new(room.to_owned(), id.to_owned());
        let found = self.client.send(request).await.map_err(matrix_sdk::Error::from)?;
        Ok(found.event.cast_unchecked())
    }

    /// Reads events in order by their room's rules; skips events without a usable envelope.
    pub(super) async fn read(&self, room: &RoomId, events: &[TimelineEvent]) -> Vec<Read> {
        let among = if events.iter().any(|event| is(event, REDACTION)) { Redactions::Some } else { Redactions::None };
        let rules = self.rules(room, among).await;
        self.ahead.note(events);
        let mut read = Vec::with_capacity(events.len());
        for event in events {
            read.extend(self.opened(room, &rules, event).await);
        }
        read
    }

    /// Reads one of the SDK's events, mending it if the SDK gave it up; `None` if it has no usable envelope.
    pub(super) async fn opened(&self, room: &RoomId, rules: &Rules, event: &TimelineEvent) -> Option<Read> {
        let mended = Box::pin(self.mended(room, event)).await;
        mended.or_else(|| inbound::from_timeline(room, rules, event))
    }

    /// Returns an event if it is in the window.
    #[must_use]
    pub fn held(&self, room: &RoomId, id: &EventId) -> Option<Read> {
        let windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        windows.get(room).and_then(|window| window.get(id)).cloned()
    }

    /// Returns whether an event is readable with the keys at hand.
    ///
    /// # Errors
    /// When the homeserver does not answer.
    pub async fn unsealed(&self, room: &RoomId, id: &EventId) -> Result<bool, MatrixError> {
        let read = match self.event(room, id).await {
            Err(error) if error.is_passing() => return Err(error),
            Err(_) => return Ok(false),
            Ok(read) => read,
        };
        match read {
            Some(read) if read.sealed.is_some() => Ok(self.unseal(&read).await?.sealed.is_none()),
            read => Ok(read.is_some()),
        }
    }

    /// Retries decrypting an event with the keys at hand.
    ///
    /// # Errors
    /// When the crypto store fails.
    pub async fn unseal(&self, read: &Read) -> Result<Read, MatrixError> {
        let Some(sealed) = &read.sealed else { return Ok(read.clone()) };
        let room = self.room(&read.event.room)?;
        let decrypted = room.decrypt_event(sealed, None).await?;
        self.ahead.note(std::slice::from_ref(&decrypted));
        // The room's rules do not apply to decrypted events.
        let Some(opened) = self.opened(&read.event.room, &Rules::default(), &decrypted).await else {
            return Ok(read.clone());
        };
        if opened.sealed.is_none() {
            let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(window) = windows.get_mut(&read.event.room) {
                window.unseal(opened.clone());
            }
        }
        Ok(opened)
    }

    /// Returns the newest events of a room, oldest first: at least `want`, unless this user may see no more or
    /// [`PAGES_MAX`] pages do not reach that far.
    ///
    /// # Errors
    /// When the homeserver does not answer.
    pub async fn history(&self, room: &RoomId, want: usize) -> Result<Vec<RoomEvent>, MatrixError> {
        self.history_until(room, want, || false).await
    }

    /// Like [`Self::history`], but stops fetching once the events held ([`Self::held_events`]) are `enough`.
    ///
    /// # Errors
    /// As [`Self::history`].
    pub async fn history_until(
        &self,
        room_id: &RoomId,
        want: usize,
        enough: impl Fn() -> bool,
    ) -> Result<Vec<RoomEvent>, MatrixError> {
        let room = self.room(room_id)?;
        for _ in 0..PAGES_MAX {
            let (held, older) = {
                let windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
                windows.get(room_id).map_or((0, Older::Unknown), |window| (window.len(), window.older().clone()))
            };
            let from = match older {
                Older::Nothing => break,
                _ if held >= want || enough() => break,
                Older::Unknown => None,
                Older::From(token) => Some(token),
            };
            let mut options = MessagesOptions::backward().from(from.as_deref());
            options.limit = UInt::from(PAGE_EVENTS);
            let page = match Box::pin(room.messages(options)).await.map_err(MatrixError::from) {
                // The homeserver does not know its own token any more.
                Err(error) if from.is_some() && error.is_odd_refusal() => {
                    self.forget_window(room_id);
                    continue;
                }
                page => page?,
            };
            let read = self.read(room_id, &page.chunk).await;
            let next = page.end.filter(|_| !read.is_empty() && !reaches_the_beginning(&page.chunk));
            let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
            windows.entry(room_id.to_owned()).or_default().prepend(read, next);
        }
        self.unseal_held(room_id).await?;
        Ok(self.held_events(room_id))
    }

    /// Returns the newest event held of each room, and when it was sent.
    #[must_use]
    pub fn newest_held(&self) -> Vec<(Timestamp, OwnedRoomId, OwnedEventId)> {
        let windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = |(room, window): (&OwnedRoomId, &Window)| {
            let event = &window.newest()?.event;
            Some((event.sent_at, room.clone(), event.id.clone()))
        };
        windows.iter().filter_map(newest).collect()
    }

    /// Forgets what is held of a room; it is fetched again from the newest event on.
    pub(super) fn forget_window(&self, room: &RoomId) {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner).remove(room);
        self.behind.lock().unwrap_or_else(PoisonError::into_inner).insert(room.to_owned(), Instant::now());
    }

    pub(super) fn older_than_held(&self, room: &RoomId) -> Older {
        let windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        windows.get(room).map_or(Older::Unknown, |window| window.older().clone())
    }

    async fn unseal_held(&self, room: &RoomId) -> Result<(), MatrixError> {
        let sealed = {
            let windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
            windows.get(room).map(|window| window.sealed(UNSEAL_MAX)).unwrap_or_default()
        };
        for read in sealed {
            self.unseal(&read).await?;
        }
        Ok(())
    }

    /// Returns the window's events, oldest first.
    #[must_use]
    pub fn held_events(&self, room: &RoomId) -> Vec<RoomEvent> {
        let windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        windows.get(room).map(Window::events).unwrap_or_default()
    }

    /// Returns the newest event of a thread in the window.
    #[must_use]
    pub fn latest_in_thread(&self, room: &RoomId, root: &EventId) -> Option<OwnedEventId> {
        let windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        windows.get(room).and_then(|window| window.latest_in_thread(root))
    }

    /// Returns the time of the oldest decryptable event in the window.
    #[must_use]
    pub fn readable_from(&self, room: &RoomId) -> Option<Timestamp> {
        let events = self.held_events(room);
        let sealed = |event: &RoomEvent| matches!(event.kind, EventKind::Undecryptable(_));
        let first_after = events.iter().rposition(sealed).map(|last| last + 1)?;
        events.get(first_after).map(|event| event.sent_at)
    }
}

/// Returns whether a page contains the room's first event. Even then a homeserver may return a token, for an empty
/// page.
pub(super) fn reaches_the_beginning(page: &[TimelineEvent]) -> bool {
    page.iter().any(|event| is(event, CREATION))
}

fn is(event: &TimelineEvent, event_type: &str) -> bool {
    event.raw().get_field::<String>("type").ok().flatten().as_deref() == Some(event_type)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(kind: &str) -> TimelineEvent {
        let event = json!({"type": kind, "event_id": "$e", "sender": "@a:hs", "origin_server_ts": 1, "content": {}});
        TimelineEvent::from_plaintext(Raw::from_json_string(event.to_string()).expect("JSON"))
    }

    #[test]
    fn nothing_is_asked_for_behind_the_event_that_made_the_room() {
        assert!(reaches_the_beginning(&[event("m.room.member"), event("m.room.create")]));
        assert!(!reaches_the_beginning(&[event("m.room.member"), event("m.room.message")]));
        assert!(!reaches_the_beginning(&[]));
    }
}
