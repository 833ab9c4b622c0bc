//! Reads responses that are no answer: which status and which error body mean what.

use reqwest::{
    Response, StatusCode,
    header::{CONTENT_TYPE, HeaderMap},
};
use serde::Deserialize;

use super::billing;
use crate::claude::{
    error::{Cause, Quoted},
    retry::Hints,
};

/// The most of an error's body that is read, in bytes.
pub(super) const ERROR_BYTES_MAX: usize = 64 << 10;

/// The most of a request id that is kept, in characters.
const REQUEST_ID_CHARS_MAX: usize = 80;

/// What was sent, as far as an error speaks of it.
pub(super) struct Sent<'a> {
    pub(super) model: &'a str,
    pub(super) request_bytes: usize,
    /// Cut out of whatever the other side says.
    pub(super) secrets: Vec<&'a str>,
}

/// One failed attempt.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) cause: Cause,
    pub(super) hints: Hints,
    pub(super) request_id: Option<String>,
}

impl Failure {
    pub(super) fn of(cause: Cause) -> Self {
        Self { cause, hints: Hints::default(), request_id: None }
    }
}

/// The body of an error (docs/claude-api.md, section 8). Gateways leave the type out, or everything but a line.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorBody {
    error: Reported,
    request_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Reported {
    Detail(ErrorDetail),
    Line(String),
    Other(serde::de::IgnoredAny),
}

impl Default for Reported {
    fn default() -> Self {
        Self::Other(serde::de::IgnoredAny)
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorDetail {
    #[serde(rename = "type")]
    kind: Option<String>,
    message: Option<String>,
    details: Option<ErrorCode>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorCode {
    error_code: Option<String>,
}

impl ErrorBody {
    /// Returns what it says, where it says anything.
    fn read(body: &[u8]) -> Option<(ErrorDetail, Option<String>)> {
        let Self { error, request_id } = serde_json::from_slice(body).ok()?;
        let detail = match error {
            Reported::Detail(detail) => detail,
            Reported::Line(message) => ErrorDetail { message: Some(message), ..ErrorDetail::default() },
            Reported::Other(_) => return None,
        };
        (detail.kind.is_some() || detail.message.is_some()).then_some((detail, request_id))
    }
}

pub(super) fn request_id(headers: &HeaderMap) -> Option<String> {
    headers.get("request-id").and_then(|id| id.to_str().ok()).map(bounded_id)
}

/// Keeps an id of the other side's short and on one line.
pub(super) fn bounded_id(id: &str) -> String {
    id.chars().filter(|c| !c.is_control()).take(REQUEST_ID_CHARS_MAX).collect()
}

/// Returns whether the response is the beginning of a streamed answer.
pub(super) fn is_event_stream(response: &Response) -> bool {
    response.status() == StatusCode::OK && is_of_events(response.headers())
}

pub(super) fn is_of_events(headers: &HeaderMap) -> bool {
    media_type(headers) == "text/event-stream"
}

fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Returns why there is no answer.
pub(super) fn failure(status: StatusCode, headers: &HeaderMap, body: &[u8], hints: Hints, sent: &Sent<'_>) -> Failure {
    let parsed = ErrorBody::read(body);
    let id_in_body = parsed.as_ref().and_then(|(_, id)| id.as_deref()).map(bounded_id);
    let cause = match parsed {
        // Some gateways report an error with a status of success.
        Some((error, _)) if status.is_success() => {
            let kind = error.kind.clone().unwrap_or_default();
            explained(status_of(&kind), error, hints, sent)
        }
        Some((error, _)) => explained(status.as_u16(), error, hints, sent),
        None => unexplained(status, headers, hints, sent),
    };
    Failure { cause, hints, request_id: request_id(headers).or(id_in_body) }
}

/// Returns the cause of an `error` event within a stream, where the status was 200.
pub(super) fn streamed(kind: &str, message: &str, code: Option<String>, sent: &Sent<'_>) -> Cause {
    let details = code.map(|code| ErrorCode { error_code: Some(code) });
    let detail = ErrorDetail { kind: Some(kind.to_owned()), message: Some(message.to_owned()), details };
    explained(status_of(kind), detail, Hints::default(), sent)
}

/// Returns the status that goes with a type of error.
fn status_of(kind: &str) -> u16 {
    match kind {
        "invalid_request_error" => 400,
        "authentication_error" => 401,
        "billing_error" => 402,
        "permission_error" => 403,
        "not_found_error" => 404,
        "request_too_large" => 413,
        "rate_limit_error" => 429,
        "overloaded_error" => 529,
        // Newer kinds too: something failed over there.
        _ => 500,
    }
}

fn explained(status: u16, error: ErrorDetail, hints: Hints, sent: &Sent<'_>) -> Cause {
    let kind = error.kind.as_deref();
    let code = error.details.and_then(|details| details.error_code);
    let message = error.message.unwrap_or_default();
    let said = Quoted::hiding(&message, &sent.secrets);
    match (status, kind) {
        (_, Some("overloaded_error")) | (529, _) => Cause::Overloaded,
        (402, _) => Cause::Billing { said },
        (400..500, _) if billing::is_billing(kind, code.as_deref(), &message) => Cause::Billing { said },
        (401 | 403, _) => Cause::KeyRefused { status, said },
        // A gateway answers in the same words for a route that it does not have.
        (404, Some("not_found_error")) if names_a_model(&message, sent.model) => {
            Cause::ModelNotFound { model: sent.model.to_owned(), said }
        }
        (413, _) => Cause::TooLarge { request_bytes: sent.request_bytes },
        (400, _) if is_too_long(&message) => Cause::TooLarge { request_bytes: sent.request_bytes },
        (429, _) => Cause::RateLimited { retry_after: hints.retry_after, said },
        (408 | 409 | 500.., _) => Cause::Server { status, said },
        _ => {
            let code = code.map(|code| Quoted::hiding(&code, &sent.secrets).as_str().to_owned());
            Cause::InvalidRequest { status, code, said }
        }
    }
}

/// Whether a 404 is about a model, and not about the address.
fn names_a_model(message: &str, model: &str) -> bool {
    message.is_empty() || message.contains(model) || message.to_lowercase().contains("model")
}

/// Whether a refusal says that the prompt does not fit into the model's window.
fn is_too_long(message: &str) -> bool {
    let message = message.trim_start().to_lowercase();
    message.starts_with("prompt is too long")
        || message.starts_with("input length and `max_tokens` exceed context limit")
}

/// Whoever answered did not explain itself in the API's form: the edge, a proxy, or something else entirely.
fn unexplained(status: StatusCode, headers: &HeaderMap, hints: Hints, sent: &Sent<'_>) -> Cause {
    let said = Quoted::default();
    let media_type = Quoted::hiding(&media_type(headers), &sent.secrets);
    let what = if media_type.as_str().is_empty() { "an untyped body" } else { media_type.as_str() }.to_owned();
    let status_code = status.as_u16();
    match status_code {
        529 => Cause::Overloaded,
        401 => Cause::KeyRefused { status: status_code, said },
        402 => Cause::Billing { said },
        413 => Cause::TooLarge { request_bytes: sent.request_bytes },
        429 => Cause::RateLimited { retry_after: hints.retry_after, said },
        408 | 409 | 500.. => Cause::Server { status: status_code, said },
        300..=399 => Cause::Protocol { status: status_code, what: "a redirect".to_owned() },
        // A gateway's or a firewall's own page, while it is busy or starts.
        200..=299 | 403 => Cause::Page { status: status_code, what },
        _ => Cause::Protocol { status: status_code, what },
    }
}
