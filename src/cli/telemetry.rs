//! Logs to standard error as text or JSON, with exactly one line for each event.

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

/// The default filter. The named targets warn about what is normal here: account data that does not exist yet, new
/// devices, users without a backup, and Continuwuity's own form of a thread's latest event, which nothing here reads.
const FILTER: &str = "warn,workmate=info,matrix_sdk_crypto=error,matrix_sdk_common::deserialized_responses=error,\
                      ruma_common::push=error";
/// Always off, whatever the operator configures: it logs requests.
const SILENCED: &str = "matrix_sdk::http_client=off";

/// Sets up logging for the process.
///
/// # Errors
/// When called twice, or with an invalid filter; the config's filter was checked.
pub(crate) fn install(log: &Log) -> anyhow::Result<()> {
    let asked = log.filter.as_deref().unwrap_or_default();
    let filter = EnvFilter::try_new([FILTER, asked, SILENCED].join(","))?;
    // If a line cannot be written, there is nowhere to report it.
    let lines = fmt::layer()
        .with_writer(|| OneLine(io::stderr()))
        .with_ansi(io::stderr().is_terminal())
        .log_internal_errors(false);
    let filter = filter.and(filter_fn(is_without_content));
    let lines = match log.format {
        LogFormat::Text => lines.with_filter(filter).boxed(),
        // The list of spans includes the current one.
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).with_filter(filter).boxed(),
    };
    tracing_subscriber::registry()
        .with(lines)
        .try_init()
        .map_err(|error| anyhow::anyhow!("logging cannot be set up: {error}"))?;
    panic::set_hook(Box::new(|panic| {
        // A panic message may quote somebody's words.
        let at = panic.location().map(|at| format!("{}:{}", at.file(), at.line())).unwrap_or_default();
        tracing::error!(at, "workmate has a fault: it panicked; please report this line");
    }));
    Ok(())
}

/// Writes each event as one line, joining the lines of a message with its remedy. Senders' words are never logged, but
/// foreign ids and errors are, and must not be able to start a new line.
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

/// Precedes a value that serde quotes in an error; in an event's case these are somebody's words. matrix-sdk logs such
/// errors as warnings.
const QUOTING: [&str; 4] = ["invalid type: string ", "invalid value: string ", "unknown variant ", "unknown field "];
/// Follows such a value.
const BEHIND_QUOTE: &str = ", expected";
/// A longer line from another crate contains more than an error.
const LINE_BYTES_MAX: usize = 16 << 10;

/// Returns a line without quoted values and NULs; `None` if it has neither.
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

/// Turns lists in Rust's debug form within a JSON line into JSON lists.
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

/// How such a list begins in a line.
const LIST: &[u8] = b":\"[\\\"";

/// Returns whether a target may log at this level, whatever the operator configures. Other crates do not know our rule
/// against logging message text: below `info`, matrix-sdk logs decrypted events and HTTP libraries log requests; their
/// spans hold the arguments of functions at every level, and rmcp logs what MCP servers say.
fn is_without_content(metadata: &Metadata<'_>) -> bool {
    may_log(metadata.target(), *metadata.level(), metadata.is_span())
}

fn may_log(target: &str, level: Level, is_span: bool) -> bool {
    let is_of = |name: &str| target.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    is_of("workmate") || (level <= Level::INFO && !is_span && !is_of("rmcp"))
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
            assert_eq!(may_log(target, level, false), expected, "{target} at {level}");
        }
        // A span of another crate's holds the arguments of its function.
        for (target, expected) in [("workmate::engine::runs", true), ("matrix_sdk::client", false), ("log", false)] {
            assert_eq!(may_log(target, Level::ERROR, true), expected, "a span of {target}");
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
