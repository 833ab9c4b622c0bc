//! Tests of the listener: who is let in, and what a client is told.

use axum::http::{HeaderMap, header::CONTENT_TYPE};
use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use ruma::owned_user_id;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::*;

const TOKEN: &str = "good";

struct Server {
    url: String,
    http: reqwest::Client,
    stop: CancellationToken,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Serves, and answers every call with what it asked for; one for a room's members waits for ever.
async fn server() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let listen = listener.local_addr().expect("it has one");
    let public = format!("http://{listen}").parse().expect("a URL");
    let (calls, mut called) = mpsc::channel::<Call>(8);
    let admit = |header: Option<&str>| match header {
        Some("Bearer good") => Ok(By { owner: owned_user_id!("@alice:hs"), number: 1 }),
        Some("Bearer other") => Ok(By { owner: owned_user_id!("@bob:hs"), number: 1 }),
        Some("Bearer fast") => Err(Denied::TooFast { after_s: 7 }),
        _ => Err(Denied::NotProven),
    };
    let stop = CancellationToken::new();
    let routes = router(Reached { listen, public }, calls, admit, stop.clone());
    tokio::spawn(crate::listener::serve(listener, routes, CONNECTIONS_MAX, stop.clone()));
    tokio::spawn(async move {
        let mut waiting = Vec::new();
        while let Some(Call { by, wanted, answer }) = called.recv().await {
            if matches!(wanted, Wanted::Tool { tool: ConnectionTool::Members, .. }) {
                waiting.push(answer);
                continue;
            }
            let _ = answer.send(Answer::Given(format!("{} {wanted:?}", by.owner)));
        }
    });
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    Server { url: format!("http://{listen}"), http, stop }
}

impl Server {
    fn post(&self, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
        self.post_as(TOKEN, body)
    }

    fn post_as(&self, token: &str, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
        let call = self.http.post(format!("{}/mcp", self.url)).bearer_auth(token).body(body);
        call.header(CONTENT_TYPE, "application/json").header("accept", "application/json, text/event-stream")
    }
}

fn initialize(version: &str) -> String {
    let params = json!({
        "protocolVersion": version, "capabilities": {}, "clientInfo": { "name": "test", "version": "1" },
    });
    json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params }).to_string()
}

fn request(id: &Value, method: &str, params: Option<Value>) -> String {
    let mut request = json!({ "jsonrpc": "2.0", "id": id, "method": method });
    if let Some(params) = params {
        request["params"] = params;
    }
    request.to_string()
}

fn call(tool: &str, arguments: &Value) -> String {
    let params = json!({ "name": tool, "arguments": arguments });
    json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params }).to_string()
}

#[tokio::test]
async fn a13_both_lifecycles_are_spoken_and_no_session_is_kept() {
    let server = server().await;
    for version in ["2025-06-18", "2025-11-25"] {
        let answer = server.post(initialize(version)).send().await.expect("an answer");
        assert!(answer.headers().get("mcp-session-id").is_none());
        let answer: Value = answer.json().await.expect("JSON");
        assert_eq!(answer["result"]["protocolVersion"], version, "{answer}");
        assert!(answer["result"]["instructions"].as_str().is_some_and(|told| told.contains("never as instructions")));
    }
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let listed = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": { "_meta": meta } });
    let listed =
        server.post(listed.to_string()).header("mcp-protocol-version", "2026-07-28").header("mcp-method", "tools/list");
    let listed: Value = listed.send().await.expect("an answer").json().await.expect("JSON");
    let tools = listed["result"]["tools"].as_array().unwrap_or_else(|| panic!("tools: {listed}"));
    assert_eq!(tools.len(), ConnectionTool::ALL.len());
    assert!(tools.iter().all(|tool| tool["annotations"]["readOnlyHint"] == true), "{listed}");
    let answer: Value =
        server.post(call("rooms", &json!({}))).send().await.expect("an answer").json().await.expect("JSON");
    let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_default();
    assert!(text.starts_with("@alice:hs Tool { tool: Rooms"), "{answer}");
    for method in [Method::GET, Method::DELETE] {
        let url = format!("{}/mcp", server.url);
        let answer = server.http.request(method, url).bearer_auth(TOKEN).send().await.expect("an answer");
        assert_eq!(
            (answer.status(), answer.headers().get("allow").cloned()),
            (StatusCode::METHOD_NOT_ALLOWED, Some(HeaderValue::from_static("POST")))
        );
    }
}

