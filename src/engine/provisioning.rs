//! Makes assistants for every member of the workspace, and handles owners who are gone (A1, A3).
//!
//! The queue is the table `members`: due people get their assistants in turn, at a configured rate, whatever else
//! happens. What is seen of people becomes a [`Sign`]; `core/belonging.rs` decides what follows.

mod leavers;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use tokio::{
    sync::Notify,
    time::{Instant, Interval, MissedTickBehavior, interval},
};

pub(super) use self::leavers::look_for_leavers;
use super::{Engine, EngineError, Shared};
use crate::{
    appservice::health::Provisioning,
    clock,
    config::Provision,
    core::{
        belonging::{self, Belonging, Next, Sign, Whence},
        event::{EventKind, MemberChange, Membership},
        retry::step,
    },
    matrix::inbound::{self, Rules},
    store::InboxEntry,
};

/// How often the space's members are read again and grace periods checked.
const LOOK_AGAIN: Duration = Duration::from_hours(1);
/// Pauses after failures; the last one repeats.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(5), Duration::from_secs(15), Duration::from_mins(1), Duration::from_mins(5)];
/// The shortest and longest pause accepted from the homeserver (429).
const ASKED_PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(1));
/// Number of people after which the log reports progress.
const LOG_EVERY: usize = 50;

/// What is known of the space at run time.
#[derive(Default)]
pub(super) struct Members {
    space: Mutex<Option<OwnedRoomId>>,
    changed: Notify,
    made: AtomicUsize,
}

impl Members {
    /// Returns whether `room` is the space whose members get assistants.
    pub(super) fn is_space(&self, room: &RoomId) -> bool {
        self.space.lock().unwrap_or_else(PoisonError::into_inner).as_deref() == Some(room)
    }

    /// Returns the space whose members get assistants, once it is known.
    pub(super) fn space(&self) -> Option<OwnedRoomId> {
        self.space.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Follows the space and does what is due, until Workmate stops.
pub(super) async fn keep_members(engine: Shared) {
    let every = Duration::from_mins(1) / engine.config.assistants.provision_per_minute.max(1);
    let mut pace = interval(every.max(Duration::from_millis(1)));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut failures, mut list_due) = (0, Instant::now());
    loop {
        let done = async {
            if Instant::now() >= list_due {
                engine.read_members().await?;
                list_due = Instant::now() + LOOK_AGAIN;
            }
            Box::pin(engine.clone().work_off(&mut pace)).await
        };
        let (pause, asked) = match done.await {
            Ok(()) => {
                failures = 0;
                engine.tell_progress(None);
                (LOOK_AGAIN, None)
            }
            Err(error) => {
                tracing::warn!(%error, "assistants for the members of the workspace cannot be seen to; tried again");
                engine.tell_progress(Some(error.to_string()));
                failures += 1;
                let asked = error.retry_after();
                (pause_after(failures, asked), asked)
            }
        };
        tokio::select! {
            () = engine.stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            // A new member is no reason to call earlier than the homeserver asked.
            () = engine.members.changed.notified(), if asked.is_none() => {}
        }
    }
}

/// Returns how long to wait after this many failures in a row; `asked` is the pause that the last one asked for.
fn pause_after(failures: usize, asked: Option<Duration>) -> Duration {
    let (least, most) = ASKED_PAUSES;
    asked.map_or(step(&PAUSES, failures.saturating_sub(1)), |asked| asked.clamp(least, most))
}

impl Engine {
    fn follows_space(&self) -> bool {
        self.config.assistants.enabled && self.config.assistants.provision == Provision::Members
    }

    /// Returns whether a person may have an assistant: everyone, or only members of the space.
    pub(super) fn may_have_assistant(&self, person: &UserId) -> Result<bool, EngineError> {
        if !self.namespace.who(person).is_person() || !self.fits_an_assistant(person) {
            return Ok(false);
        }
        if !self.follows_space() {
            return Ok(true);
        }
        Ok(self.tables.members.get(&person.to_owned())?.is_some_and(|known| !known.is_gone()))
    }

    pub(super) fn is_local_person(&self, user: &UserId) -> bool {
        user.server_name() == self.namespace.server && self.namespace.who(user).is_person()
    }

    /// Returns whether `room` is the one that the config names as the space.
    pub(super) async fn is_the_space(&self, room: &RoomId) -> bool {
        let Some(space) = &self.config.workspace.space else { return false };
        self.api().resolve(space).await.is_ok_and(|space| space == room)
    }

