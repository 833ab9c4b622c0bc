//! Checks `thinking` and `output_config` against the model's row.

use serde_json::{Map, Value};

use super::{Request, fields, schema};
use crate::standin::models::Disabled;
use crate::standin::problem::Problem;

const BUDGET_TOKENS_MIN: u64 = 1024;
const EFFORTS: &[&str] = &["low", "medium", "high", "xhigh", "max"];
const BINDING_BETA: &str = "thinking-binding-controls-2026-08-01";
const TASK_BUDGET_BETA: &str = "task-budgets-2026-03-13";

/// Checks both fields.
pub(super) fn check(request: &Request<'_>) -> Result<(), Problem> {
    let effort = check_output_config(request)?;
    check_thinking(request, effort)
}

fn check_output_config<'a>(request: &Request<'a>) -> Result<Option<&'a str>, Problem> {
    let Some(config) = request.body.get("output_config") else { return Ok(None) };
    let config = fields::object(config, "output_config")?;
    let mut allowed = vec!["effort", "format"];
    if request.caller.betas.contains(TASK_BUDGET_BETA) {
        allowed.push("task_budget");
    }
    fields::only(config, "output_config", &allowed)?;
    fields::one_of(config, "output_config", "effort", EFFORTS)?;
    let effort = config.get("effort").and_then(Value::as_str);
    if let Some(effort) = effort.filter(|effort| !request.model.efforts.contains(effort)) {
        let model = request.model.id;
        return Err(Problem::invalid(match request.model.efforts {
            [] => format!("This model does not support the effort parameter ({model})."),
            _ => format!("output_config.effort: '{effort}' is not supported on {model}"),
        }));
    }
    if let Some(format) = config.get("format").filter(|format| !format.is_null()) {
        check_format(format)?;
    }
    Ok(effort)
}

fn check_format(format: &Value) -> Result<(), Problem> {
    let path = "output_config.format";
    let format = fields::object(format, path)?;
    fields::only(format, path, &["type", "schema"])?;
    if fields::required_text(format, path, "type")? != "json_schema" {
        return Err(Problem::invalid("output_config.format.type: Input should be 'json_schema'"));
    }
    schema::check_strict(fields::required(format, path, "schema")?, "output_config.format.schema")
}

fn check_thinking(request: &Request<'_>, effort: Option<&str>) -> Result<(), Problem> {
    let Some(thinking) = request.body.get("thinking") else { return Ok(()) };
    let thinking = fields::object(thinking, "thinking")?;
    let kind = fields::required_text(thinking, "thinking", "type")?;
    let types = request.model.thinking;
    let above_high = matches!(effort, Some("xhigh" | "max"));
    let accepted = match kind {
        "adaptive" => types.adaptive,
        "enabled" => types.enabled,
        "disabled" => match types.disabled {
            Disabled::Accepted => true,
            Disabled::UpToHighEffort => !above_high,
            Disabled::Rejected => false,
        },
        "between_tools" => types.between_tools && !above_high,
        _ => return Err(Problem::invalid(format!("thinking: Input tag '{kind}' does not match any expected tag"))),
    };
    if !accepted {
        let with = effort.map(|effort| format!(" with effort '{effort}'")).unwrap_or_default();
        return Err(Problem::invalid(format!(
            "thinking.type: '{kind}' is not supported on {}{with}",
            request.model.id
        )));
    }
    check_fields(request, thinking, kind)
}

fn check_fields(request: &Request<'_>, thinking: &Map<String, Value>, kind: &str) -> Result<(), Problem> {
    let mut allowed = match kind {
        "adaptive" => vec!["type", "display"],
        "enabled" => vec!["type", "budget_tokens", "display"],
        _ => vec!["type"],
    };
    if request.caller.betas.contains(BINDING_BETA) {
        allowed.push("block_binding");
    }
    let path = format!("thinking.{kind}");
    fields::only(thinking, &path, &allowed)?;
    fields::one_of(thinking, &path, "display", &["summarized", "omitted", "updates"])?;
    if kind != "enabled" {
        return Ok(());
    }
    let budget = fields::required(thinking, &path, "budget_tokens")?.as_u64().unwrap_or(0);
    if budget < BUDGET_TOKENS_MIN {
        return Err(Problem::invalid(format!(
            "{path}.budget_tokens: Input should be greater than or equal to {BUDGET_TOKENS_MIN}"
        )));
    }
    match request.body.get("max_tokens").and_then(Value::as_u64) {
        Some(max) if max <= budget => {
            Err(Problem::invalid("`max_tokens` must be greater than `thinking.budget_tokens`"))
        }
        _ => Ok(()),
    }
}
