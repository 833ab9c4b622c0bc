use serde_json::{Value, json};

use super::super::{Error, Matcher, Turn};
use super::{Bench, events, request};

fn streamed() -> Value {
    request(&json!({ "stream": true }))
}

#[tokio::test]
async fn a_streamed_text_has_every_event_in_order() {
    let bench = Bench::scripted().await;
    bench.claude.enqueue(Turn::text("Grüße, Welt").delta_chars(6));
    let response = bench.ask(&streamed()).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
    assert!(response.headers().contains_key("anthropic-ratelimit-input-tokens-remaining"));
    let events = events(&response.text().await.expect("a stream"));
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "message_start",
            "content_block_start",
            "ping",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop"
        ]
    );
    assert!(events.iter().all(|(name, data)| data["type"] == name.as_str()));
    assert_eq!(events[3].1["delta"], json!({ "type": "text_delta", "text": "Grüße," }));
    assert_eq!(events[6].1["delta"]["stop_reason"], "end_turn");
    bench.claude.finish().expect("the script was used");
}

#[tokio::test]
async fn a_turn_of_many_blocks_is_the_same_streamed_and_whole() {
    let bench = Bench::scripted().await;
    let turn = Turn::empty()
        .and_thinking("")
        .and_text("Looking.")
        .and_tool_use_with_id("toolu_a", "look", json!({ "where": "Köln" }))
        .and_tool_use_with_id("toolu_b", "look", json!({}))
        .and_web_search("srvtoolu_a", "weather", "Weather", "https://example.org/");
    bench.claude.enqueue(turn.clone());
    bench.claude.enqueue(turn);
    let whole = bench.ask_json(&request(&json!({}))).await;
    let stream = bench.ask(&streamed()).await.text().await.expect("a stream");
    let mut content: Vec<Value> = Vec::new();
    let mut parts = String::new();
    for (_, data) in events(&stream) {
        let delta = &data["delta"];
        match data["type"].as_str().expect("a type") {
            "content_block_start" => content.push(data["content_block"].clone()),
            "content_block_delta" => {
                let block = content.last_mut().expect("a delta follows a start");
                if let Some(text) = delta["text"].as_str() {
                    block["text"] = json!(format!("{}{text}", block["text"].as_str().expect("text")));
                } else if let Some(part) = delta["partial_json"].as_str() {
                    parts.push_str(part);
                } else if delta["signature"].is_string() {
                    block["signature"] = delta["signature"].clone();
                }
            }
            "content_block_stop" if !parts.is_empty() => {
                content.last_mut().expect("a block")["input"] = serde_json::from_str(&parts).expect("JSON");
                parts.clear();
            }
            _ => {}
        }
    }
    assert_eq!(json!(content), whole["content"]);
    assert_eq!(whole["stop_reason"], "tool_use");
    assert_eq!(whole["usage"]["server_tool_use"]["web_search_requests"], 1);
}

#[tokio::test]
async fn every_stop_reason_can_be_scripted() {
    let bench = Bench::scripted().await;
    let reasons = ["end_turn", "tool_use", "max_tokens", "pause_turn", "model_context_window_exceeded", "novel_reason"];
    for reason in reasons {
        bench.claude.enqueue(Turn::text("x").stop_reason(reason));
        assert_eq!(bench.ask_json(&request(&json!({}))).await["stop_reason"], reason);
    }
    bench.claude.enqueue(Turn::text("x").stop_sequence("END"));
    let stopped = bench.ask_json(&request(&json!({}))).await;
    assert_eq!((&stopped["stop_reason"], &stopped["stop_sequence"]), (&json!("stop_sequence"), &json!("END")));
    bench.claude.enqueue(Turn::refusal(Some("cyber"), "no"));
    let refused = bench.ask_json(&request(&json!({}))).await;
    assert_eq!(refused["stop_details"], json!({ "type": "refusal", "category": "cyber", "explanation": "no" }));
    assert_eq!(refused["content"], json!([]));
}

#[tokio::test]
async fn a_paused_turn_is_taken_back_unchanged() {
    let bench = Bench::scripted().await;
    let paused = Turn::empty().and_server_tool_use("srvtoolu_a", "web_search", &json!({ "query": "x" }));
    bench.claude.enqueue(paused.stop_reason("pause_turn"));
    bench.claude.enqueue(Turn::text("Found."));
    let first = bench.ask_json(&request(&json!({}))).await;
    let messages =
        json!([{ "role": "user", "content": "status?" }, { "role": "assistant", "content": first["content"] }]);
    assert_eq!(bench.ask_json(&request(&json!({ "messages": messages }))).await["stop_reason"], "end_turn");
}

#[tokio::test]
async fn an_unknown_block_that_was_given_out_is_taken_back() {
    let bench = Bench::scripted().await;
    bench.claude.enqueue(Turn::empty().and_block(json!({ "type": "hologram", "light": 7 })).and_text("See?"));
    bench.claude.enqueue(Turn::text("Yes."));
    let first = bench.ask_json(&request(&json!({}))).await;
    let messages = json!([
        { "role": "user", "content": "status?" },
        { "role": "assistant", "content": first["content"] },
        { "role": "user", "content": "again" },
    ]);
    assert_eq!(bench.ask_json(&request(&json!({ "messages": messages }))).await["stop_reason"], "end_turn");
}

