//! What a report says: its title, how its matter stands, and the parts that matter, first.
//!
//! A sender's reports are recognised by a few fields each. Whatever is not there is left out: nothing here fails.

mod alerts;
mod forges;

use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::Value;

use super::{Headers, Sender, filter};
use crate::core::{errand::PAYLOAD_BYTES_MAX, time::Timestamp};

/// Most bytes kept of one field's text; of a longer one the beginning and the end.
const FIELD_BYTES_MAX: usize = 2_000;
/// Most items kept of a list: alerts, failed jobs, commits.
const ITEMS_MAX: usize = 20;
/// The smallest rest of a report that is worth adding, in bytes.
const REST_BYTES_MIN: usize = 256;

/// What a report says.
#[derive(Clone, Debug, Default)]
pub(super) struct Report {
    /// What kind of event it is, in the sender's words.
    pub(super) event: Option<String>,
    /// Whether it only tests the hook.
    pub(super) is_ping: bool,
    pub(super) title: Option<String>,
    pub(super) state: Option<String>,
    /// The sender's own key of what it is about.
    pub(super) matter: Option<String>,
    /// Whether it tells of a part of that alone, such as a pipeline's job: how a part stands is not how all stands.
    pub(super) is_part: bool,
    /// When it was so, by the sender's clock.
    pub(super) at: Option<Timestamp>,
    facts: Facts,
}

/// The fields that matter, most important first.
#[derive(Clone, Debug, Default)]
struct Facts(Vec<(&'static str, Value)>);

impl Serialize for Facts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Facts {
    /// Adds the value at the first of these pointers that has one.
    fn take(&mut self, name: &'static str, report: &Value, pointers: &[&str]) {
        let found = pointers.iter().filter_map(|pointer| report.pointer(pointer)).find(|value| !is_nothing(value));
        self.0.extend(found.map(|value| (name, shortened(value))));
    }

    fn add(&mut self, name: &'static str, value: Value) {
        if !is_nothing(&value) {
            self.0.push((name, value));
        }
    }
}

/// Reads a report.
pub(super) fn of(sender: Sender, headers: &Headers, report: &Value) -> Report {
    match sender {
        Sender::Github => forges::github(headers.get("x-github-event"), report),
        Sender::Forgejo => forges::github(headers.first(&["x-forgejo-event", "x-gitea-event"]), report),
        Sender::Gitlab => forges::gitlab(report),
        Sender::Alertmanager | Sender::Grafana => alerts::of(report),
        Sender::Other => Report {
            event: said(report, &["/type", "/event", "/event_type"]),
            title: said(report, &["/title", "/summary", "/subject", "/message", "/text", "/name", "/type", ""]),
            state: said(report, &["/status", "/state"]),
            ..Report::default()
        },
    }
}

impl Report {
    /// Returns what the coworker is told, and whether something of the report is missing: the parts that matter, and
    /// the rest as far as it fits.
    pub(super) fn payload(&self, report: &Value) -> (String, bool) {
        let whole = match report {
            Value::String(text) => text.clone(),
            report => report.to_string(),
        };
        if self.facts.0.is_empty() {
            let cut = whole.len() > PAYLOAD_BYTES_MAX;
            return (ends(&whole, PAYLOAD_BYTES_MAX), cut);
        }
        let facts = serde_json::to_string(&self.facts).unwrap_or_default();
        let facts_cut = facts.len() > PAYLOAD_BYTES_MAX;
        let facts = ends(&facts, PAYLOAD_BYTES_MAX);
        let left = PAYLOAD_BYTES_MAX.saturating_sub(facts.len() + 1);
        if whole.len() <= left {
            return (format!("{facts}\n{whole}"), facts_cut);
        }
        if left < REST_BYTES_MIN { (facts, true) } else { (format!("{facts}\n{}", ends(&whole, left)), true) }
    }
}

/// Returns the first of these values that is a text or a number and says something.
fn said(report: &Value, pointers: &[&str]) -> Option<String> {
    let found = pointers.iter().filter_map(|pointer| filter::text(report.pointer(pointer)?));
    found.map(|text| text.trim().to_owned()).find(|text| !text.is_empty())
}

/// Returns the first of these values that is a time: RFC 3339, or as GitLab writes it.
fn time(report: &Value, pointers: &[&str]) -> Option<Timestamp> {
    let found = said(report, pointers)?;
    let text = found.strip_suffix(" UTC").map_or_else(|| found.clone(), |local| format!("{local}Z"));
    let at: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp::from_ms(at.as_millisecond()))
}

/// Returns a title of two parts, as far as they are known.
fn title(of: Option<String>, about: Option<String>) -> Option<String> {
    match (of, about) {
        (Some(of), Some(about)) => Some(format!("{of}: {about}")),
        (of, about) => of.or(about),
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Returns a value with its long texts and lists shortened.
fn shortened(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(ends(text, FIELD_BYTES_MAX)),
        Value::Array(items) => items.iter().take(ITEMS_MAX).map(shortened).collect(),
        Value::Object(fields) => {
            fields.iter().take(ITEMS_MAX * 2).map(|(name, value)| (name.clone(), shortened(value))).collect()
        }
        other => other.clone(),
    }
}

/// Returns a text of at most `bytes_max`, with its middle left out if it is longer.
fn ends(text: &str, bytes_max: usize) -> String {
    const GAP: &str = " … ";
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let room = bytes_max.saturating_sub(GAP.len());
    let tail = room / 4;
    let begin = text.floor_char_boundary(room - tail);
    let end = text.ceil_char_boundary(text.len() - tail);
    format!("{}{GAP}{}", &text[..begin], &text[end..])
}
