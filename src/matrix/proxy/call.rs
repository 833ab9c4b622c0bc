//! What a call asks for, as far as the proxy cares: whether it may be sent at all, and how its answer is read.

/// The longest path that is sent. Ids have at most 255 bytes, each at most three in a path, and no call names four.
const PATH_BYTES_MAX: usize = 4 << 10;
/// The longest query that is sent: filters and pagination tokens.
const QUERY_BYTES_MAX: usize = 8 << 10;

/// Answers that the SDK parses strictly and as a whole, and those that it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `/sync`
    Sync,
    /// `/rooms/{}/messages`
    Messages,
    /// `/rooms/{}/context/{}`
    Context,
    /// `/rooms/{}/relations/{}`
    Relations,
    /// `/rooms/{}/members`
    Members,
    /// `/rooms/{}/joined_members`
    JoinedMembers,
    /// `/rooms/{}/state`, without a type
    State,
    /// `/rooms/{}/event/{}`
    Event,
    /// `/joined_rooms`
    JoinedRooms,
    /// `/directory/room/{}`
    Alias,
    /// `/keys/query`
    KeysQuery,
    /// `/keys/claim`
    KeysClaim,
    /// `/keys/changes`
    KeyChanges,
    /// `/room_keys/keys`
    BackupKeys,
    /// `/rooms/{}/send/{}/{}` and `/rooms/{}/redact/{}/{}`
    Sent,
    /// Files, either way: streamed, whatever they are.
    Media,
    /// Any other JSON: streamed.
    Other,
}

impl Kind {
    /// Returns the field without which an answer is no homeserver's, whatever its status; `None` where that varies.
    pub(super) fn must_hold(self) -> Option<&'static str> {
        Some(match self {
            Self::Sync => "next_batch",
            Self::Messages | Self::Relations | Self::Members => "chunk",
            Self::JoinedMembers => "joined",
            Self::JoinedRooms => "joined_rooms",
            Self::Alias => "room_id",
            Self::KeysQuery => "device_keys",
            Self::KeysClaim => "one_time_keys",
            Self::Sent => "event_id",
            Self::Context
            | Self::State
            | Self::Event
            | Self::KeyChanges
            | Self::BackupKeys
            | Self::Media
            | Self::Other => return None,
        })
    }
}

/// Returns what a path asks for.
pub(super) fn kind(path: &str) -> Kind {
    let mut parts = path.split('/').skip(1);
    let (root, api) = (parts.next(), parts.next());
    if root != Some("_matrix") {
        return Kind::Other;
    }
    let _version = parts.next();
    let rest: Vec<&str> = parts.collect();
    match (api, rest.as_slice()) {
        (Some("media"), ["config" | "create" | "upload" | "preview_url", ..])
        | (Some("client"), ["media", "config" | "preview_url", ..]) => Kind::Other,
        (Some("media"), _) | (Some("client"), ["media", ..]) => Kind::Media,
        (Some("client"), ["sync"]) => Kind::Sync,
        (Some("client"), ["joined_rooms"]) => Kind::JoinedRooms,
        (Some("client"), ["directory", "room", _]) => Kind::Alias,
        (Some("client"), ["keys", "query"]) => Kind::KeysQuery,
        (Some("client"), ["keys", "claim"]) => Kind::KeysClaim,
        (Some("client"), ["keys", "changes"]) => Kind::KeyChanges,
        (Some("client"), ["room_keys", "keys"]) => Kind::BackupKeys,
        (Some("client"), ["rooms", _, what @ ..]) => match what {
            ["messages"] => Kind::Messages,
            ["context", _] => Kind::Context,
            ["relations", ..] => Kind::Relations,
            ["members"] => Kind::Members,
            ["joined_members"] => Kind::JoinedMembers,
            ["state"] => Kind::State,
            ["event", _] => Kind::Event,
            ["send" | "redact", _, _] => Kind::Sent,
            _ => Kind::Other,
        },
        _ => Kind::Other,
    }
}

/// Returns whether a sync asks for one event of each room.
pub(super) fn is_lean(query: &str) -> bool {
    let filter = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "filter");
    let filter: Option<serde_json::Value> = filter.and_then(|(_, filter)| serde_json::from_str(&filter).ok());
    filter.is_some_and(|filter| filter["room"]["timeline"]["limit"] == 1)
}

