//! Rooms that an owner opens for their assistant (A7, A8): read through a coworker that is there, for the owner alone.
//!
//! Nothing here writes outside the owner's chat: a coworker's client syncs and reads, and sends no join, receipt,
//! typing or state. `core::opened` decides what may be read, from the homeserver's current answers, when the room is
//! opened and again at every turn; no content is stored.

use ruma::{EventId, OwnedEventId, OwnedRoomId, RoomId, UserId};

use crate::{
    core::{
        context,
        event::{EventKind, Message, RoomEvent},
        links::{self, Target},
        opened::{self, AGAIN_EVENTS_MAX, AROUND_EVENTS, Found, OPENED_MAX, Opened, READ_EVENTS, Range, Source},
        refused::{Part, Sieve},
        run::RunRecord,
        words,
    },
    engine::{Engine, EngineError, records::AssistantRecord},
    matrix::{Account, MatrixError, account::Facts},
};

use super::{HISTORY_EVENTS, is_of_the_two};

/// Whether a message had more than the links in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pasted {
    /// It had words, and is to be answered.
    WithWords,
    /// It had only links to rooms; opening them was all it asked for.
    Alone,
}

/// The part of a room that its owner may read at this moment.
pub(super) struct Reading {
    room: OwnedRoomId,
    event: Option<OwnedEventId>,
    facts: Facts,
    part: Vec<RoomEvent>,
    found: Option<Found>,
    forbidden: bool,
    older: bool,
}

/// What to read of a room.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    /// The event that the link names.
    event: Option<&'a EventId>,
    /// The earlier opening, if the room is open already.
    known: Option<&'a Opened>,
}

/// The chat in which rooms were opened.
pub(super) struct Chatted<'a> {
    /// Its events, oldest first.
    pub(super) events: &'a [RoomEvent],
    /// How many of them the run knows; a request that runs again does not know later events.
    pub(super) known: usize,
    /// The index at which its session begins.
    pub(super) begins: usize,
}

impl Reading {
    /// Passes it on its way into a prompt.
    pub(super) fn pass(&mut self, sieve: &mut Sieve<'_>) {
        sieve.beside(&self.room, &mut self.part);
        sieve.text(Part::name_of(&self.room), &mut self.facts.name);
        sieve.text(Part::topic_of(&self.room), &mut self.facts.topic);
        sieve.names(&self.room, &mut self.facts.names);
    }

    /// Returns the part that the model is shown.
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
    /// Handles `!open`.
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

    /// Returns the room or event that `what` names; a local room's alias needs no server.
    fn target_of(&self, what: &str) -> Option<Target> {
        if what.starts_with('#') && !what.contains(':') {
            return links::target(&format!("{what}:{}", self.namespace().server));
        }
        links::target(what)
    }

    /// Opens the rooms that the links in an owner's own words name.
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
        let Some(room) = self.readable.room_of(&target.room).await? else { return Ok(words::opened::cannot_open()) };
        let wanted = Wanted { event: target.event.as_deref(), known: None };
        let reading = self.read_for(owner, &room, wanted).await?;
        let Some(reading) = reading else { return Ok(words::opened::cannot_open()) };
        let Some((first, last)) = opened::ends(&reading.part) else { return Ok(words::opened::cannot_open()) };
        let (event, found) = (target.event.clone(), reading.found);
        let new = Opened { room, event, by: by.id.clone(), first, last, found, answers: Vec::new() };
        let others = current.iter().filter(|one| (&one.room, &one.event) != (&new.room, &new.event));
        if others.count() >= OPENED_MAX {
            return Ok(words::opened::too_many_open());
        }
        let block =
            context::opened_block(&reading.shown(), self.config().limits.context_tokens_max.max(context::TOKENS_MIN));
        let text = words::opened::header(&words::opened::Header {
            room: &new.room,
            event: new.event.as_deref(),
            name: reading.facts.name.as_deref(),
            via: &self.namespace().server,
            block: &block,
            forbidden: reading.forbidden,
            older: reading.older,
            zone: &self.zones.zone_of(owner).await,
        });
        self.close_rooms(owner, None, |one| !current.iter().any(|open| open.is(one)))?;
        self.chats.note(owner, |record| opened::open(&mut record.opened, new))?;
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

