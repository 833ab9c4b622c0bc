//! Which schemas the Messages API accepts: a refused one would make every request of a coworker fail.
//!
//! Checks the JSON Schema keywords (draft 2020-12) that servers use, and the API's further demands. Checking too
//! strictly costs one tool; checking too little costs all of them.

use serde_json::{Map, Value};

/// How deep a schema may nest.
pub(super) const DEPTH_MAX: usize = 24;
/// Most sub-schemas of a schema.
pub(super) const PARTS_MAX: usize = 2_000;
/// Most characters of a property's name.
const KEY_CHARS_MAX: usize = 64;

/// Keywords whose value is a schema.
pub(super) const ONE: [&str; 9] = [
    "additionalProperties",
    "contains",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedProperties",
];
/// Keywords whose value is a list of schemas.
pub(super) const LISTED: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
/// Keywords whose value maps names to schemas.
const NAMED: [&str; 4] = ["$defs", "definitions", "dependentSchemas", "properties"];
/// Keywords whose value is a number.
const NUMBERS: [&str; 5] = ["exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf"];
/// Keywords whose value is a count.
const COUNTS: [&str; 8] =
    ["maxContains", "maxItems", "maxLength", "maxProperties", "minContains", "minItems", "minLength", "minProperties"];
/// Keywords whose value is text.
const TEXTS: [&str; 9] =
    ["$anchor", "$comment", "$id", "$ref", "$schema", "contentEncoding", "description", "format", "title"];
/// Keywords whose value is a boolean.
const FLAGS: [&str; 4] = ["deprecated", "readOnly", "uniqueItems", "writeOnly"];
/// The valid type names.
const TYPES: [&str; 7] = ["array", "boolean", "integer", "null", "number", "object", "string"];

/// Returns why the API would refuse a tool's schema, for an operator; `None` if it would not.
#[must_use]
pub(crate) fn fault(schema: &Value) -> Option<String> {
    let Value::Object(root) = schema else { return Some("its schema is no object".to_owned()) };
    if let Some(word) = ["oneOf", "anyOf", "allOf"].into_iter().find(|word| root.contains_key(*word)) {
        return Some(format!("its schema has {word} at the top, which the API refuses"));
    }
    if root.get("type") != Some(&Value::from("object")) {
        return Some("its schema is not of an object".to_owned());
    }
    let mut check = Check { root, parts: 0, refs: Vec::new() };
    check.schema(schema, 0).err()
}

struct Check<'a> {
    root: &'a Map<String, Value>,
    parts: usize,
    /// References being followed.
    refs: Vec<&'a str>,
}

impl<'a> Check<'a> {
    fn schema(&mut self, schema: &'a Value, depth: usize) -> Result<(), String> {
        self.parts += 1;
        if depth > DEPTH_MAX || self.parts > PARTS_MAX {
            return Err("its schema is too deep or too large".to_owned());
        }
        let fields = match schema {
            Value::Bool(_) => return Ok(()),
            Value::Object(fields) => fields,
            _ => return Err("its schema holds something that is no schema".to_owned()),
        };
        for (word, value) in fields {
            self.word(word, value, depth)?;
        }
        let Some(to) = fields.get("$ref").and_then(Value::as_str) else { return Ok(()) };
        if self.refs.contains(&to) {
            return Err("its schema refers to itself".to_owned());
        }
        let target = self.target(to).ok_or("its schema refers to what is not in it")?;
        self.refs.push(to);
        let checked = self.schema(target, depth + 1);
        self.refs.pop();
        checked
    }

    fn word(&mut self, word: &str, value: &'a Value, depth: usize) -> Result<(), String> {
        let wrong = || Err(format!("`{word}` in its schema is not as JSON Schema 2020-12 has it"));
        match word {
            _ if ONE.contains(&word) => self.schema(value, depth + 1).map_err(|fault| match value {
                Value::Array(_) => format!("`{word}` in its schema is a list, which JSON Schema 2020-12 does not know"),
                _ => fault,
            }),
            _ if LISTED.contains(&word) => match value.as_array() {
                Some(listed) if !listed.is_empty() => listed.iter().try_for_each(|one| self.schema(one, depth + 1)),
                _ => wrong(),
            },
            _ if NAMED.contains(&word) => {
                let Some(named) = value.as_object() else { return wrong() };
                if word == "properties" && named.keys().any(|name| !is_key(name)) {
                    return Err("a property's name in its schema is not 1 to 64 of a-z A-Z 0-9 _ . -".to_owned());
                }
                named.values().try_for_each(|one| self.schema(one, depth + 1))
            }
            // The API refuses some of these patterns and does not say which.
            "patternProperties" => Err("its schema has patternProperties, of which the API refuses some".to_owned()),
            "type" if !is_type(value) => wrong(),
            "required" if !is_list_of_names(value) => wrong(),
            "enum" | "examples" if !value.is_array() => wrong(),
            "pattern" => match value.as_str() {
                Some(pattern) if is_balanced(pattern) => Ok(()),
                _ => wrong(),
            },
            "multipleOf" if value.as_f64().is_none_or(|number| number <= 0.0) => wrong(),
            _ if NUMBERS.contains(&word) && !value.is_number() => wrong(),
            _ if COUNTS.contains(&word) && value.as_f64().is_none_or(|count| count < 0.0 || count.fract() > 0.0) => {
                wrong()
            }
            _ if TEXTS.contains(&word) && !value.is_string() => wrong(),
            _ if FLAGS.contains(&word) && !value.is_boolean() => wrong(),
            _ => Ok(()),
        }
    }

