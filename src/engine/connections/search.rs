//! Searching a room for a connection.
//!
//! An encrypted room can be searched by nobody but its members, and we keep no copy of what people say. So a search walks
//! back through the room, page by page, each checked and forgotten, for as long as a call may take; it then says how far
//! it came, and the next call goes on from there. Memory stays flat whatever the room's size.

use std::time::Duration;

use ruma::{EventId, OwnedUserId, UserId};
use tokio::time::Instant;

use super::{Connections, Given};
use crate::{
    core::{
        connection::cursor::{Cursor, For},
        escaped::rfc3339,
        served::{
            answer::{self, Head, Order, RECORD_TOKENS_MAX, Sheet},
            tools::{ConnectionTool, MESSAGES_ON_PAGE, Named},
        },
        time::Timestamp,
    },
    engine::EngineError,
};

/// How long the first call looks back; another page is read if one like the last will be in time.
const FIRST_LOOK: Duration = Duration::from_millis(180);
/// How long a call looks back that goes on from an earlier one.
const NEXT_LOOK: Duration = Duration::from_millis(2_500);
/// Events that one call to the homeserver brings at first, so that the first answer comes at once.
const FIRST_EVENTS: u32 = 100;
/// Events that one call to the homeserver brings later.
const NEXT_EVENTS: u32 = 500;

/// What is searched for.
pub(super) struct Query {
    /// Lower-case words that a message must all contain.
    pub(super) words: Vec<String>,
    pub(super) sender: Option<OwnedUserId>,
    pub(super) from: Option<Timestamp>,
    pub(super) to: Option<Timestamp>,
}

impl Query {
    fn asked(&self) -> String {
        let time = |at: Option<Timestamp>| at.map(Timestamp::as_ms);
        format!("{:?}|{:?}|{:?}|{:?}", self.words, self.sender, time(self.from), time(self.to))
    }

    fn is_met_by(&self, message: &crate::core::context::Shown<'_>) -> bool {
        let at = message.event.sent_at;
        self.sender.as_ref().is_none_or(|sender| message.event.sender == *sender)
            && self.from.is_none_or(|from| at >= from)
            && self.to.is_none_or(|to| at < to)
            && answer::holds(message, &self.words)
    }
}

impl Connections {
    pub(super) async fn search_room(
        &self,
        owner: &UserId,
        room: &Named,
        query: &Query,
        cursor: Option<&str>,
    ) -> Result<Given, EngineError> {
        let began = Instant::now();
        let Some(door) = self.door(owner, room).await? else { return Ok(Given::not_there()) };
        let asked = format!("{}|{}", door.room(), query.asked());
        let of = For { owner, what: ConnectionTool::Search.name(), asked: &asked };
        let Some(mut at) = self.cursor(cursor, &of) else { return Ok(Given::not_there()) };
        if let (None, Some(to)) = (cursor, query.to) {
            at.from = door.source.page_before(door.room(), to).await?;
        }
        let (look, events) = match cursor {
            None => (FIRST_LOOK, FIRST_EVENTS),
            Some(_) => (NEXT_LOOK, NEXT_EVENTS),
        };
        let mut sheet = Sheet::new(MESSAGES_ON_PAGE);
        let mut head = Head { what: "found, newest first", ..Head::default() };
        let mut looked_back_to = None;
        let next = loop {
            let page_began = Instant::now();
            let page = door.source.page(door.room(), at.from.as_deref(), events).await?;
            let (here, older) = (page.here.clone(), page.older.clone());
            looked_back_to = page.events.first().map(|event| event.sent_at).or(looked_back_to);
            let checked = self.check(&door, page).await?;
            let names = door.source.senders(door.room(), &checked.events).await?;
            let seen = answer::seen(&checked.events, &names);
            head.undecryptable += answer::undecryptable(&checked.events, &seen);
            head.forbidden |= checked.forbidden;
            let behind = at.behind.as_deref().and_then(|id| <&EventId>::try_from(id).ok());
            let seen = answer::before(seen, &checked.events, behind);
            for message in seen.iter().rev().filter(|message| query.is_met_by(message)) {
                if !sheet.add(message, RECORD_TOKENS_MAX) {
                    break;
                }
            }
            if sheet.is_full() {
                break Some(Cursor { from: here, behind: sheet.last().map(ToString::to_string) });
            }
            match older.map(|from| Cursor { from: Some(from), behind: None }) {
                Some(older) if began.elapsed() + page_began.elapsed() < look => at = older,
                next => break next,
            }
        };
        if !door.is_open().await? {
            return Ok(Given::not_there());
        }
        head.next = self.sealed(next.as_ref(), &of);
        // What is behind the owner's right to read has no time to tell.
        head.looked_back_to = looked_back_to.filter(|_| !head.forbidden).and_then(rfc3339);
        let messages = sheet.len();
        Ok(door.given(answer::messages(&door.about, sheet, head, Order::NewestFirst), messages))
    }
}