    /// Joins the space after an invite to the service bot.
    pub(super) async fn join_space(&self, room: &RoomId) -> Result<(), EngineError> {
        let Some(account) = self.pool.kept(&self.service_user()) else { return Ok(()) };
        account.join(room).await?;
        tracing::info!(room.id = %room, "the service bot is in the workspace's space");
        self.members.changed.notify_one();
        Ok(())
    }

    /// Compares the space's members with those known, which finds changes that no transaction brought.
    async fn read_members(&self) -> Result<(), EngineError> {
        let Some(space) = self.config.workspace.space.as_ref().filter(|_| self.follows_space()) else { return Ok(()) };
        let Some(account) = self.pool.kept(&self.service_user()) else { return Ok(()) };
        let room = self.api().resolve(space).await?;
        if !account.is_in(&room) {
            account.join(&room).await?;
        }
        // From now on the space's events count; earlier ones are covered by the list read next.
        *self.members.space.lock().unwrap_or_else(PoisonError::into_inner) = Some(room.clone());
        let present = self.api().joined_members(account.user(), &room).await?;
        let present: BTreeSet<OwnedUserId> = present.into_iter().filter(|user| self.is_local_person(user)).collect();
        let known: BTreeMap<OwnedUserId, Belonging> = self.tables.members.iter().collect::<Result<_, _>>()?;
        let signs = belonging::compare(&known, &present);
        tracing::info!(members = present.len(), changes = signs.len(), "the members of the workspace were read");
        for (user, sign) in signs {
            self.note_sign(&user, sign)?;
        }
        self.store.flush().await?;
        Ok(())
    }

    /// Handles a person joining or leaving the space.
    pub(super) fn take_in_space(&self, change: &MemberChange, membership: Membership) -> Result<(), EngineError> {
        if !self.is_local_person(&change.user) {
            return Ok(());
        }
        match membership {
            Membership::Join => self.note_sign(&change.user, Sign::InSpace),
            // A person who was only invited, or asked to join, was no member before.
            Membership::Leave | Membership::Ban if self.tables.members.get(&change.user)?.is_some() => {
                self.note_sign(&change.user, Sign::NotInSpace)
            }
            _ => Ok(()),
        }
    }

    /// Handles an owner joining or leaving their assistant's chat; a deactivated account leaves every room.
    pub(super) fn take_owners_membership(&self, owner: &UserId, entry: &InboxEntry) -> Result<(), EngineError> {
        let event = &entry.event;
        let current = self.tables.assistants.get(&owner.to_owned())?.and_then(|record| record.room);
        if event.event_type != "m.room.member" || current.as_ref() != Some(&event.room_id) {
            return Ok(());
        }
        let Some(read) = inbound::from_json(&event.room_id, &Rules::default(), &event.json) else { return Ok(()) };
        let EventKind::Member(change) = &read.kind else { return Ok(()) };
        match change.membership {
            _ if change.user != owner => Ok(()),
            Membership::Leave => self.note_sign(owner, Sign::LeftChat),
            Membership::Join if self.tables.members.get(&owner.to_owned())?.is_some() => {
                self.note_sign(owner, Sign::InChat)
            }
            _ => Ok(()),
        }
    }

    fn note_sign(&self, user: &UserId, sign: Sign) -> Result<(), EngineError> {
        let now = clock::now();
        let mut before = None;
        let after = self.tables.members.update(&user.to_owned(), |known| {
            before = known;
            Belonging::after(known, sign, now)
        })?;
        if before != after {
            tracing::info!(user.id = %user, ?sign, ?after, "how a person stands to the workspace changed");
            if after.is_some_and(Belonging::is_gone) {
                self.end_connections(user)?;
            }
            self.members.changed.notify_one();
        }
        Ok(())
    }

