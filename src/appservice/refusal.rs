//! Refusals in Matrix's form: a status, an `errcode` and a text.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;

/// An unsuccessful answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) errcode: &'static str,
    pub(super) error: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, errcode: &'static str, error: impl Into<String>) -> Self {
        Self { status, errcode, error: error.into() }
    }

    /// Spec, "Unknown routes": 404 for an unknown path, 405 for a known path with another method.
    pub(super) fn unrecognized(status: StatusCode) -> Self {
        Self::new(status, "M_UNRECOGNIZED", "there is no such call here")
    }

    pub(super) fn not_found(error: &'static str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "M_NOT_FOUND", error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(json!({"errcode": self.errcode, "error": self.error}))).into_response()
    }
}
