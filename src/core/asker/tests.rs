use ruma::{OwnedEventId, room_id, user_id};

use super::*;
use crate::core::{
    event::{MemberChange, Message},
    redaction::Authority,
    time::Timestamp,
};

const CAROL: &str = "@carol:hs";

fn event(id: &str, sender: &str, kind: EventKind) -> RoomEvent {
    RoomEvent {
        room: room_id!("!r:hs").to_owned(),
        id: OwnedEventId::try_from(id).expect("an event id"),
        sender: UserId::parse(sender).expect("a user id"),
        sent_at: Timestamp::from_ms(0),
        kind,
    }
}

fn says(id: &str, sender: &str) -> RoomEvent {
    event(id, sender, EventKind::Message(Message::text(id)))
}

fn is_now(id: &str, membership: Membership) -> RoomEvent {
    let user = user_id!("@carol:hs").to_owned();
    event(id, CAROL, EventKind::Member(MemberChange { user, membership, display_name: None }))
}

fn visibility(id: &str, history: History) -> RoomEvent {
    event(id, "@alice:hs", EventKind::HistoryVisibility(history))
}

fn carol(request: &EventId) -> Asker<'_> {
    Asker { user: user_id!("@carol:hs"), request, is_in: true }
}

#[test]
fn c7_how_a_newcomer_stood_is_told_by_the_events_or_asked_for() {
    let constant = |now| Openness { now, always: true };
    let changed = |now| Openness { now, always: false };
    let standing = |history, membership| Some(Standing { history, membership });
    let (a, q) = (says("$a", "@alice:hs"), says("$q", CAROL));
    let joins = is_now("$j", Membership::Join);
    let create = event("$c", "@alice:hs", EventKind::Other("m.room.create".to_owned()));
    let table = [
        (
            "shared",
            vec![a.clone(), joins.clone(), q.clone()],
            constant(History::Shared),
            standing(History::Shared, Membership::Leave),
        ),
        (
            "shared for as long as is seen",
            vec![a.clone(), q.clone()],
            changed(History::Shared),
            standing(History::Shared, Membership::Leave),
        ),
        (
            "spoke first",
            vec![a.clone(), q.clone()],
            changed(History::Joined),
            standing(History::Joined, Membership::Join),
        ),
        ("joined here", vec![a.clone(), joins.clone(), q.clone()], changed(History::Joined), None),
        ("changed here", vec![a.clone(), visibility("$v", History::Shared), q.clone()], changed(History::Shared), None),
        (
            "set again",
            vec![a.clone(), visibility("$v", History::Joined), q.clone()],
            constant(History::Joined),
            standing(History::Joined, Membership::Join),
        ),
        (
            "from the beginning",
            vec![create, joins.clone(), q.clone()],
            changed(History::Joined),
            standing(History::Shared, Membership::Leave),
        ),
        ("never seen", vec![a.clone()], constant(History::Joined), None),
        ("nothing", vec![], constant(History::Shared), None),
    ];
    for (what, events, openness, expected) in table {
        assert_eq!(before(&carol(&q.id), &events, openness), expected, "{what}");
    }
    assert_eq!(first_to_ask_about(&carol(&q.id), &[joins.clone(), visibility("$v", History::Joined), a]), Some(2));
    assert_eq!(first_to_ask_about(&carol(&q.id), &[joins]), None);
}

#[test]
fn c7_what_the_asker_may_not_read_is_left_out_and_said() {
    let events = [
        says("$before", "@alice:hs"),
        is_now("$invite", Membership::Invite),
        says("$while-invited", "@alice:hs"),
        is_now("$join", Membership::Join),
        says("$in", "@alice:hs"),
        event(
            "$gone",
            "@alice:hs",
            EventKind::Redaction { target: ruma::owned_event_id!("$x"), authority: Authority::Power },
        ),
        says("$q", CAROL),
        says("$later", "@alice:hs"),
    ];
    let request = ruma::event_id!("$q");
    let kept = |history, membership, is_in| {
        let asker = Asker { is_in, ..carol(request) };
        let allowed = allowed(&asker, &events, Standing { history, membership });
        let said = allowed.events.iter().filter(|event| matches!(event.kind, EventKind::Message(_)));
        (said.map(|event| event.id.to_string()).collect::<Vec<_>>().join(" "), allowed.forbidden)
    };
    let table = [
        (History::Joined, Membership::Leave, true, "$in $q $later", true),
        (History::Invited, Membership::Leave, true, "$while-invited $in $q $later", true),
        (History::Shared, Membership::Leave, true, "$before $while-invited $in $q $later", false),
        (History::WorldReadable, Membership::Leave, true, "$before $while-invited $in $q $later", false),
        (History::Joined, Membership::Join, true, "$before $in $q $later", true),
        (History::Joined, Membership::Leave, false, "$in $q", true),
    ];
    for (history, membership, is_in, expected, hidden) in table {
        assert_eq!(
            kept(history, membership, is_in),
            (expected.to_owned(), hidden),
            "{history:?} {membership:?} {is_in}"
        );
    }
}
