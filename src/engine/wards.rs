//! Our own users. Each is provisioned separately, so that one that cannot start affects only itself.
//!
//! A user that is out of order is named in `/readyz` and tried again; events in its rooms are kept for it meanwhile. A
//! user whose device or store is lost is provisioned anew, and then takes the events kept for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ruma::{EventId, OwnedUserId, RoomId, UserId};
use tokio::{
    sync::{Semaphore, mpsc},
    time::Instant,
};

use super::{Engine, EngineError, Shared, caught::caught, inbox::Handled, records::HeldBack, registered::not_covered};
use crate::{
    appservice::health::{Condition, State},
    core::{
        people::Who,
        retry::{Failures, Others, step},
    },
    matrix::{Account, MatrixError, inbound::may_be_said, provision::Persona, pulse::Ailment},
    store::InboxEntry,
};

/// Pauses between two tries to provision a user; the last one repeats.
const PAUSES: [Duration; 6] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_mins(2),
];
/// Consecutive refusals to make a device after which the homeserver counts as unable to; in trouble, it or a proxy
/// before it may refuse for a while.
const NO_DEVICES_MAX: usize = 4;
/// Tries after which the others begin without this user.
const TRIES_TOGETHER: usize = 3;
/// Most users named in one reason.
const NAMED_MAX: usize = 5;
/// Most events kept for users that are out of order, in all.
const HELD_BACK_MAX: usize = 1_000;

/// What is told of users whose syncs are refused.
const SYNC_REFUSED: &str = "the homeserver refuses its syncs; it is asked for a first one, again and again\n  Mend: see what the \
                            homeserver, and what stands before it, answer to /_matrix/client/v3/sync.";

/// The users of ours that cannot act, and why.
#[derive(Default)]
pub(super) struct Wards {
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

/// Provisions users in parallel; returns once each is there, or the others need no longer wait for it.
///
/// # Errors
/// If the homeserver cannot serve us at all, and only its operator can mend that.
pub(super) async fn bring_up_all(engine: &Shared, personas: Vec<Persona>) -> Result<(), MatrixError> {
    let places = Arc::new(Semaphore::new(engine.config.limits.provisioning_max.max(1)));
    let (settled, mut told) = mpsc::channel(personas.len().max(1));
    for persona in personas {
        let ail = Ail { reason: "it is being set up".to_owned(), is_new: true };
        engine.wards.lock().insert(persona.user.clone(), ail);
        engine.say_who_is_out_of_order();
        engine.tasks.spawn(bring_up(engine.clone(), persona, places.clone(), Some(settled.clone())));
    }
    drop(settled);
    while let Some(outcome) = told.recv().await {
        outcome?;
    }
    Ok(())
}

/// Provisions a user, again and again until it succeeds. Drops `settled` once the others may begin, or sends it the one
/// error that only the operator can mend.
async fn bring_up(
    engine: Shared,
    persona: Persona,
    places: Arc<Semaphore>,
    mut settled: Option<mpsc::Sender<Result<(), MatrixError>>>,
) {
    let user = persona.user.clone();
    let (mut failures, mut without_devices) = (0, 0);
    loop {
        let provisioned = {
            let Ok(_place) = places.acquire().await else { return };
            tokio::select! {
                () = engine.stop.cancelled() => return,
                provisioned = Box::pin(engine.pool.provisioner().provision(&persona)) => provisioned,
            }
        };
        let error = match provisioned {
            Ok(account) => return Box::pin(engine.take_up(account)).await,
            Err(error) => error,
        };
        if let (MatrixError::NoDevices { .. }, Some(settled)) = (&error, &settled) {
            without_devices += 1;
            if without_devices >= NO_DEVICES_MAX {
                let _ = settled.send(Err(error)).await;
                return;
            }
            tokio::select! {
                () = engine.stop.cancelled() => return,
                () = tokio::time::sleep(PAUSES[without_devices]) => continue,
            }
        }
        // A failure while the homeserver is away is not the user's own.
        let is_away = error.is_passing() && engine.api().whoami().await.is_err_and(|error| error.is_passing());
        if !is_away {
            tracing::warn!(user.id = %user, %error, "one of our users cannot be provisioned; it is tried again");
            let told = not_covered(&engine.config, &user, &error);
            engine.put_out_of_order(&user, &told.unwrap_or_else(|| engine.told(&error)));
            failures += 1;
        }
        if failures >= TRIES_TOGETHER || (failures > 0 && !error.is_passing()) {
            settled = None;
        }
        tokio::select! {
            () = engine.stop.cancelled() => return,
            () = tokio::time::sleep(step(&PAUSES, usize::saturating_sub(failures, 1))) => {}
        }
    }
}

/// Mends users that can no longer act, until Workmate stops.
pub(super) async fn keep_mending(engine: Shared) {
    let pulse = engine.api().proxy().pulse().clone();
    let places = Arc::new(Semaphore::new(engine.config.limits.provisioning_max.max(1)));
    loop {
        let (user, ailment) = tokio::select! {
            () = engine.stop.cancelled() => return,
            ailing = pulse.next_ailing() => ailing,
        };
        let Some(account) = engine.pool.opened(&user) else { continue };
        let device = match &ailment {
            Ailment::DeviceGone(device) | Ailment::StoreDamaged(device) => device,
            Ailment::SyncRefused => {
                engine.take_refused_syncs(&user);
                continue;
            }
            Ailment::SyncedAgain => {
                engine.tasks.spawn(take_synced_again(engine.clone(), account));
                continue;
            }
        };
        if account.device().as_ref() != Some(device) || account.is_given_up() {
            continue;
        }
        account.give_up();
        let reason = match ailment {
            Ailment::StoreDamaged(_) => "its store is damaged; it gets a new one",
            _ => "the homeserver does not know its device any more; it gets a new one",
        };
        tracing::warn!(user.id = %user, "one of our users cannot act: {reason}");
        if matches!(ailment, Ailment::StoreDamaged(_))
            && let Err(error) = engine.pool.provisioner().set_aside(&user)
        {
            tracing::error!(user.id = %user, %error, "a damaged store cannot be set aside");
        }
        match engine.persona_of(&user) {
            Some(persona) => {
                engine.put_out_of_order(&user, reason);
                engine.tasks.spawn(bring_up(engine.clone(), persona, places.clone(), None));
            }
            // An assistant's client is made anew the next time it is opened.
            None => engine.pool.drop_passing(&account),
        }
    }
}

/// Goes on with a user that syncs again after refusals: rooms may have come and gone, and events may have been missed.
async fn take_synced_again(engine: Shared, account: Arc<Account>) {
    if engine.wards.set_unsynced(account.user(), false) {
        engine.say_who_is_out_of_order();
    }
    if engine.persona_of(account.user()).is_none() || account.is_given_up() {
        return;
    }
    for room in engine.roster.rooms().iter().filter(|room| account.has_left(room)) {
        engine.roster.leave(room, account.user());
    }
    for room in account.joined() {
        engine.roster.enter(&room, account.user());
    }
    if engine.is_serving() {
        engine.catch_up(&account).await;
    }
}

impl Engine {
    /// Shows in `/readyz` that a user's syncs are refused. Whose assistants are concerned is nobody's business.
    fn take_refused_syncs(&self, user: &UserId) {
        if self.persona_of(user).is_some() && self.wards.set_unsynced(user, true) {
            self.say_who_is_out_of_order();
        }
    }

