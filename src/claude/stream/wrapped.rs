//! Answers that gateways put into an object of their own: `{"data": {…}}`, `{"statusCode": 200, "body": "{…}"}`.

use serde_json::Value;

use super::event::KNOWN;

/// Names under which gateways put an answer.
const NAMES: [&str; 9] = ["data", "response", "result", "message", "output", "body", "payload", "completion", "answer"];
/// How deeply an answer may be wrapped.
const DEPTH_MAX: usize = 3;

/// Returns the message or event inside a gateway's object.
pub(super) fn inner(value: &Value) -> Option<Value> {
    inner_of(value, DEPTH_MAX)
}

fn inner_of(value: &Value, depth: usize) -> Option<Value> {
    let inside: Vec<&Value> = match value {
        Value::Object(fields) => NAMES.iter().filter_map(|name| fields.get(*name)).collect(),
        Value::Array(one) if one.len() == 1 => one.iter().collect(),
        _ => Vec::new(),
    };
    inside.into_iter().find_map(|inside| {
        let parsed = inside.as_str().filter(|text| text.trim_start().starts_with('{'));
        let parsed = parsed.and_then(|text| serde_json::from_str::<Value>(text).ok());
        let inside = parsed.as_ref().unwrap_or(inside);
        if is_answer(inside) {
            return Some(inside.clone());
        }
        depth.checked_sub(1).and_then(|depth| inner_of(inside, depth))
    })
}

/// Returns whether a value is an answer beyond doubt: another service's object may have a `content` too.
fn is_answer(value: &Value) -> bool {
    let is_of_us =
        || value["type"] == "message" || value["role"] == "assistant" || value["content"][0]["type"].is_string();
    is_event(value) || is_message(value) && is_of_us()
}

/// Returns the event that is wrapped in an event's data, or `None` for data that is not wrapped.
pub(super) fn in_data(data: &str) -> Option<String> {
    // A look at the first name is cheaper than parsing every event twice.
    let first = data.trim_start().strip_prefix('{')?.trim_start().strip_prefix('"')?.split('"').next()?;
    if !NAMES.contains(&first) {
        return None;
    }
    let value: Value = serde_json::from_str(data).ok()?;
    let is_wrapped = !is_event(&value) && !is_message(&value);
    is_wrapped.then(|| inner(&value)).flatten().map(|inner| inner.to_string())
}

/// Returns whether a value is a whole message, as far as one can tell.
pub(super) fn is_message(value: &Value) -> bool {
    value["type"] == "message"
        || value["content"].is_array()
        || (value["content"].is_string() && value["role"] == "assistant")
}

/// Returns whether a value is a stream event. A whole body with an error is a refusal, and handled as such.
pub(super) fn is_event(value: &Value) -> bool {
    value["type"].as_str().is_some_and(|kind| kind != "error" && KNOWN.contains(&kind))
}
