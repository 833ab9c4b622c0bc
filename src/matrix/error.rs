//! Errors between us and the homeserver, by cause.

use std::time::{Duration, SystemTime};

use matrix_sdk::{HttpError, StoreError, encryption::CryptoStoreError};
use ruma::api::{
    client::uiaa::UiaaResponse,
    error::{ErrorKind, FromHttpResponseError, RetryAfter},
};

use super::trouble::{is_disk_trouble, says_trouble};
use crate::core::{reach::Obstacle, time::Timestamp};

/// The longest valid `errcode`, in bytes.
const ERRCODE_BYTES_MAX: usize = 255;

/// The error code of a call that our proxy does not send, because it contains an impossible id.
pub(super) const NOT_SENT: &str = "IO.WORKMATE.NOT_SENT";
/// Codes that name a cause in the call, so that it would be refused again. Others are doubted: a proxy before the
/// homeserver may for a while answer `M_UNKNOWN` or `M_BAD_JSON` to calls that we may make.
const MEANT: [&str; 16] = [
    NOT_SENT,
    "M_BAD_ALIAS",
    "M_BAD_STATE",
    "M_CANNOT_LEAVE_SERVER_NOTICE_ROOM",
    "M_DUPLICATE_ANNOTATION",
    "M_EXCLUSIVE",
    "M_INCOMPATIBLE_ROOM_VERSION",
    "M_INVALID_ROOM_STATE",
    "M_INVALID_USERNAME",
    "M_KEY_TOO_LARGE",
    "M_PROFILE_TOO_LARGE",
    "M_ROOM_IN_USE",
    "M_UNRECOGNIZED",
    "M_UNSUPPORTED_ROOM_VERSION",
    "M_USER_DEACTIVATED",
    "M_USER_IN_USE",
];

/// A failed call to the homeserver, or a store of one virtual user that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MatrixError {
    /// Nothing answered: refused, timed out, or the name does not resolve. Try again later.
    #[error(
        "homeserver {url}: does not answer ({cause})\n  Nothing can be sent or read until it does; accepted events wait.\n  Mend: {}.",
        Obstacle::mend_of(cause, "homeserver.url")
    )]
    Unreachable {
        /// The base URL that was called.
        url: String,
        /// The transport error's text.
        cause: String,
    },
    /// Something other than a Matrix homeserver answered: a proxy's page, an empty body, a refusal without `errcode`.
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
    /// The homeserver does not know the `as_token`.
    #[error(
        "homeserver {url}: refused our as_token\n  The registration that it has loaded is another one, or none.\n  Mend: give it the registration.yaml that `workmate init` wrote and restart it."
    )]
    Token {
        /// Base URL that was called.
        url: String,
    },
    /// The homeserver cannot create or masquerade devices (spec 1.17, MSC4190 and MSC4326).
    #[error(
        "homeserver {url}: lacks device management for application services ({cause})\n  Virtual users need a device of their own for encryption.\n  Mend: use Synapse 1.141, Continuwuity 26.7.0, Tuwunel 1.8.3 or later; Tuwunel also needs `io.element.msc4190: true` in the registration, as `workmate init` writes it."
    )]
    NoDevices {
        /// Base URL that was called.
        url: String,
        /// The call and its answer.
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
        /// The homeserver's error text.
        message: String,
        /// How long the homeserver asks to wait, if it says so.
        retry_after: Option<Duration>,
    },
    /// The homeserver's answer cannot be parsed. It would answer the same again.
    #[error("homeserver: {call}: the answer lacks what it must hold")]
    Unreadable {
        /// Method and path.
        call: String,
    },
    /// The device that we act as no longer exists; its user has to be provisioned again.
    #[error(
        "homeserver: a device of ours is gone ({cause})\n  Its user gets a new one; what waits for it goes on then."
    )]
    DeviceGone {
        /// The homeserver's error text.
        cause: String,
    },
    /// The SDK failed.
    #[error("matrix-sdk: {0}")]
    Sdk(#[source] matrix_sdk::Error),
    /// An SDK client could not be built, or its store could not be opened.
    #[error(
        "{dir}: the store of {user} cannot be opened ({cause})\n  That virtual user cannot act.\n  Mend: check the disk and the folder's owner; if the files are damaged, delete the folder: everything in it is recovered from the homeserver."
    )]
    UserStore {
        /// The virtual user.
        user: String,
        /// The user's folder.
        dir: String,
        /// The store's error text.
        cause: String,
    },
    /// A file could not be read or written.
    #[error("{path}: {cause}\n  Mend: check the disk's free space and the folder's owner.")]
    File {
        /// The file's path.
        path: String,
        /// The operating system's error.
        cause: std::io::Error,
    },
    /// The client does not know the room, or has not joined it.
    #[error("{user} is not in {room}")]
    NotJoined {
        /// The virtual user.
        user: String,
        /// The room.
        room: String,
    },
    /// The room demands an encryption that we do not know, so nothing may be sent (invariant 9).
    #[error("{room}: asks for an encryption that is not known here; nothing is sent there")]
    OtherEncryption {
        /// The room.
        room: String,
    },
    /// Messages in the room need more power than this user has.
    #[error("{room}: {user} has too little power to say anything")]
    NoPower {
        /// The virtual user.
        user: String,
        /// The room.
        room: String,
    },
    /// A user's device was replaced repeatedly: another program acts as that user.
    #[error(
        "the device of {user} was replaced again and again within an hour\n  Two programs that act as one user delete each other's devices, and what is encrypted for it is lost.\n  Mend: stop the other workmate that uses this registration (a copied folder?), or give each its own."
    )]
    Contested {
        /// The virtual user.
        user: String,
    },
    /// A user's rooms exceed the size of a sync, even without their oversized parts.
    #[error(
        "{user}: its rooms hold more than can be read at once, even without what is too large in them. Mend: remove it from \
         rooms where nobody needs it"
    )]
    TooMuch {
        /// The virtual user.
        user: ruma::OwnedUserId,
    },
    /// The homeserver takes no upload of a file, whatever room it is for.
    #[error("homeserver: it does not take a file ({cause})")]
    NotTaken {
        /// The homeserver's answer.
        cause: String,
    },
    /// An encrypted room's state could not be established, so nothing may be sent (invariant 3).
    #[error("{room}: cannot tell whether the room is encrypted; nothing is sent until that is known")]
    EncryptionUnknown {
        /// The room.
        room: String,
    },
}

