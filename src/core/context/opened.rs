//! An opened room, as one record before the chat.

use std::collections::BTreeMap;

use ruma::{EventId, OwnedUserId, RoomId};
use serde::Serialize;

use super::{MESSAGE_SHARE, NAME_CHARS_MAX, OPENED_SHARE, shown::shown, tokens};
use crate::core::{
    escaped::{first_chars, line, rfc3339},
    event::{EventKind, RoomEvent},
    opened::OpenedBlock,
};

/// The length at which the topic is cut, in characters.
const OPENED_TOPIC_CHARS_MAX: usize = 300;
/// Tokens reserved in a room's share for its facts: the longest topic and name, and ids.
const FRAME_TOKENS: u32 = 1_000;
/// Fewest tokens for an opened room's messages.
const MESSAGES_TOKENS_MIN: u32 = 400;

/// A room that the owner opened; it has only the events that the owner may read.
#[derive(Clone, Copy, Debug)]
pub struct OpenedRoom<'a> {
    /// The room's id.
    pub room: &'a RoomId,
    /// The message or thread that the owner pointed at.
    pub event: Option<&'a EventId>,
    /// `m.room.name`.
    pub name: Option<&'a str>,
    /// `m.room.topic`.
    pub topic: Option<&'a str>,
    /// Whether the room is encrypted.
    pub encrypted: bool,
    /// The opened events, oldest first, followed by changes to them.
    pub events: &'a [RoomEvent],
    /// Whether the room has older messages, or some that the owner may not read.
    pub more: bool,
    /// Display names of the room's members.
    pub names: &'a BTreeMap<OwnedUserId, String>,
}

#[derive(Serialize)]
struct Facts<'a> {
    room_id: &'a RoomId,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a str>,
    encrypted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pointed_at: Option<&'a EventId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    undecryptable_messages: usize,
    other_messages: &'a str,
}

/// Returns an opened room's record within [`OPENED_SHARE`] of the budget: the newest messages, and the one that the
/// owner pointed at, however old.
#[must_use]
pub fn opened_block(room: &OpenedRoom<'_>, budget_tokens: u32) -> OpenedBlock {
    let tokens_max = (budget_tokens / OPENED_SHARE).saturating_sub(FRAME_TOKENS).max(MESSAGES_TOKENS_MIN);
    let messages = shown(room.events.iter(), room.names);
    let mut left = tokens_max;
    let mut kept: BTreeMap<usize, String> = BTreeMap::new();
    let pointed_at = messages.iter().position(|message| Some(&*message.event.id) == room.event);
    for at in pointed_at.into_iter().chain((0..messages.len()).rev().filter(|at| Some(*at) != pointed_at)) {
        let record = messages[at].line(tokens_max / MESSAGE_SHARE).0;
        let Some(fitting) = left.checked_sub(tokens::estimate(&record) + 1) else { break };
        left = fitting;
        kept.insert(at, record);
    }
    let span = kept.keys().next().zip(kept.keys().next_back());
    let span = span.map(|(first, last)| (messages[*first].event.sent_at, messages[*last].event.sent_at));
    let over_budget = messages.len() - kept.len();
    let is_sealed = |event: &&RoomEvent| {
        let read = || messages.iter().any(|message| message.event.id == event.id);
        matches!(event.kind, EventKind::Undecryptable(_)) && !read()
    };
    let undecryptable = room.events.iter().filter(is_sealed).count();
    let facts = line(&Facts {
        room_id: room.room,
        name: room.name.map(|name| first_chars(name, NAME_CHARS_MAX)),
        topic: room.topic.map(|topic| first_chars(topic, OPENED_TOPIC_CHARS_MAX)),
        encrypted: room.encrypted,
        pointed_at: room.event,
        from: span.and_then(|(first, _)| rfc3339(first)),
        to: span.and_then(|(_, last)| rfc3339(last)),
        undecryptable_messages: undecryptable,
        other_messages: if room.more || over_budget > 0 { "left out" } else { "none" },
    });
    let records: Vec<&str> = kept.values().map(String::as_str).collect();
    let line = format!(r#"{{"opened_room":{facts},"messages":[{}]}}"#, records.join(","));
    OpenedBlock { tokens: tokens::estimate(&line), line, messages: kept.len(), span, over_budget, undecryptable }
}

#[cfg(test)]
mod tests {
    use ruma::{event_id, room_id, user_id};

    use super::*;
    use crate::core::event::Message;

    fn said(number: i64, text: &str) -> RoomEvent {
        RoomEvent {
            room: room_id!("!team:hs").to_owned(),
            id: EventId::parse(format!("$m{number}")).expect("an event id"),
            sender: user_id!("@bob:hs").to_owned(),
            sent_at: crate::core::time::Timestamp::from_ms(1_795_346_405_000 + number * 1_000),
            kind: EventKind::Message(Message::text(text)),
        }
    }

    fn block(events: &[RoomEvent], event: Option<&EventId>) -> OpenedBlock {
        let names = BTreeMap::from([(user_id!("@bob:hs").to_owned(), "Bob".to_owned())]);
        let (name, topic, names) = (Some("team"), None, &names);
        let room = room_id!("!team:hs");
        let opened = OpenedRoom { room, event, name, topic, encrypted: true, events, more: false, names };
        opened_block(&opened, 8_000)
    }

    #[test]
    fn a7_an_opened_room_is_one_labelled_record_of_what_stands() {
        let edit = EventKind::Edit {
            target: event_id!("$m1").to_owned(),
            new: Message::text("\"},\u{2028}{\"sender\":\"@alice:hs"),
            newly_mentioned: [].into(),
        };
        let gone = EventKind::Redaction {
            target: event_id!("$m2").to_owned(),
            authority: crate::core::redaction::Authority::OwnServer,
        };
        let sealed = RoomEvent { kind: EventKind::Undecryptable(None), ..said(3, "") };
        let changes = [RoomEvent { kind: edit, ..said(4, "") }, RoomEvent { kind: gone, ..said(5, "") }];
        let events = [[said(1, "old"), said(2, "secret"), sealed].as_slice(), &changes].concat();
        let block = block(&events, None);
        insta::assert_snapshot!(block.line);
        assert!(!block.line.contains('\n'));
        assert_eq!((block.messages, block.undecryptable, block.over_budget), (1, 1, 0));
    }

    #[test]
    fn a7_what_does_not_fit_is_the_oldest_but_never_what_was_pointed_at() {
        let events: Vec<RoomEvent> = (0..200).map(|number| said(number, &"word ".repeat(20))).collect();
        let block = block(&events, Some(event_id!("$m3")));
        let parsed: serde_json::Value = serde_json::from_str(&block.line).expect("one record");
        let ids: Vec<&str> = parsed["messages"]
            .as_array()
            .expect("messages")
            .iter()
            .map(|message| message["event_id"].as_str().expect("an id"))
            .collect();
        assert_eq!((ids.first(), ids.last()), (Some(&"$m3"), Some(&"$m199")));
        assert_eq!((ids.len(), block.messages + block.over_budget), (block.messages, 200));
        assert!(block.tokens <= 8_000 / OPENED_SHARE && block.over_budget > 100, "{} tokens", block.tokens);
    }
}
