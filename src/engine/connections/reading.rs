//! What a connection reads of a room (A8, A13): through a coworker that is there, with the check of `!open` for each
//! event at this moment. Nothing is joined, marked, typed or sent, and what may not be read reads as if it were not there.

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use ruma::{EventId, OwnedUserId, RoomId, UserId};

use super::{Connections, Given};
use crate::{
    core::{
        connection::cursor::{Cursor, For},
        event::{Membership, RoomEvent},
        opened,
        served::{
            answer::{self, About, Head, MEMBERS_ON_PAGE_MAX, MESSAGE_TOKENS_MAX, Order, RECORD_TOKENS_MAX, Sheet},
            tools::{Ask, ConnectionTool, MESSAGES_ON_PAGE, MESSAGES_ON_PAGE_MAX, Named},
        },
        time::Timestamp,
        visibility::{self, Happened},
    },
    engine::EngineError,
    matrix::{
        Account, MatrixError,
        account::{Edited, Page},
    },
};

/// Events that one call to the homeserver brings.
const PAGE_EVENTS: u32 = 100;
/// Most such pages of one call; where all of them may not be read, the next call goes on.
const PAGES_MAX: usize = 10;
/// Messages edited elsewhere whose edits are looked at on one page; others are left out.
const EDITS_MAX: usize = 50;
/// Messages of a thread on one page.
const THREAD_MESSAGES: u32 = 40;
/// Questions to the homeserver at once for one call.
pub(super) const ASKED_AT_ONCE: usize = 8;

/// A room that the owner may read at this moment, and the coworker by whom.
pub(super) struct Door {
    pub(super) source: Arc<Account>,
    pub(super) owner: OwnedUserId,
    pub(super) about: About,
}

impl Door {
    pub(super) fn room(&self) -> &RoomId {
        &self.about.room
    }

    /// Returns whether the owner is in the room still. Asked last, so that nothing is given to one who left meanwhile.
    pub(super) async fn is_open(&self) -> Result<bool, MatrixError> {
        let now = self.source.membership_of(self.room(), &self.owner).await?;
        Ok(now == Some(Membership::Join))
    }

    pub(super) fn given(&self, text: String, messages: usize) -> Given {
        Given::text(Some(self.room()), messages, text)
    }
}

/// What may be read of a page.
pub(super) struct Checked {
    /// The events, oldest first, with the edits that stand elsewhere.
    pub(super) events: Vec<RoomEvent>,
    /// Whether something may not be read.
    pub(super) forbidden: bool,
}

/// Whatever the homeserver refuses is not there.
pub(super) fn or_not_there(given: Result<Given, EngineError>) -> Result<Given, EngineError> {
    match given {
        Err(error) if !error.is_passing() => {
            tracing::debug!(%error, "a connection's call found nothing");
            Ok(Given::not_there())
        }
        given => given,
    }
}

impl Connections {
    /// Answers a call with checked arguments.
    pub(super) async fn read_for_connection(&self, owner: &UserId, ask: Ask) -> Result<Given, EngineError> {
        or_not_there(match ask {
            Ask::Rooms { name, cursor } => Box::pin(self.rooms_as_text(owner, name.as_ref(), cursor.as_deref())).await,
            Ask::Read { room, most, before, cursor } => {
                Box::pin(self.read_room(owner, &room, (most, before), cursor.as_deref())).await
            }
            Ask::Search { room, words, sender, from, to, cursor } => {
                let query = super::search::Query { words, sender, from, to };
                Box::pin(self.search_room(owner, &room, &query, cursor.as_deref())).await
            }
            Ask::Thread { room, event, cursor } => {
                Box::pin(self.read_thread(owner, &room, &event, cursor.as_deref())).await
            }
            Ask::Message { room, event, around } => Box::pin(self.read_message(owner, &room, &event, around)).await,
            Ask::Members { room, name, cursor } => {
                Box::pin(self.list_members(owner, &room, name.as_ref(), cursor.as_deref())).await
            }
        })
    }

    /// Returns the way into a room, if the owner may read it. The same calls are made whatever the reason why not.
    pub(super) async fn door(&self, owner: &UserId, named: &Named) -> Result<Option<Door>, EngineError> {
        let Some(target) = named.room(&self.runtime.namespace().server) else { return Ok(None) };
        let Some(room) = self.readable.room_of(&target.room).await? else { return Ok(None) };
        let Some(source) = self.readable.source_for(owner, &room).await? else { return Ok(None) };
        let about = Self::about(&source, &room).await?;
        Ok(Some(Door { source, owner: owner.to_owned(), about }))
    }

