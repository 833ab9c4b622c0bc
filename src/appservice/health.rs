//! `/healthz`, `/readyz` and `/metrics`, on a listener of their own and without a token.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{Json, Router, extract, http::StatusCode, routing::get};
use serde::Serialize;
use serde_json::{Value, json};

use super::metrics::Metrics;

/// Connections at once to the listener without a token.
pub const CONNECTIONS_MAX: usize = 64;

/// Something that has to hold before Workmate can do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// The homeserver answers.
    Homeserver,
    /// The homeserver reaches us, as far as it can tell.
    Deliveries,
    /// The service bot and the coworkers are provisioned.
    Users,
    /// The store can be written.
    Store,
    /// There is a key for the Messages API, and it is not refused.
    ClaudeKey,
}

impl Condition {
    /// Returns its name in `/readyz` and `/metrics`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Homeserver => "homeserver",
            Self::Deliveries => "deliveries",
            Self::Users => "users",
            Self::Store => "store",
            Self::ClaudeKey => "claude_key",
        }
    }
}

/// Whether a condition holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It does.
    Ready,
    /// It does not; the reason, in words for an operator and without secrets.
    Waiting(String),
}

/// What is known of the conditions; a cheap handle.
#[derive(Clone, Debug)]
pub struct Health(Arc<Mutex<BTreeMap<Condition, State>>>, Arc<Mutex<Option<Provisioning>>>, Arc<Mutex<Option<String>>>);

/// How far the members of the workspace have their assistants; no condition: it may take hours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Provisioning {
    /// People who are to get one.
    pub waiting: usize,
    /// Made since the start.
    pub made: usize,
    /// Why it does not go on, in words for an operator and without names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

impl Default for Health {
    fn default() -> Self {
        use Condition::{ClaudeKey, Deliveries, Homeserver, Store, Users};
        let states = [Homeserver, Deliveries, Users, Store, ClaudeKey].map(|name| (name, not_looked_at()));
        Self(Arc::new(Mutex::new(states.into())), Arc::default(), Arc::default())
    }
}

impl Health {
    /// Notes whether a condition holds; a change is logged.
    pub fn set(&self, condition: Condition, state: State) {
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if states.get(&condition) == Some(&state) {
            return;
        }
        match &state {
            State::Ready => tracing::info!(?condition, "a condition of readiness holds"),
            State::Waiting(reason) => tracing::warn!(?condition, "a condition of readiness does not hold: {reason}"),
        }
        states.insert(condition, state);
    }

    /// Notes how far provisioning is.
    pub fn set_provisioning(&self, provisioning: Provisioning) {
        *self.1.lock().unwrap_or_else(PoisonError::into_inner) = Some(provisioning);
    }

    /// Notes that the process cannot do its work any more until it is started again, and why.
    pub fn set_dead(&self, reason: String) {
        *self.2.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }

    fn is_alive(&self) -> (StatusCode, Json<Value>) {
        match &*self.2.lock().unwrap_or_else(PoisonError::into_inner) {
            None => (StatusCode::OK, Json(json!({"alive": true}))),
            Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"alive": false, "reason": reason}))),
        }
    }

    /// Returns what is known of one condition.
    #[must_use]
    pub fn get(&self, condition: Condition) -> State {
        let states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        states.get(&condition).cloned().unwrap_or_else(not_looked_at)
    }

    /// Returns what is known of every condition.
    pub(super) fn all(&self) -> BTreeMap<Condition, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns how far provisioning is, where members are followed.
    pub(super) fn provisioning(&self) -> Option<Provisioning> {
        self.1.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns whether every condition holds.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        states.values().all(|state| *state == State::Ready)
    }

    fn report(&self) -> (StatusCode, Json<Value>) {
        let states = self.all();
        let ready = states.values().all(|state| *state == State::Ready);
        let conditions: BTreeMap<_, _> = states
            .into_iter()
            .map(|(condition, state)| match state {
                State::Ready => (condition.name(), json!({"ready": true})),
                State::Waiting(reason) => (condition.name(), json!({"ready": false, "reason": reason})),
            })
            .collect();
        let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let mut report = json!({"ready": ready, "conditions": conditions});
        if let Some(provisioning) = self.provisioning() {
            report["provisioning"] = json!(provisioning);
        }
        (code, Json(report))
    }
}

fn not_looked_at() -> State {
    State::Waiting("not looked at yet".to_owned())
}

/// Returns the routes: `/healthz` is 200 while the process can do its work, `/readyz` 200 or 503 with every condition, `/metrics`
/// has the numbers.
pub fn health_router(health: Health, metrics: Metrics) -> Router {
    Router::new()
        .route("/metrics", get(async move || metrics.show()))
        .route("/healthz", get(async |extract::State(health): extract::State<Health>| health.is_alive()))
        .route("/readyz", get(async |extract::State(health): extract::State<Health>| health.report()))
        .with_state(health)
}
