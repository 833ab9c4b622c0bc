//! Events that no transaction brought: homeservers lose some for good when they are restarted (Synapse #11637).
//!
//! A gap is everything in a room that we do not know, back to the last checked event. Each event of a user's sync is
//! compared with the inbox, which knows events by their ids. If a sync left events out, and at each start, the room is
//! read back. Missed events are offered to the inbox as if a transaction had brought them. So rooms in which nothing
//! happens cost no requests. An invite that is still open at the second look was not delivered either.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use ruma::{EventId, OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde_json::Value;
use tokio::time::Instant;

use super::{
    EngineError,
    caught::caught,
    echoes::forget_oldest,
    records::{Checked, Cursor},
};
use crate::{
    clock,
    core::time::Timestamp,
    engine::{deserted::Deserted, entries::Entries, homeserver::Homeserver, runtime::Runtime},
    matrix::{Account, account::Stretch, inbound::may_be_said, unseen::Held},
    store::InboxEvent,
};

/// Events in the first page read back, which is enough for a quiet room.
const FIRST_PAGE: usize = 20;
/// Events in each further page.
const PAGE: usize = 100;
/// Most pages of a room read back in search of the last checked event.
const PAGES_MAX: usize = 10;
/// The age beyond which an event is not taken, in milliseconds: a week, far less than the inbox remembers.
const AGE_MAX_MS: u64 = 7 * 24 * 3_600_000;
/// How often the events of syncs are compared; events still on their way arrive meanwhile.
pub(super) const COMPARE_EVERY: Duration = Duration::from_secs(15);
/// Events read after one of ours has joined, for what was said since the invite.
const SINCE_INVITE_MAX: usize = 50;
/// Rooms read back at once at a start.
const ROOMS_AT_ONCE: usize = 4;
/// Most tries to read an assistant's chat back, after a start and after an outage.
const ASSISTANT_TRIES_MAX: usize = 4;
/// Pause between reading back two assistants' chats, after a start and after an outage.
const ASSISTANTS_EVERY: Duration = Duration::from_millis(50);
/// How far the homeserver's clock may be behind ours, in milliseconds.
const SKEW_MS: i64 = 10_000;

/// Finds and offers what no transaction brought.
pub(super) struct Gaps {
    runtime: Arc<Runtime>,
    entries: Arc<Entries>,
    deserted: Arc<Deserted>,
    homeserver: Arc<Homeserver>,
}

impl Gaps {
    /// Makes it on what it may call.
    pub(super) fn new(
        runtime: &Arc<Runtime>,
        entries: &Arc<Entries>,
        deserted: &Arc<Deserted>,
        homeserver: &Arc<Homeserver>,
    ) -> Self {
        Self {
            runtime: runtime.clone(),
            entries: entries.clone(),
            deserted: deserted.clone(),
            homeserver: homeserver.clone(),
        }
    }

    /// Compares the events of a user's syncs with the inbox; reads a room back if a sync left events out. A room that
    /// cannot be compared costs only itself. It and, if the homeserver is away, all others are read back the next time.
    pub(super) async fn compare(&self, account: &Account) -> Result<usize, EngineError> {
        let mut found = 0;
        let mut stretches = account.take_synced().into_iter();
        while let Some((room, stretch)) = stretches.next() {
            let is_cut = stretch.is_cut;
            let error = match caught(self.compare_room(account, &room, stretch)).await {
                Ok(missed) => {
                    found += missed;
                    continue;
                }
                Err(error) => error,
            };
            if error.may_pass() {
                account.read_back(&room, is_cut);
            }
            if error.is_passing() && self.homeserver.is_away_now().await {
                for (room, stretch) in stretches {
                    account.read_back(&room, stretch.is_cut);
                }
                return Err(error);
            }
            tracing::debug!(room.id = %room, user.id = %account.user(), %error, "a room cannot be compared now");
        }
        Ok(found)
    }

