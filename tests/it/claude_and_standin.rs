//! Our client against the strict stand-in: two independent readings of the same API.

use workmate::claude::{Client, ClientConfig, Delta, Effort, Looked, Request, StopReason};
use workmate::core::prompt::{Prompt, Role, Round, Turn as Said};
use workmate::secret::Secret;
use workmate::standin::{Failure, Fault, Options, StandIn, Turn};

async fn scripted() -> (StandIn, Client) {
    let claude = StandIn::start(Options::scripted()).await.expect("loopback is there");
    let config = ClientConfig::new(claude.base_url(), Some(Secret::new("sk-ant-interop")));
    let client = Client::new(config).expect("a loopback URL and a plain key are usable");
    (claude, client)
}

/// Returns a prompt of that many exchanges and a question, laid out as `core` does.
fn prompt(exchanges: usize) -> Prompt {
    let mut turns = Vec::new();
    for index in 0..exchanges {
        turns.push(said(index));
        turns.push(Said::new(Role::Assistant, "Noted."));
    }
    turns.push(said(exchanges));
    Prompt { system: vec!["rule ".repeat(600), "fact ".repeat(600)], turns, ..Prompt::default() }
}

fn said(index: usize) -> Said {
    Said::new(Role::User, format!("{index} {}", "said ".repeat(300)))
}

fn request(exchanges: usize) -> Request {
    Request::from_prompt(&prompt(exchanges), "claude-opus-5-5", Some(Effort::Medium), 4096, Some("h_5f0c"))
}

#[tokio::test]
async fn a_split_and_padded_stream_is_read_whole_and_what_is_unknown_passed_over() {
    let (claude, client) = scripted().await;
    let said = "Grüße, Welt 🦀. Zweiter Satz.";
    claude.enqueue(
        Turn::empty()
            .and_thinking("")
            .and_block(serde_json::json!({ "type": "hologram", "light": 7 }))
            .and_text(said)
            .delta_chars(3)
            .chunk_bytes(2)
            .crlf()
            .padding(4)
            .fault(Fault::UnknownEventAfter(2))
            .fault(Fault::UnknownDeltaAfter(2)),
    );
    let answer = client.stream(&request(1)).await.expect("taken").finish().await.expect("whole");
    assert_eq!((answer.message.text().as_str(), answer.message.stop_reason), (said, Some(StopReason::EndTurn)));
    let seen = &claude.requests()[0];
    assert_eq!(answer.request_id.as_deref(), Some(seen.id.as_str()));
    assert!((seen.finished, seen.disconnected) == (true, false));
    claude.finish().expect("one request, one script");
}

#[tokio::test]
async fn a_growing_transcript_is_read_from_the_cache() {
    let (claude, client) = scripted().await;
    let mut read = Vec::new();
    for exchanges in [1, 2, 3] {
        claude.enqueue(Turn::text("ok"));
        let answer = client.stream(&request(exchanges)).await.expect("taken").finish().await.expect("whole");
        let usage = answer.message.usage;
        assert_eq!(usage.input_tokens, Some(0), "everything is covered by a breakpoint");
        read.push(usage.cache_read_input_tokens.expect("it is told"));
    }
    assert_eq!(read[0], 0);
    assert!(read[1] > 1024 && read[2] > read[1] + 300, "each call reads what the one before wrote: {read:?}");
}

#[tokio::test]
async fn an_overload_is_tried_again_and_a_refused_request_is_not() {
    let (claude, client) = scripted().await;
    claude.enqueue(Turn::failure(Failure::status(529).retry_after_ms(1)));
    claude.enqueue(Turn::text("now"));
    let answer = client.stream(&request(0)).await.expect("the second try").finish().await.expect("whole");
    assert_eq!(answer.message.text(), "now");
    let unknown = Request { model: "claude-opus-9".to_owned(), ..request(0) };
    client.stream(&unknown).await.map(drop).expect_err("there is no such model");
    assert_eq!(claude.requests().len(), 3);
}

