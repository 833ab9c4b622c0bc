//! A room's undecrypted events at the homeserver, for comparison with the transactions'.

use reqwest::Method;
use ruma::{OwnedEventId, OwnedUserId, RoomId, UserId};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::{
    api::{Api, encode},
    error::MatrixError,
    proxy::Identity,
};
use crate::core::{id, time::Timestamp};

/// Most bytes of an accepted event.
const EVENT_BYTES_MAX: usize = 1 << 20;
/// Most bytes of an id, a type or a state key (spec, "Size limits").
const FIELD_BYTES_MAX: usize = 255;

/// An event of a timeline, undecrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The event's id, which the inbox is asked for.
    pub event_id: OwnedEventId,
    /// Who sent it, as the homeserver says.
    pub sender: OwnedUserId,
    /// The type; `m.room.encrypted` if it is encrypted.
    pub event_type: String,
    /// `state_key`; `None` if it is not a state event.
    pub state_key: Option<String>,
    /// `origin_server_ts`.
    pub sent_at: Timestamp,
    /// The whole event as JSON.
    pub json: String,
}

/// A page of a timeline, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The well-formed events.
    pub events: Vec<Held>,
    /// The token for older events; `None` at the beginning of what may be seen.
    pub older: Option<String>,
}

#[derive(Deserialize)]
struct Envelope {
    event_id: Option<Value>,
    sender: Option<Value>,
    #[serde(rename = "type")]
    event_type: Option<Value>,
    state_key: Option<Value>,
    origin_server_ts: Option<Value>,
}

impl Held {
    /// Parses a timeline event; `None` if its envelope is malformed.
    #[must_use]
    pub fn of(raw: &str) -> Option<Self> {
        if raw.len() > EVENT_BYTES_MAX {
            return None;
        }
        let envelope: Envelope = serde_json::from_str(raw).ok()?;
        let state_key = match &envelope.state_key {
            None => None,
            key => Some(text(key.as_ref())?.to_owned()),
        };
        Some(Self {
            event_id: id::event(text(envelope.event_id.as_ref())?)?,
            sender: id::user(text(envelope.sender.as_ref())?)?,
            event_type: text(envelope.event_type.as_ref())?.to_owned(),
            state_key,
            sent_at: Timestamp::from_ms(envelope.origin_server_ts?.as_i64()?),
            json: raw.to_owned(),
        })
    }
}

fn text(value: Option<&Value>) -> Option<&str> {
    value?.as_str().filter(|text| text.len() <= FIELD_BYTES_MAX)
}

impl Api {
    /// Reads a page of a room's timeline backwards as one of our users, without its client, from `from` or the end.
    ///
    /// # Errors
    /// As [`Api::call`]; 403 if the user is not in the room.
    pub async fn timeline(
        &self,
        user: &UserId,
        room: &RoomId,
        from: Option<&str>,
        most: usize,
    ) -> Result<Page, MatrixError> {
        let path = page_path(room, from, most);
        let answer = self.call(Identity::User(user.to_owned()), Method::GET, &path, None).await?;
        let chunk = answer["chunk"].as_array().map(Vec::as_slice).unwrap_or_default();
        let events: Vec<Held> = chunk.iter().filter_map(|event| Held::of(&event.to_string())).collect();
        let older = answer["end"].as_str().map(str::to_owned).filter(|_| !chunk.is_empty());
        Ok(Page { events, older })
    }

    /// Makes a private room for one of our users alone, in which nothing is said.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub async fn make_own_room(&self, user: &UserId, name: &str) -> Result<Option<ruma::OwnedRoomId>, MatrixError> {
        let body = json!({
            "preset": "private_chat", "visibility": "private", "name": name,
            "creation_content": { "m.federate": false },
        });
        let path = "/_matrix/client/v3/createRoom";
        let body = Some(super::api::Body::Json(body));
        let made = self.call(Identity::User(user.to_owned()), Method::POST, path, body).await?;
        Ok(made["room_id"].as_str().and_then(id::room))
    }

    /// Sets a room's state event with an empty state key.
    ///
    /// # Errors
    /// As [`Api::call`]; 403 if the user is not in the room.
    pub async fn set_state(&self, user: &UserId, room: &RoomId, kind: &str, content: Value) -> Result<(), MatrixError> {
        let path = format!("/_matrix/client/v3/rooms/{}/state/{}/", encode(room.as_str()), encode(kind));
        let body = Some(super::api::Body::Json(content));
        self.call(Identity::User(user.to_owned()), Method::PUT, &path, body).await?;
        Ok(())
    }
}

fn page_path(room: &RoomId, from: Option<&str>, most: usize) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("dir", "b").append_pair("limit", &most.to_string());
    if let Some(from) = from {
        query.append_pair("from", from);
    }
    format!("/_matrix/client/v3/rooms/{}/messages?{}", encode(room.as_str()), query.finish())
}

/// Returns a sync's timeline events, oldest first, decrypted ones as encrypted.
pub(super) fn of_timeline(events: &[matrix_sdk::deserialized_responses::TimelineEvent]) -> Vec<Held> {
    use matrix_sdk::deserialized_responses::TimelineEventKind;
    let read = |event: &matrix_sdk::deserialized_responses::TimelineEvent| {
        let raw: &RawValue = event.raw().json();
        let held = Held::of(raw.get())?;
        Some(match &event.kind {
            TimelineEventKind::PlainText { .. } => held,
            // Decrypted content is not stored; the event is read again from the user's timeline.
            _ => Held { event_type: "m.room.encrypted".to_owned(), state_key: None, json: String::new(), ..held },
        })
    };
    events.iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use ruma::{event_id, user_id};

    use super::*;

    #[test]
    fn a_timelines_events_are_read_one_by_one_and_only_with_a_sound_envelope() {
        let sound = r#"{"event_id":"$1","sender":"@a:hs","type":"m.room.member","state_key":"","origin_server_ts":7}"#;
        let held = Held::of(sound).expect("it is sound");
        assert_eq!(
            (&*held.event_id, &*held.sender, held.sent_at),
            (event_id!("$1"), user_id!("@a:hs"), Timestamp::from_ms(7))
        );
        assert_eq!(held.state_key.as_deref(), Some(""));
        let long = format!(r#"{{"event_id":"${}","sender":"@a:hs","type":"t","origin_server_ts":7}}"#, "x".repeat(300));
        for unsound in
            ["", "[]", r#"{"event_id":"$1"}"#, &sound.replace("@a:hs", "a"), &sound.replace(":7", r#":"7""#), &long]
        {
            assert_eq!(Held::of(unsound), None, "{unsound}");
        }
    }
}
