//! Whether this client can act: its device may be gone, its store damaged, or a newer client may replace it.

use std::sync::atomic::{AtomicBool, Ordering};

use ruma::OwnedDeviceId;

use super::Account;
use crate::{
    core::time::Timestamp,
    matrix::{
        damage::is_damage,
        error::MatrixError,
        pulse::{Ailment, Pulse},
    },
};

/// Whether a client's device replaced another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Renewal {
    /// When it did. Messages encrypted for the old device are lost unless the backup has their keys.
    pub at: Option<Timestamp>,
    /// Whether the device was created for this client.
    pub is_fresh: bool,
}

pub(super) struct Health {
    renewal: Renewal,
    told: AtomicBool,
    given_up: AtomicBool,
    /// Whether the homeserver refused to go on from the last sync, and none succeeded since.
    sync_refused: AtomicBool,
    /// Whether the next sync has to be a first one, because the homeserver has lost what came after an earlier one.
    owes_start_over: AtomicBool,
    pulse: Pulse,
}

impl Health {
    pub(super) fn new(renewal: Renewal, pulse: Pulse) -> Self {
        let (told, given_up, sync_refused, owes_start_over) = Default::default();
        Self { renewal, told, given_up, sync_refused, owes_start_over, pulse }
    }
}

impl Account {
    /// Returns this client's device.
    #[must_use]
    pub fn device(&self) -> Option<OwnedDeviceId> {
        self.client.device_id().map(ToOwned::to_owned)
    }

    /// Returns when this device replaced another, if it did.
    #[must_use]
    pub fn renewed_at(&self) -> Option<Timestamp> {
        self.health.renewal.at
    }

    /// Returns true once if people should be told that the old device's keys are lost.
    pub fn take_renewal(&self) -> bool {
        let Renewal { at, is_fresh } = self.health.renewal;
        at.is_some() && is_fresh && !self.health.told.swap(true, Ordering::Relaxed)
    }

    /// Marks this client as replaced by another.
    pub fn give_up(&self) {
        self.health.given_up.store(true, Ordering::Relaxed);
    }

    /// Returns whether another client replaces this one.
    #[must_use]
    pub fn is_given_up(&self) -> bool {
        self.health.given_up.load(Ordering::Relaxed)
    }

    /// Reports that the homeserver refuses to go on from the last sync.
    pub(super) fn notice_refused_sync(&self) {
        self.health.sync_refused.store(true, Ordering::Relaxed);
        self.health.pulse.ails(self.user.clone(), Ailment::SyncRefused);
    }

    /// Reports a sync that succeeded, if one was refused before.
    pub(super) fn notice_synced(&self) {
        if self.health.sync_refused.swap(false, Ordering::Relaxed) {
            self.health.pulse.ails(self.user.clone(), Ailment::SyncedAgain);
        }
    }

    /// Has every sync begin anew until one succeeds.
    pub(super) fn owe_start_over(&self) {
        self.health.owes_start_over.store(true, Ordering::Relaxed);
    }

    /// Returns whether the next sync has to begin anew.
    #[must_use]
    pub fn owes_start_over(&self) -> bool {
        self.health.owes_start_over.load(Ordering::Relaxed)
    }

    /// Reports that this user synced anew.
    pub(super) fn notice_start_over(&self) {
        self.health.owes_start_over.store(false, Ordering::Relaxed);
        self.health.sync_refused.store(false, Ordering::Relaxed);
        self.health.pulse.ails(self.user.clone(), Ailment::SyncedAgain);
    }

    /// Reports that the homeserver does not know this user any more.
    pub(super) fn notice_unknown_user(&self) {
        if let Some(device) = self.device() {
            self.health.pulse.ails(self.user.clone(), Ailment::DeviceGone(device));
        }
    }

    /// Reports the store as damaged if the error says so.
    pub(super) fn notice_damage(&self, error: &MatrixError) {
        if let (true, Some(device)) = (is_damage(error), self.device()) {
            self.health.pulse.ails(self.user.clone(), Ailment::StoreDamaged(device));
        }
    }
}
