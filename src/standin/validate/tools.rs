//! Tool definitions and `tool_choice`.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Request, fields, schema};
use crate::standin::problem::Problem;
use crate::standin::prompt::array;

const NAME_CHARS_MAX: usize = 64;
const CUSTOM_FIELDS: &[&str] = &[
    "type",
    "name",
    "description",
    "input_schema",
    "strict",
    "input_examples",
    "cache_control",
    "defer_loading",
    "eager_input_streaming",
    "allowed_callers",
];
/// Types of Anthropic's own tools.
const SERVER_TYPES: &[&str] = &[
    "web_search_20260318",
    "web_search_20260209",
    "web_search_20250305",
    "web_fetch_20260318",
    "web_fetch_20260309",
    "web_fetch_20260209",
    "web_fetch_20250910",
    "code_execution_20260521",
    "code_execution_20260120",
    "code_execution_20250825",
    "tool_search_tool_regex_20251119",
    "tool_search_tool_bm25_20251119",
    "memory_20250818",
    "bash_20250124",
    "text_editor_20250728",
    "computer_toolset_20260801",
    "browser_toolset_20260801",
];
/// Types that need a beta, and the prefix of its name.
const BETA_TYPES: &[(&str, &str)] = &[("advisor_20260301", "advisor-tool-"), ("mcp_toolset", "mcp-client-")];

/// Checks `tools` and `tool_choice`.
pub(super) fn check(request: &Request<'_>) -> Result<(), Problem> {
    let tools = match request.body.get("tools") {
        None => &[][..],
        Some(Value::Array(tools)) => tools.as_slice(),
        Some(_) => return Err(Problem::invalid("tools: Input should be a valid list")),
    };
    let mut names = BTreeSet::new();
    for (index, tool) in tools.iter().enumerate() {
        let name = check_tool(request, tool, &format!("tools.{index}"))?;
        if !name.is_empty() && !names.insert(name) {
            return Err(Problem::invalid("tools: Tool names must be unique."));
        }
    }
    schema::check_strict_limits(tools)?;
    check_choice(request, &names)
}

fn check_tool<'a>(request: &Request<'_>, tool: &'a Value, path: &str) -> Result<&'a str, Problem> {
    let object = fields::object(tool, path)?;
    match object.get("type") {
        None | Some(Value::Null) => check_custom(object, &format!("{path}.custom")),
        Some(Value::String(kind)) if kind == "custom" => check_custom(object, &format!("{path}.custom")),
        Some(Value::String(kind)) => {
            let beta = BETA_TYPES.iter().find(|(name, _)| name == kind);
            let allowed = beta.is_some_and(|(_, prefix)| request.caller.betas.iter().any(|b| b.starts_with(prefix)));
            if !allowed && !SERVER_TYPES.contains(&kind.as_str()) {
                return Err(Problem::invalid(format!(
                    "{path}: Input tag '{kind}' found using 'type' does not match any of the expected tags"
                )));
            }
            Ok(object.get("name").and_then(Value::as_str).unwrap_or_default())
        }
        Some(_) => Err(Problem::invalid(format!("{path}.type: Input should be a valid string"))),
    }
}

fn check_custom<'a>(tool: &'a Map<String, Value>, path: &str) -> Result<&'a str, Problem> {
    fields::only(tool, path, CUSTOM_FIELDS)?;
    let name = fields::required_text(tool, path, "name")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.chars().all(plain) {
        return Err(Problem::invalid(format!("{path}.name: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'")));
    }
    if tool.get("description").is_some_and(|text| !text.is_string()) {
        return Err(Problem::invalid(format!("{path}.description: Input should be a valid string")));
    }
    for flag in ["strict", "defer_loading"] {
        if tool.get(flag).is_some_and(|value| !value.is_boolean()) {
            return Err(Problem::invalid(format!("{path}.{flag}: Input should be a valid boolean")));
        }
    }
    let schema_path = fields::join(path, "input_schema");
    let input_schema = fields::object(fields::required(tool, path, "input_schema")?, &schema_path)?;
    if fields::required(input_schema, &schema_path, "type")? != "object" {
        return Err(Problem::invalid(format!("{schema_path}.type: Input should be 'object'")));
    }
    schema::check_any(&Value::Object(input_schema.clone()), &schema_path)?;
    if tool.get("strict") == Some(&Value::Bool(true)) {
        schema::check_strict(&Value::Object(input_schema.clone()), &schema_path)?;
    }
    Ok(name)
}

fn check_choice(request: &Request<'_>, names: &BTreeSet<&str>) -> Result<(), Problem> {
    let Some(choice) = request.body.get("tool_choice") else { return Ok(()) };
    let choice = fields::object(choice, "tool_choice")?;
    let kind = fields::required_text(choice, "tool_choice", "type")?;
    let allowed: &[&str] = match kind {
        "auto" | "any" => &["type", "disable_parallel_tool_use"],
        "tool" => &["type", "name", "disable_parallel_tool_use"],
        "none" => &["type"],
        _ => {
            return Err(Problem::invalid("tool_choice.type: Input should be 'auto', 'any', 'tool' or 'none'"));
        }
    };
    fields::only(choice, &format!("tool_choice.{kind}"), allowed)?;
    if !matches!(kind, "any" | "tool") {
        return Ok(());
    }
    if request.model.refuses_forced_tools {
        return Err(Problem::invalid(format!(
            "tool_choice: forcing tool use with type '{kind}' is not supported on {}",
            request.model.id
        )));
    }
    if request.body.get("thinking").is_some_and(|thinking| thinking["type"] == "enabled") {
        return Err(Problem::invalid("Thinking may not be enabled when tool_choice forces tool use."));
    }
    if array(&request.body.get("tools").cloned().unwrap_or_default()).is_empty() {
        return Err(Problem::invalid("tool_choice: may only be specified while providing tools"));
    }
    if kind == "tool" {
        let name = fields::required_text(choice, "tool_choice.tool", "name")?;
        if !names.contains(name) {
            return Err(Problem::invalid(format!("Tool '{name}' not found in provided tools")));
        }
    }
    Ok(())
}
