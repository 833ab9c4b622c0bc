//! What a coworker may read on the asker's behalf (C7). In rooms whose history was always open to members this takes no
//! call to the homeserver; elsewhere it takes one, whose answer is cached.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use ruma::{EventId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, RoomOrAliasId, UserId};

use super::{EngineError, runtime::Runtime};
use crate::{
    config::Coworker,
    core::{
        asker::{self, Asker, Openness, Reads},
        event::{Membership, RoomEvent},
        run::RunRecord,
        visibility::Standing,
    },
    matrix::{Account, account::Facts},
};

/// Most cached standings; beyond that all are dropped and asked for again.
const MOMENTS_MAX: usize = 4_096;

/// How users stood in rooms at given events. The past does not change, so the cache never goes stale.
type Moments = HashMap<(OwnedRoomId, OwnedEventId, OwnedUserId), Standing>;

/// What may be read on whose behalf.
pub(super) struct Readable {
    runtime: Arc<Runtime>,
    moments: Mutex<Moments>,
}

/// The asker on whose behalf a run reads.
pub(super) struct Reader<'a> {
    account: &'a Account,
    record: &'a RunRecord,
    openness: Openness,
    is_in: bool,
}

/// What a window lacks after unreadable events were removed.
pub(super) struct Kept {
    /// Whether messages are missing, before the window or within it.
    pub(super) older: bool,
    /// Whether the window begins where the asker's right to read begins, and not where fetching stopped.
    pub(super) begin_is_fixed: bool,
}

impl Reader<'_> {
    fn asker(&self) -> Asker<'_> {
        Asker { user: &self.record.asker, request: &self.record.request, is_in: self.is_in }
    }
}

impl Readable {
    pub(super) fn new(runtime: &Arc<Runtime>) -> Self {
        Self { runtime: runtime.clone(), moments: Mutex::default() }
    }

    /// Returns the reader for a run; `None` if its asker may read the whole room.
    pub(super) async fn reader<'a>(
        &self,
        account: &'a Account,
        coworker: &Coworker,
        record: &'a RunRecord,
        facts: &Facts,
    ) -> Result<Option<Reader<'a>>, EngineError> {
        let is_in = facts.joined.contains(&record.asker);
        if coworker.reads == Reads::Room {
            return Ok(None);
        }
        let openness = account.openness(&record.room).await?;
        if openness.is_whole() && is_in {
            return Ok(None);
        }
        Ok(Some(Reader { account, record, openness, is_in }))
    }

    /// Removes what may not be read from a gapless stretch of the room's newest events. Returns whether messages are
    /// missing.
    pub(super) async fn keep_readable(
        &self,
        reader: Option<&Reader<'_>>,
        events: &mut Vec<RoomEvent>,
    ) -> Result<bool, EngineError> {
        let Some(reader) = reader else { return Ok(false) };
        let asker = reader.asker();
        let mut before = asker::before(&asker, events, reader.openness);
        if before.is_none() {
            let Some(begin) = asker::first_to_ask_about(&asker, events) else {
                events.clear();
                return Ok(false);
            };
            events.drain(..begin);
            before = self.stood_at(reader, &events[0].id).await?;
        }
        let Some(before) = before else {
            events.clear();
            return Ok(true);
        };
        let allowed = asker::allowed(&asker, events, before);
        *events = allowed.events;
        Ok(allowed.forbidden)
    }

    /// Like [`Self::keep_readable`], for the newest `most` events of a room.
    pub(super) async fn keep_readable_window(
        &self,
        reader: Option<&Reader<'_>>,
        events: &mut Vec<RoomEvent>,
        most: usize,
    ) -> Result<Kept, EngineError> {
        let has_older = events.len() >= most;
        let first = events.first().map(|event| event.id.clone());
        let forbidden = self.keep_readable(reader, events).await?;
        let begins_later = events.first().map(|event| &event.id) != first.as_ref();
        Ok(Kept { older: has_older || forbidden, begin_is_fixed: forbidden && (begins_later || !has_older) })
    }

    /// Keeps, of single messages from anywhere in the room, those that may be read.
    pub(super) async fn keep_readable_ones(
        &self,
        reader: Option<&Reader<'_>>,
        events: Vec<RoomEvent>,
    ) -> Result<Vec<RoomEvent>, EngineError> {
        let Some(reader) = reader else { return Ok(events) };
        let mut kept = Vec::with_capacity(events.len());
        for event in events {
            // Askers may always read their own messages.
            if event.sender == reader.record.asker
                || self.stood_at(reader, &event.id).await?.is_some_and(asker::may_read)
            {
                kept.push(event);
            }
        }
        Ok(kept)
    }

    async fn stood_at(&self, reader: &Reader<'_>, event: &EventId) -> Result<Option<Standing>, EngineError> {
        self.stood(reader.account, &reader.record.room, event, &reader.record.asker).await
    }

    /// Returns how a user stood in a room at an event, which must not itself change that; `None` where the homeserver
    /// does not tell.
    pub(super) async fn stood(
        &self,
        account: &Account,
        room: &RoomId,
        event: &EventId,
        user: &UserId,
    ) -> Result<Option<Standing>, EngineError> {
        let key = (room.to_owned(), event.to_owned(), user.to_owned());
        let known = self.moments.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied();
        if known.is_some() {
            return Ok(known);
        }
        let standing = match account.standing_at(room, event, user).await {
            Err(error) if error.is_passing() => return Err(error.into()),
            Err(error) => {
                tracing::debug!(room.id = %room, event.id = %event, %error, "how somebody stood cannot be told");
                return Ok(None);
            }
            Ok(standing) => standing,
        };
        let mut moments = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
        if moments.len() >= MOMENTS_MAX {
            moments.clear();
        }
        moments.insert(key, standing);
        Ok(Some(standing))
    }

    /// Resolves an alias of this homeserver only: asking another server would tell it that somebody here asks.
    pub(super) async fn room_of(&self, room: &RoomOrAliasId) -> Result<Option<OwnedRoomId>, EngineError> {
        let alias = match <&RoomId>::try_from(room) {
            Ok(id) => return Ok(Some(id.to_owned())),
            Err(alias) => alias,
        };
        let service = self.runtime.pool.kept(&self.runtime.service_user());
        let Some(service) = service.filter(|_| alias.server_name() == self.runtime.namespace().server) else {
            return Ok(None);
        };
        Ok(service.resolve(alias).await?)
    }

    /// Returns a coworker that is in a room with the owner at this moment, by whom the room can be read.
    ///
    /// `None` whatever the reason: the same requests are made if the room does not exist, if no coworker is there (then
    /// the service bot asks), and if the owner is not.
    pub(super) async fn source_for(&self, owner: &UserId, room: &RoomId) -> Result<Option<Arc<Account>>, EngineError> {
        let users = self.runtime.users();
        let coworkers = users.iter().filter_map(|user| self.runtime.pool.kept(user));
        let there: Option<Arc<Account>> = coworkers.into_iter().find(|account| account.is_in(room));
        let is_there = there.is_some();
        let Some(source) = there.or_else(|| self.runtime.pool.kept(&self.runtime.service_user())) else {
            return Ok(None);
        };
        source.sync().await?;
        let now = source.membership_of(room, owner).await?;
        Ok((now == Some(Membership::Join) && is_there).then_some(source))
    }
}
