//! `POST /hooks/<name>`, on a listener of its own: the calls of webhooks (C21).
//!
//! A call is answered 202 only once what comes of it is on disk. Here it is bounded and read; the engine has `core`
//! judge it. Bodies are read side by side up to a limit, and each has to arrive in time, so that senders that dawdle
//! cost each other and nobody else.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use serde_json::json;
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    time::timeout,
};

use super::body::{self, Unread};
use crate::core::hook::{BODY_BYTES_MAX, Headers};

/// Connections at once to the hooks' listener.
pub const CONNECTIONS_MAX: usize = 128;
/// Calls that are read and answered at the same time.
const CALLS_AT_ONCE_MAX: usize = 16;
/// How long a call waits for one of these places.
const PLACE_WAIT: Duration = Duration::from_secs(5);
/// How long a body may take to arrive.
const BODY_WAIT: Duration = Duration::from_secs(20);
/// How long an answer may take; most senders wait for ten seconds.
const ANSWER_WAIT: Duration = Duration::from_secs(9);
/// When a refused sender may try again, in seconds.
pub const AGAIN_S: u64 = 30;

/// A call of a hook, read and not judged.
#[derive(Debug)]
pub struct HookCall {
    /// The hook's name, as it was called.
    pub name: String,
    /// The headers.
    pub headers: Headers,
    /// The body.
    pub body: Bytes,
    /// Receives the answer.
    pub answer: oneshot::Sender<HookAnswer>,
}

/// What a call is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookAnswer {
    /// What comes of it is on disk.
    Accepted {
        /// `accepted`, `known` or `dropped`.
        became: &'static str,
    },
    /// It is refused, for good or for now.
    Refused {
        /// The HTTP status.
        status: u16,
        /// What the sender is told.
        told: String,
        /// After how many seconds it may be sent again, if that helps.
        after_s: Option<u64>,
    },
}

impl HookAnswer {
    /// Refuses a call with a status.
    #[must_use]
    pub fn refused(status: u16, told: impl Into<String>) -> Self {
        Self::Refused { status, told: told.into(), after_s: None }
    }

    /// Puts a call off because the sender is too fast.
    #[must_use]
    pub fn too_fast(told: &str, after_s: u64) -> Self {
        Self::Refused { status: 429, told: told.to_owned(), after_s: Some(after_s) }
    }

    /// Puts a call off because Workmate is not ready for it.
    #[must_use]
    pub fn not_now(told: &str) -> Self {
        Self::Refused { status: 503, told: told.to_owned(), after_s: Some(AGAIN_S) }
    }
}

#[derive(Clone)]
struct Shared {
    calls: mpsc::Sender<HookCall>,
    places: Arc<Semaphore>,
}

/// Returns the routes; calls go to `calls`.
pub fn router(calls: mpsc::Sender<HookCall>) -> Router {
    let not_here = async || no_such_address();
    let not_so = async || HookAnswer::refused(405, "hooks are called with POST");
    Router::new()
        .route("/hooks/{name}", post(take))
        .fallback(not_here)
        .method_not_allowed_fallback(not_so)
        .with_state(Shared { calls, places: Arc::new(Semaphore::new(CALLS_AT_ONCE_MAX)) })
}

async fn take(
    State(shared): State<Shared>,
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> HookAnswer {
    let Ok(Path(name)) = name else { return no_such_address() };
    let Ok(Ok(_place)) = timeout(PLACE_WAIT, shared.places.acquire()).await else {
        return HookAnswer::too_fast("too many calls at once", AGAIN_S);
    };
    let body = match body::read(body, BODY_BYTES_MAX, BODY_WAIT).await {
        Ok(body) => body,
        Err(why) => return not_read(why),
    };
    let (answer, answered) = oneshot::channel();
    let mut kept = Headers::default();
    headers.iter().for_each(|(name, value)| kept.add(name.as_str(), value.as_bytes()));
    let asked = async {
        shared.calls.send(HookCall { name, headers: kept, body, answer }).await.ok()?;
        answered.await.ok()
    };
    match timeout(ANSWER_WAIT, asked).await {
        Ok(Some(answer)) => answer,
        Ok(None) | Err(_) => HookAnswer::not_now("no answer in time"),
    }
}

fn not_read(why: Unread) -> HookAnswer {
    match why {
        Unread::TooLong => HookAnswer::refused(413, format!("a body may have {BODY_BYTES_MAX} bytes at most")),
        Unread::BrokeOff => HookAnswer::refused(400, "the body broke off"),
        Unread::TooLate => HookAnswer::refused(408, "the body did not arrive in time"),
    }
}

fn no_such_address() -> HookAnswer {
    HookAnswer::refused(404, "there is no such address here")
}

impl IntoResponse for HookAnswer {
    fn into_response(self) -> Response {
        match self {
            Self::Accepted { became } => (StatusCode::ACCEPTED, Json(json!({ "status": became }))).into_response(),
            Self::Refused { status, told, after_s } => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
                let again = after_s.map(|after_s| [(RETRY_AFTER, after_s.to_string())]);
                (status, again, Json(json!({ "error": told }))).into_response()
            }
        }
    }
}
