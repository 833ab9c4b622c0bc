//! Repairs `/sync`: a bad room costs that room, a bad field that field.

use ruma::{
    OwnedEventId, OwnedRoomId, OwnedUserId, UInt,
    api::client::sync::sync_events::{
        UnreadNotificationsCount,
        v3::{
            Ephemeral, GlobalAccountData, InvitedRoom, JoinedRoom, KnockedRoom, LeftRoom, Presence, RoomAccountData,
            ToDevice,
        },
    },
};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::value::to_raw_value;

use super::{
    EventMend, Losses, Place, events,
    fields::{Fields, parsed},
};
use crate::core::id;

/// Drops what cannot be parsed from a sync.
pub(super) fn mend(body: &mut Fields, mends: &[&EventMend], losses: &mut Losses) {
    body.keep::<Presence>("presence", losses);
    with_events::<GlobalAccountData>(body, "account_data", losses);
    with_events::<ToDevice>(body, "to_device", losses);
    within(body, "device_lists", losses, |lists, losses| {
        lists.list::<OwnedUserId>("changed", losses);
        lists.list::<OwnedUserId>("left", losses);
    });
    body.map::<String, UInt>("device_one_time_keys_count", losses);
    body.list::<String>("device_unused_fallback_key_types", losses);
    within(body, "rooms", losses, |rooms, losses| {
        each_room::<JoinedRoom>(rooms, "join", mends, losses);
        each_room::<InvitedRoom>(rooms, "invite", mends, losses);
        each_room::<LeftRoom>(rooms, "leave", mends, losses);
        each_room::<KnockedRoom>(rooms, "knock", mends, losses);
    });
}

/// Mends the rooms of one section; drops rooms that still cannot be parsed.
fn each_room<R: DeserializeOwned>(rooms: &mut Fields, section: &str, mends: &[&EventMend], losses: &mut Losses) {
    within(rooms, section, losses, |rooms, losses| {
        rooms.each(|room_id, raw| {
            let is_room =
                serde_json::to_string(room_id).is_ok_and(|id| serde_json::from_str::<OwnedRoomId>(&id).is_ok());
            if !is_room || room_id.len() > id::ID_BYTES_MAX {
                losses.rooms.push("(no room's id)".to_owned());
                return None;
            }
            let mended = if parsed::<R>(raw).is_some() && mends.is_empty() {
                Some(raw.to_owned())
            } else {
                Fields::of(raw).and_then(|mut room| {
                    mend_room(&mut room, mends, losses);
                    to_raw_value(&room).ok()
                })
            };
            let fit = mended.filter(|raw| parsed::<R>(raw).is_some());
            if fit.is_none() {
                losses.rooms.push(room_id.to_owned());
            }
            fit
        });
    });
}

fn mend_room(room: &mut Fields, mends: &[&EventMend], losses: &mut Losses) {
    within(room, "summary", losses, |summary, losses| {
        summary.list::<OwnedUserId>("m.heroes", losses);
        summary.keep::<UInt>("m.joined_member_count", losses);
        summary.keep::<UInt>("m.invited_member_count", losses);
    });
    within(room, "unread_notifications", losses, |counts, losses| {
        counts.keep::<UInt>("highlight_count", losses);
        counts.keep::<UInt>("notification_count", losses);
    });
    room.map::<OwnedEventId, UnreadNotificationsCount>("unread_thread_notifications", losses);
    with_events::<RoomAccountData>(room, "account_data", losses);
    with_events::<Ephemeral>(room, "ephemeral", losses);
    for (name, place) in events::EVENTS {
        within(room, name, losses, |part, losses| {
            part.list::<IgnoredAny>("events", losses);
            events::mend_list(place, part, "events", mends, losses);
            if place == Place::Timeline {
                part.keep::<bool>("limited", losses);
                part.keep::<String>("prev_batch", losses);
                part.or_default("events", "[]");
            }
        });
    }
}

/// Keeps a field that parses as `T`; of any other only its list `events`, if it has one.
fn with_events<T: DeserializeOwned>(fields: &mut Fields, name: &str, losses: &mut Losses) {
    if fields.raw(name).is_none_or(|raw| parsed::<T>(raw).is_some()) {
        return;
    }
    within(fields, name, losses, |part, losses| part.list::<IgnoredAny>("events", losses));
    fields.keep::<T>(name, losses);
}

/// Mends an object field; drops any other value.
fn within(fields: &mut Fields, name: &str, losses: &mut Losses, mend: impl FnOnce(&mut Fields, &mut Losses)) {
    let Some(raw) = fields.raw(name) else { return };
    let Some(mut inner) = Fields::of(raw) else {
        fields.remove(name);
        losses.parts += 1;
        return;
    };
    mend(&mut inner, losses);
    fields.put(name, &inner);
}