#[tokio::test]
async fn half_an_answer_is_an_error_however_it_ends() {
    let (claude, client) = scripted().await;
    for fault in
        [Fault::EndAfter(4), Fault::DropAfter(4), Fault::ErrorAfter(4, "overloaded_error"), Fault::MalformedAfter(4)]
    {
        let name = format!("{fault:?}");
        claude.enqueue(Turn::text("one two three four").word_by_word().fault(fault));
        let stream = client.stream(&request(0)).await.expect("it begins");
        stream.finish().await.map(drop).expect_err(&name);
    }
    assert_eq!(claude.requests().len(), 4, "nothing is asked again once an answer began");
}

#[tokio::test]
async fn dropping_the_stream_stops_the_model() {
    let (claude, client) = scripted().await;
    let (turn, gate) = Turn::text("one two three").word_by_word().gate_after(1);
    claude.enqueue(turn);
    let mut stream = client.stream(&request(0)).await.expect("it begins");
    gate.reached().await;
    while !matches!(stream.next().await.expect("no error"), Some(Delta::Text(_))) {}
    drop(stream);
    claude.wait_for_request(|request| request.disconnected).await.expect("the connection closes");
}

#[tokio::test]
async fn c19_an_open_end_is_taken_and_a_call_without_json_comes_as_text() {
    let (claude, client) = scripted().await;
    claude.enqueue(Turn::text("The first half").stop_reason("max_tokens").open_end());
    claude.enqueue(
        Turn::text("Let me").and_raw_tool_use("look", "{\"where\": \"Kö").stop_reason("max_tokens").open_end(),
    );
    claude.enqueue(Turn::empty().and_raw_tool_use("look", "{\"unit\": celsius}"));
    claude.enqueue(Turn::empty().and_raw_tool_use("look", "{\"n\": 1e400, \"n\": 2}"));
    let mut content = Vec::new();
    for _ in 0..4 {
        let answer = client.stream(&request(0)).await.expect("taken").finish().await.expect("whole");
        content.push(serde_json::to_value(&answer.message.content).ok());
    }
    let inputs: Vec<String> = content
        .iter()
        .flatten()
        .flat_map(|blocks| blocks.as_array().expect("blocks").clone())
        .map(|block| if block["type"] == "text" { block["text"].clone() } else { block["input"].clone() })
        .map(|value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned))
        .collect();
    assert_eq!(inputs, ["The first half", "Let me", "{\"unit\": celsius}"], "no value holds the last one");
    assert_eq!(claude.requests().len(), 4);
    claude.finish().expect("each was asked once");
}

#[tokio::test]
async fn c19_a_turn_that_was_paused_without_a_tool_at_work_is_sent_again() {
    let (claude, client) = scripted().await;
    claude.enqueue(Turn::text("So far").stop_reason("pause_turn"));
    let first = client.stream(&request(0)).await.expect("taken").finish().await.expect("whole");
    assert_eq!(first.message.stop_reason, Some(StopReason::PauseTurn));
    let said = first.message.content.iter().map(|block| serde_json::to_string(block).expect("JSON")).collect();
    let paused = Prompt { rounds: vec![Round { said, results: Vec::new() }], ..prompt(0) };
    claude.enqueue(Turn::text(" and the rest"));
    let again = Request::from_prompt(&paused, "claude-opus-5-5", Some(Effort::Medium), 4096, None);
    let second = client.stream(&again).await.expect("it may stand last").finish().await.expect("whole");
    assert_eq!(second.message.text(), " and the rest");
}

#[tokio::test]
async fn c19_effort_goes_to_models_that_take_it_as_a_look_or_a_refusal_tells() {
    let (claude, client) = scripted().await;
    let Ok(Looked::Model(facts)) = client.look("claude-opus-4-5").await else { panic!("the model is there") };
    assert_eq!((facts.effort(Effort::Max), facts.ends.as_deref()), (Some(Effort::High), Some("2027-01-22")));
    for model in ["claude-opus-4-5", "claude-haiku-4-5", "claude-sonnet-4-6", "claude-opus-5-5"] {
        claude.enqueue(Turn::text("ok"));
        let effort = client.facts(model).effort(Effort::Xhigh);
        let request = Request::from_prompt(&prompt(0), model, effort, 4096, None);
        client.stream(&request).await.expect("it takes that effort").finish().await.expect("whole");
    }
    assert_eq!((claude.requests().len(), claude.looks().len()), (4, 1));
}
