//! `cache_control` markers: their form and number, and that longer lifetimes precede shorter ones.

use serde_json::Value;

use super::{Request, fields};
use crate::standin::problem::Problem;
use crate::standin::prompt::pieces;

const BREAKPOINTS_MAX: usize = 4;

/// Checks every marker of a request.
pub(super) fn check(request: &Request<'_>) -> Result<(), Problem> {
    let body = Value::Object(request.body.clone());
    let mut ttls = Vec::new();
    for piece in pieces(&body) {
        if let Some(ttl) = ttl(&piece.block["cache_control"], "cache_control")? {
            ttls.push(ttl);
        }
    }
    if let Some(ttl) = ttl(&body["cache_control"], "cache_control")? {
        if ttls.len() == BREAKPOINTS_MAX {
            return Err(too_many(BREAKPOINTS_MAX + 1));
        }
        ttls.push(ttl);
    }
    if ttls.len() > BREAKPOINTS_MAX {
        return Err(too_many(ttls.len()));
    }
    let first_short = ttls.iter().position(|ttl| *ttl == "5m");
    if first_short.is_some_and(|first| ttls.iter().skip(first).any(|ttl| *ttl == "1h")) {
        return Err(Problem::invalid(
            "cache_control: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block",
        ));
    }
    Ok(())
}

fn too_many(found: usize) -> Problem {
    Problem::invalid(format!(
        "A maximum of {BREAKPOINTS_MAX} blocks with cache_control may be provided. Found {found}."
    ))
}

fn ttl(marker: &Value, path: &str) -> Result<Option<&'static str>, Problem> {
    if marker.is_null() {
        return Ok(None);
    }
    let marker = fields::object(marker, path)?;
    fields::only(marker, path, &["type", "ttl"])?;
    if fields::required_text(marker, path, "type")? != "ephemeral" {
        return Err(Problem::invalid(format!("{path}.type: Input should be 'ephemeral'")));
    }
    fields::one_of(marker, path, "ttl", &["5m", "1h"])?;
    Ok(Some(if marker.get("ttl").is_some_and(|ttl| ttl == "1h") { "1h" } else { "5m" }))
}
