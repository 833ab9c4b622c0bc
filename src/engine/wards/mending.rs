//! Brings our users up, mends those that can no longer act, and lets them take what they missed.

use std::{sync::Arc, time::Duration};

use ruma::UserId;
use tokio::{
    sync::{Semaphore, mpsc},
    time::Instant,
};

use super::{Ail, Wards};
use crate::{
    core::retry::{Failures, Others, step},
    engine::{
        Engine, EngineError, Shared,
        caught::caught,
        inbox::Handled,
        records::HeldBack,
        registered::{ANYBODY, not_covered},
        runtime::Runtime,
    },
    matrix::{Account, MatrixError, provision::Persona, pulse::Ailment},
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

/// How often it is tested again whether assistants are covered, while they are not.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// Provisions users in parallel; returns once each is there, or the others need no longer wait for it.
///
/// # Errors
/// If the homeserver cannot serve us at all, and only its operator can mend that.
pub(in crate::engine) async fn bring_up_all(engine: &Shared, personas: Vec<Persona>) -> Result<(), MatrixError> {
    let places = Arc::new(Semaphore::new(engine.config().limits.provisioning_max.max(1)));
    let (settled, mut told) = mpsc::channel(personas.len().max(1));
    for persona in personas {
        let ail = Ail { reason: "it is being set up".to_owned(), is_new: true };
        engine.wards.lock().insert(persona.user.clone(), ail);
        engine.wards.say_who_is_out_of_order();
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
    // Then the homeserver can make devices, and a refusal is this user's trouble alone.
    let was_served = engine.pool.provisioner().has_acted(&engine.service_user());
    loop {
        if engine.wards.is_out_of_service(&user) {
            return engine.wards.put_in_order(&user);
        }
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
        let ends_all = matches!(error, MatrixError::NoDevices { .. }) && !was_served;
        if let Some(settled) = settled.as_ref().filter(|_| ends_all) {
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
            let told = not_covered(&engine.config(), &user, &error);
            engine.wards.put_out_of_order(&user, &told.unwrap_or_else(|| engine.homeserver.told(&error)));
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
pub(in crate::engine) async fn keep_mending(engine: Shared) {
    let pulse = engine.api().proxy().pulse().clone();
    let places = Arc::new(Semaphore::new(engine.config().limits.provisioning_max.max(1)));
    loop {
        let (user, ailment) = tokio::select! {
            () = engine.stop.cancelled() => return,
            ailing = pulse.next_ailing() => ailing,
        };
        let Some(account) = engine.pool.opened(&user) else { continue };
        let device = match &ailment {
            Ailment::DeviceGone(device) | Ailment::StoreDamaged(device) => device,
            Ailment::SyncRefused => {
                engine.wards.take_refused_syncs(&user);
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
        match engine.wards.persona_of(&user) {
            Some(persona) => {
                engine.wards.put_out_of_order(&user, reason);
                engine.tasks.spawn(bring_up(engine.clone(), persona, places.clone(), None));
            }
            // An assistant's client is made anew the next time it is opened.
            None => engine.pool.drop_passing(&account),
        }
    }
}

/// Tests until assistants are covered; the other users are created at the start, which shows it anyway.
pub(in crate::engine) async fn see_to_assistants(runtime: Arc<Runtime>, wards: Arc<Wards>) {
    let sample = runtime.namespace().assistant(ANYBODY);
    loop {
        match runtime.api().whoami_as(&sample).await {
            Err(error) if error.is_passing() => {}
            answer => match answer.err().and_then(|error| not_covered(&runtime.config(), &sample, &error)) {
                Some(told) => wards.put_out_of_order(&sample, &told),
                None => return wards.put_in_order(&sample),
            },
        }
        tokio::select! {
            () = runtime.stop.cancelled() => return,
            () = tokio::time::sleep(ASK_AGAIN) => {}
        }
    }
}

/// Goes on with a user that syncs again after refusals: rooms may have come and gone, and events may have been missed.
async fn take_synced_again(engine: Shared, account: Arc<Account>) {
    if engine.wards.set_unsynced(account.user(), false) {
        engine.wards.say_who_is_out_of_order();
    }
    if engine.wards.persona_of(account.user()).is_none() || account.is_given_up() {
        return;
    }
    for room in engine.roster.rooms().iter().filter(|room| account.has_left(room)) {
        engine.roster.leave(room, account.user());
    }
    for room in account.joined() {
        engine.roster.enter(&room, account.user());
    }
    if engine.life.is_serving() {
        engine.catch_up(&account).await;
    }
}

impl Engine {
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
        self.wards.say_who_is_out_of_order();
        if !self.life.is_serving() {
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
            Box::pin(self.membership.invites.clone().take_missed_invites(account, account.invited())).await?;
            self.keeping_up.gaps.compare(account).await
        };
        if let Err(error) = caught::<_, EngineError>(caught_up).await {
            tracing::warn!(user.id = %account.user(), %error, "what a user missed cannot be read yet; the safety sync tries again");
        }
    }

    /// Takes the events kept for a user, in order.
    async fn take_again(self: &Shared, user: &UserId) -> Result<(), EngineError> {
        let mut kept: Vec<_> = self.tables.held_back.iter().filter_map(Result::ok).collect();
        kept.retain(|(_, kept)| kept.users.contains(user));
        kept.sort_by_key(|(_, kept)| kept.seq);
        for ((room, event), HeldBack { seq, .. }) in kept {
            let entry = self.entries.inbox.pending_in(&room, seq..=seq, 1)?.pop();
            let Some(entry) = entry.filter(|entry| entry.event.event_id == event) else {
                self.tables.held_back.remove(&(room, event))?;
                continue;
            };
            tracing::info!(room.id = %room, event.id = %event, user.id = %user, "an event that was kept for a user is taken");
            self.take_until_done(&entry).await;
        }
        Ok(())
    }

    async fn take_until_done(self: &Shared, entry: &InboxEntry) {
        let mut failures = Failures::default();
        loop {
            let began = Instant::now();
            let error = match caught(Box::pin(self.clone().take(entry, began))).await {
                Ok(Handled::Done) => return self.entries.done(entry),
                Ok(Handled::Parked) => return,
                Err(error) => error,
            };
            if !self.entries.waits_after(&error, began, &mut failures, Others::Unknown).await {
                self.entries.give_up(entry, &error).await;
                return self.entries.done(entry);
            }
        }
    }
}