    pub(super) async fn about(source: &Account, room: &RoomId) -> Result<About, EngineError> {
        let outline = source.outline(room).await?;
        Ok(About {
            room: room.to_owned(),
            name: outline.name,
            topic: outline.topic,
            encrypted: outline.encrypted,
            replaced_by: source.successor(room),
        })
    }

    /// Opens a cursor; a first call has none. `None` if it is not one that was given for the same.
    pub(super) fn cursor(&self, text: Option<&str>, of: &For<'_>) -> Option<Cursor> {
        match text {
            None => Some(Cursor::default()),
            Some(text) => Cursor::open(text, &self.cursor_key, of),
        }
    }

    pub(super) fn sealed(&self, next: Option<&Cursor>, of: &For<'_>) -> Option<String> {
        next.map(|next| next.sealed(&self.cursor_key, of))
    }

    /// Keeps of a page without gaps what the owner may read, for an owner who is in the room now.
    pub(super) async fn check(&self, door: &Door, page: Page) -> Result<Checked, EngineError> {
        let Page { events, edited, .. } = page;
        let owner = &*door.owner;
        // Events that change the standing are skipped at the start, because the state at them would be ambiguous.
        let Some(begin) = events.iter().position(|event| !opened::is_about_standing(event, owner)) else {
            return Ok(Checked { events: Vec::new(), forbidden: false });
        };
        let Some(before) = self.readable.stood(&door.source, door.room(), &events[begin].id, owner).await? else {
            return Ok(Checked { events: Vec::new(), forbidden: true });
        };
        let (now, encrypted) = (Membership::Join, door.about.encrypted);
        let allowed = opened::allowed(&opened::Source { owner, events: &events[begin..], before, now, encrypted });
        let mut checked = Checked { events: allowed.events, forbidden: allowed.forbidden };
        self.apply_edits(door, &mut checked.events, edited).await?;
        Ok(checked)
    }

    /// Applies to readable messages the edits that stand elsewhere and may be read too.
    async fn apply_edits(
        &self,
        door: &Door,
        events: &mut Vec<RoomEvent>,
        edited: Vec<Edited>,
    ) -> Result<(), EngineError> {
        let is_here = |edited: &Edited| events.iter().any(|event| event.id == edited.original.id);
        let edited: Vec<Edited> = edited.into_iter().filter(is_here).take(EDITS_MAX).collect();
        let checked = stream::iter(edited).map(|edited| async move {
            let may_read = self.may_read(door, &edited.edit.id).await?;
            Ok::<_, EngineError>(may_read.then_some(edited))
        });
        let checked: Vec<Option<Edited>> = checked.buffered(ASKED_AT_ONCE).try_collect().await?;
        for Edited { original, edit } in checked.into_iter().flatten() {
            if let Some(event) = events.iter_mut().find(|event| event.id == original.id) {
                *event = original;
                events.push(edit);
            }
        }
        Ok(())
    }

    /// Returns whether an owner who is in the room may read one event of it, which does not change their standing itself.
    async fn may_read(&self, door: &Door, event: &EventId) -> Result<bool, EngineError> {
        let stood = self.readable.stood(&door.source, door.room(), event, &door.owner).await?;
        let readable =
            |before| visibility::readable(before, &[Happened::Other], Membership::Join, door.about.encrypted) == [true];
        Ok(stood.is_some_and(readable))
    }

    async fn read_room(
        &self,
        owner: &UserId,
        room: &Named,
        (most, before): (usize, Option<Timestamp>),
        cursor: Option<&str>,
    ) -> Result<Given, EngineError> {
        let Some(door) = self.door(owner, room).await? else { return Ok(Given::not_there()) };
        let asked = format!("{}|{:?}", door.room(), before.map(Timestamp::as_ms));
        let of = For { owner, what: ConnectionTool::Read.name(), asked: &asked };
        let Some(mut at) = self.cursor(cursor, &of) else { return Ok(Given::not_there()) };
        if let (None, Some(before)) = (cursor, before) {
            at.from = door.source.page_before(door.room(), before).await?;
        }
        let Some((text, messages)) = self.newest(&door, most.min(MESSAGES_ON_PAGE_MAX), before, at, &of).await? else {
            return Ok(Given::not_there());
        };
        Ok(door.given(text, messages))
    }

