//! Threads that the homeserver does not take: an encrypted request may name any root inside its ciphertext, another
//! server's user one that never came here, and a homeserver restored from a copy has forgotten some. What would be said
//! there is said in reply instead, so that a request is never without an answer.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use matrix_sdk::Room;
use ruma::{EventId, OwnedEventId, OwnedRoomId, OwnedTransactionId, RoomId};
use serde_json::{Value, json};

use super::{Account, sealing::say};
use crate::{core::id, matrix::error::MatrixError};

/// Most threads remembered as not taken; then all are forgotten, and each costs a refusal again.
const REMEMBERED_MAX: usize = 1_000;

const RELATION: &str = "m.relates_to";

/// The threads that the homeserver did not take.
#[derive(Debug, Default)]
pub(super) struct NoThreads(Mutex<BTreeSet<(OwnedRoomId, OwnedEventId)>>);

impl NoThreads {
    fn note(&self, room: &RoomId, root: OwnedEventId) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        known.insert((room.to_owned(), root));
    }

    fn holds(&self, room: &RoomId, root: &EventId) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.contains(&(room.to_owned(), root.to_owned()))
    }
}

impl Account {
    /// Sends a message where it belongs, or in reply if the homeserver does not take its thread. A refused call has done
    /// nothing, so both have the same transaction id.
    pub(super) async fn say_placed(
        &self,
        room: &Room,
        content: Value,
        txn: &OwnedTransactionId,
    ) -> Result<OwnedEventId, MatrixError> {
        let Some(root) = root_of(&content) else { return say(room, content, txn).await };
        if self.no_threads.holds(room.room_id(), &root) {
            return say(room, in_reply(content), txn).await;
        }
        match say(room, content.clone(), txn).await {
            Err(error) if error.is_odd_refusal() && self.takes_no_thread_on(room.room_id(), &root).await => {
                tracing::info!(room.id = %room.room_id(), event.id = %root, "the homeserver takes no thread on an event");
                self.no_threads.note(room.room_id(), root);
                say(room, in_reply(content), txn).await
            }
            sent => sent,
        }
    }

    /// Returns whether an event cannot be a thread's root: the room has no such event, or it relates to another.
    async fn takes_no_thread_on(&self, room: &RoomId, root: &EventId) -> bool {
        match self.raw_event(room, root).await {
            Ok(found) => found.get_field::<Value>("content").ok().flatten().is_some_and(|content| is_related(&content)),
            Err(error) => error.is_not_found(),
        }
    }
}

/// Returns the root of the thread that a message is for.
fn root_of(content: &Value) -> Option<OwnedEventId> {
    let relation = content.get(RELATION)?;
    id::event(relation["event_id"].as_str().filter(|_| relation["rel_type"] == "m.thread")?)
}

/// Returns a message of a thread as a reply to what it followed there.
fn in_reply(mut content: Value) -> Value {
    let to = content[RELATION]["m.in_reply_to"].take();
    if to.is_null() {
        if let Some(fields) = content.as_object_mut() {
            fields.remove(RELATION);
        }
    } else {
        content[RELATION] = json!({ "m.in_reply_to": to });
    }
    content
}

fn is_related(content: &Value) -> bool {
    content[RELATION]["rel_type"].is_string()
}

#[cfg(test)]
mod tests {
    use ruma::{event_id, owned_event_id, room_id};

    use super::*;

    #[test]
    fn c8_what_was_for_a_thread_becomes_a_reply_to_what_it_followed() {
        let relation = json!({ "rel_type": "m.thread", "event_id": "$root", "is_falling_back": true,
            "m.in_reply_to": { "event_id": "$asked" } });
        let content = json!({ "body": "hi", RELATION: relation });
        assert_eq!(root_of(&content).as_deref(), Some(event_id!("$root")));
        let reply = json!({ "body": "hi", RELATION: { "m.in_reply_to": { "event_id": "$asked" } } });
        assert_eq!(in_reply(content), reply);
        assert_eq!(root_of(&reply), None);
        let bare = json!({ "body": "hi", RELATION: { "rel_type": "m.thread", "event_id": "$root" } });
        assert_eq!(in_reply(bare), json!({ "body": "hi" }));
        for edit in [json!({ "rel_type": "m.replace", "event_id": "$e" }), json!({}), json!(5)] {
            assert_eq!(root_of(&json!({ RELATION: edit })), None);
        }
        assert!(is_related(&json!({ RELATION: { "rel_type": "m.thread" } })));
        assert!(!is_related(&reply) && !is_related(&json!({ "body": "hi" })));
    }

    #[test]
    fn threads_that_are_not_taken_are_remembered_up_to_a_limit() {
        let (known, room) = (NoThreads::default(), room_id!("!r:hs"));
        known.note(room, owned_event_id!("$first"));
        assert!(known.holds(room, event_id!("$first")) && !known.holds(room_id!("!other:hs"), event_id!("$first")));
        for number in 0..REMEMBERED_MAX {
            known.note(room, EventId::parse(format!("${number}")).expect("an id"));
        }
        assert!(!known.holds(room, event_id!("$first")));
        assert!(known.0.lock().expect("no panic").len() <= REMEMBERED_MAX);
    }
}
