//! What the homeserver knows about people and their space.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use ruma::{OwnedRoomId, OwnedUserId, RoomId, RoomOrAliasId, UserId};
use serde_json::{Value, json};

use super::{Api, Body, encode};
use crate::{
    core::{id, time::Timestamp},
    matrix::{error::MatrixError, proxy::Identity},
};

impl Api {
    /// Returns the room that an id or alias names.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub async fn resolve(&self, room: &RoomOrAliasId) -> Result<OwnedRoomId, MatrixError> {
        if let Some(id) = id::room(room.as_str()) {
            return Ok(id);
        }
        let path = format!("/_matrix/client/v3/directory/room/{}", encode(room.as_str()));
        let answer = self.call(Identity::Appservice, Method::GET, &path, None).await?;
        let id = answer["room_id"].as_str().and_then(id::room);
        id.ok_or_else(|| unreadable("GET /directory/room"))
    }

    /// Returns whether a space contains a room, as `user` sees it; `None` if they may not see the space.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub async fn space_holds(&self, user: &UserId, space: &RoomId, room: &RoomId) -> Result<Option<bool>, MatrixError> {
        // A homeserver goes on showing a former member the space as it was when they left.
        match self.state_as(user, space, "m.room.member", user.as_str()).await {
            Ok(own) if own["membership"] == "join" => {}
            Ok(_) => return Ok(None),
            Err(error) if error.is_forbidden() || error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        }
        match self.state_as(user, space, "m.space.child", room.as_str()).await {
            Ok(child) => Ok(Some(is_child(&child))),
            Err(error) if error.is_not_found() => Ok(Some(false)),
            Err(error) if error.is_forbidden() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn state_as(&self, user: &UserId, room: &RoomId, kind: &str, key: &str) -> Result<Value, MatrixError> {
        let path = format!("/_matrix/client/v3/rooms/{}/state/{kind}/{}", encode(room.as_str()), encode(key));
        self.call(Identity::User(user.to_owned()), Method::GET, &path, None).await
    }

    /// Returns the joined members of a room that `user` is in.
    ///
    /// # Errors
    /// As [`Api::call`]; a malformed list is an error and never an empty one.
    pub async fn joined_members(&self, user: &UserId, room: &RoomId) -> Result<BTreeSet<OwnedUserId>, MatrixError> {
        let path = format!("/_matrix/client/v3/rooms/{}/joined_members", encode(room.as_str()));
        let answer = self.call(Identity::User(user.to_owned()), Method::GET, &path, None).await?;
        let joined = answer["joined"].as_object().ok_or_else(|| unreadable("GET /joined_members"))?;
        Ok(joined.keys().filter_map(|id| id::user(id)).collect())
    }

    /// Returns when each member last read a room that `user` is in, by their public receipts.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub async fn read_receipts(
        &self,
        user: &UserId,
        room: &RoomId,
    ) -> Result<BTreeMap<OwnedUserId, Timestamp>, MatrixError> {
        let nothing = json!({ "types": [] });
        let filter = json!({
            "account_data": nothing,
            "presence": nothing,
            "room": {
                "rooms": [room],
                "account_data": nothing,
                "ephemeral": { "types": ["m.receipt"] },
                "state": nothing,
                "timeline": { "limit": 1, "types": [] },
            },
        });
        let path =
            format!("/_matrix/client/v3/sync?timeout=0&set_presence=offline&filter={}", encode(&filter.to_string()));
        let answer = self.call(Identity::User(user.to_owned()), Method::GET, &path, None).await?;
        let events = answer["rooms"]["join"][room.as_str()]["ephemeral"]["events"].as_array();
        let contents = events.into_iter().flatten().filter_map(|event| event["content"].as_object());
        let mut newest = BTreeMap::new();
        for by_user in contents.flat_map(serde_json::Map::values).filter_map(|of_event| of_event["m.read"].as_object())
        {
            for (reader, receipt) in by_user {
                let Some((reader, at)) = id::user(reader).zip(receipt["ts"].as_i64()) else { continue };
                let known = newest.entry(reader).or_insert(Timestamp::from_ms(at));
                *known = Timestamp::from_ms(at).max(*known);
            }
        }
        Ok(newest)
    }

    /// Returns whether `person` has left or was removed from a room that `asking` is in; false if they were never
    /// there. `None` if `asking` is not told, because it is not there either.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub async fn has_left(&self, asking: &UserId, room: &RoomId, person: &UserId) -> Result<Option<bool>, MatrixError> {
        let (room, key) = (encode(room.as_str()), encode(person.as_str()));
        let path = format!("/_matrix/client/v3/rooms/{room}/state/m.room.member/{key}");
        match self.call(Identity::User(asking.to_owned()), Method::GET, &path, None).await {
            Ok(content) => Ok(Some(matches!(content["membership"].as_str(), Some("leave" | "ban")))),
            Err(error) if error.is_not_found() => Ok(Some(false)),
            Err(error) if error.is_forbidden() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns whether an account is in use, judged by its profile and devices. Deactivation deletes the devices and,
    /// on some homeservers, the profile; no homeserver reports it outright.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub async fn is_in_use(&self, asking: &UserId, person: &UserId) -> Result<bool, MatrixError> {
        if !self.exists(person).await? {
            return Ok(false);
        }
        let body = Body::Json(json!({ "device_keys": { person.as_str(): [] } }));
        let path = "/_matrix/client/v3/keys/query";
        let answer = self.call(Identity::User(asking.to_owned()), Method::POST, path, Some(body)).await?;
        let devices = answer["device_keys"].as_object().ok_or_else(|| unreadable("POST /keys/query"))?;
        Ok(devices.get(person.as_str()).and_then(|devices| devices.as_object()).is_some_and(|of| !of.is_empty()))
    }
}

fn unreadable(call: &str) -> MatrixError {
    MatrixError::Unreadable { call: call.to_owned() }
}

/// Returns whether the content of an `m.space.child` makes a room the space's. One without servers was removed (spec,
/// "m.space.child"); homeservers ignore an entry with anything else among them.
fn is_child(content: &Value) -> bool {
    let via = content["via"].as_array();
    via.is_some_and(|via| {
        !via.is_empty() && via.iter().all(|server| server.as_str().is_some_and(|name| !name.is_empty()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c12_a_room_is_a_spaces_by_servers_that_are_named_and_nothing_else() {
        for (content, expected) in [
            (json!({ "via": ["hs"] }), true),
            (json!({ "via": ["hs", "other:8448"], "order": 7 }), true),
            (json!({}), false),
            (json!({ "via": [] }), false),
            (json!({ "via": "hs" }), false),
            (json!({ "via": null }), false),
            (json!({ "via": [7] }), false),
            (json!({ "via": ["hs", null] }), false),
            (json!({ "via": [""] }), false),
            (Value::Null, false),
        ] {
            assert_eq!(is_child(&content), expected, "{content}");
        }
    }
}
