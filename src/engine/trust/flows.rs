//! The current verifications: one between any two, and no more than a few at once.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use ruma::{OwnedRoomId, OwnedUserId, UserId};
use tokio_util::sync::CancellationToken;

use super::Flow;
use crate::core::event::Place;

/// Most verifications at once, over all our users.
const FLOWS_MAX: usize = 32;

/// The current verifications, by our user and the person.
#[derive(Default)]
pub(super) struct Flows {
    pub(super) going: Mutex<HashMap<(OwnedUserId, OwnedUserId), Going>>,
    /// The ids of those that the last process left unfinished; they are not taken up again.
    pub(super) broken_off: Mutex<HashSet<String>>,
}

/// A current verification.
#[derive(Clone)]
pub(super) struct Going {
    pub(super) shown: ShownAt,
    /// Cancelled to end it in favour of a newer one.
    pub(super) end: CancellationToken,
    /// Cancelled once it has ended.
    pub(super) ended: CancellationToken,
}

impl Flows {
    /// Returns where the emoji of the current verification between the two are shown.
    pub(super) fn shown(&self, user: &UserId, person: &UserId) -> Option<ShownAt> {
        let flows = self.going.lock().unwrap_or_else(PoisonError::into_inner);
        flows.get(&(user.to_owned(), person.to_owned())).map(|going| going.shown.clone())
    }

    /// Replaces the current verification between the two by a new one and returns the old one; `None` if there are too
    /// many.
    #[expect(clippy::option_option, reason = "whether there was room, and for whom it was made")]
    pub(super) fn take_over(&self, key: &(OwnedUserId, OwnedUserId), going: &Going) -> Option<Option<Going>> {
        let mut flows = self.going.lock().unwrap_or_else(PoisonError::into_inner);
        if flows.len() >= FLOWS_MAX && !flows.contains_key(key) {
            return None;
        }
        let older = flows.insert(key.clone(), going.clone());
        if let Some(older) = &older {
            older.end.cancel();
        }
        Some(older)
    }

    /// Returns whether a newer verification has taken the place of this one.
    pub(super) fn is_superseded(&self, flow: &Flow) -> bool {
        let key = (flow.account.user().to_owned(), flow.person.clone());
        let flows = self.going.lock().unwrap_or_else(PoisonError::into_inner);
        flows.get(&key).is_some_and(|going| !Arc::ptr_eq(&going.shown, &flow.shown))
    }

    pub(super) fn leave(&self, key: &(OwnedUserId, OwnedUserId), going: &Going) {
        let mut flows = self.going.lock().unwrap_or_else(PoisonError::into_inner);
        if flows.get(key).is_some_and(|known| Arc::ptr_eq(&known.shown, &going.shown)) {
            flows.remove(key);
        }
        going.ended.cancel();
    }
}

/// Where one verification's emoji are shown; this may become known after the verification begins.
pub(super) type ShownAt = Arc<Mutex<Shown>>;

/// Where our user shows its emoji.
#[derive(Clone)]
pub(super) enum Shown {
    /// In this room.
    In(OwnedRoomId, Place),
    /// In the person's chat with the service bot, because the request named no room.
    Privately,
}
