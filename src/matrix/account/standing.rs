//! A user's standing in a room, as the homeserver tells a member. Nothing here leaves a trace in the room.

use matrix_sdk::{
    deserialized_responses::TimelineEvent,
    room::MessagesOptions,
    ruma::{
        UInt,
        api::client::{
            alias::get_alias, context::get_context, filter::RoomEventFilter, state::get_state_event_for_key,
        },
    },
};
use ruma::{
    EventId, OwnedRoomId, RoomAliasId, RoomId, UserId,
    events::{AnyStateEvent, StateEventType, room::member::MembershipState},
    serde::Raw,
};
use serde::Deserialize;

use super::{Account, MatrixError, PAGE_EVENTS};
use crate::{
    core::{
        event::{EventKind, History, Membership, RoomEvent},
        visibility::Standing,
    },
    matrix::inbound,
};

#[derive(Deserialize)]
struct Content {
    membership: Option<String>,
    history_visibility: Option<String>,
}

impl Account {
    /// Looks an alias up in the homeserver's directory.
    ///
    /// # Errors
    /// When the homeserver does not answer.
    pub async fn resolve(&self, alias: &RoomAliasId) -> Result<Option<OwnedRoomId>, MatrixError> {
        let request = get_alias::v3::Request::new(alias.to_owned());
        match self.client().send(request).await.map_err(matrix_sdk::Error::from).map_err(MatrixError::from) {
            Err(error) if error.is_passing() => Err(error),
            answer => Ok(answer.ok().map(|found| found.room_id)),
        }
    }

    /// Asks the homeserver for a user's present membership; `None` if this user is not told.
    ///
    /// # Errors
    /// When the homeserver does not answer.
    pub async fn membership_of(&self, room: &RoomId, user: &UserId) -> Result<Option<Membership>, MatrixError> {
        match self.membership_told(room, user).await {
            Err(error) if error.is_passing() => Err(error),
            told => Ok(told.ok().flatten()),
        }
    }

    /// As [`Self::membership_of`], but a refusal is an error too.
    pub(super) async fn membership_told(
        &self,
        room: &RoomId,
        user: &UserId,
    ) -> Result<Option<Membership>, MatrixError> {
        let (room, user) = (room.to_owned(), user.to_string());
        let request = get_state_event_for_key::v3::Request::new(room, StateEventType::RoomMember, user);
        let answer = self.client().send(request).await.map_err(matrix_sdk::Error::from)?;
        let content: Option<Content> = serde_json::from_str(answer.event_or_content.get()).ok();
        Ok(content.and_then(|content| content.membership).map(known_membership))
    }

    /// Returns a user's standing in a room at one event, which must not itself change it.
    ///
    /// The state in `/context` is that at its last event (spec, "Event context"). Homeservers differ in whether the
    /// event itself is included.
    ///
    /// # Errors
    /// When the homeserver does not answer, or answers without the state.
    pub async fn standing_at(&self, room: &RoomId, event: &EventId, user: &UserId) -> Result<Standing, MatrixError> {
        let mut request = get_context::v3::Request::new(room.to_owned(), event.to_owned());
        request.limit = UInt::from(0_u32);
        let mut filter = RoomEventFilter::default();
        filter.types = Some(["m.room.member", "m.room.history_visibility"].map(str::to_owned).to_vec());
        request.filter = filter;
        let response = self.client().send(request).await.map_err(matrix_sdk::Error::from)?;
        let content = |kind: &str, key: &str| -> Option<Content> {
            let found = response.state.iter().find(|state| is_state(state, kind, key))?;
            found.get_field("content").ok().flatten()
        };
        let membership = content("m.room.member", user.as_str()).and_then(|content| content.membership);
        // The default is `shared`; an unknown value counts as the tightest.
        let history = content("m.room.history_visibility", "").map_or(History::Shared, |content| {
            content.history_visibility.map_or(History::Joined, |value| History::parse(&value))
        });
        Ok(Standing { history, membership: membership.map_or(Membership::Leave, known_membership) })
    }

