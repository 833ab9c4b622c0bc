//! MCP (C12) against independent servers, and against one that misbehaves in every way.

mod bench;
pub(crate) mod servers;

use std::{collections::BTreeMap, process::Stdio, time::Duration};

use axum::{Router, extract::Request, http::StatusCode, response::IntoResponse as _};
use serde_json::{Map, Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    sync::mpsc,
    task::JoinSet,
    time::{sleep, timeout},
};
use url::Url;
use workmate::core::tool::{ApprovalRule, Class, Output, Server, Setting, Transport};

use self::{
    bench::{Bench, program, program_with},
    servers::{Reference, misbehaving, processes_with},
};

fn node(parts: &[&str]) -> Vec<String> {
    ["node"].iter().chain(parts).map(|part| (*part).to_owned()).collect()
}

/// Returns a word that no other process has on its command line.
fn mark() -> String {
    format!("mark-{}", workmate::secret::Secret::random().expose())
}

async fn until_gone(mark: &str) {
    until_there_are(0, mark).await;
}

/// Waits until that many processes bear the mark. A child between its fork and its exec also counts.
async fn until_there_are(wanted: usize, mark: &str) {
    let there = async {
        while processes_with(mark).len() != wanted {
            sleep(Duration::from_millis(50)).await;
        }
    };
    let waited = timeout(Duration::from_mins(1), there).await;
    assert!(waited.is_ok(), "{:?} bear the mark, and not {wanted}", processes_with(mark));
}

async fn kill(pid: u32) {
    let status = Command::new("kill").args(["-KILL", &pid.to_string()]).status().await.expect("kill is there");
    assert!(status.success());
}

#[tokio::test]
async fn c12_the_tools_of_the_reference_server_are_listed_and_called() {
    let Some(reference) = Reference::installed().await else { return };
    let bench = Bench::up(vec![program("everything", node(&[&reference.everything()]))]).await;

    let echo = bench.call("everything__echo", json!({ "message": "Grüße" })).await;
    let sum = bench.call("everything__get-sum", json!({ "a": 2, "b": 40 })).await;
    let weather = bench.call("everything__get-structured-content", json!({ "location": "Chicago" })).await;
    let image = bench.call("everything__get-tiny-image", json!({})).await;
    let wrong = bench.call("everything__get-sum", json!({ "a": "two" })).await;

    assert_eq!(echo, Output::ok("Echo: Grüße"));
    assert_eq!(sum, Output::ok("The sum of 2 and 40 is 42."));
    let weather_text = r#"{"temperature":36,"conditions":"Light rain / drizzle","humidity":82}"#;
    assert_eq!(weather, Output::ok(weather_text));
    assert!(image.text.contains("[an image of image/png: it follows]"), "{}", image.text);
    assert!(wrong.is_error, "{wrong:?}");
    let echo = bench.tool("everything__echo", 1_000).await;
    assert_eq!((echo.offer.class, echo.offer.approval), (Class::Write, ApprovalRule::Asker), "it says it only reads");
    // It appears only after the handshake, with a notification that the list has changed.
    bench.tool("everything__simulate-research-query", 1_000).await;
    bench.stop().await;
}

#[tokio::test]
async fn c12_a_program_is_given_the_named_environment_and_no_secret_comes_back() {
    let Some(reference) = Reference::installed().await else { return };
    let env = [("TOKEN", Setting::Credential("ci".to_owned())), ("COLOUR", Setting::Plain("blue".to_owned()))];
    let server = program_with("everything", node(&[&reference.everything()]), &env);
    let bench = Bench::start(vec![server], &[("ci", "s3cret-token"), ("other", "0ther-secret")]);

    let output = bench.call("everything__get-env", json!({})).await;

    let env: BTreeMap<String, String> = serde_json::from_str(&output.text).expect("the environment is JSON");
    let own = |name: &str| std::env::var(name).expect("the tests have it");
    let expected =
        [("COLOUR", "blue".to_owned()), ("HOME", own("HOME")), ("PATH", own("PATH")), ("TOKEN", "•••".to_owned())];
    assert_eq!(env, expected.map(|(name, value)| (name.to_owned(), value)).into());
    bench.stop().await;
}

