use ruma::{event_id, owned_event_id, room_id, user_id};

use super::*;

fn event(id: &str, sender: &UserId, at_s: i64, kind: EventKind) -> RoomEvent {
    RoomEvent {
        room: room_id!("!dm:hs").to_owned(),
        id: OwnedEventId::try_from(id).expect("an event id"),
        sender: sender.to_owned(),
        sent_at: Timestamp::from_ms(1_795_346_400_000 + at_s * 1000),
        kind,
    }
}

fn owner() -> &'static UserId {
    user_id!("@alice:hs")
}

fn assistant() -> &'static UserId {
    user_id!("@assistant-alice:hs")
}

fn asks(id: &str, at_s: i64, text: &str) -> RoomEvent {
    event(id, owner(), at_s, EventKind::Message(Message::text(text)))
}

fn answers(id: &str, at_s: i64, text: &str) -> RoomEvent {
    event(id, assistant(), at_s, EventKind::Message(Message::text(text)))
}

fn edit(id: &str, sender: &UserId, at_s: i64, target: &str, text: &str) -> RoomEvent {
    let target = OwnedEventId::try_from(target).expect("an event id");
    event(id, sender, at_s, EventKind::Edit { target, new: Message::text(text), newly_mentioned: BTreeSet::new() })
}

fn session() -> Vec<RoomEvent> {
    let notice = Message { kind: MessageKind::Notice, ..Message::text("A new session.") };
    vec![
        event("$word", assistant(), 0, EventKind::Message(notice)),
        asks("$q1", 60, "how high is it?"),
        answers("$a1", 61, "It is"),
        edit("$a1e", assistant(), 62, "$a1", "It is 40 m high."),
        edit("$forged", owner(), 63, "$a1", "It is flat."),
        asks("$help", 90, "!help"),
        asks("$q2", 120, "a secret slip"),
        event(
            "$gone",
            owner(),
            130,
            EventKind::Redaction {
                target: owned_event_id!("$q2"),
                authority: crate::core::redaction::Authority::OwnServer,
            },
        ),
        event("$stranger", user_id!("@bob:hs"), 140, EventKind::Message(Message::text("hello"))),
        asks("$q3", 180, "thanks"),
        answers("$a3", 181, "**Gladly.**"),
    ]
}

#[test]
fn a9_an_export_holds_what_both_said_as_it_reads_now() {
    let export = export(&session(), owner(), assistant(), false, &Zone::default()).expect("something was said");

    insta::assert_snapshot!(export.text);
    assert_eq!((export.messages, export.left_out), (4, false));
}

#[test]
fn a9_a_session_without_a_word_has_no_export() {
    assert_eq!(export(&session()[..1], owner(), assistant(), false, &Zone::default()), None);
    assert_eq!(export(&[], owner(), assistant(), true, &Zone::default()), None);
}

#[test]
fn a9_an_export_is_bounded_and_says_that_older_messages_are_left_out() {
    let long = "x".repeat(EXPORT_BYTES_MAX / 3);
    let events: Vec<_> = (0..5).map(|n| asks(&format!("$q{n}"), n, &format!("{n}{long}"))).collect();
    let export = export(&events, owner(), assistant(), false, &Zone::default()).expect("something was said");

    assert_eq!((export.messages, export.left_out), (2, true));
    assert!(export.text.contains("4xx") && export.text.contains("3xx") && !export.text.contains("2xx"));
    assert!(export.text.len() < EXPORT_BYTES_MAX + 1_000);
}

#[test]
fn a9_what_is_shared_is_the_answer_alone() {
    let clean = |body: &str| Outgoing {
        kind: OutgoingKind::Text,
        body: body.to_owned(),
        html: None,
        mentions: BTreeSet::new(),
        place: Place::Timeline,
        sources: Vec::new(),
    };
    let table = [
        ("the newest", None, Some((owned_event_id!("$a3"), clean("**Gladly.**")))),
        (
            "one by reply, as it reads now",
            Some(event_id!("$a1")),
            Some((owned_event_id!("$a1"), clean("It is 40 m high."))),
        ),
        ("a word of ours", Some(event_id!("$word")), None),
        ("the owner's own", Some(event_id!("$q1")), None),
        ("one that is not here", Some(event_id!("$else")), None),
    ];
    for (name, wanted, expected) in table {
        assert_eq!(share(&session(), wanted, owner(), assistant()), expected, "{name}");
    }
}