    /// Returns the persona of a user whose client stays open.
    fn persona_of(&self, user: &UserId) -> Option<Persona> {
        match self.namespace.who(user) {
            Who::Service => Some(self.service_persona()),
            Who::Coworker(_) => self.coworker_persona(self.coworker(user)?).ok(),
            _ => None,
        }
    }

    /// Records that a user can act, without taking it up.
    pub(super) fn put_in_order(&self, user: &UserId) {
        if self.wards.lock().remove(user).is_some() {
            self.say_who_is_out_of_order();
        }
    }

    pub(super) fn put_out_of_order(&self, user: &UserId, reason: &str) {
        self.wards.lock().insert(user.to_owned(), Ail { reason: reason.to_owned(), is_new: false });
        self.say_who_is_out_of_order();
    }

    /// Shows in `/readyz` who cannot act, and why.
    pub(super) fn say_who_is_out_of_order(&self) {
        let out = self.wards.lock();
        let ailing = out.iter().filter(|(_, ail)| !ail.is_new).map(|(user, ail)| (user.as_str(), ail.reason.as_str()));
        let unsynced = self.wards.unsynced();
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
        self.health.set(Condition::Users, state);
    }

    /// Takes up a user that is back: its rooms, the invites that came meanwhile, and the events kept for it.
    async fn take_up(self: &Shared, account: Arc<Account>) {
        let user = account.user().to_owned();
        let rooms = account.joined();
        for room in &rooms {
            self.roster.enter(room, &user);
        }
        tracing::info!(user.id = %user, rooms = rooms.len(), "a virtual user is ready");
        self.pool.keep(account.clone());
        self.wards.lock().remove(&user);
        self.wards.set_unsynced(&user, false);
        self.say_who_is_out_of_order();
        if !self.is_serving() {
            return;
        }
        self.catch_up(&account).await;
        if let Err(error) = Box::pin(self.take_again(&user)).await {
            tracing::error!(user.id = %user, %error, "what was kept for a user cannot be taken; the next start does");
        }
    }