    /// Returns a room's newest messages as an answer; `None` if the owner is not there any more.
    pub(super) async fn newest(
        &self,
        door: &Door,
        most: usize,
        before: Option<Timestamp>,
        mut at: Cursor,
        of: &For<'_>,
    ) -> Result<Option<(String, usize)>, EngineError> {
        let (mut sheet, mut next) = (Sheet::new(most), None);
        let mut head = Head { what: "messages, oldest first", ..Head::default() };
        for _ in 0..PAGES_MAX {
            let page = door.source.page(door.room(), at.from.as_deref(), PAGE_EVENTS).await?;
            let (here, older) = (page.here.clone(), page.older.clone());
            let checked = self.check(door, page).await?;
            let names = door.source.senders(door.room(), &checked.events).await?;
            let seen = answer::seen(&checked.events, &names);
            head.undecryptable += answer::undecryptable(&checked.events, &seen);
            head.forbidden |= checked.forbidden;
            let behind = at.behind.as_deref().and_then(|id| <&EventId>::try_from(id).ok());
            let seen = answer::before(seen, &checked.events, behind);
            let in_time =
                seen.iter().rev().filter(|message| before.is_none_or(|before| message.event.sent_at < before));
            for message in in_time {
                if !sheet.add(message, RECORD_TOKENS_MAX) {
                    break;
                }
            }
            if sheet.is_full() {
                next = Some(Cursor { from: here, behind: sheet.last().map(ToString::to_string) });
                break;
            }
            next = older.map(|from| Cursor { from: Some(from), behind: None });
            match &next {
                Some(older) => at = older.clone(),
                None => break,
            }
        }
        if !door.is_open().await? {
            return Ok(None);
        }
        head.next = self.sealed(next.as_ref(), of);
        let messages = sheet.len();
        Ok(Some((answer::messages(&door.about, sheet, head, Order::OldestFirst), messages)))
    }

    async fn read_thread(
        &self,
        owner: &UserId,
        room: &Named,
        event: &Named,
        cursor: Option<&str>,
    ) -> Result<Given, EngineError> {
        let Some(door) = self.door(owner, room).await? else { return Ok(Given::not_there()) };
        let Some(event) = event.event() else { return Ok(Given::not_there()) };
        let asked = format!("{}|{event}", door.room());
        let of = For { owner, what: ConnectionTool::Thread.name(), asked: &asked };
        let Some(at) = self.cursor(cursor, &of) else { return Ok(Given::not_there()) };
        if !self.may_read(&door, &event).await? {
            return Ok(Given::not_there());
        }
        let pointed_at = door.source.fetch_with_edit(door.room(), &event).await?;
        let Some(root) = pointed_at.first().map(|found| found.thread_root().unwrap_or(&event).to_owned()) else {
            return Ok(Given::not_there());
        };
        let page = door.source.thread_page(door.room(), &root, at.from.as_deref(), THREAD_MESSAGES).await?;
        let (here, older) = (page.here.clone(), page.older.clone());
        let Checked { mut events, forbidden } = self.check_each(&door, page).await?;
        let roots = if events.iter().any(|event| event.id == root) {
            Vec::new()
        } else {
            door.source.fetch_with_edit(door.room(), &root).await?
        };
        let roots = self.check_each(&door, Page { events: roots, ..Page::default() }).await?;
        // The first message opens the thread's first page; its edit may stand anywhere.
        events.splice(0..0, roots.events);
        let names = door.source.senders(door.room(), &events).await?;
        let seen = answer::seen(&events, &names);
        let mut head = Head { what: "a thread's messages, oldest first", forbidden, ..Head::default() };
        head.undecryptable = answer::undecryptable(&events, &seen);
        let mut sheet = Sheet::new(MESSAGES_ON_PAGE_MAX);
        let opening = seen.iter().find(|message| message.event.id == root).filter(|_| cursor.is_none());
        if let Some(opening) = opening {
            sheet.add(opening, RECORD_TOKENS_MAX);
        }
        let behind = at.behind.as_deref().and_then(|id| <&EventId>::try_from(id).ok());
        let seen = answer::before(seen, &events, behind);
        let others = seen.iter().rev().filter(|message| message.event.id != root);
        let mut last = None;
        for message in others {
            if !sheet.add(message, RECORD_TOKENS_MAX) {
                break;
            }
            last = Some(message.event.id.to_string());
        }
        let next = if sheet.is_full() && last.is_some() {
            Some(Cursor { from: here, behind: last })
        } else {
            older.map(|from| Cursor { from: Some(from), behind: None })
        };
        if !door.is_open().await? {
            return Ok(Given::not_there());
        }
        head.next = self.sealed(next.as_ref(), &of);
        sheet.arrange(&events);
        let messages = sheet.len();
        Ok(door.given(answer::messages(&door.about, sheet, head, Order::NewestFirst), messages))
    }

