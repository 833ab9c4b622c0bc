//! What becomes of an invite to one of our users (rules C3, C4, A1, A2).

use std::collections::BTreeSet;

use ruma::{OwnedUserId, UserId};

use super::{
    company::{Company, HUMANS_MIN},
    people::{Namespace, Who},
};

/// An invite to one of our users.
#[derive(Clone, Copy, Debug)]
pub struct Invite<'a> {
    /// Who is invited.
    pub invited: &'a UserId,
    /// Who invites.
    pub inviter: &'a UserId,
    /// How many humans are in the room or invited to it, the inviter among them; `None` where the stripped
    /// state does not tell. What it tells may be a part only: a small number is then decided after joining.
    pub humans: Option<usize>,
    /// Whose invites the invited coworker accepts; `None` for a coworker that config does not name, and for
    /// other users of ours.
    pub accepts: Option<Accepts<'a>>,
}

/// Whose invites a coworker accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepts<'a> {
    /// Everyone of the workspace.
    Members,
    /// These people of the workspace.
    Only(&'a BTreeSet<OwnedUserId>),
}

/// What becomes of an invite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InviteDecision {
    /// Join, then ask [`after_join`].
    Join,
    /// Join, if nobody else is there: a chat with the service bot. The person may have an assistant made if they are
    /// local.
    ServiceDm {
        /// Whose chat it is.
        person: OwnedUserId,
        /// Whether they are local, so that they have an assistant.
        assistant: AssistantFor,
    },
    /// Decline this room, and make or find the owner's assistant in the room of its own.
    MakeAssistant {
        /// The assistant's owner.
        owner: OwnedUserId,
    },
    /// Decline.
    Decline {
        /// What the inviter is told, by their assistant or the service bot; `None`: nothing.
        tell: Option<Tell>,
    },
}

/// Whether a person has an assistant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssistantFor {
    /// A local person: exactly one.
    Local,
    /// A person of another server: none.
    Nobody,
}

/// What a declined inviter is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tell {
    /// Coworkers have no private mode: ask it in a room with others, or ask your assistant.
    AskInRoom,
    /// This coworker accepts invites from named people only.
    NotAccepted,
    /// Config does not know this coworker any more.
    UnknownCoworker,
    /// This assistant is somebody else's.
    NotYourAssistant,
    /// An assistant works only in its own room with its owner.
    AssistantStaysPrivate,
    /// The service bot works in direct chats only.
    ServiceOnlyDirect,
}

/// What to do once joined, when the members are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterJoin {
    /// Stay and say the first words.
    Stay,
    /// Stay, but paused ([`super::company::Liveliness::awaiting`]): the others are still invited.
    Await,
    /// Leave, and tell the inviter.
    LeaveAndTell(Tell),
}

/// Returns what becomes of an invite.
#[must_use]
pub fn on_invite(namespace: &Namespace, invite: &Invite<'_>) -> InviteDecision {
    // Ours, bots, guests and puppets are not argued with; a stranger's invite must not make us write to other servers.
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

/// Returns whether a coworker that has joined on an invite may stay (C4).
#[must_use]
pub fn after_join(company: &Company) -> AfterJoin {
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
        // Who is there is known once it has joined: a direct chat may be one of several people, and one with a single
        // person may be made to verify it.
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

/// A room that is known to have several humans is no direct chat, whatever the invite says.
fn is_group(invite: &Invite<'_>) -> bool {
    invite.humans.is_some_and(|humans| humans >= HUMANS_MIN)
}

#[cfg(test)]
mod tests;
