//! What every call passes before it reaches a page, and what every answer carries.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    extract::{Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
        header::{
            CONTENT_SECURITY_POLICY, COOKIE, HOST, ORIGIN, REFERRER_POLICY, RETRY_AFTER, STRICT_TRANSPORT_SECURITY,
            X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
        },
    },
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{Shared, pages, told};
use crate::{
    clock,
    core::{connection::pace::Pace, time::Timestamp},
};

/// Calls of one session in a minute; a page makes one, and one more for each change that it follows.
const SESSION_CALLS_PER_MINUTE_MAX: usize = 300;
/// Calls without a session in a minute, of everybody together.
const STRANGERS_CALLS_PER_MINUTE_MAX: usize = 240;
/// Sessions whose calls are counted at most; then those that have been idle for a minute are forgotten.
const PACES_MAX: usize = 256;
/// The length of the longest cookie that is looked at, in bytes.
const COOKIE_BYTES_MAX: usize = 256;

/// Nothing is loaded but from here, nothing is in a frame, nothing stands in a page that could be run.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// How fast sessions and strangers call.
#[derive(Default)]
pub(super) struct Guard(Mutex<Paces>);

#[derive(Default)]
struct Paces {
    sessions: BTreeMap<String, Pace>,
    strangers: Pace,
}

impl Guard {
    /// Counts a call; returns after how many seconds another may come, if it was one too many.
    fn count(&self, session: Option<&str>, now: Timestamp) -> Option<u64> {
        let mut paces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(session) = session else {
            return paces.strangers.count(now, STRANGERS_CALLS_PER_MINUTE_MAX).err();
        };
        if paces.sessions.len() >= PACES_MAX {
            paces.sessions.retain(|_, pace| !pace.is_idle(now));
        }
        let pace = paces.sessions.entry(session.to_owned()).or_default();
        pace.count(now, SESSION_CALLS_PER_MINUTE_MAX).err()
    }
}

/// Judges a call, and puts what browsers have to keep to on its answer.
pub(super) async fn watch(State(console): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let mut response = match refused(&console, &request) {
        Some(refused) => refused,
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("x-robots-tag"), "noindex, nofollow"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if console.is_secure() {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    response
}

fn refused(console: &Shared, request: &Request) -> Option<Response> {
    let headers = request.headers();
    let target = request.uri().authority().map(axum::http::uri::Authority::as_str);
    let host = one(headers, &HOST).or(target);
    if !console.reached.is_for_us(host) || (target.is_some() && !console.reached.is_for_us(target)) {
        return Some(told(console, StatusCode::MISDIRECTED_REQUEST, pages::Told::OtherHost));
    }
    let session = console.admitted(headers).map(|admitted| admitted.session);
    if !is_at_the_door(console, request)
        && let Some(after_s) = console.guard.count(session.as_deref(), clock::now())
    {
        let slow = told(console, StatusCode::TOO_MANY_REQUESTS, pages::Told::TooFast);
        return Some(([(RETRY_AFTER, after_s.to_string())], slow).into_response());
    }
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let is_own = is_read || is_from_our_page(console, headers);
    (!is_own).then(|| told(console, StatusCode::FORBIDDEN, pages::Told::Foreign))
}

/// Returns whether a call is about a link that is open, or hands one in. Such calls are not slowed down, so that a flood from
/// elsewhere keeps no admin out; each costs no more than a hash.
fn is_at_the_door(console: &Shared, request: &Request) -> bool {
    let path = request.uri().path();
    let is_handed_in = *request.method() == Method::POST && path.ends_with("/in");
    is_handed_in || path.rsplit('/').next().is_some_and(|token| console.door.knows_link(token))
}

/// Returns whether a form was sent from a page of ours. With `no-referrer` browsers send `Origin: null` with our own forms
/// too (Fetch, "append a request `Origin` header"); `Sec-Fetch-Site` then tells them from others, and no page can set it.
fn is_from_our_page(console: &Shared, headers: &HeaderMap) -> bool {
    let site = one(headers, &HeaderName::from_static("sec-fetch-site"));
    match one(headers, &ORIGIN) {
        None | Some("null") => site == Some("same-origin"),
        origin => console.reached.may_come_from(origin) && site.is_none_or(|site| site == "same-origin"),
    }
}

/// Returns a header's value; `?` where there are several, or it is no text.
fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().map(|value| value.to_str().unwrap_or("?"));
    if values.next().is_some() { Some("?") } else { value }
}

/// Returns a cookie's value, unless it comes twice.
pub(super) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut found = pairs.filter(|(found, _)| *found == name).map(|(_, value)| value);
    let value = found.next().filter(|value| value.len() <= COOKIE_BYTES_MAX);
    if found.next().is_some() { None } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn console_a_cookie_is_found_among_others_and_never_guessed_between_two() {
        let with = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(COOKIE, HeaderValue::from_static(line));
            }
            cookie(&headers, "workmate").map(ToOwned::to_owned)
        };
        assert_eq!(with(&["a=b; workmate=x"]).as_deref(), Some("x"));
        assert_eq!(with(&["a=b", "workmate=x"]).as_deref(), Some("x"));
        for odd in
            [&["workmate=x; workmate=y"][..], &["workmate=x", "workmate=y"], &["xworkmate=x"], &["workmate"], &[]]
        {
            assert_eq!(with(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn console_strangers_cannot_use_up_a_session_s_calls() {
        let (guard, now) = (Guard::default(), Timestamp::from_ms(1_795_971_909_000));
        for _ in 0..STRANGERS_CALLS_PER_MINUTE_MAX {
            assert_eq!(guard.count(None, now), None);
        }
        assert_eq!((guard.count(None, now), guard.count(Some("a"), now)), (Some(60), None));
        for _ in 1..SESSION_CALLS_PER_MINUTE_MAX {
            assert_eq!(guard.count(Some("a"), now), None);
        }
        assert_eq!((guard.count(Some("a"), now), guard.count(Some("b"), now)), (Some(60), None));
        assert_eq!(guard.count(None, now.later(60_000)), None);
    }
}
