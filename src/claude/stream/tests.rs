mod computing;

use proptest::prelude::*;

use super::*;
use crate::claude::wire::{ContentBlock, StopReason, Usage};

const SAMPLE: &str = concat!(
    "event: message_start\r\n",
    r#"data: {"type":"message_start","message":{"id":"msg_9","type":"message","role":"assistant","model":"claude-sonnet-5-5","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":31,"output_tokens":1}}}   "#,
    "\r\n\r\n",
    "event: content_block_start\n",
    r#"data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
    "\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\n: a comment\n\n",
    r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}"#,
    "\n\n",
    r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"c2ln"}}"#,
    "\n\n",
    "data: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
    "event: moon_phase\ndata: not even json\n\n",
    r#"data: {"type":"content_block_start","index":1,"content_block":{"type":"text","text":"","citations":null}}"#,
    "\n\n",
    r#"data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Grüße "}}"#,
    "\n\n",
    r#"data: {"type":"content_block_delta","index":1,"delta":{"type":"glitter_delta","glitter":7}}"#,
    "\n\n",
    r#"data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"🙂"}}"#,
    "\n\n",
    r#"data: {"type":"content_block_delta","index":1,"delta":{"type":"citations_delta","citation":{"cited_text":"x","n":1.0}}}"#,
    "\n\n",
    "data: {\"type\":\"content_block_stop\",\"index\":1}\n\n",
    r#"data: {"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_7","name":"chat_send","input":{},"caller":{"type":"direct"}}}"#,
    "\n\n",
    r#"data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":""}}"#,
    "\n\n",
    r#"data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"text\":"}}"#,
    "\n\n",
    r#"data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"\"ok\"}"}}"#,
    "\n\n",
    "data: {\"type\":\"content_block_stop\",\"index\":2}\n\n",
    r#"data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"input_tokens":null,"output_tokens":22}}"#,
    "\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    "data: whatever comes after\n\n",
);

/// Spoils a letter of the text, as a gateway with another encoding does.
fn spoilt(bytes: &[u8]) -> Vec<u8> {
    let at = bytes.windows(2).position(|pair| pair == "ü".as_bytes()).expect("the text has one");
    [&bytes[..at], b"\xfc", &bytes[at + 2..]].concat()
}

#[test]
fn c19_a_letter_that_is_no_utf8_costs_that_letter_and_not_the_answer() {
    let bytes = spoilt(SAMPLE.as_bytes());
    for cut in [1, 3, 64, bytes.len()] {
        let (news, message) = assemble(bytes.chunks(cut));
        assert!(news.contains(&Delta::Text("Gr\u{fffd}ße ".to_owned())), "by {cut}");
        assert_eq!(message.expect("the answer survives").text(), "Gr\u{fffd}ße 🙂", "by {cut}");
    }
    let message =
        r#"{"type":"message","id":"msg_1","content":[{"type":"text","text":"Grüße"}],"stop_reason":"end_turn"}"#;
    let lines = [
        r#"{"type":"message_start","message":{"id":"msg_1","content":[]}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"Grüße"}}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#,
        r#"{"type":"message_stop"}"#,
    ];
    for whole in [message.to_owned(), lines.join("\n")] {
        let (mut assembler, mut news) = (Assembler::new(Limits::default()), VecDeque::new());
        assembler.feed(&spoilt(whole.as_bytes()), &mut news).expect("it is an answer");
        assembler.end(&mut news);
        let message = assembler.finish();
        assert_eq!(message.map(|message| message.text()).as_deref(), Ok("Gr\u{fffd}ße"), "{whole}");
    }
}

type Outcome = (Vec<Delta>, Result<Message, StreamError>);

fn assemble<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let (mut assembler, mut news) = (Assembler::new(Limits::default()), VecDeque::new());
    for piece in pieces {
        if let Err(error) = assembler.feed(piece, &mut news) {
            return (news.into(), Err(error));
        }
    }
    (news.into(), assembler.finish())
}