impl MatrixError {
    /// Returns whether the same call may succeed later.
    ///
    /// Only a well-formed Matrix error that says so is final. A 401, and anything that answers in the homeserver's
    /// place, is waited out, and nothing is discarded because of it. An unparsable answer is never retried.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::NotMatrix { .. }
            | Self::Token { .. }
            | Self::DeviceGone { .. }
            | Self::Contested { .. }
            | Self::TooMuch { .. }
            | Self::EncryptionUnknown { .. } => true,
            Self::Refused { status, errcode, .. } => refusal_is_passing(*status, errcode),
            Self::Sdk(error) => sdk_is_passing(error) || is_disk_trouble(error),
            Self::UserStore { cause, .. } => says_trouble(cause),
            Self::File { cause, .. } => is_disk_trouble(cause),
            _ => false,
        }
    }

    /// Returns whether an answer exceeded the size limit (`proxy/answer.rs`).
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        match self {
            Self::Refused { status, errcode, .. } => (*status, errcode.as_str()) == (413, "M_TOO_LARGE"),
            Self::Sdk(error) => matches!(error.client_api_error_kind(), Some(ErrorKind::TooLarge)),
            _ => false,
        }
    }

    /// Makes of a failed upload what it says: a refusal is about the file, and not about a room.
    pub(super) fn of_upload(self) -> Self {
        let is_about_us = self.is_passing() || self.is_too_large() || self.is_device_gone();
        match self.answered() {
            Some((status, errcode)) if !is_about_us => Self::NotTaken { cause: format!("HTTP {status} {errcode}") },
            _ => self,
        }
    }

    /// Returns how long the homeserver asks to wait from `now` on (429 `M_LIMIT_EXCEEDED`); `None` if it does not say.
    #[must_use]
    pub fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        match self {
            Self::Refused { status: 429, retry_after, .. } => *retry_after,
            Self::Sdk(error) => asked_pause(error.client_api_error_kind()?, now),
            _ => None,
        }
    }

    /// Returns whether we are not allowed to: the homeserver answered 403 (kicked, banned, muted), or we do not know
    /// the room's encryption.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        match self {
            Self::Refused { status, .. } => *status == 403 && !self.is_passing(),
            Self::NotJoined { .. }
            | Self::OtherEncryption { .. }
            | Self::NoPower { .. }
            | Self::Sdk(matrix_sdk::Error::WrongRoomState(_)) => true,
            Self::Sdk(error) => error.as_client_api_error().is_some_and(|answer| {
                answer.status_code.as_u16() == 403 && matches!(answer.error_kind(), Some(ErrorKind::Forbidden))
            }),
            _ => false,
        }
    }

    /// Returns the status and the `errcode` of a well-formed Matrix error.
    fn answered(&self) -> Option<(u16, String)> {
        match self {
            Self::Refused { status, errcode, .. } => Some((*status, errcode.clone())),
            Self::Sdk(error) => error.as_client_api_error().map(status_and_errcode),
            _ => None,
        }
    }

    /// Returns whether the homeserver refused the call by a well-formed Matrix error that may be mistaken: 403, 404, or
    /// another 4xx that names no cause in the call itself.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.answered().is_some_and(|(status, errcode)| is_doubtful(status, &errcode))
    }

    /// Returns whether a refusal that may be mistaken says nothing about the caller or the subject, unlike 403 and 404.
    #[must_use]
    pub fn is_odd_refusal(&self) -> bool {
        self.answered().is_some_and(|(status, errcode)| !matches!(status, 403 | 404) && is_doubtful(status, &errcode))
    }

    /// Returns whether the homeserver said that what was asked for does not exist (`M_NOT_FOUND`).
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Refused { errcode, .. } => errcode == "M_NOT_FOUND",
            Self::Sdk(error) => matches!(error.client_api_error_kind(), Some(ErrorKind::NotFound)),
            _ => false,
        }
    }

    /// Returns whether the device that we act as no longer exists; its user has to be provisioned again.
    #[must_use]
    pub fn is_device_gone(&self) -> bool {
        matches!(self, Self::DeviceGone { .. })
    }
}

