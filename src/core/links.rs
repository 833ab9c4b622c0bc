//! Links to rooms and events, as people paste them (A7).

use ruma::{OwnedEventId, OwnedRoomOrAliasId, OwnedServerName, RoomId, ServerName, matrix_uri::MatrixId};

use url::Url;

use super::{
    address::OwnWords,
    event::Message,
    id,
    names::{letter_by_letter, plain_name},
};

/// Most links read from a message; further ones are plain text.
pub const LINKS_MAX: usize = 8;
/// Most bytes of a link.
const LINK_BYTES_MAX: usize = 1_024;
/// Most servers kept of a link's `via`.
const VIA_MAX: usize = 3;

/// The target of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The room, by id or alias.
    pub room: OwnedRoomOrAliasId,
    /// The message or the thread's root.
    pub event: Option<OwnedEventId>,
    /// Servers that are in the room.
    pub via: Vec<OwnedServerName>,
}

/// Returns a Markdown link to a room whose name people chose.
#[must_use]
pub fn room_link(name: &str, room: &RoomId, via: &ServerName) -> String {
    let name = plain_name(name);
    let shown = if name.is_empty() { "this room" } else { &name };
    format!("[{}](<{}>)", letter_by_letter(shown), room_address(room, via))
}

/// Returns a room's address in the form that clients understand.
#[must_use]
pub fn room_address(room: &RoomId, via: &ServerName) -> String {
    room.matrix_to_uri_via([via.to_owned()]).to_string()
}

/// Returns the target of a word: `#alias:server`, `!room:server`, a matrix.to link, a `matrix:` URI, or a room's
/// address in a web client.
///
/// `None` for a user's link and everything else.
#[must_use]
pub fn target(word: &str) -> Option<Target> {
    if word.len() > LINK_BYTES_MAX {
        return None;
    }
    // Room ids of version 12 have no server name, so anything after the `!` may be one.
    if word.starts_with(['#', '!']) && word.len() > 1 {
        let room = id::room_or_alias(word)?;
        return Some(Target { room, event: None, via: Vec::new() });
    }
    match id::uri(word) {
        Some((id, via)) => of_id(id, &via),
        None => of_web_client(word),
    }
}

/// Parses the address of a room or message in a web client on any host: Element and its kin (`…/#/room/!id/$event`),
/// Hydrogen (`…/#/session/1/room/!id`), FluffyChat (`…/#/rooms/!id`), Cinny (`…/home/!id`, `…/direct/!id`,
/// `…/!space/!id/$event`, also after a `#`).
fn of_web_client(word: &str) -> Option<Target> {
    let url = Url::parse(word).ok().filter(|url| matches!(url.scheme(), "https" | "http" | "element"))?;
    let (path, query) = match url.fragment().filter(|fragment| fragment.starts_with('/')) {
        Some(fragment) => fragment.split_once('?').unwrap_or((fragment, "")),
        None => (url.path(), url.query().unwrap_or_default()),
    };
    let decoded = |segment: &str| percent_decoded(segment).trim().to_owned();
    let segments: Vec<String> = path.split('/').filter(|segment| !segment.is_empty()).map(decoded).collect();
    let room_of = |segment: &String| segment.starts_with(['#', '!']).then(|| id::room_or_alias(segment)).flatten();
    let at = (1..segments.len()).rev().find(|at| {
        let before = &segments[at - 1];
        let leads = ["room", "rooms", "home", "direct"].contains(&before.as_str()) || room_of(before).is_some();
        leads && room_of(&segments[*at]).is_some()
    })?;
    let event = match segments.get(at + 1) {
        Some(event) if event.starts_with('$') => Some(id::event(event)?),
        _ => None,
    };
    let via = url::form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == "via");
    let via = via.filter_map(|(_, server)| id::server(&server)).take(VIA_MAX).collect();
    Some(Target { room: room_of(&segments[at])?, event, via })
}

