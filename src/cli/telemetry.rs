//! Logs to standard error, as text or JSON: a line for each event, whatever it says.

use serde_json::{Map, Value};
use std::{
    io::{self, IsTerminal as _, Write},
    panic,
};
use tracing::{Level, Metadata};

use tracing_subscriber::{
    EnvFilter, Layer as _,
    filter::{FilterExt as _, filter_fn},
    fmt,
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::config::{Log, LogFormat};

/// What is logged unless the operator asks for more. The named targets warn of what is normal here: account data that is
/// not there yet, a device that is new, a user without a backup, a thread's latest event in a form of the homeserver's
/// own (Continuwuity), which nothing here reads.
const FILTER: &str = "warn,workmate=info,matrix_sdk_crypto=error,matrix_sdk_common::deserialized_responses=error,\
                      ruma_common::push=error";
/// Stays off whatever the operator asks for: it logs requests.
const SILENCED: &str = "matrix_sdk::http_client=off";

/// Sets up logging for the rest of the process.
///
/// # Errors
/// When it has been set up before, or the filter is none; the config's has been checked.
pub fn install(log: &Log) -> anyhow::Result<()> {
    let asked = log.filter.as_deref().unwrap_or_default();
    let filter = EnvFilter::try_new([FILTER, asked, SILENCED].join(","))?;
    // Where no line can be written, there is nowhere to say so.
    let lines = fmt::layer()
        .with_writer(|| OneLine(io::stderr()))
        .with_ansi(io::stderr().is_terminal())
        .log_internal_errors(false);
    let filter = filter.and(filter_fn(is_without_content));
    let lines = match log.format {
        LogFormat::Text => lines.with_filter(filter).boxed(),
        // The list of spans holds the current one too.
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).with_filter(filter).boxed(),
    };
    tracing_subscriber::registry()
        .with(lines)
        .try_init()
        .map_err(|error| anyhow::anyhow!("logging cannot be set up: {error}"))?;
    panic::set_hook(Box::new(|panic| {
        // What it says may hold somebody's words.
        let at = panic.location().map(|at| format!("{}:{}", at.file(), at.line())).unwrap_or_default();
        tracing::error!(at, "workmate has a fault: it panicked; please report this line");
    }));
    Ok(())
}

/// Writes each event, which comes whole, as one line: what has several, such as a message with its mend, is joined. A
/// sender's words are never logged, but ids and errors of others are, and must not make lines of their own.
struct OneLine<W>(W);

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let unquoted = without_quotes(event);
        self.0.write_all(&one_line(unquoted.as_deref().unwrap_or(event)))?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// What stands before a value that serde quotes where it could not be read: of an event, it is somebody's words. matrix-sdk
/// logs such errors as warnings.
const QUOTING: [&str; 4] = ["invalid type: string ", "invalid value: string ", "unknown variant ", "unknown field "];
/// What stands behind it.
const BEHIND_QUOTE: &str = ", expected";
/// A longer line of another crate's holds more than an error.
const LINE_BYTES_MAX: usize = 16 << 10;

/// Returns a line without what it quotes, and without NULs; `None` where there is neither.
fn without_quotes(event: &[u8]) -> Option<Vec<u8>> {
    let quotes = QUOTING.iter().any(|mark| memchr::memmem::find(event, mark.as_bytes()).is_some());
    if !quotes && !event.contains(&0) && event.len() <= LINE_BYTES_MAX {
        return None;
    }
    let text = String::from_utf8_lossy(event).replace('\0', " ");
    let line = match serde_json::from_str::<Map<String, Value>>(&text) {
        Ok(mut fields) => {
            for value in fields.values_mut() {
                if let Value::String(text) = value {
                    *text = unquoted(text);
                }
            }
            serde_json::to_string(&fields).unwrap_or_default()
        }
        Err(_) => unquoted(text.trim_end_matches('\n')),
    };
    Some(format!("{line}\n").into_bytes())
}

fn unquoted(text: &str) -> String {
    let found = QUOTING.iter().filter_map(|mark| Some(text.find(mark)? + mark.len())).min();
    let text = match found {
        Some(begin) => {
            let end = text[begin..].rfind(BEHIND_QUOTE).map_or(text.len(), |end| begin + end);
            format!("{}(left out){}", &text[..begin], &text[end..])
        }
        None => text.to_owned(),
    };
    if text.len() > LINE_BYTES_MAX { format!("{}…", &text[..text.floor_char_boundary(LINE_BYTES_MAX)]) } else { text }
}

fn one_line(event: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    let body = event.strip_suffix(b"\n").unwrap_or(event);
    if body.starts_with(b"{") {
        return with_lists(event, body);
    }
    if !body.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        return event.into();
    }
    let text = String::from_utf8_lossy(body);
    let parts: Vec<&str> = text.split(['\n', '\r']).map(str::trim).filter(|part| !part.is_empty()).collect();
    format!("{}\n", parts.join(" | ")).into_bytes().into()
}

