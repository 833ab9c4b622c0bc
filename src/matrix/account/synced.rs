//! Events from this user's syncs, kept until they are compared with the transactions'.

use std::{collections::HashMap, sync::PoisonError};

use matrix_sdk::deserialized_responses::TimelineEvent;
use ruma::{OwnedRoomId, RoomId};

use super::Account;
use crate::matrix::unseen::{self, Held};

/// Events kept over all rooms; beyond this a room is read again instead.
const SYNCED_MAX: usize = 2_000;

/// A room's events from syncs since the last comparison, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stretch {
    /// The events.
    pub events: Vec<Held>,
    /// Whether some events before or among them are missing.
    pub has_gap: bool,
    /// Whether the proxy cut the room because of its size.
    pub is_cut: bool,
}

/// The stretches of all rooms.
#[derive(Debug, Default)]
pub(super) struct Synced {
    rooms: HashMap<OwnedRoomId, Stretch>,
    held: usize,
}

impl Synced {
    fn add(&mut self, room: &RoomId, events: Vec<Held>, limited: bool) {
        if events.is_empty() && !limited {
            return;
        }
        let stretch = self.rooms.entry(room.to_owned()).or_default();
        stretch.has_gap |= limited;
        if stretch.has_gap || self.held + events.len() > SYNCED_MAX {
            // The room will be read back anyway.
            self.held -= stretch.events.len();
            *stretch = Stretch { events: Vec::new(), has_gap: true, is_cut: stretch.is_cut };
            return;
        }
        self.held += events.len();
        stretch.events.extend(events);
    }
}

impl Account {
    pub(super) fn note_synced(&self, room: &RoomId, events: &[TimelineEvent], limited: bool) {
        let events = unseen::of_timeline(events);
        self.synced.lock().unwrap_or_else(PoisonError::into_inner).add(room, events, limited);
    }

    /// Records that the proxy cut a room from a sync because of its size.
    pub(super) fn note_cut(&self, room: &RoomId) {
        let mut synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        synced.rooms.entry(room.to_owned()).or_default().is_cut = true;
    }

    /// Takes what syncs brought since the last call, by room.
    pub fn take_synced(&self) -> HashMap<OwnedRoomId, Stretch> {
        std::mem::take(&mut *self.synced.lock().unwrap_or_else(PoisonError::into_inner)).rooms
    }

    /// Has the next comparison read a room back, or leave it if it is too large.
    pub fn read_back(&self, room: &RoomId, is_cut: bool) {
        let mut synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        synced.add(room, Vec::new(), true);
        synced.rooms.entry(room.to_owned()).or_default().is_cut |= is_cut;
    }
}

#[cfg(test)]
mod tests {
    use ruma::{owned_event_id, owned_user_id, room_id};

    use super::*;
    use crate::core::time::Timestamp;

    fn held() -> Held {
        Held {
            event_id: owned_event_id!("$e"),
            sender: owned_user_id!("@a:hs"),
            event_type: "m.room.message".to_owned(),
            state_key: None,
            sent_at: Timestamp::from_ms(0),
            json: String::new(),
        }
    }

    #[test]
    fn what_is_too_much_is_read_back_instead_and_frees_its_place() {
        let mut synced = Synced::default();
        let [busy, calm] = [room_id!("!busy:hs"), room_id!("!calm:hs")];
        synced.add(calm, vec![held()], false);
        synced.add(busy, vec![held(); SYNCED_MAX - 1], false);
        synced.add(busy, vec![held()], false);
        assert_eq!(synced.rooms[busy], Stretch { has_gap: true, ..Stretch::default() });
        assert_eq!((synced.rooms[calm].events.len(), synced.held), (1, 1));
        synced.add(calm, vec![held()], true);
        synced.add(calm, vec![held()], false);
        assert_eq!((&synced.rooms[calm], synced.held), (&Stretch { has_gap: true, ..Stretch::default() }, 0));
    }
}
