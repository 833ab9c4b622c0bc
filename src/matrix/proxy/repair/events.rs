//! Finds the events in an answer wherever they are, and mends them by kind.

use serde::Deserialize;
use serde_json::{
    json,
    value::{RawValue, to_raw_value},
};

use super::{
    EventMend, Losses, Mended, Place,
    fields::{Fields, parsed},
};
use crate::matrix::proxy::call::Kind;

/// The type of the stub that replaces a dropped timeline event.
const STUB: &str = "io.workmate.unreadable";

/// The parts of a room that hold events, and their kinds of place.
pub(super) const EVENTS: [(&str, Place); 6] = [
    ("timeline", Place::Timeline),
    ("state", Place::State),
    ("state_after", Place::State),
    ("org.matrix.msc4222.state_after", Place::State),
    ("invite_state", Place::State),
    ("knock_state", Place::State),
];
/// The lists of rooms in a sync.
pub(super) const SECTIONS: [&str; 4] = ["join", "invite", "leave", "knock"];

/// Returns whether any event of a body needs one of these mends.
pub(super) fn any_is_mended(kind: Kind, read: &str, mends: &[&EventMend]) -> bool {
    if mends.is_empty() {
        return false;
    }
    let mut found = false;
    let mut look = |place: Place, raw: &RawValue| found = found || mends.iter().any(|by| is_mended(by, place, raw));
    match kind {
        Kind::Sync => of_sync(read, &mut look),
        Kind::Event => of_list(serde_json::from_str(read).ok().map(|event| vec![event]), Place::Timeline, &mut look),
        Kind::State => of_list(serde_json::from_str(read).ok(), Place::State, &mut look),
        Kind::Members => of_fields(read, &[("chunk", Place::State)], &mut look),
        Kind::Messages => of_fields(read, &[("chunk", Place::Timeline), ("state", Place::State)], &mut look),
        Kind::Context => {
            let names =
                [("events_before", Place::Timeline), ("events_after", Place::Timeline), ("state", Place::State)];
            of_fields(read, &names, &mut look);
        }
        Kind::Relations => of_fields(read, &[("chunk", Place::Timeline)], &mut look),
        _ => {}
    }
    found
}

fn is_mended(by: &EventMend, place: Place, raw: &RawValue) -> bool {
    raw.get().contains(by.trace) && (by.mend)(place, raw).is_some()
}

fn of_fields(read: &str, names: &[(&str, Place)], look: &mut impl FnMut(Place, &RawValue)) {
    let Ok(fields) = serde_json::from_str::<Fields>(read) else { return };
    for (name, place) in names {
        of_list(fields.get(name), *place, look);
    }
}

/// Visits each event of each room in a sync.
fn of_sync(read: &str, look: &mut impl FnMut(Place, &RawValue)) {
    let Ok(body) = serde_json::from_str::<Fields>(read) else { return };
    let Some(rooms) = body.raw("rooms").and_then(Fields::of) else { return };
    for section in SECTIONS {
        let Some(mut rooms) = rooms.raw(section).and_then(Fields::of) else { continue };
        rooms.retain(|_, room| {
            let Some(room) = Fields::of(room) else { return false };
            for (part, place) in EVENTS {
                let list = room.raw(part).and_then(Fields::of).and_then(|part| part.get("events"));
                of_list(list, place, look);
            }
            false
        });
    }
}

/// Visits each event of a list.
pub(super) fn of_list(list: Option<Vec<Box<RawValue>>>, place: Place, look: &mut impl FnMut(Place, &RawValue)) {
    for event in list.into_iter().flatten() {
        look(place, &event);
    }
}

/// Mends the events of a list.
pub(super) fn mend(place: Place, list: &mut Vec<Box<RawValue>>, mends: &[&EventMend], losses: &mut Losses) {
    let all = std::mem::take(list);
    *list = all.into_iter().filter_map(|event| mended(place, event, mends, losses)).collect();
}

/// Mends the events of the list in a field.
pub(super) fn mend_list(place: Place, fields: &mut Fields, name: &str, mends: &[&EventMend], losses: &mut Losses) {
    if mends.is_empty() {
        return;
    }
    let Some(mut list) = fields.get::<Vec<Box<RawValue>>>(name) else { return };
    mend(place, &mut list, mends, losses);
    fields.put(name, &list);
}

/// Mends the event in a field.
pub(super) fn mend_one(fields: &mut Fields, name: &str, mends: &[&EventMend], losses: &mut Losses) {
    let Some(event) = fields.raw(name).map(ToOwned::to_owned) else { return };
    match mended(Place::Timeline, event, mends, losses) {
        Some(event) => fields.put(name, &event),
        None => drop(fields.remove(name)),
    }
}

fn mended(place: Place, mut event: Box<RawValue>, mends: &[&EventMend], losses: &mut Losses) -> Option<Box<RawValue>> {
    for by in mends.iter().filter(|by| event.get().contains(by.trace)).collect::<Vec<_>>() {
        match (by.mend)(place, &event) {
            None => {}
            Some(Mended::Instead(better)) => {
                losses.parts += 1;
                event = better;
            }
            Some(Mended::Dropped) => {
                losses.parts += 1;
                return (place == Place::Timeline).then(|| stub_of(&event)).flatten();
            }
        }
    }
    Some(event)
}

/// Returns a stub for an unusable event: somebody sent something at this time.
fn stub_of(event: &RawValue) -> Option<Box<RawValue>> {
    #[derive(Deserialize)]
    struct Envelope {
        event_id: ruma::OwnedEventId,
        sender: ruma::OwnedUserId,
        origin_server_ts: ruma::UInt,
    }
    let Envelope { event_id, sender, origin_server_ts } = parsed(event)?;
    let stub = json!({
        "type": STUB, "event_id": event_id, "sender": sender, "origin_server_ts": origin_server_ts, "content": {},
    });
    to_raw_value(&stub).ok()
}
