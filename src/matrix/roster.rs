//! Which of our users are in which room, from their syncs and from transactions.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{PoisonError, RwLock},
};

use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};

/// Rooms with those of our users that have joined them.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    rooms: RwLock<HashMap<OwnedRoomId, BTreeSet<OwnedUserId>>>,
}

impl Roster {
    /// Records that `user` is in `room`.
    pub(crate) fn enter(&self, room: &RoomId, user: &UserId) {
        let mut rooms = self.rooms.write().unwrap_or_else(PoisonError::into_inner);
        rooms.entry(room.to_owned()).or_default().insert(user.to_owned());
    }

    /// Records that `user` is no longer in `room`.
    pub(crate) fn leave(&self, room: &RoomId, user: &UserId) {
        let mut rooms = self.rooms.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(users) = rooms.get_mut(room) {
            users.remove(user);
            if users.is_empty() {
                rooms.remove(room);
            }
        }
    }

    /// Returns our users in `room`, in the order of their ids.
    #[must_use]
    pub(crate) fn of(&self, room: &RoomId) -> Vec<OwnedUserId> {
        let rooms = self.rooms.read().unwrap_or_else(PoisonError::into_inner);
        rooms.get(room).map(|users| users.iter().cloned().collect()).unwrap_or_default()
    }

    /// Returns every room that one of our users is in.
    #[must_use]
    pub(crate) fn rooms(&self) -> Vec<OwnedRoomId> {
        self.rooms.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }
}
