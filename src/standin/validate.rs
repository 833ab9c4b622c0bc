//! Decides whether the real API would accept a request, by our own rules over plain JSON.
//!
//! It shares nothing with `crate::claude`: the client must not be judged by its own types.

mod blocks;
mod caching;
mod citing;
mod fields;
mod headers;
mod media;
pub(super) mod messages;
mod pairing;
mod schema;
mod thinking;
mod tools;

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::models::{self, Model};
use super::problem::Problem;
pub(super) use fields::only;
pub(super) use headers::{Caller, caller};

/// Messages in one request, at most.
const MESSAGES_MAX: usize = 100_000;
/// Characters in `metadata.user_id`, at most.
const USER_ID_CHARS_MAX: usize = 256;

/// The endpoint, which decides on the allowed fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Messages,
    CountTokens,
}

/// What the rules examine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    pub(super) endpoint: Endpoint,
    pub(super) caller: &'a Caller,
    pub(super) model: &'static Model,
    pub(super) body: &'a Map<String, Value>,
    /// Block types unknown to the tables that this stand-in gave out.
    pub(super) given_types: &'a BTreeSet<String>,
    /// The texts of turns that this stand-in paused.
    pub(super) paused: &'a BTreeSet<String>,
}

/// Fields allowed in every request.
const SHARED_FIELDS: &[&str] =
    &["model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control", "speed"];
/// Fields allowed only when creating a message.
const CREATE_FIELDS: &[&str] = &[
    "max_tokens",
    "stop_sequences",
    "stream",
    "metadata",
    "service_tier",
    "container",
    "diagnostics",
    "inference_geo",
];
/// Sampling fields: refused since 2026-10-21, and by current models under any version.
const SAMPLING_FIELDS: &[&str] = &["temperature", "top_p", "top_k"];
/// Fields that need one of these betas.
const BETA_FIELDS: &[(&str, &[&str])] = &[
    ("context_management", &["context-management-2025-06-27", "compact-2026-01-12"]),
    ("compaction", &["compact-2026-09-04"]),
    ("mcp_servers", &["mcp-client-2025-11-20", "mcp-client-2026-09-15"]),
    ("fallbacks", &["server-side-fallback-2026-07-01"]),
    ("fallback_credit_token", &["fallback-credit-2026-07-01"]),
    ("thread", &["message-threads-2026-08-12"]),
    ("billing_policy", &["fallback-credit-2026-07-01"]),
];

/// Checks a body against every rule and returns the first violation.
///
/// # Errors
/// The API's 400, or its 404 for an unknown model.
pub(super) fn request(
    endpoint: Endpoint,
    caller: &Caller,
    body: &Value,
    (given_types, paused): (&BTreeSet<String>, &BTreeSet<String>),
) -> Result<&'static Model, Problem> {
    let Value::Object(body) = body else {
        return Err(Problem::invalid("The request body is not valid JSON: an object is expected"));
    };
    let name = fields::required(body, "", "model")?;
    let Some(name) = name.as_str() else { return Err(Problem::invalid("model: Input should be a valid string")) };
    check_presence(endpoint, body)?;
    let Some(model) = models::find(name) else { return Err(Problem::new(404, format!("model: {name}"))) };
    let request = Request { endpoint, caller, model, body, given_types, paused };
    check_field_names(&request)?;
    check_scalars(&request)?;
    tools::check(&request)?;
    thinking::check(&request)?;
    messages::check_system(&request)?;
    messages::check(&request)?;
    media::check_count(&body["messages"])?;
    citing::check(&request)?;
    pairing::check(&request)?;
    caching::check(&request)?;
    Ok(model)
}

fn check_presence(endpoint: Endpoint, body: &Map<String, Value>) -> Result<(), Problem> {
    if endpoint == Endpoint::Messages {
        fields::required(body, "", "max_tokens")?;
    }
    let messages = fields::required(body, "", "messages")?;
    match messages.as_array().map(Vec::len) {
        None => Err(Problem::invalid("messages: Input should be a valid list")),
        Some(0) => Err(Problem::invalid("messages: at least one message is required")),
        Some(1..=MESSAGES_MAX) => Ok(()),
        Some(_) => Err(Problem::invalid(format!("messages: List should have at most {MESSAGES_MAX} items"))),
    }
}

