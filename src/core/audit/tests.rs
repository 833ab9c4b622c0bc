use ruma::{event_id, owned_event_id, owned_room_id, owned_user_id, server_name};
use serde_json::json;

use super::*;
use crate::core::trail::{Decision, StepOutcome};

const DAY_MS: i64 = 24 * 3_600 * 1_000;
/// 22 November 2026, 14:05:07 UTC.
const NOW: Timestamp = Timestamp::from_ms(1_795_356_307_000);

pub(super) fn namespace() -> Namespace {
    Namespace::of_tests(server_name!("hs").to_owned())
}

fn tally(tool: &str) -> Tally {
    let decision = Some(Decision::Approved { by: owned_user_id!("@bob:hs"), at: NOW });
    Tally { tool: tool.to_owned(), outcome: StepOutcome::Done, decision, duration_ms: 5 }
}

pub(crate) fn summary() -> RunSummary {
    RunSummary {
        batch: None,
        user: owned_user_id!("@coworker-oncall:hs"),
        coworker: Some("oncall".to_owned()),
        private: false,
        asker: owned_user_id!("@alice:hs"),
        room: owned_room_id!("!room:hs"),
        thread: Some(owned_event_id!("$ask")),
        request: owned_event_id!("$ask"),
        answer: Some(owned_event_id!("$answer")),
        outcome: Outcome::Done,
        read: vec![owned_event_id!("$one"), owned_event_id!("$ask")],
        read_span: Some((Timestamp::from_ms(1_000), NOW)),
        tools: vec![tally("room_search")],
        model: Some("claude-opus-5-5".to_owned()),
        model_calls: 2,
        input_tokens: 1_200,
        cached_tokens: 1_000,
        output_tokens: 34,
        cost_micro_usd: Some(12_300),
        refused: None,
        left_out: 0,
        fallback: false,
        origin: None,
        accepted_at: NOW,
        ended_at: Timestamp::from_ms(NOW.as_ms() + 2_500),
        reason: None,
        line_due: true,
    }
}

impl Entry {
    /// Returns a coworker's run with no more than each run has; tests add what they are about.
    pub(crate) fn bare(accepted_at: Timestamp) -> Self {
        Self {
            batch: None,
            run: "0123456789abcdef".to_owned(),
            kind: Kind::Coworker,
            coworker: Some("oncall".to_owned()),
            user: owned_user_id!("@coworker-oncall:hs"),
            asker: owned_user_id!("@alice:hs"),
            room: Some(owned_room_id!("!room:hs")),
            thread: None,
            request: None,
            answer: None,
            outcome: Outcome::Done,
            reason: None,
            read: Vec::new(),
            read_span: None,
            tools: Vec::new(),
            tool_calls: 0,
            model: None,
            refused: None,
            left_out: 0,
            fallback: false,
            origin: None,
            spent: Spent::default(),
            accepted_at,
            ended_at: accepted_at,
        }
    }
}

fn entry(id: &str, summary: RunSummary) -> Entry {
    Entry::of((summary.accepted_at, id.to_owned()), summary, &namespace())
}

#[test]
fn c13_what_is_stored_of_a_run_is_a_matter_of_migration() {
    insta::assert_json_snapshot!(summary());
}

#[test]
fn c13_what_is_exported_of_a_run_reads_back() {
    let entry = entry("0123456789abcdef", summary());
    insta::assert_json_snapshot!(entry);
    let line = serde_json::to_string(&Answer::Run(Box::new(entry.clone()))).expect("is JSON");
    assert_eq!(serde_json::from_str::<Answer>(&line).expect("reads back"), Answer::Run(Box::new(entry)));
    let ask = Ask::List(Filter { outcome: Some(Outcome::Declined), limit: Some(3), ..Filter::default() });
    let line = serde_json::to_string(&ask).expect("is JSON");
    assert_eq!(serde_json::from_str::<Ask>(&line).expect("reads back"), ask);
    let ask = Ask::Spend { by: By::Room, since: Some(Timestamp::from_ms(7)) };
    let line = serde_json::to_string(&ask).expect("is JSON");
    assert_eq!(serde_json::from_str::<Ask>(&line).expect("reads back"), ask);
}

