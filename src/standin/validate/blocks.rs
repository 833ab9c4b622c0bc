//! Content blocks: their types for each role, and their fields.

use serde_json::{Map, Value};

use super::{Request, citing, fields, media};
use crate::standin::problem::Problem;

/// A message's role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    User,
    Assistant,
    System,
}

impl Role {
    pub(super) fn of(message: &Value) -> Option<Self> {
        match message["role"].as_str()? {
            "user" => Some(Self::User),
            "assistant" => Some(Self::Assistant),
            "system" => Some(Self::System),
            _ => None,
        }
    }
}

const USER_TYPES: &[&str] = &["text", "image", "document", "search_result", "tool_result", "container_upload"];
const ASSISTANT_TYPES: &[&str] = &[
    "text",
    "thinking",
    "redacted_thinking",
    "tool_use",
    "server_tool_use",
    "web_search_tool_result",
    "web_fetch_tool_result",
    "code_execution_tool_result",
    "bash_code_execution_tool_result",
    "text_editor_code_execution_tool_result",
    "tool_search_tool_result",
    "container_upload",
];
const TOOL_RESULT_TYPES: &[&str] = &["text", "image", "document", "search_result", "tool_reference"];
const TEXT_FIELDS: &[&str] = &["type", "text", "citations", "cache_control"];
/// What a result of code execution may say went wrong.
const COMPUTING_ERRORS: &[&str] = &[
    "invalid_tool_input",
    "unavailable",
    "too_many_requests",
    "execution_time_exceeded",
    "output_file_too_large",
    "file_not_found",
    "container_expired",
];
/// Allowed fields of the fully checked block types; others need only a type.
const BLOCK_FIELDS: &[(&str, &[&str])] = &[
    ("text", TEXT_FIELDS),
    ("thinking", &["type", "thinking", "signature"]),
    ("redacted_thinking", &["type", "data"]),
    ("tool_use", &["type", "id", "name", "input", "caller", "toolset_name", "cache_control"]),
    ("server_tool_use", &["type", "id", "name", "input", "caller", "cache_control"]),
    ("tool_result", &["type", "tool_use_id", "content", "is_error", "toolset_name", "cache_control"]),
    ("image", &["type", "source", "transformations", "cache_control"]),
    ("document", &["type", "source", "title", "context", "citations", "cache_control"]),
    ("search_result", &["type", "source", "title", "content", "citations", "cache_control"]),
    ("bash_code_execution_tool_result", RESULT_FIELDS),
    ("code_execution_tool_result", RESULT_FIELDS),
    ("text_editor_code_execution_tool_result", RESULT_FIELDS),
];
/// Fields of a result of code execution.
const RESULT_FIELDS: &[&str] = &["type", "tool_use_id", "content", "cache_control"];

/// Checks the blocks of a user or assistant message.
pub(super) fn check(request: &Request<'_>, role: Role, items: &[Value], path: &str) -> Result<(), Problem> {
    for (index, item) in items.iter().enumerate() {
        check_block(request, role, item, &format!("{path}.{index}"))?;
    }
    Ok(())
}

/// Checks a list that may hold only text: the system prompt, system messages.
pub(super) fn check_texts(request: &Request<'_>, items: &[Value], path: &str) -> Result<(), Problem> {
    for (index, item) in items.iter().enumerate() {
        let path = format!("{path}.{index}");
        let block = fields::object(item, &path)?;
        if fields::required_text(block, &path, "type")? != "text" {
            return Err(Problem::invalid(format!("{path}.type: Input should be 'text'")));
        }
        fields::only(block, &path, TEXT_FIELDS)?;
        check_text(request, Role::System, block, &path)?;
    }
    Ok(())
}

pub(super) fn blank(path: &str) -> Problem {
    Problem::invalid(format!("{path}: text content blocks must contain non-whitespace text"))
}

fn check_block(request: &Request<'_>, role: Role, item: &Value, path: &str) -> Result<(), Problem> {
    let block = fields::object(item, path)?;
    let kind = fields::required_text(block, path, "type")?;
    check_type(request, role, kind, path)?;
    if let Some((_, allowed)) = BLOCK_FIELDS.iter().find(|(name, _)| *name == kind) {
        fields::only(block, &format!("{path}.{kind}"), allowed)?;
    }
    match kind {
        "text" => check_text(request, role, block, path),
        "thinking" => {
            fields::required_text(block, path, "thinking")?;
            fields::required_text(block, path, "signature").map(|_| ())
        }
        "redacted_thinking" => fields::required_text(block, path, "data").map(|_| ()),
        "tool_use" | "server_tool_use" => check_call(block, path),
        computed if computed.ends_with("code_execution_tool_result") => check_computed(block, path),
        "tool_result" => check_result(request, block, path),
        "image" => media::check_image(block, path),
        "document" => media::check_document(block, path),
        "search_result" => citing::check_result(block, path),
        _ => Ok(()),
    }
}