/// Makes lists of what are lists in Rust's own form, in a line of JSON: their texts read as JSON too.
fn with_lists<'e>(event: &'e [u8], body: &[u8]) -> std::borrow::Cow<'e, [u8]> {
    let has_list = body.windows(LIST.len()).any(|part| part == LIST);
    let Some(mut fields) = has_list.then(|| serde_json::from_slice::<Map<String, Value>>(body).ok()).flatten() else {
        return event.into();
    };
    for value in fields.values_mut() {
        if let Some(list) = value.as_str().and_then(|text| serde_json::from_str::<Vec<String>>(text).ok()) {
            *value = list.into();
        }
    }
    let mut line = serde_json::to_vec(&fields).unwrap_or_else(|_| body.to_vec());
    line.push(b'\n');
    line.into()
}

/// How such a list begins within a line.
const LIST: &[u8] = b":\"[\\\"";

/// Whether a target may log at that level whatever the operator asks for. Other crates do not know our rule that no
/// message text is logged: below `info`, matrix-sdk shows decrypted events and HTTP libraries whole requests; rmcp shows
/// what MCP servers say at every level.
fn is_without_content(metadata: &Metadata<'_>) -> bool {
    may_log(metadata.target(), *metadata.level())
}

fn may_log(target: &str, level: Level) -> bool {
    let is_of = |name: &str| target.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    is_of("workmate") || (level <= Level::INFO && !is_of("rmcp"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_error_quotes_of_an_event_is_left_out() {
        let words = "our \"salary\", expected soon\0 invalid type: string";
        for mark in QUOTING {
            let line = format!("WARN matrix_sdk_base: cannot read: {mark}{words:?}, expected a map at line 1\n");
            let shown = String::from_utf8(without_quotes(line.as_bytes()).expect("it quotes")).unwrap();
            assert_eq!(
                shown,
                format!("WARN matrix_sdk_base: cannot read: {mark}(left out), expected a map at line 1\n")
            );
            let json = serde_json::json!({ "level": "WARN", "message": line.trim_end(), "n": 1 }).to_string();
            let shown = String::from_utf8(without_quotes(json.as_bytes()).expect("it quotes")).unwrap();
            assert!(!shown.contains("salary") && serde_json::from_str::<Value>(&shown).is_ok(), "{shown}");
            let cut = without_quotes(format!("x {mark}{words}\n").as_bytes()).unwrap();
            assert!(!String::from_utf8(cut).unwrap().contains("salary"));
        }
        assert_eq!(without_quotes(b"INFO workmate: all is well\n"), None);
        let long = without_quotes("x".repeat(60_000).as_bytes()).expect("it is too long");
        assert!(long.len() < LINE_BYTES_MAX + 8);
    }

    #[test]
    fn who_shows_content_does_not_log_whatever_is_asked_for() {
        let rows = [
            ("workmate", Level::TRACE, true),
            ("workmate::tools::mcp", Level::DEBUG, true),
            ("workmates", Level::DEBUG, false),
            ("matrix_sdk::client", Level::INFO, true),
            ("matrix_sdk::client", Level::DEBUG, false),
            ("rmcp::service", Level::ERROR, false),
            ("rmcp", Level::WARN, false),
        ];
        for (target, level, expected) in rows {
            assert_eq!(may_log(target, level), expected, "{target} at {level}");
        }
    }

    #[test]
    fn homeservers_3_a_bundled_thread_event_that_cannot_be_read_warns_nobody() {
        let filter = EnvFilter::try_new([FILTER, "", SILENCED].join(",")).expect("is a filter").to_string();
        for quiet in ["matrix_sdk_common::deserialized_responses=error", "matrix_sdk_crypto=error"] {
            assert!(filter.contains(quiet), "{filter}");
        }
    }

    #[test]
    fn an_event_is_one_line_whatever_it_says() {
        for (event, line) in [
            ("INFO a: fine\n", "INFO a: fine\n"),
            ("WARN a: what\n  why\n  Mend: how\n", "WARN a: what | why | Mend: how\n"),
            ("WARN a: forged\r\n2026 INFO b: ok\n\n", "WARN a: forged | 2026 INFO b: ok\n"),
            ("{\"message\":\"a\\\\n b\"}\n", "{\"message\":\"a\\\\n b\"}\n"),
            (
                r#"{"who":"[\"@a:hs\", \"@b:hs\"]","level":"INFO"}"#,
                "{\"level\":\"INFO\",\"who\":[\"@a:hs\",\"@b:hs\"]}\n",
            ),
        ] {
            assert_eq!(String::from_utf8_lossy(&one_line(event.as_bytes())), line);
        }
        let mut written = Vec::new();
        OneLine(&mut written).write_all(b"a\nb\n").expect("a vector takes it");
        assert_eq!(written, b"a | b\n");
    }

    #[test]
    fn the_http_client_stays_silent_whatever_is_asked_for() {
        let filter = EnvFilter::try_new([FILTER, "matrix_sdk::http_client=trace,workmate=debug", SILENCED].join(","));
        let directives = filter.expect("is a filter").to_string();
        assert!(
            directives.contains("matrix_sdk::http_client=off") && directives.contains("workmate=debug"),
            "{directives}"
        );
        assert!(!directives.contains("http_client=trace"), "{directives}");
    }
}
