use ruma::{OwnedUserId, owned_room_id, owned_user_id};

use super::*;
use crate::core::{
    audit::{
        Spending, add_up,
        tests::{namespace, summary},
    },
    budget::outlay::Outlay,
    trail::Tally,
};

/// 29 November 2026, 17:05:09 UTC.
const AT: Timestamp = Timestamp::from_ms(1_795_971_909_000);

fn outlay(day: &str, person: Option<OwnedUserId>, model: &str, micro: u64) -> Outlay {
    let priced = model != "odd";
    let (day, model, cost) = (day.to_owned(), model.to_owned(), Some(Usd::from_micro(micro)));
    Outlay { day, person, model, cost, priced, batch: false }
}

fn costs(coworker: Option<&str>, calls: Vec<Outlay>) -> RunOutlays {
    let room = coworker.map(|_| owned_room_id!("!room:hs"));
    let coworker = coworker.map(ToOwned::to_owned);
    RunOutlays { user: owned_user_id!("@any:hs"), coworker, room, calls: vec![calls] }
}

fn outlays() -> Vec<(RunKey, RunOutlays)> {
    let [alice, bob] = [owned_user_id!("@alice:hs"), owned_user_id!("@bob:hs")].map(Some);
    let all = [
        costs(
            Some("ci"),
            vec![outlay("2026-11-28", alice.clone(), "opus", 10), outlay("2026-11-29", alice, "opus", 5)],
        ),
        costs(Some("ops"), vec![outlay("2026-11-29", None, "odd", 40)]),
        costs(None, vec![outlay("2026-11-29", bob, "haiku", 7)]),
    ];
    (0..).map(|number| (AT, format!("run{number}"))).zip(all).collect()
}

fn ended(outcome: Outcome, reason: Option<&str>) -> RunSummary {
    let tool = |tool: &str, outcome| Tally { tool: tool.to_owned(), outcome, decision: None, duration_ms: 1 };
    RunSummary {
        coworker: Some("ci".to_owned()),
        outcome,
        reason: reason.map(ToOwned::to_owned),
        tools: vec![tool("http_get", StepOutcome::Done), tool("http_get", StepOutcome::Failed)],
        accepted_at: AT,
        ended_at: AT.later(2_000),
        ..summary()
    }
}

fn index() -> Vec<(RunKey, RunSummary)> {
    let key = |run: &str| (AT, run.to_owned());
    let private = RunSummary {
        private: true,
        coworker: None,
        asker: owned_user_id!("@bob:hs"),
        user: owned_user_id!("@assistant-bob:hs"),
        ..ended(Outcome::Done, None)
    };
    // The first is of an early version, and has no outlays.
    let old = Timestamp::from_ms(AT.as_ms() - 40 * DAY_MS);
    let early = RunSummary { accepted_at: old, ended_at: old, cost_micro_usd: Some(100), ..ended(Outcome::Done, None) };
    vec![
        ((old, "old".to_owned()), early),
        (key("run0"), ended(Outcome::Done, None)),
        (key("run1"), ended(Outcome::Failed, Some("overloaded"))),
        (key("run2"), private),
    ]
}

fn sums() -> Sums {
    let (outlays, index) = (outlays().into_iter().map(Ok::<_, ()>), index().into_iter().map(Ok));
    Sums::of(Zone::default(), outlays, index, &namespace()).expect("it is read")
}

const ALL: (Option<Day>, Option<Day>) = (None, None);

#[test]
fn c13_a_report_costs_what_audit_spend_says_by_everything() {
    for by in [By::Room, By::Person, By::Coworker, By::Model, By::Day] {
        for since in [None, Some(AT)] {
            let (outlays, index) = (outlays().into_iter().map(Ok::<_, ()>), index().into_iter().map(Ok));
            let spent = add_up(Spending::new(by, since, Zone::default()), outlays, index, &namespace());
            let (spent, in_all) = spent.expect("it is read");
            let (rows, sum) = sums().report(by, (since.map(Day::of), None));
            let costs = |name: &Option<String>| {
                let found = rows.iter().find(|row| row.name == *name).map(|row| row.figures).unwrap_or_default();
                (found.cost_micro_usd, found.unpriced_micro_usd, found.calls)
            };
            for row in &spent {
                let calls = u64::try_from(row.calls).expect("few");
                assert_eq!(costs(&row.name), (row.cost_micro_usd, row.unpriced_micro_usd, calls), "{by:?} {row:?}");
            }
            assert_eq!(sum.figures.cost_micro_usd, in_all.cost_micro_usd, "{by:?}");
            assert_eq!(sum.figures.unpriced_micro_usd, in_all.unpriced_micro_usd, "{by:?}");
            let added: u64 = rows.iter().map(|row| row.figures.cost_micro_usd).sum();
            assert_eq!(added, sum.figures.cost_micro_usd, "{by:?}");
        }
    }
}

