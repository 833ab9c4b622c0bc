//! The Model Context Protocol for owners' own programs (A13), on a listener of its own: `POST /mcp`, and what protects it
//! (RFC 9728).
//!
//! Who calls is decided before anything is read: the host and page that a call names, then its token. A body is read
//! within its bounds and handed to rmcp, which speaks the protocol without sessions: each call stands alone, so that no
//! number of clients leaves anything behind. What is asked goes to the engine, which decides what the owner may read.

mod message;
mod places;
mod service;

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Body,
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue, Method, StatusCode, Uri,
        header::{
            ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, EXPECT, HOST, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE,
        },
    },
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{any, get},
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
};
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use self::{
    places::{Bounds, Places},
    service::Served,
};
use crate::core::{
    connection::{
        By,
        place::{PATH, Reached, WELL_KNOWN},
    },
    served::{
        answer::About,
        tools::{ConnectionTool, Named},
    },
};

/// Connections at once to the listener.
pub(crate) const CONNECTIONS_MAX: usize = 256;
/// Calls that are answered at the same time, for all owners together.
const CALLS_AT_ONCE_MAX: usize = 32;
/// Calls of one owner that are answered at the same time, for all their connections together.
const OWNER_AT_ONCE_MAX: usize = 8;
/// Calls of one owner at the same time, those that wait for a place included; further ones are refused at once.
const OWNER_CALLS_MAX: usize = 24;
/// How long a call waits for its owner's place and one of everybody's.
const PLACE_WAIT: Duration = Duration::from_secs(10);
/// Most bytes of a call's body; no call needs more than a page of text.
const BODY_BYTES_MAX: usize = 64 << 10;
/// How long a body may take to arrive.
const BODY_WAIT: Duration = Duration::from_secs(10);
/// Most bytes of a refused call that are taken from the line, so that its sender sees the answer.
const REFUSED_BYTES_MAX: usize = 64 << 10;
/// How long that may take.
const REFUSED_WAIT: Duration = Duration::from_secs(1);
/// How long an answer may take; longer than the engine's own limit for a read.
const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// When a call that found no place may come again, in seconds.
const AGAIN_S: u64 = 5;

/// What a call asks for.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    /// A tool.
    Tool {
        /// Which one.
        tool: ConnectionTool,
        /// Its arguments, not checked.
        arguments: Value,
    },
    /// A page of the rooms, for the lists of resources and prompts.
    Rooms {
        /// Where to go on.
        cursor: Option<String>,
    },
    /// A room as a resource.
    Room(Named),
    /// A room as the prompt of this name.
    Prompt(String),
}

impl Wanted {
    /// Returns its name in the owner's trail.
    #[must_use]
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Tool { tool, .. } => tool.name(),
            Self::Rooms { .. } => "list",
            Self::Room(_) => "resource",
            Self::Prompt(_) => "prompt",
        }
    }
}

/// What a call is answered.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// Text for the client's model.
    Given(String),
    /// A refusal, in words for the client's model.
    Refused(String),
    /// A page of rooms.
    Rooms {
        /// The rooms.
        rooms: Vec<About>,
        /// Where the next page begins.
        next: Option<String>,
    },
}

/// A call that proved whose it is.
pub(crate) struct Call {
    /// Whose it is.
    pub by: By,
    /// What it asks for.
    pub wanted: Wanted,
    /// Receives the answer.
    pub answer: oneshot::Sender<Answer>,
}

/// Why a call is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// It has no token that is valid now. Why a token is not valid is not said.
    NotProven,
    /// Its connection calls too often.
    TooFast {
        /// After how many seconds it may call again.
        after_s: u64,
    },
    /// It could not be looked up.
    NotNow,
}

/// Decides by the `Authorization` header whose call it is.
type Admit = dyn Fn(Option<&str>) -> Result<By, Denied> + Send + Sync;

#[derive(Clone)]
struct Shared(Arc<Door>);

struct Door {
    reached: Reached,
    admit: Box<Admit>,
    service: StreamableHttpService<Served, NeverSessionManager>,
    places: Places,
}

/// Returns the routes; calls that `admit` lets in go to `calls`.
pub(crate) fn router(
    reached: Reached,
    calls: mpsc::Sender<Call>,
    admit: impl Fn(Option<&str>) -> Result<By, Denied> + Send + Sync + 'static,
    stop: CancellationToken,
) -> Router {
    // Hosts and origins are checked here, before the token and for every route.
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_max_request_body_bytes(BODY_BYTES_MAX)
        .with_cancellation_token(stop)
        .disable_allowed_hosts()
        .disable_allowed_origins();
    let served = Served::new(calls);
    let service = StreamableHttpService::new(move || Ok(served.clone()), Arc::default(), config);
    let prefix = reached.public.path().trim_end_matches('/').to_owned();
    let bounds = Bounds { all: CALLS_AT_ONCE_MAX, owner: OWNER_AT_ONCE_MAX, owner_calls: OWNER_CALLS_MAX };
    let shared = Shared(Arc::new(Door { reached, admit: Box::new(admit), service, places: Places::new(bounds) }));
    let mut routes = Router::new()
        .route(WELL_KNOWN, get(metadata))
        .route(&format!("{WELL_KNOWN}/{{*rest}}"), get(metadata))
        .route(PATH, any(take));
    if !prefix.is_empty() {
        // For a proxy that hands the whole path on.
        routes = routes.route(&format!("{prefix}{PATH}"), any(take));
    }
    routes
        .fallback(async || refusal(StatusCode::NOT_FOUND, "there is no such address here"))
        .method_not_allowed_fallback(async || refusal(StatusCode::METHOD_NOT_ALLOWED, "this address is read with GET"))
        .layer(middleware::from_fn_with_state(shared.clone(), check_place))
        .with_state(shared)
}

