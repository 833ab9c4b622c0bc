//! Each tool call has exactly one result, first in the next user message.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Request;
use super::blocks::Role;
use crate::standin::problem::Problem;
use crate::standin::prompt::array;

/// Checks calls and results. Refuses results split over consecutive user messages: perhaps stricter than the real API,
/// but it asks for all results in one message.
pub(super) fn check(request: &Request<'_>) -> Result<(), Problem> {
    let messages = array(&request.body["messages"]);
    let mut seen = BTreeSet::new();
    let mut open: BTreeSet<&str> = BTreeSet::new();
    let mut open_since = 0;
    for (index, message) in messages.iter().enumerate() {
        match Role::of(message) {
            Some(Role::Assistant) => {
                for id in ids(message, "tool_use", "id") {
                    if !seen.insert(id) {
                        return Err(Problem::invalid(format!("messages.{index}: `tool_use` ids must be unique: {id}")));
                    }
                    open.insert(id);
                    open_since = index;
                }
            }
            Some(Role::User) => {
                check_results(message, index, &open)?;
                let answered: BTreeSet<&str> = ids(message, "tool_result", "tool_use_id").collect();
                check_complete(&open, &answered, open_since)?;
                open.clear();
            }
            Some(Role::System) | None => check_complete(&open, &BTreeSet::new(), open_since)?,
        }
    }
    check_complete(&open, &BTreeSet::new(), open_since)
}

fn check_results(message: &Value, index: usize, open: &BTreeSet<&str>) -> Result<(), Problem> {
    let mut answered = BTreeSet::new();
    let mut other_seen = false;
    for (position, block) in array(&message["content"]).iter().enumerate() {
        if block["type"] != "tool_result" {
            other_seen = true;
            continue;
        }
        let path = format!("messages.{index}.content.{position}");
        let id = block["tool_use_id"].as_str().unwrap_or_default();
        if !open.contains(id) {
            return Err(Problem::invalid(format!(
                "{path}: unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each `tool_result` block must \
                 have a corresponding `tool_use` block in the previous message."
            )));
        }
        if !answered.insert(id) {
            return Err(Problem::invalid(format!(
                "{path}: each tool_use must have a single result. Found multiple `tool_result` blocks with id: {id}"
            )));
        }
        if other_seen {
            return Err(Problem::invalid(format!("{path}: `tool_result` blocks must come first in the message")));
        }
    }
    Ok(())
}

fn check_complete(open: &BTreeSet<&str>, answered: &BTreeSet<&str>, index: usize) -> Result<(), Problem> {
    let missing: Vec<&str> = open.difference(answered).copied().collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Problem::invalid(format!(
        "messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after: {}. Each \
         `tool_use` block must have a corresponding `tool_result` block in the next message.",
        missing.join(", ")
    )))
}

fn ids<'a>(message: &'a Value, kind: &'static str, field: &'static str) -> impl Iterator<Item = &'a str> {
    let blocks = array(&message["content"]).iter().filter(move |block| block["type"] == kind);
    blocks.filter_map(move |block| block[field].as_str())
}
