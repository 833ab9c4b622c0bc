//! What a report must be like to count: values at JSON pointers, compared with words, lists and numbers.

use std::borrow::Cow;

use serde_json::Value;

/// A condition on one value of a report. Everything that it says must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Condition {
    /// The value's JSON pointer (RFC 6901); `*` stands for every item of a list. Of several values, one has to be as asked,
    /// and none may be what is excluded.
    pub at: String,
    /// The value is one of these; empty if anything goes.
    pub is: Vec<String>,
    /// The value is none of these.
    pub not: Vec<String>,
    /// The value is a number above this.
    pub above: Option<f64>,
    /// The value is a number below this.
    pub below: Option<f64>,
    /// Whether there is such a value.
    pub exists: Option<bool>,
}

/// Returns whether a text is a JSON pointer: empty, or parts that each begin with `/`.
#[must_use]
pub fn is_pointer(text: &str) -> bool {
    let escapes_well = text.split('~').skip(1).all(|rest| rest.starts_with('0') || rest.starts_with('1'));
    (text.is_empty() || text.starts_with('/')) && escapes_well
}

/// Returns whether a report meets every condition.
pub(super) fn passes(conditions: &[Condition], report: &Value) -> bool {
    conditions.iter().all(|condition| condition.holds(report))
}

impl Condition {
    fn holds(&self, report: &Value) -> bool {
        let mut values = Vec::new();
        find(report, self.at.strip_prefix('/'), &mut values);
        values.retain(|value| !value.is_null());
        if self.exists.is_some_and(|exists| exists == values.is_empty()) {
            return false;
        }
        let asks = !self.is.is_empty() || self.above.is_some() || self.below.is_some();
        let is_met = |value: &&Value| {
            let number = number(value);
            (self.is.is_empty() || is_among(value, &self.is))
                && self.above.is_none_or(|least| number.is_some_and(|number| number > least))
                && self.below.is_none_or(|most| number.is_some_and(|number| number < most))
        };
        (!asks || values.iter().any(is_met)) && !values.iter().any(|value| is_among(value, &self.not))
    }
}

/// Finds the values at a pointer without its first slash. In a list, `*` stands for each of its items; it is the index
/// of none.
fn find<'v>(value: &'v Value, rest: Option<&str>, found: &mut Vec<&'v Value>) {
    let Some(rest) = rest else { return found.push(value) };
    let (part, rest) = rest.split_once('/').map_or((rest, None), |(part, rest)| (part, Some(rest)));
    match value {
        Value::Array(items) if part == "*" => {
            for item in items {
                find(item, rest, found);
            }
        }
        _ => {
            if let Some(inner) = value.pointer(&format!("/{part}")) {
                find(inner, rest, found);
            }
        }
    }
}

fn is_among(value: &Value, words: &[String]) -> bool {
    let said = text(value);
    let is_same_number = |word: &str| matches!(value, Value::Number(number) if number.as_f64().is_some() && number.as_f64() == word.parse().ok());
    words.iter().any(|word| said.as_deref() == Some(word.as_str()) || is_same_number(word))
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
        _ => None,
    }
}

/// Returns a single value as it is written in a config; `None` for lists, objects and nothing.
pub(super) fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Bool(truth) => Some(Cow::Borrowed(if *truth { "true" } else { "false" })),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
