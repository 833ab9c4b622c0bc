//! Gateways between us and the API, and looks at what they have.

use super::*;
use crate::core::model::Facts;

#[tokio::test]
async fn c19_a_page_in_the_api_s_place_is_waited_out() {
    let html = |status: &str| reply(status, "content-type: text/html\r\n", "<html>Wait.</html>");
    let mut server = Server::start(vec![html("200 OK"), html("403 Forbidden"), answered()]).await;
    assert_eq!(ask(config(server.base_url.clone())).await.expect("the third is whole"), answer());
    assert_eq!(server.requests(), 3);
    let pages = vec![html("200 OK"), html("200 OK"), html("403 Forbidden"), answered()];
    let (error, requests) = failing(pages, |_| {}).await;
    assert_eq!(error.cause, Cause::Page { status: 403, what: "text/html".to_owned() });
    assert_eq!((error.advice(), requests), (Advice::RetryLater { after: None }, 3));
}

#[tokio::test]
async fn c19_an_address_without_the_messages_api_is_told_at_once_and_not_asked_again_and_again() {
    let events = |text: &str| reply("200 OK", "content-type: text/event-stream\r\n", text);
    let choices = r#"{"id":"1","choices":[{"message":{"role":"assistant","content":"Fine"}}]}"#;
    // What comes, how often it is asked for, and whether the address is to blame.
    for (name, script, expected, foreign) in [
        ("nothing", reply("200 OK", "", ""), 3, true),
        ("a stream of nothing", events(""), 3, true),
        ("no content", reply("204 No Content", "", ""), 3, true),
        ("another API's message", reply("200 OK", "content-type: application/json\r\n", choices), 1, true),
        ("another API's events", events("data: {\"choices\":[{\"delta\":{}}]}\n\ndata: [DONE]\n\n"), 1, true),
        ("other events", events("event: response.created\ndata: {\"type\":\"response.created\"}\n\n"), 1, true),
        ("pings that break off", events("event: ping\ndata: {\"type\":\"ping\"}\n\n"), 3, false),
    ] {
        let (error, requests) = failing(vec![script.clone(), script.clone(), script], |_| {}).await;
        assert_eq!(requests, expected, "{name}: {error}");
        let is_told = error.told().contains("this address does not speak the Messages API");
        assert_eq!(is_told && error.advice() == Advice::MendConfig, foreign, "{name}: {error}");
    }
}

#[tokio::test]
async fn c19_money_asked_for_in_plain_text_is_a_matter_of_the_account() {
    let plain = |status: &str, text: &str| reply(status, "content-type: text/plain\r\n", text);
    let said = "Insufficient funds. Please top up your wallet.";
    let (error, _) = failing(vec![plain("400 Bad Request", said)], |_| {}).await;
    assert_eq!(error.cause, Cause::Billing { said: Quoted::new(said, None) });
    let (error, _) = failing(vec![plain("400 Bad Request", "Bad gateway, no funds of wisdom.")], |_| {}).await;
    assert_eq!(error.cause, Cause::Protocol { status: 400, what: "text/plain".to_owned() });
}

#[tokio::test]
async fn a_gateway_gets_a_bearer_its_headers_and_its_version_and_none_of_them_is_shown() {
    let told = r#"{"type":"authentication_error","message":"bad token tok-hunter2 with x-hunter2"}"#;
    let mut server = Server::start(vec![api_error("401 Unauthorized", "", told)]).await;
    let mut config = config(server.base_url.clone());
    config.api_key = None;
    config.auth_token = Some(Secret::new("tok-hunter2"));
    config.headers = vec![("X-Gateway".to_owned(), Secret::new("x-hunter2"))];
    config.api_version = "2023-06-01".to_owned();
    let error = ask(config.clone()).await.expect_err("it is refused");
    assert!(!format!("{error} {error:?} {:?}", client(config)).contains("hunter2"), "{error}");
    let Seen::Request { head, .. } = server.next().await else { panic!("a request comes first") };
    for line in ["authorization: Bearer tok-hunter2", "x-gateway: x-hunter2", "anthropic-version: 2023-06-01"] {
        assert!(head.lines().any(|sent| sent == line), "{line} in {head}");
    }
    assert!(!head.contains("x-api-key") && !head.contains("anthropic-beta"), "{head}");
}

