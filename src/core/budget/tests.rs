use super::{
    account::look,
    outlay::{Cost, Outlay, RunBy, RunOutlays},
    *,
};
use crate::core::prompt::{Prompt, Role, ToolDefinition, Turn};

mod histories;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// The last millisecond of October 2026.
const OCTOBER: Timestamp = Timestamp::from_ms(1_793_491_199_999);

fn later(ms: i64) -> Timestamp {
    Timestamp::from_ms(OCTOBER.as_ms() + ms)
}

fn usd(micro: u64) -> Usd {
    Usd::from_micro(micro)
}

fn limited(scope: Scope, month: Option<u64>, day: Option<u64>) -> Entry {
    let limits = Limits { month: month.map(usd), day: day.map(usd) };
    Entry { scope, limits, account: Account::default() }
}

fn costing(prompt: u64, answer: u64) -> Estimate {
    Estimate { prompt: usd(prompt), answer: usd(answer) }
}

/// Spends an amount at once.
pub(super) fn spend(account: &mut Account, micro: u64, now: Timestamp) {
    let mut entries = [Entry { account: account.clone(), ..limited(Scope::Person, None, None) }];
    reserve(&mut entries, "call", &costing(0, 0), now).expect("there is no limit");
    entries[0].account.settle("call", usd(micro));
    account.clone_from(&entries[0].account);
}

#[test]
fn c19_months_and_days_begin_in_utc_and_limits_end_with_them() {
    assert_eq!([OCTOBER, later(1)].map(month_of), ["2026-10", "2026-11"]);
    assert_eq!([OCTOBER, later(1)].map(day_of), ["2026-10-31", "2026-11-01"]);
    let ends = [(Period::Day, OCTOBER), (Period::Month, OCTOBER), (Period::Day, later(1)), (Period::Month, later(1))];
    let ends = ends.map(|(period, now)| end_of(period, now));
    assert_eq!(ends, [later(1), later(1), later(1 + DAY_MS), later(1 + 30 * DAY_MS)]);
    for odd in [i64::MIN, i64::MAX, -1, 0] {
        let now = Timestamp::from_ms(odd);
        let _ = (month_of(now), day_of(now), end_of(Period::Day, now), end_of(Period::Month, now));
    }
}

#[test]
fn c23_money_is_read_and_shown_in_dollars_and_cents() {
    let read = [("12", 12_000_000), ("0.5", 500_000), ("0.50", 500_000), ("3.07", 3_070_000), ("0", 0)];
    for (text, micro) in read {
        assert_eq!(Usd::parse(text), Some(usd(micro)), "{text}");
    }
    for text in ["", ".", "1.", ".5", "1.234", "-1", "1e3", "$1", " 1", "99999999999999999999", "18446744073709.60"] {
        assert_eq!(Usd::parse(text), None, "{text}");
    }
    let shown = [(1_000_000, "$1"), (500_000, "$0.50"), (1, "$0.01"), (1_230_000, "$1.23"), (0, "$0")];
    for (micro, text) in shown {
        assert_eq!(usd(micro).to_string(), text);
    }
}

#[test]
fn c23_a_burst_finds_what_is_reserved_and_the_limit_that_lasts_longest_is_named() {
    let mut entries = [limited(Scope::Coworker, Some(100), None), limited(Scope::Person, Some(500), Some(100))];
    let now = later(1);
    assert_eq!(reserve(&mut entries, "a", &costing(10, 60), now), Ok(()));
    assert_eq!(reserve(&mut entries, "b", &costing(10, 60), now), Ok(()), "70 of 100 leave room for one call");
    let full = reserve(&mut entries, "c", &costing(0, 1), now).expect_err("140 of 100 do not");
    assert_eq!((full.scope, full.period, full.why), (Scope::Coworker, Period::Month, Why::Reserved));
    assert_eq!((full.until, full.limit), (later(1 + 30 * DAY_MS), usd(100)));

    for entry in &mut entries {
        entry.account.settle("a", usd(15));
        entry.account.settle("b", usd(15));
        entry.account.settle("b", usd(15));
    }
    assert_eq!(reserve(&mut entries, "c", &costing(90, 0), now), Ok(()), "30 of 100 leave room");
    for entry in &mut entries {
        entry.account.settle("c", usd(90));
    }
    let full = look(&entries, now).expect_err("120 of 100 are spent");
    assert_eq!((full.scope, full.why), (Scope::Coworker, Why::Spent));
    assert_eq!(look(&entries[1..], now).expect_err("so they are in the day").period, Period::Day);
    assert_eq!(look(&entries[1..], later(1 + DAY_MS)), Ok(()), "a new day");
    assert_eq!(full.name(), "coworker/month");
}

#[test]
fn c23_a_call_that_is_made_again_must_find_room_again() {
    let mut entries = [limited(Scope::Workspace, Some(100), None)];
    reserve(&mut entries, "a", &costing(10, 200), OCTOBER).expect("there is room");
    assert_eq!(reserve_again(&mut entries, "a", usd(40), &costing(10, 200), OCTOBER), Ok(()));
    let full = reserve_again(&mut entries, "a", usd(100), &costing(10, 200), OCTOBER).expect_err("it used all");
    assert_eq!(full.why, Why::Spent);
    entries[0].account.settle("a", usd(100));
    assert_eq!(entries[0].account.spent(Period::Month, OCTOBER), usd(100));
}

