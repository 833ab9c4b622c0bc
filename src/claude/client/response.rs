//! Interprets unsuccessful responses: what a status and an error body mean.

use reqwest::{
    StatusCode,
    header::{CONTENT_TYPE, HeaderMap},
};
use serde_json::Value;

use super::{billing, moderation};
use crate::claude::{
    error::{Cause, FLAGGED, QUOTED_CHARS_MAX, Quoted},
    retry::Hints,
};

/// Most bytes read of an error body.
pub(super) const ERROR_BYTES_MAX: usize = 64 << 10;

/// Most characters kept of a request id.
const REQUEST_ID_CHARS_MAX: usize = 80;

/// What error messages mention of the request.
pub(super) struct Sent<'a> {
    pub(super) model: &'a str,
    pub(super) request_bytes: usize,
    /// Secrets to cut from the other side's messages.
    pub(super) secrets: Vec<&'a str>,
}

/// A failed attempt.
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

/// The fields of an error body (docs/claude-api.md, section 8).
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    kind: Option<String>,
    code: Option<String>,
    message: String,
    /// The status in the body.
    status: Option<u16>,
    request_id: Option<String>,
}

/// Fields in which gateways put an error's message, besides the API's own.
const MESSAGES: [&str; 7] = ["message", "Message", "detail", "error_message", "error_description", "msg", "reason"];
/// How deeply objects and lists may nest around an error.
const DEPTH_MAX: usize = 4;

impl Told {
    /// Parses an error body; `None` if it has neither type nor message. Gateways omit the type, or everything but a
    /// line, or use their own forms.
    fn read(body: &Value) -> Option<Self> {
        let mut told = Self::default();
        told.take(body, DEPTH_MAX);
        told.request_id = body["request_id"].as_str().map(bounded_id);
        (told.kind.is_some() || !told.message.is_empty()).then_some(told)
    }

    /// Returns a refusal in plain text that is about money; other plain text may be anybody's.
    fn of_money(status: StatusCode, body: &[u8], hints: Hints) -> Option<Self> {
        let text = str::from_utf8(body).ok()?.trim();
        if text.is_empty() || text.starts_with(['<', '{', '[']) {
            return None;
        }
        let told = Self { message: text.chars().take(QUOTED_CHARS_MAX).collect(), ..Self::default() };
        (status.is_client_error() && is_billing(status.as_u16(), &told, hints)).then_some(told)
    }

    /// Returns whether its type is that of an error.
    fn is_named(&self) -> bool {
        let kind = self.kind.as_deref().unwrap_or_default().to_ascii_lowercase();
        kind.ends_with("_error") || kind.ends_with("exception")
    }

    fn take(&mut self, value: &Value, depth: usize) {
        let fields = match value {
            Value::String(message) if self.message.is_empty() => {
                self.message.clone_from(message);
                return;
            }
            Value::Array(listed) if depth > 0 => {
                return listed.first().into_iter().for_each(|first| self.take(first, depth - 1));
            }
            Value::Object(fields) if depth > 0 => fields,
            _ => return,
        };
        for inner in ["error", "errors"].iter().filter_map(|name| fields.get(*name)) {
            self.take(inner, depth - 1);
        }
        let text = |name: &str| fields.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
        let code = fields.get("details").and_then(|details| details["error_code"].as_str()).map(ToOwned::to_owned);
        self.code = self.code.take().or(code).or_else(|| text("code"));
        let number = |name: &str| fields.get(name).and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
        let status = number("code").or_else(|| number("status")).filter(|code| (400..600).contains(code));
        self.status = self.status.or(status);
        let kind = ["type", "__type", "status"].into_iter().filter_map(text).find(|kind| kind != "error");
        self.kind = self.kind.take().or(kind);
        for inner in MESSAGES.iter().filter_map(|name| fields.get(*name)) {
            if self.message.is_empty() {
                self.take(inner, depth - 1);
            }
        }
    }
}

pub(super) fn request_id(headers: &HeaderMap) -> Option<String> {
    headers.get("request-id").and_then(|id| id.to_str().ok()).map(bounded_id)
}

/// Shortens another side's id to one line.
pub(super) fn bounded_id(id: &str) -> String {
    id.chars().filter(|c| !c.is_control()).take(REQUEST_ID_CHARS_MAX).collect()
}

/// Returns whether the response is declared as an event stream.
pub(super) fn is_of_events(headers: &HeaderMap) -> bool {
    media_type(headers) == "text/event-stream"
}

fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Returns why there is no answer.
pub(super) fn failure(status: StatusCode, headers: &HeaderMap, body: &[u8], hints: Hints, sent: &Sent<'_>) -> Failure {
    let value: Option<Value> = serde_json::from_slice(body).ok();
    let told = value.as_ref().and_then(Told::read).or_else(|| Told::of_money(status, body, hints));
    let has_error = value.as_ref().is_some_and(has_error);
    let id_in_body = told.as_ref().and_then(|told| told.request_id.clone());
    let cause = match told {
        // Some gateways report an error with a success status.
        Some(told) if status.is_success() && has_error => {
            let status = told.status.unwrap_or_else(|| status_of(told.kind.as_deref().unwrap_or_default()));
            explained(status, told, hints, sent)
        }
        // A body that does not look like an error may be anybody's.
        Some(told)
            if !status.is_success() && (has_error || told.is_named() || is_billing(status.as_u16(), &told, hints)) =>
        {
            explained(status.as_u16(), told, hints, sent)
        }
        _ if status.is_success() && body.trim_ascii().is_empty() => Cause::nothing(status.as_u16()),
        // The Chat Completions API, which many gateways speak at another path.
        _ if status.is_success() && value.is_some_and(|body| body["choices"].is_array()) => {
            Cause::Protocol { status: status.as_u16(), what: "an answer of another API, with \"choices\"".to_owned() }
        }
        _ => unexplained(status, headers, hints, sent),
    };
    Failure { cause, hints, request_id: request_id(headers).or(id_in_body) }
}

/// Returns whether a body has an `error` field, like the API's and most gateways'.
fn has_error(body: &Value) -> bool {
    let first = body.get(0).unwrap_or(body);
    ["error", "errors"].iter().any(|name| first.get(*name).is_some_and(|error| !error.is_null()))
}

fn is_billing(status: u16, told: &Told, hints: Hints) -> bool {
    let Told { kind, code, message, .. } = told;
    let (kind, code) = (kind.as_deref(), code.as_deref());
    billing::is_billing(billing::Said { status, kind, code, message, retry_after: hints.retry_after })
}

/// Returns the cause of an `error` event inside a stream, whose status was 200.
pub(super) fn streamed(kind: &str, message: &str, code: Option<String>, sent: &Sent<'_>) -> Cause {
    let told = Told { kind: Some(kind.to_owned()), code, message: message.to_owned(), ..Told::default() };
    let status = told.code.as_deref().and_then(|code| code.parse().ok()).filter(|code| (400..600).contains(code));
    explained(status.unwrap_or_else(|| status_of(kind)), told, Hints::default(), sent)
}

/// Returns the status of an error type.
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
        // Also for unknown types: something failed at the provider.
        _ => 500,
    }
}

fn explained(status: u16, told: Told, hints: Hints, sent: &Sent<'_>) -> Cause {
    let is_billing = is_billing(status, &told, hints);
    let Told { kind, code, message, .. } = told;
    let kind = kind.as_deref();
    let said = Quoted::hiding(&message, &sent.secrets);
    if moderation::is_flagged(kind, code.as_deref(), &message) {
        return Cause::InvalidRequest { status, code: Some(FLAGGED.to_owned()), said };
    }
    match (status, kind) {
        (_, Some("overloaded_error")) | (529, _) => Cause::Overloaded,
        _ if is_billing => Cause::Billing { said },
        (401 | 403, _) => Cause::KeyRefused { status, said },
        // A gateway uses the same text for a missing route.
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

/// Returns whether a 404 concerns the model rather than the address.
fn names_a_model(message: &str, model: &str) -> bool {
    message.is_empty() || message.contains(model) || message.to_lowercase().contains("model")
}

/// Returns whether a refusal says that the prompt exceeds the model's window.
fn is_too_long(message: &str) -> bool {
    let message = message.trim_start().to_lowercase();
    message.starts_with("prompt is too long")
        || message.starts_with("input length and `max_tokens` exceed context limit")
}

/// Interprets an error without the API's form: from the edge, a proxy, or something else entirely.
fn unexplained(status: StatusCode, headers: &HeaderMap, hints: Hints, sent: &Sent<'_>) -> Cause {
    let said = Quoted::default();
    let media_type = Quoted::of_header(&media_type(headers), &sent.secrets);
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
        // A gateway's or firewall's own page, while it is busy or starting.
        200..=299 | 403 => Cause::Page { status: status_code, what },
        _ => Cause::Protocol { status: status_code, what },
    }
}
