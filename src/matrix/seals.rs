//! Which rooms were ever encrypted, by our own store, whatever an SDK client concludes from their state.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use ruma::{OwnedRoomId, RoomId};

use crate::core::sealed::Seal;

type Look = dyn Fn(&RoomId) -> Option<Seal> + Send + Sync;
type Note = dyn Fn(&RoomId, Seal) -> bool + Send + Sync;

/// The rooms' seals; cheap to clone, shared by all clients and the proxy.
#[derive(Clone)]
pub struct Seals(Arc<Inner>);

struct Inner {
    look: Box<Look>,
    note: Box<Note>,
    /// Seals that could not be stored; they hold as long as this process lives.
    unstored: Mutex<HashMap<OwnedRoomId, Seal>>,
    /// Rooms whose state was read from the homeserver since the start; later changes reach us as they come.
    established: Mutex<HashSet<OwnedRoomId>>,
}

impl Seals {
    /// Returns seals kept elsewhere: `look` reads a room's seal; `note` adds to it and returns whether it was stored.
    #[must_use]
    pub fn new(
        look: impl Fn(&RoomId) -> Option<Seal> + Send + Sync + 'static,
        note: impl Fn(&RoomId, Seal) -> bool + Send + Sync + 'static,
    ) -> Self {
        let (unstored, established) = Default::default();
        Self(Arc::new(Inner { look: Box::new(look), note: Box::new(note), unstored, established }))
    }

    /// Returns seals that are only kept in memory.
    #[must_use]
    pub fn unkept() -> Self {
        Self::new(|_| None, |_, _| false)
    }

    /// Returns a room's seal; `None` if nothing encrypted was ever seen there.
    #[must_use]
    pub fn of(&self, room: &RoomId) -> Option<Seal> {
        let unstored = self.0.unstored.lock().unwrap_or_else(PoisonError::into_inner).get(room).copied();
        match ((self.0.look)(room), unstored) {
            (Some(kept), Some(unstored)) => Some(kept.and(unstored)),
            (kept, unstored) => kept.or(unstored),
        }
    }

    /// Records for good that something in a room was encrypted.
    pub fn note(&self, room: &RoomId, seal: Seal) {
        let known = self.of(room);
        if known.is_some_and(|known| known.and(seal) == known) {
            return;
        }
        if known.is_none() {
            tracing::debug!(room.id = %room, ?seal, "a room counts as encrypted from now on");
        }
        if !(self.0.note)(room, seal) {
            let mut unstored = self.0.unstored.lock().unwrap_or_else(PoisonError::into_inner);
            let known = unstored.get(room).copied().unwrap_or(seal);
            unstored.insert(room.to_owned(), known.and(seal));
        }
    }

    pub(super) fn is_established(&self, room: &RoomId) -> bool {
        self.0.established.lock().unwrap_or_else(PoisonError::into_inner).contains(room)
    }

    pub(super) fn set_established(&self, room: &RoomId) {
        self.0.established.lock().unwrap_or_else(PoisonError::into_inner).insert(room.to_owned());
    }
}

impl std::fmt::Debug for Seals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seals").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use ruma::room_id;

    use super::*;

    #[test]
    fn c8_what_cannot_be_stored_holds_all_the_same() {
        let (seals, room) = (Seals::unkept(), room_id!("!a:hs"));
        assert_eq!(seals.of(room), None);
        seals.note(room, Seal::of_message());
        seals.note(room, Seal { demanded: true, ..Seal::default() });
        assert_eq!(seals.of(room), Some(Seal { demanded: true, megolm: true, foreign: false }));
        assert_eq!(seals.of(room_id!("!b:hs")), None);
    }
}