    /// Keeps of single events from anywhere in the room those that the owner may read.
    async fn check_each(&self, door: &Door, page: Page) -> Result<Checked, EngineError> {
        let checked = stream::iter(page.events).map(|event| async move {
            let may_read = !opened::is_about_standing(&event, &door.owner) && self.may_read(door, &event.id).await?;
            Ok::<_, EngineError>(may_read.then_some(event))
        });
        let all: Vec<Option<RoomEvent>> = checked.buffered(ASKED_AT_ONCE).try_collect().await?;
        let forbidden = all.iter().any(Option::is_none);
        let mut events: Vec<RoomEvent> = all.into_iter().flatten().collect();
        self.apply_edits(door, &mut events, page.edited).await?;
        Ok(Checked { events, forbidden })
    }

    async fn read_message(
        &self,
        owner: &UserId,
        room: &Named,
        event: &Named,
        around: usize,
    ) -> Result<Given, EngineError> {
        let Some(door) = self.door(owner, room).await? else { return Ok(Given::not_there()) };
        let Some(event) = event.event() else { return Ok(Given::not_there()) };
        let most = u32::try_from(around * 2).unwrap_or_default();
        let page = door.source.stretch_around(door.room(), &event, most).await?;
        let Checked { events, forbidden } = self.check(&door, page).await?;
        let names = door.source.senders(door.room(), &events).await?;
        let seen = answer::seen(&events, &names);
        let Some(at) = seen.iter().position(|message| message.event.id == event) else { return Ok(Given::not_there()) };
        let mut sheet = Sheet::new(around * 2 + 1);
        sheet.add(&seen[at], MESSAGE_TOKENS_MAX);
        let mut others: Vec<usize> = (0..seen.len()).filter(|other| *other != at).collect();
        others.sort_by_key(|other| other.abs_diff(at));
        for other in others {
            sheet.add(&seen[other], RECORD_TOKENS_MAX);
        }
        sheet.arrange(&events);
        let what = "a message and those around it, oldest first";
        let undecryptable = answer::undecryptable(&events, &seen);
        let head = Head { what, undecryptable, forbidden, ..Head::default() };
        if !door.is_open().await? {
            return Ok(Given::not_there());
        }
        let messages = sheet.len();
        Ok(door.given(answer::messages(&door.about, sheet, head, Order::NewestFirst), messages))
    }

    async fn list_members(
        &self,
        owner: &UserId,
        room: &Named,
        name: Option<&String>,
        cursor: Option<&str>,
    ) -> Result<Given, EngineError> {
        let Some(door) = self.door(owner, room).await? else { return Ok(Given::not_there()) };
        let asked = format!("{}|{name:?}", door.room());
        let of = For { owner, what: ConnectionTool::Members.name(), asked: &asked };
        let Some(at) = self.cursor(cursor, &of) else { return Ok(Given::not_there()) };
        let mut members = door.source.joined_names(door.room()).await?;
        members.sort();
        let is_asked = |user: &UserId, called: &str| {
            name.is_none_or(|part| {
                called.to_lowercase().contains(part.as_str()) || user.as_str().contains(part.as_str())
            })
        };
        let found = members.iter().filter(|(user, called)| is_asked(user, called));
        let mut found = found.filter(|(user, _)| at.behind.as_deref().is_none_or(|behind| user.as_str() > behind));
        let here: Vec<(&UserId, &str)> =
            found.by_ref().take(MEMBERS_ON_PAGE_MAX).map(|(user, called)| (&**user, called.as_str())).collect();
        let last = here.last().filter(|_| found.next().is_some());
        let next = last.map(|(user, _)| Cursor { from: None, behind: Some(user.to_string()) });
        if !door.is_open().await? {
            return Ok(Given::not_there());
        }
        Ok(door.given(answer::members(&door.about, &here, self.sealed(next.as_ref(), &of)), 0))
    }

    /// Returns how many messages a page has unless a call says otherwise.
    pub(super) const fn usual_page() -> usize {
        MESSAGES_ON_PAGE
    }
}
