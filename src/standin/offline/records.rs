//! Finds the room's messages in a prompt: JSON objects with a `text`, anywhere in user turns.

use serde_json::{Deserializer, Value};

use crate::standin::prompt::{array, blocks_of};

/// Records read from one prompt, at most; the oldest are dropped.
const RECORDS_MAX: usize = 2000;
/// How deep records may be nested in other JSON.
const DEPTH_MAX: usize = 4;
/// Characters of a sender's name, at most.
const SENDER_CHARS_MAX: usize = 60;

/// A message of the room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) sender: String,
    pub(super) text: String,
}

/// Work that nobody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Errand {
    pub(super) task: String,
    /// What another system reported, if that caused it.
    pub(super) reported: Option<String>,
}

/// Returns the errand that the request is about, if it is one: the last line of the last user turn.
pub(super) fn errand(body: &Value) -> Option<Errand> {
    let last = array(&body["messages"]).iter().rfind(|message| message["role"] == "user")?;
    let text =
        blocks_of(&last["content"]).iter().filter_map(text).rfind(|text| !text.contains("files_in_container"))?;
    let record: Value = serde_json::from_str(text.lines().next_back()?).ok()?;
    let task = record["errand"]["task"].as_str()?.to_owned();
    Some(Errand { task, reported: record["reported"].as_str().map(str::to_owned) })
}

/// Returns the name that the system prompt gives the answerer ("You are NAME, …"); empty if it gives none.
///
/// Requests repeat the name ("oncall: why …"), where it says nothing about the question.
pub(super) fn own_name(body: &Value) -> String {
    let system: String = blocks_of(&body["system"]).iter().filter_map(text).collect();
    let name = system.split_once("You are ").and_then(|(_, rest)| rest.split([',', '.', '\n']).next());
    name.unwrap_or_default().chars().take(SENDER_CHARS_MAX).collect()
}

/// Returns the records of all user turns in order; the last is the request.
///
/// If the last user turn holds no record, its text is the request.
pub(super) fn records(body: &Value) -> Vec<Record> {
    let mut all = Vec::new();
    let mut plain_request = None;
    for message in array(&body["messages"]).iter().filter(|message| message["role"] == "user") {
        let before = all.len();
        let texts: Vec<String> = blocks_of(&message["content"]).iter().filter_map(text).collect();
        for text in &texts {
            in_text(text, &mut all);
        }
        plain_request = (all.len() == before).then(|| texts.join("\n")).filter(|text| !text.trim().is_empty());
    }
    all.extend(plain_request.map(|text| Record { sender: "you".to_owned(), text }));
    let surplus = all.len().saturating_sub(RECORDS_MAX);
    all.split_off(surplus)
}

fn text(block: &Value) -> Option<String> {
    let text = block["text"].as_str().filter(|_| block["type"] == "text")?;
    Some(text.to_owned())
}

/// Reads each JSON value that begins a line, over as many lines as it spans; skips other lines.
fn in_text(text: &str, found: &mut Vec<Record>) {
    let mut rest = text;
    while !rest.is_empty() {
        let trimmed = rest.trim_start();
        let mut values = Deserializer::from_str(trimmed).into_iter::<Value>();
        let read = if trimmed.starts_with(['{', '[']) { values.next() } else { None };
        rest = match read {
            Some(Ok(value)) => {
                in_value(&value, 0, found);
                trimmed.get(values.byte_offset()..).unwrap_or_default()
            }
            _ => trimmed.split_once('\n').map_or("", |(_, rest)| rest),
        };
    }
}

fn in_value(value: &Value, depth: usize, found: &mut Vec<Record>) {
    if depth > DEPTH_MAX {
        return;
    }
    if let Some(text) = value["text"].as_str() {
        found.extend(record(value, text));
        return;
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| in_value(item, depth + 1, found)),
        Value::Object(fields) => fields.values().for_each(|field| in_value(field, depth + 1, found)),
        _ => {}
    }
}

fn record(value: &Value, text: &str) -> Option<Record> {
    if text.trim().is_empty() {
        return None;
    }
    let named = ["sender_name", "display_name", "name", "sender", "from", "speaker"]
        .iter()
        .find_map(|field| value[*field].as_str().or_else(|| value[*field]["name"].as_str()));
    let sender = named.map_or("someone", without_server);
    let sender = sender.chars().filter(|c| !c.is_control()).take(SENDER_CHARS_MAX).collect();
    Some(Record { sender, text: text.to_owned() })
}

/// Returns a Matrix id's localpart; any other name unchanged.
fn without_server(name: &str) -> &str {
    let id = name.strip_prefix('@').and_then(|id| id.split_once(':'));
    id.map_or(name, |(localpart, _)| localpart)
}
