//! Logs to standard error, as text or JSON.

use std::io::{self, IsTerminal as _};
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
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal()).log_internal_errors(false);
    let filter = filter.and(filter_fn(is_without_content));
    let lines = match log.format {
        LogFormat::Text => lines.with_filter(filter).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
    };
    tracing_subscriber::registry()
        .with(lines)
        .try_init()
        .map_err(|error| anyhow::anyhow!("logging cannot be set up: {error}"))
}

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