    /// Reads for a turn the rooms that the session has open, with the current rights. A room that may no longer be read
    /// is closed, and a word says so; answers made with it are then withheld from this run and later ones.
    pub(super) async fn still_opened(
        &self,
        account: &Account,
        record: &mut RunRecord,
        chat: &Chatted<'_>,
    ) -> Result<Vec<Reading>, EngineError> {
        let (owner, room) = (&record.asker, &record.room);
        let kept = self.tables.assistants.get(owner)?.unwrap_or_default().opened;
        let current = opened::current(&kept, chat.events, chat.begins);
        let mut readings = Vec::new();
        let mut ended: Vec<Opened> = Vec::new();
        if record.attempt == 0 {
            // A request that runs again may belong to another session, so it closes nothing in this one.
            ended.extend(kept.iter().filter(|one| !current.contains(one)).cloned());
        }
        let since = &chat.events[chat.known..];
        let known = current.into_iter().filter(|one| !since.iter().any(|event| event.id == one.by));
        for one in known.take(OPENED_MAX) {
            let wanted = Wanted { event: one.event.as_deref(), known: Some(&one) };
            if let Some(reading) = self.read_for(owner, &one.room, wanted).await? {
                readings.push(reading);
                continue;
            }
            tracing::info!(user.id = %account.user(), "an opened room cannot be read any more; it is closed");
            let cause = format!("{}|{}|{:?}", one.by, one.room, one.event);
            let txn = crate::engine::word_transaction("closed", &cause, account.user());
            let text = words::opened::closed(&one.room, &self.namespace().server);
            account.send(room, &crate::engine::word(&text, None), txn).await?;
            ended.push(one);
        }
        if !ended.is_empty() {
            self.close_rooms(owner, Some(&record.request), |one| ended.iter().any(|over| over.is(one)))?;
            self.store.flush().await?;
            if !record.work.is_empty() {
                // The work so far was done with the closed room at hand.
                self.close_cards(&record.id(), record);
                record.work.begin_anew();
            }
        }
        Ok(readings)
    }

    /// Closes rooms. Answers given while they were open are no longer read, nor those still to come for current
    /// requests other than `but`.
    pub(super) fn close_rooms(
        &self,
        owner: &UserId,
        but: Option<&EventId>,
        is_closed: impl Fn(&Opened) -> bool,
    ) -> Result<(), EngineError> {
        let kept = self.tables.assistants.get(&owner.to_owned())?.unwrap_or_default();
        if !kept.opened.iter().any(&is_closed) {
            return Ok(());
        }
        let runs = self.tables.runs.iter().filter_map(Result::ok).map(|(_, run)| run);
        let theirs = runs.filter(|run| run.owner() == Some(owner) && Some(&*run.request) != but);
        let in_progress: Vec<_> = theirs.map(|run| run.request).collect();
        self.chats.note(owner, |record| record.withheld.close(&mut record.opened, is_closed, &in_progress))
    }

    /// Reads what an owner may read of a room, through a coworker that is there.
    ///
    /// `None` whatever the reason, see [`Readable::source_for`](crate::engine::readable::Readable::source_for).
    async fn read_for(
        &self,
        owner: &UserId,
        room: &RoomId,
        wanted: Wanted<'_>,
    ) -> Result<Option<Reading>, EngineError> {
        let Some(source) = self.readable.source_for(owner, room).await? else { return Ok(None) };
        match Box::pin(read(&source, owner, room, wanted)).await {
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
    wanted: Wanted<'_>,
) -> Result<Option<Reading>, MatrixError> {
    let facts = source.facts(room).await?;
    let range = Range { event: wanted.event, fixed: wanted.known.map(|one| (&*one.first, &*one.last)) };
    let events = stretch(source, room, &range).await?;
    let first = range.fixed.and_then(|(first, _)| events.iter().position(|event| event.id == *first));
    let known = wanted.known.and_then(|one| one.found).zip(first);
    let (begin, before, older) = if let Some((found, first)) = known {
        // Of the events before the range, only the standing at its start matters.
        (first, found.before, found.older)
    } else {
        let is_creation = |event: &RoomEvent| event.kind == EventKind::Other("m.room.create".to_owned());
        let older = range.event.is_none() && !events.first().is_some_and(is_creation);
        // Events that change the standing are skipped at the start, because the state at them would be ambiguous.
        let begin = events.iter().position(|event| !opened::is_about_standing(event, owner));
        let Some(begin) = begin else { return Ok(None) };
        (begin, source.standing_at(room, &events[begin].id, owner).await?, older)
    };
    // Asked last, so that nothing is read for an owner who left meanwhile.
    let Some(now) = source.membership_of(room, owner).await? else { return Ok(None) };
    let source = Source { owner, events: &events[begin..], before, now, encrypted: facts.encrypted };
    let allowed = opened::allowed(&source);
    let Some(part) = opened::part(&allowed.events, &range).filter(|part| !part.is_empty()) else { return Ok(None) };
    let forbidden = allowed.forbidden || known.is_some_and(|(found, _)| found.forbidden);
    let before = opened::ends(&part).and_then(|(first, _)| opened::standing_before(&source, &first));
    let found = before.map(|before| Found { before, forbidden, older });
    let (room, event) = (room.to_owned(), range.event.map(ToOwned::to_owned));
    Ok(Some(Reading { room, event, facts, part, found, forbidden, older }))
}

/// Returns consecutive events that contain the range: the room's newest or, if the range is no longer among them, those
/// around it.
async fn stretch(source: &Account, room: &RoomId, range: &Range<'_>) -> Result<Vec<RoomEvent>, MatrixError> {
    let (mut events, _) = source.past(room, READ_EVENTS).await?;
    if range.fixed.is_none() {
        // No more than a later read would find again.
        events.drain(..events.len().saturating_sub(READ_EVENTS));
    }
    let holds = |id: &EventId| events.iter().any(|held| held.id == *id);
    match (range.fixed, range.event) {
        (Some((first, last)), _) if !holds(first) => source.between(room, first, last, AGAIN_EVENTS_MAX).await,
        (None, Some(event)) if !holds(event) => source.around(room, event, AROUND_EVENTS * 2).await,
        _ => Ok(events),
    }
}
