//! Streams in which code runs at the provider (C24).

use super::*;
use crate::claude::wire::Container;

const EVENTS: [&str; 9] = [
    r#"{"type":"message_start","message":{"id":"msg_1","model":"m","content":[],"container":null,"usage":{"input_tokens":3}}}"#,
    r#"{"type":"content_block_start","index":0,"content_block":{"type":"server_tool_use","id":"srvtoolu_1","name":"bash_code_execution","input":{},"caller":{"type":"direct"}}}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"command\":"}}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"\"ls\"}"}}"#,
    r#"{"type":"content_block_stop","index":0}"#,
    r#"{"type":"content_block_start","index":1,"content_block":{"type":"bash_code_execution_tool_result","tool_use_id":"srvtoolu_1","content":{"type":"bash_code_execution_result","stdout":"x","stderr":"","return_code":0,"content":[{"type":"bash_code_execution_output","file_id":"file_1"}]}}}"#,
    r#"{"type":"content_block_stop","index":1}"#,
    r#"{"type":"message_delta","delta":{"stop_reason":"pause_turn","container":{"id":"container_1","expires_at":"1970-01-01T00:01:00Z"}},"usage":{"output_tokens":9}}"#,
    r#"{"type":"message_stop"}"#,
];

fn fed(events: &[&str]) -> Assembler {
    let (mut assembler, mut news) = (Assembler::new(Limits::default()), VecDeque::new());
    for event in events {
        assembler.feed(format!("data: {event}\n\n").as_bytes(), &mut news).expect("it is taken");
    }
    assembler
}

#[test]
fn c24_the_files_of_a_stream_that_breaks_off_are_known_as_soon_as_they_are_told() {
    assert!(fed(&EVENTS[..5]).made_files().is_empty());
    let broken = fed(&EVENTS[..6]);
    assert_eq!((broken.made_files(), broken.container()), (vec!["file_1".to_owned()], None));
    assert_eq!(broken.finish().expect_err("it broke off"), StreamError::EndedEarly);
}

#[test]
fn c24_code_its_result_and_the_container_go_through_whole() {
    let whole = fed(&EVENTS);
    let container = whole.container().expect("it was told");
    let message = whole.finish().expect("it is whole");
    assert_eq!(container.id, "container_1");
    assert_eq!(message.container.as_ref().and_then(Container::read), Some(container));
    assert_eq!(message.stop_reason, Some(StopReason::PauseTurn));
    let expected = [
        r#"{"type":"server_tool_use","id":"srvtoolu_1","name":"bash_code_execution","input":{"command":"ls"},"caller":{"type":"direct"}}"#,
        r#"{"type":"bash_code_execution_tool_result","tool_use_id":"srvtoolu_1","content":{"type":"bash_code_execution_result","stdout":"x","stderr":"","return_code":0,"content":[{"type":"bash_code_execution_output","file_id":"file_1"}]}}"#,
    ];
    let written: Vec<String> =
        message.content.iter().map(|block| serde_json::to_string(block).expect("a block is written")).collect();
    assert_eq!(written, expected);
}
