//! Events outside a room's window: fetched by id with their newest edits. Pinned ones are cached.

use std::{collections::HashMap, sync::PoisonError, time::Duration};

use ruma::{EventId, OwnedEventId, RoomId};
use tokio::time::Instant;

use super::Account;
use crate::{
    core::event::{EventKind, RoomEvent},
    matrix::{error::MatrixError, inbound},
};

/// How long a fetched pinned message is cached; changes meanwhile reach the window.
const FRESH: Duration = Duration::from_mins(5);

/// A room's fetched pinned messages, each with its edit.
pub(super) type Pins = HashMap<OwnedEventId, (Instant, Vec<RoomEvent>)>;

impl Account {
    /// Returns those of the newest `most` pinned messages that are outside the window, each followed by its newest
    /// edit. Messages that this user cannot see or decrypt are left out.
    ///
    /// # Errors
    /// When the homeserver does not answer.
    pub async fn pinned(
        &self,
        room: &RoomId,
        ids: &[OwnedEventId],
        most: usize,
    ) -> Result<Vec<RoomEvent>, MatrixError> {
        let mut found = Vec::new();
        for id in &ids[ids.len().saturating_sub(most)..] {
            if self.held(room, id).is_none() {
                found.extend(self.pin(room, id).await?);
            }
        }
        let mut pins = self.pins.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = pins.get_mut(room) {
            known.retain(|id, _| ids.contains(id));
        }
        Ok(found)
    }

    /// Drops a room's cached pins, because they may have changed unseen.
    pub(super) fn forget_pins(&self, room: &RoomId) {
        self.pins.lock().unwrap_or_else(PoisonError::into_inner).remove(room);
    }

    async fn pin(&self, room: &RoomId, id: &EventId) -> Result<Vec<RoomEvent>, MatrixError> {
        let known = {
            let pins = self.pins.lock().unwrap_or_else(PoisonError::into_inner);
            pins.get(room).and_then(|pins| pins.get(id)).filter(|(since, _)| since.elapsed() < FRESH).cloned()
        };
        if let Some((_, events)) = known {
            return Ok(events);
        }
        let events = match self.fetch_with_edit(room, id).await {
            Err(error) if error.is_passing() => return Err(error),
            fetched => fetched.unwrap_or_default(),
        };
        let mut pins = self.pins.lock().unwrap_or_else(PoisonError::into_inner);
        pins.entry(room.to_owned()).or_default().insert(id.to_owned(), (Instant::now(), events.clone()));
        Ok(events)
    }

    /// Fetches an event and its newest edit; returns nothing if neither can be decrypted.
    ///
    /// # Errors
    /// When the event cannot be fetched.
    pub async fn fetch_with_edit(&self, room: &RoomId, id: &EventId) -> Result<Vec<RoomEvent>, MatrixError> {
        let fetched = self.room(room)?.event(id, None).await?;
        let elsewhere = fetched.raw().get_field::<String>("room_id").ok().flatten().is_some_and(|named| named != *room);
        let read = self.read(room, std::slice::from_ref(&fetched)).await.pop().filter(|_| !elsewhere);
        let Some(read) = read else { return Ok(Vec::new()) };
        let edit = inbound::bundled_edit(room, &fetched);
        if matches!(read.event.kind, EventKind::Undecryptable(_)) && edit.is_none() {
            return Ok(Vec::new());
        }
        Ok([Some(read.event), edit].into_iter().flatten().collect())
    }
}
