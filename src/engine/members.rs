//! Membership changes (C4): invites to ours, joins, leaves and bans of ours, and rooms that grow or shrink.

mod leaving;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use ruma::{OwnedRoomId, RoomId};
use tokio::time::Instant;

use super::{
    EngineError,
    control::{Order, Which},
    records::RoomRecord,
};
use crate::{
    clock,
    core::{
        company::{AtLeast, Company as Counted, CompanyChange},
        event::{EventKind, MemberChange, Membership, RoomEvent},
        words,
    },
    engine::{
        approvals::desk::Desk, company::Company, control::Running, deserted::Deserted, errands::Errands,
        invites::Invites, lobby::Lobby, runtime::Runtime, service::ServiceBot, service_chats::ServiceChats,
        standing::People, timetable::Schedules, upgrades::Upgrades, visits::Visits,
    },
};

/// A lower bound on the people in each room whose members were counted since the start.
#[derive(Default)]
pub(super) struct Headcounts(Mutex<HashMap<OwnedRoomId, AtLeast>>);

impl Headcounts {
    fn note(&self, room: &RoomId, company: &Counted) {
        let mut rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.insert(room.to_owned(), AtLeast::counted(company));
    }

    fn is_lively_after(&self, room: &RoomId, membership: Membership) -> bool {
        let mut rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.get_mut(room).is_some_and(|here| here.is_lively_after(membership))
    }

    fn forget(&self, room: &RoomId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(room);
    }
}

/// Who is in rooms: ours that come and go, and the people with them.
pub(super) struct Memberships {
    runtime: Arc<Runtime>,
    pub(super) lobby: Arc<Lobby>,
    people: Arc<People>,
    pub(super) deserted: Arc<Deserted>,
    errands: Arc<Errands>,
    schedules: Arc<Schedules>,
    pub(super) company: Arc<Company>,
    pub(super) visits: Arc<Visits>,
    pub(super) upgrades: Arc<Upgrades>,
    pub(super) invites: Arc<Invites>,
    pub(super) service_bot: Arc<ServiceBot>,
    service_chats: Arc<ServiceChats>,
    approvals: Arc<Desk>,
    running: Running,
    headcounts: Headcounts,
}

impl Memberships {
    /// Makes it on what it may call.
    pub(super) fn new(
        runtime: &Arc<Runtime>,
        (lobby, people, deserted): (&Arc<Lobby>, &Arc<People>, &Arc<Deserted>),
        (errands, schedules, company): (&Arc<Errands>, &Arc<Schedules>, &Arc<Company>),
        (visits, upgrades, invites): (&Arc<Visits>, &Arc<Upgrades>, &Arc<Invites>),
        (service_bot, service_chats, approvals): (&Arc<ServiceBot>, &Arc<ServiceChats>, &Arc<Desk>),
        running: &Running,
    ) -> Self {
        Self {
            runtime: runtime.clone(),
            lobby: lobby.clone(),
            people: people.clone(),
            deserted: deserted.clone(),
            errands: errands.clone(),
            schedules: schedules.clone(),
            company: company.clone(),
            visits: visits.clone(),
            upgrades: upgrades.clone(),
            invites: invites.clone(),
            service_bot: service_bot.clone(),
            service_chats: service_chats.clone(),
            approvals: approvals.clone(),
            running: running.clone(),
            headcounts: Headcounts::default(),
        }
    }

    /// Handles an `m.room.member` event in any room but an assistant's.
    pub(super) async fn take_membership(
        self: Arc<Self>,
        event: &RoomEvent,
        accepted: Instant,
    ) -> Result<(), EngineError> {
        let EventKind::Member(change) = &event.kind else { return Ok(()) };
        let ours = self.runtime.namespace().is_ours(&change.user);
        if !ours && matches!(change.membership, Membership::Leave | Membership::Ban) {
            Box::pin(self.take_askers_departure(event, &change.user, accepted)).await?;
        }
        match change.membership {
            Membership::Invite if ours => {
                let (room, invited, inviter) = (&event.room, &change.user, &event.sender);
                Box::pin(self.invites.clone().take_invite(room, invited, inviter, accepted)).await
            }
            Membership::Leave | Membership::Ban if ours => self.take_departure(&event.room, change, accepted).await,
            _ if ours => Ok(()),
            membership if self.people.members.is_space(&event.room) => self.people.take_in_space(change, membership),
            _ if self.lobby.is_lobby(&event.room)? => Ok(()),
            _ if self.visits.current.company_changed(&event.room) => Ok(()),
            Membership::Join if self.is_shared_service_chat(&event.room, &change.user)? => {
                self.service_chats.leave_service_chat(&event.room).await
            }
            _ => self.take_company(event, accepted).await,
        }
    }