    async fn compare_room(&self, account: &Account, room: &RoomId, stretch: Stretch) -> Result<usize, EngineError> {
        if !account.is_in(room) {
            return Ok(0);
        }
        if stretch.is_cut {
            return self.deserted.leave_too_large(account, room).await.map(|()| 0);
        }
        let joined = stretch.events.iter().rposition(|event| is_coming(event, account.user()));
        let is_checked = joined.is_some() || self.runtime.tables.checked.get(&room.to_owned())?.is_some();
        if stretch.has_gap || !is_checked {
            return self.read_back(account.user(), room).await;
        }
        let mut events = stretch.events;
        // Events from before our join were not for us.
        let events = events.split_off(joined.map_or(0, |joined| joined + 1).min(events.len()));
        let newest = events.last().map(|event| (event.event_id.clone(), event.sent_at));
        let found = self.offer(room, events).await?;
        if let Some((event, at)) = newest {
            self.note_checked(room, Checked { event: Some(event), at })?;
        }
        Ok(found)
    }

    /// Reads a room back to the last checked event, or to our join, and offers the unknown events.
    async fn read_back(&self, user: &UserId, room: &RoomId) -> Result<usize, EngineError> {
        let known = self.runtime.tables.checked.get(&room.to_owned())?;
        // Events from before our join were not for us, unless another of our users was there.
        let comer = (known.is_none() || self.runtime.roster.of(room).len() <= 1).then_some(user);
        // A room that was never compared belongs to a lost store; its older events were answered long ago.
        let mark = known.unwrap_or(Checked { event: None, at: before(self.runtime.life.began) });
        let (mut events, mut newest, mut from): (Vec<Held>, _, Option<String>) = (Vec::new(), None, None);
        let mut is_whole = false;
        for number in 0..PAGES_MAX {
            let most = if number == 0 { FIRST_PAGE } else { PAGE };
            let page = self.runtime.api().timeline(user, room, from.as_deref(), most).await?;
            if newest.is_none() {
                newest = page.events.first().map(|event| (event.event_id.clone(), event.sent_at));
            }
            let reached = page.events.iter().position(|event| is_reached(&mark, event, comer));
            events.extend(page.events.into_iter().take(reached.unwrap_or(usize::MAX)));
            from = page.older;
            is_whole = reached.is_some() || from.is_none();
            if is_whole {
                break;
            }
        }
        if !is_whole {
            tracing::warn!(
                room.id = %room, events = events.len(),
                "a room holds more since it was last compared than is read back; what is older is not looked at"
            );
        }
        events.reverse();
        let found = self.offer(room, events).await?;
        if let Some((event, at)) = newest {
            self.note_checked(room, Checked { event: Some(event), at })?;
        }
        Ok(found)
    }

    /// Offers the inbox what was said between an invite to one of ours and its join; no transaction brings that.
    pub(super) async fn read_since_invite(&self, account: &Account, room: &RoomId) -> Result<(), EngineError> {
        if !account.is_in(room) {
            return Ok(());
        }
        let mut events = self.runtime.api().timeline(account.user(), room, None, SINCE_INVITE_MAX).await?.events;
        let Some(invite) = events.iter().position(|event| is_invite(event, account.user())) else { return Ok(()) };
        events.truncate(invite);
        events.reverse();
        let mut readable = Vec::new();
        for event in events.into_iter().filter(|event| event.state_key.is_none()) {
            let is_readable = match event.event_type.as_str() {
                // A key that did not come with the join was not meant for us, so nobody is told that it is missing.
                "m.room.encrypted" => account.unsealed(room, &event.event_id).await?,
                event_type => may_be_said(event_type),
            };
            if is_readable {
                readable.push(event);
            }
        }
        self.offer_as("between", room, readable).await?;
        Ok(())
    }

    /// Offers the inbox the unknown ones of these events, which the homeserver should have delivered; returns their
    /// number.
    async fn offer(&self, room: &RoomId, events: Vec<Held>) -> Result<usize, EngineError> {
        let new = self.offer_as("gap", room, events).await?;
        if new > 0 {
            self.runtime.metrics.missed(new);
            tracing::info!(room.id = %room, missed = new, "the homeserver had not delivered some events");
        }
        Ok(new)
    }