    /// Takes the invites and the events that a user missed.
    async fn catch_up(self: &Shared, account: &Arc<Account>) {
        let caught_up = async {
            Box::pin(self.clone().take_missed_invites(account)).await?;
            self.compare(account).await
        };
        if let Err(error) = caught::<_, EngineError>(caught_up).await {
            tracing::warn!(user.id = %account.user(), %error, "what a user missed cannot be read yet; the safety sync tries again");
        }
    }

    /// Keeps an entry that was handled while a user of its room was out of order; returns whether it is kept.
    pub(super) fn hold_back(&self, entry: &InboxEntry) -> Result<bool, EngineError> {
        let event = &entry.event;
        let key = (event.room_id.clone(), event.event_id.clone());
        let users = self.out_of_order_in(&event.room_id)?;
        if users.is_empty() || !is_for_somebody(&event.event_type) || self.namespace.is_ours(&event.sender) {
            if !self.tables.held_back.is_empty() {
                self.tables.held_back.remove(&key)?;
            }
            return Ok(false);
        }
        let known = self.tables.held_back.get(&key)?;
        if known.is_none() && self.tables.held_back.len() >= HELD_BACK_MAX {
            tracing::error!(room.id = %event.room_id, event.id = %event.event_id, "too much waits for users that are out of order");
            return Ok(false);
        }
        // A user that already took the event is not asked again.
        let users = match known {
            Some(known) => known.users.intersection(&users).cloned().collect(),
            None => users,
        };
        if users.is_empty() {
            self.tables.held_back.remove(&key)?;
            return Ok(false);
        }
        self.tables.held_back.put(&key, &HeldBack { seq: entry.seq, users })?;
        Ok(true)
    }

    fn out_of_order_in(&self, room: &RoomId) -> Result<BTreeSet<OwnedUserId>, EngineError> {
        let out: BTreeSet<OwnedUserId> = self.wards.lock().keys().cloned().collect();
        if out.is_empty() {
            return Ok(out);
        }
        let Some(record) = self.tables.rooms.get(&room.to_owned())? else { return Ok(BTreeSet::new()) };
        let is_there = |user: &OwnedUserId| {
            record.introduced.contains(user)
                || record.stays.contains(user)
                || (record.service_dm.is_some() && *user == self.service_user())
        };
        Ok(out.into_iter().filter(is_there).collect())
    }

    /// Returns whether this user already took an event that is kept for another.
    pub(super) fn was_taken_by(&self, room: &RoomId, event: &EventId, user: &UserId) -> Result<bool, EngineError> {
        if self.tables.held_back.is_empty() {
            return Ok(false);
        }
        let kept = self.tables.held_back.get(&(room.to_owned(), event.to_owned()))?;
        Ok(kept.is_some_and(|kept| !kept.users.contains(user)))
    }

    /// Takes the events kept for a user, in order.
    async fn take_again(self: &Shared, user: &UserId) -> Result<(), EngineError> {
        let mut kept: Vec<_> = self.tables.held_back.iter().filter_map(Result::ok).collect();
        kept.retain(|(_, kept)| kept.users.contains(user));
        kept.sort_by_key(|(_, kept)| kept.seq);
        for ((room, event), HeldBack { seq, .. }) in kept {
            let entry = self.inbox.pending_in(&room, seq..=seq, 1)?.pop();
            let Some(entry) = entry.filter(|entry| entry.event.event_id == event) else {
                self.tables.held_back.remove(&(room, event))?;
                continue;
            };
            tracing::info!(room.id = %room, event.id = %event, user.id = %user, "an event that was kept for a user is taken");
            self.take_until_done(&entry).await;
        }
        Ok(())
    }
}

impl Engine {
    async fn take_until_done(self: &Shared, entry: &InboxEntry) {
        let mut failures = Failures::default();
        loop {
            let began = Instant::now();
            let error = match caught(Box::pin(self.clone().take(entry, began))).await {
                Ok(Handled::Done) => return self.done(entry),
                Ok(Handled::Parked) => return,
                Err(error) => error,
            };
            if !self.waits_after(&error, began, &mut failures, Others::Unknown).await {
                self.give_up(entry, &error).await;
                return self.done(entry);
            }
        }
    }
}

/// Returns whether an event may be for one of ours that has to be there to take it.
fn is_for_somebody(event_type: &str) -> bool {
    matches!(event_type, "m.room.encrypted" | super::gaps::MISSED) || may_be_said(event_type)
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
