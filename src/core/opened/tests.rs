use ruma::{event_id, room_id, user_id};

use super::*;
use crate::core::{
    event::{History, MemberChange, Message},
    time::Timestamp,
};

fn event(name: &str, kind: EventKind) -> RoomEvent {
    RoomEvent {
        room: room_id!("!team:hs").to_owned(),
        id: id(name),
        sender: user_id!("@bob:hs").to_owned(),
        sent_at: Timestamp::from_ms(0),
        kind,
    }
}

fn id(name: &str) -> OwnedEventId {
    EventId::parse(format!("${name}")).expect("an event id")
}

fn said(name: &str) -> RoomEvent {
    event(name, EventKind::Message(Message::text(name)))
}

fn said_in(name: &str, root: &str) -> RoomEvent {
    event(name, EventKind::Message(Message { thread_root: Some(id(root)), ..Message::text(name) }))
}

fn edits(name: &str, target: &str) -> RoomEvent {
    event(name, EventKind::Edit { target: id(target), new: Message::text("new"), newly_mentioned: [].into() })
}

fn redacts(name: &str, target: &str) -> RoomEvent {
    event(name, EventKind::Redaction { target: id(target), authority: crate::core::redaction::Authority::OwnServer })
}

fn member(name: &str, user: &str, membership: Membership) -> RoomEvent {
    let user = UserId::parse(user).expect("a user id");
    event(name, EventKind::Member(MemberChange { user, membership, display_name: None }))
}

fn names(events: &[RoomEvent]) -> Vec<&str> {
    events.iter().map(|event| &event.id.as_str()[1..]).collect()
}

#[test]
fn a8_only_the_owners_own_membership_opens_a_room_and_redactions_always_count() {
    let events = [
        said("a"),
        member("bob", "@bob:hs", Membership::Join),
        said("b"),
        member("alice", "@alice:hs", Membership::Join),
        said("c"),
        member("gone", "@alice:hs", Membership::Leave),
        said("d"),
        redacts("e", "c"),
        event("open", EventKind::HistoryVisibility(History::Shared)),
        said("f"),
    ];
    let before = Standing { history: History::Joined, membership: Membership::Leave };
    let source =
        Source { owner: user_id!("@alice:hs"), events: &events, before, now: Membership::Join, encrypted: false };

    let read = |source: &Source<'_>| {
        let allowed = allowed(source);
        (names(&allowed.events).join(" "), allowed.forbidden)
    };
    assert_eq!(read(&source), ("alice c gone e open f".to_owned(), true));
    assert_eq!(read(&Source { encrypted: true, ..source }), ("alice c gone e".to_owned(), true));
    for now in [Membership::Leave, Membership::Ban, Membership::Invite, Membership::Knock] {
        assert_eq!(read(&Source { now, ..source }), (String::new(), true), "{now:?}");
    }
}

#[test]
fn a7_a_room_a_thread_or_a_message_with_what_is_around_it_is_opened() {
    let mut events: Vec<RoomEvent> = (0..100).map(|number| said(&format!("m{number}"))).collect();
    events.extend([
        said_in("t1", "m2"),
        said("between"),
        said_in("t2", "m2"),
        edits("edit", "t1"),
        edits("other", "m50"),
    ]);
    let part_at = |event: Option<&str>| {
        let event = event.map(id);
        part(&events, &Range { event: event.as_deref(), fixed: None })
    };

    let room = part_at(None).expect("the room");
    assert_eq!((room.len(), ends(&room)), (events.len(), Some((id("m0"), id("t2")))));
    for pointed_at in ["m2", "t2"] {
        let thread = part_at(Some(pointed_at)).expect("a thread");
        assert_eq!(names(&thread), ["m2", "t1", "t2", "edit"], "{pointed_at}");
    }
    let around = part_at(Some("m50")).expect("a message");
    assert_eq!((around.len(), ends(&around)), (AROUND_EVENTS * 2 + 2, Some((id("m25"), id("m75")))));
    assert_eq!(part_at(Some("elsewhere")), None);
}

#[test]
fn a7_a_fixed_range_stays_as_it_is_while_the_room_goes_on_and_its_changes_count() {
    let events = [said("a"), said("b"), said("c"), said("d"), edits("e", "c"), edits("f", "d"), redacts("g", "b")];
    let fixed = |first, last| {
        let range = Range { event: None, fixed: Some((first, last)) };
        names(&part(&events, &range).expect("nothing was pointed at")).join(" ")
    };
    assert_eq!(fixed(event_id!("$b"), event_id!("$c")), "b c e g");
    assert_eq!(fixed(event_id!("$older"), event_id!("$b")), "a b g");
    assert_eq!(fixed(event_id!("$d"), event_id!("$a")), "", "out of order");
}

#[test]
fn a6_an_opened_room_ends_with_its_session_and_with_the_message_that_opened_it() {
    let opened = |by: &str| Opened {
        found: None,
        answers: Vec::new(),
        room: room_id!("!team:hs").to_owned(),
        event: None,
        by: id(by),
        first: id("first"),
        last: id("last"),
    };
    let chat = [said("one"), said("two"), said("three"), redacts("four", "two")];
    let all = ["one", "two", "three", "forgotten"].map(opened);
    let left = |begins| {
        let current = current(&all, &chat, begins);
        current.iter().map(|one| one.by.as_str()[1..].to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(left(0), "one three forgotten");
    assert_eq!(left(1), "three");
    assert_eq!(left(3), "");
}

#[test]
fn a8_what_is_read_again_from_any_event_on_is_what_was_readable_of_it_at_first() {
    let events = [
        said("a"),
        event("joined", EventKind::HistoryVisibility(History::Joined)),
        said("b"),
        member("invited", "@alice:hs", Membership::Invite),
        said("c"),
        member("came", "@alice:hs", Membership::Join),
        said("d"),
        event("invited only", EventKind::HistoryVisibility(History::Invited)),
        member("gone", "@alice:hs", Membership::Leave),
        said("e"),
        member("asked", "@alice:hs", Membership::Invite),
        said("f"),
        member("back", "@alice:hs", Membership::Join),
        said("g"),
    ];
    for (before, encrypted) in [History::WorldReadable, History::Shared, History::Invited, History::Joined]
        .map(|history| Standing { history, membership: Membership::Leave })
        .into_iter()
        .flat_map(|before| [(before, false), (before, true)])
    {
        let owner = user_id!("@alice:hs");
        let whole = Source { owner, events: &events, before, now: Membership::Join, encrypted };
        let readable = allowed(&whole).events;
        for (at, first) in events.iter().enumerate() {
            let before = standing_before(&whole, &first.id).expect("it is among them");
            let again = allowed(&Source { events: &events[at..], before, ..whole });
            let expected: Vec<_> = readable.iter().filter(|event| events[at..].contains(event)).cloned().collect();
            assert_eq!(again.events, expected, "{before:?} from {} on", first.id);
        }
        assert_eq!(standing_before(&whole, &id("elsewhere")), None);
    }
}
