//! Mends a server's messages that rmcp cannot parse, so that an invalid tool or part of a result costs only itself.
//!
//! rmcp parses a message as a whole. An unpaired surrogate, a schema of `true`, or a content type newer than rmcp loses
//! the message: no tool of the server is offered, or a call waits for an answer that has come.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use rmcp::{
    ErrorData,
    model::{ContentBlock, ErrorCode, Tool},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, ReadBuf};

use crate::core::json;

/// The nesting up to which a message is read.
const DEPTH_MAX: usize = 100;
/// Bytes read at once.
const PIECE_BYTES: usize = 16 << 10;

/// A pipe that mends lines; lines longer than `line_bytes_max` pass unchanged.
pub(super) struct Mended<R> {
    inner: R,
    line_bytes_max: usize,
    line: Vec<u8>,
    /// Whether the current line is too long and passes unchanged.
    passes: bool,
    out: Vec<u8>,
    given: usize,
}

impl<R> Mended<R> {
    pub(super) fn new(inner: R, line_bytes_max: usize) -> Self {
        Self { inner, line_bytes_max, line: Vec::new(), passes: false, out: Vec::new(), given: 0 }
    }

    fn take(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let ends = piece.ends_with(b"\n");
            if !self.passes && self.line.len() + piece.len() > self.line_bytes_max {
                self.passes = true;
                self.out.append(&mut self.line);
            }
            if self.passes {
                self.out.extend_from_slice(piece);
                self.passes = !ends;
                continue;
            }
            self.line.extend_from_slice(piece);
            if ends {
                let line = std::mem::take(&mut self.line);
                match mended(&line) {
                    Some(line) => {
                        self.out.extend_from_slice(line.as_bytes());
                        self.out.push(b'\n');
                    }
                    None => self.out.extend(line),
                }
            }
        }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Mended<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.given == self.out.len() {
            (self.out, self.given) = (Vec::new(), 0);
            let mut piece = [0; PIECE_BYTES];
            let mut read = ReadBuf::new(&mut piece);
            ready!(Pin::new(&mut self.inner).poll_read(context, &mut read))?;
            if read.filled().is_empty() {
                // The rest is an incomplete line.
                self.out = std::mem::take(&mut self.line);
                if self.out.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                break;
            }
            self.take(read.filled());
        }
        let end = self.out.len().min(self.given + buffer.remaining());
        buffer.put_slice(&self.out[self.given..end]);
        self.given = end;
        Poll::Ready(Ok(()))
    }
}

/// Returns a message that rmcp can parse; `None` if it already can, or mending does not help.
pub(super) fn mended(line: &[u8]) -> Option<String> {
    let as_it_came: Option<Value> = serde_json::from_slice(line).ok();
    let mut changed = as_it_came.is_none();
    let mut message = if let Some(message) = as_it_came {
        message
    } else {
        let text = String::from_utf8_lossy(line);
        let whole = json::whole(text.trim());
        serde_json::from_str(&whole).or_else(|_| serde_json::from_str(&shallow(&whole))).ok()?
    };
    // Older servers write both, one of them null.
    if let Some(answer) = message.as_object_mut().filter(|answer| answer.contains_key("result")) {
        let is_result = answer.get("error").is_some_and(Value::is_null);
        changed |= is_result && answer.remove("error").is_some();
    }
    if let Some(error) = message.get_mut("error") {
        changed |= mend_error(error);
    }
    let result = message.get_mut("result").and_then(Value::as_object_mut);
    if let Some(result) = result {
        if let Some(tools) = result.get_mut("tools").and_then(Value::as_array_mut) {
            tools.retain_mut(|tool| mend_tool(tool, &mut changed));
        }
        if let Some(content) = result.get_mut("content").and_then(Value::as_array_mut) {
            for block in content.iter_mut().filter(|block| !reads::<ContentBlock>(block)) {
                *block = json!({ "type": "text", "text": "[something that cannot be read, left out]" });
                changed = true;
            }
        }
    }
    changed.then(|| message.to_string())
}

