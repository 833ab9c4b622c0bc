use proptest::prelude::*;
use ruma::owned_user_id;

use super::{Belonging::*, *};

const DAY_MS: u64 = 24 * 3_600_000;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms)
}

fn gone(since: i64, from: Whence) -> Belonging {
    Gone { since: at(since), from }
}

#[test]
fn a1_a3_what_is_seen_of_a_person_decides_how_they_stand() {
    use Whence::{Homeserver, Space};
    let table = [
        ("a new member", None, Sign::InSpace, Some(Due)),
        ("still waiting", Some(Due), Sign::InSpace, Some(Due)),
        ("made", Some(Due), Sign::Provisioned, Some(Here)),
        ("seen again", Some(Here), Sign::InSpace, Some(Here)),
        ("left the space", Some(Here), Sign::NotInSpace, Some(gone(9, Space))),
        ("left before it was made", Some(Due), Sign::NotInSpace, Some(gone(9, Space))),
        ("left the space, seen again as gone", Some(gone(5, Space)), Sign::NotInSpace, Some(gone(5, Space))),
        ("back within the grace", Some(gone(5, Space)), Sign::InSpace, Some(Due)),
        ("out of the space, still in the chat", Some(gone(5, Space)), Sign::InChat, Some(gone(5, Space))),
        ("made while they went", Some(gone(5, Space)), Sign::Provisioned, Some(gone(5, Space))),
        ("left the chat", Some(Here), Sign::LeftChat, Some(LeftChat)),
        ("left the chat of one made on request", None, Sign::LeftChat, Some(LeftChat)),
        ("left the chat, but not the space", Some(LeftChat), Sign::InSpace, Some(LeftChat)),
        ("left the chat and is there", Some(LeftChat), Sign::Account, Some(Here)),
        ("left the chat and the homeserver", Some(LeftChat), Sign::NoAccount, Some(gone(9, Homeserver))),
        ("logged out, and in the chat", Some(Here), Sign::NoAccount, Some(Here)),
        ("deactivated, seen again", Some(gone(5, Homeserver)), Sign::NoAccount, Some(gone(5, Homeserver))),
        ("reactivated", Some(gone(5, Homeserver)), Sign::InChat, Some(Here)),
        ("reactivated, and a device is there", Some(gone(5, Homeserver)), Sign::Account, Some(Here)),
        ("deactivated, and so out of the space", Some(gone(5, Homeserver)), Sign::NotInSpace, Some(gone(5, Space))),
        ("nobody that is known", None, Sign::Account, None),
    ];
    for (case, known, sign, expected) in table {
        assert_eq!(Belonging::after(known, sign, at(9)), expected, "{case}");
    }
}

#[test]
fn a3_what_is_to_be_done_follows_from_it_and_from_the_grace_period() {
    let week = 7 * DAY_MS;
    let gone = Gone { since: at(1_000), from: Whence::Space };
    let over = 1_000 + i64::try_from(week).expect("a week fits");
    let table = [
        (Due, 0, week, Next::Provision),
        (Here, over, week, Next::Nothing),
        (LeftChat, 0, week, Next::Look),
        (gone, over - 1, week, Next::Nothing),
        (gone, over, week, Next::Forget),
        (gone, 1_000, 0, Next::Forget),
        (gone, 0, week, Next::Nothing),
    ];
    for (belonging, now, grace_ms, expected) in table {
        assert_eq!(belonging.next(at(now), grace_ms), expected, "{belonging:?} at {now}");
    }
}

#[test]
fn a1_the_member_list_is_compared_with_what_is_known() {
    let ids = ["alice", "bob", "carol", "dave"].map(|name| OwnedUserId::try_from(format!("@{name}:hs")));
    let [alice, bob, carol, dave] = ids.map(|id| id.expect("a user id"));
    let gone = Gone { since: at(1), from: Whence::Space };
    let known = [(alice.clone(), Here), (bob.clone(), Due), (carol.clone(), gone), (owned_user_id!("@eve:hs"), gone)];
    let present = [alice, carol.clone(), dave.clone()].into();
    assert_eq!(
        compare(&known.into(), &present),
        [(carol, Sign::InSpace), (dave, Sign::InSpace), (bob, Sign::NotInSpace)]
    );
}

proptest! {
    #[test]
    fn a3_nobody_is_forgotten_who_was_here_within_the_grace_period(signs in proptest::collection::vec(0_usize..7, 0..30)) {
        use Sign::{Account, InChat, InSpace, NoAccount, NotInSpace, Provisioned};
        let all = [InSpace, NotInSpace, Provisioned, InChat, Sign::LeftChat, NoAccount, Account];
        let mut known = None;
        let mut here_at = None;
        for (now, sign) in (0_i64..).zip(signs.iter().map(|sign| all[*sign])) {
            known = Belonging::after(known, sign, at(now));
            if known.is_some_and(|known| !known.is_gone()) {
                here_at = Some(now);
            }
            if let (Some(known), Some(here)) = (known, here_at)
                && known.next(at(now), 10) == Next::Forget
            {
                prop_assert!(now - here >= 10, "here at {here}, forgotten at {now}");
            }
        }
    }
}
