//! Prepares the homeserver's answers for the SDK. Matrix errors pass unchanged, pages from something in between are
//! marked as such, and bodies lose what cannot be parsed.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Json,
    body::{Body, Bytes},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use ruma::OwnedUserId;
use serde_json::{Value, json};
use tokio::{sync::Semaphore, time::Instant};

use super::{
    call::Kind,
    cutting::{Cutter, Sizes, TooLarge},
    pacing,
    repair::{self, Repaired},
    slimming::Slimmer,
    strip_hop_headers,
};
use crate::{
    core::reach,
    matrix::error::{is_errcode, is_unknown_device},
};

/// Response extension: the `errcode` of a refusal that may be a homeserver's. Never sent on the wire.
#[derive(Clone, Debug)]
pub(super) struct Refused(pub(super) String);

/// Most bytes of an answer that is read whole.
const BODY_BYTES_MAX: usize = 128 << 20;
/// Limits of a sync. The first sync of a user in hundreds of rooms has about 10 MiB; a room has at most 30 events of 64
/// KiB and about ten kinds of state. A sync that is too large as a whole is requested again with less of each room, and
/// then in parts (`account/parts.rs`).
const SYNC: Sizes = Sizes { whole: 64 << 20, part: 4 << 20 };
/// Limits of a key query for many users; a device has about 2 KiB.
const KEYS: Sizes = Sizes { whole: BODY_BYTES_MAX, part: 1 << 20 };
/// Limits of a member list: each member has a name and a picture's address.
const NAMES: Sizes = Sizes { whole: BODY_BYTES_MAX, part: 2 << 10 };
/// Most bytes read of a refusal, which normally has a few hundred.
const REFUSAL_BYTES_MAX: usize = 64 << 10;
/// Answers beyond this size are limited to [`LARGE_AT_ONCE_MAX`] at a time.
const LARGE_BYTES: usize = 8 << 20;
/// Large answers in memory at once.
const LARGE_AT_ONCE_MAX: usize = 3;
/// Larger bodies are parsed on a blocking thread.
const BLOCKING_BYTES: usize = 256 << 10;

/// The time between two warnings about dropped content; what falls between is logged at debug level.
const WARN_EVERY: Duration = Duration::from_mins(1);

/// Shared state of all reads.
pub(super) struct Reading {
    /// Permits for large answers in memory.
    large: Semaphore,
    /// When dropped content was last warned about.
    warned: Mutex<Option<Instant>>,
}

impl Default for Reading {
    fn default() -> Self {
        Self { large: Semaphore::new(LARGE_AT_ONCE_MAX), warned: Mutex::default() }
    }
}

impl Reading {
    /// Returns whether a warning is due, and records it.
    fn warns(&self) -> bool {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = warned.is_none_or(|at| at.elapsed() >= WARN_EVERY);
        if is_due {
            *warned = Some(Instant::now());
        }
        is_due
    }
}

/// The header of the proxy's own answers that says why the homeserver's is missing.
const REMARK: HeaderName = HeaderName::from_static("x-workmate-proxy");

/// How the error text about an unavailable homeserver begins; the cause follows.
pub(in crate::matrix) const AWAY: &str = "the homeserver does not answer: ";

/// Response extension: the asserted device does not exist. Never sent on the wire.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnknownDevice;

/// Response extension: the `as_token` was refused. Never sent on the wire.
#[derive(Clone, Copy, Debug)]
pub(super) struct TokenRefused;

/// Response extension: what a sync answered, as the SDK will read it. Never sent on the wire.
#[derive(Clone, Debug)]
pub(super) struct Synced(pub(super) Bytes);

/// Why the proxy answered by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::matrix) enum Remark {
    /// Nothing answered.
    Away,
    /// Something other than a Matrix homeserver answered with this status: a proxy's page, an empty body.
    Page(u16),
}

impl Remark {
    /// Reads the remark from an answer; `None` if the homeserver answered.
    pub(in crate::matrix) fn of(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(REMARK)?.to_str().ok()?;
        match text.strip_prefix("page ") {
            Some(status) => status.parse().ok().map(Self::Page),
            None => Some(Self::Away),
        }
    }

