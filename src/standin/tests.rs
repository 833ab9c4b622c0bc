//! Tests the stand-in over real HTTP.

mod caching;
mod citing;
mod computing;
mod faults;
mod offline;
mod replies;
mod signatures;
mod validation;

use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};

use super::{Options, StandIn};

/// A stand-in and a plain HTTP client for it.
struct Bench {
    claude: StandIn,
    http: Client,
}

impl Bench {
    async fn start(options: Options) -> Self {
        let claude = StandIn::start(options).await.expect("loopback is there");
        Self { claude, http: Client::new() }
    }

    async fn scripted() -> Self {
        Self::start(Options::scripted()).await
    }

    /// Returns a request with the headers that the API requires.
    fn post(&self, path: &str) -> RequestBuilder {
        let url = self.claude.base_url().join(path).expect("a path joins");
        self.http.post(url).header("x-api-key", "sk-ant-test").header("anthropic-version", "2026-10-21")
    }

    async fn ask(&self, body: &Value) -> Response {
        self.post("/v1/messages").json(body).send().await.expect("the stand-in answers")
    }

    async fn ask_json(&self, body: &Value) -> Value {
        self.ask(body).await.json().await.expect("JSON is answered")
    }
}

/// Returns a minimal request with fields added or replaced.
fn request(changes: &Value) -> Value {
    let mut body = json!({
        "model": "claude-opus-5-5",
        "max_tokens": 1024,
        "messages": [{ "role": "user", "content": "status?" }],
    });
    for (name, value) in changes.as_object().expect("changes are an object") {
        body[name] = value.clone();
    }
    body
}

fn tool(name: &str) -> Value {
    json!({ "name": name, "description": "A tool.", "input_schema": { "type": "object", "properties": {} } })
}

/// Returns the `(event, data)` pairs of a whole stream.
fn events(stream: &str) -> Vec<(String, Value)> {
    let frames = stream.split("\n\n").filter(|frame| !frame.trim().is_empty());
    frames
        .map(|frame| {
            let (event, data) = frame.split_once('\n').expect("a frame has two lines");
            let name = event.strip_prefix("event: ").expect("the event's line comes first");
            let data = data.strip_prefix("data: ").expect("then the data's");
            (name.to_owned(), serde_json::from_str(data).expect("data is JSON"))
        })
        .collect()
}
