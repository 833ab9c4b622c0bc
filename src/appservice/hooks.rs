//! `POST /hooks/<name>`, on a listener of its own: the calls of webhooks (C21).
//!
//! A call is answered 202 only once what comes of it is on disk. Here it is bounded and read; the engine has `core`
//! judge it. What its headers alone refuse is refused before its body is read. Bodies are read side by side up to a
//! limit, for each hook and for all, and each has to arrive in time, so that senders that dawdle cost each other and
//! nobody else; a short body that comes at once needs no such place. What is read is then judged in places of its own.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    http::{
        HeaderMap, StatusCode,
        header::{CONTENT_LENGTH, EXPECT, RETRY_AFTER},
    },
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use serde_json::json;
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    time::timeout,
};

use super::body::{self, Begun, Unread};
use crate::core::hook::{BODY_BYTES_MAX, Headers};

/// Connections at once to the hooks' listener.
pub(crate) const CONNECTIONS_MAX: usize = 128;
/// Calls that are answered at the same time.
const CALLS_AT_ONCE_MAX: usize = 16;
/// Most bytes of a body that are read before it needs a place. Most reports are shorter, and senders that dawdle hold
/// none of those up.
const BEGUN_BYTES_MAX: usize = 64 << 10;
/// How long these may take.
const BEGUN_WAIT: Duration = Duration::from_secs(1);
/// Longer or slower bodies that are read at the same time.
const READ_AT_ONCE_MAX: usize = 48;
/// Bodies that are read at the same time for one hook.
const READ_OF_HOOK_MAX: usize = 12;
/// How long a call waits for one of these places.
const PLACE_WAIT: Duration = Duration::from_secs(5);
/// How long a body may take to arrive.
const BODY_WAIT: Duration = Duration::from_secs(10);
/// Most bytes of a refused call that are taken from the line, so that its sender sees the answer and no broken
/// connection.
const REFUSED_BYTES_MAX: usize = 64 << 10;
/// How long that may take.
const REFUSED_WAIT: Duration = Duration::from_secs(1);
/// How long an answer may take; most senders wait for ten seconds.
const ANSWER_WAIT: Duration = Duration::from_secs(9);
/// What is answered to a call that is not made with POST; `workmate doctor` knows our listener by it.
pub(crate) const NOT_POST: &str = "hooks are called with POST";
/// When a refused sender may try again, in seconds.
pub(crate) const AGAIN_S: u64 = 30;

/// A call of a hook, read and not judged.
pub(crate) struct HookCall {
    /// The hook's name, as it was called.
    pub name: String,
    /// The headers.
    pub headers: Headers,
    /// The body.
    pub body: Bytes,
    /// Receives the answer.
    pub answer: oneshot::Sender<HookAnswer>,
}

/// Shows neither the headers' values nor the body.
impl fmt::Debug for HookCall {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, headers, body, .. } = self;
        formatter
            .debug_struct("HookCall")
            .field("name", name)
            .field("headers", headers)
            .field("bytes", &body.len())
            .finish()
    }
}

/// What a call is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HookAnswer {
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
    pub(crate) fn refused(status: u16, told: impl Into<String>) -> Self {
        Self::Refused { status, told: told.into(), after_s: None }
    }

    /// Puts a call off because the sender is too fast.
    #[must_use]
    pub(crate) fn too_fast(told: &str, after_s: u64) -> Self {
        Self::Refused { status: 429, told: told.to_owned(), after_s: Some(after_s) }
    }

    /// Puts a call off because Workmate is not ready for it.
    #[must_use]
    pub(crate) fn not_now(told: &str) -> Self {
        Self::Refused { status: 503, told: told.to_owned(), after_s: Some(AGAIN_S) }
    }
}

/// Decides by a hook's name and the headers whether a call may send its body.
type Admit = dyn Fn(&str, &Headers) -> Result<(), HookAnswer> + Send + Sync;

#[derive(Clone)]
struct Shared(Arc<Places>);

struct Places {
    calls: mpsc::Sender<HookCall>,
    admit: Box<Admit>,
    answered: Semaphore,
    read: Semaphore,
    /// By the names of hooks that exist.
    read_of_hook: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// Returns the routes; calls that `admit` lets in go to `calls`.
pub(crate) fn router(
    calls: mpsc::Sender<HookCall>,
    admit: impl Fn(&str, &Headers) -> Result<(), HookAnswer> + Send + Sync + 'static,
) -> Router {
    let places = Places {
        calls,
        admit: Box::new(admit),
        answered: Semaphore::new(CALLS_AT_ONCE_MAX),
        read: Semaphore::new(READ_AT_ONCE_MAX),
        read_of_hook: Mutex::default(),
    };
    let not_here = async || no_such_address();
    let not_so = async || HookAnswer::refused(405, NOT_POST);
    Router::new()
        .route("/hooks/{name}", post(take))
        .fallback(not_here)
        .method_not_allowed_fallback(not_so)
        .with_state(Shared(Arc::new(places)))
}

async fn take(
    State(Shared(places)): State<Shared>,
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> HookAnswer {
    let Ok(Path(name)) = name else { return no_such_address() };
    let mut kept = Headers::default();
    headers.iter().for_each(|(name, value)| kept.add(name.as_str(), value.as_bytes()));
    if let Err(refused) = (places.admit)(&name, &kept).and_then(|()| is_short_enough(&headers)) {
        // Whoever asks first does not send it; otherwise it is taken, and whatever comes of that, the answer is the same.
        if !headers.contains_key(EXPECT) {
            let _ = body::read(body, REFUSED_BYTES_MAX, REFUSED_WAIT).await;
        }
        return refused;
    }
    let body = match places.read(&name, body).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let Ok(Ok(_place)) = timeout(PLACE_WAIT, places.answered.acquire()).await else { return too_many() };
    let (answer, answered) = oneshot::channel();
    let asked = async {
        places.calls.send(HookCall { name, headers: kept, body, answer }).await.ok()?;
        answered.await.ok()
    };
    match timeout(ANSWER_WAIT, asked).await {
        Ok(Some(answer)) => answer,
        Ok(None) | Err(_) => HookAnswer::not_now("no answer in time"),
    }
}

impl Places {
    /// Reads a body; one that is long or slow, in a place of its hook's and of all.
    async fn read(&self, name: &str, body: Body) -> Result<Bytes, HookAnswer> {
        let (part, body) = match body::begin(body, BEGUN_BYTES_MAX, BEGUN_WAIT).await {
            Ok(Begun::Whole(body)) => return Ok(body),
            Ok(Begun::Part(part, body)) => (part, body),
            Err(why) => return Err(not_read(why)),
        };
        let of_hook = self
            .read_of_hook
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(name.to_owned())
            .or_insert_with(|| Arc::new(Semaphore::new(READ_OF_HOOK_MAX)))
            .clone();
        let places = async {
            let of_hook = of_hook.acquire().await.ok()?;
            Some((of_hook, self.read.acquire().await.ok()?))
        };
        let Ok(Some(_places)) = timeout(PLACE_WAIT, places).await else { return Err(too_many()) };
        body::finish(part, body, BODY_BYTES_MAX, BODY_WAIT).await.map_err(not_read)
    }
}

/// Refuses a body that says itself that it is too long.
fn is_short_enough(headers: &HeaderMap) -> Result<(), HookAnswer> {
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    match length {
        Some(length) if length > BODY_BYTES_MAX as u64 => Err(not_read(Unread::TooLong)),
        _ => Ok(()),
    }
}

fn too_many() -> HookAnswer {
    HookAnswer::too_fast("too many calls at once", AGAIN_S)
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
