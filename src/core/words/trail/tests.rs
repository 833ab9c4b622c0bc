use ruma::{owned_event_id, owned_user_id, server_name};

use super::*;
use crate::core::render::own as render;

const AT: Timestamp = Timestamp::from_ms(1_795_356_307_000);

fn entry() -> Entry {
    Entry {
        thread: Some(owned_event_id!("$ask")),
        request: Some(owned_event_id!("$ask")),
        answer: Some(owned_event_id!("$answer")),
        read: (0..12).map(|n| EventId::parse(format!("$read{n}")).expect("is an id")).collect(),
        read_span: Some((Timestamp::from_ms(AT.as_ms() - 86_400_000), AT)),
        tools: vec![
            Tally { tool: "room_search".to_owned(), outcome: StepOutcome::Done, decision: None, duration_ms: 40 },
            Tally {
                tool: "deploy`@room".to_owned(),
                outcome: StepOutcome::Failed,
                decision: Some(Decision::Approved { by: owned_user_id!("@bob:hs"), at: AT }),
                duration_ms: 61_000,
            },
            Tally {
                tool: "deploy".to_owned(),
                outcome: StepOutcome::Declined,
                decision: Some(Decision::Declined { by: owned_user_id!("@bob:hs"), at: AT }),
                duration_ms: 0,
            },
        ],
        tool_calls: 3,
        model: Some("claude-opus-5-5".to_owned()),
        spent: Spent {
            model_calls: 2,
            input_tokens: 1_200,
            cached_tokens: 9,
            output_tokens: 34,
            cost_micro_usd: Some(12_300),
        },
        ended_at: Timestamp::from_ms(AT.as_ms() + 12_000),
        ..Entry::bare(AT)
    }
}

#[test]
fn c13_the_audit_rooms_line_links_and_tells_no_content() {
    let line = render(&audit_line(&entry(), server_name!("hs")));
    insta::assert_snapshot!(format!("{}\n{}", line.body, line.html.expect("has a link")));
    let unanswered = Entry { answer: None, outcome: Outcome::Stopped, tools: Vec::new(), ..entry() };
    insta::assert_snapshot!(audit_line(&unanswered, server_name!("hs")));
}

#[test]
fn c13_why_names_messages_and_tools_with_links() {
    let told = render(&why(&entry(), 10, server_name!("hs"), &Names::default(), &Zone::default()));
    insta::assert_snapshot!(format!("{}\n{}", told.body, told.html.expect("has links")));
    let bare =
        Entry { read: Vec::new(), read_span: None, tools: Vec::new(), model: None, spent: Spent::default(), ..entry() };
    assert_eq!(
        why(&bare, 10, server_name!("hs"), &Names::default(), &Zone::default()),
        "For that answer I read no messages.\n\nI used no tools.\n\nIt took 12 s."
    );
    let all = why(&entry(), 12, server_name!("hs"), &Names::default(), &Zone::default());
    assert!(all.contains("Newest first:") && all.contains("[12]"), "{all}");
}

#[test]
fn numbers_and_sums_read_well() {
    assert_eq!([0, 999, 1_000, 1_234_567].map(counted), ["0", "999", "1,000", "1,234,567"]);
    let sums = [0, 99, 100, 12_345, 999_999, 1_000_000, 12_345_678].map(cost);
    assert_eq!(sums, ["$0", "<$0.0001", "$0.0001", "$0.0123", "$0.9999", "$1.00", "$12.34"]);
    assert_eq!([1, 999, 1_000, 61_000].map(took), ["1 ms", "999 ms", "1 s", "1 min 1 s"]);
}

#[test]
fn heads_name_every_outcome() {
    let outcomes = [Outcome::Done, Outcome::Failed, Outcome::Dropped, Outcome::Stopped, Outcome::Declined];
    let heads = outcomes.map(|outcome| head(outcome, 5_000, 1, &Spent::default()));
    let expected =
        ["Done", "Gave up", "Gave up", "Stopped", "Declined"].map(|word| format!("{word} after 5 s · 1 step"));
    assert_eq!(heads, expected);
}