#[tokio::test]
async fn matchers_let_parallel_tests_share_a_stand_in() {
    let bench = Bench::scripted().await;
    bench.claude.on(Matcher::user("apples"), Turn::text("fruit"));
    bench.claude.on(Matcher::system("You are ci").and(Matcher::user("build")), Turn::text("green"));
    let ask = |changes: Value| {
        let bench = &bench;
        async move { bench.ask_json(&request(&changes)).await["content"][0]["text"].clone() }
    };
    let build = json!({ "system": "You are ci.", "messages": [{ "role": "user", "content": "build?" }] });
    let apples = json!({ "messages": [{ "role": "user", "content": [{ "type": "text", "text": "apples?" }] }] });
    assert_eq!((ask(build).await, ask(apples).await), (json!("green"), json!("fruit")));
    bench.claude.finish().expect("both were used");
}

#[tokio::test]
async fn a_request_without_a_script_is_loud_and_reported() {
    let bench = Bench::scripted().await;
    let response = bench.ask(&request(&json!({}))).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["x-should-retry"]),
        (500, &"false".parse().expect("ASCII"))
    );
    let body: Value = response.json().await.expect("JSON");
    assert!(body["error"]["message"].as_str().expect("text").contains("no script for this request"), "{body}");
    bench.claude.on(Matcher::user("never"), Turn::empty());
    bench.claude.enqueue(Turn::empty());
    let Err(Error::Unfinished(lines)) = bench.claude.finish() else { panic!("leftovers are reported") };
    assert_eq!(lines.len(), 3, "{lines:?}");
}

#[tokio::test]
async fn a_gate_holds_the_stream_until_it_is_released() {
    let bench = Bench::scripted().await;
    let (turn, gate) = Turn::text("one two three").word_by_word().gate_after(2);
    bench.claude.enqueue(turn);
    let mut response = bench.ask(&streamed()).await;
    gate.reached().await;
    let mut seen = String::new();
    while !seen.contains("two ") {
        let chunk = response.chunk().await.expect("no error").expect("not the end");
        seen.push_str(std::str::from_utf8(&chunk).expect("whole frames"));
    }
    assert!(!seen.contains("three"), "{seen}");
    gate.release();
    let rest = response.text().await.expect("the rest");
    assert!(rest.contains("three") && rest.contains("message_stop"), "{rest}");
}

#[tokio::test]
async fn a_client_that_goes_away_is_noticed() {
    let bench = Bench::scripted().await;
    let (in_body, body_gate) = Turn::text("one two").word_by_word().gate_after(1);
    bench.claude.enqueue(in_body);
    let response = bench.ask(&streamed()).await;
    body_gate.reached().await;
    drop(response);
    bench.claude.wait_for_request(|request| request.disconnected).await.expect("noticed in the body");

    let (held, headers_gate) = Turn::text("x").hold_headers();
    bench.claude.enqueue(held);
    let asked = bench.post("/v1/messages").json(&streamed()).send();
    tokio::select! {
        _ = asked => panic!("the headers are held"),
        () = headers_gate.reached() => {}
    }
    let gone = bench.claude.requests()[1].id.clone();
    bench.claude.wait_for_request(|request| request.id == gone && request.disconnected).await.expect("and before it");
}

#[tokio::test]
async fn the_journal_keeps_requests_with_their_outcome() {
    let bench = Bench::scripted().await;
    bench.claude.respond_with(|request| Turn::text(format!("you said {}", request.last_user_text())));
    let answer = bench.ask_json(&request(&json!({}))).await;
    assert_eq!(answer["content"][0]["text"], "you said status?");
    let seen = bench.claude.wait_for_request(|request| request.finished).await.expect("it is there");
    assert_eq!((seen.route.as_str(), seen.status, seen.disconnected), ("POST /v1/messages", Some(200), false));
    assert_eq!(seen.body, request(&json!({})));
    assert!(seen.headers["x-api-key"].starts_with("sha256:"));
}

#[tokio::test]
async fn models_are_listed_by_pages_and_found_by_id() {
    let bench = Bench::scripted().await;
    let get = |path: &'static str| {
        let url = bench.claude.base_url().join(path).expect("a path joins");
        let asked = bench.http.get(url).header("x-api-key", "k").header("anthropic-version", "2026-10-21");
        async move { asked.send().await.expect("an answer") }
    };
    let page: Value = get("/v1/models?limit=2&after_id=claude-haiku-5-5").await.json().await.expect("JSON");
    assert_eq!((&page["first_id"], &page["last_id"]), (&json!("claude-sonnet-5-5"), &json!("claude-fable-5-1")));
    assert_eq!(page["has_more"], true);
    let one: Value = get("/v1/models/claude-opus-5-5").await.json().await.expect("JSON");
    assert_eq!((&one["max_tokens"], &one["lifecycle"]), (&json!(128_000), &json!("active")));
    assert_eq!(get("/v1/models/claude-opus-9").await.status(), 404);
}

#[tokio::test]
async fn a_pre_warming_request_writes_the_cache_and_says_nothing() {
    let bench = Bench::scripted().await;
    let system = json!([{ "type": "text", "text": "rule ".repeat(600), "cache_control": { "type": "ephemeral" } }]);
    let answer = bench.ask_json(&request(&json!({ "max_tokens": 0, "system": system }))).await;
    assert_eq!(answer["content"], json!([]));
    assert!(answer["usage"]["cache_creation_input_tokens"].as_u64().expect("a number") > 512);
}

#[tokio::test]
async fn shutting_down_ends_what_is_held() {
    let bench = Bench::scripted().await;
    let (turn, gate) = Turn::text("never said").gate_after(0);
    bench.claude.enqueue(turn);
    let response = bench.ask(&streamed()).await;
    gate.reached().await;
    bench.claude.shutdown().await;
    response.text().await.expect_err("the stream was cut");
}
