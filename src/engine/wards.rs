//! Our own users. Each is provisioned separately, so that one that cannot start affects only itself.
//!
//! A user that is out of order is named in `/readyz` and tried again; events in its rooms are kept for it meanwhile. A
//! user whose device or store is lost is provisioned anew, and then takes the events kept for it.

mod mending;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ruma::{EventId, OwnedUserId, RoomId, UserId};

use super::{EngineError, records::HeldBack, runtime::Runtime};
use crate::{
    appservice::health::{Condition, State},
    core::people::Who,
    matrix::{inbound::may_be_said, provision::Persona},
    store::InboxEntry,
};

pub(super) use self::mending::{bring_up_all, keep_mending, see_to_assistants};

/// Most users named in one reason.
const NAMED_MAX: usize = 5;
/// Most events kept for users that are out of order, in all.
const HELD_BACK_MAX: usize = 1_000;

/// What is told of users whose syncs are refused.
const SYNC_REFUSED: &str = "the homeserver refuses its syncs; it is asked for a first one, again and again\n  Mend: see what the \
                            homeserver, and what stands before it, answer to /_matrix/client/v3/sync.";

/// The users of ours that cannot act, and why.
pub(super) struct Wards {
    runtime: Arc<Runtime>,
    out: Mutex<BTreeMap<OwnedUserId, Ail>>,
    /// Users whose syncs are refused; they act as far as they can without.
    unsynced: Mutex<BTreeSet<OwnedUserId>>,
}

/// Why a user cannot act.
struct Ail {
    reason: String,
    /// Whether it is only being set up.
    is_new: bool,
}

