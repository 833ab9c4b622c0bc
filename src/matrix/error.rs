//! What can go wrong between us and the homeserver, by cause.

use std::time::{Duration, SystemTime};

use ruma::api::error::{ErrorKind, RetryAfter};

use crate::core::time::Timestamp;

/// A failed call to the homeserver, or a store of one virtual user that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MatrixError {
    /// Nothing answered: refused, timed out, or the name does not resolve. Try again later.
    #[error(
        "homeserver {url}: does not answer ({cause})\n  Nothing can be sent or read until it does; accepted events wait.\n  Mend: start it, or correct homeserver.url."
    )]
    Unreachable {
        /// Base URL that was called.
        url: String,
        /// The transport's own words.
        cause: String,
    },
    /// Something answered that is no Matrix homeserver.
    #[error(
        "homeserver {url}: answered HTTP {status} without JSON to {call}\n  That is not the client-server API; a proxy or web page stands there.\n  Mend: set homeserver.url to the base that serves /_matrix/client."
    )]
    NotMatrix {
        /// Base URL that was called.
        url: String,
        /// HTTP status.
        status: u16,
        /// Method and path.
        call: String,
    },
    /// The `as_token` is not known there.
    #[error(
        "homeserver {url}: refused our as_token\n  The registration that it has loaded is another one, or none.\n  Mend: give it the registration.yaml that `workmate init` wrote and restart it."
    )]
    Token {
        /// Base URL that was called.
        url: String,
    },
    /// Devices cannot be made or masqueraded (spec 1.17, MSC4190 and MSC4326).
    #[error(
        "homeserver {url}: lacks device management for application services ({cause})\n  Virtual users need a device of their own for encryption.\n  Mend: Synapse 1.141 or later; Tuwunel and Continuwuity need `io.element.msc4190: true` in the registration."
    )]
    NoDevices {
        /// Base URL that was called.
        url: String,
        /// What was tried and answered.
        cause: String,
    },
    /// The homeserver refused one call.
    #[error("homeserver: {call}: HTTP {status} {errcode}: {message}")]
    Refused {
        /// Method and path, without query.
        call: String,
        /// HTTP status.
        status: u16,
        /// The Matrix error code.
        errcode: String,
        /// The homeserver's words.
        message: String,
        /// How long it asks to wait before the next call, where that is told.
        retry_after: Option<Duration>,
    },
    /// The SDK failed.
    #[error("matrix-sdk: {0}")]
    Sdk(#[from] matrix_sdk::Error),
    /// An SDK client could not be built or its store not opened.
    #[error(
        "{dir}: the store of {user} cannot be opened ({cause})\n  That virtual user cannot act.\n  Mend: check the disk and the folder's owner; if the files are damaged, delete the folder: everything in it is recovered from the homeserver."
    )]
    UserStore {
        /// The virtual user.
        user: String,
        /// Its folder.
        dir: String,
        /// The store's words.
        cause: String,
    },
    /// A file could not be read or written.
    #[error("{path}: {cause}\n  Mend: check the disk's free space and the folder's owner.")]
    File {
        /// Where.
        path: String,
        /// What.
        cause: std::io::Error,
    },
    /// The room is not known to this client, or it is not joined.
    #[error("{user} is not in {room}")]
    NotJoined {
        /// The virtual user.
        user: String,
        /// The room.
        room: String,
    },
    /// An encrypted room's state could not be established, so nothing may be sent (invariant 3).
    #[error("{room}: cannot tell whether the room is encrypted; nothing is sent until that is known")]
    EncryptionUnknown {
        /// The room.
        room: String,
    },
}

impl MatrixError {
    /// Returns whether the same call may succeed later without anybody's doing.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::EncryptionUnknown { .. } => true,
            Self::NotMatrix { status, .. } | Self::Refused { status, .. } => *status >= 500 || *status == 429,
            Self::Sdk(error) => sdk_is_passing(error),
            _ => false,
        }
    }

    /// Returns how long the homeserver asks to wait (429 `M_LIMIT_EXCEEDED`), from `now` on; `None` where it does not.
    #[must_use]
    pub fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        match self {
            Self::Refused { status: 429, retry_after, .. } => *retry_after,
            Self::Sdk(error) => asked_pause(error.client_api_error_kind()?, now),
            _ => None,
        }
    }

    /// Returns whether the homeserver answered that we may not (403): kicked, banned, muted.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        match self {
            Self::Refused { status, .. } => *status == 403,
            Self::NotJoined { .. } | Self::Sdk(matrix_sdk::Error::WrongRoomState(_)) => true,
            Self::Sdk(error) => matches!(error.client_api_error_kind(), Some(ErrorKind::Forbidden)),
            _ => false,
        }
    }
}

fn sdk_is_passing(error: &matrix_sdk::Error) -> bool {
    let matrix_sdk::Error::Http(http) = error else { return false };
    match http.as_client_api_error() {
        Some(answer) => answer.status_code.is_server_error() || answer.status_code.as_u16() == 429,
        // No answer in the API's form: the transport failed, or something in between answered.
        None => true,
    }
}

fn asked_pause(kind: &ErrorKind, now: Timestamp) -> Option<Duration> {
    let ErrorKind::LimitExceeded(limit) = kind else { return None };
    Some(match limit.retry_after.as_ref()? {
        RetryAfter::Delay(pause) => *pause,
        RetryAfter::DateTime(at) => {
            let since_epoch = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            since_epoch.saturating_sub(Duration::from_millis(u64::try_from(now.as_ms()).unwrap_or_default()))
        }
    })
}

#[cfg(test)]
mod tests {
    use ruma::api::error::LimitExceededErrorData;

    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1_795_346_400_000);

    fn refused(status: u16, retry_after: Option<Duration>) -> MatrixError {
        let [call, errcode, message] = ["POST /createRoom", "M_LIMIT_EXCEEDED", "too many"].map(str::to_owned);
        MatrixError::Refused { call, status, errcode, message, retry_after }
    }

    #[test]
    fn a_pause_is_told_by_a_429_alone() {
        let two = Some(Duration::from_secs(2));
        assert_eq!(refused(429, two).retry_after(NOW), two);
        assert_eq!(refused(429, None).retry_after(NOW), None);
        assert_eq!(refused(403, two).retry_after(NOW), None);
        assert!(refused(429, None).is_passing());
    }

    #[test]
    fn a_pause_that_the_sdk_was_told_is_a_length_or_a_time_that_may_have_passed() {
        let at = |ms: u64| RetryAfter::DateTime(SystemTime::UNIX_EPOCH + Duration::from_millis(ms));
        let table = [
            (Some(RetryAfter::Delay(Duration::from_millis(1500))), Some(Duration::from_millis(1500))),
            (Some(at(1_795_346_407_000)), Some(Duration::from_secs(7))),
            (Some(at(1_795_346_300_000)), Some(Duration::ZERO)),
            (None, None),
        ];
        for (told, expected) in table {
            let mut limit = LimitExceededErrorData::new();
            limit.retry_after = told;
            assert_eq!(asked_pause(&ErrorKind::LimitExceeded(limit), NOW), expected);
        }
        assert_eq!(asked_pause(&ErrorKind::Forbidden, NOW), None);
    }
}