impl From<matrix_sdk::Error> for MatrixError {
    fn from(error: matrix_sdk::Error) -> Self {
        let errcode = error.client_api_error_kind().map(ErrorKind::errcode);
        if errcode.is_some_and(|code| is_unknown_device(code.as_ref())) {
            return Self::DeviceGone { cause: error.to_string() };
        }
        Self::Sdk(error)
    }
}

/// Returns whether a text has the form of an `errcode`: `M_…`, or a namespaced one (spec, "Common error codes").
pub(super) fn is_errcode(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    let named = text.strip_prefix("M_").is_some_and(|name| !name.is_empty()) || text.contains('.');
    named && text.len() <= ERRCODE_BYTES_MAX && text.bytes().all(is_plain)
}

/// Returns whether an `errcode` says that the asserted device does not exist (MSC4326).
pub(super) fn is_unknown_device(errcode: &str) -> bool {
    matches!(errcode, "M_UNKNOWN_DEVICE" | "ORG.MATRIX.MSC4326.M_UNKNOWN_DEVICE")
}

/// Returns whether a Matrix error is temporary: the homeserver is busy, broken or full, or does not know us now.
fn refusal_is_passing(status: u16, errcode: &str) -> bool {
    let of_the_moment = ["M_LIMIT_EXCEEDED", "M_RESOURCE_LIMIT_EXCEEDED", "M_UNKNOWN_TOKEN", "M_MISSING_TOKEN"];
    status >= 500
        || matches!(status, 401 | 408 | 425 | 429)
        || of_the_moment.contains(&errcode)
        || is_unknown_device(errcode)
        || !is_errcode(errcode)
}

/// Returns whether a Matrix error is one that a homeserver in trouble, or a proxy before it, may give for a while to a
/// call that it accepts later. A call that is too large is believed; see `proxy/doubt.rs`.
pub(super) fn is_doubtful(status: u16, errcode: &str) -> bool {
    if refusal_is_passing(status, errcode) {
        return false;
    }
    match status {
        403 | 404 => errcode != NOT_SENT,
        413 => errcode != "M_TOO_LARGE",
        400..500 => !MEANT.contains(&errcode),
        _ => false,
    }
}

fn sdk_is_passing(error: &matrix_sdk::Error) -> bool {
    match error {
        matrix_sdk::Error::Http(http) => http_is_passing(http),
        // A full disk may have space again later.
        matrix_sdk::Error::Io(_) => true,
        matrix_sdk::Error::StateStore(error) => matches!(**error, StoreError::Backend(_)),
        matrix_sdk::Error::CryptoStoreError(error) => {
            matches!(**error, CryptoStoreError::Io(_) | CryptoStoreError::Backend(_))
        }
        _ => false,
    }
}

fn status_and_errcode(answer: &ruma::api::error::Error) -> (u16, String) {
    let errcode = answer.error_kind().map(|kind| kind.errcode().to_string()).unwrap_or_default();
    (answer.status_code.as_u16(), errcode)
}

fn http_is_passing(error: &HttpError) -> bool {
    match error {
        HttpError::Reqwest(_) => true,
        HttpError::Cached(error) => http_is_passing(error),
        HttpError::Api(error) => match &**error {
            FromHttpResponseError::Server(UiaaResponse::MatrixError(answer)) => {
                let (status, errcode) = status_and_errcode(answer);
                refusal_is_passing(status, &errcode)
            }
            // Authentication stages that nobody can complete, or an answer outside the API.
            _ => false,
        },
        _ => false,
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
mod tests;
