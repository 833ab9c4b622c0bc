//! Whose devices a client has to ask for again, because its next sync is a first one, which names no changes.
//!
//! The proxy adds these people to the sync's list of changed devices. The SDK then stores that it has to ask, asks in
//! batches, and asks before it encrypts for any of them, also after a restart.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ruma::{OwnedUserId, UserId};

/// The people, by the user whose client asks. Cheap to clone; shared by clients and proxy.
#[derive(Clone, Debug, Default)]
pub struct Outdated(Arc<Mutex<HashMap<OwnedUserId, Vec<OwnedUserId>>>>);

impl Outdated {
    fn lock(&self) -> MutexGuard<'_, HashMap<OwnedUserId, Vec<OwnedUserId>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes about whom `user`'s next first sync has to ask.
    pub(super) fn note(&self, user: &UserId, people: Vec<OwnedUserId>) {
        self.lock().insert(user.to_owned(), people);
    }

    /// Returns those people.
    pub(super) fn of(&self, user: &UserId) -> Vec<OwnedUserId> {
        self.lock().get(user).cloned().unwrap_or_default()
    }

    /// Forgets them, once a first sync has told of them.
    pub(super) fn told(&self, user: &UserId) {
        self.lock().remove(user);
    }
}
