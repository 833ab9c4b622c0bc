//! What calls to the homeserver tell beside their answers: that nothing answered, that one of our users ails.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use ruma::{OwnedDeviceId, OwnedUserId};
use tokio::sync::{Notify, watch};

/// What keeps one virtual user from acting, until it is provisioned anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ailment {
    /// The homeserver does not know this device of the user's any more.
    DeviceGone(OwnedDeviceId),
    /// The user's own store, while it was used by this device, is damaged.
    StoreDamaged(OwnedDeviceId),
}

/// Signs of trouble, told by those who meet it and taken by whoever mends it; a cheap handle.
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
    /// Tells that a call got no answer of the homeserver's own.
    pub fn missed(&self) {
        self.0.missed.send_modify(|missed| *missed += 1);
    }

    /// Returns a count of the calls that got no answer, to be waited on.
    #[must_use]
    pub fn watch_missed(&self) -> watch::Receiver<u64> {
        self.0.missed.subscribe()
    }

    /// Tells that a user cannot act any more.
    pub fn ails(&self, user: OwnedUserId, ailment: Ailment) {
        self.0.ailing.lock().unwrap_or_else(PoisonError::into_inner).insert(user, ailment);
        self.0.told.notify_one();
    }

    /// Waits for a user that cannot act, and takes it; one caller at a time.
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