#[tokio::test]
async fn a_look_tells_what_a_model_takes_and_is_remembered() {
    let info = r#"{"type":"model","id":"m-1","lifecycle":"deprecated","retires_at":"2027-02-01T00:00:00Z","capabilities":{"effort":{"supported":true,"low":{"supported":true},"medium":{"supported":false},"high":{"supported":true},"max":{"supported":false}}}}"#;
    let json = |status: &str, body: &str| reply(status, "content-type: application/json\r\n", body);
    let missing = r#"{"type":"error","error":{"type":"not_found_error","message":"model: m-2"}}"#;
    let scripts = vec![
        json("200 OK", info),
        json("404 Not Found", missing),
        reply("404 Not Found", "content-type: text/html\r\n", "<html>"),
        json(
            "400 Bad Request",
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"messages: empty"}}"#,
        ),
        json("200 OK", r#"{"data":[]}"#),
        json("422 Unprocessable Entity", r#"{"detail":[{"loc":["body","messages"]}]}"#),
        api_error("401 Unauthorized", "", r#"{"type":"authentication_error","message":"no"}"#),
    ];
    let mut server = Server::start(scripts).await;
    let client = client(config(server.base_url.clone()));
    let facts = Facts {
        efforts: Some(vec![Effort::Low, Effort::High]),
        ends: Some("2027-02-01".to_owned()),
        ..Facts::default()
    };
    assert_eq!(client.look("m-1").await.expect("it is there"), Looked::Model(facts.clone()));
    assert_eq!((client.facts("m-1"), client.clone().facts("m-1").effort(Effort::Max)), (facts, Some(Effort::High)));
    assert!(matches!(client.look("m-2").await.expect_err("it is not").cause, Cause::ModelNotFound { .. }));
    assert_eq!(client.look("a/b ?").await.expect("no such question"), Looked::Unknown);
    assert_eq!(client.look("m-4").await.expect("no such answer"), Looked::Unknown);
    assert!(matches!(client.look("m-1").await.expect_err("no key").cause, Cause::KeyRefused { .. }));
    let Seen::Request { head, .. } = server.next().await else { panic!("a request comes first") };
    assert_eq!(head.lines().next(), Some("GET /v1/models/m-1 HTTP/1.1"));
    assert!(client.learn_effort_refused("m-1", Effort::High) && !client.learn_effort_refused("m-1", Effort::High));
    assert_eq!(client.facts("m-1").effort(Effort::Max), Some(Effort::Low));
}

#[tokio::test]
async fn op1_whoever_answers_in_the_api_s_place_is_told_from_a_gateway_that_only_lacks_the_question() {
    let html = |status: &str| reply(status, "content-type: text/html\r\n", "<html>Hello.</html>");
    let json = |status: &str, body: &str| reply(status, "content-type: application/json\r\n", body);
    let not_there = || reply("404 Not Found", "content-type: text/plain\r\n", "404 page not found");
    // The answer about the model, the answer to an empty request if one is made, and the verdict.
    for (first, second, expected) in [
        (not_there(), Some(json("400 Bad Request", r#"{"error":{"message":"messages: empty"}}"#)), "there"),
        (html("200 OK"), Some(json("400 Bad Request", r#"{"error":"no messages"}"#)), "there"),
        (
            html("403 Forbidden"),
            Some(json("400 Bad Request", r#"{"type":"error","error":{"type":"invalid_request_error"}}"#)),
            "there",
        ),
        (json("200 OK", "{}"), Some(json("200 OK", r#"{"type":"message","content":[]}"#)), "there"),
        (not_there(), Some(reply("200 OK", "content-type: text/event-stream\r\n", "data: 1\n\n")), "there"),
        (html("200 OK"), Some(html("200 OK")), "page"),
        (html("200 OK"), Some(html("405 Method Not Allowed")), "protocol"),
        (not_there(), Some(not_there()), "protocol"),
        (
            json("404 Not Found", r#"{"detail":"Not Found"}"#),
            Some(json("404 Not Found", r#"{"detail":"Not Found"}"#)),
            "protocol",
        ),
        (
            json("404 Not Found", r#"{"errcode":"M_UNRECOGNIZED","error":"?"}"#),
            Some(json("404 Not Found", r#"{"errcode":"M_UNRECOGNIZED","error":"?"}"#)),
            "invalid_request",
        ),
        (json("200 OK", r#"{"status":"ok"}"#), Some(json("200 OK", r#"{"status":"ok"}"#)), "page"),
        (reply("204 No Content", "", ""), Some(reply("200 OK", "", "")), "protocol"),
        (
            reply("301 Moved Permanently", "location: https://x.example/\r\n", ""),
            Some(reply("301 Moved Permanently", "", "")),
            "protocol",
        ),
        (not_there(), Some(json("401 Unauthorized", r#"{"error":{"type":"authentication_error"}}"#)), "key_refused"),
        (
            not_there(),
            Some(json("404 Not Found", r#"{"type":"error","error":{"type":"not_found_error","message":"model: m"}}"#)),
            "model_not_found",
        ),
        (html("502 Bad Gateway"), None, "server"),
        (html("401 Unauthorized"), None, "key_refused"),
    ] {
        let asks = 1 + usize::from(second.is_some());
        let mut server = Server::start([first].into_iter().chain(second).collect()).await;
        let found = match client(config(server.base_url.clone())).look("m").await {
            Ok(Looked::Unknown) => "there",
            Ok(Looked::Model(_)) => "model",
            Err(error) => {
                let told = error.told();
                assert!(told.contains("\n  Mend: ") && told.starts_with("claude at http://127.0.0.1:"), "{told}");
                error.cause.name()
            }
        };
        assert_eq!((found, server.requests()), (expected, asks));
    }
}

fn zipped(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes.as_ref()).expect("written");
    encoder.finish().expect("finished")
}

fn deflated(text: &str) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).expect("written");
    encoder.finish().expect("finished")
}

#[tokio::test]
async fn c19_an_answer_is_read_however_a_gateway_frames_types_or_compresses_it() {
    let all = [START, BLOCK, TEXT, BLOCK_STOP, END, STOP];
    let events = all.map(|event| format!("data: {event}\n\n")).concat();
    let lines = all.map(|event| format!("{event}\n")).concat();
    let crs = format!("\u{feff}: hello\rretry: 9\rid: 1\revent: new\rdata: 1\r\r{}", events.replace('\n', "\r"));
    let whole = r#"{"type":"message","id":"msg_9","role":"assistant","model":"claude-opus-5-5","stop_reason":"end_turn",
        "content":[{"type":"text","text":"Hé"}],"usage":{"input_tokens":3,"output_tokens":2}}"#;
    let chunked = format!("{:x}\r\n{events}\r\n0\r\nx-trailer: 1\r\n\r\n", events.len());
    let head = |version: &str, headers: &str| {
        format!("HTTP/{version} 200 OK\r\nconnection: close\r\nrequest-id: req_head\r\n{headers}\r\n").into_bytes()
    };
    let typed = |kind: &str| format!("content-type: {kind}\r\n");
    let created =
        |headers: &str| [&b"HTTP/1.1 201 Created"[..], &head("1.1", headers)[b"HTTP/1.1 200 OK".len()..]].concat();
    let text = whole.replace(r#"[{"type":"text","text":"Hé"}]"#, "\"Hé\"");
    let twice = zipped(zipped(&events));
    let (sse, json) = (typed("text/event-stream"), typed("application/json"));
    for (name, head, body) in [
        ("no type", head("1.1", ""), events.clone().into_bytes()),
        ("another type", head("1.1", &typed("text/plain; charset=utf-8")), events.clone().into_bytes()),
        ("CRLF", head("1.1", &sse), events.replace('\n', "\r\n").into_bytes()),
        ("lone CRs, BOM, comments, unknown events", head("1.1", &sse), crs.into_bytes()),
        ("HTTP/1.0", head("1.0", &sse), events.clone().into_bytes()),
        ("chunks and a trailer", head("1.1", &format!("{sse}transfer-encoding: chunked\r\n")), chunked.into_bytes()),
        ("lines", head("1.1", &typed("application/x-ndjson")), lines.clone().into_bytes()),
        ("lines of another type", head("1.1", &sse), lines.into_bytes()),
        ("a whole message", head("1.1", &json), whole.as_bytes().to_vec()),
        ("a whole message of another type", head("1.1", &sse), whole.as_bytes().to_vec()),
        ("gzip", head("1.1", &format!("{sse}content-encoding: gzip\r\n")), zipped(&events)),
        ("gzip that nobody names", head("1.1", &sse), zipped(&events)),
        ("gzip twice", head("1.1", &format!("{sse}content-encoding: gzip, gzip\r\n")), twice),
        (
            "an encoding that is none",
            head("1.1", &format!("{sse}content-encoding: utf-8\r\n")),
            events.clone().into_bytes(),
        ),
        ("deflate without a header", head("1.1", &format!("{sse}content-encoding: deflate\r\n")), deflated(&events)),
        (
            "a whole message in an event",
            head("1.1", &sse),
            format!("data: {}\n\n", whole.replace('\n', "")).into_bytes(),
        ),
        ("201 and a message", created(&json), whole.as_bytes().to_vec()),
        ("201 and a stream", created(&sse), events.clone().into_bytes()),
        ("a text as the content", head("1.1", &json), text.into_bytes()),
        ("no message_stop", head("1.1", &sse), events.replace(&format!("data: {STOP}\n\n"), "").into_bytes()),
        ("a zipped message", head("1.1", &format!("{json}content-encoding: x-gzip\r\n")), zipped(whole)),
    ] {
        let server = Server::start(vec![vec![Step::Send(head), Step::Send(body)]]).await;
        assert_eq!(ask(config(server.base_url.clone())).await.expect(name), answer(), "{name}");
    }
    for (name, headers, body, cause) in [
        ("br", "content-encoding: br\r\n", zipped(&events), "compressed as br, which was not asked for"),
        ("zstd", "content-encoding: zstd\r\n", zipped(&events), "compressed as zstd"),
        ("no gzip", "content-encoding: gzip\r\n", events.clone().into_bytes(), "cannot be decompressed"),
        ("other JSON", "content-type: application/json\r\n", b"{\"status\":\"ok\"}".to_vec(), "is a page and not"),
        (
            "an error of another API's",
            "",
            b"data: {\"error\":{\"message\":\"Add credits\",\"code\":402}}\n\n".to_vec(),
            "cannot pay",
        ),
        ("half a message", "", whole.as_bytes()[..99].to_vec(), "broke off"),
    ] {
        let script = || vec![Step::Send(head("1.1", headers)), Step::Send(body.clone())];
        let (error, _) = failing(vec![script(), script(), script()], |_| {}).await;
        assert!(error.told().contains(cause) && error.told().contains("Mend: "), "{name}: {error}");
    }
}
