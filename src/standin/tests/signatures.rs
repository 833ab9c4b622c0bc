use serde_json::{Value, json};

use super::super::Turn;
use super::{Bench, request, tool};

/// Plays the first step of a tool loop and returns the request of its second step.
async fn second_step(bench: &Bench, model: &str) -> Value {
    let first = request(&json!({ "model": model, "tools": [tool("look")], "system": "Be kind." }));
    bench.claude.enqueue(Turn::empty().and_thinking("").and_text("Let me look.").and_tool_use("look", json!({})));
    let answer = bench.ask_json(&first).await;
    let id = answer["content"][2]["id"].clone();
    let mut next = first;
    let result = json!([{ "type": "tool_result", "tool_use_id": id, "content": "green" }]);
    let messages = next["messages"].as_array_mut().expect("a list");
    messages.push(json!({ "role": "assistant", "content": answer["content"] }));
    messages.push(json!({ "role": "user", "content": result }));
    next
}

async fn problem(bench: &Bench, body: &Value) -> String {
    let answer = bench.ask_json(body).await;
    assert_eq!(answer["error"]["type"], "invalid_request_error", "{answer}");
    answer["error"]["message"].as_str().expect("a message").to_owned()
}

#[tokio::test]
async fn thinking_that_is_sent_back_unchanged_is_taken() {
    let bench = Bench::scripted().await;
    let next = second_step(&bench, "claude-opus-5-5").await;
    bench.claude.enqueue(Turn::text("It is green."));
    let answer = bench.ask_json(&next).await;
    assert_eq!(answer["stop_reason"], "end_turn");
}

#[tokio::test]
async fn thinking_under_a_changed_prefix_is_refused_and_may_then_be_stripped() {
    let bench = Bench::scripted().await;
    let mut next = second_step(&bench, "claude-opus-5-5").await;
    next["system"] = json!("Be kind. Today is Sunday.");
    let refused = problem(&bench, &next).await;
    assert_eq!(
        refused,
        "messages.1.content.0: Invalid `signature` in `thinking` block. The block is bound to a different conversation"
    );
    next["messages"][1]["content"].as_array_mut().expect("a list").remove(0);
    bench.claude.enqueue(Turn::text("It is green."));
    assert_eq!(bench.ask_json(&next).await["stop_reason"], "end_turn");
}

#[tokio::test]
async fn older_models_bind_thinking_to_its_text_alone() {
    let bench = Bench::scripted().await;
    let mut next = second_step(&bench, "claude-opus-5").await;
    next["system"] = json!("Be kind. Today is Sunday.");
    bench.claude.enqueue(Turn::text("It is green."));
    assert_eq!(bench.ask_json(&next).await["stop_reason"], "end_turn");
}

#[tokio::test]
async fn thinking_dropped_or_altered_inside_a_tool_loop_is_refused() {
    let bench = Bench::scripted().await;
    let mut dropped = second_step(&bench, "claude-opus-5-5").await;
    let mut altered = dropped.clone();
    dropped["messages"][1]["content"].as_array_mut().expect("a list").remove(0);
    assert!(problem(&bench, &dropped).await.contains("cannot be modified"));
    altered["messages"][1]["content"][0]["thinking"] = json!("I thought otherwise.");
    assert!(problem(&bench, &altered).await.contains("cannot be modified"));
}

#[tokio::test]
async fn a_foreign_signature_is_refused() {
    let bench = Bench::scripted().await;
    let thinking = json!({ "type": "thinking", "thinking": "hm", "signature": "bm90IG91cnM=" });
    let messages = json!([
        { "role": "user", "content": "a" },
        { "role": "assistant", "content": [thinking, { "type": "text", "text": "b" }] },
        { "role": "user", "content": "c" },
    ]);
    let refused = problem(&bench, &request(&json!({ "messages": messages }))).await;
    assert_eq!(refused, "messages.1.content.0: Invalid `signature` in `thinking` block");
}
