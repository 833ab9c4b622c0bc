//! The official SDKs as clients of the stand-in: an oracle that we did not write.
//!
//! Python's types judge the shape of everything sent, strictly and field by field. TypeScript's accumulator judges the
//! order of events. Both are pinned, installed into `target/sdk-check`, and kept for the next run.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::Command;
use workmate::standin::{Failure, Matcher, Options, StandIn, Turn};

/// The SDK versions from which the stand-in was written.
pub(crate) const PYTHON_SDK: &str = "anthropic==2.14.0";
const NODE_SDK: &str = "@anthropic-ai/sdk@1.14.0";
/// The longest that installing or asking may take.
const COMMAND_SECONDS_MAX: u64 = 300;
const KEY: &str = "sk-ant-sdk-check";

#[tokio::test]
async fn the_python_sdk_accepts_every_event_and_message_of_the_stand_in() {
    let Some(python) = install_python().await else { return };
    let claude = scripted_stand_in().await;
    let report = ask(&claude, &python, "oracle.py", None).await;
    assert_eq!(report, expected("RateLimitError"));
    check_journal(&claude);
    claude.shutdown().await;
}

#[tokio::test]
async fn the_typescript_sdk_accepts_the_order_of_every_stream() {
    let Some(modules) = install_npm("node", NODE_SDK).await else { return };
    let claude = scripted_stand_in().await;
    let report = ask(&claude, Path::new("node"), "oracle.mjs", Some(&modules)).await;
    assert_eq!(report, expected("RateLimitError"));
    check_journal(&claude);
    claude.shutdown().await;
}

/// Scripts each scene twice, because the clients ask once with streaming and once without.
async fn scripted_stand_in() -> StandIn {
    let options = Options { keys: Some(vec![KEY.to_owned()]), ..Options::scripted() };
    let claude = StandIn::start(options).await.expect("loopback is there");
    let scenes = [
        ("scene:text", Turn::text("Grüße, Welt 🦀").delta_chars(2)),
        ("scene:tool-result", Turn::text("It is green.")),
        (
            "scene:tool-call",
            Turn::empty()
                .and_thinking("")
                .and_text("Let me look.")
                .and_tool_use("look", json!({ "where": "Köln", "deep": { "n": [1, 2.5, null] } }))
                .and_tool_use("look", json!({})),
        ),
        (
            "scene:search",
            Turn::empty().and_web_search("srvtoolu_1", "weather", "W", "https://example.org/").and_text("ok"),
        ),
        ("scene:refusal", Turn::text("Well").and_refusal(Some("cyber"), "no")),
        ("scene:empty", Turn::empty()),
        ("scene:cut", Turn::text("The first half").stop_reason("max_tokens").open_end()),
        (
            "scene:fetch",
            Turn::empty().and_web_fetch("srvtoolu_2", "https://example.org/", Some("W"), Ok("words")).and_text("ok"),
        ),
        ("scene:stop", Turn::text("a").stop_sequence("END")),
        ("scene:bytes", Turn::text("Grüße 🦀").chunk_bytes(3).crlf().padding(2)),
    ];
    for (text, turn) in scenes {
        claude.on(Matcher::user(text), turn.clone());
        claude.on(Matcher::user(text), turn);
    }
    let limited = Failure::status(429).should_retry(false);
    claude.on(Matcher::user("scene:limit"), Turn::failure(limited));
    claude.on(Matcher::user("scene:retry"), Turn::failure(Failure::status(529).retry_after_ms(1)));
    claude.on(Matcher::user("scene:retry"), Turn::text("second try"));
    claude
}

/// Returns the report of a client that understood everything.
fn expected(limit_error: &str) -> Value {
    let tool_inputs = json!([{ "where": "Köln", "deep": { "n": [1, 2.5, null] } }, {}]);
    json!({
        "text": "Grüße, Welt 🦀",
        "tool_inputs": tool_inputs,
        "tool_stop": "tool_use",
        "after_tools": "It is green.",
        "search": ["server_tool_use", "web_search_tool_result", "text"],
        "refusal": { "stop_reason": "refusal", "category": "cyber" },
        "empty": "end_turn",
        "cut": "The first half",
        "fetch": ["server_tool_use", "web_fetch_tool_result", "text"],
        "stop_sequence": "END",
        "bytes": "Grüße 🦀",
        "retried": "second try",
        "limit_error": limit_error,
        "bad_request": "BadRequestError",
        "unauthorized": "AuthenticationError",
        "counted": true,
        "model": "Claude Opus 5.5",
        "models_listed": true,
    })
}

