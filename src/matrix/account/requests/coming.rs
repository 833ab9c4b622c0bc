//! Finds the requests for verification in a sync's answer, without reading the rest.

use std::collections::HashMap;

use ruma::{OwnedDeviceId, OwnedUserId, UserId};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{REQUEST, Sealed};
use crate::core::{
    event::{EventKind, MessageKind, RoomEvent},
    id,
    time::Timestamp,
};

/// How old a request may be, in milliseconds; the SDK drops an older one (spec v1.17, 11.12.2.1, "Key verification
/// framework").
const AGE_MS_MAX: i64 = 10 * 60 * 1_000;

/// A request that the SDK has not read yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Coming {
    pub(super) person: OwnedUserId,
    /// The flow id: a transaction id or an event id.
    pub(super) id: String,
    pub(super) device: OwnedDeviceId,
}

#[derive(Default, Deserialize)]
struct Sync<'a> {
    #[serde(borrow, default)]
    to_device: Events<'a>,
    #[serde(borrow, default)]
    rooms: Rooms<'a>,
}

#[derive(Default, Deserialize)]
struct Rooms<'a> {
    #[serde(borrow, default)]
    join: HashMap<String, Joined<'a>>,
}

#[derive(Default, Deserialize)]
struct Joined<'a> {
    #[serde(borrow, default)]
    timeline: Events<'a>,
}

#[derive(Default, Deserialize)]
struct Events<'a> {
    #[serde(borrow, default)]
    events: Vec<&'a RawValue>,
}

/// Returns whether an event is a request in a room.
pub(super) fn is_request(event: &RoomEvent) -> bool {
    let EventKind::Message(message) = &event.kind else { return false };
    matches!(&message.kind, MessageKind::Other(msgtype) if msgtype == REQUEST)
}

/// Returns the requests to `user` in a sync's answer, and the encrypted events of the `people` with whom a verification is
/// going on.
pub(super) fn in_sync(answer: &str, user: &UserId, people: &[OwnedUserId], now: Timestamp) -> (Vec<Coming>, Sealed) {
    let Ok(Sync { to_device, rooms }) = serde_json::from_str(answer) else { return Default::default() };
    let mut coming: Vec<_> = to_device
        .events
        .iter()
        .filter_map(|event| in_to_device(event.get(), now))
        .filter(|by| by.person != user)
        .collect();
    let mut sealed = Vec::new();
    for (room, joined) in rooms.join {
        let Some(room) = id::room(&room) else { continue };
        for event in joined.timeline.events {
            if event.get().contains(REQUEST) {
                coming.extend(in_room(event.get(), user, now));
            } else if !people.is_empty() && is_sealed_by(event.get(), people) {
                sealed.push((room.clone(), event.get().to_owned()));
            }
        }
    }
    (coming, sealed)
}

fn is_sealed_by(event: &str, people: &[OwnedUserId]) -> bool {
    let Ok(event) = serde_json::from_str::<Value>(event) else { return false };
    event["type"] == "m.room.encrypted" && people.iter().any(|person| event["sender"] == person.as_str())
}

fn in_to_device(event: &str, now: Timestamp) -> Option<Coming> {
    if !event.contains(REQUEST) {
        return None;
    }
    of_to_device(&serde_json::from_str(event).ok()?, now)
}

/// Returns the request that a to-device message is.
pub(super) fn of_to_device(event: &Value, now: Timestamp) -> Option<Coming> {
    let content = &event["content"];
    if event["type"] != REQUEST || is_old(&content["timestamp"], now) {
        return None;
    }
    coming(&event["sender"], &content["transaction_id"], &content["from_device"])
}

/// Returns the request to `user` that a room's event is.
pub(super) fn in_room(event: &str, user: &UserId, now: Timestamp) -> Option<Coming> {
    let event: Value = serde_json::from_str(event).ok()?;
    let content = &event["content"];
    let is_theirs = event["sender"] != user.as_str() && content["to"] == user.as_str();
    if event["type"] != super::super::MESSAGE
        || content["msgtype"] != REQUEST
        || !is_theirs
        || is_old(&event["origin_server_ts"], now)
    {
        return None;
    }
    coming(&event["sender"], &event["event_id"], &content["from_device"])
}

