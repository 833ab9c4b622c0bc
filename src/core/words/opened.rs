//! What an owner is told about rooms that they open for their assistant (A7, A8).

use ruma::{EventId, RoomId, ServerName};

use crate::core::{
    legible::is_hidden,
    links::room_address,
    names::letter_by_letter,
    opened::{OPENED_MAX, OpenedBlock},
    zone::Zone,
};

/// The length at which a room's name is cut, in characters.
const NAME_CHARS_MAX: usize = 60;

/// Replaces the name of a room that has none.
const NAMELESS: &str = "a room without a name";

/// What the notice about an opened room mentions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header<'a> {
    /// The opened room's id.
    pub room: &'a RoomId,
    /// The message or thread that the owner pointed at.
    pub event: Option<&'a EventId>,
    /// The room's name; `None` if it has none.
    pub name: Option<&'a str>,
    /// A server in the room, for the link.
    pub via: &'a ServerName,
    /// The part of the room that is read.
    pub block: &'a OpenedBlock,
    /// Whether something was left out because the owner may not read it.
    pub forbidden: bool,
    /// Whether the room has older messages than were read.
    pub older: bool,
    /// The owner's time zone.
    pub zone: &'a Zone,
}

/// Says what was opened: the room, the range, the number of messages, and what was left out.
#[must_use]
pub(crate) fn header(header: &Header<'_>) -> String {
    let Header { room, event, name, via, block, forbidden, older, zone } = *header;
    let link = match event {
        Some(event) => room.matrix_to_event_uri_via(event, [via.to_owned()]).to_string(),
        None => room_address(room, via),
    };
    // Clients show a link to a room under the room's name.
    let name = name.map_or_else(|| NAMELESS.to_owned(), shown);
    let count = match block.messages {
        0 => "no messages".to_owned(),
        1 => "1 message".to_owned(),
        count => format!("{count} messages"),
    };
    let range = block.span.map(|(from, to)| format!(", {} to {}", zone.date(from), zone.date(to))).unwrap_or_default();
    let mut left_out = Vec::new();
    if block.over_budget > 0 {
        left_out.push(format!("{} that are too much for me at once", block.over_budget));
    }
    if older {
        left_out.push("older ones".to_owned());
    }
    if forbidden {
        left_out.push("what you can't read there".to_owned());
    }
    if block.undecryptable > 0 {
        left_out.push(format!("{} that can't be decrypted", block.undecryptable));
    }
    let left_out = if left_out.is_empty() { String::new() } else { format!(" Left out: {}.", left_out.join(", ")) };
    format!(
        "**Opened for you alone:** [{name}](<{link}>), {count}{range}.{left_out}\n\nNobody there can see this. I read it \
         until this session ends, and only while you can read it too. `!open` it again for what is new."
    )
}

/// Says that a room cannot be opened. The text is the same whether the room does not exist, the owner may not read it,
/// or no coworker is in it.
#[must_use]
pub(crate) fn cannot_open() -> String {
    "I can't open that. Either it isn't there, or you can't read it, or no coworker is in that room: I see only what you \
     can read and a coworker there can read as well. You can paste or forward here what I should know, or invite a \
     coworker to the room."
        .to_owned()
}

/// Asks what to open.
#[must_use]
pub(crate) fn open_what() -> String {
    "What should I open? Write `!open #room`, or paste a link to a room, a thread or a message.".to_owned()
}

/// Says that no further room can be opened.
#[must_use]
pub(crate) fn too_many_open() -> String {
    format!("{OPENED_MAX} rooms are open already, and I can't keep more in mind. `!new` closes them.")
}

/// Says that an opened room was closed because it can no longer be read.
#[must_use]
pub(crate) fn closed(room: &RoomId, via: &ServerName) -> String {
    format!(
        "I've closed [a room that was open here]({}): either you can't read it any more, or no coworker there can. I no \
         longer take it into account, nor what I answered while it was open.",
        room_address(room, via)
    )
}

/// Returns Markdown that shows a room's name literally.
fn shown(name: &str) -> String {
    let harmless = |letter: &char| !letter.is_control() && !is_hidden(*letter);
    let name: String = name.chars().filter(|letter| *letter == ' ' || harmless(letter)).take(NAME_CHARS_MAX).collect();
    if name.trim().is_empty() { NAMELESS.to_owned() } else { letter_by_letter(name.trim()) }
}

#[cfg(test)]
mod tests {
    use ruma::{event_id, room_id, server_name};

    use super::*;
    use crate::core::{render::own as render, time::Timestamp};

    #[test]
    fn a7_the_header_names_room_range_count_and_what_was_left_out() {
        let at = |minutes: i64| Timestamp::from_ms(1_795_346_405_000 + minutes * 60_000);
        let block = OpenedBlock {
            messages: 12,
            span: Some((at(0), at(90))),
            over_budget: 7,
            undecryptable: 2,
            ..OpenedBlock::default()
        };
        let whole = Header {
            room: room_id!("!team:hs"),
            event: Some(event_id!("$root")),
            name: Some("te`am** @room\n"),
            via: server_name!("hs"),
            block: &block,
            forbidden: true,
            older: true,
            zone: &Zone::default(),
        };
        insta::assert_snapshot!(header(&whole));
        let block = OpenedBlock::default();
        let empty = Header { event: None, name: Some("` "), block: &block, forbidden: false, older: false, ..whole };
        insta::assert_snapshot!(render(&header(&empty)).body);
    }

    #[test]
    fn c13_the_header_names_the_room_once() {
        let block = OpenedBlock { messages: 3, ..OpenedBlock::default() };
        let (room, via) = (room_id!("!team:hs"), server_name!("hs"));
        let (name, forbidden, older) = (Some("Team [x](y) room"), false, false);
        let shown = render(&header(&Header {
            room,
            event: None,
            name,
            via,
            block: &block,
            forbidden,
            older,
            zone: &Zone::default(),
        }));
        let html = shown.html.expect("rich");
        let link = "<a href=\"https://matrix.to/#/!team:hs?via=hs\">Team [x](y) room</a>, 3 messages.";
        assert!(html.contains(link) && html.matches("Team").count() == 1, "{html}");
    }

    #[test]
    fn a8_what_cannot_be_opened_has_one_word_for_every_reason() {
        for reason in ["isn't there", "can't read it", "no coworker"] {
            assert!(cannot_open().contains(reason), "{reason}");
        }
    }
}