/// Returns the targets of a message's links in order, without duplicates.
#[must_use]
pub fn targets(text: &str) -> Vec<Target> {
    let mut found: Vec<Target> = Vec::new();
    for word in text.split(|char: char| char.is_whitespace() || "<>\"'()[]".contains(char)) {
        let word = word.trim_end_matches(['.', ',', ';', ':', '!']);
        let is_link =
            word.contains("://") || word.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("matrix:"));
        let Some(target) = is_link.then(|| target(word)).flatten() else { continue };
        if !found.contains(&target) {
            found.push(target);
        }
        if found.len() == LINKS_MAX {
            break;
        }
    }
    found
}

/// Returns the targets of the links in the sender's own words, and whether the message says nothing else.
///
/// Quotes, reply fallbacks and code are not their own words, so links in them open nothing.
#[must_use]
pub fn pasted(message: &Message) -> (Vec<Target>, bool) {
    let words = match &message.html {
        Some(html) => OwnWords::of_html(html),
        None => OwnWords::of_body(&message.body),
    };
    let mut said = words.text.clone();
    for link in words.links.iter().rev().filter(|link| targets(&link.href).len() == 1) {
        // A client shows the room's name, but the link is what counts.
        said.replace_range(link.label.clone(), &format!(" {} ", link.href));
    }
    let found = targets(&said);
    let alone = said.split_whitespace().all(|word| targets(word).len() == 1);
    (found, alone)
}

fn of_id(id: MatrixId, via: &[OwnedServerName]) -> Option<Target> {
    let (room, event) = match id {
        MatrixId::Room(room) => (room.into(), None),
        MatrixId::RoomAlias(alias) => (alias.into(), None),
        MatrixId::Event(room, event) => (room, Some(event)),
        _ => return None,
    };
    // Anybody can write a link, and ruma decodes its parts: an impossible id names nothing.
    let fits = id::is_room_or_alias(&room) && event.as_ref().is_none_or(|event| id::is_event(event));
    let via = via.iter().filter(|server| id::is_server(server)).take(VIA_MAX).cloned().collect();
    fits.then_some(Target { room, event, via })
}

