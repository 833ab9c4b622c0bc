use ruma::{owned_room_id, owned_user_id, room_id, user_id};

use super::*;
use crate::core::{
    event::Membership,
    room_check::{self, Powers},
};

fn replaced() -> Replaced<'static> {
    Replaced {
        owner: user_id!("@alice:here.org"),
        assistant: user_id!("@assistant-alice:here.org"),
        room: room_id!("!old:here.org"),
        by: user_id!("@alice:here.org"),
        successor: room_id!("!new:here.org"),
    }
}

/// Returns a room that Alice made for the two, as tight as an assistant's.
fn tight() -> RoomState {
    RoomState { creator: owned_user_id!("@alice:here.org"), ..room_check::tests::tight() }
}

fn inside(state: RoomState) -> Sight {
    Sight::Inside { predecessor: Some(owned_room_id!("!old:here.org")), state }
}

fn invite() -> Invited {
    Invited {
        inviter: Some(owned_user_id!("@alice:here.org")),
        creation: Some((owned_user_id!("@alice:here.org"), Some(owned_room_id!("!old:here.org")))),
        join_rule: Some("invite".to_owned()),
    }
}

#[test]
fn a2_an_upgrade_is_awaited_then_looked_at_then_followed() {
    assert_eq!(next_step(&replaced(), &Sight::Nothing), Step::Await);
    assert_eq!(next_step(&replaced(), &Sight::Invite(invite())), Step::Join);
    assert_eq!(next_step(&replaced(), &inside(tight())), Step::Follow);
}

#[test]
fn a2_a_room_that_the_assistant_made_is_followed_before_its_owner_is_in_it() {
    let mut state = RoomState { creator: owned_user_id!("@assistant-alice:here.org"), ..tight() };
    assert_eq!(next_step(&replaced(), &inside(state.clone())), Step::Follow);
    state.members.truncate(1);
    let by_itself = Replaced { by: user_id!("@assistant-alice:here.org"), ..replaced() };
    assert_eq!(next_step(&by_itself, &inside(state)), Step::Follow);

    let mut hers = tight();
    hers.members.truncate(1);
    let gone = Step::Refuse(vec![Objection::Loose(Drift::OwnerGone)]);
    assert_eq!(next_step(&replaced(), &inside(hers)), gone, "she made it and is not there");
}

#[test]
fn a2_a_room_that_somebody_else_replaced_is_not_followed_whatever_is_seen_of_the_new_one() {
    let by_bob = Replaced { by: user_id!("@bob:here.org"), ..replaced() };
    for sight in [Sight::Nothing, Sight::Invite(invite()), inside(tight())] {
        assert_eq!(next_step(&by_bob, &sight), Step::Refuse(vec![Objection::ReplacedBySomebody]), "{sight:?}");
    }
    let by_itself = Replaced { successor: room_id!("!old:here.org"), ..replaced() };
    assert_eq!(next_step(&by_itself, &Sight::Nothing), Step::Refuse(vec![Objection::PointsElsewhere]));
}

type Change<T> = fn(&mut T);

#[test]
fn a2_an_invite_that_tells_enough_is_refused_without_joining() {
    let table: [(&str, Change<Invited>, Vec<Objection>); 9] = [
        (
            "from somebody else",
            |i| i.inviter = Some(owned_user_id!("@bob:here.org")),
            vec![Objection::InvitedBySomebody],
        ),
        ("from nobody known", |i| i.inviter = None, vec![Objection::InvitedBySomebody]),
        (
            "to somebody else's room",
            |i| i.creation = Some((owned_user_id!("@bob:here.org"), Some(owned_room_id!("!old:here.org")))),
            vec![Objection::Loose(Drift::NotOurRoom)],
        ),
        (
            "to a room that replaces none",
            |i| i.creation = Some((owned_user_id!("@alice:here.org"), None)),
            vec![Objection::PointsElsewhere],
        ),
        (
            "to a room that replaces another",
            |i| i.creation = Some((owned_user_id!("@alice:here.org"), Some(owned_room_id!("!other:here.org")))),
            vec![Objection::PointsElsewhere],
        ),
        (
            "to a public room",
            |i| i.join_rule = Some("public".to_owned()),
            vec![Objection::Loose(Drift::OpenToJoin("public".to_owned()))],
        ),
        ("that tells no join rule", |i| i.join_rule = None, vec![]),
        ("that tells no creation", |i| i.creation = None, vec![]),
        (
            "that is wrong in two ways",
            |i| (i.inviter, i.join_rule) = (None, Some("knock".to_owned())),
            vec![Objection::InvitedBySomebody, Objection::Loose(Drift::OpenToJoin("knock".to_owned()))],
        ),
    ];
    for (name, change, objections) in table {
        let mut invited = invite();
        change(&mut invited);
        let expected = if objections.is_empty() { Step::Join } else { Step::Refuse(objections) };
        assert_eq!(next_step(&replaced(), &Sight::Invite(invited)), expected, "{name}");
    }
}

