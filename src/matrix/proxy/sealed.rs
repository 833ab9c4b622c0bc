//! The last guard: no content goes unencrypted into a room that was ever encrypted, whichever code sends it.

use axum::http::{Method, Uri};
use ruma::RoomId;

use crate::{
    core::sealed::{ENCRYPTED, PLAIN_BY_DESIGN},
    matrix::seals::Seals,
};

/// The error code of a call that was blocked for this reason.
pub(super) const SEALED: &str = "IO_WORKMATE_SEALED";

/// Returns whether a call would send unencrypted content into a room that was ever encrypted.
///
/// The call is `PUT /_matrix/client/{version}/rooms/{room}/send/{type}/{txn}` (spec, "Sending events to a room"). The
/// client chose how to send earlier; the room may have been sealed since.
pub(super) fn would_leak(seals: &Seals, method: &Method, uri: &Uri) -> bool {
    if method != Method::PUT {
        return false;
    }
    let path: Vec<&str> = uri.path().split('/').collect();
    let [_, "_matrix", "client", _, "rooms", room, "send", event_type, ..] = path[..] else { return false };
    let event_type = decoded(event_type);
    if event_type == ENCRYPTED || PLAIN_BY_DESIGN.contains(&&*event_type) {
        return false;
    }
    RoomId::parse(decoded(room)).is_ok_and(|room| seals.of(&room).is_some())
}

/// Decodes the percent-encoding of a path segment.
fn decoded(segment: &str) -> String {
    let mut parts = segment.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        if let Some(Ok(byte)) = part.get(..2).map(|digits| u8::from_str_radix(digits, 16)) {
            bytes.push(byte);
            bytes.extend_from_slice(&part.as_bytes()[2..]);
        } else {
            bytes.push(b'%');
            bytes.extend_from_slice(part.as_bytes());
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use ruma::room_id;

    use super::*;
    use crate::core::sealed::Seal;

    #[test]
    fn c8_no_plain_content_passes_into_a_room_that_was_ever_encrypted() {
        let seals = Seals::unkept();
        seals.note(room_id!("!sealed:hs"), Seal::of_message());
        let table = [
            ("PUT", "/_matrix/client/v3/rooms/!sealed:hs/send/m.room.message/1", true),
            ("PUT", "/_matrix/client/v3/rooms/%21sealed%3Ahs/send/m%2Eroom.message/1?user_id=x", true),
            ("PUT", "/_matrix/client/r0/rooms/%21sealed%3Ahs/send/m.sticker/1", true),
            ("PUT", "/_matrix/client/v3/rooms/%21sealed%3Ahs/send/m.key.verification.start/1", true),
            ("PUT", "/_matrix/client/v3/rooms/%21sealed%3Ahs/send/m.room.encrypted/1", false),
            ("PUT", "/_matrix/client/v3/rooms/%21sealed%3Ahs/send/m.reaction/1", false),
            ("PUT", "/_matrix/client/v3/rooms/%21sealed%3Ahs/redact/%24event/1", false),
            ("PUT", "/_matrix/client/v3/rooms/%21plain%3Ahs/send/m.room.message/1", false),
            ("GET", "/_matrix/client/v3/rooms/%21sealed%3Ahs/messages", false),
        ];
        for (method, uri, expected) in table {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            assert_eq!(would_leak(&seals, &method, &uri.parse().expect("a URI")), expected, "{method} {uri}");
        }
    }
}
