//! Fields that several kinds of events have.

use std::collections::BTreeSet;

use ruma::{
    OwnedUserId,
    events::AnySyncTimelineEvent,
    serde::{JsonObject, Raw},
};
use serde_json::{Value, value::RawValue};

use crate::core::{event::Mentions, id, json};

/// Returns an event's content, with unpaired surrogates replaced by U+FFFD.
pub(super) fn content(raw: &Raw<AnySyncTimelineEvent>) -> JsonObject {
    let Some(content) = raw.get_field::<Box<RawValue>>("content").ok().flatten() else { return JsonObject::new() };
    serde_json::from_str(content.get())
        .or_else(|_| serde_json::from_str(&json::whole(content.get())))
        .unwrap_or_default()
}

/// Returns the mentions that can be parsed; a bad id costs only itself. `None` if the field is missing or not a list.
pub(super) fn mentions(content: &JsonObject) -> Option<Mentions> {
    match content.get("m.mentions")? {
        Value::Object(all) => {
            let users = all.get("user_ids").map(users).unwrap_or_default();
            Some(Mentions { users, room: all.get("room") == Some(&Value::Bool(true)) })
        }
        list @ Value::Array(_) => Some(Mentions { users: users(list), room: false }),
        _ => None,
    }
}

/// Returns the users that a value names, one or a list.
pub(super) fn users(value: &Value) -> BTreeSet<OwnedUserId> {
    let user = |value: &Value| value.as_str().and_then(id::user);
    match value {
        Value::Array(list) => list.iter().filter_map(user).collect(),
        one => user(one).into_iter().collect(),
    }
}

/// Returns a number that may be a string or have a fraction; drops negative and invalid ones.
pub(super) fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => {
            let rounded = || format!("{:.0}", number.as_f64()?).parse().ok();
            number.as_u64().or_else(rounded)
        }
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}
