//! Rooms that an owner opens for their assistant (A7, A8): read by a coworker that is there, for the owner alone.
//!
//! Nothing here writes outside of the owner's chat: a coworker's client syncs and reads, and sends no join, receipt,
//! typing or state. What may be read is decided by `core::opened` from the homeserver's answers of this moment, at the
//! opening and again at every turn; nothing of it is stored.

use std::sync::Arc;

use ruma::{EventId, OwnedEventId, OwnedRoomId, RoomId, RoomOrAliasId, UserId};

use crate::{
    core::{
        context,
        event::{EventKind, Membership, Message, RoomEvent},
        links::{self, Target},
        opened::{self, AROUND_EVENTS, OPENED_MAX, Opened, READ_EVENTS, Range, Source},
        run::RunRecord,
        words,
    },
    engine::{Engine, EngineError, records::AssistantRecord},
    matrix::{Account, MatrixError, account::Facts},
};

use super::{HISTORY_EVENTS, is_of_the_two};

/// Whether a message was more than the links in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pasted {
    /// It is to be answered.
    WithWords,
    /// It was links to rooms and nothing else: opening them was what it asked for.
    Alone,
}

/// What of a room its owner may read at this moment.
pub(super) struct Reading {
    room: OwnedRoomId,
    event: Option<OwnedEventId>,
    facts: Facts,
    part: Vec<RoomEvent>,
    forbidden: bool,
    older: bool,
}

impl Reading {
    /// Returns what the model is shown of it.
    pub(super) fn shown(&self) -> context::OpenedRoom<'_> {
        context::OpenedRoom {
            room: &self.room,
            event: self.event.as_deref(),
            name: self.facts.name.as_deref(),
            topic: self.facts.topic.as_deref(),
            encrypted: self.facts.encrypted,
            events: &self.part,
            more: self.forbidden || self.older,
            names: &self.facts.names,
        }
    }
}

impl Engine {
    /// `!open`
    pub(super) async fn open_on_command(
        &self,
        account: &Account,
        owner: &UserId,
        event: &RoomEvent,
        what: Option<&str>,
    ) -> Result<(), EngineError> {
        let text = match what {
            None => words::opened::open_what(),
            Some(what) => match self.target_of(what) {
                Some(target) => Box::pin(self.open(account, owner, event, &target)).await?,
                None => words::opened::open_what(),
            },
        };
        let txn = crate::engine::word_transaction("command", event.id.as_str(), account.user());
        account.send(&event.room, &crate::engine::word(&text, None), txn).await?;
        Ok(())
    }

    /// A local room's alias needs no server.
    fn target_of(&self, what: &str) -> Option<Target> {
        if what.starts_with('#') && !what.contains(':') {
            return links::target(&format!("{what}:{}", self.namespace.server));
        }
        links::target(what)
    }

    /// Opens what the links in an owner's own words point at.
    pub(super) async fn open_pasted(
        &self,
        account: &Account,
        owner: &UserId,
        event: &RoomEvent,
        message: &Message,
    ) -> Result<Pasted, EngineError> {
        let (targets, alone) = links::pasted(message);
        for (number, target) in targets.iter().enumerate() {
            let text = Box::pin(self.open(account, owner, event, target)).await?;
            let cause = format!("{}|{number}", event.id);
            let txn = crate::engine::word_transaction("opened", &cause, account.user());
            account.send(&event.room, &crate::engine::word(&text, None), txn).await?;
        }
        Ok(if alone && !targets.is_empty() { Pasted::Alone } else { Pasted::WithWords })
    }

    /// Opens a room for the current session; returns the word about it.
    async fn open(
        &self,
        account: &Account,
        owner: &UserId,
        by: &RoomEvent,
        target: &Target,
    ) -> Result<String, EngineError> {
        let kept = self.tables.assistants.get(&owner.to_owned())?.unwrap_or_default();
        let current = self.opened_in_session(account, owner, by, &kept).await?;
        let Some(room) = self.room_of(&target.room).await? else { return Ok(words::opened::cannot_open()) };
        let reading = self.read_for(owner, &room, target.event.as_deref(), None).await?;
        let Some(reading) = reading else { return Ok(words::opened::cannot_open()) };
        let Some((first, last)) = opened::ends(&reading.part) else { return Ok(words::opened::cannot_open()) };
        let new = Opened { room, event: target.event.clone(), by: by.id.clone(), first, last };
        let mut others = current;
        others.retain(|one| (&one.room, &one.event) != (&new.room, &new.event));
        if others.len() >= OPENED_MAX {
            return Ok(words::opened::too_many_open());
        }
        let block =
            context::opened_block(&reading.shown(), self.config.limits.context_tokens_max.max(context::TOKENS_MIN));
        let text = words::opened::header(&words::opened::Header {
            room: &new.room,
            event: new.event.as_deref(),
            name: reading.facts.name.as_deref(),
            via: &self.namespace.server,
            block: &block,
            forbidden: reading.forbidden,
            older: reading.older,
        });
        others.push(new);
        self.note(owner, |record| record.opened = others)?;
        self.store.flush().await?;
        Ok(text)
    }

