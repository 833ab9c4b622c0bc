//! Message roles and their order.

use serde_json::Value;

use super::{
    Request,
    blocks::{self, Role},
    fields, headers,
};
use crate::standin::problem::Problem;
use crate::standin::prompt::array;

/// Checks the `system` field.
pub(super) fn check_system(request: &Request<'_>) -> Result<(), Problem> {
    match request.body.get("system") {
        None | Some(Value::String(_)) => Ok(()),
        Some(Value::Array(items)) => blocks::check_texts(request, items, "system"),
        Some(_) => Err(Problem::invalid("system: Input should be a valid string or a list of text blocks")),
    }
}

/// Checks every message, then the order of their roles.
pub(super) fn check(request: &Request<'_>) -> Result<(), Problem> {
    let messages = array(&request.body["messages"]);
    for (index, message) in messages.iter().enumerate() {
        check_message(request, message, &format!("messages.{index}"))?;
    }
    if messages.first().and_then(Role::of) != Some(Role::User) {
        return Err(Problem::invalid("messages: first message must use the \"user\" role"));
    }
    for index in 0..messages.len() {
        check_system_place(request, messages, index)?;
    }
    check_last(request, messages)
}

fn check_message(request: &Request<'_>, message: &Value, path: &str) -> Result<(), Problem> {
    let object = fields::object(message, path)?;
    fields::required(object, path, "role")?;
    let Some(role) = Role::of(message) else {
        return Err(Problem::invalid(format!("{path}.role: Input should be 'user', 'assistant' or 'system'")));
    };
    let mut allowed = vec!["role", "content"];
    if role == Role::System {
        let beta = |name: &str| request.caller.betas.contains(name);
        if beta("mid-conversation-system-clear-at-2026-08-21") {
            allowed.push("clear_at");
        }
        if beta("mid-conversation-output-config-2026-07-01") || beta(headers::PER_TURN_BETA) {
            allowed.push("output_config");
        }
    }
    fields::only(object, path, &allowed)?;
    match fields::required(object, path, "content")? {
        Value::String(text) if text.is_empty() => Err(empty(path)),
        Value::String(text) if text.trim().is_empty() => Err(blocks::blank(path)),
        Value::String(_) => Ok(()),
        Value::Array(items) if items.is_empty() => Err(empty(path)),
        Value::Array(items) if role == Role::System => blocks::check_texts(request, items, &format!("{path}.content")),
        Value::Array(items) => blocks::check(request, role, items, &format!("{path}.content")),
        _ => Err(Problem::invalid(format!("{path}.content: Input should be a valid string or list"))),
    }
}

fn empty(path: &str) -> Problem {
    Problem::invalid(format!("{path}: all messages must have non-empty content"))
}

fn check_system_place(request: &Request<'_>, messages: &[Value], index: usize) -> Result<(), Problem> {
    if messages.get(index).and_then(Role::of) != Some(Role::System) {
        return Ok(());
    }
    if !request.model.system_turns {
        return Err(Problem::invalid(format!(
            "messages.{index}: role 'system' is not supported on this model ({})",
            request.model.id
        )));
    }
    let before = index.checked_sub(1).and_then(|before| messages.get(before));
    let follows = match before.and_then(Role::of) {
        Some(Role::User) => true,
        Some(Role::Assistant) => before.is_some_and(ends_in_server_tool_result),
        Some(Role::System) | None => false,
    };
    if !follows {
        return Err(Problem::invalid(format!(
            "messages.{index}: a system message must follow a user message or a server tool's result"
        )));
    }
    match messages.get(index + 1).map(Role::of) {
        None | Some(Some(Role::Assistant)) => Ok(()),
        Some(_) => Err(Problem::invalid(format!(
            "messages.{index}: a system message must be last or be followed by an assistant message"
        ))),
    }
}

fn check_last(request: &Request<'_>, messages: &[Value]) -> Result<(), Problem> {
    let Some(last) = messages.last().filter(|last| Role::of(last) == Some(Role::Assistant)) else { return Ok(()) };
    let content = array(&last["content"]);
    let paused = content.iter().any(|block| block["type"] == "server_tool_use")
        || request.paused.iter().any(|paused| *paused == texts(content));
    if paused || request.model.prefill {
        return Ok(());
    }
    Err(Problem::invalid(
        "This model does not support assistant message prefill. The conversation must end with a user message.",
    ))
}

/// Returns all text of a turn, to recognise a paused one.
pub(in crate::standin) fn texts(content: &[Value]) -> String {
    content.iter().filter_map(|block| block["text"].as_str()).collect()
}

fn ends_in_server_tool_result(message: &Value) -> bool {
    let last = array(&message["content"]).last();
    last.and_then(|block| block["type"].as_str()).is_some_and(|kind| kind.ends_with("_tool_result"))
}
