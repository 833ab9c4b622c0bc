//! A room of any size, fed from the homeserver side: syncs of some events each, into the real window.

use std::collections::BTreeMap;

use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};
use workmate::{
    core::{
        context::{self, Composed, Input, Kind},
        event::{EventKind, Message, RoomEvent},
        time::Timestamp,
    },
    matrix::{inbound::Read, window::Window},
};

/// Events in one sync.
const SYNC_EVENTS: usize = 50;
/// People who speak in turn; the kinds of events repeat with them.
const PEOPLE: usize = 20;
/// The context's size in tokens; the default of `limits.context_tokens_max`.
const TOKENS_MAX: u32 = 30_000;
const BEGAN_MS: i64 = 1_795_000_000_000;
const WORDS: &str = "The deploy of the billing service waits for the migration, which has been running since this \
                     morning; the third shard is slow. Can somebody look at the index before the next window closes?";

/// A room as one virtual user holds it.
pub(crate) struct Room {
    me: OwnedUserId,
    id: OwnedRoomId,
    names: BTreeMap<OwnedUserId, String>,
    window: Window,
}

impl Room {
    /// Fills a room with that many events.
    pub(crate) fn of(events: usize) -> Self {
        let names = (0..PEOPLE).map(|number| (person(number), format!("Person {number}"))).collect();
        let id = OwnedRoomId::try_from("!room:example.org").expect("a room id");
        let me = OwnedUserId::try_from("@coworker-oncall:example.org").expect("a user id");
        let mut room = Self { me, id, names, window: Window::default() };
        for first in (0..events).step_by(SYNC_EVENTS) {
            let sync = (first..events.min(first + SYNC_EVENTS)).map(|number| room.read(number)).collect();
            room.window.extend(sync, false, Some(format!("t{first}")));
        }
        room
    }

    /// Composes as the engine does: the window's content, cut to the budget.
    pub(crate) fn compose(&self) -> Composed {
        self.compose_from(&self.window.events())
    }

    /// Composes from these events; the last one asks.
    pub(crate) fn compose_from(&self, events: &[RoomEvent]) -> Composed {
        let request = events.last().map(|event| event.id.clone());
        context::compose(&Input {
            me: &self.me,
            kind: Kind::Coworker { name: "oncall", purpose: "Looks at alerts.", instructions: "Be brief." },
            room: context::Room {
                name: Some("ops"),
                topic: None,
                encrypted: true,
                readable_from: None,
                ..context::Room::default()
            },
            events,
            older: true,
            begin_is_fixed: false,
            names: &self.names,
            requests: request.as_slice(),
            joined: &[],
            answered_meanwhile: &[],
            errands: &context::NO_ERRANDS,
            thread_root: None,
            session: None,
            notes: &[],
            pinned: context::Pinned::default(),
            replied_to: &[],
            opened: &[],
            withheld: &[],
            tokens_max: TOKENS_MAX,
            file_limits: workmate::core::media::Limits::default(),
            files: None,
        })
    }

    /// Returns the room's whole timeline, more than any window holds.
    pub(crate) fn timeline(&self, events: usize) -> Vec<RoomEvent> {
        (0..events).map(|number| self.event(number)).collect()
    }

    fn read(&self, number: usize) -> Read {
        Read {
            event: self.event(number),
            sealed: None,
            was_encrypted: true,
            key_missing: None,
            sender_key: None,
            ciphertext: None,
        }
    }

    /// Makes the event with that number: mostly messages, some in threads or edited, some reactions and redactions.
    fn event(&self, number: usize) -> RoomEvent {
        let earlier = |back: usize| event_id(number.saturating_sub(back));
        let text = || Message::text(format!("{number}: {}", &WORDS[..WORDS.len() - number % 90]));
        let kind = match number % PEOPLE {
            3 => EventKind::Reaction { target: earlier(1), key: "👍".to_owned() },
            7 => EventKind::Edit { target: earlier(2), new: text(), newly_mentioned: [].into() },
            11 => {
                EventKind::Redaction { target: earlier(10), authority: workmate::core::redaction::Authority::OwnServer }
            }
            13 | 17 => EventKind::Message(Message { thread_root: Some(earlier(9)), ..text() }),
            _ => EventKind::Message(text()),
        };
        let sender = if number % PEOPLE == 9 { self.me.clone() } else { person(sender_of(number)) };
        let sent_at = Timestamp::from_ms(BEGAN_MS + 1000 * i64::try_from(number).expect("few events"));
        RoomEvent { room: self.id.clone(), id: event_id(number), sender, sent_at, kind }
    }
}

fn event_id(number: usize) -> OwnedEventId {
    OwnedEventId::try_from(format!("$event-{number}-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")).expect("an event id")
}

fn person(number: usize) -> OwnedUserId {
    OwnedUserId::try_from(format!("@person{number}:example.org")).expect("a user id")
}

/// An edit comes from the sender of the message it edits.
fn sender_of(number: usize) -> usize {
    match number % PEOPLE {
        7 => 5,
        other => other,
    }
}
