//! Fields of JSON objects: required, typed, and no others.

use serde_json::{Map, Value};

use crate::standin::problem::Problem;

/// Returns a path such as `messages.0.role`.
pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

pub(super) fn required<'a>(object: &'a Map<String, Value>, path: &str, name: &str) -> Result<&'a Value, Problem> {
    object.get(name).ok_or_else(|| Problem::missing(&join(path, name)))
}

pub(super) fn required_text<'a>(object: &'a Map<String, Value>, path: &str, name: &str) -> Result<&'a str, Problem> {
    let value = required(object, path, name)?;
    value.as_str().ok_or_else(|| Problem::invalid(format!("{}: Input should be a valid string", join(path, name))))
}

pub(super) fn object<'a>(value: &'a Value, path: &str) -> Result<&'a Map<String, Value>, Problem> {
    value.as_object().ok_or_else(|| Problem::invalid(format!("{path}: Input should be an object")))
}

/// Refuses every field that is not allowed.
pub(in crate::standin) fn only(object: &Map<String, Value>, path: &str, allowed: &[&str]) -> Result<(), Problem> {
    match object.keys().find(|name| !allowed.contains(&name.as_str())) {
        Some(name) => Err(Problem::extra(&join(path, name))),
        None => Ok(()),
    }
}

/// Checks an optional field's value against a list; null counts as absent.
pub(super) fn one_of(object: &Map<String, Value>, path: &str, name: &str, allowed: &[&str]) -> Result<(), Problem> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(value)) if allowed.contains(&value.as_str()) => Ok(()),
        Some(_) => {
            let listed: Vec<String> = allowed.iter().map(|value| format!("'{value}'")).collect();
            Err(Problem::invalid(format!("{}: Input should be {}", join(path, name), listed.join(" or "))))
        }
    }
}
