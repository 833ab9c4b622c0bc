//! What to do about an invite to one of our users (rules C3, C4, A1, A2).

use std::collections::BTreeSet;

use ruma::{OwnedUserId, UserId};

use super::{
    company::{Company, HUMANS_MIN},
    people::{Namespace, Who},
};

/// An invite to one of our users.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Invite<'a> {
    /// The invited user of ours.
    pub invited: &'a UserId,
    /// The sender of the invite.
    pub inviter: &'a UserId,
    /// Humans joined or invited, including the inviter; `None` if the stripped state does not tell. It may list only
    /// some members, so a small number is decided after joining.
    pub humans: Option<usize>,
    /// Whose invites the coworker accepts; `None` for a coworker that the config does not name and for our other users.
    pub accepts: Option<Accepts<'a>>,
}

/// Whose invites a coworker accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepts<'a> {
    /// Those of everyone in the workspace.
    Members,
    /// Only those of these people.
    Only(&'a BTreeSet<OwnedUserId>),
}

/// What to do about an invite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum InviteDecision {
    /// Join, then ask [`after_join`].
    Join,
    /// Join as the service bot, if nobody else is there. A local person may have an assistant made.
    ServiceDm {
        /// The person whose chat it is.
        person: OwnedUserId,
        /// Whether the person can have an assistant.
        assistant: AssistantFor,
    },
    /// Decline, and find or make the owner's assistant in its own room.
    MakeAssistant {
        /// The assistant's owner.
        owner: OwnedUserId,
    },
    /// Decline the invite.
    Decline {
        /// What the assistant or the service bot tells the inviter; `None` for nothing.
        tell: Option<Tell>,
    },
}

/// Whether a person can have an assistant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AssistantFor {
    /// Yes, exactly one: a local person.
    Local,
    /// No: a person on another server.
    Nobody,
}

/// What to tell a declined inviter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tell {
    /// Coworkers work only in rooms with several people; for private matters, ask your assistant.
    AskInRoom,
    /// This coworker accepts invites only from certain people.
    NotAccepted,
    /// The config no longer names this coworker.
    UnknownCoworker,
    /// This is somebody else's assistant.
    NotYourAssistant,
    /// An assistant works only in its own chat with its owner.
    AssistantStaysPrivate,
    /// The service bot works only in direct chats.
    ServiceOnlyDirect,
}

/// What to do after joining, once the members are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterJoin {
    /// Stay, and say the first words.
    Stay,
    /// Stay, but paused ([`super::company::Liveliness::awaiting`]), because others are still invited.
    Await,
    /// Leave, and tell the inviter why.
    LeaveAndTell(Tell),
}

/// Decides what to do about an invite.
#[must_use]
pub(crate) fn on_invite(namespace: &Namespace, invite: &Invite<'_>) -> InviteDecision {
    // Our users, bots, guests and puppets get no explanation. Nor does a stranger: their invite must not make us write
    // to other servers.
    if !namespace.who(invite.inviter).is_person() {
        return InviteDecision::Decline { tell: None };
    }
    match namespace.who(invite.invited) {
        Who::Coworker(_) => to_coworker(invite),
        Who::Assistant(owner) => to_assistant(namespace, invite, &owner),
        Who::Service => to_service(namespace, invite),
        Who::Bot | Who::Guest | Who::Puppet(_) | Who::Person | Who::Stranger => InviteDecision::Decline { tell: None },
    }
}

/// Decides whether a coworker that has joined on an invite may stay (C4).
#[must_use]
pub(crate) fn after_join(company: &Company) -> AfterJoin {
    if company.is_lively() {
        AfterJoin::Stay
    } else if company.may_become_lively() {
        AfterJoin::Await
    } else {
        AfterJoin::LeaveAndTell(Tell::AskInRoom)
    }
}

fn to_coworker(invite: &Invite<'_>) -> InviteDecision {
    let refusal = match invite.accepts {
        None => Some(Tell::UnknownCoworker),
        Some(Accepts::Only(people)) if !people.contains(invite.inviter) => Some(Tell::NotAccepted),
        // The members are known only after joining. A direct chat may have several people, and one person may have
        // opened it to verify the coworker.
        Some(_) => None,
    };
    match refusal {
        None => InviteDecision::Join,
        tell => InviteDecision::Decline { tell },
    }
}

fn to_assistant(namespace: &Namespace, invite: &Invite<'_>, owner: &str) -> InviteDecision {
    let is_owner = invite.inviter.server_name() == namespace.server && invite.inviter.localpart() == owner;
    if !is_owner {
        return InviteDecision::Decline { tell: Some(Tell::NotYourAssistant) };
    }
    if is_group(invite) {
        return InviteDecision::Decline { tell: Some(Tell::AssistantStaysPrivate) };
    }
    InviteDecision::MakeAssistant { owner: invite.inviter.to_owned() }
}

fn to_service(namespace: &Namespace, invite: &Invite<'_>) -> InviteDecision {
    if is_group(invite) {
        return InviteDecision::Decline { tell: Some(Tell::ServiceOnlyDirect) };
    }
    let local = invite.inviter.server_name() == namespace.server;
    let assistant = if local { AssistantFor::Local } else { AssistantFor::Nobody };
    InviteDecision::ServiceDm { person: invite.inviter.to_owned(), assistant }
}

/// Returns whether the room is known to have several humans; then it is no direct chat, whatever the invite says.
fn is_group(invite: &Invite<'_>) -> bool {
    invite.humans.is_some_and(|humans| humans >= HUMANS_MIN)
}

#[cfg(test)]
mod tests;
