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

/// What has come of a body.
pub(super) enum Begun {
    /// All of it.
    Whole(Bytes),
    /// A part, and where the rest comes from.
    Part(Vec<u8>, Body),
}

/// Returns what of a body comes within `wait`, up to a bit more than `bytes`.
///
/// # Errors
/// If it broke off.
pub(super) async fn begin(mut body: Body, bytes: usize, wait: Duration) -> Result<Begun, Unread> {
    let mut read = Vec::new();
    let reading = async {
        while read.len() < bytes {
            match body.frame().await {
                None => return Ok(true),
                Some(Err(_)) => return Err(Unread::BrokeOff),
                Some(Ok(frame)) => {
                    if let Ok(part) = frame.into_data() {
                        read.extend_from_slice(&part);
                    }
                }
            }
        }
        Ok(false)
    };
    match timeout(wait, reading).await {
        Ok(Ok(true)) => Ok(Begun::Whole(read.into())),
        Ok(Err(why)) => Err(why),
        Ok(Ok(false)) | Err(_) => Ok(Begun::Part(read, body)),
    }
}

/// Returns the whole of a body of which a part has come; at most `bytes_max`, and within `wait`.
///
/// # Errors
/// As [`read`].
pub(super) async fn finish(mut part: Vec<u8>, body: Body, bytes_max: usize, wait: Duration) -> Result<Bytes, Unread> {
    let room = bytes_max.checked_sub(part.len()).ok_or(Unread::TooLong)?;
    part.extend_from_slice(&read(body, room, wait).await?);
    Ok(part.into())
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
