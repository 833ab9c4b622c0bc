use std::time::Duration;

use serde_json::{Value, json};

use super::super::Turn;
use super::{Bench, request};

/// Returns the tokens of plain input, 5m writes, 1h writes and reads.
async fn usage(bench: &Bench, body: &Value) -> (u64, u64, u64, u64) {
    bench.claude.enqueue(Turn::text("ok"));
    let usage = bench.ask_json(body).await["usage"].clone();
    let count = |value: &Value| value.as_u64().expect("a number of tokens");
    let five = count(&usage["cache_creation"]["ephemeral_5m_input_tokens"]);
    let hour = count(&usage["cache_creation"]["ephemeral_1h_input_tokens"]);
    assert_eq!(count(&usage["cache_creation_input_tokens"]), five + hour);
    (count(&usage["input_tokens"]), five, hour, count(&usage["cache_read_input_tokens"]))
}

/// Returns a transcript of that many long user turns, with an automatic breakpoint.
fn transcript(turns: usize) -> Value {
    let mut messages = Vec::new();
    for index in 0..turns {
        messages.push(json!({ "role": "user", "content": format!("{index} {}", "word ".repeat(200)) }));
        messages.push(json!({ "role": "assistant", "content": "noted" }));
    }
    messages.push(json!({ "role": "user", "content": "and?" }));
    let system = json!([{
        "type": "text", "text": "rule ".repeat(600), "cache_control": { "type": "ephemeral", "ttl": "1h" },
    }]);
    request(&json!({ "system": system, "messages": messages, "cache_control": { "type": "ephemeral" } }))
}

#[tokio::test]
async fn an_append_only_transcript_is_read_and_only_its_tail_written() {
    let bench = Bench::scripted().await;
    let (input, five, hour, read) = usage(&bench, &transcript(1)).await;
    assert!(hour > 512 && five > 0, "the first call writes both breakpoints: {hour} {five}");
    assert_eq!((input, read), (0, 0));
    let (input, five_next, hour_next, read) = usage(&bench, &transcript(2)).await;
    assert_eq!((input, hour_next), (0, 0));
    assert!(five_next > 0 && read >= hour, "the second reads at least the system prompt: {read}");
    let again = usage(&bench, &transcript(2)).await;
    assert_eq!(again, (0, 0, 0, read + five_next), "an equal prompt is read whole");
    assert_eq!(hour + five, read + five_next - tokens_added(&bench).await, "nothing is lost between the calls");
}

/// Returns how many tokens the second transcript adds to the first.
async fn tokens_added(bench: &Bench) -> u64 {
    let mut counts = Vec::new();
    for turns in [1, 2] {
        let mut body = transcript(turns);
        body.as_object_mut().expect("an object").remove("max_tokens");
        let response = bench.post("/v1/messages/count_tokens").json(&body).send().await.expect("an answer");
        let counted: Value = response.json().await.expect("JSON");
        counts.push(counted["input_tokens"].as_u64().expect("a number"));
    }
    counts[1] - counts[0]
}

#[tokio::test]
async fn an_edited_system_prompt_reads_nothing() {
    let bench = Bench::scripted().await;
    usage(&bench, &transcript(1)).await;
    let mut edited = transcript(1);
    edited["system"][0]["text"] = json!("other ".repeat(600));
    let (_, five, hour, read) = usage(&bench, &edited).await;
    assert_eq!(read, 0);
    assert!(five > 0 && hour > 0);
}

#[tokio::test]
async fn entries_die_with_their_lifetime_and_live_on_by_use() {
    let bench = Bench::scripted().await;
    let (_, five, hour, _) = usage(&bench, &transcript(1)).await;
    bench.claude.advance_cache_clock(Duration::from_mins(4));
    assert_eq!(usage(&bench, &transcript(1)).await, (0, 0, 0, hour + five));
    bench.claude.advance_cache_clock(Duration::from_mins(4));
    assert_eq!(usage(&bench, &transcript(1)).await, (0, 0, 0, hour + five), "use renews the five minutes");
    bench.claude.advance_cache_clock(Duration::from_mins(6));
    assert_eq!(usage(&bench, &transcript(1)).await, (0, five, 0, hour), "the hour outlives the five minutes");
    bench.claude.advance_cache_clock(Duration::from_mins(61));
    assert_eq!(usage(&bench, &transcript(1)).await, (0, five, hour, 0));
}

#[tokio::test]
async fn a_prefix_below_the_models_minimum_is_not_cached() {
    let bench = Bench::scripted().await;
    for (model, cached) in [("claude-opus-5-5", true), ("claude-sonnet-5", false)] {
        let text = json!([{ "type": "text", "text": "rule ".repeat(500), "cache_control": { "type": "ephemeral" } }]);
        let body = request(&json!({ "model": model, "system": text }));
        let (_, five, _, _) = usage(&bench, &body).await;
        assert_eq!(five > 0, cached, "{model}");
    }
}

#[tokio::test]
async fn a_breakpoint_looks_back_twenty_blocks() {
    let bench = Bench::scripted().await;
    let blocks = |count: usize| -> Vec<Value> {
        (0..count).map(|index| json!({ "type": "text", "text": format!("{index} {}", "word ".repeat(500)) })).collect()
    };
    let body = |count: usize| {
        request(&json!({
            "messages": [{ "role": "user", "content": blocks(count) }], "cache_control": { "type": "ephemeral" },
        }))
    };
    usage(&bench, &body(1)).await;
    let (_, _, _, near) = usage(&bench, &body(20)).await;
    assert!(near > 0, "the entry 19 blocks back is found");
    bench.claude.advance_cache_clock(Duration::from_mins(6));
    usage(&bench, &body(1)).await;
    let (_, _, _, far) = usage(&bench, &body(22)).await;
    assert_eq!(far, 0, "the entry 21 blocks back is not");
}

#[tokio::test]
async fn a_change_of_tools_or_effort_reads_only_what_is_in_front_of_it() {
    let bench = Bench::scripted().await;
    let (_, _, hour, _) = usage(&bench, &transcript(1)).await;
    let mut effort = transcript(1);
    effort["output_config"] = json!({ "effort": "low" });
    let (_, _, _, read) = usage(&bench, &effort).await;
    assert_eq!(read, hour, "effort keeps the system prompt");
    let mut tools = transcript(1);
    tools["tools"] = json!([super::tool("look")]);
    let (_, _, _, read) = usage(&bench, &tools).await;
    assert_eq!(read, 0, "tools invalidate everything");
}
