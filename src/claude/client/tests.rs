//! Tests the client against a real server on loopback, well-behaved and not.

mod batches;
mod files;
mod gateways;
mod server;

use std::{cell::RefCell, time::Duration};

use server::{Seen, Server, Step, api_error, events, reply, stream_head};

use super::*;
use crate::{
    claude::{
        Delta, Message,
        error::{Advice, Quoted},
        stream::StreamError,
        wire::{ContentBlock, Effort, StopReason, Usage},
    },
    core::prompt::{Prompt, Role, Turn},
};

const KEY: &str = "sk-ant-hunter2";
const START: &str =
    r#"{"type":"message_start","message":{"id":"msg_9","model":"claude-opus-5-5","usage":{"input_tokens":3}}}"#;
const BLOCK: &str = r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#;
const TEXT: &str = r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hé"}}"#;
const BLOCK_STOP: &str = r#"{"type":"content_block_stop","index":0}"#;
const END: &str = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}"#;
const STOP: &str = r#"{"type":"message_stop"}"#;
const OVERLOADED: &str = r#"{"type":"overloaded_error","message":"Overloaded"}"#;

/// A wait short enough for a test and long enough for a busy machine.
const SHORT: Duration = Duration::from_millis(150);

fn config(base_url: Url) -> ClientConfig {
    let retry = Policy { attempts_max: 3, backoff_first: Duration::from_millis(1), ..Policy::default() };
    ClientConfig { retry, ..ClientConfig::new(base_url, Some(Secret::new(KEY))) }
}

fn client(config: ClientConfig) -> Client {
    Client::new(config).expect("the configuration is usable")
}

fn request() -> Request {
    let turns = vec![Turn::new(Role::User, "status?")];
    let prompt = Prompt { system: vec!["You are oncall.".to_owned()], turns, ..Prompt::default() };
    Request::from_prompt(&prompt, "claude-opus-5-5", Some(Effort::Medium), 4096, None)
}

fn answered() -> Vec<Step> {
    vec![stream_head(), events(&[START, BLOCK, TEXT, BLOCK_STOP, END, STOP])]
}

fn answer() -> Answer {
    let message = Message {
        id: "msg_9".to_owned(),
        model: "claude-opus-5-5".to_owned(),
        content: vec![ContentBlock::text("Hé")],
        stop_reason: Some(StopReason::EndTurn),
        stop_sequence: None,
        stop_details: None,
        container: None,
        usage: Usage { input_tokens: Some(3), output_tokens: Some(2), ..Usage::default() },
    };
    Answer { message, request_id: Some("req_head".to_owned()) }
}

async fn ask(config: ClientConfig) -> Result<Answer, Error> {
    client(config).stream(&request()).await?.finish().await
}

/// Returns the error of a call to a server that plays `scripts`, and how many requests it saw.
async fn failing(scripts: Vec<Vec<Step>>, adjust: impl FnOnce(&mut ClientConfig)) -> (Error, usize) {
    let mut server = Server::start(scripts).await;
    let mut config = config(server.base_url.clone());
    adjust(&mut config);
    let error = ask(config).await.expect_err("the call fails");
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    (error, server.requests())
}

#[tokio::test]
async fn a_call_sends_the_documented_request_and_streams_the_answer() {
    let mut server = Server::start(vec![answered()]).await;
    let client = client(config(server.base_url.join("/prefix/").expect("it is a path")));

    let mut stream = client.stream(&request()).await.expect("the answer begins");
    let mut news = Vec::new();
    while let Some(delta) = stream.next().await.expect("the answer goes on") {
        news.push(delta);
    }

    let started = Delta::Started { id: "msg_9".to_owned(), model: "claude-opus-5-5".to_owned() };
    let block = Delta::BlockStarted { index: 0, kind: "text".to_owned() };
    assert_eq!(news, [started, block, Delta::Text("Hé".to_owned()), Delta::BlockStopped { index: 0 }]);
    assert_eq!(stream.request_id(), Some("req_head"));
    assert_eq!(stream.finish().await.expect("it is whole"), answer());
    let Seen::Request { head, body } = server.next().await else { panic!("a request comes first") };
    assert_eq!(head.lines().next(), Some("POST /prefix/v1/messages HTTP/1.1"));
    for line in [
        "content-type: application/json",
        "anthropic-version: 2026-10-21",
        &format!("x-api-key: {KEY}"),
        &format!("user-agent: workmate/{}", env!("CARGO_PKG_VERSION")),
    ] {
        assert!(head.lines().any(|sent| sent == line), "{line} in {head}");
    }
    assert!(head.lines().any(|sent| sent == "accept-encoding: identity"), "{head}");
    assert_eq!(body.as_bytes(), request().body());
}

