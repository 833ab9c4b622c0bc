//! Encrypted messages. Their sender controls the fields beside the ciphertext, and the SDK parses all of those before
//! it decrypts (matrix-sdk 0.18), so one odd field makes a message unreadable. Odd fields are removed.

use ruma::events::room::encrypted::{Relation, RoomEncryptedEventContent};
use serde_json::{
    Map, Value,
    value::{RawValue, to_raw_value},
};

use super::{
    Mended, Place,
    fields::{Fields, parsed},
};
use crate::core::id;

const ENCRYPTED: &str = "m.room.encrypted";
const RELATION: &str = "m.relates_to";

/// Mends an encrypted event; if no mend helps, it stays unchanged.
pub(super) fn mend(_: Place, raw: &RawValue) -> Option<Mended> {
    let event = Fields::of(raw)?;
    if event.get::<String>("type")? != ENCRYPTED {
        return None;
    }
    let content = event.raw("content")?;
    if parsed::<RoomEncryptedEventContent>(content).is_some() {
        return None;
    }
    rewritten(event).map(Mended::Instead)
}

fn rewritten(mut event: Fields) -> Option<Box<RawValue>> {
    let mut content = Fields::of(event.raw("content")?)?;
    let relation = content.get::<Map<String, Value>>(RELATION).and_then(readable);
    content.retain(|name, raw| match name {
        "sender_key" | "device_id" => parsed::<String>(raw).is_some(),
        RELATION => parsed::<Relation>(raw).is_some(),
        _ => true,
    });
    if let Some(relation) = relation {
        content.put(RELATION, &relation);
    }
    parsed::<RoomEncryptedEventContent>(&to_raw_value(&content).ok()?)?;
    event.put("content", &content);
    to_raw_value(&event).ok()
}

/// Returns the readable part of a relation, if any.
fn readable(mut relation: Map<String, Value>) -> Option<Value> {
    let is_event = |id: Option<&Value>| id.and_then(Value::as_str).is_some_and(|id| id::event(id).is_some());
    relation.retain(|name, value| match name.as_str() {
        "rel_type" => value.is_string(),
        "event_id" => is_event(Some(value)),
        "m.in_reply_to" => is_event(value.get("event_id")),
        "is_falling_back" => value.is_boolean(),
        _ => true,
    });
    if !relation.contains_key("event_id") {
        relation.remove("rel_type");
    }
    let says = relation.contains_key("rel_type") || relation.contains_key("m.in_reply_to");
    let relation = Value::Object(relation);
    (says && serde_json::from_value::<Relation>(relation.clone()).is_ok()).then_some(relation)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn c7_an_odd_field_beside_a_ciphertext_costs_itself_alone() {
        let mended = |change: Value| {
            let mut content = json!({
                "algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "AwgA", "session_id": "s", "sender_key": "k",
                "device_id": "D",
            });
            for (name, value) in change.as_object().into_iter().flatten() {
                content[name] = value.clone();
            }
            let event = json!({ "type": ENCRYPTED, "event_id": "$e", "sender": "@a:hs", "origin_server_ts": 1,
                "content": content });
            let raw = to_raw_value(&event).expect("JSON");
            match mend(Place::Timeline, &raw) {
                None => None,
                Some(Mended::Instead(raw)) => {
                    let event: Value = serde_json::from_str(raw.get()).expect("JSON");
                    Some(event["content"].get(RELATION).cloned().unwrap_or_default())
                }
                Some(Mended::Dropped) => panic!("an encrypted event is dropped"),
            }
        };
        let of = |relation: Value| mended(json!({ RELATION: relation }));
        let thread = json!({ "rel_type": "m.thread", "event_id": "$root" });
        assert_eq!(of(thread.clone()), None);
        assert_eq!(of(json!({ "m.in_reply_to": {} })), Some(Value::Null));
        assert_eq!(of(json!({ "m.in_reply_to": { "event_id": 5 } })), Some(Value::Null));
        assert_eq!(of(json!({ "rel_type": "m.thread" })), Some(Value::Null));
        assert_eq!(of(json!({ "rel_type": 5, "event_id": "$root" })), Some(Value::Null));
        assert_eq!(of(json!(["odd"])), Some(Value::Null));
        let mut odd = thread.clone();
        odd["m.in_reply_to"] = json!({});
        odd["is_falling_back"] = json!("yes");
        assert_eq!(of(odd), Some(thread));
        let reply = json!({ "m.in_reply_to": { "event_id": "$it" } });
        let mut odd = reply.clone();
        odd["rel_type"] = json!(7);
        assert_eq!(of(odd), Some(reply));
        assert_eq!(mended(json!({ "device_id": 5, "sender_key": [] })), Some(Value::Null));
        assert_eq!(mended(json!({ "ciphertext": 5 })), None, "nothing helps that");
    }
}
