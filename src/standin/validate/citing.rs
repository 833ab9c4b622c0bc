//! Citations: enabled for all of a request's documents or for none, and likewise for its search results; not together with a
//! structured answer; and echoed as they were given out.

use serde_json::{Map, Value};

use super::{Request, fields};
use crate::standin::cite::fields_of;
use crate::standin::problem::Problem;
use crate::standin::prompt::array;

/// Checks what a request says about citing.
pub(super) fn check(request: &Request<'_>) -> Result<(), Problem> {
    let (mut documents, mut results) = (Vec::new(), Vec::new());
    for (index, message) in array(&request.body["messages"]).iter().enumerate() {
        for (at, block) in array(&message["content"]).iter().enumerate() {
            let path = format!("messages.{index}.content.{at}");
            let inner = if block["type"] == "tool_result" { array(&block["content"]) } else { &[] };
            let inner = inner.iter().enumerate().map(|(at, block)| (format!("{path}.content.{at}"), block));
            for (path, block) in std::iter::once((path.clone(), block)).chain(inner) {
                match block["type"].as_str() {
                    Some("document") => documents.push(is_enabled(block, &path)?),
                    Some("search_result") => results.push(is_enabled(block, &path)?),
                    _ => {}
                }
            }
        }
    }
    for (what, enabled) in [("documents", &documents), ("search results", &results)] {
        if enabled.contains(&true) && enabled.contains(&false) {
            return Err(Problem::invalid(format!(
                "citations: must be enabled on all or none of the {what} in a request"
            )));
        }
    }
    let format = request.body.get("output_config").map_or(&Value::Null, |config| &config["format"]);
    if format.is_object() && (documents.contains(&true) || results.contains(&true)) {
        return Err(Problem::invalid("output_config.format: cannot be combined with citations"));
    }
    Ok(())
}

fn is_enabled(block: &Value, path: &str) -> Result<bool, Problem> {
    let path = format!("{path}.citations");
    match &block["citations"] {
        Value::Null => Ok(false),
        citations => {
            let citations = fields::object(citations, &path)?;
            fields::only(citations, &path, &["enabled"])?;
            let enabled = citations.get("enabled").unwrap_or(&Value::Bool(false));
            enabled
                .as_bool()
                .ok_or_else(|| Problem::invalid(format!("{path}.enabled: Input should be a valid boolean")))
        }
    }
}

/// Checks a search result's content: text blocks, which alone can be cited.
pub(super) fn check_result(block: &Map<String, Value>, path: &str) -> Result<(), Problem> {
    for name in ["source", "title"] {
        if fields::required_text(block, path, name)?.trim().is_empty() {
            return Err(Problem::invalid(format!("{path}.{name}: String should have at least 1 character")));
        }
    }
    let content = array(fields::required(block, path, "content")?);
    if content.is_empty() {
        return Err(Problem::invalid(format!("{path}.content: List should have at least 1 item")));
    }
    for (at, item) in content.iter().enumerate() {
        let path = format!("{path}.content.{at}");
        let item = fields::object(item, &path)?;
        fields::only(item, &path, &["type", "text", "cache_control"])?;
        if fields::required_text(item, &path, "type")? != "text" {
            return Err(Problem::invalid(format!("{path}.type: Input should be 'text'")));
        }
        if fields::required_text(item, &path, "text")?.trim().is_empty() {
            return Err(Problem::invalid(format!("{path}: text content blocks must contain non-whitespace text")));
        }
    }
    Ok(())
}

/// Checks the citations of a text that the assistant said.
pub(super) fn check_echoed(block: &Map<String, Value>, path: &str) -> Result<(), Problem> {
    for (at, citation) in block.get("citations").map(array).unwrap_or_default().iter().enumerate() {
        let path = format!("{path}.citations.{at}");
        let citation = fields::object(citation, &path)?;
        let Some(known) = fields_of(citation) else {
            return Err(Problem::invalid(format!("{path}.type: Input tag is no type of citation")));
        };
        let allowed: Vec<&str> = known.iter().copied().chain(["type"]).collect();
        fields::only(citation, &path, &allowed)?;
        fields::required_text(citation, &path, "cited_text")?;
    }
    Ok(())
}
