//! Whose an account is, and the name under which it is stored.

use std::{collections::BTreeMap, fmt};

use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde::{Deserialize, Serialize};

use super::{Budgets, Limits, Scope, Usd};
use crate::core::{id, zone::Zone};

/// Whose an account is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    /// The whole workspace.
    Workspace,
    /// A coworker, in all its rooms.
    Coworker(OwnedUserId),
    /// The assistant of this person.
    Assistant(OwnedUserId),
    /// A person.
    Person(OwnedUserId),
    /// A room.
    Room(OwnedRoomId),
}

impl Holder {
    /// Returns whose accounts a call falls under: those of a coworker in a room, or of its owner's assistant.
    #[must_use]
    pub(crate) fn of_call(
        person: Option<&UserId>,
        user: &UserId,
        room: Option<&RoomId>,
        owner: Option<&UserId>,
    ) -> Vec<Self> {
        let mut holders = vec![Self::Workspace];
        holders.extend(person.map(|person| Self::Person(person.to_owned())));
        match room {
            Some(room) => holders.extend([Self::Coworker(user.to_owned()), Self::Room(room.to_owned())]),
            None => holders.extend(owner.map(|owner| Self::Assistant(owner.to_owned()))),
        }
        holders
    }

    /// Returns the holder of a stored account, by the account's name; `None` if no holder has such a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        if name == "workspace" {
            return Some(Self::Workspace);
        }
        let (scope, whose) = name.split_once(':')?;
        match scope {
            "coworker" => id::user(whose).map(Self::Coworker),
            "assistant" => id::user(whose).map(Self::Assistant),
            "person" => id::user(whose).map(Self::Person),
            "room" => id::room(whose).map(Self::Room),
            _ => None,
        }
    }

    /// Returns the kind of holder.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match self {
            Self::Workspace => Scope::Workspace,
            Self::Coworker(_) => Scope::Coworker,
            Self::Assistant(_) => Scope::Assistant,
            Self::Person(_) => Scope::Person,
            Self::Room(_) => Scope::Room,
        }
    }
}

impl fmt::Display for Holder {
    /// Formats the name under which the account is stored: `workspace`, `person:@alice:example.org`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scope = self.scope().name();
        match self {
            Self::Workspace => f.write_str(scope),
            Self::Coworker(user) | Self::Assistant(user) | Self::Person(user) => write!(f, "{scope}:{user}"),
            Self::Room(room) => write!(f, "{scope}:{room}"),
        }
    }
}

/// The limits of every account.
#[derive(Clone, Debug, Default)]
pub(crate) struct Terms {
    /// The limits for everybody.
    pub budgets: Budgets,
    /// The coworkers' own limits for a month, by their user ids.
    pub coworkers: BTreeMap<OwnedUserId, Usd>,
    /// The zone in which days and months begin.
    pub zone: Zone,
}

impl Terms {
    /// Returns the limits on a holder's account.
    #[must_use]
    pub(crate) fn of(&self, holder: &Holder) -> Limits {
        match holder {
            Holder::Coworker(user) => Limits { month: self.coworkers.get(user).copied(), day: None },
            other => self.budgets.of(other.scope()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c23_an_account_s_name_says_whose_it_is_and_is_read_again() {
        let names = [
            ("workspace", Some(Scope::Workspace)),
            ("coworker:@coworker-ci:hs", Some(Scope::Coworker)),
            ("assistant:@alice:hs", Some(Scope::Assistant)),
            ("person:@alice:hs:8448", Some(Scope::Person)),
            ("room:!abc:hs", Some(Scope::Room)),
            ("room:!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM", Some(Scope::Room)),
            ("room:@alice:hs", None),
            ("person:alice", None),
            ("team:@alice:hs", None),
            ("", None),
        ];
        for (name, scope) in names {
            let holder = Holder::parse(name);
            assert_eq!(holder.as_ref().map(Holder::scope), scope, "{name}");
            assert!(holder.is_none_or(|holder| holder.to_string() == name), "{name}");
        }
    }
}