/// Returns JSON with `null` in place of what is nested deeper than [`DEPTH_MAX`], which no parser takes.
fn shallow(text: &str) -> String {
    let (mut kept, mut depth, mut in_string, mut is_escaped) =
        (String::with_capacity(text.len()), 0_usize, false, false);
    for char in text.chars() {
        let opens = !in_string && matches!(char, '{' | '[');
        let closes = !in_string && matches!(char, '}' | ']');
        depth += usize::from(opens);
        match depth > DEPTH_MAX {
            true if opens && depth == DEPTH_MAX + 1 => kept.push_str("null"),
            true => {}
            false => kept.push(char),
        }
        depth = depth.saturating_sub(usize::from(closes));
        match char {
            _ if is_escaped => is_escaped = false,
            '\\' if in_string => is_escaped = true,
            '"' => in_string = !in_string,
            _ => {}
        }
    }
    kept
}

/// Makes an error parsable, so that a call hears of it instead of waiting; returns whether anything was to be done.
fn mend_error(error: &mut Value) -> bool {
    if reads::<ErrorData>(error) {
        return false;
    }
    let code = error["code"].as_i64().and_then(|code| i32::try_from(code).ok()).unwrap_or(ErrorCode::INTERNAL_ERROR.0);
    let told = error["message"].as_str().or(error.as_str()).unwrap_or("the server names no reason");
    *error = json!({ "code": code, "message": told });
    true
}

fn reads<T: DeserializeOwned>(value: &Value) -> bool {
    T::deserialize(value).is_ok()
}