#[test]
fn a4_of_an_assistants_run_operators_see_owner_outcome_and_counts() {
    let private =
        RunSummary { user: owned_user_id!("@assistant-alice:hs"), coworker: None, private: true, ..summary() };
    let shown = entry("0123456789abcdef", private.clone());
    insta::assert_json_snapshot!(shown);
    // A record marked private stays private whatever else it says.
    let odd =
        RunSummary { coworker: Some("oncall".to_owned()), user: owned_user_id!("@coworker-oncall:hs"), ..private };
    let shown = entry("0123456789abcdef", odd);
    assert_eq!((shown.kind, shown.room, shown.request, shown.read.len()), (Kind::Assistant, None, None, 0));
}

#[test]
fn c13_records_from_before_tools_are_read_and_told_apart_by_the_users_name() {
    let old = |user: &str| -> RunSummary {
        serde_json::from_value(json!({
            "user": user, "asker": "@alice:hs", "room": "!room:hs", "request": "$ask", "answer": "$answer",
            "outcome": "done", "read": [], "model": null, "input_tokens": 7, "output_tokens": 3,
            "cost_micro_usd": null, "accepted_at": 5, "ended_at": 9,
        }))
        .expect("an old record")
    };
    let coworker = entry("0123456789abcdef", old("@coworker-oncall:hs"));
    let assistant = entry("0123456789abcdef", old("@assistant-alice:hs"));
    assert_eq!((coworker.kind, coworker.coworker.as_deref()), (Kind::Coworker, Some("oncall")));
    assert_eq!(coworker.request.as_deref(), Some(event_id!("$ask")));
    assert_eq!((assistant.kind, assistant.room, assistant.request), (Kind::Assistant, None, None));
    let unknown = entry("0123456789abcdef", old("@someone:hs"));
    assert_eq!((unknown.kind, unknown.room), (Kind::Assistant, None));
}

#[test]
fn c13_a_filter_takes_what_fits_all_of_it() {
    let run = entry("0123456789abcdef", summary());
    let earlier = Timestamp::from_ms(NOW.as_ms() - 1);
    let later = Timestamp::from_ms(NOW.as_ms() + 1);
    let all = Filter::default;
    let rows: [(Filter, bool); 14] = [
        (all(), true),
        (Filter { coworker: Some("oncall".into()), ..all() }, true),
        (Filter { coworker: Some("ci".into()), ..all() }, false),
        (Filter { room: Some(owned_room_id!("!room:hs")), ..all() }, true),
        (Filter { room: Some(owned_room_id!("!other:hs")), ..all() }, false),
        (Filter { person: Some(owned_user_id!("@alice:hs")), ..all() }, true),
        (Filter { person: Some(owned_user_id!("@alice:elsewhere")), ..all() }, false),
        (Filter { tool: Some("room_search".into()), ..all() }, true),
        (Filter { tool: Some("room".into()), ..all() }, false),
        (Filter { outcome: Some(Outcome::Failed), ..all() }, false),
        (Filter { since: Some(NOW), until: Some(NOW), ..all() }, true),
        (Filter { since: Some(later), ..all() }, false),
        (Filter { until: Some(earlier), ..all() }, false),
        (Filter { person: Some(owned_user_id!("@alice:hs")), tool: Some("x".into()), ..all() }, false),
    ];
    for (filter, expected) in rows {
        assert_eq!(filter.matches(&run), expected, "{filter:?}");
    }
}

#[test]
fn a4_no_filter_finds_out_what_an_assistants_run_hides() {
    let private =
        RunSummary { user: owned_user_id!("@assistant-alice:hs"), coworker: None, private: true, ..summary() };
    let hidden = entry("0123456789abcdef", private);
    for filter in [
        Filter { room: Some(owned_room_id!("!room:hs")), ..Filter::default() },
        Filter { tool: Some("room_search".into()), ..Filter::default() },
    ] {
        assert!(!filter.matches(&hidden), "{filter:?}");
    }
    assert!(Filter { person: Some(owned_user_id!("@alice:hs")), ..Filter::default() }.matches(&hidden));
}

