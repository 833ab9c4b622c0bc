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
fn only_a_well_formed_matrix_error_that_says_so_is_final() {
    let [call, message] = ["GET /sync", "no"].map(str::to_owned);
    let of = |status, errcode: &str| {
        let errcode = errcode.to_owned();
        MatrixError::Refused { call: call.clone(), status, errcode, message: message.clone(), retry_after: None }
    };
    for (status, errcode, passing) in [
        (403, "M_FORBIDDEN", false),
        (404, "M_NOT_FOUND", false),
        (400, "M_INVALID_PARAM", false),
        (404, "M_UNRECOGNIZED", false),
        (413, "M_TOO_LARGE", false),
        (400, "ORG.EXAMPLE.ODD", false),
        (404, "", true),
        (403, "Forbidden", true),
        (404, "not found", true),
        (400, "M_", true),
        (401, "M_UNKNOWN_TOKEN", true),
        (401, "M_MISSING_TOKEN", true),
        (403, "M_UNKNOWN_TOKEN", true),
        (408, "M_UNKNOWN", true),
        (425, "M_UNKNOWN", true),
        (429, "M_LIMIT_EXCEEDED", true),
        (400, "M_LIMIT_EXCEEDED", true),
        (403, "M_RESOURCE_LIMIT_EXCEEDED", true),
        (400, "M_UNKNOWN_DEVICE", true),
        (500, "M_UNKNOWN", true),
        (502, "M_FORBIDDEN", true),
    ] {
        let error = of(status, errcode);
        assert_eq!(error.is_passing(), passing, "{status} {errcode}");
        assert_eq!(error.is_forbidden(), errcode == "M_FORBIDDEN" && status == 403, "{status} {errcode}");
        let is_doubted = !passing && !matches!(status, 413);
        assert_eq!(error.is_refusal(), is_doubted, "{status} {errcode}");
        assert_eq!(error.is_odd_refusal(), is_doubted && status == 400, "{status} {errcode}");
    }
    let url = "http://hs".to_owned();
    for status in [200, 302, 401, 403, 404, 502] {
        let page = MatrixError::NotMatrix { url: url.clone(), status, call: call.clone() };
        assert!(page.is_passing() && !page.is_forbidden() && !page.is_not_found(), "{status}");
    }
    assert!(MatrixError::Token { url }.is_passing());
    assert!(!MatrixError::Unreadable { call }.is_passing());
}

#[test]
fn nothing_is_lost_any_refusal_is_doubted_but_one_that_names_a_cause_in_the_call() {
    let of = |status, errcode: &str| {
        let [call, errcode, message] = ["PUT /send", errcode, "no"].map(str::to_owned);
        MatrixError::Refused { call, status, errcode, message, retry_after: None }
    };
    for status in [400, 402, 403, 404, 405, 406, 409, 410, 411, 412, 414, 415, 418, 421, 422, 431, 451] {
        for errcode in ["M_UNKNOWN", "M_BAD_JSON", "M_INVALID_PARAM", "M_FORBIDDEN"] {
            assert!(of(status, errcode).is_refusal(), "{status} {errcode}");
        }
        assert_eq!(of(status, "M_ROOM_IN_USE").is_refusal(), matches!(status, 403 | 404), "{status}");
        assert!(!of(status, NOT_SENT).is_refusal(), "{status}");
    }
    // Temporary errors are waited for and not doubted, and an answer of the wrong kind is neither.
    for status in [200, 301, 401, 408, 425, 429, 500, 503] {
        assert!(!of(status, "M_UNKNOWN").is_refusal(), "{status}");
    }
    assert!(!of(413, "M_TOO_LARGE").is_refusal() && of(413, "M_UNKNOWN").is_refusal());
}

#[test]
fn what_the_sdk_was_answered_is_told_apart_as_our_own_calls_are() {
    use ruma::api::{EndpointError as _, error::Error};
    let answered = |status: u16, body: &str| -> MatrixError {
        let response = http_response(status, body);
        let error = UiaaResponse::MatrixError(Error::from_http_response(response));
        matrix_sdk::Error::from(HttpError::from(FromHttpResponseError::Server(error))).into()
    };
    let gone = answered(400, r#"{"errcode":"M_UNKNOWN_DEVICE","error":"no such device"}"#);
    assert!(matches!(gone, MatrixError::DeviceGone { .. }) && gone.is_passing(), "{gone}");
    let token = answered(401, r#"{"errcode":"M_UNKNOWN_TOKEN","error":"who?"}"#);
    assert!(token.is_passing(), "{token}");
    for (status, body, passing) in [
        (403, r#"{"errcode":"M_FORBIDDEN","error":"no"}"#, false),
        (404, r#"{"errcode":"M_NOT_FOUND","error":"no"}"#, false),
        (404, r#"{"error":"no"}"#, true),
        (403, "<html>", true),
        (404, "", true),
        (503, r#"{"errcode":"M_UNKNOWN","error":"busy"}"#, true),
    ] {
        let error = answered(status, body);
        assert_eq!(error.is_passing(), passing, "{status} {body}");
        assert_eq!((error.is_forbidden(), error.is_not_found()), (body.contains("FORB"), body.contains("M_NOT")));
        assert_eq!(error.is_refusal(), !passing, "{status} {body}");
    }
}

fn http_response(status: u16, body: &str) -> axum::http::Response<Vec<u8>> {
    let response = axum::http::Response::builder().status(status);
    response.body(body.as_bytes().to_vec()).expect("a response")
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
