//! What is remembered of rooms' encryption: noted with the transaction that shows it, never taken back.

use ruma::{OwnedRoomId, RoomId};

use super::{InboxEvent, Table, error::StoreError};
use crate::core::sealed::Seal;

impl Table<OwnedRoomId, Seal> {
    /// Returns a room's seal. A record that cannot be read is one: what was there is not known, but that it was.
    #[must_use]
    pub fn of(&self, room: &RoomId) -> Option<Seal> {
        self.get(&room.to_owned()).unwrap_or(Some(Seal::unreadable()))
    }

    /// Adds to a room's seal.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn add(&self, room: &RoomId, seal: Seal) -> Result<(), StoreError> {
        let known = self.of(room);
        let both = known.map_or(seal, |known| known.and(seal));
        if known == Some(both) {
            return Ok(());
        }
        let key = room.to_owned();
        let added = self.update(&key, |known| Some(known.map_or(seal, |known| known.and(seal))));
        // One that is damaged is replaced by what is known for certain.
        added.map(|_| ()).or_else(|_| self.put(&key, &both))
    }

    /// Takes what an event says of its room's encryption.
    pub(super) fn take(&self, event: &InboxEvent) -> Result<(), StoreError> {
        match Seal::of_event(&event.event_type, event.state_key.as_deref(), &event.json) {
            Some(seal) => self.add(&event.room_id, seal),
            None => Ok(()),
        }
    }
}
