//! The lobby: a room of the service bot in which people's apps find the coworkers by name.

use reqwest::Method;
use ruma::{OwnedRoomId, RoomId, UserId};
use serde_json::{Value, json};

use super::{
    account::Account,
    api::{Api, Body, encode},
    audit_room::{MARK_FIELD, find_marked},
    error::MatrixError,
    marks::LOBBY_MARK,
    proxy::Identity,
};
use crate::core::id;

/// The state event that names the posted list of coworkers.
const LISTED: &str = "io.workmate.lobby.listed";
/// The service bot's power level; posting, inviting and changing state need it.
const BOT_LEVEL: i64 = 50;

/// Returns the lobby that this user made before, if it still exists.
///
/// # Errors
/// When the user's store cannot be read.
pub(crate) async fn find(account: &Account) -> Result<Option<OwnedRoomId>, MatrixError> {
    find_marked(account, LOBBY_MARK).await
}

impl Api {
    /// Makes the lobby: unencrypted, because nothing is said in it; local to this homeserver; open to the members of
    /// `space` if there is one, else to everybody on the server.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub async fn make_lobby(
        &self,
        user: &UserId,
        (name, topic): (&str, &str),
        space: Option<&RoomId>,
    ) -> Result<Option<OwnedRoomId>, MatrixError> {
        let joining = match space {
            Some(space) => json!({
                "join_rule": "restricted", "allow": [{ "type": "m.room_membership", "room_id": space }],
            }),
            None => json!({ "join_rule": "public" }),
        };
        let body = json!({
            "preset": "private_chat", "visibility": "private", "name": name, "topic": topic,
            "creation_content": { "m.federate": false },
            "initial_state": [
                { "type": "m.room.join_rules", "state_key": "", "content": joining },
                { "type": "m.room.history_visibility", "state_key": "", "content": { "history_visibility": "shared" } },
                { "type": "m.room.guest_access", "state_key": "", "content": { "guest_access": "forbidden" } },
                { "type": LOBBY_MARK, "state_key": "", "content": { MARK_FIELD: user } },
            ],
            "power_level_content_override": {
                "events_default": BOT_LEVEL, "invite": BOT_LEVEL, "state_default": BOT_LEVEL, "users_default": 0,
                "events": { "m.reaction": BOT_LEVEL },
            },
        });
        let path = "/_matrix/client/v3/createRoom";
        let made = self.call(Identity::User(user.to_owned()), Method::POST, path, Some(Body::Json(body))).await?;
        Ok(made["room_id"].as_str().and_then(id::room))
    }

    /// Lists a room in the homeserver's public directory, which many homeservers allow only to admins.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub async fn list_in_directory(&self, user: &UserId, room: &RoomId) -> Result<(), MatrixError> {
        let path = format!("/_matrix/client/v3/directory/list/room/{}", encode(room.as_str()));
        let body = Some(Body::Json(json!({ "visibility": "public" })));
        self.call(Identity::User(user.to_owned()), Method::PUT, &path, body).await?;
        Ok(())
    }

    /// Returns the digest of the posted list of coworkers.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub async fn listed_in_lobby(&self, user: &UserId, room: &RoomId) -> Result<Option<String>, MatrixError> {
        let path = format!("/_matrix/client/v3/rooms/{}/state/{}/", encode(room.as_str()), encode(LISTED));
        match self.call(Identity::User(user.to_owned()), Method::GET, &path, None).await {
            Ok(content) => Ok(content["list"].as_str().map(str::to_owned)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Records the posted list's digest, and pins the message.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub async fn note_listed(&self, user: &UserId, room: &RoomId, list: &str, event: &str) -> Result<(), MatrixError> {
        self.set_state(user, room, "m.room.pinned_events", json!({ "pinned": [event] })).await?;
        self.set_state(user, room, LISTED, json!({ "list": list })).await
    }

    /// Sets a user's presence.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub async fn set_presence(&self, user: &UserId, presence: &str) -> Result<(), MatrixError> {
        let path = format!("/_matrix/client/v3/presence/{}/status", encode(user.as_str()));
        let body = Some(Body::Json(json!({ "presence": presence })));
        self.call(Identity::User(user.to_owned()), Method::PUT, &path, body).await?;
        Ok(())
    }

    /// Returns a user's presence.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub async fn presence(&self, user: &UserId) -> Result<String, MatrixError> {
        let path = format!("/_matrix/client/v3/presence/{}/status", encode(user.as_str()));
        let shown: Value = self.call(Identity::User(user.to_owned()), Method::GET, &path, None).await?;
        Ok(shown["presence"].as_str().unwrap_or_default().to_owned())
    }
}
