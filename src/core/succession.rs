//! Whether a coworker follows a tombstone to the new room (C18): only if the new room names the old one as its
//! predecessor, and never by joining to find out.
//!
//! Anybody can end their own room with a tombstone that names somebody else's room. The other room's creation event
//! tells the cases apart: it names the predecessor and never changes. Members see it, sometimes invited users do, and
//! everybody does if the room is world-readable. For rooms of version 12 or later it need not be seen at all: the
//! room's id is the hash of that event (MSC4291), and what a homeserver writes into it at an upgrade is known except
//! for the millisecond. If nothing proves the succession, an invite is awaited, as for any room.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use ruma::{OwnedRoomId, RoomId, UserId};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::{time::Timestamp, tool::canonical};

/// How long before the tombstone a homeserver makes the new room, at most, in milliseconds.
pub(crate) const UPGRADE_MS_MAX: u64 = 30_000;
/// Room versions in which a room's id is the hash of its creation event.
const HASHED_VERSIONS: [&str; 1] = ["12"];
/// Fields of the old creation event that an upgrade copies.
const TAKEN_ALONG: [&str; 2] = ["m.federate", "type"];

/// A room that a tombstone ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The ended room's id.
    pub room: OwnedRoomId,
    /// The content of its creation event.
    pub creation: Value,
    /// The tombstone's sender.
    pub by: ruma::OwnedUserId,
    /// When it was sent, by its sender's homeserver.
    pub at: Timestamp,
    /// The room that the tombstone names.
    pub successor: OwnedRoomId,
}

/// What can be seen of the room that a tombstone names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// The coworker is in it already.
    Inside {
        /// The predecessor in its creation event.
        predecessor: Option<OwnedRoomId>,
    },
    /// The coworker is invited to it.
    Invited,
    /// It is readable from outside, or by another of ours.
    Seen {
        /// The predecessor in its creation event.
        predecessor: Option<OwnedRoomId>,
    },
    /// Nothing can be seen.
    Hidden,
}

/// What a coworker does about a tombstone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Copy the old room's settings; it is in the new room already.
    TakeAlong,
    /// Join, and copy the settings.
    Join,
    /// Nothing now: an invite is handled like any other, whenever it comes.
    Await,
    /// Nothing ever: the room replaces another one, or none.
    Ignore,
}

/// Decides what to do. `proven` matters only if the room cannot be seen; see [`is_made_by_upgrade`].
#[must_use]
pub(crate) fn next_step(old: &RoomId, successor: &RoomId, sight: &Sight, proven: bool) -> Step {
    let points_back = |predecessor: &Option<OwnedRoomId>| predecessor.as_deref() == Some(old);
    match sight {
        _ if old == successor => Step::Ignore,
        Sight::Inside { predecessor } if points_back(predecessor) => Step::TakeAlong,
        Sight::Seen { predecessor } if points_back(predecessor) => Step::Join,
        Sight::Inside { .. } | Sight::Seen { .. } => Step::Ignore,
        Sight::Hidden if proven => Step::Join,
        Sight::Invited | Sight::Hidden => Step::Await,
    }
}

/// Returns whether the successor's id proves that its creation event names the ended room, and that the tombstone's
/// sender made it. Hashes up to [`UPGRADE_MS_MAX`] candidates twice, so do not call it on an async thread.
#[must_use]
pub(crate) fn is_made_by_upgrade(ended: &Ended) -> bool {
    let Some(hash) = ended.successor.as_str().strip_prefix('!').filter(|hash| !hash.contains(':')) else {
        return false;
    };
    let Ok(wanted) = URL_SAFE_NO_PAD.decode(hash) else { return false };
    let newest = ended.at.as_ms();
    let oldest = newest.saturating_sub(i64::try_from(UPGRADE_MS_MAX).unwrap_or(i64::MAX)).max(0);
    HASHED_VERSIONS.iter().any(|version| {
        let content = canonical(&creation_of_upgrade(ended, version));
        (oldest..=newest).rev().any(|at| room_hash(&content, &ended.by, at) == wanted)
    })
}