/// Makes a tool parsable; returns whether it is.
fn mend_tool(tool: &mut Value, changed: &mut bool) -> bool {
    if reads::<Tool>(tool) {
        return true;
    }
    *changed = true;
    let Some(name) = tool["name"].as_str() else { return false };
    // `true` accepts everything; any other non-object is kept, and the listing drops the tool by name.
    let schema = match &tool["inputSchema"] {
        schema @ Value::Object(_) => schema.clone(),
        Value::Bool(true) => json!({ "type": "object" }),
        _ => json!({ "type": "null" }),
    };
    let description = tool["description"].as_str().unwrap_or_default();
    *tool = json!({ "name": name, "description": description, "inputSchema": schema });
    reads::<Tool>(tool)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use rmcp::model::{JsonRpcMessage, ServerJsonRpcMessage, ServerResult};

    use super::*;

    fn answer(result: &str) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#)
    }

    fn read(message: &str) -> ServerResult {
        match serde_json::from_str(message) {
            Ok(ServerJsonRpcMessage::Response(response)) => response.result,
            read => panic!("{:?} is no answer", read.map(|_: JsonRpcMessage<_, _, _>| ())),
        }
    }

    #[test]
    fn c12_one_part_of_an_answer_that_is_none_costs_itself() {
        let good = r#"{"name":"b","inputSchema":{"type":"object"}}"#;
        for (result, expected) in [
            (
                format!(r#"{{"tools":[{{"name":"a","inputSchema":true}},{good},7,{{"inputSchema":{{}}}}]}}"#),
                vec!["a", "b"],
            ),
            (format!(r#"{{"tools":[{{"name":"a","inputSchema":[]}},{good}]}}"#), vec!["a", "b"]),
            (format!(r#"{{"tools":[{good},{{"name":"c","inputSchema":{{}},"annotations":5}}]}}"#), vec!["b", "c"]),
        ] {
            let mended = mended(answer(&result).as_bytes()).expect("it needs it");
            assert!(matches!(read(&mended), ServerResult::ListToolsResult(_)));
            let mended: Value = serde_json::from_str(&mended).unwrap();
            let names: Vec<_> =
                mended["result"]["tools"].as_array().unwrap().iter().map(|tool| &tool["name"]).collect();
            assert_eq!(names, expected, "{result}");
        }
        let content = r#"{"content":[{"type":"video","data":"AA=="},{"type":"text","text":"half \ud83d"}]}"#;
        let mended = mended(answer(content).as_bytes()).expect("it needs it");
        assert!(matches!(read(&mended), ServerResult::CallToolResult(_)));
        assert!(mended.contains("cannot be read, left out") && mended.contains("half \u{fffd}"), "{mended}");
    }

    #[test]
    fn c12_what_is_nested_too_deep_and_an_odd_error_cost_themselves() {
        let deep = |levels: usize| format!("{}1{}", "{\"a\":[".repeat(levels), "]}".repeat(levels));
        let good = r#"{"name":"b","inputSchema":{"type":"object"}}"#;
        for levels in [70, 120, 5_000] {
            let tools = format!(r#"{{"tools":[{{"name":"a","inputSchema":{}}},{good}]}}"#, deep(levels));
            let mended = mended(answer(&tools).as_bytes()).expect("it needs it");
            let ServerResult::ListToolsResult(listed) = read(&mended) else { panic!("{mended}") };
            assert_eq!(listed.tools.iter().map(|tool| &*tool.name).collect::<Vec<_>>(), ["a", "b"]);

            let content = format!(
                r#"{{"content":[{{"type":"text","text":"[{{ \" here"}}],"structuredContent":{}}}"#,
                deep(levels)
            );
            let mended = super::mended(answer(&content).as_bytes()).expect("it needs it");
            assert!(
                matches!(read(&mended), ServerResult::CallToolResult(_)) && mended.contains("[{ \\\" here"),
                "{mended}"
            );
        }
        for (error, code, told) in [
            (r#"{"code":1000000000000000000000000000000,"message":"no"}"#, -32603, "no"),
            (r#"{"code":"E1","message":5}"#, -32603, "the server names no reason"),
            (r#"{"code":-32602}"#, -32602, "the server names no reason"),
            (r#""broken""#, -32603, "broken"),
        ] {
            let mended =
                mended(format!(r#"{{"jsonrpc":"2.0","id":1,"error":{error}}}"#).as_bytes()).expect("it needs it");
            match serde_json::from_str(&mended) {
                Ok(ServerJsonRpcMessage::Error(error)) => {
                    assert_eq!((error.error.code.0, &*error.error.message), (code, told));
                }
                _ => panic!("{mended}"),
            }
        }
        let both = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]},"error":null}"#;
        assert!(matches!(read(&mended(both.as_bytes()).expect("it needs it")), ServerResult::CallToolResult(_)));
        let fine = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no"}}"#;
        assert_eq!(mended(fine.as_bytes()), None);
    }

    #[test]
    fn what_can_be_read_or_not_be_helped_passes_as_it_came() {
        for line in [answer(r#"{"tools":[]}"#), answer("{}"), "no JSON".to_owned(), r#"{"a":1}"#.to_owned()] {
            assert_eq!(mended(line.as_bytes()), None, "{line}");
        }
    }

    #[tokio::test]
    async fn lines_come_through_whole_however_they_were_cut_and_long_ones_as_they_are() {
        let odd = answer(r#"{"content":[{"type":"text","text":"\ud83d"}]}"#);
        let long = "x".repeat(400);
        let text = format!("{odd}\n{long}\n{odd}\nend");
        for piece in [1, 3, 50_000] {
            let (mut server, pipe) = tokio::io::duplex(piece);
            let (mut mended, mut read) = (Mended::new(pipe, 200), String::new());
            let writing = async {
                server.write_all(text.as_bytes()).await?;
                server.shutdown().await
            };
            let (written, came) = tokio::join!(writing, mended.read_to_string(&mut read));
            assert!(written.is_ok() && came.is_ok());
            let lines: Vec<_> = read.lines().collect();
            assert_eq!((lines.len(), lines[1], lines[3]), (4, long.as_str(), "end"));
            assert!(lines[0].contains('\u{fffd}') && lines[0] == lines[2], "{read}");
        }
    }
}