    /// Returns the proxy's answer, which is always retryable, because nothing is known about the request's outcome.
    pub(super) fn answer(self, cause: &str) -> Response {
        let (remark, error) = match self {
            Self::Away => ("away".to_owned(), format!("{AWAY}{cause}")),
            Self::Page(status) => (
                format!("page {status}"),
                format!("what stands before the homeserver answered HTTP {status} without a Matrix error"),
            ),
        };
        let mut response = refuse(StatusCode::BAD_GATEWAY, "M_UNKNOWN", &error);
        if let Ok(remark) = HeaderValue::from_str(&remark) {
            response.headers_mut().insert(REMARK, remark);
        }
        response
    }
}

/// Returns an error in Matrix's form.
pub(super) fn refuse(status: StatusCode, errcode: &str, error: &str) -> Response {
    (status, Json(json!({ "errcode": errcode, "error": error }))).into_response()
}

/// Relays an answer, repairing it if necessary. A sync's then also names the devices of the `outdated` as changed.
pub(super) async fn relay(
    answer: reqwest::Response,
    kind: Kind,
    part: Option<usize>,
    outdated: &[OwnedUserId],
    reading: &Reading,
) -> Response {
    let status = answer.status();
    if !status.is_success() {
        return relay_refusal(answer).await;
    }
    match kind {
        Kind::Media => stream(answer),
        Kind::Other if is_json(answer.headers()) => stream(answer),
        Kind::Other => Remark::Page(status.as_u16()).answer(""),
        _ => relay_whole(answer, kind, part, outdated, reading).await,
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    media_type.trim_start().get(..16).is_some_and(|start| start.eq_ignore_ascii_case("application/json"))
}

fn stream(answer: reqwest::Response) -> Response {
    let (status, headers) = (answer.status(), passed_headers(&answer));
    respond(status, headers, Body::from_stream(answer.bytes_stream()))
}

fn passed_headers(answer: &reqwest::Response) -> HeaderMap {
    let mut headers = answer.headers().clone();
    strip_hop_headers(&mut headers);
    headers.remove(REMARK);
    headers
}

fn respond(status: StatusCode, headers: HeaderMap, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Only Matrix errors and authentication stages come from a homeserver. Anything else, even a redirect to a page, comes
/// from something in between and says nothing about the request.
async fn relay_refusal(answer: reqwest::Response) -> Response {
    let (status, mut headers) = (answer.status(), passed_headers(&answer));
    let body = match read(answer, REFUSAL_BYTES_MAX, None).await {
        Ok(body) => body,
        Err(Unread::TooLarge) => return Remark::Page(status.as_u16()).answer(""),
        Err(Unread::BrokenOff(cause)) => return Remark::Away.answer(&cause),
    };
    let said: Value = serde_json::from_slice(&body).unwrap_or_default();
    let is_error = said["errcode"].as_str().is_some_and(is_errcode);
    let is_stage = status == StatusCode::UNAUTHORIZED && said["flows"].is_array();
    if status.is_redirection() || !(is_error || is_stage) {
        return Remark::Page(status.as_u16()).answer("");
    }
    let body = pacing::shortened(&mut headers, &said, body);
    let mut response = respond_whole(status, headers, body);
    if is_error {
        let errcode = said["errcode"].as_str().unwrap_or_default().to_owned();
        response.extensions_mut().insert(Refused(errcode));
    }
    if said["errcode"].as_str().is_some_and(is_unknown_device) {
        response.extensions_mut().insert(UnknownDevice);
    }
    if matches!(said["errcode"].as_str(), Some("M_UNKNOWN_TOKEN" | "M_MISSING_TOKEN")) {
        response.extensions_mut().insert(TokenRefused);
    }
    response
}

async fn relay_whole(
    answer: reqwest::Response,
    kind: Kind,
    part: Option<usize>,
    outdated: &[OwnedUserId],
    reading: &Reading,
) -> Response {
    let (status, headers) = (answer.status(), passed_headers(&answer));
    let read = match kind {
        Kind::Sync => read_cut(answer, SYNC, reading).await,
        Kind::KeysQuery => read_cut(answer, KEYS, reading).await,
        Kind::JoinedMembers => read_cut(answer, NAMES, reading).await,
        Kind::Members => read_slim(answer, reading).await,
        _ => read(answer, BODY_BYTES_MAX, Some(&reading.large)).await,
    };
    let body = match read {
        Ok(body) => body,
        Err(Unread::TooLarge) => {
            tracing::warn!(?kind, ?part, "an answer of the homeserver is too large to be read");
            let error = "the answer is larger than may be read";
            return refuse(StatusCode::PAYLOAD_TOO_LARGE, "M_TOO_LARGE", error);
        }
        Err(Unread::BrokenOff(cause)) => return Remark::Away.answer(&cause),
    };
    let repaired = if body.len() > BLOCKING_BYTES {
        let body = body.clone();
        let repairing = tokio::task::spawn_blocking(move || repair::repaired(kind, &body));
        repairing.await.unwrap_or(Repaired::NotNeeded)
    } else {
        repair::repaired(kind, &body)
    };
    let body = match repaired {
        Repaired::NotNeeded => body,
        Repaired::NotJson => return Remark::Page(status.as_u16()).answer(""),
        Repaired::Mended(mended, losses) => {
            if losses.are_any() {
                losses.log(kind, reading.warns());
            }
            mended.into()
        }
    };
    let body = match part.map(|number| repair::as_part(&body, number)) {
        None => body,
        Some(Some(part)) => part.into(),
        Some(None) => return Remark::Page(status.as_u16()).answer(""),
    };
    let body = match outdated {
        [] => body,
        people => match repair::with_changed_devices(&body, people) {
            Some(told) => told.into(),
            None => return Remark::Page(status.as_u16()).answer(""),
        },
    };
    let mut response = respond_whole(status, headers, body.clone());
    if kind == Kind::Sync {
        response.extensions_mut().insert(Synced(body));
    }
    response
}

fn respond_whole(status: StatusCode, mut headers: HeaderMap, body: Bytes) -> Response {
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    respond(status, headers, Body::from(body))
}

/// Why a body is missing.
enum Unread {
    TooLarge,
    BrokenOff(String),
}

/// Reads at most `most` bytes of a body; a large one waits for a permit.
async fn read(answer: reqwest::Response, most: usize, large: Option<&Semaphore>) -> Result<Bytes, Unread> {
    let told = answer.content_length().and_then(|length| usize::try_from(length).ok());
    if told.is_some_and(|length| length > most) {
        return Err(Unread::TooLarge);
    }
    let mut body = Vec::with_capacity(told.unwrap_or_default().min(LARGE_BYTES));
    pour(answer, large, |chunk| {
        if chunk.len() > most - body.len() {
            return Err(TooLarge);
        }
        body.extend_from_slice(chunk);
        Ok(body.len())
    })
    .await?;
    Ok(body.into())
}

/// Reads a body without its oversized parts.
async fn read_cut(answer: reqwest::Response, sizes: Sizes, reading: &Reading) -> Result<Bytes, Unread> {
    let mut cutter = Cutter::new(sizes);
    pour(answer, Some(&reading.large), |chunk| cutter.feed(chunk)).await?;
    let (body, cut) = cutter.done();
    if cut.parts > 0 && reading.warns() {
        tracing::warn!(parts = cut.parts, of = ?cut.names, "an answer of the homeserver was read without what is too large in it");
    }
    Ok(body.into())
}

/// Reads a member list without its long parts.
async fn read_slim(answer: reqwest::Response, reading: &Reading) -> Result<Bytes, Unread> {
    let mut slimmer = Slimmer::new(BODY_BYTES_MAX);
    pour(answer, Some(&reading.large), |chunk| slimmer.feed(chunk)).await?;
    let (body, left_out) = slimmer.done();
    if left_out > 0 && reading.warns() {
        tracing::warn!(left_out, "a room has too many who are gone; not all of them are known");
    }
    Ok(body.into())
}

/// Reads a body in chunks. `take` returns how much is held; beyond [`LARGE_BYTES`] the read waits for a permit of
/// `large`.
async fn pour(
    mut answer: reqwest::Response,
    large: Option<&Semaphore>,
    mut take: impl FnMut(&[u8]) -> Result<usize, TooLarge>,
) -> Result<(), Unread> {
    let (mut place, mut held) = (None, 0);
    loop {
        // `without_url`, because the query names users and the path may name rooms.
        let chunk = answer.chunk().await.map_err(|error| Unread::BrokenOff(reach::chain(&error.without_url())))?;
        let Some(chunk) = chunk else { return Ok(()) };
        if place.is_none()
            && held + chunk.len() > LARGE_BYTES
            && let Some(large) = large
        {
            place = large.acquire().await.ok();
        }
        held = take(&chunk).map_err(|TooLarge| Unread::TooLarge)?;
    }
}
