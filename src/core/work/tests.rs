mod citing;
mod computing;
mod properties;

use std::collections::BTreeMap;

use ruma::user_id;
use serde_json::json;

use super::*;
use crate::core::{
    prompt::ToolResult,
    tool::{ApprovalRule, Class, Grant, Here, Offer, Source, ToolName},
};

const NOW: Timestamp = Timestamp::from_ms(10_000_000);
const LATER: Timestamp = Timestamp::from_ms(10_000_250);
const ROUNDS_MAX: u32 = 4;
const TOKENS_MAX: u64 = 10_000;

fn offer(name: &str, class: Class, approval: ApprovalRule, idempotent: bool, source: Source) -> Offer {
    Offer {
        name: ToolName::parse(name).expect("a name"),
        description: format!("Does {name}."),
        schema: json!({ "type": "object" }),
        source,
        class,
        approval,
        idempotent,
    }
}

/// `look` may be repeated, `act` may not, `ask` needs the asker's approval, `web_search` is the provider's. `secret` is
/// not granted.
fn toolset() -> Toolset {
    let server = || Source::Mcp { server: "s".to_owned(), tool: "t".to_owned() };
    let offers = [
        offer("look", Class::Read, ApprovalRule::Never, true, Source::Process),
        offer("act", Class::Write, ApprovalRule::Never, false, server()),
        offer("ask", Class::Write, ApprovalRule::Asker, false, server()),
        offer("secret", Class::Read, ApprovalRule::Never, true, server()),
        offer("web_search", Class::Read, ApprovalRule::Never, true, Source::Provider),
    ];
    let grants = ["look", "act", "ask", "web_search"].map(Grant::plain);
    Toolset::resolve(&grants, &offers, &BTreeMap::new(), &Here::default())
}

/// A loop with its terms.
struct Bench {
    tools: Toolset,
    mask: Mask,
    shelf: Shelf,
    work: Work,
}

impl Bench {
    fn new() -> Self {
        let (shelf, work) = (Shelf::default(), Work::default());
        Self { tools: toolset(), mask: Mask::new(["hunter2-token"]), shelf, work }
    }

    fn terms(&self) -> Terms<'_> {
        let Self { tools, mask, shelf, .. } = self;
        Terms { tools, mask, shelf, rounds_max: ROUNDS_MAX, tokens_max: TOKENS_MAX }
    }

    /// Lets `self.work` do something under the bench's terms.
    fn with<R>(&mut self, act: impl FnOnce(&mut Work, &Terms<'_>) -> R) -> R {
        let mut work = std::mem::take(&mut self.work);
        let done = act(&mut work, &self.terms());
        self.work = work;
        done
    }

    fn take(&mut self, stop: TurnStop, blocks: &[Value]) -> Next {
        let turn = ModelTurn { blocks: blocks.iter().map(Value::to_string).collect(), stop };
        self.with(|work, terms| work.take(&turn, 100, terms))
    }

    /// Starts and finishes each call that is ready.
    fn run_ready(&mut self, output: &Output) {
        for id in self.work.ready(&self.terms()) {
            self.with(|work, terms| work.start(&id, terms, NOW)).expect("it is ready");
            self.with(|work, terms| work.finish(&id, output.clone(), terms, LATER));
        }
    }

    /// Goes on as a new process would: from what the journal holds.
    fn crash(&mut self) {
        let journal = serde_json::to_string(&self.work).expect("work is journaled as JSON");
        self.work = serde_json::from_str(&journal).expect("and read again");
        self.with(Work::take_up);
    }

    fn next(&self) -> Next {
        self.work.next(&self.terms())
    }

    fn outcomes(&self) -> Vec<(&str, StepOutcome)> {
        self.work.steps().iter().map(|step| (step.tool.as_str(), step.outcome)).collect()
    }

    fn last_results(&self) -> &[ToolResult] {
        &self.work.rounds().last().expect("a round").results
    }
}

fn call(id: &str, name: &str, input: &Value) -> Value {
    json!({ "type": "tool_use", "id": id, "name": name, "input": input })
}

fn said(text: &str) -> Value {
    json!({ "type": "text", "text": text })
}

fn answer(text: &str) -> Next {
    Next::End(Ok((text.to_owned(), Stop::End)))
}

