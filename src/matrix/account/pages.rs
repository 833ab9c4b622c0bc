//! Pages of a room's past, for an owner's own programs (A13). What is read here is kept nowhere, and leaves no trace in
//! the room.

use std::collections::{BTreeMap, BTreeSet};

use matrix_sdk::{
    deserialized_responses::TimelineEvent,
    room::{IncludeRelations, MessagesOptions, RelationsOptions},
    ruma::{
        MilliSecondsSinceUnixEpoch, UInt,
        api::{Direction, client::room::get_event_by_timestamp},
    },
};
use ruma::{
    EventId, OwnedUserId, RoomId, UserId,
    events::{relation::RelationType, room::member::MembershipState},
};

use super::{Account, MatrixError, reading::reaches_the_beginning, standing::Edited};
use crate::core::{event::RoomEvent, sealed::Speech, time::Timestamp};

/// A page of a room or thread.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Its events, oldest first. Those of a room have no gaps between them; messages edited outside have no content.
    pub events: Vec<RoomEvent>,
    /// The messages that were edited outside.
    pub edited: Vec<Edited>,
    /// The homeserver's token of this page; the same token gives the same page later.
    pub here: Option<String>,
    /// The token of the page before it; `None` at the beginning.
    pub older: Option<String>,
}

/// What a room is called, and whether it is encrypted.
#[derive(Clone, Debug)]
pub struct Outline {
    /// `m.room.name`, or what clients make of its members' names.
    pub name: Option<String>,
    /// `m.room.topic`.
    pub topic: Option<String>,
    /// Whether it is encrypted.
    pub encrypted: bool,
}

impl Account {
    /// Returns a page of up to `most` events that ends at the token `from`, or with the newest event.
    ///
    /// # Errors
    /// When the homeserver does not answer, or does not know the token.
    pub async fn page(&self, room: &RoomId, from: Option<&str>, most: u32) -> Result<Page, MatrixError> {
        let mut options = MessagesOptions::backward().from(from);
        options.limit = UInt::from(most);
        let page = Box::pin(self.room(room)?.messages(options)).await?;
        let older = page.end.filter(|next| {
            !page.chunk.is_empty() && Some(next.as_str()) != from && !reaches_the_beginning(&page.chunk)
        });
        Ok(Page { here: Some(page.start), older, ..self.read_backwards(room, page.chunk).await })
    }

    /// Returns a page of up to `most` of a thread's messages without its root. They are not consecutive in the room.
    ///
    /// # Errors
    /// As [`Self::page`].
    pub async fn thread_page(
        &self,
        room: &RoomId,
        root: &EventId,
        from: Option<&str>,
        most: u32,
    ) -> Result<Page, MatrixError> {
        let options = RelationsOptions {
            from: from.map(ToOwned::to_owned),
            limit: Some(UInt::from(most)),
            include_relations: IncludeRelations::RelationsOfType(RelationType::Thread),
            ..RelationsOptions::default()
        };
        let page = Box::pin(self.room(room)?.relations(root.to_owned(), options)).await?;
        let older = page.next_batch_token.filter(|next| !page.chunk.is_empty() && Some(next.as_str()) != from);
        let here = from.map(ToOwned::to_owned);
        Ok(Page { here, older, ..self.read_backwards(room, page.chunk).await })
    }

    /// Returns an event and up to `most` events around it.
    ///
    /// # Errors
    /// When the homeserver does not answer or this user may not see the event.
    pub async fn stretch_around(&self, room: &RoomId, event: &EventId, most: u32) -> Result<Page, MatrixError> {
        let found = Box::pin(self.room(room)?.event_with_context(event, true, UInt::from(most), None)).await?;
        let chunk: Vec<TimelineEvent> =
            found.events_before.into_iter().rev().chain(found.event).chain(found.events_after).collect();
        let (events, edited) = self.stretch_and_edits(room, &chunk).await;
        Ok(Page { events, edited, here: found.next_batch_token, older: found.prev_batch_token })
    }

    /// Returns the token of the page that ends with the last event sent before a time; `None` where the homeserver knows
    /// no such event, or cannot look for it.
    ///
    /// # Errors
    /// When the homeserver does not answer.
    pub async fn page_before(&self, room: &RoomId, before: Timestamp) -> Result<Option<String>, MatrixError> {
        let Ok(ms) = UInt::try_from(before.as_ms()) else { return Ok(None) };
        let at = MilliSecondsSinceUnixEpoch(ms);
        let request = get_event_by_timestamp::v1::Request::new(room.to_owned(), at, Direction::Backward);
        let found = self.client().send(request).await.map_err(matrix_sdk::Error::from).map_err(MatrixError::from);
        let found = match found {
            Err(error) if error.is_passing() => return Err(error),
            Err(_) => return Ok(None),
            Ok(found) => found,
        };
        Ok(self.stretch_around(room, &found.event_id, 0).await?.here)
    }

    /// Returns what a room is called, and whether it is encrypted.
    ///
    /// # Errors
    /// When the room is not joined, or its encryption is unknown.
    pub async fn outline(&self, room: &RoomId) -> Result<Outline, MatrixError> {
        let encrypted = self.speech_in(room).await? != Speech::Plain;
        let room = self.room(room)?;
        let called = match room.name() {
            Some(name) => Some(name),
            None => room.display_name().await.ok().map(|name| name.to_string()),
        };
        Ok(Outline { name: called, topic: room.topic(), encrypted })
    }

    /// Returns the names of some events' senders, as far as the room says them.
    ///
    /// # Errors
    /// When the room is not joined, or the homeserver does not tell its members.
    pub async fn senders(
        &self,
        room: &RoomId,
        events: &[RoomEvent],
    ) -> Result<BTreeMap<OwnedUserId, String>, MatrixError> {
        let room = self.room(room)?;
        room.sync_members().await?;
        let mut names = BTreeMap::new();
        let senders: BTreeSet<&OwnedUserId> = events.iter().map(|event| &event.sender).collect();
        for user in senders {
            if let Some(member) = room.get_member_no_sync(user).await? {
                names.insert(user.clone(), member.name().to_owned());
            }
        }
        Ok(names)
    }

    /// Returns whether a user is surely not in a room, as of the last sync; it says nothing of those not heard of.
    pub async fn is_surely_out(&self, room: &RoomId, user: &UserId) -> bool {
        let Ok(room) = self.room(room) else { return true };
        let member = room.get_member_no_sync(user).await;
        matches!(member, Ok(Some(member)) if *member.membership() != MembershipState::Join)
    }

    async fn read_backwards(&self, room: &RoomId, mut chunk: Vec<TimelineEvent>) -> Page {
        // Newest first, as requested.
        chunk.reverse();
        let (events, edited) = self.stretch_and_edits(room, &chunk).await;
        Page { events, edited, ..Page::default() }
    }
}
