//! What is due next among many: one sorted list, so that one timer is enough for all.

use std::collections::{BTreeSet, HashMap};

use crate::core::time::Timestamp;

/// Ids by when they are due next.
#[derive(Clone, Debug)]
pub(crate) struct Calendar<I> {
    by_time: BTreeSet<(Timestamp, I)>,
    times: HashMap<I, Timestamp>,
}

impl<I> Default for Calendar<I> {
    fn default() -> Self {
        Self { by_time: BTreeSet::new(), times: HashMap::new() }
    }
}

impl<I: Clone + Ord + std::hash::Hash> Calendar<I> {
    /// Notes when an id is due next, instead of what was noted before; `None` forgets it.
    pub(crate) fn set(&mut self, id: &I, due: Option<Timestamp>) {
        if let Some(before) = self.times.remove(id) {
            self.by_time.remove(&(before, id.clone()));
        }
        if let Some(due) = due {
            self.times.insert(id.clone(), due);
            self.by_time.insert((due, id.clone()));
        }
    }

    /// Notes when an id is due next, unless it is noted for another time than `before`.
    pub(crate) fn change(&mut self, id: &I, before: Option<Timestamp>, due: Option<Timestamp>) {
        if self.times.get(id).copied() == before {
            self.set(id, due);
        }
    }

    /// Returns all ids that are noted.
    #[must_use]
    pub(crate) fn ids(&self) -> Vec<I> {
        self.times.keys().cloned().collect()
    }

    /// Returns when the first of all is due.
    #[must_use]
    pub(crate) fn first(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(due, _)| *due)
    }

    /// Takes the first id that is due at `now`, which is then noted for no time.
    pub(crate) fn take_due(&mut self, now: Timestamp) -> Option<I> {
        let (due, _) = self.by_time.first()?;
        if *due > now {
            return None;
        }
        let (_, id) = self.by_time.pop_first()?;
        self.times.remove(&id);
        Some(id)
    }

    /// Returns how many ids are noted.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.times.len()
    }
}
