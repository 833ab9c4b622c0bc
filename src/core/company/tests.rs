use proptest::prelude::*;
use ruma::{owned_server_name, owned_user_id, user_id};

use super::*;

fn at(minutes: i64) -> Timestamp {
    Timestamp::from_ms(minutes * 60 * 1000)
}

fn humans(humans: usize, humans_invited: usize) -> Company {
    Company { humans, humans_invited, ours: 1 }
}

#[test]
fn c4_virtual_users_and_known_bots_are_not_humans() {
    let namespace = Namespace {
        bots: [owned_user_id!("@buildbot:here.org")].into(),
        bridges: vec![crate::core::people::Bridge {
            ids: crate::core::people::IdPattern::parse("@irc_.*").expect("a pattern"),
            may: crate::core::people::Bridged::Ask,
        }],
        ..Namespace::of_tests(owned_server_name!("here.org"))
    };
    let members = [
        (user_id!("@alice:here.org"), Membership::Join),
        (user_id!("@mallory:evil.org"), Membership::Join),
        (user_id!("@bob:here.org"), Membership::Invite),
        (user_id!("@dave:here.org"), Membership::Join),
        (user_id!("@dave:here.org"), Membership::Leave),
        (user_id!("@erin:here.org"), Membership::Ban),
        (user_id!("@frank:here.org"), Membership::Knock),
        (user_id!("@buildbot:here.org"), Membership::Join),
        (user_id!("@17:here.org"), Membership::Join),
        (user_id!("@irc_ann:here.org"), Membership::Join),
        (user_id!("@coworker-ci:here.org"), Membership::Join),
        (user_id!("@coworker-oncall:here.org"), Membership::Invite),
        (user_id!("@workmate:here.org"), Membership::Join),
    ];
    assert_eq!(Company::of(&namespace, members), Company { humans: 2, humans_invited: 1, ours: 2 });
}

#[test]
fn c4_a_room_that_shrinks_to_one_is_told_once_and_paused_until_someone_joins() {
    let mut room = Liveliness::default();
    let steps = [
        (humans(3, 0), at(0), CompanyChange::None, false),
        (humans(1, 0), at(1), CompanyChange::Pause { say: true }, true),
        (humans(1, 1), at(2), CompanyChange::None, true),
        (humans(0, 0), at(3), CompanyChange::None, true),
        (humans(2, 0), at(4), CompanyChange::Resume, false),
        (humans(1, 0), at(5), CompanyChange::Pause { say: false }, true),
        (humans(2, 0), at(6), CompanyChange::Resume, false),
        (humans(1, 0), at(61), CompanyChange::Pause { say: true }, true),
    ];
    for (company, now, expected, paused) in steps {
        assert_eq!(room.take(&company, now), expected, "{company:?} {now:?}");
        assert_eq!(room.is_paused(), paused, "{company:?} {now:?}");
    }
}

#[test]
fn c4_an_empty_room_is_told_nothing() {
    let mut room = Liveliness::default();
    assert_eq!(room.take(&humans(0, 0), at(0)), CompanyChange::Pause { say: false });
}

#[test]
fn c4_a_room_whose_others_are_still_invited_waits_without_a_word() {
    let mut room = Liveliness::awaiting();
    assert_eq!(room.take(&humans(1, 1), at(0)), CompanyChange::None);
    assert!(room.is_paused());
    let mut declined = room;
    assert_eq!(declined.take(&humans(1, 0), at(1)), CompanyChange::Pause { say: true });
    assert_eq!(room.take(&humans(2, 0), at(1)), CompanyChange::Resume);
}

#[test]
fn the_stored_shape_is_kept() {
    let mut room = Liveliness::default();
    room.take(&humans(1, 0), at(1));
    let stored = serde_json::to_string(&room).unwrap();
    assert_eq!(stored, r#"{"mood":"lonely","said_at":60000}"#);
    assert_eq!(serde_json::from_str::<Liveliness>(&stored).unwrap(), room);
    let awaiting = serde_json::to_string(&Liveliness::awaiting()).unwrap();
    assert_eq!(awaiting, r#"{"mood":"awaiting","said_at":null}"#);
}

proptest! {
    #[test]
    fn c4_a_room_is_paused_exactly_while_fewer_than_two_humans_are_there(
        steps in prop::collection::vec((0..4usize, 0..3usize, any::<i64>()), 1..20),
    ) {
        let mut room = Liveliness::default();
        for (there, invited, time) in steps {
            room.take(&humans(there, invited), Timestamp::from_ms(time));
            prop_assert_eq!(room.is_paused(), there < HUMANS_MIN);
        }
    }
}

#[test]
fn c4_in_a_large_room_members_are_counted_anew_only_where_it_may_have_become_lonely() {
    use Membership::{Ban, Invite, Join, Leave};
    let mut here = AtLeast::counted(&Company { humans: 4, ..Company::default() });
    let table = [(Join, true), (Leave, true), (Invite, true), (Ban, true), (Join, true), (Leave, false), (Join, false)];
    for (membership, expected) in table {
        assert_eq!(here.is_lively_after(membership), expected, "{membership:?}");
    }
}
