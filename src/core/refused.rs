//! Messages that the model's provider refused: later requests omit them (rule C26).
//!
//! A refused message that stays in the history makes the next request fail too. So its id is recorded, and from then on
//! a mark replaces its text for every asker. A refused request is retried once without its context. If it is accepted
//! then, the earlier messages are to blame and are omitted from now on; if it is refused again, the request itself is.

use ruma::{EventId, OwnedEventId, UserId};
use serde::{Deserialize, Serialize};

use super::{
    event::{EventKind, Message, MessageKind, RoomEvent},
    words,
};

/// Replaces a refused message's text.
pub const MARK: &str = "[left out: the provider of the model refused this message]";
/// Most refused messages recorded for a room; the oldest are dropped first.
pub const KEPT_MAX: usize = 500;
/// Most messages omitted together if the earlier messages are to blame.
pub const BLAMED_MAX: usize = 100;

/// A room's refused messages by id, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Refused(Vec<OwnedEventId>);

impl Refused {
    /// Records refused messages.
    pub fn add(&mut self, ids: &[OwnedEventId]) {
        for id in ids {
            if !self.0.contains(id) {
                self.0.push(id.clone());
            }
        }
        let over = self.0.len().saturating_sub(KEPT_MAX);
        self.0.drain(..over);
    }

    /// Removes a message that was accepted after all: it was edited, or the provider changed its mind.
    pub fn remove(&mut self, id: &EventId) {
        self.0.retain(|known| known != id);
    }

    /// Returns whether a message was refused.
    #[must_use]
    pub fn has(&self, id: &EventId) -> bool {
        self.0.iter().any(|known| known == id)
    }

    /// Replaces refused messages and their edits by the mark; the `request` itself stays unchanged.
    pub fn leave_out(&self, events: &mut [RoomEvent], request: Option<&EventId>) {
        if self.0.is_empty() {
            return;
        }
        for event in events {
            let message = match &mut event.kind {
                EventKind::Message(message) | EventKind::Undecryptable(Some(message))
                    if Some(&*event.id) != request && self.has(&event.id) =>
                {
                    message
                }
                EventKind::Edit { target, new, .. } if Some(&**target) != request && self.has(target) => new,
                _ => continue,
            };
            blank(message);
        }
    }
}

/// Removes a message's text, names and files, but keeps its relations.
fn blank(message: &mut Message) {
    MARK.clone_into(&mut message.body);
    message.html = None;
    message.kind = MessageKind::Text;
}

/// Returns the messages that may be to blame when a request is refused, but accepted alone: others' messages since the
/// last answer of `me`, or all of others' if there are none. Our own messages stay, because they were accepted when
/// sent.
#[must_use]
pub fn blamed(events: &[RoomEvent], me: &UserId, request: &EventId) -> Vec<OwnedEventId> {
    let before = events.iter().position(|event| event.id == request).unwrap_or(events.len());
    let messages = events[..before].iter().rev().filter(|event| matches!(event.kind, EventKind::Message(_)));
    let is_answer = |event: &RoomEvent| match &event.kind {
        EventKind::Message(message) => event.sender == me && !message.body.contains(&words::refused()),
        _ => false,
    };
    let since = messages.clone().take_while(|event| !is_answer(event)).filter(|event| event.sender != me);
    let blamed: Vec<OwnedEventId> = since.map(|event| event.id.clone()).take(BLAMED_MAX).collect();
    if !blamed.is_empty() {
        return blamed;
    }
    messages.filter(|event| event.sender != me).map(|event| event.id.clone()).take(BLAMED_MAX).collect()
}

/// How much context a request is sent with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breadth {
    /// The room around it.
    Whole,
    /// None, after a refusal with the room around it.
    Alone,
}