#[tokio::test]
async fn c12_the_filesystem_server_stays_in_its_folder() {
    let Some(reference) = Reference::installed().await else { return };
    let [inside, outside] = [(); 2].map(|()| tempfile::tempdir().expect("a folder is made"));
    std::fs::write(outside.path().join("b.txt"), "outside").expect("is written");
    let path = |folder: &tempfile::TempDir, name: &str| folder.path().join(name).to_str().expect("is text").to_owned();
    let command = node(&[&reference.filesystem(), inside.path().to_str().expect("is text")]);
    let bench = Bench::up(vec![program("fs", command)]).await;

    let written = bench.call("fs__write_file", json!({ "path": path(&inside, "a.txt"), "content": "inside" })).await;
    let read = bench.call("fs__read_text_file", json!({ "path": path(&inside, "a.txt") })).await;
    let denied = bench.call("fs__read_text_file", json!({ "path": path(&outside, "b.txt") })).await;

    assert!(!written.is_error, "{written:?}");
    assert_eq!(std::fs::read_to_string(inside.path().join("a.txt")).expect("was written"), "inside");
    assert_eq!(read, Output::ok("inside"));
    assert!(denied.is_error && denied.text.contains("Access denied"), "{denied:?}");
    bench.stop().await;
}

#[tokio::test]
async fn c12_a_result_is_cut_to_the_tools_limit() {
    let Some(reference) = Reference::installed().await else { return };
    let bench = Bench::up(vec![program("everything", node(&[&reference.everything()]))]).await;
    let mut echo = bench.tool("everything__echo", 30_000).await;
    echo.output_bytes_max = 8;
    let arguments = json!({ "message": "ü".repeat(100_000) });
    let output = bench.tools.call(&echo, arguments.as_object().expect("is an object")).await;
    assert_eq!(output, Output { truncated: true, ..Output::ok("Echo: ü") });
    bench.stop().await;
}

#[tokio::test]
async fn c12_a_killed_server_comes_back_and_a_stopped_one_leaves_nothing_behind() {
    let Some(reference) = Reference::installed().await else { return };
    let mark = mark();
    // As with `npx`, the server is a child of the started program.
    let script = format!("node '{}' stdio {mark}; true", reference.everything());
    let bench = Bench::up(vec![program("everything", ["sh", "-c", &script].map(str::to_owned).into())]).await;
    let of_node = || processes_with(&mark);
    let [first] = of_node()[..] else { panic!("one server runs") };

    kill(first).await;
    bench.until("the kill is noticed", |tools| tools.health().up.is_empty()).await;
    let offered = bench.names("everything");
    let echo = bench.call("everything__echo", json!({ "message": "again" })).await;

    assert!(offered.contains(&"everything__echo".to_owned()), "a server that is down keeps its list");
    assert_eq!(echo, Output::ok("Echo: again"));
    assert_ne!(of_node(), [first]);
    bench.stop().await;
    until_gone(&mark).await;
}

#[tokio::test]
async fn c12_a_server_that_resists_is_ended_with_its_children() {
    let mark = mark();
    let bench = Bench::up(vec![program("bad", misbehaving(&["stubborn", &mark]))]).await;
    // The server and its child.
    until_there_are(2, &mark).await;
    bench.stop().await;
    until_gone(&mark).await;
}

async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback is there");
    listener.local_addr().expect("has an address").port()
}

/// The reference server over HTTP.
struct OverHttp {
    url: Url,
    port: u16,
    process: Child,
}

