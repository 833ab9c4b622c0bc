use ruma::{owned_room_id, owned_user_id, user_id};

use super::*;

/// Returns Alice's chat with her assistant, as the assistant makes it.
pub(in crate::core) fn tight() -> RoomState {
    RoomState {
        creator: owned_user_id!("@assistant-alice:here.org"),
        encrypted: true,
        join_rule: "invite".to_owned(),
        guest_access: "forbidden".to_owned(),
        history_visibility: "joined".to_owned(),
        federates: false,
        discoverable: false,
        members: vec![
            (owned_user_id!("@assistant-alice:here.org"), Membership::Join),
            (owned_user_id!("@alice:here.org"), Membership::Join),
        ],
        powers: Powers { owner: 0, invite: 100, kick: 100, ban: 100, state: 100 },
        replaced_by: None,
    }
}

fn check(state: &RoomState) -> RoomCheck {
    check_room(state, Origin::Made, user_id!("@alice:here.org"), user_id!("@assistant-alice:here.org"))
}

#[test]
fn a2_a_room_as_it_was_made_is_tight() {
    assert_eq!(check(&tight()), RoomCheck::default());
    assert!(check(&tight()).is_tight());
    let mut invited = tight();
    invited.members[1].1 = Membership::Invite;
    assert!(check(&invited).is_tight());
}

type Loosen = fn(&mut RoomState);

#[test]
fn a2_every_way_to_loosen_a_room_is_found() {
    let table: [(Loosen, Drift); 16] = [
        (|s| s.creator = owned_user_id!("@alice:here.org"), Drift::NotOurRoom),
        (|s| s.encrypted = false, Drift::NotEncrypted),
        (|s| s.join_rule = "public".to_owned(), Drift::OpenToJoin("public".to_owned())),
        (|s| s.join_rule = "knock".to_owned(), Drift::OpenToJoin("knock".to_owned())),
        (|s| s.guest_access = "can_join".to_owned(), Drift::GuestsAllowed),
        (|s| s.history_visibility = "shared".to_owned(), Drift::HistoryVisible("shared".to_owned())),
        (|s| s.federates = true, Drift::Federates),
        (|s| s.discoverable = true, Drift::Discoverable),
        (|s| s.powers.invite = 0, Drift::OwnerMayInvite),
        (|s| s.powers.kick = 0, Drift::OwnerMayKick),
        (|s| s.powers.ban = -1, Drift::OwnerMayKick),
        (|s| s.powers.state = 0, Drift::OwnerMayChangeState),
        (|s| s.members[1].1 = Membership::Leave, Drift::OwnerGone),
        (|s| s.members[0].1 = Membership::Leave, Drift::AssistantGone),
        (|s| s.members[0].1 = Membership::Invite, Drift::AssistantGone),
        (|s| s.replaced_by = Some(owned_room_id!("!next:here.org")), Drift::Replaced),
    ];
    for (loosen, drift) in table {
        let mut state = tight();
        loosen(&mut state);
        let found = check(&state);
        assert!(!found.is_tight(), "{drift}");
        assert_eq!(found, RoomCheck { drifts: vec![drift], third_members: vec![] });
    }
}

#[test]
fn a2_an_owner_with_all_power_is_three_drifts() {
    let mut state = tight();
    state.powers.owner = 100;
    assert_eq!(check(&state).drifts, [Drift::OwnerMayInvite, Drift::OwnerMayKick, Drift::OwnerMayChangeState]);
}

#[test]
fn a2_a_third_member_counts_however_it_came_and_only_while_it_is_there() {
    let bob = || owned_user_id!("@bob:here.org");
    let oncall = || owned_user_id!("@coworker-oncall:here.org");
    let table = [
        (vec![(bob(), Membership::Join)], vec![bob()]),
        (vec![(bob(), Membership::Invite)], vec![bob()]),
        (vec![(oncall(), Membership::Join), (bob(), Membership::Join)], vec![bob(), oncall()]),
        (vec![(bob(), Membership::Join), (bob(), Membership::Leave)], vec![]),
        (vec![(bob(), Membership::Leave)], vec![]),
        (vec![(bob(), Membership::Ban)], vec![]),
        (vec![(bob(), Membership::Knock)], vec![]),
    ];
    for (others, third_members) in table {
        let mut state = tight();
        state.members.extend(others);
        assert_eq!(check(&state), RoomCheck { drifts: vec![], third_members });
    }
}

#[test]
fn a2_only_a_room_that_replaces_another_may_be_its_owners_making() {
    let [alice, assistant, bob] = ["@alice:here.org", "@assistant-alice:here.org", "@bob:here.org"]
        .map(|user| UserId::parse(user).expect("a user id"));
    let table = [
        (&assistant, Origin::Made, vec![]),
        (&assistant, Origin::Followed, vec![]),
        (&alice, Origin::Made, vec![Drift::NotOurRoom]),
        (&alice, Origin::Followed, vec![]),
        (&bob, Origin::Made, vec![Drift::NotOurRoom]),
        (&bob, Origin::Followed, vec![Drift::NotOurRoom]),
    ];
    for (creator, origin, drifts) in table {
        let state = RoomState { creator: creator.clone(), ..tight() };
        let found = check_room(&state, origin, &alice, &assistant);
        assert_eq!(found, RoomCheck { drifts, third_members: vec![] }, "{creator}, {origin:?}");
    }
}
