//! Shortens the pauses that a homeserver demands (429). The SDK sits out a demanded pause inside of its call, where
//! nothing sees or ends it: a demand of a day, from a proxy in trouble perhaps, would silence a request, a user's sync and
//! all who wait for their places. So the SDK hears of a short pause, and its callers decide about the rest. Our own calls
//! read the whole demand from [`ASKED`].

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderName, HeaderValue, header},
};
use serde_json::Value;

/// The longest pause that is passed on to the SDK, in seconds.
const PASSED_ON_S: u32 = 5;
/// The same in milliseconds.
const PASSED_ON_MS: u32 = PASSED_ON_S * 1000;

/// The header of a shortened refusal with the pause that was demanded, in milliseconds.
pub(in crate::matrix) const ASKED: HeaderName = HeaderName::from_static("x-workmate-retry-after-ms");

/// Shortens the pause in a refusal, in its header and in its body; returns the body.
pub(super) fn shortened(headers: &mut HeaderMap, said: &Value, body: Bytes) -> Bytes {
    headers.remove(ASKED);
    let is_long = |told: f64| told > f64::from(PASSED_ON_MS);
    let in_body = said.get("retry_after_ms").filter(|told| told.as_f64().is_some_and(is_long));
    // In place of seconds there may be a date.
    let in_header = headers.get(header::RETRY_AFTER).map(|told| told.to_str().ok().and_then(|told| told.parse().ok()));
    let in_header = in_header.filter(|told: &Option<u64>| told.is_none_or(|told| told > u64::from(PASSED_ON_S)));
    if in_body.is_none() && in_header.is_none() {
        return body;
    }
    let asked_ms = in_body.and_then(Value::as_u64).or(in_header.flatten().map(|told| told.saturating_mul(1000)));
    if let Some(asked_ms) = asked_ms {
        headers.insert(ASKED, HeaderValue::from(asked_ms));
    }
    if in_header.is_some() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(PASSED_ON_S));
    }
    if in_body.is_none() {
        return body;
    }
    let mut said = said.clone();
    said["retry_after_ms"] = Value::from(PASSED_ON_MS);
    serde_json::to_vec(&said).map_or(body, Bytes::from)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_is_lost_a_demanded_pause_of_days_is_passed_on_as_seconds_and_kept_for_our_own_calls() {
        let day = 86_400_000_u64;
        let table = [
            (json!({ "retry_after_ms": day }), None, (json!(5000), None, Some("86400000"))),
            (json!({ "retry_after_ms": 1e300 }), None, (json!(5000), None, None)),
            (json!({ "retry_after_ms": u64::MAX }), Some("7"), (json!(5000), Some("5"), Some("18446744073709551615"))),
            (json!({ "retry_after_ms": 200 }), Some("1"), (json!(200), Some("1"), None)),
            (json!({ "retry_after_ms": -1 }), None, (json!(-1), None, None)),
            (json!({ "retry_after_ms": "soon" }), None, (json!("soon"), None, None)),
            (json!({}), Some("86400"), (Value::Null, Some("5"), Some("86400000"))),
            (json!({}), Some("Fri, 31 Dec 9999 23:59:59 GMT"), (Value::Null, Some("5"), None)),
            (json!({}), None, (Value::Null, None, None)),
        ];
        for (mut said, header, expected) in table {
            said["errcode"] = json!("M_LIMIT_EXCEEDED");
            let body = Bytes::from(said.to_string());
            let mut headers = HeaderMap::new();
            headers.insert(ASKED, HeaderValue::from_static("1"));
            if let Some(told) = header {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static(told));
            }
            let passed: Value = serde_json::from_slice(&shortened(&mut headers, &said, body)).expect("it is JSON");
            let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
            let (told, kept) = (passed["retry_after_ms"].clone(), text(ASKED));
            assert_eq!((told, text(header::RETRY_AFTER), kept), expected, "{header:?}");
            assert_eq!(passed["errcode"], "M_LIMIT_EXCEEDED");
        }
    }
}
