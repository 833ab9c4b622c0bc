//! Our client against the strict stand-in: two readings of the same API that were written apart.

use workmate::claude::{Client, ClientConfig, Delta, Effort, Request, StopReason};
use workmate::core::prompt::{Prompt, Role, Turn as Said};
use workmate::secret::Secret;
use workmate::standin::{Failure, Fault, Options, StandIn, Turn};

async fn scripted() -> (StandIn, Client) {
    let claude = StandIn::start(Options::scripted()).await.expect("loopback is there");
    let config = ClientConfig::new(claude.base_url(), Some(Secret::new("sk-ant-interop")));
    let client = Client::new(config).expect("a loopback URL and a plain key are usable");
    (claude, client)
}

/// A prompt of so many exchanges and a question, as the core lays it out.
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
