//! `time`: what time it is.

use serde_json::json;

use crate::{
    clock,
    core::{
        time::Timestamp,
        tool::{Offer, Output},
    },
};

use super::process_offer;

/// The tool's name.
pub(super) const NAME: &str = "time";

pub(super) fn offer() -> Offer {
    process_offer(NAME, json!({ "type": "object", "properties": {}, "additionalProperties": false }))
}

pub(super) fn call() -> Output {
    said(clock::now())
}

fn said(now: Timestamp) -> Output {
    let now = jiff::Timestamp::from_millisecond(now.as_ms()).unwrap_or_default();
    let utc = now.to_zoned(jiff::tz::TimeZone::UTC);
    let text = json!({
        "utc": utc.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "weekday": utc.strftime("%A").to_string(),
    });
    Output::ok(text.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c12_time_is_said_in_utc_with_the_weekday() {
        let output = said(Timestamp::from_ms(1_790_000_000_123));
        assert_eq!(output, Output::ok(r#"{"utc":"2026-09-21T14:13:20Z","weekday":"Monday"}"#));
    }
}