/// Runs are tasks, so the call's future must be `Send`; this fails to compile otherwise.
#[tokio::test]
async fn a_call_can_be_made_from_a_task() {
    let server = Server::start(vec![answered()]).await;
    let client = client(config(server.base_url.clone()));
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move { client.stream_with(&request(), |_| {}).await?.finish().await });
    assert_eq!(tasks.join_next().await.expect("one task").expect("it ends").expect("it is whole"), answer());
}

#[tokio::test]
async fn an_answer_in_tiny_pieces_is_whole() {
    let Step::Send(bytes) = events(&[START, BLOCK, TEXT, BLOCK_STOP, END, STOP]) else { panic!("events are sent") };
    let pieces = bytes.chunks(3).map(|piece| Step::Send(piece.to_vec()));
    let server = Server::start(vec![[stream_head()].into_iter().chain(pieces).collect()]).await;
    assert_eq!(ask(config(server.base_url.clone())).await.expect("it is whole"), answer());
}

#[tokio::test]
async fn an_overloaded_api_is_asked_again_and_the_caller_hears_of_it() {
    let overloaded = || api_error("529 Overloaded", "retry-after-ms: 2\r\n", OVERLOADED);
    let in_stream = vec![stream_head(), events(&[r#"{"type":"error","error":{"type":"overloaded_error"}}"#])];
    let mut server = Server::start(vec![overloaded(), in_stream, answered()]).await;
    let heard = RefCell::new(Vec::new());

    let client = client(config(server.base_url.clone()));
    let stream = client
        .stream_with(&request(), |waiting| {
            heard.borrow_mut().push((waiting.made.attempts, waiting.cause.clone()));
        })
        .await
        .expect("the third attempt is answered");

    assert_eq!(stream.finish().await.expect("it is whole"), answer());
    assert_eq!(heard.into_inner(), [(1, Cause::Overloaded), (2, Cause::Overloaded)]);
    assert_eq!(server.requests(), 3);
}

#[tokio::test]
async fn attempts_end_and_the_last_error_says_when_to_come_back() {
    let limited = r#"{"type":"rate_limit_error","message":"slow down"}"#;
    let reply = || api_error("429 Too Many Requests", "retry-after-ms: 1\r\nrequest-id: req_1\r\n", limited);
    let (error, requests) = failing(vec![reply(), reply(), reply(), answered()], |_| {}).await;
    let after = Some(Duration::from_millis(1));
    assert_eq!(error.cause, Cause::RateLimited { retry_after: after, said: Quoted::new("slow down", None) });
    assert_eq!((error.advice(), requests), (Advice::RetryLater { after }, 3));
    assert_eq!(error.request_id.as_deref(), Some("req_1"));
}

#[expect(clippy::too_many_lines, reason = "a table")]
#[tokio::test]
async fn refusals_are_told_apart_and_never_repeated() {
    let said = |text: &str| Quoted::new(text, None);
    let json = |status: &str, error: &str| api_error(status, "", error);
    let html = |status: &str| reply(status, "content-type: text/html\r\n", "<html>No.</html>");
    let request_bytes = request().body().len();
    let not_found = |said| Cause::ModelNotFound { model: "claude-opus-5-5".to_owned(), said };
    let strange = |status, what: &str| Cause::Protocol { status, what: what.to_owned() };
    for (script, cause, advice) in [
        (
            json("401 Unauthorized", r#"{"type":"authentication_error","message":"invalid key sk-ant-hunter2"}"#),
            Cause::KeyRefused { status: 401, said: said("invalid key …") },
            Advice::MendConfig,
        ),
        (
            json("403 Forbidden", r#"{"type":"permission_error","message":"no"}"#),
            Cause::KeyRefused { status: 403, said: said("no") },
            Advice::MendConfig,
        ),
        (
            json("402 Payment Required", r#"{"type":"billing_error","message":"pay"}"#),
            Cause::Billing { said: said("pay") },
            Advice::MendConfig,
        ),
        (
            json(
                "429 Too Many Requests",
                r#"{"type":"rate_limit_error","message":"spent","details":{"error_code":"enforced_spend_limit_reached"}}"#,
            ),
            Cause::Billing { said: said("spent") },
            Advice::MendConfig,
        ),
        (
            json("400 Bad Request", r#"{"type":"invalid_request_error","message":"Your Credit Balance is too low"}"#),
            Cause::Billing { said: said("Your Credit Balance is too low") },
            Advice::MendConfig,
        ),
        (
            json("403 Forbidden", r#"{"type":"permission_error","message":"This organization has been disabled."}"#),
            Cause::Billing { said: said("This organization has been disabled.") },
            Advice::MendConfig,
        ),
        (
            reply(
                "402 Payment Required",
                "content-type: application/json\r\n",
                r#"{"error":{"message":"pay","code":402}}"#,
            ),
            Cause::Billing { said: said("pay") },
            Advice::MendConfig,
        ),
        (
            json(
                "400 Bad Request",
                r#"{"type":"invalid_request_error","message":"prompt is too long: 3 tokens > 2 maximum"}"#,
            ),
            Cause::TooLarge { request_bytes },
            Advice::Shorten,
        ),
        (
            reply(
                "200 OK",
                "content-type: application/json\r\n",
                r#"{"error":{"type":"authentication_error","message":"no"}}"#,
            ),
            Cause::KeyRefused { status: 401, said: said("no") },
            Advice::MendConfig,
        ),
        (
            vec![
                stream_head(),
                events(&[
                    r#"{"type":"error","error":{"type":"invalid_request_error","message":"x","details":{"error_code":"organization_on_hold"}}}"#,
                ]),
            ],
            Cause::Billing { said: said("x") },
            Advice::MendConfig,
        ),
        (
            json("404 Not Found", r#"{"type":"not_found_error","message":"model: m"}"#),
            not_found(said("model: m")),
            Advice::MendConfig,
        ),
        (
            // A gateway's 404, about the address.
            json("404 Not Found", r#"{"type":"not_found_error","message":"Not found"}"#),
            Cause::InvalidRequest { status: 404, code: None, said: said("Not found") },
            Advice::Fail,
        ),
        (html("404 Not Found"), strange(404, "text/html"), Advice::MendConfig),
        (html("413 Payload Too Large"), Cause::TooLarge { request_bytes }, Advice::Shorten),
        (
            json(
                "400 Bad Request",
                r#"{"type":"invalid_request_error","message":"bad","details":{"error_code":"tool_name_conflict"}}"#,
            ),
            Cause::InvalidRequest { status: 400, code: Some("tool_name_conflict".to_owned()), said: said("bad") },
            Advice::Fail,
        ),
        (reply("302 Found", "location: http://127.0.0.1:1/\r\n", ""), strange(302, "a redirect"), Advice::MendConfig),
        (
            api_error("503 Unavailable", "x-should-retry: false\r\n", r#"{"type":"api_error","message":"later"}"#),
            Cause::Server { status: 503, said: said("later") },
            Advice::RetryLater { after: None },
        ),
        (
            api_error("529 Overloaded", "retry-after: 301\r\n", OVERLOADED),
            Cause::Overloaded,
            Advice::RetryLater { after: None },
        ),
        (
            vec![
                stream_head(),
                events(&[r#"{"type":"error","error":{"type":"invalid_request_error","message":"x"}}"#]),
            ],
            Cause::InvalidRequest { status: 400, code: None, said: said("x") },
            Advice::Fail,
        ),
        (
            vec![stream_head(), events(&[STOP])],
            Cause::BrokenStream(StreamError::OutOfOrder { event: "message_stop", reason: "the message had not begun" }),
            Advice::Regenerate,
        ),
    ] {
        let (error, requests) = failing(vec![script, answered()], |_| {}).await;
        assert_eq!((&error.cause, error.advice(), error.phase, requests), (&cause, advice, Phase::BeforeAnswer, 1));
    }
}

#[tokio::test]
async fn without_a_key_or_with_a_hopeless_request_nothing_is_sent() {
    let (error, requests) = failing(vec![answered()], |config| config.api_key = None).await;
    assert_eq!((error.cause, requests), (Cause::MissingKey, 0));

    let mut server = Server::start(vec![answered()]).await;
    let mut request = request();
    request.messages.clear();
    let error = client(config(server.base_url.clone())).stream(&request).await.expect_err("it is refused");
    assert_eq!((error.cause, server.requests()), (Cause::Unsendable("it has no message"), 0));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_never_repeated_unseen() {
    let said = |text: &str| Quoted::new(text, None);
    let broken = |error| Cause::BrokenStream(error);
    let error_event = r#"{"type":"error","error":{"type":"api_error","message":"oops"}}"#;
    let malformed = StreamError::Malformed { event: String::new(), reason: "Syntax error at column 2".to_owned() };
    for (end, cause) in [
        (events(&[]), broken(StreamError::EndedEarly)),
        (events(&[END]), broken(StreamError::EndedEarly)),
        (events(&["{oops"]), broken(malformed)),
        (events(&[error_event]), Cause::Server { status: 500, said: said("oops") }),
    ] {
        let script = vec![stream_head(), events(&[START, BLOCK, TEXT]), end];
        let (error, requests) = failing(vec![script, answered()], |_| {}).await;
        assert_eq!((&error.cause, error.phase, requests), (&cause, Phase::DuringAnswer, 1));
        assert_eq!((error.advice(), error.request_id.as_deref()), (Advice::Regenerate, Some("req_head")));
    }
}

#[tokio::test]
async fn news_before_a_fault_is_handed_out_before_it() {
    let server = Server::start(vec![vec![stream_head(), events(&[START, BLOCK, TEXT, "{oops"])]]).await;
    let mut stream = client(config(server.base_url.clone())).stream(&request()).await.expect("it begins");
    let mut texts = Vec::new();
    let error = loop {
        match stream.next().await {
            Ok(Some(Delta::Text(text))) => texts.push(text),
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream is broken"),
            Err(error) => break error,
        }
    };
    assert_eq!((texts, error.cause.name()), (vec!["Hé".to_owned()], "broken_stream"));
    assert!(stream.next().await.is_err(), "the fault stays");
    assert_eq!(stream.usage(), Usage { input_tokens: Some(3), ..Usage::default() });
}

#[tokio::test]
async fn a_connection_that_ends_before_the_answer_is_made_again() {
    let mut server = Server::start(vec![vec![], vec![stream_head()], answered()]).await;
    assert_eq!(ask(config(server.base_url.clone())).await.expect("the third is whole"), answer());
    assert_eq!(server.requests(), 3);
}

#[tokio::test]
async fn nobody_listening_is_a_connection_error_that_names_the_base_url() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("a bound listener has an address");
    drop(listener);
    let base_url: Url = format!("http://{address}").parse().expect("it is a URL");
    let error = ask(config(base_url.clone())).await.expect_err("nobody answers");
    assert!(matches!(error.cause, Cause::Connect { .. }), "{error}");
    assert_eq!(error.advice(), Advice::RetryLater { after: None });
    assert!(error.to_string().starts_with(&format!("claude at {}: ", shown(&base_url))), "{error}");
}

#[tokio::test]
async fn each_wait_has_its_own_timeout() {
    let hold = |steps: &[Step]| steps.iter().cloned().chain([Step::Hold]).collect::<Vec<_>>();
    let begun = [stream_head(), events(&[START, BLOCK])];
    let once = |config: &mut ClientConfig| config.retry.attempts_max = 1;
    let timeout = |wait| Cause::Timeout { wait, limit: SHORT };

    let (headers, _) = failing(vec![hold(&[])], |config| {
        once(config);
        config.timeouts.headers = SHORT;
    })
    .await;
    assert_eq!((headers.cause.clone(), headers.phase), (timeout(Wait::Headers), Phase::BeforeAnswer));
    let (idle, _) = failing(vec![hold(&begun)], |config| config.timeouts.idle = SHORT).await;
    assert_eq!((idle.cause.clone(), idle.phase), (timeout(Wait::Idle), Phase::DuringAnswer));
    let (overall, _) = failing(vec![hold(&begun)], |config| config.timeouts.overall = SHORT).await;
    assert_eq!((overall.cause.clone(), overall.phase), (timeout(Wait::Overall), Phase::DuringAnswer));
    assert_eq!(
        [headers, idle, overall].map(|error| error.advice()),
        [Advice::RetryLater { after: None }, Advice::Regenerate, Advice::Regenerate]
    );
}

#[tokio::test]
async fn a_silent_beginning_is_tried_again() {
    let mut server = Server::start(vec![vec![stream_head(), Step::Hold], answered()]).await;
    let mut config = config(server.base_url.clone());
    config.timeouts.idle = SHORT;
    assert_eq!(ask(config).await.expect("the second is whole"), answer());
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn pings_keep_a_slow_answer_alive() {
    let ping = [Step::Pause(SHORT / 2), Step::Send(b"event: ping\ndata: {}\n\n".to_vec())];
    let pings = ping.iter().cloned().cycle().take(12);
    let script = [stream_head(), events(&[START])].into_iter().chain(pings);
    let script = script.chain([events(&[BLOCK, TEXT, BLOCK_STOP, END, STOP])]).collect();
    let server = Server::start(vec![script]).await;
    let mut config = config(server.base_url.clone());
    // Together the pings last three times as long.
    config.timeouts.idle = SHORT * 2;
    assert_eq!(ask(config).await.expect("it is whole"), answer());
}

#[tokio::test]
async fn dropping_a_stream_or_a_waiting_call_hangs_up() {
    let held = vec![stream_head(), events(&[START]), Step::Hold];
    let mut server = Server::start(vec![held, vec![Step::Hold]]).await;
    let client = client(config(server.base_url.clone()));

    let stream = client.stream(&request()).await.expect("it begins");
    assert!(matches!(server.next().await, Seen::Request { .. }));
    drop(stream);
    assert_eq!(server.next().await, Seen::HungUp);

    let request = request();
    let waiting = client.stream(&request);
    tokio::select! {
        _ = waiting => panic!("nobody answers"),
        seen = server.next() => assert!(matches!(seen, Seen::Request { .. })),
    }
    assert_eq!(server.next().await, Seen::HungUp);
}

#[tokio::test]
async fn an_answer_over_its_limit_is_broken_off() {
    let (error, _) = failing(vec![answered()], |config| config.limits.message_bytes_max = START.len() + 20).await;
    let limit = START.len() + 20;
    assert_eq!(error.cause, Cause::BrokenStream(StreamError::MessageTooLong { message_bytes_max: limit }));
    assert_eq!(error.advice(), Advice::Fail);
}

#[tokio::test]
async fn a_huge_error_body_is_cut() {
    let huge = "x".repeat(response::ERROR_BYTES_MAX * 4);
    let (error, _) = failing(vec![reply("400 Bad Request", "content-type: text/plain\r\n", &huge)], |_| {}).await;
    assert_eq!(error.cause, Cause::Protocol { status: 400, what: "text/plain".to_owned() });
}

#[test]
fn unusable_configuration_is_found_at_once_and_shows_no_secret() {
    let base = |text: &str| text.parse::<Url>().expect(text);
    for (base_url, key, expected) in [
        ("ftp://api.example", KEY, Cause::UnusableBaseUrl),
        ("mailto:a@api.example", KEY, Cause::UnusableBaseUrl),
        ("https://me:hunter2@api.example", KEY, Cause::UnusableBaseUrl),
        ("https://api.example", "sk-ant-hunter2\n", Cause::UnusableKey),
    ] {
        let config = ClientConfig::new(base(base_url), Some(Secret::new(key)));
        let error = Client::new(config).expect_err(base_url);
        assert_eq!((&error.cause, error.advice()), (&expected, Advice::MendConfig), "{base_url}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
    let client = client(config(base("https://api.example")));
    assert!(!format!("{client:?}").contains("hunter2"), "{client:?}");
}

#[test]
fn a_base_url_may_have_a_prefix_and_a_slash() {
    for (base, expected, shown_as) in [
        ("https://api.example", "https://api.example/v1/messages", "https://api.example"),
        ("https://api.example/", "https://api.example/v1/messages", "https://api.example"),
        ("http://h:8080/a/b/?q#f", "http://h:8080/a/b/v1/messages", "http://h:8080/a/b"),
        ("http://[::1]:9/a", "http://[::1]:9/a/v1/messages", "http://[::1]:9/a"),
    ] {
        let base: Url = base.parse().expect(base);
        assert_eq!(endpoint(&base).map(String::from).as_deref(), Some(expected));
        assert_eq!(shown(&base), shown_as);
    }
}
