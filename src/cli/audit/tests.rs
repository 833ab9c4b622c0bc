use clap::Parser as _;
use ruma::{owned_event_id, owned_room_id, owned_user_id};

use super::*;
use crate::{
    cli::{Cli, Command, width::width},
    core::{
        audit::{Kind, Spent},
        trail::{Decision, StepOutcome, Tally},
    },
};

const AT: Timestamp = Timestamp::from_ms(1_795_356_307_000);

fn entry() -> Entry {
    Entry {
        run: "0123456789abcdef0123456789abcdef-10".to_owned(),
        coworker: Some("a-coworker-with-a-long-name".to_owned()),
        asker: owned_user_id!("@alice-of-the-long-name:a-long-server.example.org"),
        thread: Some(owned_event_id!("$ask")),
        request: Some(owned_event_id!("$ask")),
        outcome: Outcome::Declined,
        reason: Some("over_budget".to_owned()),
        read: vec![owned_event_id!("$one"), owned_event_id!("$ask")],
        read_span: Some((Timestamp::from_ms(AT.as_ms() - 60_000), AT)),
        tools: vec![Tally {
            tool: "=cmd|' /C calc'!A0\u{1b}[31m".to_owned(),
            outcome: StepOutcome::Declined,
            decision: Some(Decision::Declined { by: owned_user_id!("@bob:hs"), at: AT }),
            duration_ms: 0,
        }],
        tool_calls: 1,
        model: Some("claude-opus-5-5".to_owned()),
        spent: Spent {
            model_calls: 2,
            input_tokens: 123_456_789,
            cached_tokens: 7,
            output_tokens: 34,
            cost_micro_usd: Some(9_999_990_000),
        },
        ended_at: Timestamp::from_ms(AT.as_ms() + 9_999_000_000),
        ..Entry::bare(AT)
    }
}

fn assistants() -> Entry {
    Entry {
        run: "fedcba9876543210fedcba9876543210".to_owned(),
        kind: Kind::Assistant,
        coworker: None,
        user: owned_user_id!("@assistant-alice:hs"),
        room: None,
        tool_calls: 3,
        ended_at: Timestamp::from_ms(AT.as_ms() + 700),
        ..Entry::bare(AT)
    }
}

#[test]
fn op12_a_list_fits_80_columns_and_cuts_no_id() {
    let head = table::head(COLUMNS).expect("there are columns");
    let lines = [head, table::row(&entry(), COLUMNS), table::row(&assistants(), COLUMNS)];
    insta::assert_snapshot!(lines.join("\n"));
    for line in lines.join("\n").lines().filter(|line| !line.starts_with(' ')) {
        assert_eq!(line.chars().count(), COLUMNS, "{line}");
    }
    let room = owned_room_id!("!a-room-with-a-long-local-part-of-its-id:a-long-server.example.org");
    let elsewhere = table::row(&Entry { room: Some(room.clone()), ..entry() }, COLUMNS);
    assert!(elsewhere.lines().all(|line| line.chars().count() <= COLUMNS), "{elsewhere}");
    assert!(elsewhere.contains(&format!("\n    {room}:")), "{elsewhere}");
    assert!(
        lines[1].ends_with("\n  @alice-of-the-long-name:a-long-server.example.org in !room:hs: over_budget"),
        "{}",
        lines[1]
    );
    let mut totals = table::Totals::default();
    totals.add(&entry());
    totals.add(&assistants());
    totals.add(&assistants());
    assert_eq!(totals.shown(), "3 runs (1 declined, 2 done), 123,456,823 tokens, $9999.99");
}

