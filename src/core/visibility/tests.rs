use proptest::prelude::*;

use super::{Happened::Other, History::*, *};

const HISTORIES: [History; 4] = [WorldReadable, Shared, Invited, Joined];
const MEMBERSHIPS: [Membership; 5] =
    [Membership::Join, Membership::Invite, Membership::Leave, Membership::Ban, Membership::Knock];

fn one(history: History, membership: Membership, encrypted: bool) -> bool {
    readable(Standing { history, membership }, &[Other], Membership::Join, encrypted)[0]
}

#[test]
fn a8_an_event_is_read_by_membership_and_visibility_at_that_event() {
    // Membership at the event: join, invite, leave, ban, knock. The person is joined now.
    for (history, expected) in [
        (WorldReadable, [true, true, true, true, true]),
        (Shared, [true, true, true, true, true]),
        (Invited, [true, true, false, false, false]),
        (Joined, [true, false, false, false, false]),
    ] {
        assert_eq!(MEMBERSHIPS.map(|membership| one(history, membership, false)), expected, "{history:?}");
    }
}

#[test]
fn a8_in_an_encrypted_room_only_what_was_sent_while_joined_is_read() {
    for history in HISTORIES {
        let read = MEMBERSHIPS.map(|membership| one(history, membership, true));
        assert_eq!(read, [true, false, false, false, false], "{history:?}");
    }
}

#[test]
fn a8_whoever_is_not_joined_now_reads_nothing_even_of_an_open_room() {
    for now in [Membership::Invite, Membership::Leave, Membership::Ban, Membership::Knock] {
        for history in HISTORIES {
            let before = Standing { history, membership: Membership::Join };
            assert_eq!(readable(before, &[Other], now, false), [false]);
        }
    }
}

#[test]
fn a8_leaving_and_coming_back_leaves_a_hole_where_the_room_is_tight() {
    let events = [
        Other,
        Happened::Membership(Membership::Invite),
        Other,
        Happened::Membership(Membership::Join),
        Other,
        Happened::Membership(Membership::Leave),
        Other,
        Happened::Membership(Membership::Join),
        Other,
    ];
    let read = |history| {
        let before = Standing { history, membership: Membership::Leave };
        readable(before, &events, Membership::Join, false)
    };
    assert_eq!(read(Shared), [true; 9]);
    assert_eq!(read(Invited), [false, true, true, true, true, true, false, true, true]);
    assert_eq!(read(Joined), [false, false, false, true, true, true, false, true, true]);
}

#[test]
fn a8_a_change_of_visibility_counts_from_its_event_on_and_is_itself_read_from_either_side() {
    let events = [Other, Happened::History(Joined), Other, Happened::History(Shared), Other];
    let before = Standing { history: Shared, membership: Membership::Leave };
    assert_eq!(readable(before, &events, Membership::Join, false), [true, true, false, true, true]);
}

#[test]
fn a8_a_visibility_that_is_not_known_is_the_tightest() {
    let parsed = ["world_readable", "shared", "invited", "joined", "Shared", "org.example.all", ""].map(History::parse);
    assert_eq!(parsed, [WorldReadable, Shared, Invited, Joined, Joined, Joined, Joined]);
}

fn happened() -> impl Strategy<Value = Happened> {
    prop_oneof![
        Just(Other),
        (0..4_usize).prop_map(|at| Happened::History(HISTORIES[at])),
        (0..5_usize).prop_map(|at| Happened::Membership(MEMBERSHIPS[at])),
    ]
}

proptest! {
    #[test]
    fn a8_encryption_never_lets_read_more_and_what_is_read_needs_a_reason(
        history in 0..4_usize,
        membership in 0..5_usize,
        events in proptest::collection::vec(happened(), 0..20),
    ) {
        let before = Standing { history: HISTORIES[history], membership: MEMBERSHIPS[membership] };
        let plain = readable(before, &events, Membership::Join, false);
        let encrypted = readable(before, &events, Membership::Join, true);
        prop_assert_eq!(plain.len(), events.len());
        let mut standing = before;
        for ((event, plain), encrypted) in events.iter().zip(plain).zip(encrypted) {
            prop_assert!(plain || !encrypted);
            if *event == Other {
                prop_assert_eq!(encrypted, standing.membership == Membership::Join);
                let tight = matches!(standing.history, Invited | Joined);
                let out = !matches!(standing.membership, Membership::Join | Membership::Invite);
                prop_assert!(!(plain && tight && out));
            }
            match *event {
                Happened::History(history) => standing.history = history,
                Happened::Membership(membership) => standing.membership = membership,
                Other => {}
            }
        }
    }
}
