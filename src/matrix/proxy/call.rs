//! What the proxy needs to know of a call: whether it may be sent, and how to read its answer.

/// The longest path that is sent, in bytes. Ids have at most 255 bytes, tripled by encoding, and no call has four.
const PATH_BYTES_MAX: usize = 4 << 10;
/// The longest query that is sent, in bytes: filters and pagination tokens.
const QUERY_BYTES_MAX: usize = 8 << 10;

/// Kinds of calls: those whose answers the SDK parses strictly as a whole, and the rest.
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
    /// Files in either direction: streamed, whatever their content.
    Media,
    /// Any other JSON answer: streamed.
    Other,
}

impl Kind {
    /// Returns the field that every genuine answer of this kind has; `None` if there is none.
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

/// Returns the kind of call for a path.
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

/// The prefix of a part's number, used in place of a sync's `since` token.
const PART: &str = "workmate-part-";

/// Returns the token with which our client requests a part of a first sync. The proxy sends the request without a
/// token, passes on what belongs to no room only with the first part, and marks each part's `next_batch`, so that the
/// SDK does not take two parts for the same answer.
pub(in crate::matrix) fn part_token(number: usize) -> String {
    format!("{PART}{number}")
}

/// Returns the number of the part that a sync requests, if any.
pub(super) fn part(query: &str) -> Option<usize> {
    let (_, since) = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "since")?;
    since.strip_prefix(PART)?.parse().ok()
}

/// Returns whether a sync is a first one, or the first part of one.
pub(super) fn is_first_sync(query: &str) -> bool {
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    part(query).map_or_else(|| !pairs.any(|(name, _)| name == "since"), |number| number == 0)
}

/// Returns a part's token as the homeserver knows it.
pub(in crate::matrix) fn token_of_part(marked: &str) -> &str {
    marked.split_once(PART_MARK).map_or(marked, |(token, _)| token)
}

/// Returns a part's token for the SDK.
pub(super) fn mark_part(token: &str, number: usize) -> String {
    format!("{token}{PART_MARK}{number}")
}

/// Separates the homeserver's token from a part's number.
const PART_MARK: &str = "~workmate-";

/// Returns why a call must not be sent: an id in it that no homeserver can have.
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
    // State with an empty key has an empty last segment.
    let before_last = &segments[..segments.len().saturating_sub(1)];
    if before_last.iter().any(|segment| segment.is_empty()) {
        return Some("the path holds an empty segment");
    }
    None
}

/// Returns whether a call with an odd refusal is worth repeating: not if it comes again anyway, or is dispensable. New
/// keys are uploaded with the next sync, and after a store was restored from a copy they are refused each time.
pub(super) fn is_repeated(path: &str) -> bool {
    // `/_matrix/client/{version}/…`
    let parts: Vec<&str> = path.split('/').skip(4).take(3).collect();
    !matches!(
        parts.as_slice(),
        ["keys", "upload"] | ["presence", ..] | ["rooms", _, "typing" | "receipt" | "read_markers"]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_sync_has_no_token_or_is_the_first_part() {
        for (query, expected) in [
            ("timeout=0", true),
            ("since=s1_2&timeout=0", false),
            ("since=workmate-part-0", true),
            ("since=workmate-part-3", false),
        ] {
            assert_eq!(is_first_sync(query), expected, "{query}");
        }
    }

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
    fn a_part_of_a_first_sync_is_asked_for_and_marked_by_its_number() {
        let query = format!("filter=%7B%7D&since={}&timeout=0", part_token(7));
        assert_eq!(part(&query), Some(7));
        for query in ["", "since=s72_1", "filter=workmate-part-1", "since=workmate-part-x"] {
            assert_eq!(part(query), None, "{query}");
        }
        let marked = mark_part("s72~1_4", 7);
        assert_ne!(marked, mark_part("s72~1_4", 8));
        assert_eq!(token_of_part(&marked), "s72~1_4");
        assert_eq!(token_of_part("s72"), "s72");
    }

    #[test]
    fn what_comes_again_by_itself_is_not_repeated() {
        for (path, expected) in [
            ("/_matrix/client/v3/rooms/!r:hs/send/m.room.message/1", true),
            ("/_matrix/client/v3/rooms/!r:hs/state/m.room.member/typing", true),
            ("/_matrix/client/v3/keys/query", true),
            ("/_matrix/client/v3/sync", true),
            ("/_matrix/client/v3/keys/upload", false),
            ("/_matrix/client/v3/presence/@a:hs/status", false),
            ("/_matrix/client/v3/rooms/!r:hs/typing/@a:hs", false),
            ("/_matrix/client/v3/rooms/!r:hs/receipt/m.read/$e", false),
            ("/_matrix/client/v3/rooms/!r:hs/read_markers", false),
        ] {
            assert_eq!(is_repeated(path), expected, "{path}");
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
