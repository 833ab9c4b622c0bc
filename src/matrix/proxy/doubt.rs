//! Refusals that may be mistaken. A reverse proxy, a starting worker or a broken release may, like a homeserver, answer
//! 400, 405 or 413 for a while to calls that we may make. Such a call is repeated a few times before its refusal is
//! passed on; repeating is safe, because a refused call has done nothing. `engine/doubts.rs` handles 403 and 404, and
//! refusals that last longer.

use std::time::Duration;

use axum::{
    body::{Body, Bytes, to_bytes},
    http::{HeaderMap, StatusCode, header},
    response::Response,
};

use super::answer::{Refused, Remark, refuse};
use crate::matrix::error::is_doubtful;

/// Pauses before the repetitions of a call with a doubtful refusal.
pub(super) const PAUSES: [Duration; 3] = [Duration::from_millis(300), Duration::from_secs(1), Duration::from_secs(3)];
/// Most calls repeated at the same time; other refusals are passed on unchanged.
pub(super) const AT_ONCE_MAX: usize = 32;
/// Most bytes of a body that is kept for sending it again.
const HELD_BYTES_MAX: usize = 256 << 10;
/// Bytes below which no homeserver finds a call's body too large.
const SMALL_BYTES: usize = 48 << 10;

/// The body of a call.
pub(super) enum Payload {
    /// All of it, kept for sending it again.
    Held(Bytes),
    /// Too large to keep, so it is sent once; with its size, if stated.
    Once(Option<Body>, Option<usize>),
}

impl Payload {
    /// Takes a body, and reads a small one completely.
    pub(super) async fn of(headers: &mut HeaderMap, body: Body) -> Result<Self, axum::Error> {
        let told = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let is_small = match told {
            Some(length) => length <= HELD_BYTES_MAX,
            None => axum::body::HttpBody::is_end_stream(&body),
        };
        if !is_small {
            return Ok(Self::Once(Some(body), told));
        }
        let held = to_bytes(body, HELD_BYTES_MAX).await?;
        headers.remove(header::CONTENT_LENGTH);
        Ok(Self::Held(held))
    }

    /// Returns whether it can be sent again.
    pub(super) fn is_held(&self) -> bool {
        matches!(self, Self::Held(_))
    }

    /// Returns the body for the next try.
    pub(super) fn take(&mut self) -> reqwest::Body {
        match self {
            Self::Held(bytes) => bytes.clone().into(),
            Self::Once(body, _) => reqwest::Body::wrap_stream(body.take().unwrap_or_default().into_data_stream()),
        }
    }

    /// Returns whether the call has no body.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Held(bytes) if bytes.is_empty())
    }

    fn is_small(&self) -> bool {
        match self {
            Self::Held(bytes) => bytes.len() < SMALL_BYTES,
            Self::Once(_, told) => told.is_some_and(|length| length < SMALL_BYTES),
        }
    }

    /// Judges an answer to the call.
    pub(super) fn verdict(&self, answer: &Response) -> Verdict {
        let status = answer.status();
        let Some(Refused(errcode)) = answer.extensions().get() else {
            // 413 may come from a gateway as well as from a homeserver.
            let is_too_large = Remark::of(answer.headers()) == Some(Remark::Page(413)) && !self.is_small();
            return if is_too_large { Verdict::TooLarge } else { Verdict::Meant };
        };
        let is_doubted = match status.as_u16() {
            403 | 404 => false,
            413 => self.is_small(),
            status => is_doubtful(status, errcode),
        };
        if is_doubted && matches!(self, Self::Held(_)) { Verdict::Doubtful } else { Verdict::Meant }
    }
}

/// The judgement of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Pass it on.
    Meant,
    /// Repeat the call.
    Doubtful,
    /// The call is too large, whoever says so.
    TooLarge,
}

