use ruma::{owned_server_name, owned_user_id, user_id};

use super::*;

fn namespace() -> Namespace {
    Namespace {
        allowed_servers: [owned_server_name!("friends.org")].into(),
        bots: [owned_user_id!("@buildbot:here.org")].into(),
        bridges: vec![crate::core::people::Bridge {
            ids: crate::core::people::IdPattern::parse("@irc_.*").expect("a pattern"),
            may: crate::core::people::Bridged::Ask,
        }],
        ..Namespace::of_tests(owned_server_name!("here.org"))
    }
}

fn decline(tell: Tell) -> InviteDecision {
    InviteDecision::Decline { tell: Some(tell) }
}

#[test]
fn c3_c4_a_coworker_accepts_group_invites_from_those_it_should() {
    let only = [owned_user_id!("@bob:here.org"), owned_user_id!("@mallory:evil.org")].into();
    let (members, only) = (Some(Accepts::Members), Some(Accepts::Only(&only)));
    let silent = InviteDecision::Decline { tell: None };
    let table = [
        ("a member", "@alice:here.org", members, InviteDecision::Join),
        ("an allow-listed server", "@carol:friends.org", members, InviteDecision::Join),
        ("a named person", "@bob:here.org", only, InviteDecision::Join),
        ("a person not named", "@alice:here.org", only, decline(Tell::NotAccepted)),
        ("a direct chat, perhaps of several people", "@alice:here.org", members, InviteDecision::Join),
        ("not in config", "@alice:here.org", None, decline(Tell::UnknownCoworker)),
        ("a stranger", "@mallory:evil.org", members, silent.clone()),
        ("a stranger that is named", "@mallory:evil.org", only, silent.clone()),
        ("a bot", "@buildbot:here.org", members, silent.clone()),
        ("a guest", "@17:here.org", members, silent.clone()),
        ("a puppet that may ask", "@irc_ann:here.org", members, silent.clone()),
        ("a coworker", "@coworker-ci:here.org", members, silent),
    ];
    for (name, inviter, accepts, expected) in table {
        let host = UserId::parse(inviter).unwrap();
        let guest = user_id!("@coworker-oncall:here.org");
        let invite = Invite { invited: guest, inviter: &host, humans: None, accepts };
        assert_eq!(on_invite(&namespace(), &invite), expected, "{name}");
    }
}

#[test]
fn a1_a2_assistants_and_the_service_bot_join_no_room_but_a_direct_chat() {
    let alice = owned_user_id!("@alice:here.org");
    let carol = owned_user_id!("@carol:friends.org");
    let (assistant, service) = ("@assistant-alice:here.org", "@workmate:here.org");
    let make = InviteDecision::MakeAssistant { owner: alice.clone() };
    let dm = |person: &OwnedUserId, assistant| InviteDecision::ServiceDm { person: person.clone(), assistant };
    let table = [
        ("the owner", assistant, "@alice:here.org", None, make.clone()),
        ("the owner, unmarked", assistant, "@alice:here.org", None, make),
        ("the owner, a group", assistant, "@alice:here.org", Some(2), decline(Tell::AssistantStaysPrivate)),
        ("somebody else", assistant, "@bob:here.org", None, decline(Tell::NotYourAssistant)),
        ("a namesake", assistant, "@alice:friends.org", None, decline(Tell::NotYourAssistant)),
        ("service, local", service, "@alice:here.org", Some(1), dm(&alice, AssistantFor::Local)),
        ("service, friend", service, "@carol:friends.org", None, dm(&carol, AssistantFor::Nobody)),
        ("service, unmarked", service, "@alice:here.org", None, dm(&alice, AssistantFor::Local)),
        ("service, a group", service, "@alice:here.org", Some(3), decline(Tell::ServiceOnlyDirect)),
        ("service, a stranger", service, "@mallory:evil.org", None, InviteDecision::Decline { tell: None }),
        ("not ours", "@bob:here.org", "@alice:here.org", None, InviteDecision::Decline { tell: None }),
    ];
    for (name, guest, host, humans, expected) in table {
        let (guest, host) = (UserId::parse(guest).unwrap(), UserId::parse(host).unwrap());
        let invite = Invite { invited: &guest, inviter: &host, humans, accepts: None };
        assert_eq!(on_invite(&namespace(), &invite), expected, "{name}");
    }
}

#[test]
fn c4_a_coworker_stays_only_where_two_humans_are_or_are_invited() {
    let table = [
        (2, 0, AfterJoin::Stay),
        (5, 3, AfterJoin::Stay),
        (1, 1, AfterJoin::Await),
        (0, 2, AfterJoin::Await),
        (1, 0, AfterJoin::LeaveAndTell(Tell::AskInRoom)),
        (0, 0, AfterJoin::LeaveAndTell(Tell::AskInRoom)),
    ];
    for (humans, humans_invited, expected) in table {
        assert_eq!(after_join(&Company { humans, humans_invited, ours: 3 }), expected, "{humans} {humans_invited}");
    }
}