#[test]
fn op12_a_list_is_read_in_every_width_and_cuts_no_id() {
    let narrow = [table::row(&entry(), 40), table::row(&assistants(), 40)];
    assert_eq!(table::head(40), None);
    insta::assert_snapshot!(narrow.join("\n"));
    let wide = Entry {
        coworker: Some("当番-オンコール".to_owned()),
        asker: ruma::UserId::parse("@アリス🚀:例え.example").unwrap_or_else(|_| owned_user_id!("@alice:hs")),
        reason: Some("予算を超えました 🚫 over_budget".to_owned()),
        ..entry()
    };
    for columns in [40, 41, 60, 79, 80, 120, 200] {
        for entry in [entry(), assistants(), wide.clone()] {
            let row = table::row(&entry, columns);
            let fits = |line: &str| width(line) <= columns || line.split_whitespace().count() == 1;
            assert!(row.lines().all(fits), "{columns}:\n{row}");
            assert!(row.lines().skip(1).all(|line| line.starts_with("  ")), "runs are told apart, {columns}:\n{row}");
            assert!(row.contains(entry.asker.as_str()), "{columns}:\n{row}");
        }
    }
}

#[test]
fn c13_everything_of_a_run_is_shown_and_steers_no_terminal() {
    insta::assert_snapshot!(format!("{}\n\n{}", table::whole(&entry()), table::whole(&assistants())));
}

#[test]
fn c13_no_cell_of_an_export_begins_like_a_formula() {
    let armed = Entry { tools: vec![Tally { tool: "=1+1".to_owned(), ..entry().tools[0].clone() }], ..entry() };
    let cells = export::cells(&armed);
    let begins = |cell: &&String| cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let begun: Vec<&String> = cells.iter().filter(begins).collect();
    // Plain ids stay unchanged, so that they can be joined; an id that could call a function is not plain.
    assert_eq!(begun, ["@coworker-oncall:hs", "@alice-of-the-long-name:a-long-server.example.org"]);
    let odd = Entry { asker: ruma::UserId::parse("@sum(1+1)*cmd|x!a0:hs").expect("an id of before"), ..entry() };
    assert!(export::cells(&odd).contains(&"'@sum(1+1)*cmd|x!a0:hs".to_owned()));
    assert!(cells.contains(&"'=1+1: did not run".to_owned()), "{cells:?}");
}

#[test]
fn c13_filters_that_mean_nothing_are_refused_with_what_does() {
    let lines = [
        ("list --outcome good", "not an outcome; it is one of done, failed, stopped, declined, dropped"),
        ("list --since yesterday", "not a time; write it like 2026-11-22T14:05:00Z"),
        ("export --person alice", "not a full user id; write it like @alice:example.org"),
        ("export --room general", "not a room's id"),
        ("export --format xml", "jsonl, csv"),
        ("show", "<RUN>"),
    ];
    for (line, why) in lines {
        let line = format!("workmate audit {line}");
        let error = Cli::try_parse_from(line.split(' ')).expect_err(&line);
        assert!(error.to_string().contains(why) && error.exit_code() == 2, "{line}: {error}");
    }
}

#[test]
fn c13_without_a_store_and_with_too_short_an_id_one_is_told_what_to_do() {
    let dir = tempfile::tempdir().expect("a folder");
    let parse = |line: &str| Cli::try_parse_from(line.split(' ')).expect("parses").command;
    let Command::Init(init) = parse(&format!("workmate init --dir {}", dir.path().display())) else {
        panic!("is init")
    };
    crate::cli::init::run(&init).expect("writes");
    let config = dir.path().join("config/workmate.yaml").display().to_string();
    let said = |line: &str| {
        let Command::Audit(args) = parse(&format!("workmate audit {line} --config {config}")) else {
            panic!("is audit")
        };
        run(args).expect_err("there is nothing").to_string()
    };
    let (none, short) = (said("list"), said("show abc"));
    assert!(none.contains("data/state: there is no store yet, so no runs\n  Mend: start workmate"), "{none}");
    assert!(short.starts_with("abc: too short to name one run\n  Mend: give at least 6 characters"), "{short}");
    assert!(!dir.path().join("data/state").exists(), "asking makes no store");
}
