//! Makes the homeserver's answers parsable: room by room, event by event, field by field.
//!
//! The SDK parses some answers as a whole. Anybody can put an invalid name into one (`POST /ban` with any text, an odd
//! field in their own membership), and the whole answer would be lost at every call. So each such answer is checked
//! first: if ruma can parse it, it passes unchanged; otherwise as little as possible is left out.

mod encrypted;
mod events;
mod fields;
mod member;
mod sync;
mod text;

use std::{borrow::Cow, collections::BTreeMap};

use ruma::{
    OwnedDeviceId, OwnedRoomId, OwnedServerName, OwnedUserId,
    api::{
        IncomingResponse,
        client::{
            alias::get_alias,
            backup::{RoomKeyBackup, get_backup_keys},
            context::get_context,
            keys::{claim_keys, get_key_changes, get_keys},
            membership::{joined_members, joined_rooms},
            message::get_message_events,
            relations::get_relating_events,
            sync::sync_events,
        },
    },
};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use self::fields::Fields;
use super::call::{self, Kind};
use crate::core::id;

/// The log text about what was left out.
const LEFT_OUT: &str = "an answer of the homeserver held what cannot be parsed; it was left out, the rest is used";
/// A larger answer contains something, and is not checked for missing fields.
const LACKING_BYTES_MAX: usize = 4 << 10;
/// Rooms named in a log line.
const LOGGED_ROOMS_MAX: usize = 4;

/// The place of an event in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A timeline, in which a stub replaces a dropped event.
    Timeline,
    /// State, full or stripped.
    State,
}

/// The result of mending an event.
#[derive(Debug)]
pub(super) enum Mended {
    /// Replace the event by this.
    Instead(Box<RawValue>),
    /// The event is unusable.
    Dropped,
}

/// A mend for one kind of event.
struct EventMend {
    /// Text that every body with such an event contains.
    trace: &'static str,
    /// Mends an event; `None` if nothing is wrong with it.
    mend: fn(Place, &RawValue) -> Option<Mended>,
}

/// All mends. Each one's trace rules out quickly the bodies without such events.
const EVENT_MENDS: [EventMend; 2] = [
    EventMend { trace: "m.room.member", mend: member::mend },
    EventMend { trace: "m.room.encrypted", mend: encrypted::mend },
];

/// What was left out of an answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Losses {
    /// Events and fields that were left out.
    parts: usize,
    /// Rooms that were left out whole.
    rooms: Vec<String>,
}

impl Losses {
    /// Returns whether anything was left out.
    pub(super) fn are_any(&self) -> bool {
        *self != Self::default()
    }

    /// Logs what was left out, as a warning or at debug level. An invalid id is not shown.
    pub(super) fn log(&self, kind: Kind, warns: bool) {
        let rooms: Vec<&str> = self.rooms.iter().map(String::as_str).take(LOGGED_ROOMS_MAX).collect();
        let (parts, left_out) = (self.parts, self.rooms.len());
        if warns {
            tracing::warn!(?kind, parts, left_out, ?rooms, "{LEFT_OUT}");
        } else {
            tracing::debug!(?kind, parts, left_out, ?rooms, "{LEFT_OUT}");
        }
    }
}

/// The result of checking a body.
#[derive(Debug)]
pub(super) enum Repaired {
    /// It can be parsed unchanged.
    NotNeeded,
    /// It is not a JSON object, or lacks what every genuine answer has: it is not the homeserver's.
    NotJson,
    /// It can be parsed after these losses.
    Mended(Vec<u8>, Losses),
}

