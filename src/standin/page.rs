//! Pages of the API's lists.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::problem::Problem;

/// Entries on a page: the default, and the maximum.
const DEFAULT: usize = 20;
const MAX: usize = 1000;

/// Returns how many entries a request wants on its page.
pub(super) fn limit(query: &BTreeMap<String, String>) -> Result<usize, Problem> {
    match query.get("limit").map(|limit| limit.parse()) {
        None => Ok(DEFAULT),
        Some(Ok(limit @ 1..=MAX)) => Ok(limit),
        Some(_) => Err(Problem::invalid(format!("limit: Input should be between 1 and {MAX}"))),
    }
}

/// Returns the first entries as a page.
pub(super) fn page(all: impl ExactSizeIterator<Item = Value>, limit: usize) -> Value {
    let has_more = all.len() > limit;
    let page: Vec<Value> = all.take(limit).collect();
    json!({
        "has_more": has_more,
        "first_id": page.first().map(|one| &one["id"]),
        "last_id": page.last().map(|one| &one["id"]),
        "data": page,
    })
}
