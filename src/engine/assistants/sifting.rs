//! What an assistant reads on its way into a prompt: the session of its chat, and opened rooms (C26).

use std::collections::BTreeMap;

use ruma::{OwnedEventId, OwnedUserId, RoomId};

use super::opening::Reading;
use crate::core::{context::SessionStart, event::RoomEvent, refused::Sieve, words};

/// Where a session begins among what passed.
pub(super) struct Sifted {
    /// Its first event, whether or not that passed.
    pub(super) begins: Option<OwnedEventId>,
    /// The event before it.
    before: Option<OwnedEventId>,
}

impl Sifted {
    /// Returns where reading begins.
    pub(super) fn start(&self) -> Option<SessionStart<'_>> {
        match &self.before {
            Some(before) => Some(SessionStart::After(before)),
            None => self.begins.as_deref().map(SessionStart::At),
        }
    }
}

/// Passes the chat's events that a run knows, of which the session begins at an index, and the opened rooms.
pub(super) fn sift(
    sieve: &mut Sieve<'_>,
    (chat, names): (&RoomId, &mut BTreeMap<OwnedUserId, String>),
    (events, known, begins): (&mut Vec<RoomEvent>, usize, usize),
    opened: &mut [Reading],
) -> Sifted {
    events.truncate(known);
    let mut session = events.split_off(begins.min(events.len()));
    let of = |event: Option<&RoomEvent>| event.map(|event| event.id.clone());
    let sifted = Sifted { begins: of(session.first()), before: of(events.last()) };
    sieve.timeline(chat, &mut session, &words::refused());
    events.append(&mut session);
    for room in opened {
        room.pass(sieve);
    }
    sieve.names(chat, names);
    sifted
}
