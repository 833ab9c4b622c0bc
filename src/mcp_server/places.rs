//! Places for calls: a call takes one of its owner's own first and one of those for everybody second, so that an owner
//! whose calls wait for each other keeps nobody else out.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{Semaphore, SemaphorePermit};

/// How many calls there may be.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    /// Answered at the same time, for all owners together.
    pub(super) all: usize,
    /// Answered at the same time, for one owner.
    pub(super) owner: usize,
    /// Of one owner, those that wait included.
    pub(super) owner_calls: usize,
}

/// The places of all owners.
pub(super) struct Places {
    bounds: Bounds,
    all: Semaphore,
    /// By owner's id, while there are calls of theirs.
    owners: Mutex<BTreeMap<String, Own>>,
}

/// One owner's calls, and places for them.
struct Own {
    calls: usize,
    places: Arc<Semaphore>,
}

/// One call that was let in; it counts until it is dropped.
pub(super) struct Ticket<'places> {
    all: &'places Places,
    owner: String,
    own: Arc<Semaphore>,
}

impl Places {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, all: Semaphore::new(bounds.all), owners: Mutex::default() }
    }

    /// Lets in a call of the owner with this id, unless enough of theirs are there.
    pub(super) fn enter(&self, owner: &str) -> Option<Ticket<'_>> {
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        let none = || Own { calls: 0, places: Arc::new(Semaphore::new(self.bounds.owner)) };
        let own = owners.entry(owner.to_owned()).or_insert_with(none);
        if own.calls >= self.bounds.owner_calls {
            return None;
        }
        own.calls += 1;
        Some(Ticket { all: self, owner: owner.to_owned(), own: own.places.clone() })
    }
}

impl Ticket<'_> {
    /// Waits for a place to be answered; `None` would mean that places are no longer given.
    pub(super) async fn place(&self) -> Option<(SemaphorePermit<'_>, SemaphorePermit<'_>)> {
        // In this order: who waits for a place of their own holds none of everybody's.
        let own = self.own.acquire().await.ok()?;
        let of_all = self.all.all.acquire().await.ok()?;
        Some((own, of_all))
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut owners = self.all.owners.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(own) = owners.get_mut(&self.owner) else { return };
        own.calls -= 1;
        if own.calls == 0 {
            owners.remove(&self.owner);
        }
    }
}