#[test]
fn a2_a_successor_is_followed_only_where_it_is_as_tight() {
    let table: [(Change<RoomState>, Drift); 14] = [
        (|s| s.creator = owned_user_id!("@bob:here.org"), Drift::NotOurRoom),
        (|s| s.encrypted = false, Drift::NotEncrypted),
        (|s| s.join_rule = "public".to_owned(), Drift::OpenToJoin("public".to_owned())),
        (|s| s.join_rule = "restricted".to_owned(), Drift::OpenToJoin("restricted".to_owned())),
        (|s| s.guest_access = "can_join".to_owned(), Drift::GuestsAllowed),
        (|s| s.history_visibility = "invited".to_owned(), Drift::HistoryVisible("invited".to_owned())),
        (|s| s.federates = true, Drift::Federates),
        (|s| s.discoverable = true, Drift::Discoverable),
        (|s| s.powers.invite = 0, Drift::OwnerMayInvite),
        (|s| s.powers.ban = 0, Drift::OwnerMayKick),
        (|s| s.powers.state = 0, Drift::OwnerMayChangeState),
        (|s| s.members[1].1 = Membership::Leave, Drift::OwnerGone),
        (|s| s.members[0].1 = Membership::Invite, Drift::AssistantGone),
        (|s| s.replaced_by = Some(owned_room_id!("!third:here.org")), Drift::Replaced),
    ];
    for (loosen, drift) in table {
        let mut state = tight();
        loosen(&mut state);
        assert_eq!(next_step(&replaced(), &inside(state)), Step::Refuse(vec![Objection::Loose(drift)]));
    }
}

#[test]
fn a2_a_successor_with_a_third_member_or_that_points_elsewhere_is_not_followed() {
    for membership in [Membership::Join, Membership::Invite] {
        let mut state = tight();
        state.members.push((owned_user_id!("@bob:here.org"), membership));
        assert_eq!(next_step(&replaced(), &inside(state)), Step::Refuse(vec![Objection::ThirdMember]));
    }
    for predecessor in [None, Some(owned_room_id!("!other:here.org"))] {
        let sight = Sight::Inside { predecessor, state: tight() };
        assert_eq!(next_step(&replaced(), &sight), Step::Refuse(vec![Objection::PointsElsewhere]));
    }
    let clients_own = RoomState { powers: Powers { owner: 100, ..tight().powers }, ..tight() };
    let drifts = [Drift::OwnerMayInvite, Drift::OwnerMayKick, Drift::OwnerMayChangeState];
    let step = next_step(&replaced(), &inside(clients_own));
    assert_eq!(step, Step::Refuse(drifts.map(Objection::Loose).to_vec()), "as a client's own upgrade leaves it");
}

#[test]
fn a2_objections_read_as_parts_of_one_sentence() {
    let objections = [
        Objection::ReplacedBySomebody,
        Objection::PointsElsewhere,
        Objection::InvitedBySomebody,
        Objection::ThirdMember,
        Objection::Loose(Drift::NotEncrypted),
    ];
    for objection in objections {
        let phrase = objection.to_string();
        assert!(phrase.starts_with(char::is_lowercase) && !phrase.ends_with('.'), "{phrase}");
    }
}