fn expected() -> Outcome {
    let parsed = |text: &str| serde_json::from_str::<ContentBlock>(text).expect(text);
    let message = Message {
        id: "msg_9".to_owned(),
        model: "claude-sonnet-5-5".to_owned(),
        content: vec![
            parsed(r#"{"type":"thinking","thinking":"hm","signature":"c2ln"}"#),
            parsed(r#"{"type":"text","text":"Grüße 🙂","citations":[{"cited_text":"x","n":1.0}]}"#),
            parsed(
                r#"{"type":"tool_use","id":"toolu_7","name":"chat_send","input":{"text":"ok"},"caller":{"type":"direct"}}"#,
            ),
        ],
        stop_reason: Some(StopReason::ToolUse),
        stop_sequence: None,
        stop_details: None,
        container: None,
        usage: Usage { input_tokens: Some(31), output_tokens: Some(22), ..Usage::default() },
    };
    let started = |index, kind: &str| Delta::BlockStarted { index, kind: kind.to_owned() };
    let news = vec![
        Delta::Started { id: "msg_9".to_owned(), model: "claude-sonnet-5-5".to_owned() },
        started(0, "thinking"),
        Delta::Thinking("hm".to_owned()),
        Delta::BlockStopped { index: 0 },
        started(1, "text"),
        Delta::Text("Grüße ".to_owned()),
        Delta::Text("🙂".to_owned()),
        Delta::BlockStopped { index: 1 },
        started(2, "tool_use"),
        Delta::ToolInput { index: 2 },
        Delta::ToolInput { index: 2 },
        Delta::ToolInput { index: 2 },
        Delta::BlockStopped { index: 2 },
    ];
    (news, Ok(message))
}

#[test]
fn a_stream_cut_at_any_byte_gives_the_same_message() {
    let bytes = SAMPLE.as_bytes();
    for at in 0..=bytes.len() {
        let (head, tail) = bytes.split_at(at);
        assert_eq!(assemble([head, tail]), expected(), "cut at byte {at}");
    }
}

#[test]
fn a_stream_that_ends_before_its_message_is_no_message() {
    let stop = SAMPLE.find("event: message_stop").expect("the sample stops");
    let end = SAMPLE.find("data: {\"type\":\"message_delta").expect("the sample ends");
    let last_stop = SAMPLE[..end].rfind("data: {\"type\":\"content_block_stop").expect("its blocks stop");
    let unclosed = format!("{}{}", &SAMPLE[..last_stop], &SAMPLE[end..stop]);
    // Without `message_stop`, a message is whole that said why it ended and has no open block.
    for (text, is_whole) in [
        (SAMPLE[..stop].to_owned(), true),
        (format!("{}event: message_stop\ndata: {{\"type\":\"message_st", &SAMPLE[..stop]), true),
        (format!("{unclosed}event: message_stop\ndata: {{\"type\":\"message_stop\"}}"), true),
        (unclosed, false),
        (SAMPLE[..end].to_owned(), false),
        (SAMPLE[..last_stop].to_owned(), false),
    ] {
        let (mut assembler, mut news) = (Assembler::new(Limits::default()), VecDeque::new());
        assembler.feed(text.as_bytes(), &mut news).expect("nothing is wrong so far");
        assembler.end(&mut news);
        assert_eq!(assembler.finish().is_ok(), is_whole, "{text}");
    }
    assert_eq!(assemble([&SAMPLE.as_bytes()[..stop]]).1, Err(StreamError::EndedEarly));
    assert_eq!(assemble([]).1, Err(StreamError::EndedEarly));
}

const START: &str = r#"{"type":"message_start","message":{"id":"m","model":"x","usage":{}}}"#;
const TEXT: &str = r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#;
const TOOL: &str =
    r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}"#;
const HALF: &str =
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}}"#;
const STOP_0: &str = r#"{"type":"content_block_stop","index":0}"#;
const STOP: &str = r#"{"type":"message_stop"}"#;

fn assemble_events(events: &[&str]) -> Result<Message, StreamError> {
    let wire: String = events.iter().flat_map(|data| ["data: ", data, "\n\n"]).collect();
    assemble([wire.as_bytes()]).1
}

#[test]
fn events_before_the_message_and_a_second_message_are_refused() {
    let delta_1 = r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"a"}}"#;
    let other = r#"{"type":"message_start","message":{"id":"m2","model":"x","usage":{}}}"#;
    for (events, event, reason) in [
        (&[TEXT][..], "content_block_start", "the message had not begun"),
        (&[delta_1], "content_block_delta", "the message had not begun"),
        (&[STOP], "message_stop", "the message had not begun"),
        (&[START, other], "message_start", "the message had begun"),
    ] {
        assert_eq!(assemble_events(events), Err(StreamError::OutOfOrder { event, reason }), "{events:?}");
    }
}