/// Checks the body of an answer, and repairs it if needed.
pub(super) fn repaired(kind: Kind, body: &[u8]) -> Repaired {
    // ruma reads an empty body as an empty object, and a list as any object.
    let first = if kind == Kind::State { b'[' } else { b'{' };
    if body.trim_ascii_start().first() != Some(&first) {
        return Repaired::NotJson;
    }
    if lacks(kind, body) {
        return Repaired::NotJson;
    }
    let read = text::readable(body);
    let mends: Vec<&EventMend> = EVENT_MENDS.iter().filter(|mend| text::holds(&read, mend.trace)).collect();
    let as_it_came = matches!(read, Cow::Borrowed(_));
    if as_it_came && parses(kind, body) && !events::any_is_mended(kind, &read, &mends) {
        return Repaired::NotNeeded;
    }
    if serde_json::from_str::<IgnoredAny>(&read).is_err() {
        return Repaired::NotJson;
    }
    let mut losses = Losses::default();
    match mended(kind, &read, &mends, &mut losses) {
        Some(mended) => Repaired::Mended(mended.into_bytes(), losses),
        None => Repaired::Mended(read.into_owned().into_bytes(), losses),
    }
}

/// Returns a sync's answer as a part of a first sync: only the first part keeps what belongs to no room, and each gets
/// a separate `next_batch`. `None` if it is not a sync's answer.
pub(super) fn as_part(body: &[u8], number: usize) -> Option<Vec<u8>> {
    let mut fields: Fields = serde_json::from_slice(body).ok()?;
    let token: String = fields.get("next_batch")?;
    fields.put("next_batch", &call::mark_part(&token, number));
    if number > 0 {
        fields.remove("to_device");
        fields.remove("account_data");
    }
    serde_json::to_vec(&fields).ok()
}

/// Returns a sync's answer with `people` among those whose devices changed; `None` if it is not a sync's answer.
pub(super) fn with_changed_devices(body: &[u8], people: &[OwnedUserId]) -> Option<Vec<u8>> {
    let mut fields: Fields = serde_json::from_slice(body).ok()?;
    let mut lists = fields.raw("device_lists").and_then(Fields::of).unwrap_or_default();
    let mut changed: Vec<OwnedUserId> = lists.get("changed").unwrap_or_default();
    changed.extend(people.iter().cloned());
    lists.put("changed", &changed);
    fields.put("device_lists", &lists);
    serde_json::to_vec(&fields).ok()
}

/// Returns whether an answer lacks what every genuine one of its kind has. A load balancer that answers `{}` to
/// everything, or the same JSON to whatever is sent, neither stored nor knows anything.
fn lacks(kind: Kind, body: &[u8]) -> bool {
    let Some(field) = kind.must_hold().filter(|_| body.len() <= LACKING_BYTES_MAX) else { return false };
    let fields: Result<BTreeMap<String, &RawValue>, _> = serde_json::from_slice(body);
    fields.is_ok_and(|fields| match fields.get(field) {
        None => true,
        // Without the id, nobody knows whether anything was sent.
        Some(sent) if kind == Kind::Sent => serde_json::from_str::<&str>(sent.get()).ok().and_then(id::event).is_none(),
        Some(_) => false,
    })
}

/// Returns whether the SDK could parse an answer.
fn parses(kind: Kind, body: &[u8]) -> bool {
    fn as_response<R: IncomingResponse>(body: &[u8]) -> bool {
        R::try_from_http_response(axum::http::Response::new(body)).is_ok()
    }
    match kind {
        Kind::Sync => as_response::<sync_events::v3::Response>(body),
        Kind::Messages => as_response::<get_message_events::v3::Response>(body),
        Kind::Context => as_response::<get_context::v3::Response>(body),
        Kind::Relations => as_response::<get_relating_events::v1::Response>(body),
        Kind::JoinedMembers => as_response::<joined_members::v3::Response>(body),
        Kind::JoinedRooms => as_response::<joined_rooms::v3::Response>(body),
        Kind::Alias => as_response::<get_alias::v3::Response>(body),
        Kind::KeysQuery => as_response::<get_keys::v3::Response>(body),
        Kind::KeysClaim => as_response::<claim_keys::v3::Response>(body),
        Kind::KeyChanges => as_response::<get_key_changes::v3::Response>(body),
        Kind::BackupKeys => as_response::<get_backup_keys::v3::Response>(body),
        // The SDK parses each event of these by itself.
        Kind::Members | Kind::State | Kind::Event | Kind::Sent | Kind::Media | Kind::Other => {
            serde_json::from_slice::<IgnoredAny>(body).is_ok()
        }
    }
}

