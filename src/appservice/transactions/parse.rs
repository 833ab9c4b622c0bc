//! Parses a transaction event by event, so that a bad event costs no other.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};
use serde_json::{Value, error::Category, value::RawValue};
use thiserror::Error;

use crate::{
    core::{id, json, time::Timestamp},
    store::InboxEvent,
};

/// Most events of one transaction; Synapse sends 100.
const EVENTS_MAX: usize = 10_000;
/// Most bytes of an event (spec, "Size limits"), without the homeserver's `unsigned`.
const EVENT_BYTES_MAX: usize = 64 << 10;
/// Most bytes of a raw event, including `unsigned` and Synapse's escapes.
const EVENT_RAW_BYTES_MAX: usize = 1 << 20;
/// Most bytes of an event type or state key (spec, "Size limits").
const FIELD_BYTES_MAX: usize = 255;

/// A transaction's good events, and those left out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parsed {
    pub(super) events: Vec<InboxEvent>,
    pub(super) skipped: Vec<Skipped>,
}

/// An event that is left out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Skipped {
    /// Its index in `events`.
    pub(super) index: usize,
    /// Its type, if that may be logged.
    pub(super) event_type: Option<String>,
    pub(super) reason: EventFault,
}

/// Why a whole transaction is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum TransactionFault {
    #[error("the body is not JSON")]
    NotJson,
    #[error("the body is not an object with an array `events`")]
    NoEvents,
    #[error("a transaction may have {EVENTS_MAX} events at most")]
    TooManyEvents,
}

/// Why an event is left out; never mentions its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum EventFault {
    #[error("it is not a JSON object with distinct keys")]
    NotAnObject,
    #[error("it is larger than an event may be")]
    TooLarge,
    #[error("its {0} is missing or malformed")]
    Field(&'static str),
}

/// Parses a transaction's body; ignores unknown keys.
pub(super) fn transaction(body: &[u8]) -> Result<Parsed, TransactionFault> {
    let transaction: Transaction<'_> = serde_json::from_slice(body).map_err(|error| match error.classify() {
        Category::Data => TransactionFault::NoEvents,
        Category::Io | Category::Syntax | Category::Eof => TransactionFault::NotJson,
    })?;
    // serde would accept an array for a struct.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(TransactionFault::NoEvents);
    }
    let Some(raw_events) = transaction.events.0 else { return Err(TransactionFault::TooManyEvents) };

    let mut parsed = Parsed { events: Vec::new(), skipped: Vec::new() };
    for (index, raw) in raw_events.into_iter().enumerate() {
        match event(&json::shallow(&json::whole(raw.get()))) {
            Ok(event) => parsed.events.push(event),
            Err((event_type, reason)) => parsed.skipped.push(Skipped { index, event_type, reason }),
        }
    }
    Ok(parsed)
}

#[derive(Deserialize)]
struct Transaction<'a> {
    #[serde(borrow)]
    events: RawEvents<'a>,
}

/// The raw events; `None` if there are too many.
struct RawEvents<'a>(Option<Vec<&'a RawValue>>);

impl<'de: 'a, 'a> Deserialize<'de> for RawEvents<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bounded;

        impl<'de> Visitor<'de> for Bounded {
            type Value = RawEvents<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of events")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut events = Vec::new();
                while events.len() < EVENTS_MAX {
                    let Some(event) = seq.next_element()? else { return Ok(RawEvents(Some(events))) };
                    events.push(event);
                }
                if seq.next_element::<IgnoredAny>()?.is_none() {
                    return Ok(RawEvents(Some(events)));
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(RawEvents(None))
            }
        }

        deserializer.deserialize_seq(Bounded)
    }
}

/// The envelope that every event has, unchecked.
#[derive(Deserialize)]
struct Envelope {
    event_id: Option<Value>,
    room_id: Option<Value>,
    sender: Option<Value>,
    #[serde(rename = "type")]
    event_type: Option<Value>,
    state_key: Option<Value>,
    origin_server_ts: Option<Value>,
}