/// Refuses a call that a browser was brought to make.
async fn check_place(State(Shared(door)): State<Shared>, request: Request, next: Next) -> Response {
    match door.refused_for_its_place(request.headers(), request.uri()) {
        Some(refused) => refused,
        None => next.run(request).await,
    }
}

async fn metadata(State(Shared(door)): State<Shared>) -> Response {
    Json(door.reached.metadata(&[])).into_response()
}

async fn take(State(Shared(door)): State<Shared>, request: Request) -> Response {
    let (mut parts, mut body) = request.into_parts();
    let mut proofs = parts.headers.get_all(AUTHORIZATION).iter();
    let proof = proofs.next().and_then(|value| value.to_str().ok()).filter(|_| proofs.next().is_none());
    let by = match (door.admit)(proof) {
        Ok(by) => by,
        Err(denied) => {
            drain(&parts.headers, &mut body).await;
            return door.denied(denied);
        }
    };
    if parts.method != Method::POST {
        let refused = refusal(StatusCode::METHOD_NOT_ALLOWED, "calls are made with POST; there are no sessions here");
        return ([(ALLOW, "POST")], refused).into_response();
    }
    // Before the body is read, so that slow bodies of one owner keep nobody else's connection out.
    let Some(ticket) = door.places.enter(by.owner.as_str()) else {
        drain(&parts.headers, &mut body).await;
        let told = "too many of your own calls at once: wait for the answers to those on their way";
        return again(StatusCode::TOO_MANY_REQUESTS, AGAIN_S, told);
    };
    let length = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > BODY_BYTES_MAX as u64) {
        drain(&parts.headers, &mut body).await;
        return too_long();
    }
    let body = match read(&mut body, BODY_BYTES_MAX, BODY_WAIT).await {
        Ok(body) => body,
        Err(refused) => {
            drain(&parts.headers, &mut body).await;
            return refused;
        }
    };
    if let Some(fault) = message::fault(&body) {
        return fault;
    }
    let Ok(Some(_place)) = timeout(PLACE_WAIT, ticket.place()).await else {
        return again(StatusCode::SERVICE_UNAVAILABLE, AGAIN_S, "too many calls at once");
    };
    // Nothing behind this needs the token.
    parts.headers.remove(AUTHORIZATION);
    parts.extensions.insert(by);
    let asked = door.service.handle(axum::http::Request::from_parts(parts, Full::new(body)));
    match timeout(ANSWER_WAIT, Box::pin(asked)).await {
        Ok(answer) => ([(CACHE_CONTROL, "no-store")], answer.map(Body::new)).into_response(),
        Err(_) => again(StatusCode::SERVICE_UNAVAILABLE, AGAIN_S, "no answer in time"),
    }
}

impl Door {
    fn refused_for_its_place(&self, headers: &HeaderMap, uri: &Uri) -> Option<Response> {
        let one = |name| {
            let mut values = headers.get_all(name).iter();
            let value = values.next().map(|value: &HeaderValue| value.to_str().unwrap_or("?"));
            // Two of them are none that can be trusted.
            if values.next().is_some() { Some("?") } else { value }
        };
        // A request target in absolute form names a host, too (RFC 9112, section 3.2.2).
        let target = uri.authority().map(axum::http::uri::Authority::as_str);
        let host = one(HOST).or(target);
        if !self.reached.is_for_us(host) || (target.is_some() && !self.reached.is_for_us(target)) {
            let told = "this host is not served here: set connections.public_url to the address in use";
            return Some(refusal(StatusCode::FORBIDDEN, told));
        }
        let is_foreign = !self.reached.may_come_from(one(ORIGIN));
        is_foreign.then(|| refusal(StatusCode::FORBIDDEN, "calls from web pages are refused"))
    }

    fn denied(&self, denied: Denied) -> Response {
        match denied {
            Denied::NotProven => {
                let named = format!("Bearer resource_metadata=\"{}\"", self.reached.metadata_address());
                let refused =
                    refusal(StatusCode::UNAUTHORIZED, "a valid token is needed: write !connect to your assistant");
                let named = HeaderValue::from_str(&named).unwrap_or(HeaderValue::from_static("Bearer"));
                ([(WWW_AUTHENTICATE, named)], refused).into_response()
            }
            Denied::TooFast { after_s } => again(StatusCode::TOO_MANY_REQUESTS, after_s, "too many calls in a minute"),
            Denied::NotNow => again(StatusCode::SERVICE_UNAVAILABLE, AGAIN_S, "calls cannot be taken now"),
        }
    }
}

/// Takes a refused call's body from the line, unless its sender waits for the word to send it.
async fn drain(headers: &HeaderMap, body: &mut Body) {
    if !headers.contains_key(EXPECT) {
        let _ = read(body, REFUSED_BYTES_MAX, REFUSED_WAIT).await;
    }
}

async fn read(body: &mut Body, bytes_max: usize, wait: Duration) -> Result<Bytes, Response> {
    match timeout(wait, Limited::new(body, bytes_max).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_long()),
        Ok(Err(_)) => Err(refusal(StatusCode::BAD_REQUEST, "the body broke off")),
        Err(_) => Err(refusal(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time")),
    }
}

fn too_long() -> Response {
    refusal(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long")
}

fn again(status: StatusCode, after_s: u64, told: &str) -> Response {
    ([(RETRY_AFTER, after_s.to_string())], refusal(status, told)).into_response()
}

fn refusal(status: StatusCode, told: &str) -> Response {
    (status, Json(json!({ "error": told }))).into_response()
}

#[cfg(test)]
mod tests;