const ASK: Next = Next::Ask(ToolUse::On);

#[test]
fn c12_parallel_calls_are_answered_in_one_message_in_the_order_of_the_calls() {
    let mut bench = Bench::new();
    let calls = [said("Looking."), call("1", "look", &json!({"a": 1})), call("2", "act", &json!({}))];
    assert_eq!(bench.take(TurnStop::End, &calls), Next::Calls);
    assert_eq!(bench.work.ready(&bench.terms()), ["1", "2"]);
    for id in ["1", "2"] {
        bench.with(|work, terms| work.start(id, terms, NOW)).expect("it is ready");
    }
    assert_eq!(bench.work.progress(), (0, vec!["look".to_owned(), "act".to_owned()]));
    bench.with(|work, terms| work.finish("2", Output::ok("second"), terms, LATER));
    assert_eq!((bench.next(), bench.work.progress().0), (Next::Calls, 1));
    bench.with(|work, terms| work.finish("1", Output::ok("first"), terms, LATER));

    assert_eq!(bench.next(), ASK);
    let result =
        |call: &str, text: &str| ToolResult { call: call.to_owned(), text: text.to_owned(), ..ToolResult::default() };
    let round = Round {
        said: calls.iter().map(Value::to_string).collect(),
        results: vec![
            result("1", r#"{"tool":"look","untrusted_result":"first"}"#),
            result("2", r#"{"tool":"act","untrusted_result":"second"}"#),
        ],
    };
    assert_eq!(bench.work.rounds(), [round]);
    let step = |tool: &str, arguments: &str, result: &str| TrailStep {
        tool: tool.to_owned(),
        arguments: arguments.to_owned(),
        decision: None,
        outcome: StepOutcome::Done,
        result: result.to_owned(),
        duration_ms: 250,
    };
    assert_eq!(bench.work.steps(), [step("look", r#""a": 1"#, "first"), step("act", "", "second")]);
    assert_eq!(bench.take(TurnStop::End, &[said("Done.")]), answer("Done."));
}

#[test]
fn c12_what_is_not_on_the_list_or_no_object_never_starts_and_the_model_is_told_what_exists() {
    let deep = json!({"x": {"y": []}});
    let rows = [
        ("secret", json!({}), "Your tools: act, ask, look, web_search."),
        ("no such/tool\u{202e}", deep, "Your tools: act, ask, look, web_search."),
        ("", json!({}), "Your tools:"),
        ("look", json!("text"), "JSON object"),
        ("look", json!([1]), "JSON object"),
        ("look", Value::Null, "JSON object"),
        ("web_search", json!({"query": "x"}), "Your tools:"),
    ];
    for (name, input, told) in rows {
        let mut bench = Bench::new();
        assert_eq!(bench.take(TurnStop::End, &[call("1", name, &input)]), ASK, "{name:?}");
        let echoed: Value = serde_json::from_str(&bench.work.rounds()[0].said[0]).expect("raw JSON");
        assert!(echoed["input"].is_object(), "the API takes nothing else back: {echoed}");
        let [result] = bench.last_results() else { panic!("one result") };
        assert!(result.is_error && result.text.contains(told), "{name:?}: {}", result.text);
        assert!(result.text.contains("not_carried_out"), "{}", result.text);
        let [(shown, outcome)] = bench.outcomes()[..] else { panic!("one step") };
        // The record tells apart what may not be used and what could not be read.
        let expected = if told == "JSON object" { StepOutcome::Unusable } else { StepOutcome::Denied };
        assert_eq!(outcome, expected, "{name:?}");
        assert!(shown.chars().all(|char| char.is_ascii_alphanumeric() || char == '_'), "{shown}");
    }
}

#[test]
fn c12_of_very_many_calls_in_one_turn_only_the_first_are_looked_at() {
    let mut bench = Bench::new();
    let calls: Vec<Value> = (0..CALLS_OF_A_TURN_MAX + 3).map(|n| call(&n.to_string(), "look", &json!({}))).collect();
    bench.take(TurnStop::End, &calls);
    assert_eq!(bench.work.ready(&bench.terms()).len(), CALLS_OF_A_TURN_MAX);
    bench.run_ready(&Output::ok("seen"));
    let denied = bench.outcomes().iter().filter(|(_, outcome)| *outcome == StepOutcome::Surplus).count();
    assert_eq!((bench.next(), bench.last_results().len(), denied), (ASK, calls.len(), 3));
}

#[test]
fn c12_a_call_that_needs_approval_waits_and_runs_only_as_it_was_approved() {
    let (alice, at) = (user_id!("@alice:hs").to_owned(), NOW);
    let mut bench = Bench::new();
    let arguments = json!({"to": "prod"});
    bench.take(TurnStop::End, &[call("1", "ask", &arguments), call("2", "look", &json!({}))]);
    assert_eq!(bench.work.ready(&bench.terms()), ["2"]);
    assert_eq!(bench.with(|work, terms| work.start("1", terms, NOW)), None, "nobody approved it");
    let pending = bench.work.pending(&bench.terms());
    let expected = Pending {
        call: "1".to_owned(),
        tool: ToolName::parse("ask").expect("a name"),
        class: Class::Write,
        rule: ApprovalRule::Asker,
        arguments: arguments.clone(),
    };
    assert_eq!(pending, [expected]);

    bench.crash();
    let approved = Decision::Approved { by: alice, at };
    bench.with(|work, terms| work.decide("1", approved.clone(), terms));
    assert_eq!((bench.work.pending(&bench.terms()).len(), bench.work.ready(&bench.terms()).len()), (0, 2));
    bench.crash();
    let (_, with) = bench.with(|work, terms| work.start("1", terms, NOW)).expect("it was approved");
    assert_eq!(Value::Object(with), arguments);
    bench.with(|work, terms| work.finish("1", Output::ok("deployed"), terms, LATER));
    bench.run_ready(&Output::ok("seen"));
    assert_eq!((bench.next(), bench.work.steps()[0].decision.clone()), (ASK, Some(approved)));
}

#[test]
fn c12_a_declined_or_expired_call_does_not_run_and_says_so() {
    let declined = Decision::Declined { by: user_id!("@alice:hs").to_owned(), at: NOW };
    for (decision, outcome) in [(declined, StepOutcome::Declined), (Decision::Expired, StepOutcome::Expired)] {
        let mut bench = Bench::new();
        bench.take(TurnStop::End, &[call("1", "ask", &json!({}))]);
        bench.with(|work, terms| work.decide("1", decision, terms));
        assert_eq!((bench.next(), bench.outcomes()), (ASK, vec![("ask", outcome)]));
        assert!(bench.last_results()[0].is_error);
    }
}

#[test]
fn c12_an_approval_does_not_outlive_the_grant() {
    let mut bench = Bench::new();
    bench.take(TurnStop::End, &[call("1", "ask", &json!({}))]);
    let approved = Decision::Approved { by: user_id!("@alice:hs").to_owned(), at: NOW };
    bench.with(|work, terms| work.decide("1", approved, terms));
    bench.tools = Toolset::default();
    assert_eq!(bench.with(|work, terms| work.start("1", terms, NOW)), None);
    assert_eq!((bench.next(), bench.outcomes()), (ASK, vec![("ask", StepOutcome::Denied)]));
}

#[test]
fn c12_a_call_holds_for_its_tool_as_the_model_read_it_also_across_a_restart() {
    let approved = Decision::Approved { by: user_id!("@alice:hs").to_owned(), at: NOW };
    for is_decided in [false, true] {
        let mut bench = Bench::new();
        bench.take(TurnStop::End, &[call("1", "ask", &json!({})), call("2", "look", &json!({}))]);
        if is_decided {
            bench.with(|work, terms| work.decide("1", approved.clone(), terms));
        }
        let changed = |name: &str, source: Source| Offer {
            description: "Does something else.".to_owned(),
            ..offer(name, Class::Write, ApprovalRule::Asker, false, source)
        };
        let server = Source::Mcp { server: "s".to_owned(), tool: "t".to_owned() };
        let offers = [changed("ask", server), changed("look", Source::Process)];
        // An admin has accepted the change meanwhile.
        let grants = ["look", "ask"].map(Grant::plain);
        bench.tools = Toolset::resolve(&grants, &offers, &BTreeMap::new(), &Here::default());
        bench.crash();
        assert_eq!(bench.with(|work, terms| work.start("1", terms, NOW)), None, "decided: {is_decided}");
        let pending: Vec<_> = bench.work.pending(&bench.terms()).into_iter().map(|pending| pending.call).collect();
        assert_eq!(pending, ["2"], "our own tools change only with us");
    }
}

#[test]
fn design_3_after_a_crash_only_what_may_be_repeated_is_repeated() {
    let mut bench = Bench::new();
    let calls = [("done", "act"), ("lost", "act"), ("again", "look"), ("new", "act")];
    let blocks: Vec<Value> = calls.iter().map(|(id, name)| call(id, name, &json!({}))).collect();
    bench.take(TurnStop::End, &blocks);
    for id in ["done", "lost", "again"] {
        bench.with(|work, terms| work.start(id, terms, NOW)).expect("it is ready");
    }
    bench.with(|work, terms| work.finish("done", Output::ok("fine"), terms, LATER));

    bench.crash();

    assert_eq!(bench.work.ready(&bench.terms()), ["again", "new"]);
    bench.run_ready(&Output::ok("fine"));
    let told = &bench.last_results()[1];
    assert!(told.is_error && told.text.contains("outcome_unknown") && told.text.contains("without checking"));
    let [done, unknown] = [StepOutcome::Done, StepOutcome::Unknown];
    assert_eq!(bench.outcomes(), [("act", done), ("act", unknown), ("look", done), ("act", done)]);
}

#[test]
fn c12_three_failures_in_a_row_end_the_run_and_one_success_begins_the_count_anew() {
    let ends = Next::End(Err(Fault::ToolsFailed));
    let (fails, fine) = (Output::error("down"), Output::ok("up"));
    // Each row: for each round its calls, `f` failing, `d` denied, `o` fine; and what comes after the last.
    let rows = [
        (vec!["f", "f", "f"], ends.clone()),
        (vec!["f", "d", "f"], ends.clone()),
        (vec!["ff", "f"], ends.clone()),
        (vec!["offf", "f"], ends),
        (vec!["ffff"], ASK),
        (vec!["f", "f", "o"], ASK),
        (vec!["f", "of", "f"], ASK),
        (vec!["ff", "fo"], ASK),
    ];
    for (rounds, expected) in rows {
        let mut bench = Bench::new();
        for (at, round) in rounds.iter().enumerate() {
            let blocks: Vec<Value> = round
                .chars()
                .enumerate()
                .map(|(n, kind)| {
                    call(&format!("{at}-{n}"), if kind == 'd' { "secret" } else { "look" }, &json!({ "is": kind }))
                })
                .collect();
            bench.take(TurnStop::End, &blocks);
            for (n, kind) in round.chars().enumerate().filter(|(_, kind)| *kind != 'd') {
                let id = format!("{at}-{n}");
                bench.with(|work, terms| work.start(&id, terms, NOW)).expect("it is ready");
                let output = if kind == 'f' { &fails } else { &fine };
                bench.with(|work, terms| work.finish(&id, output.clone(), terms, LATER));
            }
        }
        assert_eq!(bench.next(), expected, "{rounds:?}");
    }
}

#[test]
fn c12_at_the_limit_on_rounds_the_model_is_asked_once_more_without_tools() {
    let mut bench = Bench::new();
    for at in 1..=ROUNDS_MAX {
        assert_eq!(bench.next(), ASK, "{at}");
        bench.take(TurnStop::End, &[call(&at.to_string(), "look", &json!({}))]);
        bench.run_ready(&Output::ok("seen"));
    }
    assert_eq!(bench.next(), Next::Ask(ToolUse::Off));
    let mut stubborn = Bench { work: bench.work.clone(), ..Bench::new() };
    assert_eq!(bench.take(TurnStop::End, &[said("What I have.")]), answer("What I have."));
    let again = stubborn.take(TurnStop::End, &[call("x", "look", &json!({}))]);
    assert_eq!(again, Next::End(Err(Fault::WorkTooLong)), "a call that comes nevertheless is not made");
}

#[test]
fn c19_at_the_limit_on_tokens_no_call_is_made_and_a_finished_answer_is_still_given() {
    let turn = |block: Value| ModelTurn { blocks: vec![block.to_string()], stop: TurnStop::End };
    let mut bench = Bench::new();
    let over = bench.with(|work, terms| work.take(&turn(call("1", "act", &json!({}))), TOKENS_MAX, terms));
    assert_eq!((over, bench.outcomes()), (Next::End(Err(Fault::WorkTooLong)), vec![("act", StepOutcome::Stopped)]));
    let mut bench = Bench::new();
    let answered = bench.with(|work, terms| work.take(&turn(said("Here.")), TOKENS_MAX, terms));
    assert_eq!(answered, answer("Here."));
}

#[test]
fn c19_a_turn_that_was_cut_or_refused_never_carries_out_its_calls() {
    let cut = |text: &str| Next::End(Ok((text.to_owned(), Stop::Cut)));
    let act = || call("1", "act", &json!({}));
    let rows = [
        (TurnStop::Cut, vec![said("Half an answ")], cut("Half an answ"), 0),
        (TurnStop::Cut, vec![said("Let me "), act()], Next::End(Err(Fault::CallCut)), 1),
        (TurnStop::Refused, vec![said("Half"), act()], Next::End(Ok((String::new(), Stop::Refused))), 1),
    ];
    for (stop, blocks, expected, steps) in rows {
        let mut bench = Bench::new();
        assert_eq!(bench.take(stop, &blocks), expected);
        assert_eq!(bench.outcomes(), vec![("act", StepOutcome::Stopped); steps]);
        assert!(bench.work.ready(&bench.terms()).is_empty());
    }
}

#[test]
fn a_paused_turn_is_sent_back_and_its_beginning_belongs_to_the_answer() {
    let search =
        json!({"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "hunter2-token"}});
    let mut bench = Bench::new();
    assert_eq!(bench.take(TurnStop::Paused, &[said("First, "), search.clone()]), ASK);
    assert_eq!(bench.work.rounds()[0].results, []);
    assert_eq!(bench.take(TurnStop::End, &[said("then this.")]), answer("First, then this."));
    let [step] = bench.work.steps() else { panic!("one step") };
    assert_eq!((step.tool.as_str(), step.arguments.as_str()), ("web_search", r#""query": "•••""#));

    let mut bench = Bench { tools: toolset(), ..Bench::new() };
    let mut pauses = 0;
    while bench.take(TurnStop::Paused, std::slice::from_ref(&search))
        != Next::End(Ok((String::new(), Stop::Unfinished)))
    {
        pauses += 1;
        assert!(pauses <= PAUSES_MAX, "pauses end");
    }
    assert_eq!(pauses, PAUSES_MAX);
}

#[test]
fn an_empty_turn_behind_results_makes_what_was_said_beside_the_calls_the_answer() {
    let mut bench = Bench::new();
    bench.take(TurnStop::End, &[said("Noted, and filed."), call("1", "look", &json!({}))]);
    bench.run_ready(&Output::ok("ok"));
    assert_eq!(bench.take(TurnStop::End, &[]), answer("Noted, and filed."));
    let mut bench = Bench::new();
    assert_eq!(bench.take(TurnStop::End, &[]), answer(""), "the machine has words for that");
}

#[test]
fn c13_secrets_are_masked_for_the_model_the_trail_and_the_journal_and_long_values_are_folded() {
    let mut bench = Bench::new();
    let long = format!("{}hunter2-token", "x".repeat(195));
    bench.take(TurnStop::End, &[call("1", "act", &json!({ "text": long }))]);
    let output = Output::ok(format!("token hunter2-token {}", "y".repeat(600)));
    bench.run_ready(&output);
    let [step] = bench.work.steps() else { panic!("one step") };
    assert!(step.arguments.contains('•') && step.arguments.chars().count() < 230, "{}", step.arguments);
    assert!(step.result.contains("yyy … (+110 characters) … yyy"), "{}", step.result);
    assert!(bench.last_results()[0].text.contains("token •••"));
    assert!(!serde_json::to_string(&bench.work.steps()).expect("JSON").contains("hunter2"));
}

#[test]
fn c5_arguments_in_the_trail_are_lines_as_on_a_card_and_only_long_ones_are_folded_in_their_middle() {
    let shown = |arguments: &Value| {
        let mut bench = Bench::new();
        bench.take(TurnStop::End, &[call("1", "act", arguments)]);
        bench.run_ready(&Output::ok(""));
        bench.work.steps()[0].arguments.clone()
    };
    let arguments = json!({ "to": "a\u{202e}b", "steps": [1, {"x": "  "}], "command": "line\nline" });
    assert_eq!(
        shown(&arguments),
        "\"command\": \"line\\nline\"\n\"steps\": [1, {\"x\": \"  \"}]\n\"to\": \"a\\u202eb\""
    );
    let text = format!("begins {} ends", "x".repeat(1_900));
    assert_eq!(shown(&json!({ "text": text })), format!("\"text\": \"{text}\""), "nothing is left out");
    let long = shown(&json!({ "text": format!("begins {} ends", "x".repeat(5_000)), "to": "production" }));
    assert!(
        long.starts_with("\"text\": \"begins xxx") && long.ends_with("xxx ends\"\n\"to\": \"production\""),
        "{long}"
    );
    assert!(long.contains("xxx … (+4,022 characters) … xxx") && long.chars().count() < 1_100, "{long}");
    let many: serde_json::Map<String, Value> = (0..500).map(|n| (format!("k{n:03}"), json!("x".repeat(30)))).collect();
    let many = shown(&Value::Object(many));
    assert!(many.starts_with("\"k000\"") && many.ends_with("\nand 480 more arguments"), "{many}");
}

#[test]
fn c5_a_call_that_can_be_read_in_two_ways_is_not_carried_out_and_goes_back_without_arguments() {
    let twice = r#"{"type":"tool_use","id":"1","name":"act","input":{"to":"staging","to":"production"},"caller":{}}"#;
    let endless = r#"{"type":"tool_use","id":"2","name":"ask","input":{"amount":1e400}}"#;
    let mut bench = Bench::new();
    let turn = ModelTurn { blocks: vec![twice.to_owned(), endless.to_owned()], stop: TurnStop::End };
    let next = bench.with(|work, terms| work.take(&turn, 10, terms));
    assert_eq!(next, ASK, "both have their results");
    let results = bench.last_results();
    assert!(results.iter().all(|result| result.is_error && result.text.contains("read in more than one way")));
    let round = &bench.work.rounds()[0];
    assert!(round.said[0].contains(r#""input":{}"#) && round.said[0].contains(r#""caller":{}"#), "{}", round.said[0]);
    assert!(round.said[1].contains(r#""input":{}"#) && round.said[1].contains(r#""name":"ask""#), "{}", round.said[1]);
    let shown: Vec<_> = bench.work.steps().iter().map(|step| (step.arguments.as_str(), step.outcome)).collect();
    let denied = StepOutcome::Unusable;
    assert_eq!(shown, [(r#"{"to":"staging","to":"production"}"#, denied), (r#"{"amount":1e400}"#, denied)]);
}

#[test]
fn c12_a_result_that_is_too_long_is_cut_and_says_so() {
    let mut bench = Bench::new();
    bench.take(TurnStop::End, &[call("1", "look", &json!({}))]);
    bench.run_ready(&Output::ok("é".repeat(crate::core::tool::OUTPUT_BYTES_MAX)));
    let text = &bench.last_results()[0].text;
    let record: Value = serde_json::from_str(text).expect("a result is JSON");
    assert!(record["truncated"].as_str().is_some_and(|words| words.contains("missing")), "{record}");
    let kept = record["untrusted_result"].as_str().expect("text");
    let most = crate::core::tool::OUTPUT_BYTES_MAX;
    assert!((most - 64..=most).contains(&kept.len()), "{} bytes of at most {most}", kept.len());
    assert!(kept.starts_with('é') && kept.ends_with('é'), "beginning and end are kept");
}

#[test]
fn c10_a_stopped_loop_leaves_every_call_paired_and_in_the_trail() {
    let mut bench = Bench::new();
    bench.take(TurnStop::End, &["look", "act", "ask"].map(|name| call(name, name, &json!({}))));
    bench.with(|work, terms| work.start("look", terms, NOW)).expect("it is ready");
    bench.with(|work, terms| work.finish("look", Output::ok("seen"), terms, LATER));
    bench.with(|work, terms| work.start("act", terms, NOW)).expect("it is ready");
    bench.work.stop();
    let stopped = StepOutcome::Stopped;
    assert_eq!(bench.outcomes(), [("look", StepOutcome::Done), ("act", stopped), ("ask", stopped)]);
    assert_eq!(bench.last_results().len(), 3);
    bench.with(|work, terms| work.finish("act", Output::ok("too late"), terms, LATER));
    assert_eq!(bench.outcomes()[1], ("act", stopped));
    bench.work.begin_anew();
    assert_eq!((bench.work.rounds(), bench.outcomes().len(), bench.next()), (&[][..], 3, ASK));
}

#[test]
fn thinking_is_stripped_as_a_whole_and_everything_else_stays() {
    let mut bench = Bench::new();
    let thinking = json!({"type": "thinking", "thinking": "", "signature": "c2ln"});
    let act = call("1", "look", &json!({}));
    bench.take(TurnStop::End, &[thinking, act.clone()]);
    bench.run_ready(&Output::ok("seen"));
    assert!(bench.work.strip_thinking());
    assert_eq!(bench.work.rounds()[0].said, [act.to_string()]);
    assert!(!bench.work.strip_thinking());
}

#[test]
fn a3_a_call_that_is_there_twice_is_made_once_and_another_under_its_id_gets_one_of_ours() {
    let twice = [call("1", "act", &json!({})), call("1", "act", &json!({})), call("1", "act", &json!({"a": 2}))];
    let mut bench = Bench::new();
    assert_eq!(bench.take(TurnStop::End, &twice), Next::Calls);
    assert_eq!(bench.work.ready(&bench.terms()), ["1", "call_1"]);
    bench.run_ready(&Output::ok("done"));
    assert_eq!(bench.take(TurnStop::End, &twice[..1]), Next::Calls);
    assert_eq!(bench.work.ready(&bench.terms()), ["call_2"]);
    bench.run_ready(&Output::ok("done"));
    let results: Vec<&str> =
        bench.work.rounds().iter().flat_map(|round| &round.results).map(|result| result.call.as_str()).collect();
    assert_eq!(results, ["1", "call_1", "call_2"]);
    let said: Vec<Value> = bench
        .work
        .rounds()
        .iter()
        .flat_map(|round| &round.said)
        .map(|raw| serde_json::from_str(raw).expect("JSON"))
        .collect();
    let ids: Vec<&str> = said.iter().filter_map(|block| block["id"].as_str()).collect();
    assert_eq!(ids, results, "each call that goes back has its result");
}

#[test]
fn a3_pauses_without_end_and_at_the_limit_on_tokens_leave_what_was_said() {
    let paused = ModelTurn { blocks: vec![said("So far.").to_string()], stop: TurnStop::Paused };
    let unfinished = Next::End(Ok(("So far.".to_owned(), Stop::Unfinished)));
    let mut bench = Bench::new();
    assert_eq!(bench.with(|work, terms| work.take(&paused, u64::MAX, terms)), unfinished);
    let mut bench = Bench::new();
    assert_eq!(
        bench.with(|work, terms| work.take(&paused, u64::MAX / 2, &Terms { tokens_max: u64::MAX, ..*terms })),
        ASK
    );
    let next = bench.with(|work, terms| work.take(&paused, u64::MAX, &Terms { tokens_max: u64::MAX, ..*terms }));
    assert!(matches!(next, Next::End(Ok((text, Stop::Unfinished))) if text.starts_with("So far.")));
}

#[test]
fn a3_blocks_without_a_type_do_not_go_back() {
    let mut bench = Bench::new();
    bench.take(
        TurnStop::End,
        &[json!({}), json!({"type": 7}), call("1", "look", &json!({})), json!({"type": "hologram"})],
    );
    bench.run_ready(&Output::ok("seen"));
    assert_eq!(bench.work.rounds()[0].said.len(), 2);
}

#[test]
fn only_a_prompt_with_tools_is_told_of_tools() {
    let prompt = Prompt { system: vec!["You are oncall.".to_owned(), "Room".to_owned()], ..Prompt::default() };
    let mut plain = prompt.clone();
    equip(&mut plain, &Toolset::default());
    assert_eq!(plain, prompt);
    let mut equipped = prompt.clone();
    equip(&mut equipped, &toolset());
    assert_eq!((equipped.tools.len(), &equipped.system[1]), (4, &prompt.system[1]));
    assert!(equipped.system[0].starts_with("You are oncall.\n\n# Your tools\n"));
}
