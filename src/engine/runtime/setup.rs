//! The configuration in use, which a reload replaces as a whole.

use std::sync::{Arc, PoisonError, RwLock};

use ruma::{OwnedUserId, UserId};

use crate::{
    config::{Config, Coworker},
    core::{people::Namespace, words::ListedCoworker},
};

/// The config, and what is derived from it.
#[derive(Clone)]
pub(in crate::engine) struct Setup {
    pub(in crate::engine) config: Arc<Config>,
    pub(in crate::engine) namespace: Arc<Namespace>,
    /// The coworkers' ids, in the order of the config.
    pub(in crate::engine) users: Arc<[OwnedUserId]>,
}

impl Setup {
    /// Derives what is needed from a config.
    pub(in crate::engine) fn of(config: Config) -> Self {
        let namespace = config.namespace();
        let users = config.coworkers.iter().map(|coworker| namespace.coworker(&coworker.id.0)).collect();
        Self { users, namespace: Arc::new(namespace), config: Arc::new(config) }
    }

    /// Returns a coworker by its user.
    pub(in crate::engine) fn coworker(&self, user: &UserId) -> Option<&Arc<Coworker>> {
        self.users.iter().zip(&self.config.coworkers).find(|(known, _)| *known == user).map(|(_, coworker)| coworker)
    }

    /// Returns the coworkers as people are told of them.
    pub(in crate::engine) fn listed(&self) -> Vec<ListedCoworker<'_>> {
        let all = self.users.iter().zip(&self.config.coworkers);
        all.map(|(user, one)| ListedCoworker { user_id: user, name: &one.name, purpose: &one.purpose }).collect()
    }
}

/// The one door to the setup. Whoever needs several parts that belong together, or the same ones for longer, takes one
/// [`Setup`] and keeps it.
pub(in crate::engine) struct Current(RwLock<Setup>);

impl Current {
    pub(in crate::engine) fn new(setup: Setup) -> Self {
        Self(RwLock::new(setup))
    }

    /// Returns the setup as it is now.
    pub(in crate::engine) fn get(&self) -> Setup {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another in its place. Only a reload does, one at a time.
    pub(in crate::engine) fn replace(&self, setup: Setup) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = setup;
    }
}
