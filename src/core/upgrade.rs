//! Whether an assistant follows an upgrade of its room (rule A2): only if its owner or itself did it, both rooms point
//! at each other, and the new one is as tight as the old one was made.

use std::fmt;

use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};

use super::room_check::{Drift, Origin, RoomCheck, RoomState, check_room};

/// An assistant's room that was replaced, by its `m.room.tombstone`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Replaced<'a> {
    /// The assistant's owner.
    pub owner: &'a UserId,
    /// The assistant's user id.
    pub assistant: &'a UserId,
    /// The replaced room.
    pub room: &'a RoomId,
    /// The tombstone's sender.
    pub by: &'a UserId,
    /// The successor it names.
    pub successor: &'a RoomId,
}

/// What an assistant can see of the room that replaces its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// Nothing: it is neither joined nor invited.
    Nothing,
    /// What an invite shows.
    Invite(Invited),
    /// Everything: it has joined.
    Inside {
        /// The predecessor in its creation event.
        predecessor: Option<OwnedRoomId>,
        /// The state that any check of an assistant's room uses.
        state: RoomState,
    },
}

/// An invite, with the room state that the homeserver adds to it, which may be none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invited {
    /// The inviter.
    pub inviter: Option<OwnedUserId>,
    /// The room's creator, and the predecessor that it names.
    pub creation: Option<(OwnedUserId, Option<OwnedRoomId>)>,
    /// `m.room.join_rules`.
    pub join_rule: Option<String>,
}

/// What an assistant does about an upgrade of its room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Wait for an invite; it joins no room by itself.
    Await,
    /// Join to see everything. Nothing is read or said there yet.
    Join,
    /// Adopt it as its own room.
    Follow,
    /// Ignore it, for these reasons.
    Refuse(Vec<Objection>),
}

/// Why an upgrade is not followed. Its `Display` is a phrase for people about the new room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Objection {
    /// Neither the owner nor the assistant sent the tombstone.
    ReplacedBySomebody,
    /// The new room does not name the old one as its predecessor.
    PointsElsewhere,
    /// The owner did not send the invite.
    InvitedBySomebody,
    /// Somebody else is in it or invited.
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

/// Decides the next step. Call it again whenever more can be seen; after [`Step::Join`] with [`Sight::Inside`].
#[must_use]
pub(crate) fn next_step(replaced: &Replaced<'_>, sight: &Sight) -> Step {
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

/// Returns the objections that exist before joining. What an invite does not show is no objection, because it may be
/// omitted.
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
    // Into a room that the assistant made itself, it invites the owner as usual.
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
