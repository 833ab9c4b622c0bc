//! Who is in a room besides a coworker, and whether it is alone there with one person (rule C4).

use std::collections::BTreeMap;

use ruma::{OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use super::{event::Membership, people::Namespace, time::Timestamp};

/// The fewest humans in a room for coworkers to work there.
pub(crate) const HUMANS_MIN: usize = 2;

/// The shortest interval between two notices that a room became lonely, in milliseconds. Without it, a member who
/// leaves and rejoins could make a coworker talk each time.
pub(crate) const LONELY_WORD_INTERVAL_MS: u64 = 60 * 60 * 1000;

/// The numbers of members that matter. Virtual users and known bots do not count as humans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Company {
    /// Humans that have joined.
    pub humans: usize,
    /// Humans that are invited and have not answered.
    pub humans_invited: usize,
    /// Our own users that have joined.
    pub ours: usize,
}

impl Company {
    /// Counts a room's members; the last of several entries for one user counts.
    #[must_use]
    pub(crate) fn of<'a>(namespace: &Namespace, members: impl IntoIterator<Item = (&'a UserId, Membership)>) -> Self {
        let mut last: BTreeMap<OwnedUserId, Membership> = BTreeMap::new();
        for (user, membership) in members {
            last.insert(user.to_owned(), membership);
        }
        let mut company = Self::default();
        for (user, membership) in last {
            match membership {
                Membership::Join if namespace.is_human(&user) => company.humans += 1,
                Membership::Invite if namespace.is_human(&user) => company.humans_invited += 1,
                Membership::Join if namespace.is_ours(&user) => company.ours += 1,
                _ => {}
            }
        }
        company
    }

    /// Returns whether enough humans have joined.
    #[must_use]
    pub(crate) fn is_lively(&self) -> bool {
        self.humans >= HUMANS_MIN
    }

    /// Returns whether enough humans have joined or are invited.
    #[must_use]
    pub(crate) fn may_become_lively(&self) -> bool {
        self.humans.saturating_add(self.humans_invited) >= HUMANS_MIN
    }
}

/// A lower bound on the humans in a room: a count, less the departures since.
///
/// In a large room most membership changes cannot make it lonely, so its members need not be counted again for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AtLeast(usize);

impl AtLeast {
    /// Starts from a count.
    #[must_use]
    pub(crate) fn counted(company: &Company) -> Self {
        Self(company.humans)
    }

    /// Applies a membership change; returns whether the room is certainly still lively. A join may be of somebody
    /// already counted, so it adds nothing. A leave always subtracts, so the bound is never too high.
    pub(crate) fn is_lively_after(&mut self, membership: Membership) -> bool {
        if matches!(membership, Membership::Leave | Membership::Ban) {
            self.0 = self.0.saturating_sub(1);
        }
        self.0 >= HUMANS_MIN
    }
}

/// Whether coworkers work in a room; stored for each room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Liveliness {
    mood: Mood,
    said_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mood {
    /// Enough humans are here.
    #[default]
    Lively,
    /// Others are invited and awaited; nothing needs saying yet.
    Awaiting,
    /// At most one human is left.
    Lonely,
}

/// What to do after a change of company.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CompanyChange {
    /// Nothing.
    None,
    /// Pause the room; if `say`, tell the remaining person once.
    Pause {
        /// Whether to tell them.
        say: bool,
    },
    /// Answer requests again: enough people are here.
    Resume,
}

impl Liveliness {
    /// Returns the state of a room that a coworker joined while others are invited.
    #[must_use]
    pub(crate) const fn awaiting() -> Self {
        Self { mood: Mood::Awaiting, said_at: None }
    }

    /// Returns whether requests in the room go unanswered.
    #[must_use]
    pub(crate) fn is_paused(&self) -> bool {
        self.mood != Mood::Lively
    }

    /// Updates the state from the room's members, and returns what to do.
    pub(crate) fn take(&mut self, company: &Company, now: Timestamp) -> CompanyChange {
        if company.is_lively() {
            let was = std::mem::replace(&mut self.mood, Mood::Lively);
            return if was == Mood::Lively { CompanyChange::None } else { CompanyChange::Resume };
        }
        if self.mood == Mood::Lonely || (self.mood == Mood::Awaiting && company.may_become_lively()) {
            return CompanyChange::None;
        }
        self.mood = Mood::Lonely;
        let rested = self.said_at.is_none_or(|said| now.ms_since(said) >= LONELY_WORD_INTERVAL_MS);
        let say = company.humans > 0 && rested;
        if say {
            self.said_at = Some(now);
        }
        CompanyChange::Pause { say }
    }
}

#[cfg(test)]
mod tests;
