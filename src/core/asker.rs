//! What the asker may read of a room (C7), by the homeserver's own rules for each event.
//!
//! Without this check a long-standing coworker would tell newcomers what `history_visibility` hides from them. The
//! check is A8's, [`super::visibility`], and encrypted rooms use the homeserver's rules too: a member could ask others
//! there for the keys, and the homeserver hands out the ciphertext. Assistants are stricter, because they read unseen.

use ruma::{EventId, UserId};

use super::{
    event::{EventKind, History, Membership, RoomEvent},
    opened::{self, Allowed, Source, is_about_standing},
    visibility::{self, Happened, Standing},
};

/// On whose behalf a coworker reads (`history` in its file).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reads {
    /// Only what the asker may read.
    #[default]
    AsAsker,
    /// Everything that the coworker itself may read.
    Room,
}

/// The person who asks, and whether they are in the room.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker<'a> {
    /// The asker's user id.
    pub user: &'a UserId,
    /// The request. They were in the room when they sent it.
    pub request: &'a EventId,
    /// Whether they are in the room now.
    pub is_in: bool,
}

/// What is known about a room's history visibility.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Openness {
    /// The present value.
    pub now: History,
    /// Whether it was never different.
    pub always: bool,
}

impl Openness {
    /// Returns whether a member may read everything, so that nothing needs to be checked.
    #[must_use]
    pub fn is_whole(self) -> bool {
        self.always && self.now <= History::Shared
    }
}

/// Returns the asker's standing before the first of these events, as far as the events themselves show it; `None` if
/// the homeserver has to be asked. The events must be gapless up to now.
#[must_use]
pub(crate) fn before(asker: &Asker<'_>, events: &[RoomEvent], openness: Openness) -> Option<Standing> {
    let first = events.first()?;
    if first.kind == EventKind::Other("m.room.create".to_owned()) {
        return Some(Standing { history: History::Shared, membership: Membership::Leave });
    }
    let changes = events.iter().any(|event| matches!(event.kind, EventKind::HistoryVisibility(_)));
    let history = (!changes || openness.always).then_some(openness.now)?;
    if !changes && history <= History::Shared {
        // Membership makes no difference here.
        return Some(Standing { history, membership: Membership::Leave });
    }
    let theirs = |event: &&RoomEvent| event.sender == asker.user || is_about_standing_of(event, asker.user);
    let first_of_theirs = events.iter().find(theirs)?;
    // Only a member can send events.
    let was_in = !is_about_standing_of(first_of_theirs, asker.user);
    was_in.then_some(Standing { history, membership: Membership::Join })
}

/// Returns the index of the first event for which the homeserver can be asked about the standing: one that does not
/// change it.
#[must_use]
pub(crate) fn first_to_ask_about(asker: &Asker<'_>, events: &[RoomEvent]) -> Option<usize> {
    events.iter().position(|event| !is_about_standing(event, asker.user))
}

/// Returns the events that the asker may read, given their standing before the first.
#[must_use]
pub(crate) fn allowed(asker: &Asker<'_>, events: &[RoomEvent], before: Standing) -> Allowed {
    // An asker who has left reads nothing after the request.
    let end = events.iter().position(|event| event.id == asker.request).filter(|_| !asker.is_in);
    let events = end.map_or(events, |end| &events[..=end]);
    opened::allowed(&Source { owner: asker.user, events, before, now: Membership::Join, encrypted: false })
}

/// Returns whether the asker may read an event, by their standing at it. The event itself must not change that.
#[must_use]
pub(crate) fn may_read(at_event: Standing) -> bool {
    visibility::readable(at_event, &[Happened::Other], Membership::Join, false) == [true]
}

fn is_about_standing_of(event: &RoomEvent, user: &UserId) -> bool {
    matches!(&event.kind, EventKind::Member(change) if change.user == user)
}

#[cfg(test)]
mod tests;
