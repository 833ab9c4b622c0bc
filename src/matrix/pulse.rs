//! Signs of trouble that calls to the homeserver reveal: no answer, or a user of ours that cannot act.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use ruma::{OwnedDeviceId, OwnedUserId};
use tokio::sync::{Notify, watch};

/// What keeps a virtual user from acting, or did so until now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ailment {
    /// The homeserver no longer knows this device; the user has to be provisioned again.
    DeviceGone(OwnedDeviceId),
    /// The user's store, as used by this device, is damaged; the user has to be provisioned again.
    StoreDamaged(OwnedDeviceId),
    /// The homeserver refuses to go on from the last sync; the user syncs anew, again and again.
    SyncRefused,
    /// It syncs again, and may have missed something.
    SyncedAgain,
}

/// Signs of trouble, reported by calls and taken by the code that mends them; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Pulse(Arc<Signs>);

#[derive(Debug, Default)]
struct Signs {
    missed: watch::Sender<u64>,
    /// At most one for each user.
    ailing: Mutex<BTreeMap<OwnedUserId, Ailment>>,
    told: Notify,
}

impl Pulse {
    /// Reports a call that got no answer from the homeserver itself.
    pub fn missed(&self) {
        self.0.missed.send_modify(|missed| *missed += 1);
    }

    /// Returns a watch on the number of such calls.
    #[must_use]
    pub fn watch_missed(&self) -> watch::Receiver<u64> {
        self.0.missed.subscribe()
    }

    /// Reports a user that cannot act any more.
    pub fn ails(&self, user: OwnedUserId, ailment: Ailment) {
        self.0.ailing.lock().unwrap_or_else(PoisonError::into_inner).insert(user, ailment);
        self.0.told.notify_one();
    }

    /// Waits for and takes the next user that cannot act; for one caller at a time.
    pub async fn next_ailing(&self) -> (OwnedUserId, Ailment) {
        loop {
            let told = self.0.told.notified();
            if let Some(ailing) = self.0.ailing.lock().unwrap_or_else(PoisonError::into_inner).pop_first() {
                return ailing;
            }
            told.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use ruma::owned_user_id;

    use super::*;

    #[test]
    fn each_ailing_user_is_taken_once_with_what_was_told_last() {
        let pulse = Pulse::default();
        let [a, b] = [owned_user_id!("@a:hs"), owned_user_id!("@b:hs")];
        pulse.ails(b.clone(), Ailment::DeviceGone("B".into()));
        pulse.ails(a.clone(), Ailment::DeviceGone("A".into()));
        pulse.ails(a.clone(), Ailment::StoreDamaged("A".into()));
        let mut taken = Vec::new();
        while let Some(next) = pulse.next_ailing().now_or_never() {
            taken.push(next);
        }
        assert_eq!(taken, [(a, Ailment::StoreDamaged("A".into())), (b, Ailment::DeviceGone("B".into()))]);
    }
}