/// Returns the body without what cannot be parsed; `None` if it cannot be repaired.
fn mended(kind: Kind, read: &str, mends: &[&EventMend], losses: &mut Losses) -> Option<String> {
    if kind == Kind::State {
        let mut list: Vec<Box<RawValue>> = serde_json::from_str(read).ok()?;
        events::mend(Place::State, &mut list, mends, losses);
        return serde_json::to_string(&list).ok();
    }
    if kind == Kind::Event {
        let mut list: Vec<Box<RawValue>> = vec![serde_json::from_str(read).ok()?];
        events::mend(Place::Timeline, &mut list, mends, losses);
        return list.pop().map(|event| event.get().to_owned());
    }
    let mut fields: Fields = serde_json::from_str(read).ok()?;
    let lists = |names: &[(&str, Place)], fields: &mut Fields, losses: &mut Losses| {
        for (name, place) in names {
            fields.list::<IgnoredAny>(name, losses);
            events::mend_list(*place, fields, name, mends, losses);
        }
    };
    match kind {
        Kind::Sync => sync::mend(&mut fields, mends, losses),
        Kind::Messages => {
            for name in ["start", "end"] {
                fields.keep::<String>(name, losses);
            }
            lists(&[("chunk", Place::Timeline), ("state", Place::State)], &mut fields, losses);
            fields.or_default("start", "\"\"");
        }
        Kind::Context => {
            for name in ["start", "end"] {
                fields.keep::<String>(name, losses);
            }
            let names =
                [("events_before", Place::Timeline), ("events_after", Place::Timeline), ("state", Place::State)];
            lists(&names, &mut fields, losses);
            events::mend_one(&mut fields, "event", mends, losses);
        }
        Kind::Relations => {
            for name in ["next_batch", "prev_batch"] {
                fields.keep::<String>(name, losses);
            }
            fields.keep::<ruma::UInt>("recursion_depth", losses);
            lists(&[("chunk", Place::Timeline)], &mut fields, losses);
            fields.or_default("chunk", "[]");
        }
        Kind::Members => lists(&[("chunk", Place::State)], &mut fields, losses),
        Kind::JoinedMembers => {
            fields.map::<OwnedUserId, joined_members::v3::RoomMember>("joined", losses);
            fields.or_default("joined", "{}");
        }
        Kind::JoinedRooms => {
            fields.list::<OwnedRoomId>("joined_rooms", losses);
            fields.or_default("joined_rooms", "[]");
        }
        Kind::Alias => {
            fields.list::<OwnedServerName>("servers", losses);
            fields.or_default("servers", "[]");
        }
        Kind::KeysQuery => {
            fields.map::<String, serde_json::Value>("failures", losses);
            fields.maps::<OwnedUserId, OwnedDeviceId, IgnoredAny>("device_keys", losses);
            for name in ["master_keys", "self_signing_keys", "user_signing_keys"] {
                fields.map::<OwnedUserId, IgnoredAny>(name, losses);
            }
        }
        Kind::KeysClaim => {
            fields.map::<String, serde_json::Value>("failures", losses);
            fields.deep_maps::<OwnedUserId, OwnedDeviceId, ruma::OwnedOneTimeKeyId>("one_time_keys", losses);
            fields.or_default("one_time_keys", "{}");
        }
        Kind::KeyChanges => {
            for name in ["changed", "left"] {
                fields.list::<OwnedUserId>(name, losses);
                fields.or_default(name, "[]");
            }
        }
        Kind::BackupKeys => fields.map::<OwnedRoomId, RoomKeyBackup>("rooms", losses),
        Kind::State | Kind::Event | Kind::Sent | Kind::Media | Kind::Other => {}
    }
    serde_json::to_string(&fields).ok()
}

#[cfg(test)]
mod tests;
