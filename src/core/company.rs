//! Who else is in a room, and whether a coworker is alone with one person there (rule C4).

use std::collections::BTreeMap;

use ruma::{OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use super::{event::Membership, people::Namespace, time::Timestamp};

/// How many humans a room must have for a coworker to work in it.
pub const HUMANS_MIN: usize = 2;

/// The least time between two words that a room became lonely, in milliseconds: somebody who leaves and
/// joins again and again cannot make a coworker talk each time.
pub const LONELY_WORD_INTERVAL_MS: u64 = 60 * 60 * 1000;

/// How many humans are in a room. Virtual users and known bots are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Company {
    /// Humans that have joined.
    pub humans: usize,
    /// Humans that are invited and have not answered yet.
    pub humans_invited: usize,
    /// Our own users that have joined.
    pub ours: usize,
}

impl Company {
    /// Counts a room's members; of several entries for one user the last holds.
    #[must_use]
    pub fn of<'a>(namespace: &Namespace, members: impl IntoIterator<Item = (&'a UserId, Membership)>) -> Self {
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

    /// Returns whether enough humans are there.
    #[must_use]
    pub fn is_lively(&self) -> bool {
        self.humans >= HUMANS_MIN
    }

    /// Returns whether enough humans are there or on their way.
    #[must_use]
    pub fn may_become_lively(&self) -> bool {
        self.humans.saturating_add(self.humans_invited) >= HUMANS_MIN
    }
}

/// At least how many humans are in a room, told from a count and from who left since.
///
/// In a large room most changes of membership cannot make it lonely, so its members need not be counted anew for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtLeast(usize);

impl AtLeast {
    /// Begins with a count.
    #[must_use]
    pub fn counted(company: &Company) -> Self {
        Self(company.humans)
    }

    /// Takes a change of membership; returns whether the room is lively for sure. Who is said to join may have been
    /// there, and whoever leaves may have been counted out already, so that the number is never too high.
    pub fn is_lively_after(&mut self, membership: Membership) -> bool {
        if matches!(membership, Membership::Leave | Membership::Ban) {
            self.0 = self.0.saturating_sub(1);
        }
        self.0 >= HUMANS_MIN
    }
}

/// Whether coworkers work in a room; persisted for each room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Liveliness {
    mood: Mood,
    said_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mood {
    /// Enough humans are there.
    #[default]
    Lively,
    /// The others were invited and are awaited; nothing needs saying yet.
    Awaiting,
    /// One human or none is left.
    Lonely,
}

/// What a change of company asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompanyChange {
    /// Nothing changed that matters.
    None,
    /// The room is paused from now on; if `say`, tell the person who is left, once.
    Pause {
        /// Whether a word is due.
        say: bool,
    },
    /// Somebody came; requests are answered again.
    Resume,
}

impl Liveliness {
    /// Returns the state of a room that a coworker joined while others are still invited.
    #[must_use]
    pub const fn awaiting() -> Self {
        Self { mood: Mood::Awaiting, said_at: None }
    }

    /// Returns whether requests in the room stay unanswered.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.mood != Mood::Lively
    }

    /// Takes the room's new company, and returns what is to be done.
    pub fn take(&mut self, company: &Company, now: Timestamp) -> CompanyChange {
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