    /// Returns whether `user` is a human other than the one with whom the service bot has this chat.
    fn is_shared_service_chat(&self, room: &RoomId, user: &ruma::UserId) -> Result<bool, EngineError> {
        let person = self.runtime.tables.rooms.get(&room.to_owned())?.and_then(|record| record.service_dm);
        Ok(person.is_some_and(|person| person != user) && self.runtime.namespace().is_human(user))
    }

    /// Handles the leave, kick or ban of one of ours: its runs end at once, and it does not come back by itself.
    async fn take_departure(&self, room: &RoomId, change: &MemberChange, accepted: Instant) -> Result<(), EngineError> {
        self.runtime.roster.leave(room, &change.user);
        self.headcounts.forget(room);
        let Some(account) = self.runtime.pool.kept(&change.user) else { return Ok(()) };
        account.sync_since(accepted).await?;
        if account.is_in(room) {
            // An old event: it was invited and joined again since.
            self.runtime.roster.enter(room, &change.user);
            return Ok(());
        }
        // Before its runs end: what they carry out counts as left.
        self.errands.forget_errands_of(room, &change.user)?;
        self.running.order(room, Which::Of(&change.user, None), &Order::Drop);
        self.runtime.tables.rooms.update(&room.to_owned(), |record: Option<RoomRecord>| {
            let mut record = record?;
            record.introduced.remove(&change.user);
            record.stays.remove(&change.user);
            Some(record)
        })?;
        self.schedules.end_schedules_of(room, &change.user)?;
        tracing::info!(room.id = %room, user.id = %change.user, membership = ?change.membership, "left a room");
        Ok(())
    }

    /// Returns whether the room is unpaused and certain to keep enough people after this change.
    fn stays_lively(&self, event: &RoomEvent) -> Result<bool, EngineError> {
        let EventKind::Member(change) = &event.kind else { return Ok(false) };
        let paused = self.runtime.tables.rooms.get(&event.room)?.unwrap_or_default().liveliness.is_paused();
        Ok(!paused && self.headcounts.is_lively_after(&event.room, change.membership))
    }

    /// Handles another user's join or leave: coworkers pause in a room with one human and resume with the second.
    async fn take_company(&self, event: &RoomEvent, accepted: Instant) -> Result<(), EngineError> {
        let room = &event.room;
        let accounts = self.runtime.kept_in(room);
        let coworkers: Vec<_> =
            accounts.iter().filter(|account| self.runtime.coworker(account.user()).is_some()).collect();
        let Some(first) = coworkers.first().copied().or(accounts.first()) else { return Ok(()) };
        if self.stays_lively(event)? {
            return Ok(());
        }
        first.sync_since(accepted).await?;
        if !first.is_in(room) {
            return Ok(());
        }
        if self.deserted.leave_if_deserted(first, room).await? {
            for other in accounts.iter().filter(|other| other.user() != first.user()) {
                other.sync_since(accepted).await?;
                self.deserted.leave_if_deserted(other, room).await?;
            }
            return Ok(());
        }
        if coworkers.is_empty() {
            return Ok(());
        }
        let (company, now) = (self.company.company(&first.facts(room).await?), clock::now());
        self.headcounts.note(room, &company);
        let mut liveliness = self.runtime.tables.rooms.get(room)?.unwrap_or_default().liveliness;
        // Noted only once it is said: where saying it fails for now, the event comes again, and so does the word.
        match liveliness.take(&company, now) {
            CompanyChange::Pause { say: true } => {
                let txn = super::word_transaction("lonely", event.id.as_str(), first.user());
                // A space is a list of rooms, in which nobody talks.
                if !first.is_space(room)
                    && let Err(error) = first.send(room, &super::word(&words::lonely(), None), txn).await
                {
                    if error.is_passing() {
                        return Err(error.into());
                    }
                    tracing::warn!(room.id = %room, %error, "that a room has one human left cannot be said");
                }
                tracing::info!(room.id = %room, "a room shrank to one human; coworkers pause there");
            }
            CompanyChange::Resume => {
                for account in coworkers {
                    account.sync_since(accepted).await?;
                    self.company.introduce(account, room).await?;
                }
            }
            CompanyChange::Pause { say: false } | CompanyChange::None => {}
        }
        self.runtime.tables.rooms.update(room, |record: Option<RoomRecord>| {
            let mut record = record.unwrap_or_default();
            let _ = record.liveliness.take(&company, now);
            Some(record)
        })?;
        Ok(())
    }
}