/// Returns only the request and its edits.
#[must_use]
pub fn alone(events: &[RoomEvent], request: &EventId) -> Vec<RoomEvent> {
    let is_of_it = |event: &&RoomEvent| match &event.kind {
        EventKind::Edit { target, .. } | EventKind::Redaction { target, .. } => target == request,
        _ => event.id == request,
    };
    events.iter().filter(is_of_it).cloned().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ruma::{owned_event_id, owned_room_id, user_id};

    use super::*;
    use crate::core::time::Timestamp;

    fn event(number: i64, sender: &str, kind: EventKind) -> RoomEvent {
        let id = EventId::parse(format!("$e{number}")).expect("an id");
        RoomEvent {
            id,
            room: owned_room_id!("!r:hs"),
            sender: UserId::parse(sender).expect("an id"),
            sent_at: Timestamp::from_ms(number),
            kind,
        }
    }

    fn said(number: i64, sender: &str, text: &str) -> RoomEvent {
        event(number, sender, EventKind::Message(Message::text(text)))
    }

    fn bodies(events: &[RoomEvent]) -> Vec<&str> {
        let body = |event: &'_ RoomEvent| match &event.kind {
            EventKind::Message(message) | EventKind::Edit { new: message, .. } => message.body.clone(),
            _ => String::new(),
        };
        events.iter().map(|event| body(event).leak() as &str).collect()
    }

    #[test]
    fn c26_a_refused_message_leaves_a_mark_and_the_request_is_asked_as_it_reads() {
        let edit = EventKind::Edit {
            target: owned_event_id!("$e1"),
            new: Message::text("poison, edited"),
            newly_mentioned: BTreeSet::new(),
        };
        let file = Message {
            kind: MessageKind::Attachment {
                msgtype: "m.file".to_owned(),
                name: "poison.pdf".to_owned(),
                mime: None,
                size: None,
                voice: false,
                media: None,
            },
            html: Some("poison".to_owned()),
            ..Message::text("poison.pdf")
        };
        let events = [
            said(1, "@alice:hs", "poison"),
            said(2, "@bob:hs", "hello"),
            event(3, "@alice:hs", edit),
            event(4, "@bob:hs", EventKind::Message(file)),
        ];
        let mut refused = Refused::default();
        refused.add(&[owned_event_id!("$e1"), owned_event_id!("$e4"), owned_event_id!("$e1")]);
        let mut later = events.to_vec();
        refused.leave_out(&mut later, Some(&owned_event_id!("$e2")));
        assert_eq!(bodies(&later), [MARK, "hello", MARK, MARK]);
        assert!(!format!("{later:?}").contains("poison"), "{later:?}");
        let mut again = events.to_vec();
        refused.leave_out(&mut again, Some(&owned_event_id!("$e1")));
        assert_eq!(bodies(&again), ["poison", "hello", "poison, edited", MARK]);
        refused.remove(&owned_event_id!("$e1"));
        assert!(!refused.has(&owned_event_id!("$e1")) && refused.has(&owned_event_id!("$e4")));
    }

    #[test]
    fn c26_what_was_said_since_the_last_answer_is_to_blame_and_our_own_words_never_are() {
        let me = user_id!("@coworker-oncall:hs");
        let refusal = words::refused();
        let events = [
            said(1, "@alice:hs", "old"),
            said(2, me.as_str(), "An answer."),
            said(3, "@bob:hs", "new"),
            said(4, me.as_str(), &refusal),
            event(5, "@bob:hs", EventKind::RoomName("x".to_owned())),
            said(6, "@carol:hs", "newer"),
            said(7, "@alice:hs", "the request"),
        ];
        let of = |events: &[RoomEvent]| blamed(events, me, &owned_event_id!("$e7"));
        assert_eq!(of(&events), [owned_event_id!("$e6"), owned_event_id!("$e3")]);
        let quiet = [events[0].clone(), events[1].clone(), events[6].clone()];
        assert_eq!(of(&quiet), [owned_event_id!("$e1")], "nothing was said since: all of it");
        assert_eq!(of(&events[6..]), [] as [OwnedEventId; 0]);
        assert_eq!(alone(&events, &owned_event_id!("$e7")), [events[6].clone()]);
    }

    #[test]
    fn c26_a_room_keeps_so_many_and_the_newest() {
        let id = |number: usize| EventId::parse(format!("$r{number}")).expect("an id");
        let mut refused = Refused::default();
        (0..KEPT_MAX + 5).for_each(|number| refused.add(&[id(number)]));
        assert_eq!((refused.has(&id(4)), refused.has(&id(5)), refused.0.len()), (false, true, KEPT_MAX));
    }
}