    async fn opened_in_session(
        &self,
        account: &Account,
        owner: &UserId,
        by: &RoomEvent,
        kept: &AssistantRecord,
    ) -> Result<Vec<Opened>, EngineError> {
        if kept.opened.is_empty() {
            return Ok(Vec::new());
        }
        let mut events = account.history(&by.room, HISTORY_EVENTS).await?;
        events.retain(|event| is_of_the_two(account, event, owner));
        let session = self.session_of(account, owner, &events, kept, &by.id);
        Ok(opened::current(&kept.opened, &events, session.begins))
    }

    /// Only this homeserver's directory is asked: another's would learn that somebody here asks.
    async fn room_of(&self, room: &RoomOrAliasId) -> Result<Option<OwnedRoomId>, EngineError> {
        let alias = match <&RoomId>::try_from(room) {
            Ok(id) => return Ok(Some(id.to_owned())),
            Err(alias) => alias,
        };
        let service = self.pool.kept(&self.service_user());
        let Some(service) = service.filter(|_| alias.server_name() == self.namespace.server) else { return Ok(None) };
        Ok(service.resolve(alias).await?)
    }

    /// Reads for a turn what the session has open, with the rights of this moment. What may not be read any more is
    /// closed, and a word says so.
    pub(super) async fn still_opened(
        &self,
        account: &Account,
        record: &RunRecord,
        chat: &[RoomEvent],
        begins: usize,
    ) -> Result<Vec<Reading>, EngineError> {
        let (owner, room) = (&record.asker, &record.room);
        let kept = self.tables.assistants.get(owner)?.unwrap_or_default().opened;
        let current = opened::current(&kept, chat, begins);
        let mut readings = Vec::new();
        let mut ended: Vec<Opened> = kept.into_iter().filter(|one| !current.contains(one)).collect();
        for one in current.into_iter().take(OPENED_MAX) {
            let fixed = Some((&*one.first, &*one.last));
            if let Some(reading) = self.read_for(owner, &one.room, one.event.as_deref(), fixed).await? {
                readings.push(reading);
                continue;
            }
            tracing::info!(user.id = %account.user(), "an opened room cannot be read any more; it is closed");
            let cause = format!("{}|{}|{:?}", one.by, one.room, one.event);
            let txn = crate::engine::word_transaction("closed", &cause, account.user());
            let text = words::opened::closed(&one.room, &self.namespace.server);
            account.send(room, &crate::engine::word(&text, None), txn).await?;
            ended.push(one);
        }
        if !ended.is_empty() {
            self.note(owner, |record| record.opened.retain(|one| !ended.contains(one)))?;
        }
        Ok(readings)
    }

    /// Reads what an owner may read of a room, through a coworker that is there.
    ///
    /// `None` for every reason why not: the same is asked and done where the room does not exist, where no coworker is
    /// there (then the service bot asks) and where the owner is not.
    async fn read_for(
        &self,
        owner: &UserId,
        room: &RoomId,
        event: Option<&EventId>,
        fixed: Option<(&EventId, &EventId)>,
    ) -> Result<Option<Reading>, EngineError> {
        let coworkers = self.users.iter().filter_map(|user| self.pool.kept(user));
        let there: Option<Arc<Account>> = coworkers.into_iter().find(|account| account.is_in(room));
        let is_there = there.is_some();
        let Some(source) = there.or_else(|| self.pool.kept(&self.service_user())) else { return Ok(None) };
        source.sync().await?;
        let now = source.membership_of(room, owner).await?;
        if now != Some(Membership::Join) || !is_there {
            return Ok(None);
        }
        match Box::pin(read(&source, owner, room, Range { event, fixed })).await {
            Err(error) if !error.is_passing() => {
                tracing::debug!(user.id = %source.user(), %error, "a room cannot be opened");
                Ok(None)
            }
            reading => Ok(reading?),
        }
    }
}

async fn read(
    source: &Account,
    owner: &UserId,
    room: &RoomId,
    range: Range<'_>,
) -> Result<Option<Reading>, MatrixError> {
    let facts = source.facts(room).await?;
    let (mut events, _) = source.past(room, READ_EVENTS).await?;
    // What the room has moved far away from is read where it stands.
    let anchor = range.event.or(range.fixed.map(|(_, last)| last));
    if let Some(anchor) = anchor.filter(|anchor| !events.iter().any(|held| held.id == **anchor)) {
        events = source.around(room, anchor, AROUND_EVENTS * 2).await?;
    }
    let is_creation = |event: &RoomEvent| event.kind == EventKind::Other("m.room.create".to_owned());
    let older = range.event.is_none() && !events.first().is_some_and(is_creation);
    // What changes the standing itself is left out at the front: the state there would be ambiguous.
    let Some(begin) = events.iter().position(|event| !opened::is_about_standing(event, owner)) else {
        return Ok(None);
    };
    let events = &events[begin..];
    let before = source.standing_at(room, &events[0].id, owner).await?;
    // Asked last, so that nothing is read for somebody who left in the meantime.
    let Some(now) = source.membership_of(room, owner).await? else { return Ok(None) };
    let allowed = opened::allowed(&Source { owner, events, before, now, encrypted: facts.encrypted });
    let Some(part) = opened::part(&allowed.events, &range).filter(|part| !part.is_empty()) else { return Ok(None) };
    let (room, event) = (room.to_owned(), range.event.map(ToOwned::to_owned));
    Ok(Some(Reading { room, event, facts, part, forbidden: allowed.forbidden, older }))
}