/// Returns a doubtful refusal for passing it on in the end; that a small call is too large is not believed.
pub(super) fn passed_on(answer: Response) -> Response {
    if answer.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return refuse(StatusCode::BAD_REQUEST, "M_UNKNOWN", "a small call was refused as too large");
    }
    answer
}

/// Returns the refusal of a call that is too large.
pub(super) fn too_large() -> Response {
    refuse(StatusCode::PAYLOAD_TOO_LARGE, "M_TOO_LARGE", "what stands before the homeserver finds the call too large")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(bytes: usize) -> Payload {
        Payload::Held(vec![0; bytes].into())
    }

    fn refusal(status: u16, errcode: &str) -> Response {
        let status = StatusCode::from_u16(status).expect("a status");
        let mut answer = refuse(status, errcode, "no");
        answer.extensions_mut().insert(Refused(errcode.to_owned()));
        answer
    }

    #[test]
    fn nothing_is_lost_every_refusal_that_names_no_cause_in_the_call_is_doubted() {
        for status in [400, 402, 405, 406, 409, 410, 411, 412, 413, 414, 415, 418, 421, 422, 423, 428, 431, 451] {
            for errcode in ["M_UNKNOWN", "M_BAD_JSON", "M_INVALID_PARAM", "M_FORBIDDEN", "ORG.EXAMPLE.ODD"] {
                let answer = refusal(status, errcode);
                assert_eq!(held(100).verdict(&answer), Verdict::Doubtful, "{status} {errcode}");
                let file = Payload::Once(None, Some(9 << 20));
                assert_eq!(file.verdict(&answer), Verdict::Meant, "what is not kept is not sent again: {status}");
            }
        }
    }

    #[test]
    fn what_is_meant_is_passed_on_at_once() {
        for (status, errcode) in [
            // Their meaning is checked by code that knows the context.
            (403, "M_FORBIDDEN"),
            (404, "M_NOT_FOUND"),
            (404, "M_UNRECOGNIZED"),
            // They are temporary, or waited for elsewhere.
            (401, "M_UNKNOWN_TOKEN"),
            (429, "M_LIMIT_EXCEEDED"),
            (400, "M_UNKNOWN_DEVICE"),
            (503, "M_UNKNOWN"),
            // They name a cause in the call.
            (400, "M_USER_IN_USE"),
            (400, "M_ROOM_IN_USE"),
            (400, "M_EXCLUSIVE"),
            (400, "M_DUPLICATE_ANNOTATION"),
            (405, "M_UNRECOGNIZED"),
            (400, "M_UNSUPPORTED_ROOM_VERSION"),
            (400, "IO.WORKMATE.NOT_SENT"),
        ] {
            assert_eq!(held(100).verdict(&refusal(status, errcode)), Verdict::Meant, "{status} {errcode}");
        }
        assert_eq!(held(100).verdict(&refuse(StatusCode::BAD_REQUEST, "M_UNKNOWN", "ours")), Verdict::Meant);
    }

    #[test]
    fn a_call_is_too_large_only_where_it_is_large_whoever_says_so() {
        let page = || Remark::Page(413).answer("");
        for (payload, of_json, of_a_page) in [
            (held(100), Verdict::Doubtful, Verdict::Meant),
            (held(64 << 10), Verdict::Meant, Verdict::TooLarge),
            (Payload::Once(None, Some(3 << 20)), Verdict::Meant, Verdict::TooLarge),
            (Payload::Once(None, None), Verdict::Meant, Verdict::TooLarge),
        ] {
            assert_eq!(payload.verdict(&refusal(413, "M_TOO_LARGE")), of_json);
            assert_eq!(payload.verdict(&page()), of_a_page);
        }
        assert_eq!(passed_on(refusal(413, "M_TOO_LARGE")).status(), StatusCode::BAD_REQUEST);
        assert_eq!(passed_on(refusal(409, "M_UNKNOWN")).status(), StatusCode::CONFLICT);
    }
}
