//! How people stand to the workspace (A1, A3): what is seen of them is noted, and who has to be seen to is known from it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, atomic::Ordering},
};

use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};

use super::{EngineError, connections::Connections, runtime::Runtime, workspace::Members};
use crate::{
    appservice::health::Provisioning,
    clock,
    core::{
        belonging::{self, Belonging, Next, Sign},
        event::{EventKind, MemberChange, Membership},
    },
    matrix::inbound::{self, Rules},
    store::InboxEntry,
};

/// What is known of people.
pub(super) struct People {
    runtime: Arc<Runtime>,
    pub(super) members: Arc<Members>,
    connections: Arc<Connections>,
}

impl People {
    pub(super) fn new(runtime: &Arc<Runtime>, members: &Arc<Members>, connections: &Arc<Connections>) -> Self {
        Self { runtime: runtime.clone(), members: members.clone(), connections: connections.clone() }
    }

    /// Returns whether `room` is the one that the config names as the space.
    pub(super) async fn is_the_space(&self, room: &RoomId) -> bool {
        let Some(space) = &self.runtime.config().workspace.space else { return false };
        self.runtime.api().resolve(space).await.is_ok_and(|space| space == room)
    }

    /// Joins the space after an invite to the service bot.
    pub(super) async fn join_space(&self, room: &RoomId) -> Result<(), EngineError> {
        let Some(account) = self.runtime.pool.kept(&self.runtime.service_user()) else { return Ok(()) };
        account.join(room).await?;
        tracing::info!(room.id = %room, "the service bot is in the workspace's space");
        self.members.changed.notify_one();
        Ok(())
    }

    /// Compares the space's members with those known, which finds changes that no transaction brought.
    pub(super) async fn read_members(&self) -> Result<(), EngineError> {
        let config = self.runtime.config();
        let Some(space) = config.workspace.space.as_ref().filter(|_| self.members.follows_space()) else {
            return Ok(());
        };
        let Some(account) = self.runtime.pool.kept(&self.runtime.service_user()) else { return Ok(()) };
        let room = self.runtime.api().resolve(space).await?;
        if !account.is_in(&room) {
            account.join(&room).await?;
        }
        // From now on the space's events count; earlier ones are covered by the list read next.
        *self.members.space.lock().unwrap_or_else(PoisonError::into_inner) = Some(room.clone());
        let present = self.runtime.api().joined_members(account.user(), &room).await?;
        let present: BTreeSet<OwnedUserId> =
            present.into_iter().filter(|user| self.runtime.is_local_person(user)).collect();
        let known: BTreeMap<OwnedUserId, Belonging> = self.runtime.tables.members.iter().collect::<Result<_, _>>()?;
        let signs = belonging::compare(&known, &present);
        tracing::info!(members = present.len(), changes = signs.len(), "the members of the workspace were read");
        for (user, sign) in signs {
            self.note_sign(&user, sign)?;
        }
        self.runtime.store.flush().await?;
        Ok(())
    }

    /// Handles a person joining or leaving the space.
    pub(super) fn take_in_space(&self, change: &MemberChange, membership: Membership) -> Result<(), EngineError> {
        if !self.runtime.is_local_person(&change.user) {
            return Ok(());
        }
        match membership {
            Membership::Join => self.note_sign(&change.user, Sign::InSpace),
            // A person who was only invited, or asked to join, was no member before.
            Membership::Leave | Membership::Ban if self.runtime.tables.members.get(&change.user)?.is_some() => {
                self.note_sign(&change.user, Sign::NotInSpace)
            }
            _ => Ok(()),
        }
    }

    /// Handles an owner joining or leaving their assistant's chat; a deactivated account leaves every room.
    pub(super) fn take_owners_membership(&self, owner: &UserId, entry: &InboxEntry) -> Result<(), EngineError> {
        let event = &entry.event;
        let current = self.runtime.tables.assistants.get(&owner.to_owned())?.and_then(|record| record.room);
        if event.event_type != "m.room.member" || current.as_ref() != Some(&event.room_id) {
            return Ok(());
        }
        let Some(read) = inbound::from_json(&event.room_id, &Rules::default(), &event.json) else { return Ok(()) };
        let EventKind::Member(change) = &read.kind else { return Ok(()) };
        match change.membership {
            _ if change.user != owner => Ok(()),
            Membership::Leave => self.note_sign(owner, Sign::LeftChat),
            Membership::Join if self.runtime.tables.members.get(&owner.to_owned())?.is_some() => {
                self.note_sign(owner, Sign::InChat)
            }
            _ => Ok(()),
        }
    }

    /// Notes what was seen of a person; one who is gone loses their connections.
    pub(super) fn note_sign(&self, user: &UserId, sign: Sign) -> Result<(), EngineError> {
        let now = clock::now();
        let mut before = None;
        let after = self.runtime.tables.members.update(&user.to_owned(), |known| {
            before = known;
            Belonging::after(known, sign, now)
        })?;
        if before != after {
            tracing::info!(user.id = %user, ?sign, ?after, "how a person stands to the workspace changed");
            if after.is_some_and(Belonging::is_gone) {
                self.connections.end_connections(user)?;
            }
            self.members.changed.notify_one();
        }
        Ok(())
    }

    /// Returns what is to be done now about a person who stands so.
    pub(super) fn next_for(&self, known: Belonging) -> Next {
        let grace_ms = u64::from(self.runtime.config().assistants.gone_grace_days) * 24 * 3_600_000;
        match known.next(clock::now(), grace_ms) {
            // This remains from a time when members got their assistants automatically.
            Next::Provision if !self.members.follows_space() => Next::Nothing,
            next => next,
        }
    }

    /// Returns the people about whom something is to be done.
    pub(super) fn due(&self) -> Result<Vec<OwnedUserId>, EngineError> {
        let mut due = Vec::new();
        for record in self.runtime.tables.members.iter() {
            let (user, known) = record?;
            if self.next_for(known) != Next::Nothing {
                due.push(user);
            }
        }
        Ok(due)
    }

    /// Returns how many are due an assistant and how many are gone; `None` if neither matters here.
    pub(super) fn provisioning_counts(&self) -> Option<(usize, usize)> {
        let known: Vec<Belonging> =
            self.runtime.tables.members.iter().filter_map(Result::ok).map(|(_, known)| known).collect();
        let due = known.iter().filter(|known| **known == Belonging::Due).count();
        let gone = known.iter().filter(|known| known.is_gone()).count();
        (self.members.follows_space() || gone > 0).then_some((due, gone))
    }

    /// Shows in `/readyz` how many wait for their assistants.
    pub(super) fn tell_progress(&self, trouble: Option<String>) {
        if self.members.follows_space() {
            let waiting = self.provisioning_counts().map_or(0, |(due, _)| due);
            let made = self.members.made.load(Ordering::Relaxed);
            self.runtime.health.set_provisioning(Provisioning { waiting, made, trouble });
        }
    }

    /// Notes whether an owner has left their assistant's chat.
    pub(super) async fn look_for_leaver(&self, room: &OwnedRoomId, owner: &OwnedUserId) -> Result<(), EngineError> {
        let current = self.runtime.tables.assistants.get(owner)?.and_then(|record| record.room);
        let is_gone = self.runtime.tables.members.get(owner)?.is_some_and(Belonging::is_gone);
        if current.as_ref() != Some(room) || is_gone {
            return Ok(());
        }
        let assistant = self.runtime.assistant_persona(owner).user;
        if self.runtime.api().has_left(&assistant, room, owner).await? == Some(true) {
            self.note_sign(owner, Sign::LeftChat)?;
        }
        Ok(())
    }
}