    async fn offer_as(&self, purpose: &str, room: &RoomId, mut events: Vec<Held>) -> Result<usize, EngineError> {
        events.retain(|event| !self.runtime.namespace().is_ours(&event.sender));
        let ids: Vec<&EventId> = events.iter().map(|event| &*event.event_id).collect();
        let unknown: std::collections::BTreeSet<_> =
            self.entries.inbox.unknown(ids)?.into_iter().map(ToOwned::to_owned).collect();
        events.retain(|event| unknown.contains(&event.event_id));
        let (count, now) = (events.len(), clock::now());
        events.retain(|event| now.ms_since(event.sent_at) <= AGE_MAX_MS);
        if events.len() < count {
            let old = count - events.len();
            tracing::warn!(room.id = %room, events = old, "events that the homeserver had not delivered are too old to be taken");
        }
        let missed: Vec<InboxEvent> = events.into_iter().map(|event| entry_of(room, event)).collect();
        let Some(last) = missed.last() else { return Ok(0) };
        let purpose = format!("{purpose}-{}", last.event_id);
        Ok(self.entries.inbox.accept(&purpose, missed, now).await?.new)
    }

    /// Notes how far a room was compared; never moves the mark back.
    fn note_checked(&self, room: &RoomId, checked: Checked) -> Result<(), EngineError> {
        self.runtime.tables.checked.update(&room.to_owned(), |known: Option<Checked>| match known {
            Some(known) if known.at > checked.at => Some(known),
            _ => Some(checked),
        })?;
        Ok(())
    }

    /// Begins comparing in a room that is ours from now on.
    pub(super) fn begin_comparing_in(&self, room: &RoomId) -> Result<(), EngineError> {
        self.note_checked(room, Checked { event: None, at: before(clock::now()) })
    }

    /// Begins comparing in a store that never compared a room: in a new one with the requests that may still wait, in
    /// one of an earlier version with the last event handled.
    pub(super) fn begin_comparing(&self) -> Result<(), EngineError> {
        if !self.runtime.tables.checked.is_empty() {
            return Ok(());
        }
        // A lost store has forgotten requests that still wait for their answers; what already has one gets no second.
        let deadline_ms = self.runtime.config().limits.deadline_ms();
        let since = clock::now().earlier(deadline_ms);
        let assistants = self.runtime.tables.assistant_rooms.iter().filter_map(Result::ok).map(|(room, _)| room);
        for room in self.runtime.roster.rooms().into_iter().chain(assistants) {
            let handled: Option<Cursor> = self.runtime.tables.cursors.get(&room)?;
            let checked = match handled {
                Some(cursor) => Checked { event: Some(cursor.event), at: cursor.sent_at },
                None => Checked { event: None, at: since },
            };
            self.runtime.tables.checked.put(&room, &checked)?;
        }
        Ok(())
    }
}

/// Reads every room back once at a start, a few at a time, each through one of ours that is there.
pub(super) async fn read_all_back(gaps: Arc<Gaps>) {
    let rooms = gaps.runtime.roster.rooms();
    let by_one = rooms.into_iter().filter_map(|room| Some((gaps.runtime.roster.of(&room).into_iter().next()?, room)));
    let reading = futures_util::stream::iter(by_one).for_each_concurrent(ROOMS_AT_ONCE, |(user, room)| {
        let gaps = &gaps;
        async move { gaps.read_back_or_later(&user, &room).await }
    });
    tokio::select! {
        () = gaps.runtime.stop.cancelled() => {}
        () = reading => {}
    }
}

impl Gaps {
    async fn read_back_or_later(&self, user: &OwnedUserId, room: &OwnedRoomId) {
        let Err(error) = caught(self.read_back(user, room)).await else { return };
        if error.may_pass()
            && let Some(account) = self.runtime.pool.kept(user)
        {
            account.read_back(room, false);
        }
        tracing::debug!(room.id = %room, user.id = %user, %error, "a room cannot be read back now");
    }
}