fn check_type(request: &Request<'_>, role: Role, kind: &str, path: &str) -> Result<(), Problem> {
    let allowed = if role == Role::Assistant { ASSISTANT_TYPES } else { USER_TYPES };
    let given = role == Role::Assistant && request.given_types.contains(kind);
    let beta = kind.starts_with("mcp_") && request.caller.betas.iter().any(|name| name.starts_with("mcp-client-"));
    let old_document = kind == "document" && role == Role::Assistant && request.caller.accepts_sampling;
    if allowed.contains(&kind) || given || beta || old_document {
        return Ok(());
    }
    let known = USER_TYPES.contains(&kind) || ASSISTANT_TYPES.contains(&kind);
    let who = if role == Role::Assistant { "assistant" } else { "user" };
    Err(Problem::invalid(if known {
        format!("{path}: `{kind}` blocks are not permitted in `{who}` messages")
    } else {
        format!("{path}.type: Input tag '{kind}' does not match any of the expected tags")
    }))
}

fn check_text(request: &Request<'_>, role: Role, block: &Map<String, Value>, path: &str) -> Result<(), Problem> {
    let text = fields::required_text(block, path, "text")?;
    if text.is_empty() {
        return Err(Problem::invalid(format!("{path}: text content blocks must be non-empty")));
    }
    if text.trim().is_empty() {
        return Err(blank(path));
    }
    let cited = block.get("citations").and_then(Value::as_array).is_some_and(|citations| !citations.is_empty());
    if cited && role == Role::User && !request.caller.accepts_sampling {
        return Err(Problem::extra(&format!("{path}.text.citations")));
    }
    if role == Role::Assistant { citing::check_echoed(block, path) } else { Ok(()) }
}

fn check_call(block: &Map<String, Value>, path: &str) -> Result<(), Problem> {
    let id = fields::required_text(block, path, "id")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if id.is_empty() || !id.chars().all(plain) {
        return Err(Problem::invalid(format!("{path}.id: String should match pattern '^[a-zA-Z0-9_-]+$'")));
    }
    fields::required_text(block, path, "name")?;
    fields::object(fields::required(block, path, "input")?, &fields::join(path, "input")).map(|_| ())
}

/// Checks a result of code execution: its content is a result, or an error that the API knows.
fn check_computed(block: &Map<String, Value>, path: &str) -> Result<(), Problem> {
    fields::required_text(block, path, "tool_use_id")?;
    let path = fields::join(path, "content");
    let content = fields::object(block.get("content").unwrap_or(&Value::Null), &path)?;
    let kind = fields::required_text(content, &path, "type")?;
    if kind.ends_with("_error") {
        let code = fields::required_text(content, &path, "error_code")?;
        if !COMPUTING_ERRORS.contains(&code) {
            return Err(Problem::invalid(format!("{path}.error_code: Input should be an error of code execution")));
        }
        return Ok(());
    }
    if kind.ends_with("code_execution_result") && !kind.starts_with("text_editor") {
        for name in ["return_code", "stderr", "content"] {
            fields::required(content, &path, name)?;
        }
    }
    Ok(())
}

fn check_result(request: &Request<'_>, block: &Map<String, Value>, path: &str) -> Result<(), Problem> {
    fields::required_text(block, path, "tool_use_id")?;
    if block.get("is_error").is_some_and(|flag| !flag.is_boolean()) {
        return Err(Problem::invalid(format!("{path}.is_error: Input should be a valid boolean")));
    }
    let items = match block.get("content") {
        None | Some(Value::Null | Value::String(_)) => return Ok(()),
        Some(Value::Array(items)) => items,
        Some(_) => return Err(Problem::invalid(format!("{path}.content: Input should be a valid string or list"))),
    };
    for (index, item) in items.iter().enumerate() {
        let path = format!("{path}.content.{index}");
        let inner = fields::object(item, &path)?;
        let kind = fields::required_text(inner, &path, "type")?;
        if !TOOL_RESULT_TYPES.contains(&kind) {
            return Err(Problem::invalid(format!("{path}.type: Input tag '{kind}' is not permitted in a tool_result")));
        }
        match kind {
            "text" => check_text(request, Role::User, inner, &path)?,
            "image" => media::check_image(inner, &path)?,
            "document" => media::check_document(inner, &path)?,
            "search_result" => {
                let allowed = BLOCK_FIELDS.iter().find(|(name, _)| *name == kind).map_or(&[][..], |(_, fields)| fields);
                fields::only(inner, &format!("{path}.{kind}"), allowed)?;
                citing::check_result(inner, &path)?;
            }
            _ => {}
        }
    }
    Ok(())
}
