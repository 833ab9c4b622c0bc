//! Tests of the listener: who is let in, and what a client is told.

use axum::http::{HeaderMap, header::CONTENT_TYPE};
use ruma::owned_user_id;
use tokio::net::TcpListener;

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

/// Serves, and answers every call with what it asked for.
async fn server() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let listen = listener.local_addr().expect("it has one");
    let public = format!("http://{listen}").parse().expect("a URL");
    let (calls, mut called) = mpsc::channel::<Call>(8);
    let admit = |header: Option<&str>| match header {
        Some("Bearer good") => Ok(By { owner: owned_user_id!("@alice:hs"), number: 1 }),
        Some("Bearer fast") => Err(Denied::TooFast { after_s: 7 }),
        _ => Err(Denied::NotProven),
    };
    let stop = CancellationToken::new();
    let routes = router(Reached { listen, public }, calls, admit, stop.clone());
    tokio::spawn(crate::listener::serve(listener, routes, CONNECTIONS_MAX, stop.clone()));
    tokio::spawn(async move {
        while let Some(Call { by, wanted, answer }) = called.recv().await {
            let _ = answer.send(Answer::Given(format!("{} {wanted:?}", by.owner)));
        }
    });
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    Server { url: format!("http://{listen}"), http, stop }
}

impl Server {
    fn post(&self, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
        let call = self.http.post(format!("{}/mcp", self.url)).bearer_auth(TOKEN).body(body);
        call.header(CONTENT_TYPE, "application/json").header("accept", "application/json, text/event-stream")
    }
}

fn initialize(version: &str) -> String {
    let params = json!({
        "protocolVersion": version, "capabilities": {}, "clientInfo": { "name": "test", "version": "1" },
    });
    json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params }).to_string()
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
        (String::new(), 400..=422),
        ("{}".to_owned(), 400..=422),
        ("[]".to_owned(), 400..=422),
        (format!("[{0},{0}]", call("rooms", &json!({}))), 400..=422),
        ("\u{0}".to_owned(), 400..=422),
        (deep, 400..=422),
        ("x".repeat(BODY_BYTES_MAX + 1), 413..=413),
        (json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": 5 } }).to_string(), 200..=422),
    ];
    for (body, statuses) in bodies {
        let shown = body.chars().take(60).collect::<String>();
        let answer = server.post(body).send().await.expect("an answer");
        let status = answer.status().as_u16();
        assert!(statuses.contains(&status), "{shown}: {status}");
        assert!(answer.content_length().is_none_or(|length| length < 4_096));
    }
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
