use std::time::Duration;

use serde_json::{Value, json};

use super::super::{Failure, Fault, Turn};
use super::{Bench, request};

fn streamed() -> Value {
    request(&json!({ "stream": true }))
}

#[tokio::test]
async fn every_status_comes_with_its_type_and_headers() {
    let bench = Bench::scripted().await;
    let table = [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (408, "invalid_request_error"),
        (409, "conflict_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (503, "api_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ];
    for (status, kind) in table {
        let failure = Failure::status(status).retry_after("2").retry_after_ms(1500).should_retry(false);
        bench.claude.enqueue(Turn::failure(failure));
        let response = bench.ask(&streamed()).await;
        assert_eq!(response.status(), status);
        let header = |name: &str| response.headers()[name].to_str().expect("ASCII").to_owned();
        let seen = [header("retry-after"), header("retry-after-ms"), header("x-should-retry")];
        assert_eq!(seen, ["2", "1500", "false"]);
        let body: Value = response.json().await.expect("JSON");
        assert_eq!(body["error"]["type"], kind, "{status}");
    }
}

#[tokio::test]
async fn a_spend_cap_names_its_code_and_a_proxy_answers_html() {
    let bench = Bench::scripted().await;
    bench.claude.enqueue(Turn::failure(Failure::status(429).error_code("enforced_spend_limit_reached")));
    bench.claude.enqueue(Turn::failure(Failure::status(502).html()));
    let capped = bench.ask_json(&streamed()).await;
    assert_eq!(capped["error"]["details"]["error_code"], "enforced_spend_limit_reached");
    let proxy = bench.ask(&streamed()).await;
    assert_eq!(
        (proxy.status().as_u16(), &proxy.headers()["content-type"]),
        (502, &"text/html".parse().expect("ASCII"))
    );
}

/// Streams a short answer with a fault; returns what was read, and whether the end was clean.
async fn read(fault: Fault) -> (String, bool) {
    let bench = Bench::scripted().await;
    bench.claude.enqueue(Turn::text("one two").word_by_word().fault(fault));
    let mut response = bench.ask(&streamed()).await;
    let mut seen = String::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => seen.push_str(&String::from_utf8_lossy(&chunk)),
            Ok(None) => return (seen, true),
            Err(_) => return (seen, false),
        }
    }
}

#[tokio::test]
async fn a_stream_ends_without_stop_is_dropped_or_fails_in_the_middle() {
    let (ended, clean) = read(Fault::EndAfter(3)).await;
    assert!(clean && ended.contains("one ") && !ended.contains("two"), "{ended}");
    let (dropped, clean) = read(Fault::DropAfter(3)).await;
    assert!(!clean && dropped.contains("one ") && !dropped.contains("two"), "{dropped}");
    let (failed, clean) = read(Fault::ErrorAfter(3, "overloaded_error")).await;
    assert!(clean && failed.contains("event: error") && failed.contains("overloaded_error"), "{failed}");
    assert!(!failed.contains("two"), "{failed}");
}

#[tokio::test]
async fn strange_events_come_between_the_right_ones() {
    for (fault, strange) in [
        (Fault::MalformedAfter(2), "\"index\":0,\n\n"),
        (Fault::UnknownEventAfter(2), "event: weather_report"),
        (Fault::UnknownDeltaAfter(2), "aroma_delta"),
    ] {
        let (seen, clean) = read(fault).await;
        assert!(clean && seen.contains(strange) && seen.contains("message_stop"), "{seen}");
    }
    let interval = Duration::from_millis(1);
    let (seen, _) = read(Fault::PingsAfter { events: 2, count: 5, interval }).await;
    assert_eq!(seen.matches("event: ping").count(), 6);
}

#[tokio::test]
async fn a_stalled_stream_stays_open_until_the_client_leaves() {
    let bench = Bench::scripted().await;
    bench.claude.enqueue(Turn::text("one two").fault(Fault::StallAfter(2)));
    let mut response = bench.ask(&streamed()).await;
    while let Some(chunk) = response.chunk().await.expect("no error") {
        if String::from_utf8_lossy(&chunk).contains("ping") {
            break;
        }
    }
    drop(response);
    let stalled = bench.claude.wait_for_request(|request| request.disconnected).await.expect("it was noticed");
    assert!(!stalled.finished);
}

#[tokio::test]
async fn bytes_are_split_inside_characters_and_line_ends() {
    let bench = Bench::scripted().await;
    bench.claude.enqueue(Turn::text("Grüße 🦀").crlf().padding(3).chunk_bytes(1));
    let mut response = bench.ask(&streamed()).await;
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.expect("no error") {
        bytes.extend_from_slice(&chunk);
    }
    let text = String::from_utf8(bytes).expect("whole at the end");
    assert!(text.contains("Grüße 🦀") && text.ends_with("\"message_stop\"}   \r\n\r\n"), "{text}");
}

#[tokio::test]
async fn without_streaming_a_drop_cuts_the_body_and_an_error_is_the_status() {
    let bench = Bench::scripted().await;
    bench.claude.enqueue(Turn::text("one two").fault(Fault::DropAfter(0)));
    bench.ask(&request(&json!({}))).await.text().await.expect_err("the body is cut");
    bench.claude.enqueue(Turn::text("one").fault(Fault::ErrorAfter(0, "overloaded_error")));
    let failed = bench.ask_json(&request(&json!({}))).await;
    assert_eq!(failed["error"]["type"], "overloaded_error");
}
