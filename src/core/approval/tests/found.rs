//! Decisions found by looking back in the room.

use super::*;

#[test]
fn c12_what_is_found_about_a_card_is_what_points_at_it_and_short_words_behind_it() {
    let card = event_id!("$card");
    let in_thread = |id: &str, message: Message| {
        let message = Message { thread_root: Some(event_id!("$request").to_owned()), ..message };
        RoomEvent { id: EventId::parse(id).expect("an id"), ..event("@alice:hs", EventKind::Message(message)) }
    };
    let posted = |id: &str| in_thread(id, Message { kind: MessageKind::Card, ..Message::text("May I?") });
    let other = EventKind::Reaction { target: event_id!("$other").to_owned(), key: APPROVE_KEY.to_owned() };
    let events = [
        in_thread("$before", Message::text("yes")),
        posted("$card"),
        in_thread("$reply", reply("no")),
        event("@bob:hs", other),
        in_thread("$behind", Message::text("yes")),
        in_thread("$words", Message::text("what is that?")),
        reaction("@alice:hs", APPROVE_KEY),
        reaction("@alice:hs", "👍"),
    ];
    let found = |events: &[RoomEvent]| {
        found_about(events, card).into_iter().map(|event| event.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(found(&events), ["$reply", "$behind", "$words", "$e"]);
    assert_eq!(found(&events[2..]), ["$reply", "$e"], "without the card it is not known what plain words are behind");
}

#[test]
fn c12_a_tap_in_time_counts_when_it_is_found_late_unless_another_server_says_when_it_was() {
    let late = Timestamp::from_ms(EXPIRY.as_ms() + 60_000);
    for (sender, expected) in [("@alice:hs", Some("approved")), ("@alice:friends", None)] {
        let rule = people(&[sender]);
        let tap = reaction(sender, APPROVE_KEY);
        let mut standing = standing(rule);
        let at = made_at(&tap, &namespace().server, late);
        let who = namespace().who(&tap.sender);
        let counts = standing.hear(Choice::Approve, &tap.sender, &who, Some(0), &tap.id, at);
        assert_eq!(counts, Ok(expected.is_some()), "{sender}");
        let taken = standing.take(late).expect("its time is over");
        assert_eq!(matches!(taken, Decision::Approved { .. }), expected.is_some(), "{sender}: {taken:?}");
    }
    let ahead = RoomEvent { sent_at: late, ..reaction("@alice:hs", APPROVE_KEY) };
    assert_eq!(made_at(&ahead, &namespace().server, ASKED), ASKED, "nothing is made in the future");
}
