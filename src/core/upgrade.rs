//! Whether an assistant follows the upgrade of its room (rule A2): only its owner's doing or its own, only where both
//! rooms point at each other, and only into a room that is as tight as the old one was made.

use std::fmt;

use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};

use super::room_check::{Drift, Origin, RoomCheck, RoomState, check_room};

/// An assistant's room that was replaced, as its `m.room.tombstone` says.
#[derive(Clone, Copy, Debug)]
pub struct Replaced<'a> {
    /// The assistant's owner.
    pub owner: &'a UserId,
    /// The assistant.
    pub assistant: &'a UserId,
    /// The room.
    pub room: &'a RoomId,
    /// Who sent the tombstone.
    pub by: &'a UserId,
    /// The room that it names.
    pub successor: &'a RoomId,
}

/// What an assistant is told of the room that replaces its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Nothing: it is neither there nor invited.
    Nothing,
    /// What an invite tells.
    Invite(Invited),
    /// Everything: it is there.
    Inside {
        /// The room that the creation event names as the one before.
        predecessor: Option<OwnedRoomId>,
        /// Its state, as for any check of an assistant's room.
        state: RoomState,
    },
}

/// An invite, with as much of the room's state as the homeserver adds to it; that may be nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invited {
    /// Who invited.
    pub inviter: Option<OwnedUserId>,
    /// Who made the room, and which room it says that it replaces.
    pub creation: Option<(OwnedUserId, Option<OwnedRoomId>)>,
    /// `m.room.join_rules`.
    pub join_rule: Option<String>,
}

/// What an assistant does about an upgrade of its room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Wait for an invite; it joins no room by itself.
    Await,
    /// Join, to see the whole of it. Nothing is read or said there.
    Join,
    /// Take it for its own room.
    Follow,
    /// Leave it alone, for these reasons.
    Refuse(Vec<Objection>),
}

/// Why an upgrade is not followed. Its `Display` is a phrase for people, about the new room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Objection {
    /// The tombstone is not the owner's, nor the assistant's own.
    ReplacedBySomebody,
    /// The new room does not name the old one as the one before.
    PointsElsewhere,
    /// The invite is not the owner's.
    InvitedBySomebody,
    /// Somebody else is in it, or invited.
    ThirdMember,
    /// It is not as tight.
    Loose(Drift),
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phrase = match self {
            Self::ReplacedBySomebody => "it was not you who moved this chat",
            Self::PointsElsewhere => "it does not say that it replaces this chat",
            Self::InvitedBySomebody => "it was not you who invited me",
            Self::ThirdMember => "someone else is there",
            Self::Loose(drift) => return drift.fmt(f),
        };
        f.write_str(phrase)
    }
}

/// Returns what the assistant does next. Asked again whenever it sees more; after [`Step::Join`], with [`Sight::Inside`].
#[must_use]
pub fn next_step(replaced: &Replaced<'_>, sight: &Sight) -> Step {
    let its_own = [replaced.owner, replaced.assistant];
    let mut objections = Vec::new();
    if !its_own.contains(&replaced.by) {
        objections.push(Objection::ReplacedBySomebody);
    }
    if replaced.successor == replaced.room {
        objections.push(Objection::PointsElsewhere);
    }
    let wanted = match sight {
        Sight::Nothing => Step::Await,
        Sight::Invite(invited) => {
            objections.extend(against_invite(replaced, invited));
            Step::Join
        }
        Sight::Inside { predecessor, state } => {
            objections.extend(against_room(replaced, predecessor.as_deref(), state));
            Step::Follow
        }
    };
    if objections.is_empty() { wanted } else { Step::Refuse(objections) }
}

/// What is wrong before joining already. That an invite does not tell something is no objection: it may be left out.
fn against_invite(replaced: &Replaced<'_>, invited: &Invited) -> Vec<Objection> {
    let mut objections = Vec::new();
    if invited.inviter.as_deref() != Some(replaced.owner) {
        objections.push(Objection::InvitedBySomebody);
    }
    if let Some((creator, predecessor)) = &invited.creation {
        if predecessor.as_deref() != Some(replaced.room) {
            objections.push(Objection::PointsElsewhere);
        }
        if creator != replaced.owner && creator != replaced.assistant {
            objections.push(Objection::Loose(Drift::NotOurRoom));
        }
    }
    if let Some(rule) = invited.join_rule.as_ref().filter(|rule| *rule != "invite") {
        objections.push(Objection::Loose(Drift::OpenToJoin(rule.clone())));
    }
    objections
}

fn against_room(replaced: &Replaced<'_>, predecessor: Option<&RoomId>, state: &RoomState) -> Vec<Objection> {
    let mut objections = Vec::new();
    if predecessor != Some(replaced.room) {
        objections.push(Objection::PointsElsewhere);
    }
    let RoomCheck { drifts, third_members } = check_room(state, Origin::Followed, replaced.owner, replaced.assistant);
    // Into a room that it made itself the assistant invites its owner, as into any.
    let invites_owner = state.creator == replaced.assistant;
    let counts = |drift: &Drift| !(invites_owner && *drift == Drift::OwnerGone);
    objections.extend(drifts.into_iter().filter(counts).map(Objection::Loose));
    if !third_members.is_empty() {
        objections.push(Objection::ThirdMember);
    }
    objections
}

#[cfg(test)]
mod tests;
