//! Which events of a room a person may read, by the homeserver's own rules (A8).
//!
//! These are the rules of "Room History Visibility" (client-server API v1.17, 11.20.1) for a person who is joined
//! *now*. A person who is not joined may read nothing, even of a world-readable room. In encrypted rooms only what was
//! sent while the person was joined counts. That is stricter than the homeserver, which hands out ciphertext without
//! knowing whether the person's clients have the keys; a coworker's client has them all.

use serde::{Deserialize, Serialize};

use super::event::{History, Membership};

#[cfg(test)]
mod tests;

/// A person's access at one point of a room's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The room's history visibility; `Shared` if no event sets it.
    pub history: History,
    /// The person's membership; `Leave` if no event sets it.
    pub membership: Membership,
}

/// How an event affects what a person may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// It set the history visibility.
    History(History),
    /// It set the person's own membership.
    Membership(Membership),
    /// It affects nothing.
    Other,
}

/// Returns the standing after some events.
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
/// `before` is the standing before the first of `events`, which are without gaps in the room's order. `now` is the
/// person's present membership, and `encrypted` says whether the room is.
#[must_use]
pub fn readable(before: Standing, events: &[Happened], now: Membership, encrypted: bool) -> Vec<bool> {
    let mut standing = before;
    let mut readable = Vec::with_capacity(events.len());
    for event in events {
        let at_event = match *event {
            // Anyone who may see either side of the change sees the event; for others Synapse uses the present
            // membership.
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
        // Joined now, hence joined at some time after the event.
        (_, History::WorldReadable | History::Shared) | (Membership::Invite, History::Invited) => true,
        (_, History::Invited | History::Joined) => false,
    }
}

/// Returns the membership that grants more.
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
