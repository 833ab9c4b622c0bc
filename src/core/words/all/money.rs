//! The texts about budgets.

use ruma::{owned_room_id, owned_user_id, server_name};

use super::{AT, Book};
use crate::core::{
    breaker::Whose,
    budget::{Full, Holder, Low, Period, Scope, Usd, Why},
    words::spending::{self, Account, Crowd},
    zone::Zone,
};

fn account(name: &str, limits: [Option<u32>; 2]) -> Account {
    let [month, day] = limits.map(|limit| limit.map(Usd::dollars));
    let (spent, today) = (Usd::from_micro(12_340_000), Usd::from_micro(1_000_001));
    Account { name: name.to_owned(), spent: vec![(Period::Month, spent, month), (Period::Day, today, day)] }
}

pub(super) fn declined(book: &mut Book) {
    for scope in [Scope::Workspace, Scope::Person, Scope::Room, Scope::Coworker] {
        let full = |why| Full { scope, period: Period::Day, limit: Usd::dollars(5), why, until: AT, begun: false };
        book.told("a budget", &spending::budget_reached(&full(Why::Spent), None, &Zone::default()));
        book.told("a budget", &spending::budget_reached(&full(Why::Reserved), None, &Zone::default()));
        book.told(
            "a budget, of a schedule",
            &spending::budget_reached(&full(Why::Spent), Some(ruma::user_id!("@bob:example.org")), &Zone::default()),
        );
    }
    for whose in [Whose::Person, Whose::Room] {
        book.told("a breaker", &spending::breaker(whose, 30, AT, &Zone::default()));
    }
    book.told("too many edits", &spending::too_many_edits());
}

pub(super) fn of_coworker(book: &mut Book) {
    let (none, month, day) = ([None, None], [Some(50), None], [None, Some(10)]);
    book.told("!status, with a budget", &spending::budget_used(&account("", month), &account("", none)));
    book.told("!status, with two", &spending::budget_used(&account("", month), &account("", day)));
}

pub(super) fn of_service(book: &mut Book, status: &str) {
    let everything = account("", [Some(500), Some(50)]);
    let coworkers = [account("oncall", [Some(50), None]), account("ci", [None, None])];
    let limit = Usd::dollars(5);
    let crowds = [Scope::Person, Scope::Room, Scope::Assistant];
    let crowds = crowds.map(|scope| Crowd { scope, period: Period::Day, limit, low: 3, used_up: 1 });
    let ledger = spending::ledger(&everything, &coworkers, &crowds, &Zone::default());
    book.told("!status of an admin", &format!("{status}\n{ledger}"));
    let (free, limited) = (account("", [None, None]), account("", [Some(20), Some(2)]));
    book.told("!status of a person", &spending::own_ledger(&limited, &limited, &Zone::default()));
    book.told("!status of a person", &spending::own_ledger(&free, &free, &Zone::default()));
    book.told("to the audit room", &warning(1));
    book.told("to the audit room, of many", &warning(14));
}

fn warning(people: usize) -> String {
    let low = |holder, period, spent| {
        let (span, limit) = ("2026-11-22".to_owned(), Usd::dollars(5));
        Low { holder, period, span, spent: Usd::from_micro(spent), limit }
    };
    let mut lows = vec![
        low(Holder::Workspace, Period::Month, 4_000_000),
        low(Holder::Coworker(owned_user_id!("@coworker-ci:hs")), Period::Month, 5_000_000),
        low(Holder::Room(owned_room_id!("!room:hs")), Period::Day, 4_250_000),
        low(Holder::Assistant(owned_user_id!("@canary:hs")), Period::Day, 4_100_000),
        low(Holder::Assistant(owned_user_id!("@canary:hs")), Period::Month, 6_000_000),
    ];
    let person = || low(Holder::Person(owned_user_id!("@alice:hs")), Period::Day, 4_400_000);
    lows.extend(std::iter::repeat_with(person).take(people));
    let text = spending::budgets_low(&lows, |_| "ci".to_owned(), server_name!("hs"), &Zone::default());
    assert!(!text.contains("canary"), "A4: an assistant's owner is not named");
    text
}
