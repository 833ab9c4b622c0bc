//! What the model is told of an errand: a record of its own kind, which no member of the room can write.

use std::{borrow::Cow, ops::Not};

use ruma::{EventId, UserId};
use serde::Serialize;

use super::{
    escaped::{fitting, line as escaped_line, rfc3339},
    origin::Origin,
    time::Timestamp,
    tokens::{ends, estimate},
};

/// What the model is told of an errand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brief {
    /// What it comes from.
    pub origin: Origin,
    /// What is to be done.
    pub task: String,
    /// What another system reported: data, never instructions.
    pub payload: Option<String>,
    /// Whether something of that was left out.
    pub payload_cut: bool,
    /// When it was due.
    pub due_at: Timestamp,
}

#[derive(Serialize)]
struct Record<'a> {
    errand: Task<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<&'a EventId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reported: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Not::not")]
    cut: bool,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the model reads this name")]
struct Task<'a> {
    from: &'static str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    set_by: Option<&'a UserId>,
    task: &'a str,
}

/// Returns an errand's record as a line, with what was reported cut until the line takes at most `tokens_max`, and
/// whether it was cut. The task is never cut. `event` is left out where the model may be asked before it is there.
#[must_use]
pub(crate) fn line(errand: &Brief, event: Option<&EventId>, tokens_max: u32) -> (String, bool) {
    let mut record = Record {
        errand: Task {
            from: errand.origin.kind.name(),
            name: &errand.origin.name,
            set_by: errand.origin.set_by.as_deref(),
            task: &errand.task,
        },
        time: rfc3339(errand.due_at),
        event_id: event,
        reported: errand.payload.as_deref().map(Cow::Borrowed),
        cut: errand.payload_cut,
    };
    let whole = escaped_line(&record);
    let Some(reported) = errand.payload.as_deref().filter(|_| estimate(&whole) > tokens_max) else {
        return (whole, errand.payload_cut);
    };
    record.cut = true;
    let shorter = fitting(tokens_max, |text_tokens_max| {
        record.reported = Some(ends(reported, text_tokens_max));
        escaped_line(&record)
    });
    (shorter, true)
}