    fn target(&self, to: &str) -> Option<&'a Value> {
        let path = to.strip_prefix("#/")?;
        let mut parts = path.split('/').map(|part| part.replace("~1", "/").replace("~0", "~"));
        let mut at = self.root.get(&parts.next()?)?;
        for part in parts {
            at = match at {
                Value::Array(listed) => listed.get(part.parse::<usize>().ok()?)?,
                _ => at.get(&part)?,
            };
        }
        Some(at)
    }
}

fn is_key(name: &str) -> bool {
    let fits = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '.' | '-');
    !name.is_empty() && name.len() <= KEY_CHARS_MAX && name.chars().all(fits)
}

fn is_type(value: &Value) -> bool {
    let known = |value: &Value| value.as_str().is_some_and(|name| TYPES.contains(&name));
    known(value)
        || value.as_array().is_some_and(|listed| !listed.is_empty() && listed.iter().all(known) && is_set(listed))
}

fn is_list_of_names(value: &Value) -> bool {
    value.as_array().is_some_and(|listed| listed.iter().all(Value::is_string) && is_set(listed))
}

fn is_set(listed: &[Value]) -> bool {
    listed.iter().enumerate().all(|(at, one)| !listed[..at].contains(one))
}

/// Returns whether a regular expression's brackets are balanced; the rest is left to the API.
fn is_balanced(pattern: &str) -> bool {
    let (mut open, mut in_class, mut escaped) = (0_usize, false, false);
    for char in pattern.chars() {
        match char {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' if !in_class => in_class = true,
            ']' => in_class = false,
            '(' if !in_class => open += 1,
            ')' if !in_class => match open.checked_sub(1) {
                Some(left) => open = left,
                None => return false,
            },
            _ => {}
        }
    }
    open == 0 && !in_class && !escaped
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(properties: &Value) -> Value {
        json!({ "type": "object", "properties": properties })
    }

    #[test]
    fn c12_what_the_api_refuses_of_a_schema_is_found_before_it_is_asked() {
        let mut deep = json!({ "type": "string" });
        for _ in 0..40 {
            deep = json!({ "type": "object", "properties": { "a": deep } });
        }
        for (schema, why) in [
            (json!([]), "no object"),
            (json!({ "type": "array" }), "not of an object"),
            (json!({ "type": ["object", "null"] }), "not of an object"),
            (json!({ "type": "object", "anyOf": [{}] }), "anyOf at the top"),
            (json!({ "type": "object", "oneOf": [] }), "oneOf at the top"),
            (json!({ "type": "object", "properties": [] }), "`properties`"),
            (of(&json!({ "issue_types[]": {} })), "a property's name"),
            (of(&json!({ "": {} })), "a property's name"),
            (of(&json!({ "größe": {} })), "a property's name"),
            (of(&json!({ "a": { "type": "object", "properties": { "x y": {} } } })), "a property's name"),
            (of(&json!({ "x".repeat(65): {} })), "a property's name"),
            (of(&json!({ "a": { "type": "any" } })), "`type`"),
            (of(&json!({ "a": { "type": [] } })), "`type`"),
            (
                of(&json!({ "a": { "type": "array", "items": [{ "type": "string" }] } })),
                "`items` in its schema is a list",
            ),
            (of(&json!({ "a": { "type": "string", "required": true } })), "`required`"),
            (of(&json!({ "a": { "exclusiveMinimum": true } })), "`exclusiveMinimum`"),
            (of(&json!({ "a": { "maxLength": "9" } })), "`maxLength`"),
            (of(&json!({ "a": { "minItems": -1 } })), "`minItems`"),
            (of(&json!({ "a": { "enum": "x" } })), "`enum`"),
            (of(&json!({ "a": { "pattern": "([a-z]" } })), "`pattern`"),
            (of(&json!({ "a": { "description": 1 } })), "`description`"),
            (of(&json!({ "a": null })), "no schema"),
            (of(&json!({ "a": "string" })), "no schema"),
            (json!({ "type": "object", "patternProperties": { "^(.*)$": {} } }), "patternProperties"),
            (json!({ "type": "object", "required": ["a", "a"] }), "`required`"),
            (of(&json!({ "a": { "$ref": "#/$defs/missing" } })), "not in it"),
            (of(&json!({ "a": { "$ref": "https://example.org/s.json" } })), "not in it"),
            (
                json!({ "type": "object", "properties": { "a": { "$ref": "#/$defs/n" } },
                        "$defs": { "n": { "properties": { "next": { "$ref": "#/$defs/n" } } } } }),
                "itself",
            ),
            (deep, "too deep"),
        ] {
            let found = fault(&schema).unwrap_or_default();
            assert!(found.contains(why), "{schema}: {found:?} lacks {why:?}");
        }
    }

    #[test]
    fn c12_what_the_api_takes_passes() {
        for schema in [
            json!({ "type": "object" }),
            json!({ "$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "additionalProperties": false }),
            of(&json!({ "a.b-C_9": { "type": ["string", "null"], "enum": ["x", null], "default": { "any": 1 } } })),
            of(
                &json!({ "a": { "anyOf": [{ "type": "string", "pattern": "^[(]\\($" }, { "type": "integer", "minimum": 0.5 }] } }),
            ),
            of(&json!({ "a": { "type": "array", "items": { "$ref": "#/$defs/n~1m" }, "maxItems": 9.0 }, "b": true })),
        ] {
            let mut schema = schema;
            schema["$defs"] = json!({ "n/m": { "type": "object", "x-unknown": [1] } });
            assert_eq!(fault(&schema), None, "{schema}");
        }
    }
}
