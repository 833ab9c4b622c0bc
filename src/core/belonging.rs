//! Who is to have an assistant, who is gone, and when what was theirs is deleted (A1, A3).

use std::collections::{BTreeMap, BTreeSet};

use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// How a local person stands to the workspace, as far as it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Belonging {
    /// They are to get an assistant, which is not made yet.
    Due,
    /// They are here, and what is to be made for them is made.
    Here,
    /// They left their assistant's chat: perhaps only that, perhaps the homeserver.
    LeftChat,
    /// They are gone.
    Gone {
        /// Since when that is known.
        since: Timestamp,
        /// From what.
        from: Whence,
    },
}

/// What somebody is gone from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whence {
    /// The workspace's space.
    Space,
    /// The homeserver: their account is deactivated.
    Homeserver,
}

/// Something that was seen of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// They are in the space.
    InSpace,
    /// They are not in the space, or not any more.
    NotInSpace,
    /// Their assistant and its room are made.
    Provisioned,
    /// They are in their assistant's chat.
    InChat,
    /// They left their assistant's chat.
    LeftChat,
    /// Their account has neither a profile nor devices.
    NoAccount,
    /// Their account is in use.
    Account,
}

/// What is to be done for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing, until something else is seen.
    Nothing,
    /// Make their assistant.
    Provision,
    /// Look whether their account is in use.
    Look,
    /// Delete what is kept for them.
    Forget,
}

impl Belonging {
    /// Returns how a person stands after `sign` was seen at `now`; `None`: nothing is to be remembered of them.
    #[must_use]
    pub fn after(known: Option<Self>, sign: Sign, now: Timestamp) -> Option<Self> {
        let gone = |from| Some(Self::Gone { since: now, from });
        match (known, sign) {
            // Whoever is gone already is not gone later: the grace period runs on.
            (Some(Self::Gone { .. }), Sign::NoAccount | Sign::Provisioned | Sign::LeftChat)
            | (Some(Self::Gone { from: Whence::Space, .. }), Sign::NotInSpace | Sign::InChat | Sign::Account)
            | (Some(Self::Here | Self::LeftChat), Sign::InSpace) => known,
            // What they had is still there, and they are invited to it again.
            (None | Some(Self::Due | Self::Gone { .. }), Sign::InSpace) => Some(Self::Due),
            (Some(Self::Gone { since, .. }), Sign::NotInSpace) => Some(Self::Gone { since, from: Whence::Space }),
            (_, Sign::NotInSpace) => gone(Whence::Space),
            (_, Sign::Provisioned | Sign::InChat)
            | (Some(Self::LeftChat | Self::Gone { from: Whence::Homeserver, .. }), Sign::Account) => Some(Self::Here),
            (_, Sign::LeftChat) => Some(Self::LeftChat),
            (Some(Self::LeftChat), Sign::NoAccount) => gone(Whence::Homeserver),
            (known, Sign::NoAccount | Sign::Account) => known,
        }
    }

    /// Returns what is to be done at `now`, with a grace period of `grace_ms` for those who are gone.
    #[must_use]
    pub fn next(self, now: Timestamp, grace_ms: u64) -> Next {
        match self {
            Self::Due => Next::Provision,
            Self::LeftChat => Next::Look,
            Self::Gone { since, .. } if now.ms_since(since) >= grace_ms => Next::Forget,
            Self::Here | Self::Gone { .. } => Next::Nothing,
        }
    }

    /// Returns whether the person is gone.
    #[must_use]
    pub fn is_gone(self) -> bool {
        matches!(self, Self::Gone { .. })
    }
}

/// Compares the space's members with what is known; returns what was seen of whom.
#[must_use]
pub fn compare(known: &BTreeMap<OwnedUserId, Belonging>, present: &BTreeSet<OwnedUserId>) -> Vec<(OwnedUserId, Sign)> {
    let came = present.iter().filter(|user| known.get(*user).is_none_or(|known| known.is_gone()));
    let went = known.iter().filter(|(user, known)| !present.contains(*user) && !known.is_gone());
    let came = came.map(|user| (user.clone(), Sign::InSpace));
    came.chain(went.map(|(user, _)| (user.clone(), Sign::NotInSpace))).collect()
}

#[cfg(test)]
mod tests;