fn creation_of_upgrade(ended: &Ended, version: &str) -> Value {
    let mut content = Map::new();
    content.insert("room_version".to_owned(), json!(version));
    content.insert("predecessor".to_owned(), json!({ "room_id": ended.room }));
    for name in TAKEN_ALONG {
        let value = ended.creation.get(name).filter(|value| name != "m.federate" || **value == json!(false));
        content.extend(value.map(|value| (name.to_owned(), value.clone())));
    }
    Value::Object(content)
}

/// Returns the reference hash of a creation event (room version 12, "Event IDs" and "Room IDs"; server-server API,
/// "Calculating the reference hash" and "the content hash"), over canonical JSON with sorted keys.
fn room_hash(content: &str, sender: &UserId, at: i64) -> Vec<u8> {
    let head = format!(r#"{{"auth_events":[],"content":{content},"depth":1,"#);
    let sender = json!(sender);
    let tail = format!(
        r#""origin_server_ts":{at},"prev_events":[],"sender":{sender},"state_key":"","type":"m.room.create"}}"#
    );
    let hashed = STANDARD_NO_PAD.encode(Sha256::digest(format!("{head}{tail}")));
    Sha256::digest(format!(r#"{head}"hashes":{{"sha256":"{hashed}"}},{tail}"#)).to_vec()
}

#[cfg(test)]
mod tests {
    use ruma::{owned_room_id, owned_user_id, room_id};

    use super::*;

    /// Returns a room for whose successor Synapse 1.163 gave this id: created by Alice 77 ms before the tombstone.
    fn ended() -> Ended {
        Ended {
            room: owned_room_id!("!old:hs"),
            creation: json!({ "creator": "@alice:hs", "room_version": "10" }),
            by: owned_user_id!("@alice:hs"),
            at: Timestamp::from_ms(1_700_000_000_200),
            successor: owned_room_id!("!qtCHYU3eVRbIqZUh1lXY0uY5be8scpBxDA7jKqB2wNA"),
        }
    }

    #[test]
    fn c18_the_id_of_a_hashed_room_proves_whom_it_replaces() {
        assert!(is_made_by_upgrade(&ended()));
        let forged = [
            ("another room", Ended { room: owned_room_id!("!other:hs"), ..ended() }),
            ("another's tombstone", Ended { by: owned_user_id!("@mallory:hs"), ..ended() }),
            ("made later", Ended { at: Timestamp::from_ms(1_700_000_000_122), ..ended() }),
            ("long ago", Ended { at: Timestamp::from_ms(1_700_000_031_000), ..ended() }),
            ("another kind", Ended { creation: json!({ "type": "m.space" }), ..ended() }),
            ("not to be federated", Ended { creation: json!({ "m.federate": false }), ..ended() }),
            ("an id that is no hash", Ended { successor: owned_room_id!("!old2:hs"), ..ended() }),
            ("no base64", Ended { successor: owned_room_id!("!????"), ..ended() }),
            ("before time began", Ended { at: Timestamp::from_ms(-5), ..ended() }),
        ];
        for (what, ended) in forged {
            assert!(!is_made_by_upgrade(&ended), "{what}");
        }
        assert!(is_made_by_upgrade(&Ended { creation: json!({ "m.federate": true }), ..ended() }));
    }

    #[test]
    fn c18_a_room_is_joined_only_where_it_is_known_to_replace_the_old_one() {
        let (old, new) = (room_id!("!old:hs"), room_id!("!new:hs"));
        let back = || Some(old.to_owned());
        let elsewhere = || Some(owned_room_id!("!elsewhere:hs"));
        let table = [
            (Sight::Inside { predecessor: back() }, false, Step::TakeAlong),
            (Sight::Inside { predecessor: elsewhere() }, true, Step::Ignore),
            (Sight::Inside { predecessor: None }, true, Step::Ignore),
            (Sight::Seen { predecessor: back() }, false, Step::Join),
            (Sight::Seen { predecessor: elsewhere() }, false, Step::Ignore),
            (Sight::Seen { predecessor: None }, false, Step::Ignore),
            (Sight::Invited, true, Step::Await),
            (Sight::Hidden, true, Step::Join),
            (Sight::Hidden, false, Step::Await),
        ];
        for (sight, proven, expected) in table {
            assert_eq!(next_step(old, new, &sight, proven), expected, "{sight:?} {proven}");
        }
        assert_eq!(next_step(old, old, &Sight::Inside { predecessor: back() }, true), Step::Ignore);
    }
}