    /// Returns an event and up to `most` events around it, oldest first and without gaps.
    ///
    /// A message edited outside this stretch is returned without content, because the edit's place is unknown.
    ///
    /// # Errors
    /// When the homeserver does not answer or this user may not see the event.
    pub async fn around(&self, room: &RoomId, event: &EventId, most: usize) -> Result<Vec<RoomEvent>, MatrixError> {
        let most = UInt::try_from(most).unwrap_or(UInt::MAX);
        let answer = Box::pin(self.room(room)?.event_with_context(event, true, most, None)).await?;
        let found = answer.events_before.into_iter().rev().chain(answer.event).chain(answer.events_after);
        Ok(self.stretch(room, &found.collect::<Vec<_>>()).await)
    }

    /// Returns the events from `first` to `last`, oldest first and without gaps, but only the newest `most`. Messages
    /// edited outside them are treated as in [`Self::around`].
    ///
    /// # Errors
    /// When the homeserver does not answer or this user may not see `last`.
    pub async fn between(
        &self,
        room: &RoomId,
        first: &EventId,
        last: &EventId,
        most: usize,
    ) -> Result<Vec<RoomEvent>, MatrixError> {
        let here = self.room(room)?;
        let answer = Box::pin(here.event_with_context(last, true, UInt::from(0_u32), None)).await?;
        // Newest first.
        let mut found: Vec<TimelineEvent> = answer.event.into_iter().collect();
        let mut from = answer.prev_batch_token;
        while found.len() < most && !found.iter().any(|event| is(event, first)) {
            let Some(token) = from.take() else { break };
            let mut options = MessagesOptions::backward().from(Some(token.as_str()));
            options.limit = UInt::from(PAGE_EVENTS);
            let page = Box::pin(here.messages(options)).await?;
            from = page.end.filter(|next| !page.chunk.is_empty() && *next != token);
            found.extend(page.chunk);
        }
        let wanted = found.iter().position(|event| is(event, first)).map_or(found.len(), |at| at + 1);
        found.truncate(wanted.min(most));
        found.reverse();
        Ok(self.stretch(room, &found).await)
    }

    /// Reads consecutive events, oldest first; returns nothing if one belongs to another room.
    async fn stretch(&self, room: &RoomId, found: &[TimelineEvent]) -> Vec<RoomEvent> {
        self.stretch_and_edits(room, found).await.0
    }

    /// As [`Self::stretch`], and what was edited outside it, each message with its newest edit: whoever may read the edit
    /// may read the message as it is now.
    pub(super) async fn stretch_and_edits(
        &self,
        room: &RoomId,
        found: &[TimelineEvent],
    ) -> (Vec<RoomEvent>, Vec<Edited>) {
        if found.iter().any(|event| is_elsewhere(event, room)) {
            return (Vec::new(), Vec::new());
        }
        let read = self.read(room, found).await;
        let mut events = inbound::together(read.iter());
        let mut edited = Vec::new();
        for (id, edit) in found.iter().filter_map(|event| event.event_id().zip(inbound::bundled_edit(room, event))) {
            if !read.iter().any(|read| read.event.id == edit.id)
                && let Some(event) = events.iter_mut().find(|event| event.id == id)
            {
                let hidden = EventKind::Other("m.room.message".to_owned());
                let original = RoomEvent { kind: std::mem::replace(&mut event.kind, hidden), ..event.clone() };
                edited.push(Edited { original, edit });
            }
        }
        (events, edited)
    }
}

/// A message that was edited outside a stretch.
#[derive(Clone, Debug)]
pub struct Edited {
    /// The message as it was sent.
    pub original: RoomEvent,
    /// Its newest edit.
    pub edit: RoomEvent,
}

fn is(event: &TimelineEvent, id: &EventId) -> bool {
    event.event_id().is_some_and(|held| held == id)
}

fn is_elsewhere(event: &TimelineEvent, room: &RoomId) -> bool {
    event.raw().get_field::<String>("room_id").ok().flatten().is_some_and(|named| named != *room)
}

fn is_state(state: &Raw<AnyStateEvent>, kind: &str, key: &str) -> bool {
    let field = |name: &str| state.get_field::<String>(name).ok().flatten();
    field("type").as_deref() == Some(kind) && field("state_key").as_deref() == Some(key)
}

fn known_membership(value: String) -> Membership {
    inbound::membership(&MembershipState::from(value))
}