#[test]
fn a3_an_odd_event_costs_itself_and_not_the_answer() {
    let text = |index: &str, text: &str| {
        format!(r#"{{"type":"content_block_delta"{index},"delta":{{"type":"text_delta","text":{text}}}}}"#)
    };
    let (hi, at_7, nowhere) = (text(r#","index":0"#, "\"Hi\""), text(r#","index":7"#, "\"Hi\""), text("", "\"Hi\""));
    let (null, list) = (text(r#","index":0"#, "null"), text(r#","index":0"#, r#"["secret"]"#));
    let text_7 = TEXT.replace(r#""index":0"#, r#""index":7"#);
    let text_minus = TEXT.replace(r#""index":0"#, r#""index":-1"#);
    let thinking = TEXT.replace(r#"{"type":"text","text":""}"#, r#"{"type":"thinking","thinking":"hm"}"#);
    let no_text = TEXT.replace(r#","text":"""#, "");
    let end = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#;
    let (hi, at_7, nowhere, null, list) = (hi.as_str(), at_7.as_str(), nowhere.as_str(), null.as_str(), list.as_str());
    let (text_7, text_minus, thinking, no_text) =
        (text_7.as_str(), text_minus.as_str(), thinking.as_str(), no_text.as_str());
    for events in [
        &[START, TEXT, hi, STOP_0, end][..],
        &[START, START, TEXT, hi, STOP_0, end],
        &[r#"{"type":"message_start"}"#, TEXT, hi, end],
        &[r#"{"type":"message_start","message":{"id":7,"content":{},"usage":[]}}"#, TEXT, hi, end],
        &[START, text_7, at_7, end],
        &[START, text_minus, hi, end],
        &[START, text_minus, nowhere, end],
        &[START, TEXT, TEXT, hi, end],
        &[START, TEXT, null, list, hi, end],
        &[START, TEXT, STOP_0, hi, STOP_0, STOP_0, end],
        &[START, no_text, hi, end],
        &[START, hi, end],
        &[START, nowhere, end],
        &[START, thinking, hi, end],
        &[START, TEXT, at_7, end],
        &[START, TEXT, r#"{"type":"content_block_delta","index":0}"#, hi, end],
        &[
            START,
            TEXT,
            r#"{"type":"content_block_delta","index":9,"delta":{"type":"input_json_delta","partial_json":"{"}}"#,
            hi,
            end,
        ],
        &[START, TEXT, r#"{"type":"content_block_stop"}"#, r#"{"type":"content_block_stop","index":"0"}"#, hi, end],
        &[START, r#"{"type":"content_block_start","index":0,"content_block":null}"#, hi, end],
        &[START, TEXT, hi, "[DONE]", "null", end],
        &[START, TEXT, hi, r#"{"type":"message_delta"}"#, r#"{"type":"message_delta","delta":null,"usage":-1}"#, end],
        &[
            START,
            TEXT,
            hi,
            r#"{"type":"message_delta","delta":{"stop_details":7,"stop_sequence":{},"container":null}}"#,
            end,
        ],
        &[START, TEXT, hi, r#"{"type":"moon_phase"}"#, r#"{"index":0}"#, end],
    ] {
        let message = assemble_events(&[events, &[STOP, r#"{"type":"error"}"#, "{"]].concat());
        let message = message.unwrap_or_else(|error| panic!("{error}: {events:?}"));
        assert_eq!((message.text().as_str(), &message.stop_reason), ("Hi", &Some(StopReason::EndTurn)), "{events:?}");
    }
}

#[test]
fn a3_a_call_of_which_a_piece_is_missing_keeps_no_arguments_that_could_be_carried_out() {
    let piece = |json: &str| {
        format!(
            r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"input_json_delta","partial_json":{json}}}}}"#
        )
    };
    let (first, last) = (piece(r#""{\"a\":1""#), piece(r#""}""#));
    for (between, is_whole) in [(piece(r#"",\"b\":2""#), true), (piece("null"), false), (piece("{}"), false)] {
        let message = assemble_events(&[START, TOOL, &first, &between, &last, STOP_0, STOP]).expect("it is a message");
        let ContentBlock::ToolUse { input, .. } = &message.content[0] else { panic!("it is a call") };
        assert_eq!(input.as_str().starts_with('{'), is_whole, "{between}");
    }
    // Input after a block's stop still belongs to it.
    let message = assemble_events(&[START, TOOL, &first, STOP_0, &last, STOP]).expect("it is a message");
    let ContentBlock::ToolUse { input, .. } = &message.content[0] else { panic!("it is a call") };
    assert_eq!(input.as_str(), r#"{"a":1}"#);
}

#[test]
fn a3_a_number_of_tokens_that_is_none_is_not_told() {
    let start = |usage: &str| START.replace("{}", usage);
    let end =
        |usage: &str| format!(r#"{{"type":"message_delta","delta":{{"stop_reason":"end_turn"}},"usage":{usage}}}"#);
    for (begin, last, expected) in [
        (r#"{"input_tokens":9,"output_tokens":1}"#, r#"{"output_tokens":20}"#, (Some(9), Some(20))),
        (r#"{"input_tokens":9,"output_tokens":1}"#, r#"{"output_tokens":18446744073709551615}"#, (Some(9), None)),
        (r#"{"input_tokens":9,"output_tokens":1}"#, r#"{"output_tokens":18446744073709551616}"#, (Some(9), None)),
        (r#"{"input_tokens":9,"output_tokens":1}"#, r#"{"output_tokens":-4,"input_tokens":-4}"#, (Some(9), None)),
        (r#"{"input_tokens":9,"output_tokens":1}"#, r#"{"output_tokens":19.5}"#, (Some(9), Some(20))),
        (r#"{"input_tokens":"9","output_tokens":1}"#, r#"{"output_tokens":"20"}"#, (Some(9), Some(20))),
        ("{}", "null", (None, None)),
        ("7", r#""many""#, (None, None)),
        (r#"{"input_tokens":1e400}"#, r#"{"output_tokens":1e400}"#, (None, None)),
    ] {
        let message = assemble_events(&[&start(begin), TEXT, &end(last), STOP]).expect("it is a message");
        assert_eq!((message.usage.input_tokens, message.usage.output_tokens), expected, "{begin} {last}");
    }
}

#[test]
fn malformed_events_are_refused_without_quoting_them() {
    let broken = r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"secret"}"#;
    let expected = StreamError::Malformed { event: String::new(), reason: "Eof error at column 87".to_owned() };
    assert_eq!(assemble_events(&[START, broken]), Err(expected));
}

#[test]
fn a3_an_error_of_any_form_ends_the_stream_as_the_api_s() {
    for (wire, kind, message) in [
        (
            "data: {\"type\":\"error\",\"error\":{\"type\":\"moon_error\",\"message\":\"full\"}}\n\n",
            "moon_error",
            "full",
        ),
        ("event: error\ndata: {\"error\":{\"type\":\"moon_error\"}}\n\n", "moon_error", ""),
        ("data: {\"type\":\"error\",\"error\":\"busy\"}\n\n", "", "busy"),
        ("data: {\"type\":\"error\",\"message\":\"busy\"}\n\n", "", "busy"),
        ("data: {\"type\":\"error\",\"error\":{\"type\":7,\"details\":[]}}\n\n", "", ""),
        ("data: {\"type\":\"error\"}\n\n", "", ""),
        ("event: error\ndata: upstream went away\n\n", "", "upstream went away"),
    ] {
        let wire = format!("data: {START}\n\n{wire}");
        let error = assemble([wire.as_bytes()]).1.expect_err("it broke off");
        let (kind, message) = (kind.to_owned(), message.to_owned());
        assert_eq!(error, StreamError::Api { kind, message, code: None, request_id: None }, "{wire}");
    }
}

#[test]
fn an_error_event_ends_the_stream_with_its_type() {
    let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded","details":{"error_code":"region_busy"}},"request_id":"req_1"}"#;
    let expected = StreamError::Api {
        kind: "overloaded_error".to_owned(),
        message: "Overloaded".to_owned(),
        code: Some("region_busy".to_owned()),
        request_id: Some("req_1".to_owned()),
    };
    assert_eq!(assemble_events(&[START, TEXT, error]), Err(expected));
}

#[test]
fn c19_open_blocks_are_closed_at_the_end_and_arguments_that_were_cut_off_can_be_run_by_nobody() {
    let ending = |reason: &str| format!(r#"{{"type":"message_delta","delta":{{"stop_reason":"{reason}"}}}}"#);
    let finish = |stop_0: &[&str], reason: &str| {
        let ending = ending(reason);
        let events = [&[START, TOOL, HALF], stop_0, &[ending.as_str(), STOP]].concat();
        assemble_events(&events).map(|message| message.content)
    };
    let as_text: ContentBlock =
        serde_json::from_str(r#"{"type":"tool_use","id":"t","name":"f","input":"{\"a\":"}"#).expect("a call");
    for stop_0 in [&[STOP_0][..], &[]] {
        for reason in ["max_tokens", "refusal", "model_context_window_exceeded"] {
            assert_eq!(finish(stop_0, reason), Ok(vec![]), "{reason}");
        }
        for reason in ["tool_use", "end_turn", "pause_turn", "compaction"] {
            assert_eq!(finish(stop_0, reason), Ok(vec![as_text.clone()]), "{reason}");
        }
    }
    let text = r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"so far"}}"#;
    let cut = assemble_events(&[START, TEXT, text, &ending("max_tokens"), STOP]).expect("it is whole");
    assert_eq!((cut.text().as_str(), cut.stop_reason), ("so far", Some(StopReason::MaxTokens)));
    assert!(assemble_events(&[START, TEXT, STOP_0, STOP_0, STOP]).is_ok(), "a stop too many changes nothing");
}

#[test]
fn c12_a_fetched_file_of_any_size_ends_no_answer() {
    let text_1 = r#"{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}"#;
    let more = r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"It says so."}}"#;
    let end = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#;
    for (bytes, is_kept) in [(9 << 20, true), (30 << 20, false)] {
        let data = "A".repeat(bytes);
        let fetched = format!(
            r#"{{"type":"content_block_start","index":0,"content_block":{{"type":"web_fetch_tool_result","tool_use_id":"srvtoolu_1","content":{{"type":"web_fetch_result","url":"https://a.org/","content":{{"type":"document","source":{{"type":"base64","media_type":"application/pdf","data":"{data}"}}}}}}}}}}"#
        );
        let message = assemble_events(&[START, &fetched, STOP_0, text_1, more, end, STOP]).expect("it is whole");
        assert_eq!(message.text(), "It says so.");
        let written = serde_json::to_string(&message.content[0]).expect("blocks serialize");
        assert_eq!(written.len() > bytes, is_kept);
        assert!(written.contains("srvtoolu_1") && (is_kept || written.contains("unavailable")));
    }
    let other = format!(
        r#"{{"type":"content_block_start","index":0,"content_block":{{"type":"text","text":"{}"}}}}"#,
        "A".repeat(17 << 20)
    );
    assert!(matches!(assemble_events(&[START, &other]), Err(StreamError::LineTooLong { .. })));
}

#[test]
fn a_fallback_s_model_a_container_a_compaction_and_passes_are_kept() {
    let fallback = r#"{"type":"content_block_start","index":0,"content_block":{"type":"fallback","from":{"model":"x"},"to":{"model":"y"}}}"#;
    let compaction = r#"{"type":"content_block_start","index":1,"content_block":{"type":"compaction","content":null}}"#;
    let summary = r#"{"type":"content_block_delta","index":1,"delta":{"type":"compaction_delta","content":"so far","encrypted_content":"b3A="}}"#;
    let end = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","container":{"id":"c_1"}},"usage":{"iterations":[{"type":"message","model":"x","input_tokens":1,"output_tokens":2}]}}"#;
    let message = assemble_events(&[START, fallback, STOP_0, compaction, summary, end, STOP]).expect("it is whole");
    assert_eq!(message.model, "y");
    assert_eq!(message.container.map(|json| json.as_str().to_owned()).as_deref(), Some(r#"{"id":"c_1"}"#));
    let written = serde_json::to_string(&message.content[1]).expect("blocks serialize");
    assert_eq!(written, r#"{"type":"compaction","content":"so far","encrypted_content":"b3A="}"#);
    let passes = message.usage.iterations.expect("they are told");
    assert_eq!((passes[0].model.as_deref(), passes[0].usage().output_tokens), (Some("x"), Some(2)));
}

#[test]
fn a_tool_call_without_arguments_keeps_its_empty_object() {
    let content = assemble_events(&[START, TOOL, STOP_0, STOP]).map(|message| message.content);
    let block = serde_json::from_str(r#"{"type":"tool_use","id":"t","name":"f","input":{}}"#).expect("a tool call");
    assert_eq!(content, Ok(vec![block]));
}

#[test]
fn an_unknown_block_takes_its_arguments_and_comes_back() {
    let start = r#"{"type":"content_block_start","index":0,"content_block":{"type":"server_tool_use","id":"s","input":{},"v":1.0}}"#;
    let input = r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"q\":\"a\"}"}}"#;
    let message = assemble_events(&[START, start, input, STOP_0, STOP]).expect("a whole message");
    let written = serde_json::to_string(&message.content).expect("blocks serialize");
    assert_eq!(written, r#"[{"type":"server_tool_use","id":"s","input":{"q":"a"},"v":1.0}]"#);
}

proptest! {
    #[test]
    fn any_split_of_a_stream_gives_the_same_message(cuts in proptest::collection::vec(0..SAMPLE.len(), 0..12)) {
        let mut cuts = cuts;
        cuts.extend([0, SAMPLE.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|pair| &SAMPLE.as_bytes()[pair[0]..pair[1]]);
        prop_assert_eq!(assemble(pieces), expected());
    }

    #[test]
    fn a_damaged_stream_never_panics(at in 0..SAMPLE.len(), byte in any::<u8>(), cut in 0..SAMPLE.len()) {
        let mut bytes = SAMPLE.as_bytes().to_vec();
        bytes[at] = byte;
        bytes.remove(cut);
        let _ = assemble(bytes.chunks(7));
    }
}

#[test]
fn a3_a_text_that_was_cut_within_an_emoji_is_whole_again_and_half_of_one_costs_itself() {
    let deltas = |kind: &str, field: &str, pieces: &[&str]| -> String {
        let one = |piece: &&str| {
            let delta = format!(r#"{{"type":"{kind}","{field}":"{piece}"}}"#);
            format!("data: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{delta}}}\n\n")
        };
        pieces.iter().map(one).collect()
    };
    let answer = |begin: &str, deltas: &str| {
        let text = format!(
            "data: {{\"type\":\"message_start\",\"message\":{{\"id\":\"m\"}}}}\n\n\
             data: {{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{begin}}}\n\n{deltas}\
             data: {{\"type\":\"content_block_stop\",\"index\":0}}\n\n\
             data: {{\"type\":\"message_delta\",\"delta\":{{\"stop_reason\":\"end_turn\"}}}}\n\n\
             data: {{\"type\":\"message_stop\"}}\n\n"
        );
        let (news, message) = assemble([text.as_bytes()]);
        (news, message.expect("it is whole").content.remove(0))
    };
    let text = r#"{"type":"text","text":""}"#;
    for (pieces, expected) in [
        (vec![r"done \ud83d", r"\ude00 but do NOT restart it"], "done 😀 but do NOT restart it"),
        (vec!["Do ", r"not \ud83d", " restart it"], "Do not \u{fffd} restart it"),
        (vec![r"that is it \ud83d"], "that is it \u{fffd}"),
    ] {
        let (news, block) = answer(text, &deltas("text_delta", "text", &pieces));
        assert_eq!(block.as_text(), Some(expected));
        let said: String =
            news.iter().filter_map(|delta| if let Delta::Text(text) = delta { Some(&**text) } else { None }).collect();
        assert!(expected.starts_with(&said), "{said}");
    }
    let call = r#"{"type":"tool_use","id":"t","name":"f","input":{}}"#;
    for pieces in [[r#"{\"a\":\"\ud83d"#, r#"\ude00\"}"#], [r#"{\"a\":\"\\ud83d"#, r#"\\ude00\"}"#]] {
        let (_, block) = answer(call, &deltas("input_json_delta", "partial_json", &pieces));
        let ContentBlock::ToolUse { input, .. } = block else { panic!("a call") };
        assert_eq!(input.read::<serde_json::Value>().expect("arguments"), serde_json::json!({ "a": "😀" }));
    }
}
