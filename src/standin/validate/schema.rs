//! Schemas of strict tools and of structured output, and their limits over a whole request.

use serde_json::Value;

use crate::standin::problem::Problem;

const STRICT_TOOLS_MAX: usize = 20;
const OPTIONAL_PROPERTIES_MAX: usize = 24;
const UNION_PROPERTIES_MAX: usize = 16;
/// How deep a schema may nest; a deeper one counts as recursive.
const DEPTH_MAX: usize = 32;
/// Keywords that the grammar compiler refuses.
const REFUSED_KEYWORDS: &[&str] =
    &["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength"];

/// Checks one strict schema: closed objects, no ranges or lengths, bounded depth.
pub(super) fn check_strict(schema: &Value, path: &str) -> Result<(), Problem> {
    check_level(schema, path, 0)
}

fn check_level(schema: &Value, path: &str, depth: usize) -> Result<(), Problem> {
    if depth > DEPTH_MAX {
        return Err(too_complex());
    }
    let Value::Object(fields) = schema else { return Ok(()) };
    if schema["type"] == "object" && schema["additionalProperties"] != false {
        return Err(Problem::invalid(format!(
            "{path}: For 'object' type, 'additionalProperties' must be explicitly set to false"
        )));
    }
    if let Some(keyword) = REFUSED_KEYWORDS.iter().find(|keyword| fields.contains_key(**keyword)) {
        return Err(Problem::invalid(format!("{path}: property '{keyword}' is not supported")));
    }
    children(schema).try_for_each(|(name, child)| check_level(child, &format!("{path}.{name}"), depth + 1))
}

/// Checks any tool's schema by the API's rules: no alternatives at the top, keys that match a pattern, valid JSON
/// Schema.
pub(super) fn check_any(schema: &Value, path: &str) -> Result<(), Problem> {
    if ["oneOf", "allOf", "anyOf"].iter().any(|word| schema.get(*word).is_some()) {
        return Err(Problem::invalid(format!(
            "{path}: input_schema does not support oneOf, allOf, or anyOf at the top level"
        )));
    }
    check_keys(schema, path, 0)?;
    if is_json_schema(schema, 0) {
        return Ok(());
    }
    Err(Problem::invalid(format!(
        "{path}: JSON schema is invalid. It must match JSON Schema draft 2020-12 (https://json-schema.org/draft/2020-12)."
    )))
}

fn check_keys(schema: &Value, path: &str, depth: usize) -> Result<(), Problem> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if let Some(properties) = schema["properties"].as_object() {
        for key in properties.keys() {
            if key.is_empty() || key.len() > 64 || !key.chars().all(plain) {
                return Err(Problem::invalid(format!(
                    "{path}.properties: Property keys should match pattern '^[a-zA-Z0-9_.-]{{1,64}}$'"
                )));
            }
        }
    }
    if depth > DEPTH_MAX {
        return Ok(());
    }
    children(schema).try_for_each(|(name, child)| check_keys(child, &format!("{path}.{name}"), depth + 1))
}

/// Returns whether a schema is free of the faults that MCP servers' schemas most often have: unknown types, keywords of
/// older drafts.
fn is_json_schema(schema: &Value, depth: usize) -> bool {
    let Some(fields) = schema.as_object() else { return schema.is_boolean() };
    let known = |name: &Value| {
        let names = ["array", "boolean", "integer", "null", "number", "object", "string"];
        name.as_str().is_some_and(|name| names.contains(&name))
    };
    let fine = fields.iter().all(|(word, value)| match word.as_str() {
        "type" => known(value) || value.as_array().is_some_and(|names| names.iter().all(known)),
        "properties" | "$defs" | "definitions" => value.is_object(),
        "items" => value.is_object() || value.is_boolean(),
        "required" => value.as_array().is_some_and(|names| names.iter().all(Value::is_string)),
        "enum" => value.is_array(),
        "exclusiveMinimum" | "exclusiveMaximum" | "minimum" | "maximum" => value.is_number(),
        "patternProperties" => value.as_object().is_some_and(|patterns| !patterns.keys().any(|key| key.contains(".*"))),
        "description" | "title" | "pattern" | "format" => value.is_string(),
        _ => true,
    });
    fine && depth <= DEPTH_MAX && children(schema).all(|(_, child)| is_json_schema(child, depth + 1))
}

/// Checks what all strict tools of a request together demand of the grammar compiler.
pub(super) fn check_strict_limits(tools: &[Value]) -> Result<(), Problem> {
    let strict: Vec<&Value> = tools.iter().filter(|tool| tool["strict"] == true).collect();
    let schemas = || strict.iter().map(|tool| &tool["input_schema"]);
    let optional: usize = schemas().map(|schema| count(schema, &optional_properties, 0)).sum();
    let unions: usize = schemas().map(|schema| count(schema, &union_properties, 0)).sum();
    if strict.len() > STRICT_TOOLS_MAX || optional > OPTIONAL_PROPERTIES_MAX || unions > UNION_PROPERTIES_MAX {
        return Err(too_complex());
    }
    Ok(())
}

fn too_complex() -> Problem {
    Problem::invalid("Schema is too complex for compilation")
}

fn count(schema: &Value, counted: &dyn Fn(&Value) -> usize, depth: usize) -> usize {
    if depth > DEPTH_MAX {
        return usize::MAX / 2;
    }
    counted(schema) + children(schema).map(|(_, child)| count(child, counted, depth + 1)).sum::<usize>()
}

fn optional_properties(schema: &Value) -> usize {
    let Some(properties) = schema["properties"].as_object() else { return 0 };
    let required = super::super::prompt::array(&schema["required"]);
    properties.keys().filter(|name| !required.iter().any(|required| required == name.as_str())).count()
}

fn union_properties(schema: &Value) -> usize {
    let Some(properties) = schema["properties"].as_object() else { return 0 };
    properties.values().filter(|property| property["type"].is_array() || property["anyOf"].is_array()).count()
}

/// Returns a schema's direct sub-schemas.
fn children(schema: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let named = ["properties", "$defs", "definitions"]
        .into_iter()
        .filter_map(|field| schema[field].as_object())
        .flat_map(|fields| fields.iter().map(|(name, child)| (name.as_str(), child)));
    let listed = ["anyOf", "allOf", "oneOf"]
        .into_iter()
        .filter_map(|field| Some((field, schema[field].as_array()?)))
        .flat_map(|(field, items)| items.iter().map(move |child| (field, child)));
    named.chain(listed).chain(schema["items"].is_object().then(|| ("items", &schema["items"])))
}
