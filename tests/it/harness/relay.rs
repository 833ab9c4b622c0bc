//! A relay between the homeserver and Workmate that sees each transaction: it may lose some, or deliver like another
//! homeserver.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Result;
use axum::{
    Json, Router,
    body::to_bytes,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use workmate::cli::demo::homeserver::free_port;

use super::{Workmate, readiness::reconfigure};

/// How transactions are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Forward them.
    PassOn,
    /// Answer 200 and discard them.
    ThrowAway,
    /// Forward one at a time; after a failure keep it until the next event arrives. Pings are not forwarded, and
    /// queries about users get an empty answer.
    UntilTheNextEvent,
}

/// A running relay; cheap to clone.
#[derive(Clone)]
pub(crate) struct Relay(Arc<Inner>);

struct Inner {
    to: String,
    hs_token: String,
    http: reqwest::Client,
    seen: Mutex<Seen>,
    sending: tokio::sync::Mutex<()>,
}

struct Seen {
    rule: Rule,
    /// Events that were discarded or are kept.
    away: Vec<Value>,
    kept: VecDeque<(u64, Vec<u8>)>,
    number: u64,
}

impl Relay {
    /// Starts a relay before a Workmate that has not started yet, and configures that to listen elsewhere.
    pub(crate) async fn before(workmate: &Workmate, rule: Rule) -> Result<Self> {
        let slot = workmate.slot();
        slot.release_ports();
        let behind = free_port()?.local_addr()?;
        reconfigure(&workmate.config(), |settings| settings["appservice"]["listen"] = json!(behind))?;
        let seen = Seen { rule, away: Vec::new(), kept: VecDeque::new(), number: 0 };
        let relay = Self(Arc::new(Inner {
            to: format!("http://{behind}"),
            hs_token: slot.hs_token(),
            http: reqwest::Client::builder().no_proxy().build()?,
            seen: Mutex::new(seen),
            sending: tokio::sync::Mutex::default(),
        }));
        let listener = TcpListener::bind(slot.listen).await?;
        let router = Router::new().fallback(answer).with_state(relay.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(relay)
    }

    /// Changes the rule from now on.
    pub(crate) fn follow(&self, rule: Rule) {
        self.seen().rule = rule;
    }

    /// Returns how many of people's messages, encrypted ones included, were discarded or are kept.
    pub(crate) fn messages_away(&self) -> usize {
        let is_message = |event: &&Value| {
            matches!(event["type"].as_str(), Some("m.room.message" | "m.room.encrypted"))
                && !event["sender"].as_str().is_some_and(|sender| sender.starts_with("@wm"))
        };
        self.seen().away.iter().filter(is_message).count()
    }

    /// Counts the discarded and kept events that satisfy a predicate.
    pub(crate) fn away(&self, is_wanted: impl Fn(&Value) -> bool) -> usize {
        self.seen().away.iter().filter(|event| is_wanted(event)).count()
    }

    /// Sends a transaction of its own with this number and these events.
    pub(crate) async fn send(&self, number: u64, events: &Value) -> Result<u16> {
        let body = serde_json::to_vec(&json!({ "events": events }))?;
        Ok(self.put(number, body).await)
    }

    async fn put(&self, number: u64, body: Vec<u8>) -> u16 {
        let url = format!("{}/_matrix/app/v1/transactions/{number}", self.0.to);
        let call = self.0.http.put(url).bearer_auth(&self.0.hs_token).body(body);
        call.send().await.map_or(502, |answer| answer.status().as_u16())
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a transaction, and forwards the kept ones in order until one fails.
    async fn keep_and_send(&self, body: Vec<u8>) {
        let _one_at_a_time = self.0.sending.lock().await;
        {
            let mut seen = self.seen();
            seen.number += 1;
            let number = seen.number;
            seen.kept.push_back((number, body));
        }
        loop {
            let Some((number, body)) = self.seen().kept.front().cloned() else { return };
            if self.put(number, body).await != 200 {
                return;
            }
            self.seen().kept.pop_front();
        }
    }
}

async fn answer(State(relay): State<Relay>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let is_transaction = *request.method() == Method::PUT && path.contains("/transactions/");
    let rule = relay.seen().rule;
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default().to_vec();
    let done = || Json(json!({})).into_response();
    match rule {
        Rule::UntilTheNextEvent if path.contains("/users/") => return StatusCode::NOT_FOUND.into_response(),
        // A ping gets an answer and triggers no delivery.
        Rule::UntilTheNextEvent if !is_transaction && !path.ends_with("/ping") => return done(),
        Rule::ThrowAway | Rule::UntilTheNextEvent if is_transaction => {
            let events: Value = serde_json::from_slice(&body).unwrap_or_default();
            relay.seen().away.extend(events["events"].as_array().cloned().unwrap_or_default());
        }
        _ => {}
    }
    if is_transaction && rule == Rule::ThrowAway {
        return done();
    }
    if is_transaction && rule == Rule::UntilTheNextEvent {
        let has_events =
            !body.windows(12).any(|part| part == br#""events": []"# || part.starts_with(br#""events":[]"#));
        if has_events {
            tokio::spawn(async move { relay.keep_and_send(body).await });
        }
        return done();
    }
    let url = format!("{}{}", relay.0.to, parts.uri.path_and_query().map_or("/", |path| path.as_str()));
    let call = relay.0.http.request(parts.method, url).bearer_auth(&relay.0.hs_token).body(body);
    match call.send().await {
        Ok(answer) => {
            let status = answer.status();
            (status, answer.bytes().await.unwrap_or_default()).into_response()
        }
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}