fn is_old(sent_ms: &Value, now: Timestamp) -> bool {
    sent_ms.as_i64().is_none_or(|sent_ms| now.as_ms().saturating_sub(sent_ms) > AGE_MS_MAX)
}

fn coming(person: &Value, id: &Value, device: &Value) -> Option<Coming> {
    let (id, device) = (id.as_str()?, device.as_str()?);
    if !id::is_token(id) || !id::is_token(device) {
        return None;
    }
    Some(Coming { person: id::user(person.as_str()?)?, id: id.to_owned(), device: device.into() })
}

#[cfg(test)]
mod tests {
    use ruma::{owned_user_id, user_id};
    use serde_json::json;

    use super::*;

    const NOW_MS: i64 = 1_000_000_000;

    fn found(sync: &Value) -> (Vec<(String, String)>, usize) {
        let people = [owned_user_id!("@alice:hs")];
        let now = Timestamp::from_ms(NOW_MS);
        let (coming, sealed) = in_sync(&sync.to_string(), user_id!("@ours:hs"), &people, now);
        (coming.into_iter().map(|coming| (coming.person.to_string(), coming.id)).collect(), sealed.len())
    }

    fn in_a_room(changes: &Value) -> Value {
        let mut event = json!({
            "type": "m.room.message", "event_id": "$asked", "sender": "@alice:hs", "origin_server_ts": NOW_MS - 1_000,
            "content": { "msgtype": REQUEST, "body": "", "to": "@ours:hs", "from_device": "PHONE", "methods": ["m.sas.v1"] },
        });
        for (path, value) in changes.as_object().expect("an object") {
            *event.pointer_mut(path).expect("a field") = value.clone();
        }
        json!({ "rooms": { "join": { "!room:hs": { "timeline": { "events": [event] } } } } })
    }

    #[test]
    fn a11_requests_to_us_are_found_in_a_sync_before_it_is_read() {
        let minutes_11 = 11 * 60 * 1_000;
        let alices = vec![("@alice:hs".to_owned(), "$asked".to_owned())];
        for (changes, expected) in [
            (json!({}), alices),
            (json!({ "/content/to": "@other:hs" }), vec![]),
            (json!({ "/content/to": null }), vec![]),
            (json!({ "/sender": "@ours:hs" }), vec![]),
            (json!({ "/sender": "alice" }), vec![]),
            (json!({ "/type": "m.room.encrypted" }), vec![]),
            (json!({ "/content/msgtype": "m.text", "/content/body": REQUEST }), vec![]),
            (json!({ "/content/from_device": "x".repeat(300) }), vec![]),
            (json!({ "/origin_server_ts": NOW_MS - minutes_11 }), vec![]),
            (json!({ "/origin_server_ts": "now" }), vec![]),
        ] {
            assert_eq!(found(&in_a_room(&changes)).0, expected, "{changes}");
        }

        let to_device = |content: Value| {
            json!({ "to_device": { "events": [
            { "type": "m.dummy", "sender": "@alice:hs", "content": {} },
            { "type": REQUEST, "sender": "@bob:hs", "content": content },
        ] } })
        };
        let content = json!({ "transaction_id": "t1", "from_device": "PHONE", "timestamp": NOW_MS, "methods": [] });
        assert_eq!(found(&to_device(content)).0, [("@bob:hs".to_owned(), "t1".to_owned())]);
        assert_eq!(found(&to_device(json!({ "transaction_id": "t1" }))).0, []);

        for odd in [json!([]), json!(null), json!({ "rooms": { "join": { "bad": {} } } }), json!({ "to_device": {} })] {
            assert_eq!(found(&odd), (vec![], 0), "{odd}");
        }
    }

    #[test]
    fn a11_what_somebody_encrypts_during_a_verification_may_be_a_request() {
        let sealed = |sender: &str| {
            found(&json!({ "rooms": { "join": { "!room:hs": { "timeline": { "events": [
                { "type": "m.room.encrypted", "event_id": "$e", "sender": sender, "content": {} },
                { "type": "m.room.message", "event_id": "$m", "sender": sender, "content": { "body": "hi" } },
            ] } } } } }))
        };
        assert_eq!((sealed("@alice:hs"), sealed("@bob:hs")), ((vec![], 1), (vec![], 0)));
    }
}
