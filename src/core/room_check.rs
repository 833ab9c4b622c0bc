//! Whether an assistant's chat is still as tight as it was made (rule A2).

use std::fmt;

use ruma::{OwnedRoomId, OwnedUserId, UserId};

use super::event::Membership;

/// The parts of a chat's state that decide who can read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoomState {
    /// The sender of `m.room.create`.
    pub creator: OwnedUserId,
    /// Whether encryption is on (`m.room.encryption` with an algorithm).
    pub encrypted: bool,
    /// `m.room.join_rules`; must be `invite`.
    pub join_rule: String,
    /// `m.room.guest_access`; must be `forbidden`, which is also the default.
    pub guest_access: String,
    /// `m.room.history_visibility`; must be `joined`.
    pub history_visibility: String,
    /// `m.federate` of `m.room.create`; must be `false`.
    pub federates: bool,
    /// Whether it has an alias, is in the directory, or names a space as its parent.
    pub discoverable: bool,
    /// Every member with any membership.
    pub members: Vec<(OwnedUserId, Membership)>,
    /// The levels that matter.
    pub powers: Powers,
    /// Its successor (`m.room.tombstone`).
    pub replaced_by: Option<OwnedRoomId>,
}

/// The power levels that matter in a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Powers {
    /// The owner's level.
    pub owner: i64,
    /// The level required to invite.
    pub invite: i64,
    /// The level required to kick.
    pub kick: i64,
    /// The level required to ban.
    pub ban: i64,
    /// The lowest level required for a state event: `state_default`, or a lower level in `events` for a state event
    /// that opens the room (power levels, join rules, encryption, history visibility, tombstone).
    pub state: i64,
}

/// How a room became an assistant's chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The assistant made it.
    Made,
    /// It replaces the assistant's earlier chat; the owner may have made it.
    Followed,
}

/// A way in which a chat is no longer tight. Its `Display` is a phrase for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Drift {
    /// Made by somebody other than the assistant or, if it replaces another, than the two.
    NotOurRoom,
    /// Not encrypted.
    NotEncrypted,
    /// People may join without an invite; holds the join rule.
    OpenToJoin(String),
    /// Guests may join.
    GuestsAllowed,
    /// Newcomers can read the history; holds the visibility.
    HistoryVisible(String),
    /// Users of other servers can join.
    Federates,
    /// It can be found by an alias, the directory or a space.
    Discoverable,
    /// The owner can invite others.
    OwnerMayInvite,
    /// The owner can kick or ban the assistant.
    OwnerMayKick,
    /// The owner can change the room's state.
    OwnerMayChangeState,
    /// The owner is not in the room.
    OwnerGone,
    /// The assistant is not in the room.
    AssistantGone,
    /// It was replaced by another room.
    Replaced,
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phrase = match self {
            Self::NotOurRoom => "it was made by somebody else",
            Self::NotEncrypted => "messages are not encrypted",
            Self::OpenToJoin(_) => "others can join without an invite",
            Self::GuestsAllowed => "guests can come in",
            Self::HistoryVisible(_) => "people who join later can read what was said before",
            Self::Federates => "people of other servers can be brought in",
            Self::Discoverable => "the room can be found by others",
            Self::OwnerMayInvite => "a third person can be invited by accident",
            Self::OwnerMayKick => "the assistant can be removed by accident",
            Self::OwnerMayChangeState => "the room's settings can be changed",
            Self::OwnerGone => "you are not in it",
            Self::AssistantGone => "the assistant is not in it",
            Self::Replaced => "it was replaced by another room",
        };
        f.write_str(phrase)
    }
}

/// The result of checking a chat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RoomCheck {
    /// Every way in which it is not tight.
    pub drifts: Vec<Drift>,
    /// Members and invited users other than the owner and the assistant, sorted.
    pub third_members: Vec<OwnedUserId>,
}

impl RoomCheck {
    /// Returns whether the assistant may speak there.
    #[must_use]
    pub(crate) fn is_tight(&self) -> bool {
        self.drifts.is_empty() && self.third_members.is_empty()
    }
}

/// Checks the chat of `assistant` with `owner`.
#[must_use]
pub(crate) fn check_room(state: &RoomState, origin: Origin, owner: &UserId, assistant: &UserId) -> RoomCheck {
    let is_ours = state.creator == assistant || (origin == Origin::Followed && state.creator == owner);
    let present = |membership: Membership| matches!(membership, Membership::Join | Membership::Invite);
    let membership = |user: &UserId| state.members.iter().rev().find(|(member, _)| member == user).map(|found| found.1);
    let powers = &state.powers;
    let found = [
        (!is_ours, Drift::NotOurRoom),
        (!state.encrypted, Drift::NotEncrypted),
        (state.join_rule != "invite", Drift::OpenToJoin(state.join_rule.clone())),
        (state.guest_access != "forbidden", Drift::GuestsAllowed),
        (state.history_visibility != "joined", Drift::HistoryVisible(state.history_visibility.clone())),
        (state.federates, Drift::Federates),
        (state.discoverable, Drift::Discoverable),
        (powers.owner >= powers.invite, Drift::OwnerMayInvite),
        (powers.owner >= powers.kick.min(powers.ban), Drift::OwnerMayKick),
        (powers.owner >= powers.state, Drift::OwnerMayChangeState),
        // The owner is only invited until they accept.
        (!membership(owner).is_some_and(present), Drift::OwnerGone),
        (membership(assistant) != Some(Membership::Join), Drift::AssistantGone),
        (state.replaced_by.is_some(), Drift::Replaced),
    ];
    let drifts = found.into_iter().filter(|(is_so, _)| *is_so).map(|(_, drift)| drift).collect();
    let others = state.members.iter().map(|(user, _)| user).filter(|user| *user != owner && *user != assistant);
    let mut third_members: Vec<_> = others.filter(|user| membership(user).is_some_and(present)).cloned().collect();
    third_members.sort();
    third_members.dedup();
    RoomCheck { drifts, third_members }
}

/// Whether an assistant's room still belongs to the owner alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Privacy {
    /// It does.
    Tight,
    /// It does not, or it is gone; the assistant writes nothing more there.
    Lost,
}

#[cfg(test)]
pub(super) mod tests;
