//! The caller's key, API version and betas.

use std::collections::BTreeSet;

use axum::http::{HeaderMap, HeaderName};

use crate::standin::problem::Problem;

/// The first version that refuses sampling fields.
const VERSION_NEW: &str = "2026-10-21";
const VERSIONS: &[&str] = &[VERSION_NEW, "2023-06-01"];
/// Lets a turn of the system set what holds for what follows, as Claude Code asks for it.
pub(super) const PER_TURN_BETA: &str = "per-turn-control-2026-07-01";
const OAUTH_BETA: &str = "oauth-2025-04-20";
const OAUTH_PREFIX: &str = "sk-ant-oat";

/// Accepted `anthropic-beta` names; the last lines became obsolete at general availability.
const BETAS: &[&str] = &[
    "advanced-tool-use-2025-11-20",
    "advisor-tool-2026-03-01",
    "agent-memory-2026-07-22",
    "claude-code-20250219",
    "compact-2026-01-12",
    "compact-2026-09-04",
    "context-management-2025-06-27",
    "effort-2025-11-24",
    "fallback-credit-2026-07-01",
    "inline-tools-2026-09-15",
    "managed-agents-2026-04-01",
    "mcp-client-2025-11-20",
    "mcp-client-2026-09-15",
    "message-threads-2026-08-12",
    "mid-conversation-output-config-2026-07-01",
    "mid-conversation-system-clear-at-2026-08-21",
    "mid-conversation-tool-changes-2026-07-01",
    OAUTH_BETA,
    PER_TURN_BETA,
    "server-side-fallback-2026-07-01",
    "task-budgets-2026-03-13",
    "thinking-binding-controls-2026-08-01",
    "thinking-token-count-2026-05-13",
    "context-1m-2025-08-07",
    "extended-cache-ttl-2025-04-11",
    "files-api-2025-04-14",
    "fine-grained-tool-streaming-2025-05-14",
    "interleaved-thinking-2025-05-14",
    "message-batches-2024-09-24",
    "pdfs-2024-09-25",
    "prompt-caching-2024-07-31",
    "skills-2025-10-02",
    "structured-outputs-2025-11-13",
    "token-counting-2024-11-01",
    "token-efficient-tools-2025-02-19",
];

/// An authenticated caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The key itself, used only to hash it.
    pub(crate) key: String,
    pub(crate) betas: BTreeSet<String>,
    /// Whether `anthropic-version` is older than the refusal of sampling fields.
    pub(crate) accepts_sampling: bool,
}

/// Checks the headers of any `/v1` call.
///
/// # Errors
/// 401 without an accepted key; 400 for the version, the betas or the body's type.
pub(crate) fn caller(headers: &HeaderMap, keys: Option<&[String]>, has_body: bool) -> Result<Caller, Problem> {
    let betas: BTreeSet<String> = headers
        .get_all("anthropic-beta")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    let key = key(headers, keys, &betas)?;
    let Some(version) = text(headers, "anthropic-version") else {
        return Err(Problem::invalid("anthropic-version: header is required"));
    };
    if !VERSIONS.contains(&version) {
        return Err(Problem::invalid(format!("anthropic-version: \"{version}\" is not a valid version")));
    }
    if let Some(unknown) = betas.iter().find(|name| !BETAS.contains(&name.as_str())) {
        return Err(Problem::invalid(format!("Unexpected value(s) `{unknown}` for the `anthropic-beta` header")));
    }
    let json = text(headers, "content-type").and_then(|value| value.split(';').next());
    if has_body && json.map(str::trim) != Some("application/json") {
        return Err(Problem::invalid("content-type: `application/json` is required"));
    }
    Ok(Caller { key, betas, accepts_sampling: version != VERSION_NEW })
}

/// Returns the key; `x-api-key` wins over the other header.
fn key(headers: &HeaderMap, keys: Option<&[String]>, betas: &BTreeSet<String>) -> Result<String, Problem> {
    let bearer = text(headers, "authorization").and_then(|value| value.strip_prefix("Bearer "));
    let Some(key) = text(headers, "x-api-key").or(bearer).filter(|key| !key.is_empty()) else {
        return Err(Problem::new(401, "x-api-key header or authorization: Bearer is required"));
    };
    if key.starts_with(OAUTH_PREFIX) && !betas.contains(OAUTH_BETA) {
        return Err(Problem::new(401, "OAuth authentication needs its beta header"));
    }
    match keys {
        Some(keys) if !keys.iter().any(|accepted| accepted == key) => Err(Problem::new(401, "invalid x-api-key")),
        _ => Ok(key.to_owned()),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &'static str) -> Option<&'a str> {
    headers.get(HeaderName::from_static(name)).and_then(|value| value.to_str().ok())
}
