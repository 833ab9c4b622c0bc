//! Membership events. Members write their own with any fields, and a ban may name any text as a user.
//!
//! The SDK stores each event unchanged and parses all of them to list a room's members, so one unparsable event leaves
//! the room without any. Odd fields are removed, and an event that names no user is dropped.

use ruma::{
    OwnedMxcUri, OwnedUserId,
    events::room::member::{MembershipState, RoomMemberEventContent, ThirdPartyInvite},
};
use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};

use super::{
    Mended, Place,
    fields::{Fields, parsed},
};

use crate::core::id::ID_BYTES_MAX;

const MEMBER: &str = "m.room.member";
/// The longest name and reason that are kept, in bytes; homeservers accept 256 characters.
const TEXT_BYTES_MAX: usize = 4 << 10;

/// Mends a membership event.
pub(super) fn mend(_: Place, raw: &RawValue) -> Option<Mended> {
    let event = Fields::of(raw)?;
    if event.get::<String>("type")? != MEMBER {
        return None;
    }
    let names_user =
        |field: &str| event.get::<OwnedUserId>(field).is_some_and(|user| user.as_bytes().len() <= ID_BYTES_MAX);
    // Without a state key it is not a membership event.
    event.raw("state_key")?;
    if !names_user("state_key") || event.get::<OwnedUserId>("sender").is_none() {
        return Some(Mended::Dropped);
    }
    let content = event.raw("content")?;
    let unsigned_fits = event.raw("unsigned").is_none_or(fits_unsigned);
    if parsed::<RoomMemberEventContent>(content).is_some() && unsigned_fits {
        return None;
    }
    Some(rewritten(event).map_or(Mended::Dropped, Mended::Instead))
}

fn rewritten(mut event: Fields) -> Option<Box<RawValue>> {
    let mut content = Fields::of(event.raw("content")?)?;
    content.get::<MembershipState>("membership")?;
    content.retain(|name, raw| match name {
        "displayname" | "reason" => is::<String>(raw) && raw.get().len() <= TEXT_BYTES_MAX,
        "avatar_url" => is::<OwnedMxcUri>(raw),
        "is_direct" => is::<bool>(raw),
        "third_party_invite" => is::<ThirdPartyInvite>(raw),
        "join_authorised_via_users_server" => is::<OwnedUserId>(raw),
        _ => true,
    });
    if parsed::<RoomMemberEventContent>(&to_raw_value(&content).ok()?).is_none() {
        content.retain(|name, _| name == "membership");
    }
    event.put("content", &content);
    if event.raw("unsigned").is_some_and(|unsigned| !fits_unsigned(unsigned)) {
        event.remove("unsigned");
    }
    to_raw_value(&event).ok()
}

/// Returns whether the previous content in `unsigned` is parsable; it may be just as odd.
fn fits_unsigned(unsigned: &RawValue) -> bool {
    Fields::of(unsigned).is_some_and(|unsigned| unsigned.raw("prev_content").is_none_or(is::<RoomMemberEventContent>))
}

fn is<T: DeserializeOwned>(raw: &RawValue) -> bool {
    parsed::<T>(raw).is_some()
}
