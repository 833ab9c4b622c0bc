//! API errors as the real API words them: status, type, message, and the request's id in header and body.

use serde_json::{Value, json};

/// Why a request is refused, as the client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) status: u16,
    pub(super) kind: &'static str,
    pub(super) message: String,
    /// `error.details.error_code`, if the API sends one.
    pub(super) error_code: Option<String>,
    /// `x-should-retry`; the stand-in's own complaints must not be retried.
    pub(super) should_retry: Option<bool>,
}

impl Problem {
    /// A broken rule: 400 `invalid_request_error`.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, message)
    }

    /// Any status, with the API's error type for it.
    pub(super) fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, kind: kind_of(status), message: message.into(), error_code: None, should_retry: None }
    }

    /// An unknown field, in the API's wording.
    pub(super) fn extra(path: &str) -> Self {
        Self::invalid(format!("{path}: Extra inputs are not permitted"))
    }

    /// A missing field, in the API's wording.
    pub(super) fn missing(path: &str) -> Self {
        Self::invalid(format!("{path}: Field required"))
    }

    /// Returns the error's JSON body.
    pub(super) fn body(&self, request_id: &str) -> Value {
        let mut error = json!({ "type": self.kind, "message": self.message });
        if let Some(code) = &self.error_code {
            error["details"] = json!({ "error_code": code });
        }
        json!({ "type": "error", "error": error, "request_id": request_id })
    }
}

/// Returns the `error.type` for a status.
pub(super) fn kind_of(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        _ => "api_error",
    }
}