/// Returns why a call may not be sent: somebody chose an id in it that no homeserver can have.
pub(super) fn fault(path: &str, query: &str) -> Option<&'static str> {
    if path.len() > PATH_BYTES_MAX {
        return Some("the path is longer than any that names what exists");
    }
    if query.len() > QUERY_BYTES_MAX {
        return Some("the query is longer than any that is needed");
    }
    let lower = path.to_ascii_lowercase();
    if (0..0x20_u8).chain([0x7f]).any(|byte| lower.contains(&format!("%{byte:02x}"))) {
        return Some("the path holds a control character");
    }
    let segments: Vec<&str> = lower.split('/').skip(1).collect();
    let is_way = |segment: &&str| matches!(segment.replace("%2e", ".").as_str(), "." | "..");
    if segments.iter().any(is_way) {
        return Some("the path holds a way up");
    }
    // The state under an empty key is asked for with an empty segment at the end.
    let before_last = &segments[..segments.len().saturating_sub(1)];
    if before_last.iter().any(|segment| segment.is_empty()) {
        return Some("the path holds an empty segment");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_told_apart_by_its_place_and_not_by_what_somebody_called_an_id() {
        for (path, expected) in [
            ("/_matrix/client/v3/sync", Kind::Sync),
            ("/_matrix/client/r0/sync", Kind::Sync),
            ("/_matrix/client/v3/rooms/!r:hs/messages", Kind::Messages),
            ("/_matrix/client/v3/rooms/!r:hs/context/$e", Kind::Context),
            ("/_matrix/client/v1/rooms/!r:hs/relations/$e/m.thread", Kind::Relations),
            ("/_matrix/client/v3/rooms/!r:hs/members", Kind::Members),
            ("/_matrix/client/v3/rooms/!r:hs/state", Kind::State),
            ("/_matrix/client/v3/rooms/!r:hs/state/m.room.name/", Kind::Other),
            ("/_matrix/client/v3/rooms/!r:hs/event/sync", Kind::Event),
            ("/_matrix/client/v3/rooms/!r:hs/send/m.room.message/1", Kind::Sent),
            ("/_matrix/client/v3/rooms/!r:hs/redact/$e/1", Kind::Sent),
            ("/_matrix/client/v3/rooms/!r:hs/state/send/redact", Kind::Other),
            ("/_matrix/client/v3/rooms/sync", Kind::Other),
            ("/_matrix/client/v3/keys/claim", Kind::KeysClaim),
            ("/_matrix/client/v3/room_keys/keys", Kind::BackupKeys),
            ("/_matrix/client/v3/room_keys/keys/!r:hs/s", Kind::Other),
            ("/_matrix/client/v1/media/download/hs/id", Kind::Media),
            ("/_matrix/media/v3/download/hs/id", Kind::Media),
            ("/_matrix/media/v3/upload", Kind::Other),
            ("/login", Kind::Other),
            ("", Kind::Other),
        ] {
            assert_eq!(kind(path), expected, "{path}");
        }
    }

    #[test]
    fn what_no_homeserver_can_have_is_not_asked_for() {
        let long = format!("/_matrix/client/v3/rooms/!r:hs/event/${}", "a".repeat(20_000));
        let whole = format!("/_matrix/client/v3/rooms/{0}/state/{0}/{0}", "%F0".repeat(255));
        for (path, query, is_sent) in [
            (long.as_str(), "", false),
            (whole.as_str(), "", true),
            ("/_matrix/client/v3/sync", "timeout=0", true),
            ("/_matrix/client/v3/rooms/!r:hs/state/m.room.encryption/", "", true),
            ("/_matrix/client/v3/rooms//messages", "", false),
            ("/_matrix/client/v3/rooms/../messages", "", false),
            ("/_matrix/client/v3/rooms/%2E%2e/messages", "", false),
            ("/_matrix/client/v3/rooms/./messages", "", false),
            ("/_matrix/client/v3/rooms/!r:hs/event/$a%00b", "", false),
            ("/_matrix/client/v3/rooms/!r:hs/event/$a%0Ab", "", false),
            ("/_matrix/client/v3/rooms/!r:hs/event/$a..b", "", true),
        ] {
            assert_eq!(fault(path, query).is_none(), is_sent, "{} {query}", path.get(..60).unwrap_or(path));
        }
        assert!(fault("/_matrix/client/v3/sync", &"a".repeat(20_000)).is_some());
    }
}
