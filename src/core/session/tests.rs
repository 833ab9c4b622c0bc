use proptest::prelude::*;
use ruma::{EventId, room_id, user_id};

use super::*;
use crate::core::event::Message;

const HOUR_MS: i64 = 60 * 60 * 1000;
const IDLE_MS: u64 = 12 * 60 * 60 * 1000;

fn alice() -> &'static UserId {
    user_id!("@alice:here.org")
}

fn assistant() -> &'static UserId {
    user_id!("@assistant-alice:here.org")
}

fn bounds(markers: &[OwnedEventId]) -> SessionBounds<'_> {
    SessionBounds { owner: alice(), assistant: assistant(), markers, idle_ms: IDLE_MS }
}

/// Makes events from `(hour, sender, body)`, with the ids `$0`, `$1`, ….
fn events(rows: &[(i64, &UserId, &str)]) -> Vec<RoomEvent> {
    let event = |(index, (hour, sender, body)): (usize, &(i64, &UserId, &str))| RoomEvent {
        room: room_id!("!dm:here.org").to_owned(),
        id: id(index),
        sender: (*sender).to_owned(),
        sent_at: Timestamp::from_ms(hour * HOUR_MS),
        kind: EventKind::Message(Message::text(*body)),
    };
    rows.iter().enumerate().map(event).collect()
}

fn id(index: usize) -> OwnedEventId {
    EventId::parse(format!("${index}")).unwrap()
}

#[test]
fn a6_a_session_begins_after_the_last_new_or_a_pause() {
    let mallory = user_id!("@mallory:here.org");
    let (me, it) = (alice(), assistant());
    let afresh = |hours: u64| Some(Afresh { idle_ms: hours * 60 * 60 * 1000 });
    let table = [
        ("nothing yet", vec![], 0, None),
        ("the first message", vec![(0, me, "hi")], 0, None),
        ("one talk", vec![(0, me, "a"), (1, it, "b"), (12, me, "c")], 0, None),
        ("exactly the pause", vec![(0, me, "a"), (12, me, "b")], 0, None),
        ("after a pause", vec![(0, me, "a"), (1, it, "b"), (14, me, "c")], 2, afresh(13)),
        ("answered after a pause", vec![(0, me, "a"), (13, me, "b"), (13, it, "c"), (14, me, "d")], 1, None),
        ("two pauses", vec![(0, me, "a"), (20, me, "b"), (40, me, "c")], 2, afresh(20)),
        ("after !new", vec![(0, me, "a"), (1, me, "!new"), (1, it, "ok"), (2, me, "b")], 2, None),
        ("the last !new", vec![(0, me, "!new"), (1, me, "b"), (2, me, "!new"), (3, me, "c")], 3, None),
        ("just !new", vec![(0, me, "a"), (1, me, "!new")], 2, None),
        ("!new after a pause", vec![(0, me, "a"), (20, me, "!new")], 2, None),
        ("long after a talk and !new", vec![(0, me, "a"), (1, me, "!new"), (20, me, "b")], 2, None),
        ("long after !new", vec![(0, me, "!new"), (20, me, "b")], 1, None),
        ("after !forget", vec![(0, me, "a"), (1, me, "!forget"), (2, me, "b")], 2, None),
        ("not exactly !new", vec![(0, me, "a"), (1, me, "!new idea"), (2, me, "b")], 0, None),
        ("its own !new", vec![(0, me, "a"), (1, it, "!new"), (2, me, "b")], 0, None),
        ("another's !new", vec![(0, me, "a"), (1, mallory, "!new"), (2, me, "b")], 0, None),
        ("another's words bridge no pause", vec![(0, me, "a"), (8, mallory, "x"), (16, me, "b")], 2, afresh(16)),
        ("a clock set back", vec![(20, me, "a"), (0, it, "b"), (21, me, "c")], 0, None),
    ];
    for (name, rows, begins, afresh) in table {
        assert_eq!(current_session(&events(&rows), &bounds(&[])), Session { begins, afresh }, "{name}");
    }
}

#[test]
fn a6_a_marker_holds_after_its_command_was_redacted() {
    let mut events = events(&[(0, alice(), "a"), (1, alice(), "!new"), (2, alice(), "b")]);
    events[1].kind = EventKind::Redacted;
    assert_eq!(current_session(&events, &bounds(&[id(1)])), Session { begins: 2, afresh: None });
    assert_eq!(current_session(&events, &bounds(&[id(9)])), Session { begins: 0, afresh: None });
}

proptest! {
    #[test]
    fn a6_no_history_makes_a_session_begin_outside_it(
        rows in prop::collection::vec((any::<i64>(), 0..3usize, 0..4usize), 0..20), idle_ms in any::<u64>(),
    ) {
        let senders = [alice(), assistant(), user_id!("@bob:here.org")];
        let bodies = ["hi", "!new", "!forget", ""];
        let spoken: Vec<_> = rows.iter().map(|(_, sender, body)| (0, senders[*sender], bodies[*body])).collect();
        let mut events = events(&spoken);
        for (event, (time, ..)) in events.iter_mut().zip(&rows) {
            event.sent_at = Timestamp::from_ms(*time);
        }
        let session = current_session(&events, &SessionBounds { idle_ms, ..bounds(&[]) });
        prop_assert!(session.begins <= events.len());
    }
}