    /// Does what is due for each person, one at a time at the configured rate, until nothing is left.
    async fn work_off(self: Shared, pace: &mut Interval) -> Result<(), EngineError> {
        let mut failed = BTreeSet::new();
        loop {
            let mut todo = self.due()?;
            todo.retain(|user| !failed.contains(user));
            if todo.is_empty() {
                return Ok(());
            }
            tracing::info!(people = todo.len(), "people of the workspace are seen to");
            for (done, user) in todo.into_iter().enumerate() {
                tokio::select! {
                    () = self.stop.cancelled() => return Ok(()),
                    _ = pace.tick() => {}
                }
                match Box::pin(self.clone().see_to(&user)).await {
                    Ok(()) => {}
                    Err(error) if error.is_passing() => return Err(error),
                    Err(error) => {
                        tracing::warn!(user.id = %user, %error, "one person cannot be seen to; tried again in an hour");
                        failed.insert(user);
                    }
                }
                self.tell_progress(None);
                if (done + 1) % LOG_EVERY == 0 {
                    let waiting = self.provisioning_counts().map_or(0, |(due, _)| due);
                    tracing::info!(done = done + 1, waiting, "people of the workspace are being seen to");
                }
            }
        }
    }

    fn next_for(&self, known: Belonging) -> Next {
        let grace_ms = u64::from(self.config.assistants.gone_grace_days) * 24 * 3_600_000;
        match known.next(clock::now(), grace_ms) {
            // This remains from a time when members got their assistants automatically.
            Next::Provision if !self.follows_space() => Next::Nothing,
            next => next,
        }
    }

    fn due(&self) -> Result<Vec<OwnedUserId>, EngineError> {
        let mut due = Vec::new();
        for record in self.tables.members.iter() {
            let (user, known) = record?;
            if self.next_for(known) != Next::Nothing {
                due.push(user);
            }
        }
        Ok(due)
    }

    async fn see_to(self: Shared, user: &UserId) -> Result<(), EngineError> {
        // The record may have changed since it was listed.
        let Some(known) = self.tables.members.get(&user.to_owned())? else { return Ok(()) };
        match self.next_for(known) {
            Next::Nothing => Ok(()),
            Next::Provision => {
                Box::pin(self.clone().ensure_assistant(user)).await?;
                self.members.made.fetch_add(1, Ordering::Relaxed);
                self.note_sign(user, Sign::Provisioned)
            }
            Next::Look => {
                let in_use = self.api().is_in_use(&self.service_user(), user).await?;
                self.note_sign(user, if in_use { Sign::Account } else { Sign::NoAccount })
            }
            Next::Forget => {
                // A reactivated account sends no sign of it, so we ask.
                let may_be_back = matches!(known, Belonging::Gone { from: Whence::Homeserver, .. });
                if may_be_back && self.api().is_in_use(&self.service_user(), user).await? {
                    return self.note_sign(user, Sign::Account);
                }
                Box::pin(self.clone().forget_owner(user)).await?;
                self.tables.members.remove(&user.to_owned())?;
                self.store.flush().await?;
                tracing::info!(user.id = %user, "an owner is gone; what was kept for them is deleted");
                Ok(())
            }
        }
    }

    /// Returns how many are due an assistant and how many are gone; `None` if neither matters here.
    pub(super) fn provisioning_counts(&self) -> Option<(usize, usize)> {
        let known: Vec<Belonging> = self.tables.members.iter().filter_map(Result::ok).map(|(_, known)| known).collect();
        let due = known.iter().filter(|known| **known == Belonging::Due).count();
        let gone = known.iter().filter(|known| known.is_gone()).count();
        (self.follows_space() || gone > 0).then_some((due, gone))
    }

    fn tell_progress(&self, trouble: Option<String>) {
        if self.follows_space() {
            let waiting = self.provisioning_counts().map_or(0, |(due, _)| due);
            let made = self.members.made.load(Ordering::Relaxed);
            self.health.set_provisioning(Provisioning { waiting, made, trouble });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a1_a_pause_is_what_the_homeserver_asks_for_or_else_grows_with_the_failures() {
        let asked = |ms| Some(Duration::from_millis(ms));
        let table = [
            (1, None, Duration::from_secs(5)),
            (2, None, Duration::from_secs(15)),
            (3, None, Duration::from_mins(1)),
            (4, None, Duration::from_mins(5)),
            (100, None, Duration::from_mins(5)),
            (1, asked(7_500), Duration::from_millis(7_500)),
            (100, asked(2_000), Duration::from_secs(2)),
            (1, asked(0), Duration::from_secs(1)),
            (1, asked(u64::MAX), Duration::from_hours(1)),
        ];
        for (failures, asked, expected) in table {
            assert_eq!(pause_after(failures, asked), expected, "{failures} failures, asked for {asked:?}");
        }
    }
}