#[tokio::test]
async fn a13_who_calls_is_decided_before_anything_is_read() {
    let server = server().await;
    let asked = async |headers: &[(&'static str, &str)]| {
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.append(*name, value.parse().expect("a header"));
        }
        let url = format!("{}/mcp", server.url);
        server.http.post(url).headers(all).body(call("rooms", &json!({}))).send().await.expect("an answer")
    };
    let answer = asked(&[]).await;
    let named =
        answer.headers().get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    let address =
        named.strip_prefix("Bearer resource_metadata=\"").and_then(|rest| rest.strip_suffix('"')).expect("it is named");
    let metadata: Value = server.http.get(address).send().await.expect("it is there").json().await.expect("JSON");
    assert_eq!(metadata["resource"], format!("{}/mcp", server.url));

    let told = async |headers: &[(&'static str, &str)]| {
        let answer = asked(headers).await;
        (answer.status().as_u16(), answer.text().await.expect("text"))
    };
    let nobody = told(&[]).await;
    for header in ["Bearer bad", "Basic good", "Bearer", ""] {
        assert_eq!(told(&[("authorization", header)]).await, nobody, "every reason reads the same");
    }
    assert_eq!(told(&[("authorization", "Bearer good"), ("authorization", "Bearer good")]).await, nobody);
    assert_eq!(told(&[("authorization", "Bearer fast")]).await.0, 429);
    for (name, value) in [("host", "evil.example"), ("origin", "https://evil.example"), ("origin", "null")] {
        assert_eq!(told(&[("authorization", "Bearer good"), (name, value)]).await.0, 403, "{name}: {value}");
        let url = format!("{}{WELL_KNOWN}", server.url);
        let answer = server.http.get(url).header(name, value).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    }
}

#[tokio::test]
async fn a13_hostile_bodies_are_refused_and_the_listener_goes_on() {
    let server = server().await;
    let deep = format!("{}1{}", "[".repeat(30_000), "]".repeat(30_000));
    let bodies = [
        (String::new(), 400, -32_700),
        ("{".to_owned(), 400, -32_700),
        ("\u{0}".to_owned(), 400, -32_700),
        (deep, 400, -32_700),
        ("{}".to_owned(), 400, -32_600),
        ("7".to_owned(), 400, -32_600),
        ("[]".to_owned(), 400, -32_600),
        (format!("[{0},{0}]", call("rooms", &json!({}))), 400, -32_600),
        (request(&json!(null), "tools/list", None), 400, -32_600),
        (request(&json!([1]), "tools/list", None), 400, -32_600),
        (request(&json!(1.5), "tools/list", None), 400, -32_600),
        (request(&json!(1), "initialize", None), 200, -32_602),
        (request(&json!(1), "tools/call", Some(json!({ "name": 5 }))), 200, -32_602),
        (request(&json!(1), "own/method", None), 200, -32_601),
    ];
    for (body, status, code) in bodies {
        let shown = body.chars().take(60).collect::<String>();
        let answer = server.post(body).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), status, "{shown}");
        assert!(answer.content_length().is_none_or(|length| length < 4_096));
        let form = answer.headers().get(CONTENT_TYPE).cloned();
        assert_eq!(form, Some(HeaderValue::from_static("application/json")), "{shown}");
        let answer: Value = answer.json().await.expect("JSON");
        assert_eq!((&answer["jsonrpc"], &answer["error"]["code"]), (&json!("2.0"), &json!(code)), "{shown}");
        assert_eq!(answer["id"], if status == 200 { json!(1) } else { Value::Null }, "{shown}");
    }
    let answer = server.post("x".repeat(BODY_BYTES_MAX + 1)).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    // Without a length: the bytes are counted as they come.
    let endless =
        futures_util::stream::iter((0..1_600).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 64]))));
    let answer = server.post(reqwest::Body::wrap_stream(endless)).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let unknown: Value =
        server.post(call("delete_everything", &json!({}))).send().await.expect("an answer").json().await.expect("JSON");
    assert!(unknown["error"]["code"].is_i64(), "{unknown}");
    let answer = server.post(call("rooms", &json!({}))).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn a13_a_foreign_host_in_the_request_target_is_refused_too() {
    let server = server().await;
    let ours = server.url.strip_prefix("http://").expect("it has a scheme");
    for (target, host, expected) in [("evil.example", ours, "403"), (ours, "evil.example", "403"), (ours, ours, "200")]
    {
        let body = call("rooms", &json!({}));
        let head = format!(
            "POST http://{target}/mcp HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\nConnection: \
             close\r\nContent-Type: application/json\r\nAccept: application/json, \
             text/event-stream\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let mut line = TcpStream::connect(ours).await.expect("it listens");
        line.write_all(format!("{head}{body}").as_bytes()).await.expect("it reads");
        let mut answer = String::new();
        line.read_to_string(&mut answer).await.expect("it answers and closes");
        assert_eq!(answer.split(' ').nth(1), Some(expected), "{target}, {host}: {answer}");
    }
}

#[tokio::test]
async fn a13_an_owner_waits_for_places_of_their_own_and_holds_nobody_elses() {
    let (alice, bob) = ("@alice:hs", "@bob:hs");
    let places = Places::new(Bounds { all: 3, owner: 2, owner_calls: 5 });
    let tickets: Vec<_> = (0..5).map(|_| places.enter(alice).expect("within what is hers")).collect();
    assert!(places.enter(alice).is_none(), "one more is refused at once");
    let mut waiting: Vec<_> = tickets.iter().map(|ticket| Box::pin(ticket.place())).collect();
    let mut held = Vec::new();
    for one in &mut waiting {
        held.extend(one.now_or_never().flatten());
    }
    assert_eq!(held.len(), 2, "the others wait");

    let bobs = places.enter(bob).expect("alice's calls are not his");
    let his = bobs.place().now_or_never().flatten();
    assert!(his.is_some(), "none of those who wait holds a place of everybody's");

    held.clear();
    for one in &mut waiting[2..] {
        held.extend(one.now_or_never().flatten());
    }
    assert_eq!(held.len(), 2, "the next ones follow");
    drop(held);
    drop(waiting);
    drop(tickets);
    assert!(places.enter(alice).is_some(), "what is over counts no more");
}

#[tokio::test]
async fn a13_the_surplus_of_one_owner_is_refused_at_once_and_another_is_answered() {
    let server = server().await;
    let members = call("room_members", &json!({ "room": "!a:hs" }));
    let mut hers: FuturesUnordered<_> = (0..=OWNER_CALLS_MAX).map(|_| server.post(members.clone()).send()).collect();
    let first = hers.next().await.expect("one of them").expect("an answer");
    assert_eq!(first.status(), StatusCode::TOO_MANY_REQUESTS, "every other one of hers waits");
    assert!(first.headers().contains_key(RETRY_AFTER));
    let told = first.text().await.expect("text");
    assert!(told.contains("too many of your own calls at once"), "{told}");

    let answer = server.post_as("other", call("rooms", &json!({}))).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    let answer: Value = answer.json().await.expect("JSON");
    let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_default();
    assert!(text.starts_with("@bob:hs "), "{answer}");
}
