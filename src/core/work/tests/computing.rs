//! Code that ran at the provider (C24).

use super::*;
use crate::core::computing::MADE_MAX;

fn code(id: &str, command: &str) -> Value {
    json!({ "type": "server_tool_use", "id": id, "name": "bash_code_execution", "input": { "command": command } })
}

fn ran(id: &str, stdout: &str, return_code: i64, files: &[&str]) -> Value {
    let files: Vec<Value> =
        files.iter().map(|file| json!({ "type": "bash_code_execution_output", "file_id": file })).collect();
    json!({ "type": "bash_code_execution_tool_result", "tool_use_id": id, "content": {
        "type": "bash_code_execution_result", "stdout": stdout, "stderr": "", "return_code": return_code,
        "content": files } })
}

fn failed(id: &str, code: &str) -> Value {
    json!({ "type": "bash_code_execution_tool_result", "tool_use_id": id, "content": {
        "type": "bash_code_execution_tool_result_error", "error_code": code } })
}

#[test]
fn c24_the_trail_shows_the_code_and_what_it_printed_without_secrets() {
    let mut bench = Bench::new();
    let blocks = [
        code("s1", "plot('data.csv', token='hunter2-token')"),
        ran("s1", "3 rows, hunter2-token\n", 0, &["file_1"]),
        code("s2", "exit 3"),
        ran("s2", "", 3, &[]),
        code("s3", "loop"),
        failed("s3", "execution_time_exceeded"),
        said("Here."),
    ];
    assert_eq!(bench.take(TurnStop::End, &blocks), Next::End(Ok(("Here.".to_owned(), Stop::End))));
    let steps = bench.work.steps();
    assert_eq!(steps[0].arguments, r#""command": "plot('data.csv', token='•••')""#);
    assert_eq!((steps[0].result.as_str(), steps[0].outcome), ("3 rows, •••", StepOutcome::Done));
    assert_eq!(steps[1].outcome, StepOutcome::Failed);
    assert_eq!((steps[2].result.as_str(), steps[2].outcome), ("execution_time_exceeded", StepOutcome::Failed));
}

#[test]
fn c24_files_of_all_rounds_are_kept_once_through_pauses_calls_and_a_crash() {
    let mut bench = Bench::new();
    assert_eq!(bench.take(TurnStop::Paused, &[code("s1", "a"), ran("s1", "", 0, &["file_1", "file_2"])]), ASK);
    bench.take(
        TurnStop::End,
        &[code("s2", "b"), ran("s2", "", 0, &["file_2", "file_3"]), call("c1", "look", &json!({}))],
    );
    bench.crash();
    bench.run_ready(&Output::ok("seen"));
    assert_eq!(bench.work.made(), ["file_1", "file_2", "file_3"]);
    let hostile = ran("s3", "", 0, &["../../messages", "", "file_4"]);
    bench.take(TurnStop::End, &[code("s3", "c"), hostile]);
    assert_eq!(bench.work.made().last().map(String::as_str), Some("file_4"));
    assert_eq!(bench.work.made().len(), 4, "an id that leads elsewhere is none");

    let many: Vec<String> = (0..1_500).map(|number| format!("file_{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let mut bench = Bench::new();
    bench.take(TurnStop::Paused, &[code("s1", "a"), ran("s1", "", 0, &many)]);
    bench.take(TurnStop::Paused, &[code("s2", "a"), ran("s2", "", 0, &["file_x"])]);
    let made = bench.work.made();
    assert_eq!((made.len(), made[0].as_str(), made[MADE_MAX - 1].as_str()), (MADE_MAX, "file_501", "file_x"));
    bench.work.begin_anew();
    assert_eq!(bench.work.made(), [""; 0], "the request reads otherwise now");
}

#[test]
fn c24_results_that_make_no_sense_cost_nothing_but_themselves() {
    let mut bench = Bench::new();
    let nonsense = [
        json!({ "type": "bash_code_execution_tool_result", "tool_use_id": 7, "content": [1, 2] }),
        json!({ "type": "code_execution_tool_result" }),
        json!({ "type": "bash_code_execution_tool_result", "tool_use_id": "s", "content": { "content": "x", "stdout": 7 } }),
        json!({ "type": "bash_code_execution_tool_result", "content": { "content": [{ "file_id": 7 }, null] } }),
        said("Fine."),
    ];
    assert_eq!(bench.take(TurnStop::End, &nonsense), Next::End(Ok(("Fine.".to_owned(), Stop::End))));
    assert_eq!(bench.work.made(), [""; 0]);
}

#[test]
fn c24_skills_go_with_the_container_and_not_with_the_tools() {
    let grants = ["code_execution", "skill_xlsx", "look"].map(Grant::plain);
    let mut offers = crate::core::provider::offers(&grants);
    offers.push(offer("look", Class::Read, ApprovalRule::Never, true, Source::Process));
    let tools = Toolset::resolve(&grants, &offers, &BTreeMap::new(), &Here::default());
    let mut prompt = Prompt { system: vec!["You are oncall.".to_owned()], ..Prompt::default() };
    equip(&mut prompt, &tools);
    assert_eq!(prompt.computing.skills, ["xlsx"]);
    assert_eq!(prompt.tools.len(), 2);
    assert!(prompt.computes() && prompt.system[0].contains("# Computing"));
    let mut without = Prompt { system: vec!["You are oncall.".to_owned()], ..Prompt::default() };
    equip(&mut without, &toolset());
    assert!(!without.computes() && !without.system[0].contains("# Computing"));
}
