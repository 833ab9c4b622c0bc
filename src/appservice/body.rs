//! Reads the body of a call within its bounds.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::time::timeout;

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is longer than it may be.
    TooLong,
    /// It broke off.
    BrokeOff,
    /// It did not arrive in time.
    TooLate,
}

/// Returns a body of at most `bytes_max` that arrives within `wait`.
///
/// # Errors
/// Why it was not read; the caller refuses the call.
pub(super) async fn read(body: Body, bytes_max: usize, wait: Duration) -> Result<Bytes, Unread> {
    match timeout(wait, Limited::new(body, bytes_max).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Unread::TooLong),
        Ok(Err(_)) => Err(Unread::BrokeOff),
        Err(_) => Err(Unread::TooLate),
    }
}
