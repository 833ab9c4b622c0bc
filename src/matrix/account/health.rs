//! Whether this client can act: its device may be gone, its store damaged, its place taken by a newer client.

use std::sync::atomic::{AtomicBool, Ordering};

use ruma::OwnedDeviceId;

use super::Account;
use crate::{
    core::time::Timestamp,
    matrix::{
        error::MatrixError,
        provision::damage::is_damage,
        pulse::{Ailment, Pulse},
    },
};

/// Whether a client's device took the place of another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Renewal {
    /// When it did: what was encrypted for the other one is lost, as far as it is in no backup.
    pub at: Option<Timestamp>,
    /// Whether the device was made for this client.
    pub is_fresh: bool,
}

pub(super) struct Health {
    renewal: Renewal,
    told: AtomicBool,
    given_up: AtomicBool,
    pulse: Pulse,
}

impl Health {
    pub(super) fn new(renewal: Renewal, pulse: Pulse) -> Self {
        Self { renewal, told: AtomicBool::new(false), given_up: AtomicBool::new(false), pulse }
    }
}

impl Account {
    /// Returns the device that this client is.
    #[must_use]
    pub fn device(&self) -> Option<OwnedDeviceId> {
        self.client.device_id().map(ToOwned::to_owned)
    }

    /// Returns since when this device is in the place of another one, where it is.
    #[must_use]
    pub fn renewed_at(&self) -> Option<Timestamp> {
        self.health.renewal.at
    }

    /// Returns, once, whether somebody is to be told that the keys of the device before are lost.
    pub fn take_renewal(&self) -> bool {
        let Renewal { at, is_fresh } = self.health.renewal;
        at.is_some() && is_fresh && !self.health.told.swap(true, Ordering::Relaxed)
    }

    /// Notes that another client takes this one's place.
    pub fn give_up(&self) {
        self.health.given_up.store(true, Ordering::Relaxed);
    }

    /// Returns whether another client takes this one's place.
    #[must_use]
    pub fn is_given_up(&self) -> bool {
        self.health.given_up.load(Ordering::Relaxed)
    }

    /// Tells whoever mends it where an error says that this client's store is damaged.
    pub(super) fn notice_damage(&self, error: &MatrixError) {
        if let (true, Some(device)) = (is_damage(error), self.device()) {
            self.health.pulse.ails(self.user.clone(), Ailment::StoreDamaged(device));
        }
    }
}
