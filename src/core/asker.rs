//! What of a room the person who asks may read (C7), by the homeserver's own rules for each event.
//!
//! A coworker that has been in a room for long would otherwise tell newcomers what `history_visibility` hides from them.
//! The check is A8's, [`super::visibility`]. In encrypted rooms too it is the homeserver's: who is in the room could have
//! asked the people there for the keys, and may see ciphertext from then on; assistants, which read unseen, are
//! stricter.

use ruma::{EventId, UserId};

use super::{
    event::{EventKind, Membership, RoomEvent},
    opened::{self, Allowed, Source, is_about_standing},
    visibility::{self, Happened, History, Standing},
};

/// What a coworker reads for somebody (`history` in its file).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reads {
    /// What they may read themselves.
    #[default]
    AsAsker,
    /// Everything that the coworker may read.
    Room,
}

/// Who asks, and how they stand to the room.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// Who asks.
    pub user: &'a UserId,
    /// What is answered. They were in the room when they sent it.
    pub request: &'a EventId,
    /// Whether they are in the room now.
    pub is_in: bool,
}

/// What is known of a room's history visibility.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Openness {
    /// What it is now.
    pub now: History,
    /// Whether it has never been anything else.
    pub always: bool,
}

impl Openness {
    /// Returns whether whoever is in the room may read all of it: then nothing has to be looked at.
    #[must_use]
    pub fn is_whole(self) -> bool {
        self.always && self.now <= History::Shared
    }
}

/// Returns how things stood between asker and room before the first of these events, which follow each other without
/// gaps up to now, as far as they tell by themselves; `None` where the homeserver has to be asked.
#[must_use]
pub fn before(asker: &Asker<'_>, events: &[RoomEvent], openness: Openness) -> Option<Standing> {
    let first = events.first()?;
    if first.kind == EventKind::Other("m.room.create".to_owned()) {
        return Some(Standing { history: History::Shared, membership: Membership::Leave });
    }
    let changes = events.iter().any(|event| matches!(event.kind, EventKind::HistoryVisibility(_)));
    let history = (!changes || openness.always).then_some(openness.now)?;
    if !changes && history <= History::Shared {
        // Whether they were there yet makes no difference.
        return Some(Standing { history, membership: Membership::Leave });
    }
    let theirs = |event: &&RoomEvent| event.sender == asker.user || is_about_standing_of(event, asker.user);
    let first_of_theirs = events.iter().find(theirs)?;
    // Only who is in a room can say something there.
    let was_in = !is_about_standing_of(first_of_theirs, asker.user);
    was_in.then_some(Standing { history, membership: Membership::Join })
}

/// Returns where the events begin of which the homeserver can be asked how things stood: not with one that changes it.
#[must_use]
pub fn first_to_ask_about(asker: &Asker<'_>, events: &[RoomEvent]) -> Option<usize> {
    events.iter().position(|event| !is_about_standing(event, asker.user))
}

/// Returns what of these events the asker may read, with how things stood before them.
#[must_use]
pub fn allowed(asker: &Asker<'_>, events: &[RoomEvent], before: Standing) -> Allowed {
    // Who has left since reads nothing of what came after the request.
    let end = events.iter().position(|event| event.id == asker.request).filter(|_| !asker.is_in);
    let events = end.map_or(events, |end| &events[..=end]);
    opened::allowed(&Source { owner: asker.user, events, before, now: Membership::Join, encrypted: false })
}

/// Returns whether the asker may read an event that changes nothing itself, by how things stood at it.
#[must_use]
pub fn may_read(at_event: Standing) -> bool {
    visibility::readable(at_event, &[Happened::Other], Membership::Join, false) == [true]
}

fn is_about_standing_of(event: &RoomEvent, user: &UserId) -> bool {
    matches!(&event.kind, EventKind::Member(change) if change.user == user)
}

#[cfg(test)]
mod tests;
