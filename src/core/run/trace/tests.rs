use proptest::prelude::*;
use ruma::owned_user_id;

use super::*;
use crate::core::time::Timestamp;

const AT: Timestamp = Timestamp::from_ms(1_795_356_307_000);

fn step(tool: &str, arguments: &str, result: &str) -> TrailStep {
    TrailStep {
        tool: tool.to_owned(),
        arguments: arguments.to_owned(),
        decision: None,
        outcome: StepOutcome::Done,
        result: result.to_owned(),
        duration_ms: 340,
    }
}

fn spent() -> Spent {
    Spent { model_calls: 2, input_tokens: 1_200, cached_tokens: 0, output_tokens: 34, cost_micro_usd: Some(12_300) }
}

fn of(steps: &[TrailStep]) -> Rendered {
    let mask = Mask::new(["hunter2-the-secret"]);
    let names = [(owned_user_id!("@bob:hs"), "Bob".to_owned())].into_iter().collect();
    record(&Ended {
        steps,
        outcome: Outcome::Done,
        fallback: None,
        duration_ms: 12_000,
        spent: spent(),
        mask: &mask,
        names: &names,
        zone: &Zone::default(),
    })
}

fn shown(record: &Rendered) -> String {
    let text = format!("--- body\n{}\n--- html\n{}\n", record.body, record.html.as_deref().unwrap_or("(none)"));
    let invisible =
        |letter: char| matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}');
    text.chars().map(|c| if invisible(c) { format!("<U+{:04X}>", c as u32) } else { c.to_string() }).collect()
}

#[test]
fn c13_a_record_says_at_first_how_it_ended_and_folds_the_steps_behind_it() {
    let approved = Some(Decision::Approved { by: owned_user_id!("@bob:hs"), at: AT });
    let declined = Some(Decision::Declined { by: owned_user_id!("@bob:hs"), at: AT });
    let steps = [
        step("room_search", r#"{"query":"deploy"}"#, "3 messages\nfrom alice"),
        TrailStep { decision: approved, ..step("http_get", r#"{"url":"https://ci.example/42"}"#, "") },
        TrailStep { decision: declined, outcome: StepOutcome::Declined, ..step("deploy", "{}", "") },
        TrailStep { decision: Some(Decision::Expired), outcome: StepOutcome::Expired, ..step("deploy", "", "") },
        TrailStep { outcome: StepOutcome::Unknown, ..step("note_add", "{}", "") },
    ];
    insta::assert_snapshot!(shown(&of(&steps)));
}

#[test]
fn c5_a_records_lines_wrap_and_of_long_calls_the_ends_stay_and_the_card_is_named() {
    let command = format!("\"command\": \"first  {} last\"\n\"to\": \"production\"", "x".repeat(1_500));
    let approved = Some(Decision::Approved { by: owned_user_id!("@bob:hs"), at: AT });
    let long = || TrailStep { decision: approved.clone(), ..step("deploy", &command, "done") };
    let few = of(&[long()]);
    assert!(few.body.contains(&"x".repeat(1_500)) && !few.body.contains(words::FOLD), "{}", few.body);
    let html = few.html.expect("rich");
    assert!(!html.contains("<pre>") && html.contains("<code>\"command\": \"first &nbsp;xxx"), "{html}");
    let many = of(&std::iter::repeat_with(long).take(20).collect::<Vec<_>>());
    for end in ["\"command\": \"first", "last\"", "\"to\": \"production\"", words::whole_on_card()] {
        assert_eq!(many.body.matches(end).count(), 20, "{end}: {}", many.body);
    }
}

#[test]
fn c13_hostile_steps_are_shown_and_obeyed_by_nobody() {
    let steps = [
        step(
            "</code></summary></details><img src=x onerror=alert(1)>\n2. deploy: done",
            "<script>alert(1)</script> [@alice:hs](https://matrix.to/#/@alice:hs) @room",
            "\u{202e}turned\nnext line\u{2066} <a href=\"https://matrix.to/#/@alice:hs\">alice</a> @ROOM **bold**",
        ),
        step("x", "{\"key\":\"hunter2-the-secret\"}", "said hunter2-the-secret\u{0}\u{1b}[31m"),
    ];
    insta::assert_snapshot!(shown(&of(&steps)));
}

#[test]
fn c13_a_run_without_tools_is_one_line() {
    let record = of(&[]);
    assert_eq!(record.body, "Done after 12 s · 1,234 tokens · $0.0123");
    assert_eq!(record.html.as_deref(), Some("<em>Done after 12 s · 1,234 tokens · $0.0123</em>"));
}

#[test]
fn c13_a_long_trail_is_cut_and_says_by_how_much() {
    let steps = vec![step("room_read", &"\"<&\\".repeat(2_000), &"ü\n".repeat(2_000)); 300];
    let record = of(&steps);
    assert!(render::json_bytes(&record) <= EDIT_BYTES_MAX, "{}", render::json_bytes(&record));
    let last = record.body.lines().last().expect("has lines");
    let more: usize = last.split(' ').find_map(|word| word.parse().ok()).expect("says how many");
    let listed = record.html.expect("has steps").matches("<li>").count();
    assert_eq!((more + listed, listed > 2), (300, true), "{last}");
    let short = vec![step("time", "", ""); 300];
    assert!(of(&short).body.ends_with("and 260 more steps"));
}

#[test]
fn c13_a_run_is_declined_where_nothing_that_was_asked_about_was_let_run() {
    let declined = || TrailStep {
        decision: Some(Decision::Declined { by: owned_user_id!("@bob:hs"), at: AT }),
        outcome: StepOutcome::Declined,
        ..step("deploy", "", "")
    };
    let expired =
        || TrailStep { decision: Some(Decision::Expired), outcome: StepOutcome::Expired, ..step("deploy", "", "") };
    let approved = || TrailStep {
        decision: Some(Decision::Approved { by: owned_user_id!("@bob:hs"), at: AT }),
        ..step("deploy", "", "")
    };
    let read = || step("room_read", "", "");
    let rows = [
        (Outcome::Done, vec![], Outcome::Done),
        (Outcome::Done, vec![read()], Outcome::Done),
        (Outcome::Done, vec![read(), declined()], Outcome::Declined),
        (Outcome::Done, vec![declined(), expired()], Outcome::Declined),
        (Outcome::Done, vec![declined(), approved()], Outcome::Done),
        (Outcome::Failed, vec![declined()], Outcome::Failed),
        (Outcome::Stopped, vec![declined()], Outcome::Stopped),
    ];
    for (ended, steps, expected) in rows {
        assert_eq!(outcome_of(ended, &steps), expected, "{steps:?}");
    }
}

proptest! {
    #[test]
    fn c13_no_trail_makes_a_record_too_large_or_leaves_its_frame(
        texts in prop::collection::vec(("\\PC{0,80}", any::<String>(), any::<String>()), 0..30),
        times in 1_usize..60,
    ) {
        let steps: Vec<TrailStep> = texts
            .iter()
            .map(|(tool, arguments, result)| step(tool, &arguments.repeat(times), &result.repeat(times)))
            .collect();
        let record = of(&steps);
        prop_assert!(render::json_bytes(&record) <= EDIT_BYTES_MAX);
        let html = record.html.unwrap_or_default();
        prop_assert_eq!(html.matches("<details>").count(), usize::from(!steps.is_empty()));
        prop_assert!(!html.contains("<a ") && !html.contains("<img"));
        prop_assert!(steps.is_empty() || html.ends_with("</details>"));
    }
}