impl Wards {
    pub(super) fn new(runtime: &Arc<Runtime>) -> Self {
        Self { runtime: runtime.clone(), out: Mutex::default(), unsynced: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<OwnedUserId, Ail>> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records whether a user's syncs are refused; returns whether that is news.
    fn set_unsynced(&self, user: &UserId, is_refused: bool) -> bool {
        let mut unsynced = self.unsynced.lock().unwrap_or_else(PoisonError::into_inner);
        if is_refused { unsynced.insert(user.to_owned()) } else { unsynced.remove(user) }
    }

    fn unsynced(&self) -> BTreeSet<OwnedUserId> {
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Wards {
    /// Shows in `/readyz` that a user's syncs are refused. Whose assistants are concerned is nobody's business.
    fn take_refused_syncs(&self, user: &UserId) {
        if self.persona_of(user).is_some() && self.set_unsynced(user, true) {
            self.say_who_is_out_of_order();
        }
    }

    /// Returns the persona of a user whose client stays open.
    fn persona_of(&self, user: &UserId) -> Option<Persona> {
        match self.runtime.namespace().who(user) {
            Who::Service => Some(self.runtime.service_persona()),
            Who::Coworker(_) => {
                let coworker = self.runtime.coworker(user)?;
                self.runtime.coworker_persona(&coworker).ok()
            }
            _ => None,
        }
    }

    /// Returns whether a user is a coworker that the config has no more.
    fn is_out_of_service(&self, user: &UserId) -> bool {
        matches!(self.runtime.namespace().who(user), Who::Coworker(_)) && self.runtime.coworker(user).is_none()
    }

    /// Records that a user can act, without taking it up.
    pub(super) fn put_in_order(&self, user: &UserId) {
        if self.lock().remove(user).is_some() {
            self.say_who_is_out_of_order();
        }
    }

    pub(super) fn put_out_of_order(&self, user: &UserId, reason: &str) {
        self.lock().insert(user.to_owned(), Ail { reason: reason.to_owned(), is_new: false });
        self.say_who_is_out_of_order();
    }

    /// Shows in `/readyz` who cannot act, and why.
    pub(super) fn say_who_is_out_of_order(&self) {
        let out = self.lock();
        let ailing = out.iter().filter(|(_, ail)| !ail.is_new).map(|(user, ail)| (user.as_str(), ail.reason.as_str()));
        let unsynced = self.unsynced();
        let refused = unsynced.iter().filter(|user| !out.contains_key(*user)).map(|user| (user.as_str(), SYNC_REFUSED));
        let each: Vec<(&str, &str)> = ailing.chain(refused).collect();
        let state = if out.is_empty() && each.is_empty() {
            State::Ready
        } else if each.is_empty() {
            State::Pending("they are being set up".to_owned())
        } else {
            State::Waiting(told_of(&each))
        };
        drop(out);
        self.runtime.health.set(Condition::Users, state);
    }

    /// Keeps an entry that was handled while a user of its room was out of order; returns whether it is kept.
    pub(super) fn hold_back(&self, entry: &InboxEntry) -> Result<bool, EngineError> {
        let event = &entry.event;
        let key = (event.room_id.clone(), event.event_id.clone());
        let users = self.out_of_order_in(&event.room_id)?;
        if users.is_empty() || !is_for_somebody(&event.event_type) || self.runtime.namespace().is_ours(&event.sender) {
            if !self.runtime.tables.held_back.is_empty() {
                self.runtime.tables.held_back.remove(&key)?;
            }
            return Ok(false);
        }
        let known = self.runtime.tables.held_back.get(&key)?;
        if known.is_none() && self.runtime.tables.held_back.len() >= HELD_BACK_MAX {
            tracing::error!(room.id = %event.room_id, event.id = %event.event_id, "too much waits for users that are out of order");
            return Ok(false);
        }
        // A user that already took the event is not asked again.
        let users = match known {
            Some(known) => known.users.intersection(&users).cloned().collect(),
            None => users,
        };
        if users.is_empty() {
            self.runtime.tables.held_back.remove(&key)?;
            return Ok(false);
        }
        self.runtime.tables.held_back.put(&key, &HeldBack { seq: entry.seq, users })?;
        Ok(true)
    }

    fn out_of_order_in(&self, room: &RoomId) -> Result<BTreeSet<OwnedUserId>, EngineError> {
        let out: BTreeSet<OwnedUserId> = self.lock().keys().cloned().collect();
        if out.is_empty() {
            return Ok(out);
        }
        let Some(record) = self.runtime.tables.rooms.get(&room.to_owned())? else { return Ok(BTreeSet::new()) };
        let is_there = |user: &OwnedUserId| {
            record.introduced.contains(user)
                || record.stays.contains(user)
                || (record.service_dm.is_some() && *user == self.runtime.service_user())
        };
        Ok(out.into_iter().filter(is_there).collect())
    }

    /// Returns whether this user already took an event that is kept for another.
    pub(super) fn was_taken_by(&self, room: &RoomId, event: &EventId, user: &UserId) -> Result<bool, EngineError> {
        if self.runtime.tables.held_back.is_empty() {
            return Ok(false);
        }
        let kept = self.runtime.tables.held_back.get(&(room.to_owned(), event.to_owned()))?;
        Ok(kept.is_some_and(|kept| !kept.users.contains(user)))
    }
}

/// Returns whether an event may be for one of ours that has to be there to take it.
fn is_for_somebody(event_type: &str) -> bool {
    matches!(event_type, "m.room.encrypted" | super::MISSED) || may_be_said(event_type)
}

/// Returns what is wrong with users: each cause once, followed by the mends.
fn told_of(ailing: &[(&str, &str)]) -> String {
    let mut causes: Vec<(&str, Vec<&str>)> = Vec::new();
    for (user, reason) in ailing.iter().take(NAMED_MAX) {
        match causes.iter_mut().find(|(known, _)| known == reason) {
            Some((_, users)) => users.push(user),
            None => causes.push((reason, vec![user])),
        }
    }
    let (mut told, mut mends): (Vec<String>, Vec<&str>) = (Vec::new(), Vec::new());
    for (reason, users) in causes {
        let (what, mend) = reason.split_once("\n  Mend: ").unwrap_or((reason, ""));
        told.push(format!("{}: {what}", users.join(", ")));
        if !mend.is_empty() && !mends.contains(&mend) {
            mends.push(mend);
        }
    }
    if ailing.len() > NAMED_MAX {
        told.push(format!("and {} more", ailing.len() - NAMED_MAX));
    }
    let mend = if mends.is_empty() { String::new() } else { format!("\n  Mend: {}", mends.join(" ")) };
    format!("{}{mend}", told.join("\n  "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn op2_users_out_of_order_are_told_with_each_cause_once_and_its_mend_at_the_end() {
        let (one, two) = ("no\n  It is so.\n  Mend: do it.", "bad\n  Mend: mend it.");
        assert_eq!(
            told_of(&[("@a:hs", one), ("@b:hs", two), ("@c:hs", one)]),
            "@a:hs, @c:hs: no\n  It is so.\n  @b:hs: bad\n  Mend: do it. mend it."
        );
        assert_eq!(told_of(&[("@a:hs", "its store is damaged")]), "@a:hs: its store is damaged");
    }
}