fn event(raw: &str) -> Result<InboxEvent, (Option<String>, EventFault)> {
    if raw.len() > EVENT_RAW_BYTES_MAX {
        return Err((None, EventFault::TooLarge));
    }
    if !raw.starts_with('{') {
        return Err((None, EventFault::NotAnObject));
    }
    let envelope: Envelope = serde_json::from_str(raw).map_err(|_| (None, EventFault::NotAnObject))?;
    let loggable_type = envelope.event_type.as_ref().and_then(Value::as_str).filter(|name| is_loggable(name));
    let loggable_type = loggable_type.map(str::to_owned);
    check(envelope, raw).map_err(|fault| (loggable_type, fault))
}

fn check(envelope: Envelope, raw: &str) -> Result<InboxEvent, EventFault> {
    if raw.len() > EVENT_BYTES_MAX && size_as_sent(raw).is_none_or(|bytes| bytes > EVENT_BYTES_MAX) {
        return Err(EventFault::TooLarge);
    }
    let event_id = text(envelope.event_id.as_ref()).and_then(id::event);
    let room = text(envelope.room_id.as_ref()).and_then(id::room);
    let sender = text(envelope.sender.as_ref()).and_then(id::user);
    let event_type = text(envelope.event_type.as_ref()).filter(|name| !name.is_empty());
    let state_key = match &envelope.state_key {
        None => None,
        key => Some(text(key.as_ref()).ok_or(EventFault::Field("state_key"))?.to_owned()),
    };
    Ok(InboxEvent {
        event_id: event_id.ok_or(EventFault::Field("event_id"))?,
        room_id: room.ok_or(EventFault::Field("room_id"))?,
        sender: sender.ok_or(EventFault::Field("sender"))?,
        event_type: event_type.ok_or(EventFault::Field("type"))?.to_owned(),
        state_key,
        sent_at: envelope
            .origin_server_ts
            .and_then(|at| at.as_i64())
            .map(Timestamp::from_ms)
            .ok_or(EventFault::Field("origin_server_ts"))?,
        json: raw.to_owned(),
    })
}

fn text(value: Option<&Value>) -> Option<&str> {
    value?.as_str().filter(|text| text.len() <= FIELD_BYTES_MAX)
}

/// Returns the event's size in bytes as sent, without `unsigned` and escapes.
fn size_as_sent(raw: &str) -> Option<usize> {
    let mut event: Value = serde_json::from_str(raw).ok()?;
    event.as_object_mut()?.remove("unsigned");
    serde_json::to_vec(&event).ok().map(|bytes| bytes.len())
}

/// Anybody can invent a type, even one that contains a message.
fn is_loggable(event_type: &str) -> bool {
    event_type.len() <= 64 && event_type.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_skipped_event_holds_none_of_its_content() {
        let body = r#"{"events": [
            {"type": "m.room.message", "event_id": "canary-1", "content": {"body": "canary-2"}},
            {"type": "canary 3: a message as a type", "sender": "canary-4"},
            {"type": "m.room.message", "type": "canary-5"}
        ]}"#;

        let parsed = transaction(body.as_bytes()).expect("a transaction");

        let skipped = |index, event_type: Option<&str>, reason| Skipped {
            index,
            event_type: event_type.map(str::to_owned),
            reason,
        };
        let expected = vec![
            skipped(0, Some("m.room.message"), EventFault::Field("event_id")),
            skipped(1, None, EventFault::Field("event_id")),
            skipped(2, None, EventFault::NotAnObject),
        ];
        assert_eq!(parsed, Parsed { events: Vec::new(), skipped: expected });
    }

    #[test]
    fn half_a_character_costs_no_event_and_what_is_kept_is_json() {
        let body = r#"{"events": [{"type": "m.room.message", "event_id": "$e", "room_id": "!r:hs", "sender": "@a:hs",
            "origin_server_ts": 1, "\ud800": 1, "content": {"body": "half \ud83d"}}]}"#;

        let parsed = transaction(body.as_bytes()).expect("a transaction");

        let [event] = &parsed.events[..] else { panic!("{parsed:?}") };
        let kept: Value = serde_json::from_str(&event.json).expect("it is JSON");
        assert_eq!(kept["content"]["body"], "half \u{fffd}");
    }

    #[test]
    fn deep_nesting_is_a_fault_of_its_event_alone() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let body = format!(r#"{{"events": [{{"content": {deep}}}, {deep}]}}"#);

        let parsed = transaction(body.as_bytes()).expect("a transaction");

        assert_eq!(parsed.skipped.iter().map(|skipped| skipped.index).collect::<Vec<_>>(), [0, 1]);
    }
}