impl OverHttp {
    async fn start(reference: &Reference, port: u16) -> Self {
        let mut command = Command::new("node");
        command.args([&reference.everything(), "streamableHttp"]).env("PORT", port.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let process = command.spawn().expect("node is there");
        let listening = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(Duration::from_mins(1), listening).await.expect("the server listens");
        let url = Url::parse(&format!("http://127.0.0.1:{port}/mcp")).expect("is a URL");
        Self { url, port, process }
    }
}

fn over_http(name: &str, url: Url, headers: &[(&str, Setting)]) -> Server {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Server { name: name.to_owned(), transport: Transport::Http { url, headers } }
}

#[tokio::test]
async fn c12_a_server_over_http_is_called_and_found_again_after_a_restart() {
    let Some(reference) = Reference::installed().await else { return };
    let mut server = OverHttp::start(reference, free_port().await).await;
    let bench = Bench::up(vec![over_http("everything", server.url.clone(), &[])]).await;
    let before = bench.call("everything__echo", json!({ "message": "before" })).await;
    bench.tool("everything__simulate-research-query", 1_000).await;

    server.process.kill().await.expect("it is killed");
    let meanwhile = bench.call("everything__echo", json!({ "message": "meanwhile" })).await;
    let _server = OverHttp::start(reference, server.port).await;
    bench.until("it is up again", |tools| tools.health().down.is_empty()).await;
    let after = bench.call("everything__echo", json!({ "message": "after" })).await;

    assert_eq!([before, after], [Output::ok("Echo: before"), Output::ok("Echo: after")]);
    assert!(meanwhile.is_error, "{meanwhile:?}");
    bench.stop().await;
}

/// Answers every request alike, and reports the credential that came.
async fn answering(
    answer: (StatusCode, Vec<(&'static str, String)>),
) -> (Url, mpsc::UnboundedReceiver<Value>, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback is there");
    let url = Url::parse(&format!("http://{}/mcp", listener.local_addr().expect("has one"))).expect("is a URL");
    let (said, heard) = mpsc::unbounded_channel();
    let handler = move |request: Request| {
        let credential =
            request.headers().get("authorization").map(|value| value.to_str().expect("is text").to_owned());
        let _ = said.send(json!([request.method().as_str(), credential]));
        let (status, headers) = answer.clone();
        async move {
            let mut response = status.into_response();
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().expect("is a value"));
            }
            response
        }
    };
    let mut serving = JoinSet::new();
    serving.spawn(async move { axum::serve(listener, Router::new().fallback(handler)).await.expect("serves") });
    (url, heard, serving)
}

#[tokio::test]
async fn c12_a_servers_credential_does_not_follow_a_redirect_to_another_host() {
    let (elsewhere, mut heard_elsewhere, _other) = answering((StatusCode::OK, Vec::new())).await;
    let redirect = (StatusCode::TEMPORARY_REDIRECT, vec![("location", elsewhere.to_string())]);
    let (url, mut heard, _one) = answering(redirect).await;
    let headers = [("Authorization", Setting::Credential("ci".to_owned()))];
    let bench = Bench::start(vec![over_http("hub", url, &headers)], &[("ci", "s3cret-token")]);

    // The second attempt shows that the first has ended.
    for _ in 0..2 {
        let asked = timeout(Duration::from_mins(1), heard.recv()).await.expect("it is asked");
        assert_eq!(asked, Some(json!(["POST", "Bearer s3cret-token"])));
    }
    assert!(heard_elsewhere.try_recv().is_err());
    bench.stop().await;
}

#[tokio::test]
async fn c12_a_dropped_call_is_cancelled_at_the_server() {
    let bench = Bench::up(vec![program("bad", misbehaving(&["obeys"]))]).await;
    let wait = bench.tool("bad__wait", 60_000).await;

    assert!(timeout(Duration::from_millis(300), bench.tools.call(&wait, &Map::new())).await.is_err());
    let slow = bench.tool("bad__wait", 300).await;
    let too_late = bench.tools.call(&slow, &Map::new()).await;

    let told = "bad__wait took longer than 0.3 s and was cancelled. Whether it took effect is unknown.";
    assert_eq!(too_late, Output::error(told));
    assert_eq!(bench.call("bad__seen", json!({})).await, Output::ok("2 cancelled"));
    bench.stop().await;
}

#[tokio::test]
async fn c12_a_long_operation_of_the_reference_server_is_given_up() {
    let Some(reference) = Reference::installed().await else { return };
    let bench = Bench::up(vec![program("everything", node(&[&reference.everything()]))]).await;
    let long = bench.tool("everything__trigger-long-running-operation", 500).await;
    let arguments = json!({ "duration": 600, "steps": 2 });
    let output = bench.tools.call(&long, arguments.as_object().expect("is an object")).await;
    assert!(output.is_error && output.text.contains("took longer than 0.5 s"), "{output:?}");
    assert_eq!(bench.call("everything__echo", json!({ "message": "on" })).await, Output::ok("Echo: on"));
    bench.stop().await;
}

#[tokio::test]
async fn c12_a_hanging_server_is_restarted_and_another_one_goes_on() {
    let servers = vec![program("hangs", misbehaving(&["hangs"])), program("good", misbehaving(&["obeys"]))];
    let bench = Bench::up(servers).await;
    let hanging = bench.tool("hangs__say", 2_000).await;
    let arguments = Map::new();
    let mut hanging = Box::pin(bench.tools.call(&hanging, &arguments));

    let good = tokio::select! {
        biased;
        _ = &mut hanging => panic!("the good server waited for the hanging one"),
        good = bench.call("good__say", json!({})) => good,
    };
    assert!(!good.is_error, "{good:?}");
    assert!(hanging.await.is_error);
    bench.until("it is given up", |tools| tools.health().up == ["good"]).await;
    bench.until("it is started again", |tools| tools.health().down.is_empty()).await;
    bench.stop().await;
}

#[tokio::test]
async fn c12_a_server_that_says_nothing_at_first_holds_up_nobody() {
    let servers = vec![program("mute", misbehaving(&["mute"])), program("good", misbehaving(&["obeys"]))];
    let bench = Bench::start(servers, &[]);
    assert!(!bench.call("good__say", json!({})).await.is_error);
    let health = bench.tools.health();
    assert_eq!((health.up, health.down), (vec!["good".to_owned()], vec!["mute".to_owned()]));
    bench.stop().await;
}

#[tokio::test]
async fn c12_a_flooding_server_is_broken_off_and_another_one_goes_on() {
    let modes = ["flood-of-bytes", "flood-of-notifications", "flood-of-requests"];
    let mut servers: Vec<Server> = modes.iter().map(|mode| program(mode, misbehaving(&[mode]))).collect();
    servers.push(program("good", misbehaving(&["obeys"])));
    let bench = Bench::start(servers, &[]);
    for mode in modes {
        let flooded = bench.call(&format!("{mode}__say"), json!({})).await;
        let why = format!("The server {mode} went away during the call. Whether it took effect is unknown.");
        assert_eq!(flooded, Output::error(why));
        assert_eq!(bench.call(&format!("{mode}__seen"), json!({})).await, Output::ok("0 cancelled"), "it is back");
    }
    assert!(!bench.call("good__say", json!({})).await.is_error);
    bench.stop().await;
}

#[tokio::test]
async fn c12_a_message_that_is_too_large_is_dropped_and_the_server_goes_on() {
    let bench = Bench::up(vec![program("bad", misbehaving(&["obeys"]))]).await;
    let huge = bench.tool("bad__huge", 2_000).await;
    let output = bench.tools.call(&huge, &Map::new()).await;
    assert!(output.is_error && output.text.contains("took longer than 2 s"), "{output:?}");
    assert!(!bench.call("bad__say", json!({})).await.is_error);
    bench.stop().await;
}

#[tokio::test]
async fn c12_a_changed_list_is_followed_and_a_second_tool_of_one_name_is_not_offered() {
    let bench = Bench::up(vec![program("bad", misbehaving(&["obeys"]))]).await;
    let mut expected =
        ["say", "wait", "seen", "grow", "huge", "ask", "die", "same_name"].map(|name| format!("bad__{name}")).to_vec();
    assert_eq!(bench.names("bad"), expected);
    bench.call("bad__grow", json!({})).await;
    bench.tool("bad__grown", 1_000).await;
    expected.push("bad__grown".to_owned());
    assert_eq!(bench.names("bad"), expected);
    bench.stop().await;
}

#[tokio::test]
async fn c12_a_tool_is_not_called_on_a_connection_that_lists_it_otherwise() {
    let bench = Bench::up(vec![program("bad", misbehaving(&["turncoat"]))]).await;
    let changed = |output: &Output| output.is_error && output.text.contains("has changed since this request began");
    let say = bench.tool("bad__say", 30_000).await;
    assert!(!bench.tools.call(&say, &Map::new()).await.is_error);

    // The server announces the change before it has answered; nobody has read its list yet.
    assert_eq!(bench.call("bad__grow", json!({})).await, Output::ok("grown"));
    let output = bench.tools.call(&say, &Map::new()).await;
    assert!(changed(&output), "{output:?}");

    let say = bench.tool("bad__say", 30_000).await;
    assert!(!bench.tools.call(&say, &Map::new()).await.is_error, "it holds as it is read now");
    // The server is another one when the call is made.
    bench.call("bad__die", json!({})).await;
    let output = bench.tools.call(&say, &Map::new()).await;
    assert!(changed(&output), "{output:?}");
    bench.stop().await;
}

#[tokio::test]
async fn c12_a_list_without_an_end_ends() {
    let bench = Bench::up(vec![program("bad", misbehaving(&["endless-list"]))]).await;
    assert_eq!(bench.names("bad").len(), 64);
    bench.stop().await;
}

#[tokio::test]
async fn c12_a_servers_own_requests_are_refused() {
    let bench = Bench::up(vec![program("bad", misbehaving(&["obeys"]))]).await;
    let output = bench.call("bad__ask", json!({})).await;
    let answers: Value = serde_json::from_str(&output.text).expect("the answers are JSON");
    let refused = -32601;
    let expected = json!({
        "ask-elicitation/create": refused,
        "ask-ping": "granted",
        "ask-roots/list": refused,
        "ask-sampling/createMessage": refused,
    });
    assert_eq!(answers, expected);
    bench.stop().await;
}

#[tokio::test]
async fn c12_a_server_that_dies_in_a_call_says_that_the_outcome_is_unknown() {
    let bench = Bench::up(vec![program("bad", misbehaving(&["obeys"]))]).await;
    let dead = bench.call("bad__die", json!({})).await;
    let why = "The server bad went away during the call. Whether it took effect is unknown.";
    assert_eq!(dead, Output::error(why));
    assert!(!bench.call("bad__say", json!({})).await.is_error, "it comes back within the call's patience");
    bench.stop().await;
}

#[tokio::test]
async fn c12_more_calls_than_a_server_takes_at_once_wait_within_their_time() {
    let bench = Bench::up(vec![program("bad", misbehaving(&["obeys"]))]).await;
    let (wait, say) = (bench.tool("bad__wait", 60_000).await, bench.tool("bad__say", 500).await);
    let arguments = Map::new();
    let mut waiting: Vec<_> = (0..8).map(|_| Box::pin(bench.tools.call(&wait, &arguments))).collect();
    let mut all = futures_util::future::join_all(waiting.iter_mut());
    let ninth = tokio::select! {
        biased;
        _ = &mut all => panic!("nothing answers these"),
        ninth = bench.tools.call(&say, &arguments) => ninth,
    };
    drop(all);
    drop(waiting);
    assert!(ninth.is_error && ninth.text.contains("took longer than 0.5 s"), "{ninth:?}");
    assert!(!bench.call("bad__say", json!({})).await.is_error);
    bench.stop().await;
}