/// Reads the assistants' chats back after a start and after each outage, one by one, without opening their clients.
pub(super) async fn keep_assistants_up(gaps: Arc<Gaps>) {
    let mut returns = gaps.homeserver.reach.returns();
    loop {
        let mut unread = Vec::new();
        for (room, owner) in gaps.runtime.tables.assistant_rooms.iter().filter_map(Result::ok) {
            if !gaps.read_assistant_back_after(ASSISTANTS_EVERY, &owner, &room).await {
                unread.push((room, owner));
            }
        }
        for _ in 1..ASSISTANT_TRIES_MAX {
            let mut still = Vec::new();
            for (number, (room, owner)) in unread.into_iter().enumerate() {
                let pause = if number == 0 { COMPARE_EVERY } else { ASSISTANTS_EVERY };
                if !gaps.read_assistant_back_after(pause, &owner, &room).await {
                    still.push((room, owner));
                }
            }
            unread = still;
        }
        if gaps.runtime.stop.is_cancelled() {
            return;
        }
        tokio::select! {
            () = gaps.runtime.stop.cancelled() => return,
            changed = returns.changed() => if changed.is_err() { return },
        }
    }
}

impl Gaps {
    /// Returns whether no further try is needed; at a stop none is.
    async fn read_assistant_back_after(&self, pause: Duration, owner: &UserId, room: &RoomId) -> bool {
        tokio::select! {
            () = self.runtime.stop.cancelled() => return true,
            () = tokio::time::sleep(pause) => {}
        }
        self.homeserver.reach.until_back_or(&self.runtime.stop).await;
        let own_room =
            self.runtime.tables.assistants.get(&owner.to_owned()).ok().flatten().and_then(|record| record.room);
        if own_room.as_deref() != Some(room) || !self.runtime.config().assistants.enabled {
            return true;
        }
        let assistant = self.runtime.assistant_persona(owner).user;
        let Err(error) = caught(self.read_back(&assistant, room)).await else { return true };
        tracing::debug!(room.id = %room, %error, "an assistant's chat cannot be read back now");
        !error.may_pass()
    }

    pub(in crate::engine) fn tidy(&self) {
        self.runtime.pool.close_idle(Instant::now());
        let month_ago = Timestamp::from_ms(clock::now().as_ms() - 30 * 24 * 3_600_000);
        let (inbox, heard) = (self.entries.inbox.clone(), self.runtime.tables.heard.clone());
        // These walk over whole tables.
        self.runtime.tasks.spawn_blocking(move || {
            if let Err(error) = inbox.forget_before(month_ago) {
                tracing::warn!(%error, "old event ids cannot be forgotten");
            }
            if let Err(error) = forget_oldest(&heard) {
                tracing::warn!(%error, "old sessions cannot be forgotten");
            }
        });
    }
}

/// Returns the earliest time that the homeserver's clock may show at this moment.
fn before(now: Timestamp) -> Timestamp {
    Timestamp::from_ms(now.as_ms() - SKEW_MS)
}

/// Returns whether reading back ends at this event: at the mark, or at the join of `reader`. `reader` is given if none
/// of our users was there before it.
fn is_reached(mark: &Checked, event: &Held, reader: Option<&UserId>) -> bool {
    let is_checked = match mark {
        Checked { event: Some(checked), .. } => event.event_id == *checked,
        Checked { event: None, at } => event.sent_at <= *at,
    };
    is_checked || reader.is_some_and(|reader| is_coming(event, reader))
}

/// Returns whether this event invites one of ours into the room.
fn is_invite(event: &Held, user: &UserId) -> bool {
    let invites = |event: &Held| {
        let event: Option<Value> = serde_json::from_str(&event.json).ok();
        event.is_some_and(|event| event["content"]["membership"] == "invite")
    };
    event.event_type == "m.room.member" && event.state_key.as_deref() == Some(user.as_str()) && invites(event)
}

/// Returns whether this event is the join of one of ours.
fn is_coming(event: &Held, user: &UserId) -> bool {
    // A member's new name or avatar is a join event as well.
    let joins = |event: &Held| {
        let event: Option<Value> = serde_json::from_str(&event.json).ok();
        event.is_some_and(|event| {
            let before = &event["unsigned"]["prev_content"]["membership"];
            event["content"]["membership"] == "join" && before != "join"
        })
    };
    event.event_type == "m.room.member" && event.state_key.as_deref() == Some(user.as_str()) && joins(event)
}

fn entry_of(room: &RoomId, event: Held) -> InboxEvent {
    InboxEvent {
        event_id: event.event_id,
        room_id: room.to_owned(),
        sender: event.sender,
        event_type: event.event_type,
        state_key: event.state_key,
        sent_at: event.sent_at,
        json: event.json,
    }
}