#[test]
fn c13_a_search_reads_no_further_than_it_must() {
    let at = |ms: i64| RunSummary { accepted_at: Timestamp::from_ms(ms), ..summary() };
    let index = [(30, "c"), (20, "b"), (10, "a")].map(|(ms, id)| Ok(((Timestamp::from_ms(ms), id.to_owned()), at(ms))));
    let broken: Result<(RunKey, RunSummary), &str> = Err("older than what is asked for");
    let found = |filter: Filter| -> Vec<Result<String, &str>> {
        let records = index.clone().into_iter().chain([broken.clone()]);
        select(records, &filter, &namespace()).map(|read| read.map(|entry| entry.run)).collect()
    };
    let since = Filter { since: Some(Timestamp::from_ms(20)), ..Filter::default() };
    assert_eq!(found(since), [Ok("c".to_owned()), Ok("b".to_owned())]);
    let limited = Filter { limit: Some(1), until: Some(Timestamp::from_ms(25)), ..Filter::default() };
    assert_eq!(found(limited), [Ok("b".to_owned())]);
    assert_eq!(found(Filter::default()).last(), Some(&Err("older than what is asked for")));
}

#[test]
fn c13_a_beginning_of_the_id_names_a_run_and_one_again_needs_its_number() {
    let rows = [
        ("0123456789abcdef", "0123456789abcdef", true),
        ("0123456789abcdef", "012345", true),
        ("0123456789abcdef", "01234", false),
        ("0123456789abcdef", "123456", false),
        ("0123456789abcdef-2", "0123456789", false),
        ("0123456789abcdef-2", "0123456789-2", true),
        ("0123456789abcdef", "0123456789-2", false),
    ];
    for (id, asked, expected) in rows {
        assert_eq!(entry(id, summary()).is_named(asked), expected, "{id} {asked}");
    }
}

#[test]
fn c13_runs_are_kept_for_as_long_as_the_config_says() {
    assert_eq!(kept_from(NOW, 1), Timestamp::from_ms(NOW.as_ms() - DAY_MS));
    assert_eq!(kept_from(NOW, 3_650), Timestamp::from_ms(NOW.as_ms() - 3_650 * DAY_MS));
    assert_eq!(kept_from(Timestamp::from_ms(i64::MIN), 1), Timestamp::from_ms(i64::MIN));
}

#[test]
fn c13_moments_are_written_in_three_ways() {
    let at = |text: &str, bound| moment(text, bound, NOW).map(Timestamp::as_ms);
    let midnight = 1_795_305_600_000;
    let rows = [
        ("2026-11-22T14:05:07Z", Bound::Since, NOW.as_ms()),
        ("2026-11-22T15:05:07+01:00", Bound::Until, NOW.as_ms()),
        ("2026-11-22", Bound::Since, midnight),
        ("2026-11-22", Bound::Until, midnight + DAY_MS - 1),
        (" 7d ", Bound::Since, NOW.as_ms() - 7 * DAY_MS),
        ("90m", Bound::Until, NOW.as_ms() - 90 * 60_000),
        ("12h", Bound::Since, NOW.as_ms() - DAY_MS / 2),
        ("2w", Bound::Since, NOW.as_ms() - 14 * DAY_MS),
    ];
    for (text, bound, expected) in rows {
        assert_eq!(at(text, bound), Ok(expected), "{text}");
    }
    for text in [
        "",
        "d",
        "yesterday",
        "-7d",
        "7 d",
        "99999999999999999999d",
        "9223372036854775807w",
        "2026-13-01",
        "22.11.2026",
    ] {
        assert!(at(text, Bound::Since).is_err_and(|why| why.starts_with("not a time; write it like")), "{text}");
    }
}

#[test]
fn c13_outcomes_have_the_names_that_are_stored() {
    let all = [Outcome::Done, Outcome::Failed, Outcome::Dropped, Outcome::Stopped, Outcome::Declined];
    for outcome in all {
        let stored = serde_json::to_value(outcome).expect("is JSON");
        assert_eq!(outcome_named(stored.as_str().expect("is a word")), Ok(outcome));
        assert_eq!(stored, crate::core::words::trail::outcome(outcome));
    }
    assert!(outcome_named("Done").is_err());
}