#[test]
fn c23_a_crash_leaks_no_reservation_and_loses_no_spending() {
    let mut entries = [limited(Scope::Room, Some(100), Some(100))];
    for call in ["unknown", "noted"] {
        reserve(&mut entries, call, &costing(10, 20), OCTOBER).expect("there is room");
    }
    entries[0].account.note("noted", usd(25));
    let stored = serde_json::to_string(&entries[0].account).expect("an account is stored");

    let mut account: Account = serde_json::from_str(&stored).expect("and read");
    let held = account.held();
    assert_eq!(held, [("noted".to_owned(), usd(25)), ("unknown".to_owned(), usd(10))]);
    for (call, noted) in held {
        account.settle(&call, noted);
    }
    assert_eq!(account.held(), [], "once");
    assert_eq!(account.spent(Period::Month, OCTOBER), usd(35), "a prompt, and what was noted");
    assert_eq!(account.spent(Period::Day, later(1)), Usd::ZERO);
    assert!(!account.is_stale(later(80 * DAY_MS)) && account.is_stale(later(200 * DAY_MS)));
    insta::assert_snapshot!(stored);
}

#[test]
fn c23_an_estimate_counts_all_that_a_call_may_cost() {
    let price = Price {
        prompt_nano_usd: 8_000,
        answer_nano_usd: 20_000,
        search_nano_usd: 10_000_000,
        container_nano_usd: 20_000_000,
    };
    let mut prompt = Prompt { system: vec!["seven c".to_owned()], ..Prompt::default() };
    prompt.turns.push(Turn::new(Role::User, "seven c"));
    assert_eq!(prompt_tokens(&prompt), 4);
    assert_eq!(estimate(&prompt, prompt_tokens(&prompt), 1_000, price), costing(32, 20_000));
    prompt.tools.push(ToolDefinition::Provider(serde_json::json!(1)));
    let searching = estimate(&prompt, prompt_tokens(&prompt), 1_000, price);
    assert_eq!(searching, costing(40, 20_000 + 5 * 20_000 * 8 + 50_000));
    prompt.tools = vec![ToolDefinition::Provider(serde_json::json!({ "name": "code_execution" }))];
    let computing = estimate(&prompt, 5, 1_000, price);
    assert_eq!(computing, costing(40, 20_000 + 5 * 20_000 * 8 + 50_000 + 20_000), "and the container's time");
    assert!(estimate(&prompt, prompt_tokens(&prompt), u32::MAX, Price::UNKNOWN).whole() > searching.whole());
}

#[test]
fn c23_a_limit_below_what_is_spent_or_of_nothing_leaves_no_room_and_a_raised_one_does() {
    let mut entries = [limited(Scope::Person, Some(100), None)];
    reserve(&mut entries, "a", &costing(10, 60), OCTOBER).expect("there is room");
    entries[0].account.settle("a", usd(70));
    let table = [
        (Some(0), Some(Why::Spent)),
        (Some(1), Some(Why::Spent)),
        (Some(70), Some(Why::Spent)),
        (Some(71), None),
        (None, None),
    ];
    for (month, why) in table {
        entries[0].limits = Limits { month: month.map(usd), day: None };
        assert_eq!(look(&entries, OCTOBER).err().map(|full| full.why), why, "{month:?}");
    }
    let fresh = [limited(Scope::Person, None, Some(0))];
    assert_eq!(look(&fresh, OCTOBER).expect_err("nothing may be spent").why, Why::Spent);
}

#[test]
fn c23_what_nobody_asks_for_is_declined_with_a_word_once_until_the_limit_ends() {
    let [first, second] = ["$first", "$second"].map(|id| ruma::EventId::parse(id).expect("an id"));
    let mut entries = [limited(Scope::Room, None, Some(1))];
    reserve(&mut entries, "a", &costing(1, 0), OCTOBER).expect("there is room");
    entries[0].account.settle("a", usd(1));
    let full = look(&entries, OCTOBER).expect_err("it is spent");
    assert!(is_unasked_word_due(None, &full, &first));
    let said = (full.until, first.clone());
    assert!(is_unasked_word_due(Some(&said), &full, &first), "the same event after a crash");
    assert!(!is_unasked_word_due(Some(&said), &full, &second), "the next due time");
    let tomorrow = Full { until: later(1 + DAY_MS), ..full };
    assert!(is_unasked_word_due(Some(&said), &tomorrow, &second), "the next day");
}

#[test]
fn c23_a_clock_that_jumps_far_and_back_forgets_nothing_of_the_month() {
    let mut account = Account::default();
    spend(&mut account, 70, OCTOBER);
    for month in 1..40 {
        spend(&mut account, 1, later(month * 31 * DAY_MS));
    }
    for past in [i64::MIN, -1, 0] {
        spend(&mut account, 1, Timestamp::from_ms(past));
    }
    // The future is remembered, as far as it is near; October came again, and what it had is gone only with its record.
    let mut account = Account::default();
    for month in 1..=13 {
        spend(&mut account, 1, later(month * 31 * DAY_MS));
    }
    spend(&mut account, 70, OCTOBER);
    assert_eq!(account.spent(Period::Month, OCTOBER), usd(70), "what is spent now is never what is dropped");
    spend(&mut account, 5, OCTOBER);
    assert_eq!((account.spent(Period::Month, OCTOBER), account.spent(Period::Day, OCTOBER)), (usd(75), usd(75)));
}
