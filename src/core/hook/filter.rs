//! What a report must be like to count: values at JSON pointers, compared with words, lists and numbers.

use std::borrow::Cow;

use serde_json::Value;

/// A condition on one value of a report. Everything that it says must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Condition {
    /// The value's JSON pointer (RFC 6901).
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
        let value = report.pointer(&self.at).filter(|value| !value.is_null());
        if self.exists.is_some_and(|exists| exists != value.is_some()) {
            return false;
        }
        let said = value.and_then(text);
        let is_same_number = |word: &str| matches!(value, Some(Value::Number(number)) if number.as_f64().is_some() && number.as_f64() == word.parse().ok());
        let is_one = |word: &String| said.as_deref() == Some(word.as_str()) || is_same_number(word);
        let is_among = |words: &[String]| words.iter().any(is_one);
        let number = value.and_then(|value| match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
            _ => None,
        });
        (self.is.is_empty() || is_among(&self.is))
            && !is_among(&self.not)
            && self.above.is_none_or(|least| number.is_some_and(|number| number > least))
            && self.below.is_none_or(|most| number.is_some_and(|number| number < most))
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
