//! Which events of a room a person may read, by the homeserver's own rules (A8).
//!
//! The rules are those of the specification's "Room History Visibility" (client-server API v1.17, 11.20.1) as a person
//! who is joined *now* meets them: whoever is not, reads nothing, also of a world-readable room. Encrypted rooms are
//! stricter than the homeserver: it hands out ciphertext that the person's clients may have no keys for, and a
//! coworker's client has them all. There, only what was sent while the person was joined counts as theirs.

use serde::{Deserialize, Serialize};

use super::event::Membership;

#[cfg(test)]
mod tests;

/// `history_visibility` of `m.room.history_visibility`; the most open first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum History {
    /// Everybody.
    WorldReadable,
    /// Members, also what was sent before they came.
    Shared,
    /// Members, from their invite on.
    Invited,
    /// Members, from their joining on.
    Joined,
}

impl History {
    /// Reads the value; what is not known counts as the tightest.
    #[must_use]
    pub fn parse(value: &str) -> Self {
        match value {
            "world_readable" => Self::WorldReadable,
            "shared" => Self::Shared,
            "invited" => Self::Invited,
            _ => Self::Joined,
        }
    }
}

/// How things stand between a person and a room at some point of its history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The history visibility; `Shared` where no event sets it.
    pub history: History,
    /// The person's membership; `Leave` where no event sets it.
    pub membership: Membership,
}

/// An event, as far as it decides what a person may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// The history visibility was set.
    History(History),
    /// The person's own membership was set.
    Membership(Membership),
    /// Anything else.
    Other,
}

/// Returns how things stand after some events.
#[must_use]
pub fn after(before: Standing, events: &[Happened]) -> Standing {
    events.iter().fold(before, |standing, event| match *event {
        Happened::History(history) => Standing { history, ..standing },
        Happened::Membership(membership) => Standing { membership, ..standing },
        Happened::Other => standing,
    })
}

/// Returns for each event whether the person may read it.
///
/// `before` is how things stood before the first of `events`, which follow each other in the room's order without
/// gaps; `now` is the person's membership at this moment; `encrypted` is whether the room is.
#[must_use]
pub fn readable(before: Standing, events: &[Happened], now: Membership, encrypted: bool) -> Vec<bool> {
    let mut standing = before;
    let mut readable = Vec::with_capacity(events.len());
    for event in events {
        let at_event = match *event {
            // Whom either side of the change lets see everything sees it; for others Synapse goes by what it is now.
            Happened::History(history) => {
                let either = standing.history.min(history);
                let at_event =
                    Standing { history: if either <= History::Shared { either } else { history }, ..standing };
                standing.history = history;
                at_event
            }
            Happened::Membership(membership) => {
                let at_event = Standing { membership: closer(standing.membership, membership), ..standing };
                standing.membership = membership;
                at_event
            }
            Happened::Other => standing,
        };
        readable.push(now == Membership::Join && may_read(at_event, encrypted));
    }
    readable
}

fn may_read(at_event: Standing, encrypted: bool) -> bool {
    match (at_event.membership, at_event.history) {
        (Membership::Join, _) => true,
        _ if encrypted => false,
        // Joined now, so joined at some time after the event.
        (_, History::WorldReadable | History::Shared) | (Membership::Invite, History::Invited) => true,
        (_, History::Invited | History::Joined) => false,
    }
}

/// Returns the membership that lets read more.
fn closer(one: Membership, other: Membership) -> Membership {
    let rank = |membership| match membership {
        Membership::Join => 0,
        Membership::Invite => 1,
        Membership::Knock => 2,
        Membership::Leave => 3,
        Membership::Ban => 4,
    };
    if rank(one) <= rank(other) { one } else { other }
}
