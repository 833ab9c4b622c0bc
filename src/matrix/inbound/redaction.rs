//! Redactions: their targets by room version, and what entitles them.

use ruma::{OwnedEventId, events::AnySyncTimelineEvent, serde::Raw};
use serde::Deserialize;
use serde_json::Value;

use super::Rules;
use crate::core::{event::EventKind, id, redaction::Authority};

const REDACTION: &str = "m.room.redaction";

/// Parses an event if it is a redaction.
pub(super) fn of(raw: &Raw<AnySyncTimelineEvent>, rules: &Rules) -> Option<EventKind> {
    let event_type = raw.get_field::<String>("type").ok().flatten()?;
    if event_type != REDACTION || raw.get_field::<Value>("state_key").ok().flatten().is_some() {
        return None;
    }
    let Some(target) = target(raw, rules) else { return Some(EventKind::Other(event_type)) };
    let sender = raw.get_field::<String>("sender").ok().flatten().and_then(|sender| id::user(&sender));
    let has_power = sender.zip(rules.levels.as_ref()).is_some_and(|(sender, levels)| levels.may_redact(&sender));
    let authority = if has_power { Authority::Power } else { Authority::OwnServer };
    Some(EventKind::Redaction { target, authority })
}

/// Until room version 10 the target is beside the content, from 11 on inside it (room version 11, "Moving the `redacts`
/// property"). Homeservers write it to both for clients. In the other place a sender's field means nothing.
fn target(raw: &Raw<AnySyncTimelineEvent>, rules: &Rules) -> Option<OwnedEventId> {
    #[derive(Deserialize)]
    struct Content {
        redacts: Option<Value>,
    }
    let parsed = |value: Option<Value>| id::event(value?.as_str()?);
    let beside = || parsed(raw.get_field::<Value>("redacts").ok().flatten());
    let inside = || parsed(raw.get_field::<Content>("content").ok().flatten()?.redacts);
    match rules.version {
        Some(version) if version.redacts_in_content => inside(),
        Some(_) => beside(),
        // For an unknown version only a target that is equal in both places counts.
        None => beside().filter(|target| inside().as_ref() == Some(target)),
    }
}
