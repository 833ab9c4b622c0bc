//! A user's own messages in a room, page by page and however old, for redacting them.

use ruma::{
    EventId, OwnedEventId, RoomId, UInt,
    api::{
        Direction,
        client::{context::get_context, message::get_message_events},
    },
    events::AnyTimelineEvent,
    serde::Raw,
};
use serde_json::Value;

use super::{Account, PAGE_EVENTS};
use crate::{core::id, matrix::error::MatrixError};

/// Where a page of the timeline ends.
#[derive(Clone, Copy, Debug)]
pub enum Before<'a> {
    /// At this event.
    Event(&'a EventId),
    /// At the token that an earlier page returned.
    Page(&'a str),
}

/// A page of a user's own messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnPage {
    /// Its messages, edits and reactions that are not redacted, newest first.
    pub events: Vec<OwnedEventId>,
    /// The token for the page before it; `None` at the room's beginning.
    pub next: Option<String>,
}

impl Account {
    /// Returns this user's own events from a page of at most [`PAGE_EVENTS`] events. Nothing is decrypted.
    ///
    /// # Errors
    /// When the homeserver refuses or does not answer.
    pub async fn said_before(&self, room: &RoomId, before: Before<'_>) -> Result<OwnPage, MatrixError> {
        let from = match before {
            Before::Page(token) => token.to_owned(),
            Before::Event(event) => {
                let mut request = get_context::v3::Request::new(room.to_owned(), event.to_owned());
                request.limit = UInt::from(0_u32);
                let context = self.client.send(request).await.map_err(matrix_sdk::Error::from)?;
                let Some(start) = context.start else { return Ok(OwnPage::default()) };
                start
            }
        };
        let mut request = get_message_events::v3::Request::new(room.to_owned(), Direction::Backward);
        request.from = Some(from.clone());
        request.limit = UInt::from(PAGE_EVENTS);
        let page = self.client.send(request).await.map_err(matrix_sdk::Error::from)?;
        let events = page.chunk.iter().filter_map(|raw| self.own(raw)).collect();
        let next = page.end.filter(|token| !page.chunk.is_empty() && *token != from);
        Ok(OwnPage { events, next })
    }

    /// Deletes the backup of this user's encrypted room keys from the homeserver; logs a failure.
    pub async fn delete_backup(&self) {
        if let Err(error) = Box::pin(self.client.encryption().backups().disable_and_delete()).await {
            tracing::warn!(user.id = %self.user, %error, "a key backup cannot be deleted from the homeserver");
        }
    }

    /// Returns the event's id if this user said something with it and it is not redacted.
    fn own(&self, raw: &Raw<AnyTimelineEvent>) -> Option<OwnedEventId> {
        let text = |field: &str| raw.get_field::<String>(field).ok().flatten();
        let is_own = text("sender")? == self.user.as_str();
        let is_state = raw.get_field::<Value>("state_key").ok().flatten().is_some();
        // A redacted message has an empty content.
        let says = raw.get_field::<Value>("content").ok().flatten()?.as_object().is_some_and(|it| !it.is_empty());
        if !is_own || is_state || !says || text("type")? == "m.room.redaction" {
            return None;
        }
        id::event(&text("event_id")?)
    }
}
