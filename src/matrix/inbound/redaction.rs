//! Redactions: which event they are about, by the room's version, and what speaks for them.

use ruma::{OwnedEventId, events::AnySyncTimelineEvent, serde::Raw};
use serde::Deserialize;
use serde_json::Value;

use super::Rules;
use crate::core::{event::EventKind, id, redaction::Authority};

const REDACTION: &str = "m.room.redaction";

/// Returns what a redaction says, where the event is one.
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

/// Until room version 10 the target stands beside the content, from 11 on in it (room version 11, "Moving the `redacts`
/// property"). Homeservers write it into both for clients; somebody else's field in the other place means nothing.
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
        // Of a version that is not known: only what is the same either way.
        None => beside().filter(|target| inside().as_ref() == Some(target)),
    }
}
