//! Which room replaces which, and what is known about a room before joining it.

use matrix_sdk::{
    Room, RoomState,
    deserialized_responses::RawAnySyncOrStrippedState,
    ruma::api::client::{directory::get_room_visibility, room::Visibility, state::get_state_event_for_key},
};
use ruma::{OwnedRoomId, OwnedUserId, RoomId, events::StateEventType};
use serde_json::Value;

use super::Account;
use crate::{
    core::{id, succession::Ended, time::Timestamp, upgrade::Invited},
    matrix::error::MatrixError,
};

/// A tombstone (`m.room.tombstone`), which ends a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// Who sent it.
    pub by: OwnedUserId,
    /// The room that it names as the successor.
    pub successor: OwnedRoomId,
}

impl Account {
    /// Returns a room's predecessor from its creation event; for an invited room only if the invite shows it.
    #[must_use]
    pub fn predecessor(&self, room: &RoomId) -> Option<OwnedRoomId> {
        Some(self.client.get_room(room)?.predecessor_room()?.room_id).filter(|room| id::is_room(room))
    }

    /// Returns a room's successor from its tombstone.
    #[must_use]
    pub fn successor(&self, room: &RoomId) -> Option<OwnedRoomId> {
        Some(self.client.get_room(room)?.successor_room()?.room_id).filter(|room| id::is_room(room))
    }

    /// Returns the tombstone of a joined room, as of the last sync; `None` if it names no room.
    ///
    /// # Errors
    /// When the room is not joined or the store fails.
    pub async fn tombstone(&self, room: &RoomId) -> Result<Option<Tombstone>, MatrixError> {
        let event = self.room(room)?.get_state_event(StateEventType::RoomTombstone, "").await?;
        let Some(RawAnySyncOrStrippedState::Sync(event)) = event else { return Ok(None) };
        let content: Option<Value> = event.get_field("content").ok().flatten();
        let named = content.as_ref().and_then(|content| content.get("replacement_room")?.as_str());
        let successor = named.and_then(id::room);
        let by = event.get_field("sender").ok().flatten();
        Ok(by.zip(successor).map(|(by, successor)| Tombstone { by, successor }))
    }

    /// Returns how a joined room was ended, as of the last sync; `None` if it was not, or names no successor.
    ///
    /// # Errors
    /// When the room is not joined or the store fails.
    pub async fn ended(&self, room_id: &RoomId) -> Result<Option<Ended>, MatrixError> {
        let Some(Tombstone { by, successor }) = self.tombstone(room_id).await? else { return Ok(None) };
        let room = self.room(room_id)?;
        let at = state(&room, StateEventType::RoomTombstone, "origin_server_ts").await?.and_then(|at| at.as_i64());
        let creation = state(&room, StateEventType::RoomCreate, "content").await?.unwrap_or_default();
        let at = Timestamp::from_ms(at.unwrap_or_default());
        Ok(Some(Ended { room: room_id.to_owned(), creation, by, at, successor }))
    }

    /// Returns a room's predecessor if the homeserver shows the room to non-members; the outer `None` if it does not.
    ///
    /// # Errors
    /// When the homeserver does not answer.
    pub async fn predecessor_from_outside(&self, room: &RoomId) -> Result<Option<Option<OwnedRoomId>>, MatrixError> {
        let (room, key) = (room.to_owned(), String::new());
        let request = get_state_event_for_key::v3::Request::new(room, StateEventType::RoomCreate, key);
        match self.client.send(request).await.map_err(matrix_sdk::Error::from).map_err(MatrixError::from) {
            Err(error) if error.is_passing() => Err(error),
            Err(_) => Ok(None),
            Ok(answer) => {
                let content: Value = serde_json::from_str(answer.event_or_content.get()).unwrap_or_default();
                let named = content["predecessor"]["room_id"].as_str();
                Ok(Some(named.and_then(id::room)))
            }
        }
    }

    /// Returns whether this user is invited to a room, as of the last sync.
    #[must_use]
    pub fn is_invited(&self, room: &RoomId) -> bool {
        self.client.get_room(room).is_some_and(|room| room.state() == RoomState::Invited)
    }

    /// Returns what the invite to a room shows, as of the last sync; `None` if this user is not invited.
    pub async fn invite_to(&self, room: &RoomId) -> Option<Invited> {
        let room = self.client.get_room(room).filter(|room| room.state() == RoomState::Invited)?;
        let details = room.invite_details().await.ok();
        let creation = room.create_content();
        Some(Invited {
            inviter: details.and_then(|details| details.inviter).map(|inviter| inviter.user_id().to_owned()),
            creation: creation.map(|made| (made.creator, made.predecessor.map(|previous| previous.room_id))),
            join_rule: room.join_rule().map(|rule| rule.as_str().to_owned()),
        })
    }

    /// Returns whether the public directory lists a room; if the homeserver does not say, it counts as listed.
    ///
    /// # Errors
    /// When the homeserver does not answer.
    pub async fn is_listed(&self, room: &RoomId) -> Result<bool, MatrixError> {
        let request = get_room_visibility::v3::Request::new(room.to_owned());
        match self.client.send(request).await.map_err(matrix_sdk::Error::from).map_err(MatrixError::from) {
            Err(error) if error.is_passing() => Err(error),
            answer => Ok(answer.map_or(true, |answer| answer.visibility != Visibility::Private)),
        }
    }
}

/// Returns one field of a state event with an empty key, as of the last sync.
async fn state(room: &Room, event_type: StateEventType, field: &str) -> Result<Option<Value>, MatrixError> {
    let Some(RawAnySyncOrStrippedState::Sync(event)) = room.get_state_event(event_type, "").await? else {
        return Ok(None);
    };
    Ok(event.get_field(field).ok().flatten())
}