/// Decodes percent-encoded bytes (`%40`) in a text.
pub(crate) fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = text.get(at + 1..at + 3).filter(|hex| byte == b'%' && hex.bytes().all(|c| c.is_ascii_hexdigit()));
        let value = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        decoded.push(value.unwrap_or(byte));
        at += if value.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(target: &Target) -> (&str, Option<&str>, usize) {
        (target.room.as_str(), target.event.as_ref().map(|event| event.as_str()), target.via.len())
    }

    #[test]
    fn a7_every_usual_form_of_a_link_is_understood() {
        for (word, expected) in [
            ("#ops:hs", ("#ops:hs", None, 0)),
            ("!abc:hs", ("!abc:hs", None, 0)),
            ("https://matrix.to/#/#ops:hs", ("#ops:hs", None, 0)),
            ("https://matrix.to/#/%23ops%3Ahs", ("#ops:hs", None, 0)),
            ("https://matrix.to/#/!abc:hs?via=hs&via=other", ("!abc:hs", None, 2)),
            ("https://matrix.to/#/!abc:hs/$event:hs?via=hs", ("!abc:hs", Some("$event:hs"), 1)),
            ("matrix:r/ops:hs", ("#ops:hs", None, 0)),
            ("HTTPS://MATRIX.TO/#/#ops:hs", ("#ops:hs", None, 0)),
            ("http://www.matrix.to/#/#ops:hs", ("#ops:hs", None, 0)),
            ("Matrix:r/ops:hs", ("#ops:hs", None, 0)),
            ("matrix:roomid/abc:hs/e/event?via=hs", ("!abc:hs", Some("$event"), 1)),
            ("https://app.element.io/#/room/!abc:hs", ("!abc:hs", None, 0)),
            ("https://app.element.io/#/room/!abc:hs/$event:hs?via=hs", ("!abc:hs", Some("$event:hs"), 1)),
            ("https://chat.example.org/element/#/room/#ops:hs", ("#ops:hs", None, 0)),
            ("https://chat.example.org/#/room/%23ops%3Ahs", ("#ops:hs", None, 0)),
            ("element://vector/webapp/#/room/!abc:hs", ("!abc:hs", None, 0)),
            ("http://localhost:8080/#/room/!abc:hs", ("!abc:hs", None, 0)),
            ("https://hydrogen.element.io/#/session/17/room/!abc:hs", ("!abc:hs", None, 0)),
            ("https://fluffychat.im/web/#/rooms/!abc:hs", ("!abc:hs", None, 0)),
            ("https://app.cinny.in/home/!abc:hs/$event/", ("!abc:hs", Some("$event"), 0)),
            ("https://app.cinny.in/%23space%3Ahs/!abc%3Ahs?via=hs", ("!abc:hs", None, 1)),
            ("https://chat.example.org/#/home/!abc:hs", ("!abc:hs", None, 0)),
        ] {
            let target = target(word).unwrap_or_else(|| panic!("{word} is a link"));
            assert_eq!(shown(&target), expected, "{word}");
        }
    }

    #[test]
    fn a7_what_points_at_no_room_is_none() {
        let long = format!("#{}:hs", "a".repeat(LINK_BYTES_MAX));
        let over_long = format!("https://matrix.to/#/!abc:hs/${}", "a".repeat(300));
        for word in [
            "",
            "ops",
            "#ops",
            "!",
            "@ada:hs",
            "https://matrix.to/#/@ada:hs",
            "matrix:u/ada:hs",
            &long,
            "https://example.org/#/!abc:hs",
            "javascript:!abc:hs",
            "javascript://x/#/room/!abc:hs",
            "https://app.element.io/#/user/@ada:hs",
            "https://app.element.io/#/room/ops",
            "https://app.element.io/#/room/!abc:hs/$a%20b",
            "https://example.org/room/of/!requirements",
            "https://matrix.to/#/!a%00b:hs",
            "https://matrix.to/#/!abc:hs/$a%20b",
            "https://matrix.to/#/!abc:hs/$a%2525b",
            "matrix:roomid/abc:hs/e/a%0Ab",
            "#a%2Fb:hs",
            &over_long,
        ] {
            assert_eq!(target(word), None, "{word}");
        }
    }

    #[test]
    fn a7_links_are_found_in_running_text_once_each_and_not_without_end() {
        let text = "See (https://matrix.to/#/!abc:hs), <matrix:r/ops:hs> and https://matrix.to/#/!abc:hs. #ops:hs too?";
        let found = targets(text);
        assert_eq!(found.iter().map(|target| target.room.as_str()).collect::<Vec<_>>(), ["!abc:hs", "#ops:hs"]);
        let many = (0..50).map(|at| format!("matrix:r/room{at}:hs")).collect::<Vec<_>>().join(" ");
        assert_eq!(targets(&many).len(), LINKS_MAX);
    }

    #[test]
    fn a7_a_pasted_link_counts_in_ones_own_words_only_and_may_stand_alone() {
        let html = |html: &str| Message { html: Some(html.to_owned()), ..Message::text("ops") };
        let link = "https://matrix.to/#/!abc:hs/$event?via=hs";
        let pill = r#"<a href="https://matrix.to/#/%23ops%3Ahs?via=hs&amp;via=b">ops</a>"#;
        let rows = [
            (Message::text(link), 1, true),
            (Message::text(format!("what is {link} about?")), 1, false),
            (html(pill), 1, true),
            (html(&format!("<p>see {pill}</p>")), 1, false),
            (html(&format!("{pill} {link}")), 2, true),
            (html(&format!("<mx-reply><blockquote>{pill}</blockquote></mx-reply>no")), 0, false),
            (Message::text(format!("> <@assistant:hs> {link}\n\nthanks")), 0, false),
            (Message::text(format!("`{link}`")), 0, true),
            (html(r#"<a href="https://matrix.to/#/@bob:hs">Bob</a>"#), 0, false),
            (Message::text("#ops:hs"), 0, false),
        ];
        for (message, links, alone) in rows {
            let (found, is_alone) = pasted(&message);
            assert_eq!((found.len(), is_alone), (links, alone), "{message:?}");
        }
    }
}