fn check_field_names(request: &Request<'_>) -> Result<(), Problem> {
    let creating = request.endpoint == Endpoint::Messages;
    for name in request.body.keys().map(String::as_str) {
        if SHARED_FIELDS.contains(&name) || (creating && CREATE_FIELDS.contains(&name)) {
            continue;
        }
        if SAMPLING_FIELDS.contains(&name) && creating && request.caller.accepts_sampling {
            if request.model.refuses_sampling {
                return Err(Problem::invalid(format!("{name}: sampling parameters are not supported on this model")));
            }
            continue;
        }
        let beta = BETA_FIELDS.iter().find(|(field, _)| *field == name);
        if !beta.is_some_and(|(_, names)| names.iter().any(|beta| request.caller.betas.contains(*beta))) {
            return Err(Problem::extra(name));
        }
    }
    Ok(())
}

fn check_scalars(request: &Request<'_>) -> Result<(), Problem> {
    let body = request.body;
    if request.endpoint == Endpoint::Messages {
        check_max_tokens(request)?;
    }
    if body.get("stream").is_some_and(|stream| !stream.is_boolean()) {
        return Err(Problem::invalid("stream: Input should be a valid boolean"));
    }
    fields::one_of(body, "", "service_tier", &["auto", "standard_only"])?;
    fields::one_of(body, "", "speed", &["standard", "fast"])?;
    if let Some(sequences) = body.get("stop_sequences") {
        let texts = sequences.as_array().ok_or_else(|| Problem::invalid("stop_sequences: Input should be a list"))?;
        for (index, text) in texts.iter().enumerate() {
            let Some(text) = text.as_str() else {
                return Err(Problem::invalid(format!("stop_sequences.{index}: Input should be a valid string")));
            };
            if text.trim().is_empty() {
                return Err(Problem::invalid(format!(
                    "stop_sequences: each stop sequence must contain non-whitespace (index {index})"
                )));
            }
        }
    }
    check_metadata(body)
}

fn check_max_tokens(request: &Request<'_>) -> Result<(), Problem> {
    let Some(max) = request.body.get("max_tokens").and_then(Value::as_u64) else {
        return Err(Problem::invalid("max_tokens: Input should be a valid integer of at least 0"));
    };
    let model = request.model;
    if max > model.output_tokens_max {
        return Err(Problem::invalid(format!(
            "max_tokens: {max} > {}, which is the maximum allowed number of output tokens for {}",
            model.output_tokens_max, model.id
        )));
    }
    let refused = [
        ("stream", request.body.get("stream") == Some(&Value::Bool(true))),
        ("thinking", request.body.get("thinking").is_some_and(|thinking| thinking["type"] == "enabled")),
        ("output_config.format", request.body.get("output_config").is_some_and(|config| config["format"].is_object())),
        (
            "tool_choice",
            request.body.get("tool_choice").is_some_and(|choice| choice["type"] == "any" || choice["type"] == "tool"),
        ),
    ];
    match refused.iter().find(|(_, present)| max == 0 && *present) {
        Some((field, _)) => Err(Problem::invalid(format!("max_tokens: 0 cannot be combined with `{field}`"))),
        None => Ok(()),
    }
}

fn check_metadata(body: &Map<String, Value>) -> Result<(), Problem> {
    let Some(metadata) = body.get("metadata") else { return Ok(()) };
    let Some(metadata) = metadata.as_object() else {
        return Err(Problem::invalid("metadata: Input should be an object"));
    };
    fields::only(metadata, "metadata", &["user_id"])?;
    match metadata.get("user_id") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(id)) if id.chars().count() <= USER_ID_CHARS_MAX => Ok(()),
        Some(_) => Err(Problem::invalid(format!(
            "metadata.user_id: Input should be a string of at most {USER_ID_CHARS_MAX} characters"
        ))),
    }
}
