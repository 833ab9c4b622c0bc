//! Who should have an assistant, who is gone, and when a gone person's data is deleted (A1, A3).

use std::collections::{BTreeMap, BTreeSet};

use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// How a local person belongs to the workspace, as far as seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Belonging {
    /// They should get an assistant, which is not made yet.
    Due,
    /// They are here, and their assistant is made.
    Here,
    /// They left their assistant's chat, and perhaps the homeserver too.
    LeftChat,
    /// They are gone.
    Gone {
        /// Since when this is known.
        since: Timestamp,
        /// What they are gone from.
        from: Whence,
    },
}

/// What a person is gone from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Whence {
    /// The workspace's space.
    Space,
    /// The homeserver: the account is deactivated.
    Homeserver,
}

/// An observation about a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// They are in the space.
    InSpace,
    /// They are not in the space, or no longer.
    NotInSpace,
    /// Their assistant and its room were made.
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

/// What to do about a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing until something else is seen.
    Nothing,
    /// Make their assistant.
    Provision,
    /// Check whether their account is in use.
    Look,
    /// Delete what is stored for them.
    Forget,
}

impl Belonging {
    /// Returns a person's state after an observation at `now`; `None` if nothing needs to be stored.
    #[must_use]
    pub(crate) fn after(known: Option<Self>, sign: Sign, now: Timestamp) -> Option<Self> {
        let gone = |from| Some(Self::Gone { since: now, from });
        match (known, sign) {
            // A person who is gone stays gone from the first time on: the grace period continues.
            (Some(Self::Gone { .. }), Sign::NoAccount | Sign::Provisioned | Sign::LeftChat)
            | (Some(Self::Gone { from: Whence::Space, .. }), Sign::NotInSpace | Sign::InChat | Sign::Account)
            | (Some(Self::Here | Self::LeftChat), Sign::InSpace) => known,
            // Their assistant still exists, and they are invited to it again.
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

    /// Returns what to do at `now`, with a grace period of `grace_ms` for those who are gone.
    #[must_use]
    pub(crate) fn next(self, now: Timestamp, grace_ms: u64) -> Next {
        match self {
            Self::Due => Next::Provision,
            Self::LeftChat => Next::Look,
            Self::Gone { since, .. } if now.ms_since(since) >= grace_ms => Next::Forget,
            Self::Here | Self::Gone { .. } => Next::Nothing,
        }
    }

    /// Returns whether the person is gone.
    #[must_use]
    pub(crate) fn is_gone(self) -> bool {
        matches!(self, Self::Gone { .. })
    }
}

/// Compares the space's members with the stored states; returns the observations.
#[must_use]
pub(crate) fn compare(
    known: &BTreeMap<OwnedUserId, Belonging>,
    present: &BTreeSet<OwnedUserId>,
) -> Vec<(OwnedUserId, Sign)> {
    let came = present.iter().filter(|user| known.get(*user).is_none_or(|known| known.is_gone()));
    let went = known.iter().filter(|(user, known)| !present.contains(*user) && !known.is_gone());
    let came = came.map(|user| (user.clone(), Sign::InSpace));
    came.chain(went.map(|(user, _)| (user.clone(), Sign::NotInSpace))).collect()
}

#[cfg(test)]
mod tests;