#[test]
fn c13_runs_are_counted_by_how_they_ended_and_an_assistants_tools_are_not_named() {
    let (rows, sum) = sums().report(By::Coworker, ALL);
    let runs = |name: Option<&str>| {
        let row = rows.iter().find(|row| row.name.as_deref() == name).expect("it is there");
        (row.figures.runs, row.figures.done, row.figures.failed, row.figures.mean_ms())
    };
    assert_eq!((runs(Some("ci")), runs(None)), ((3, 2, 1, 1_333), (1, 1, 0, 2_000)));
    assert_eq!((sum.figures.runs, sum.figures.tool_calls, sum.figures.tokens()), (4, 8, 4 * 1_234));
    let tools = sums().rows(Named::Tool, ALL);
    let tools: Vec<_> = tools.iter().map(|row| (row.name.as_deref(), row.figures.runs, row.figures.failed)).collect();
    assert_eq!(tools, [(Some("http_get"), 6, 3)], "those of coworkers alone");
    let owners = sums().rows(Named::Owner, ALL);
    let owners: Vec<_> =
        owners.iter().map(|row| (row.name.as_deref(), row.figures.runs, row.figures.cost_micro_usd)).collect();
    assert_eq!(owners, [(Some("@bob:hs"), 1, 7)], "assistants alone");
    let causes = sums().rows(Named::Cause, ALL);
    assert_eq!(causes.iter().map(|row| row.name.as_deref()).collect::<Vec<_>>(), [Some("overloaded")]);
}

#[test]
fn c13_what_changes_or_goes_is_counted_no_more() {
    let mut changed = sums();
    let (key, before) = outlays().remove(1);
    let after = costs(Some("ops"), vec![outlay("2026-11-29", None, "odd", 41)]);
    changed.uncount_outlays(&before);
    changed.count_outlays(&key, &after);
    assert_eq!(changed.report(By::Day, ALL).1.figures.cost_micro_usd, 163);

    let mut emptied = sums();
    for (key, summary) in index() {
        emptied.uncount_run(key, summary, &namespace());
    }
    for (_, costs) in outlays() {
        emptied.uncount_outlays(&costs);
    }
    assert!(emptied.is_empty(), "{emptied:?}");
}

#[test]
fn c13_sums_are_bounded_and_what_does_not_fit_is_still_counted() {
    let mut sums = Sums { cells_max: 30, ..Sums::new(Zone::default()) };
    for number in 0..1_000 {
        let person = OwnedUserId::try_from(format!("@p{number}:hs")).expect("an id");
        let costs = costs(Some("ci"), vec![outlay("2026-11-29", Some(person), "opus", 1)]);
        sums.count_outlays(&(AT, format!("run{number}")), &costs);
    }
    let (rows, sum) = sums.report(By::Person, ALL);
    assert!(sums.len() <= 40 && rows.len() < 40, "{}", sums.len());
    assert_eq!((sum.figures.cost_micro_usd, rows[0].name.as_deref()), (1_000, Some(OTHERS)));
    assert_eq!(rows.iter().map(|row| row.figures.cost_micro_usd).sum::<u64>(), 1_000);
}

#[test]
fn days_are_read_and_written_and_sort() {
    let day = Day::written("2026-11-29");
    assert_eq!((day.shown().as_str(), Day::of(AT)), ("2026-11-29", day));
    assert!(Day::written("2026-11-30") > day && Day::written("nonsense") < day);
    assert_eq!(sums().report(By::Day, (Some(Day::written("2027-01-01")), Some(day))).0.len(), 1, "turned around");
}
