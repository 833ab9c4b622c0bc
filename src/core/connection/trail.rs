//! The trail of an owner's connections (A13): what was read, without its words.
//!
//! Whoever has a token can call as often as the pace allows. So a call like an earlier one of the same hour is counted
//! on that one's entry, and where the trail is full, the connection with the most entries loses one, and of these the
//! kind with the most: a flood pushes out nothing but itself.

use std::collections::BTreeMap;

use ruma::OwnedRoomId;
use serde::{Deserialize, Serialize};

use super::Became;
use crate::core::time::Timestamp;

/// Most entries kept in an owner's trail; at the limit those of the busiest connection and kind go first.
pub(crate) const CALLS_KEPT_MAX: usize = 200;
/// Most entries that `!trail` shows.
pub(crate) const CALLS_SHOWN_MAX: usize = 20;
/// For how long like calls are counted on one entry, in milliseconds from its first.
pub(crate) const ALIKE_MS: u64 = 60 * 60 * 1_000;

/// An entry of the owner's trail: one call, or several of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Called {
    /// When; of several calls the last.
    pub at: Timestamp,
    /// The connection's number.
    pub by: u32,
    /// What was called.
    pub what: String,
    /// The room, if one was named that the owner may read.
    #[serde(default)]
    pub room: Option<OwnedRoomId>,
    /// How many messages were given, by all of them.
    #[serde(default)]
    pub messages: usize,
    /// What became of it.
    pub became: Became,
    /// The calls before the last, if there were several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier: Option<Earlier>,
}

/// The calls before an entry's last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Earlier {
    /// When the first one was.
    pub since: Timestamp,
    /// How many they are.
    pub calls: u64,
}

impl Called {
    /// Returns how many calls it stands for.
    #[must_use]
    pub(crate) fn calls(&self) -> u64 {
        self.earlier.map_or(1, |earlier| earlier.calls.saturating_add(1))
    }

    /// Returns when the first of its calls was.
    #[must_use]
    pub(crate) fn since(&self) -> Timestamp {
        self.earlier.map_or(self.at, |earlier| earlier.since)
    }

    fn is_like(&self, other: &Self) -> bool {
        (self.by, &self.what, &self.room, self.became) == (other.by, &other.what, &other.room, other.became)
    }
}

/// The entries, newest last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Trail(Vec<Called>);

impl Trail {
    /// Returns the newest entries that are shown, newest first.
    #[must_use]
    pub(crate) fn shown(&self) -> Vec<&Called> {
        self.0.iter().rev().take(CALLS_SHOWN_MAX).collect()
    }

    /// Returns how many entries there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Notes a call.
    pub(crate) fn note(&mut self, mut call: Called) {
        let alike = |one: &Called| one.is_like(&call) && call.at.ms_since(one.since()) < ALIKE_MS;
        if let Some(at) = self.0.iter().rposition(alike) {
            let before = self.0.remove(at);
            call.earlier = Some(Earlier { since: before.since(), calls: before.calls() });
            call.messages = call.messages.saturating_add(before.messages);
        }
        self.0.push(call);
        while self.0.len() > CALLS_KEPT_MAX {
            self.drop_one();
        }
    }

    /// Drops the oldest entry of the busiest connection's busiest kind.
    fn drop_one(&mut self) {
        let Some(by) = most(self.0.iter().map(|one| one.by)) else { return };
        let kind = |one: &Called| (one.what.clone(), one.became.label());
        let Some(busiest) = most(self.0.iter().filter(|one| one.by == by).map(kind)) else { return };
        if let Some(at) = self.0.iter().position(|one| one.by == by && kind(one) == busiest) {
            self.0.remove(at);
        }
    }
}

/// Returns what occurs most often.
fn most<T: Ord>(all: impl Iterator<Item = T>) -> Option<T> {
    let mut counted: BTreeMap<T, usize> = BTreeMap::new();
    for one in all {
        *counted.entry(one).or_default() += 1;
    }
    counted.into_iter().max_by_key(|(_, count)| *count).map(|(one, _)| one)
}
