//! Which rooms were ever encrypted: recorded with the transaction that shows it, never taken back.

use ruma::{OwnedRoomId, RoomId};

use super::{InboxEvent, Table, error::StoreError};
use crate::core::sealed::Seal;

impl Table<OwnedRoomId, Seal> {
    /// Returns a room's seal. An unreadable record counts as a seal: its content is lost, but the room was encrypted.
    #[must_use]
    pub fn of(&self, room: &RoomId) -> Option<Seal> {
        self.get(&room.to_owned()).unwrap_or(Some(Seal::unreadable()))
    }

    /// Merges `seal` into the room's seal.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn add(&self, room: &RoomId, seal: Seal) -> Result<(), StoreError> {
        let known = self.of(room);
        let both = known.map_or(seal, |known| known.and(seal));
        if known == Some(both) {
            return Ok(());
        }
        let key = room.to_owned();
        let added = self.update(&key, |known| Some(known.map_or(seal, |known| known.and(seal))));
        // A damaged record is replaced by what is certain.
        added.map(|_| ()).or_else(|_| self.put(&key, &both))
    }

    /// Records what an event says about its room's encryption.
    pub(super) fn take(&self, event: &InboxEvent) -> Result<(), StoreError> {
        match Seal::of_event(&event.event_type, event.state_key.as_deref(), &event.json) {
            Some(seal) => self.add(&event.room_id, seal),
            None => Ok(()),
        }
    }
}
