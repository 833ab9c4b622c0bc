//! Tests the endpoint as a homeserver would: real HTTP over loopback, a real store.

use std::{fs, path::Path};

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    listener::serve,
    secret::Secret,
    store::{InboxEvent, Store},
};

mod calls;
mod transactions;

const TOKEN: &str = "right-token";
const KEY: [u8; 32] = [7; 32];
const BODY_BYTES_MAX: usize = 1 << 20;

struct Endpoint {
    url: String,
    client: Client,
    dir: TempDir,
    inbox: Inbox,
    health: Health,
    queries: mpsc::Receiver<Query>,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
}

impl Endpoint {
    async fn start() -> Self {
        Self::start_in(tempfile::tempdir().expect("a directory")).await
    }

    async fn start_in(dir: TempDir) -> Self {
        let inbox = open_inbox(dir.path());
        let health = Health::default();
        let (ask, queries) = mpsc::channel(1);
        let appservice = Appservice {
            hs_token: Rotating::new(Secret::new(TOKEN), None),
            inbox: inbox.clone(),
            queries: ask,
            health: health.clone(),
            arrivals: Arrivals::new("tests"),
            body_bytes_max: BODY_BYTES_MAX,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(serve(listener, appservice.router(), CONNECTIONS_MAX, shutdown.clone()));
        Self { url, client: Client::new(), dir, inbox, health, queries, shutdown, serving }
    }

    fn call(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url)).bearer_auth(TOKEN)
    }

    async fn put(&self, txn_id: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
        answer(self.call(Method::PUT, &format!("/_matrix/app/v1/transactions/{txn_id}")).body(body)).await
    }

    async fn put_events(&self, txn_id: &str, events: &[Value]) -> (u16, Value) {
        self.put(txn_id, json!({"events": events}).to_string()).await
    }

    fn waiting(&self) -> Vec<String> {
        event_ids(&self.inbox)
    }
}

fn open_inbox(dir: &Path) -> Inbox {
    Store::open(&dir.join("state"), &KEY).expect("the store opens").inbox([1; 16])
}

fn event_ids(inbox: &Inbox) -> Vec<String> {
    let entries = inbox.pending(0, usize::MAX).expect("readable");
    entries.into_iter().map(|entry| entry.event.event_id.to_string()).collect()
}

async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.expect("an answer");
    (response.status().as_u16(), response.json().await.expect("every answer is JSON"))
}

fn ok() -> (u16, Value) {
    (200, json!({}))
}

/// Returns the status and `errcode`.
fn refused((status, body): (u16, Value)) -> (u16, String) {
    assert!(body["error"].is_string(), "{body}");
    (status, body["errcode"].as_str().expect("a refusal has an errcode").to_owned())
}

fn refusal(status: u16, errcode: &str) -> (u16, String) {
    (status, errcode.to_owned())
}

fn message(id: &str) -> Value {
    json!({
        "event_id": id, "room_id": "!room:example.org", "sender": "@alice:example.org", "type": "m.room.message",
        "origin_server_ts": 1_800_000_000_000_i64, "content": {"msgtype": "m.text", "body": "hello"},
    })
}