fn check_journal(claude: &StandIn) {
    claude.finish().expect("each scene was asked for, streamed and whole");
    let left: Vec<String> = claude
        .requests()
        .into_iter()
        .filter(|request| request.disconnected || !request.finished)
        .map(|request| request.route)
        .collect();
    assert_eq!(left, Vec::<String>::new(), "every answer was read to its end");
}

/// Runs a client script and returns the JSON it prints.
async fn ask(claude: &StandIn, program: &Path, script: &str, modules: Option<&Path>) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/standin_sdks").join(script);
    let mut command = Command::new(program);
    command.arg(script).arg(claude.base_url().as_str().trim_end_matches('/')).arg(KEY);
    if let Some(modules) = modules {
        command.arg(modules);
    }
    let printed = run(&mut command).await.expect("the client understands all that it was sent");
    serde_json::from_str(printed.trim()).expect("the client prints one JSON object")
}

/// Returns a venv's Python with the SDK; `None` if there is no pip.
pub(crate) async fn install_python() -> Option<PathBuf> {
    let python = ["python3", "python"].into_iter().find(|name| found(name))?;
    if let Err(missing) = run(Command::new(python).args(["-c", "import venv, ensurepip"])).await {
        skip(&format!("{python} has no venv or pip: {missing}"));
        return None;
    }
    let venv = directory("venv");
    let inside = venv.join("bin/python");
    let marker = venv.join(PYTHON_SDK);
    if !marker.exists() {
        run(Command::new(python).args(["-m", "venv", "--clear"]).arg(&venv)).await.expect("a venv is made");
        let mut install = Command::new(&inside);
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PYTHON_SDK]);
        if let Err(error) = run(&mut install).await {
            skip(&format!("pip installs no {PYTHON_SDK}: {}", error.lines().last().unwrap_or_default()));
            return None;
        }
        std::fs::write(&marker, "").expect("the venv is writable");
    }
    Some(inside)
}

/// Returns a directory whose `node_modules` holds this version of an npm package; `None` if there is no npm.
pub(crate) async fn install_npm(name: &str, package: &str) -> Option<PathBuf> {
    if !found("npm") || !found("node") {
        skip(&format!("node or npm is not there, for {package}"));
        return None;
    }
    let directory = directory(name);
    let marker = directory.join("installed").join(package);
    if !marker.exists() {
        std::fs::create_dir_all(&directory).expect("target is writable");
        std::fs::write(directory.join("package.json"), r#"{"private":true}"#).expect("target is writable");
        let mut install = Command::new("npm");
        install.args(["install", "--no-audit", "--no-fund", "--save-exact", package]).current_dir(&directory);
        if let Err(error) = run(&mut install).await {
            skip(&format!("npm installs no {package}: {}", error.lines().last().unwrap_or_default()));
            return None;
        }
        std::fs::create_dir_all(&marker).expect("target is writable");
    }
    Some(directory)
}

pub(crate) fn directory(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("sdk-check").join(name)
}

fn found(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let here = std::env::split_paths(&paths).any(|directory| directory.join(program).is_file());
    if !here {
        skip(&format!("{program} is not on the PATH"));
    }
    here
}

/// Writes past the test harness, which hides the output of passing tests.
pub(crate) fn skip(reason: &str) {
    let line = format!("SKIPPED: a test with somebody else's SDK is not run: {reason}\n");
    std::io::stderr().write_all(line.as_bytes()).expect("stderr is open");
}

/// Runs a command to its end; returns its output, or its error text.
pub(crate) async fn run(command: &mut Command) -> Result<String, String> {
    let running = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(Duration::from_secs(COMMAND_SECONDS_MAX), running)
        .await
        .map_err(|_| format!("not done within {COMMAND_SECONDS_MAX} s"))?
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
}
