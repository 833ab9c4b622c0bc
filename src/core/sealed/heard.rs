//! Which messages of an encrypted session were heard, so that one that is sent again is told from a new one (C8, C12).
//!
//! Whoever runs the homeserver can send a ciphertext again as another event, even one that they cannot read. A session
//! gives each index to one message, so a known index under another event id is an echo, and counts for nothing.

use std::collections::BTreeMap;

use ruma::{EventId, OwnedUserId, RoomId, UserId};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::core::{hex::hex, time::Timestamp};

/// Messages of a session that are remembered one by one; clients begin a new session after 100.
const REMEMBERED_MAX: usize = 256;
/// Bytes of an event's hash. Whoever wants an echo to count would have to find one with the first event's hash.
const EVENT_HASH_BYTES: usize = 8;
/// Bytes of a session's hash.
const SESSION_HASH_BYTES: usize = 16;

/// The place of a message in its encrypted session; no two messages share one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ciphertext {
    /// The hash of room, sender and session.
    pub session: String,
    /// The message's index.
    pub index: u32,
}

impl Ciphertext {
    /// Returns a message's place in its sender's session.
    ///
    /// The sender belongs to it, so that whoever copies a stranger's ciphertext ahead of its event takes nothing away.
    #[must_use]
    pub fn new(room: &RoomId, sender: &UserId, session: &str, index: u32) -> Self {
        Self { session: hash(&format!("{room}|{sender}|{session}"), SESSION_HASH_BYTES), index }
    }
}

/// What is known of a message with some index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hearing {
    /// It came as this event first.
    First,
    /// It came as another event before.
    Echo,
    /// So many came after it that it is not remembered.
    Unknown,
}

/// The messages of one session that were heard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Heard {
    /// When the last one was.
    #[serde(default)]
    pub at: Timestamp,
    /// The owner in whose assistant's chat they were, for `!forget`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<OwnedUserId>,
    /// Lower indices are no longer remembered one by one.
    #[serde(default)]
    from: u32,
    /// The events, by index and hashed.
    #[serde(default)]
    events: BTreeMap<u32, String>,
    /// The cards that messages decided about, by index and hashed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    cards: BTreeMap<u32, String>,
}

impl Heard {
    /// Notes that the message with this index came as `event`; returns whether it is the first event that it came as.
    pub(crate) fn hear(&mut self, index: u32, event: &EventId, now: Timestamp) -> Hearing {
        if index < self.from {
            return Hearing::Unknown;
        }
        self.at = now;
        let is_first = is_first(&mut self.events, index, event);
        while self.events.len() > REMEMBERED_MAX {
            let Some((oldest, _)) = self.events.pop_first() else { break };
            self.cards.remove(&oldest);
            self.from = oldest + 1;
        }
        if is_first { Hearing::First } else { Hearing::Echo }
    }

    /// Notes that the message decides about a card; returns whether it may: as the first event, and about no other card.
    pub(crate) fn decide(&mut self, index: u32, event: &EventId, card: &EventId, now: Timestamp) -> bool {
        self.hear(index, event, now) == Hearing::First && is_first(&mut self.cards, index, card)
    }
}

/// Returns whether nothing else stands at an index, and puts the event there.
fn is_first(events: &mut BTreeMap<u32, String>, index: u32, event: &EventId) -> bool {
    let event = hash(event.as_str(), EVENT_HASH_BYTES);
    // Earlier records have longer hashes.
    events.entry(index).or_insert_with(|| event.clone()).starts_with(&event)
}

fn hash(text: &str, bytes: usize) -> String {
    hex(&Sha256::digest(text)[..bytes])
}

#[cfg(test)]
mod tests {
    use ruma::{event_id, room_id, user_id};

    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_ms(1)
    }

    #[test]
    fn c8_a_ciphertext_counts_as_the_first_event_that_it_came_as_and_about_one_card() {
        let mut heard = Heard::default();
        let (first, again, one, two) = (event_id!("$a"), event_id!("$b"), event_id!("$one"), event_id!("$two"));
        assert_eq!(heard.hear(7, first, now()), Hearing::First);
        assert_eq!(heard.hear(7, first, now()), Hearing::First, "found again");
        assert_eq!(heard.hear(7, again, now()), Hearing::Echo, "sent again");
        assert_eq!(heard.hear(3, again, now()), Hearing::First, "another message, which came late");
        assert!(heard.decide(7, first, one, now()) && heard.decide(7, first, one, now()));
        assert!(!heard.decide(7, first, two, now()), "about another card");
        assert!(!heard.decide(7, again, one, now()) && !heard.decide(7, again, two, now()));
        let stored = serde_json::to_string(&heard).expect("JSON");
        let mut restarted: Heard = serde_json::from_str(&stored).expect("the same record");
        assert_eq!(restarted, heard);
        assert_eq!(restarted.hear(7, again, now()), Hearing::Echo);
    }

    #[test]
    fn c8_a_record_with_longer_hashes_is_read_and_a_full_one_is_small() {
        let long = hex(&Sha256::digest("$a")[..16]);
        let stored = format!(r#"{{"at":1,"from":0,"events":{{"7":"{long}"}},"cards":{{"7":"{long}"}}}}"#);
        let mut heard: Heard = serde_json::from_str(&stored).expect("an earlier record");
        assert!(heard.decide(7, event_id!("$a"), event_id!("$a"), now()));
        assert_eq!(heard.hear(7, event_id!("$b"), now()), Hearing::Echo);
        for index in 0..1_000 {
            heard.hear(index, event_id!("$a"), now());
        }
        let bytes = serde_json::to_string(&heard).expect("JSON").len();
        assert!(bytes < 7 << 10, "{bytes} bytes");
    }

    #[test]
    fn c8_what_is_no_longer_remembered_is_neither_new_nor_an_echo() {
        let mut heard = Heard::default();
        for index in 0..2_000 {
            assert!(heard.decide(index, event_id!("$a"), event_id!("$one"), now()));
        }
        assert_eq!((heard.events.len(), heard.cards.len()), (REMEMBERED_MAX, REMEMBERED_MAX));
        let floor = 2_000 - u32::try_from(REMEMBERED_MAX).expect("a small number");
        assert_eq!(heard.hear(floor - 1, event_id!("$a"), now()), Hearing::Unknown);
        assert!(!heard.decide(floor - 1, event_id!("$a"), event_id!("$one"), now()));
        assert_eq!(heard.hear(floor, event_id!("$a"), now()), Hearing::First);
    }

    #[test]
    fn c8_a_session_is_told_by_its_room_and_sender_too() {
        let of = |room, sender, session| Ciphertext::new(room, sender, session, 1).session;
        let (here, there) = (room_id!("!here:hs"), room_id!("!there:hs"));
        let (alice, bob) = (user_id!("@alice:hs"), user_id!("@bob:hs"));
        let first = of(here, alice, "a");
        assert_eq!(of(here, alice, "a"), first);
        assert!([of(there, alice, "a"), of(here, bob, "a"), of(here, alice, "b")].iter().all(|other| *other != first));
    }
}
