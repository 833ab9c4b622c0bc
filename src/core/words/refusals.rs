//! Texts about what is left out because the model's provider refused it (C26).

use std::fmt::Write as _;

use ruma::{RoomId, ServerName};

use crate::core::{
    names::Names,
    refused::{LeftOut, Part, PutBack},
    zone::Zone,
};

/// Most parts that `!leftout` lists; of more, the newest.
const LISTED_MAX: usize = 30;

/// Answers `!leftout` in `room`, without content.
#[must_use]
pub(crate) fn left_out(all: &[LeftOut], room: &RoomId, via: &ServerName, names: &Names, zone: &Zone) -> String {
    if all.is_empty() {
        return "I leave nothing out here.".to_owned();
    }
    let mut text = "I leave this out, because the model's provider refused it:\n".to_owned();
    let skipped = all.len().saturating_sub(LISTED_MAX);
    if skipped > 0 {
        let _ = write!(text, "\n*{skipped} older ones are not listed.*\n");
    }
    for (number, one) in (1..).zip(all).skip(skipped) {
        let _ = write!(text, "\n{number}. {}", named(one, room, via, names));
        if let Some(at) = one.what.sent_at {
            let _ = write!(text, ", {}", zone.date(at));
        }
        if let Some(category) = one.category.as_deref().filter(|category| *category != "unnamed") {
            let word: String = category.chars().map(|letter| if letter == '_' { ' ' } else { letter }).collect();
            let _ = write!(text, " ({word})");
        }
    }
    text.push_str(
        "\n\n`!reread` has me read all of it again, and `!reread 2` only that one; whoever sent it can do that, or a moderator. \
         I also look again at a message that is edited.",
    );
    text
}

fn named(one: &LeftOut, room: &RoomId, via: &ServerName, names: &Names) -> String {
    let by = || one.what.by.as_deref().map_or_else(|| "somebody".to_owned(), |by| names.of(by));
    match &one.what.part {
        Part::Event(id) => {
            let place = one.what.room.as_deref().unwrap_or(room);
            let link = place.matrix_to_event_uri_via(&**id, [via.to_owned()]);
            format!("[a message]({link}) from {}", by())
        }
        Part::Note(number) => format!("note {number}, from {}", by()),
        Part::Name(_) => format!("the display name of {}", by()),
        Part::RoomName(_) => "the room's name".to_owned(),
        Part::RoomTopic(_) => "the room's topic".to_owned(),
    }
}

/// Answers `!reread`, with the number that it named, if any.
#[must_use]
pub(crate) fn put_back(back: &PutBack, number: Option<u32>) -> String {
    match (back.parts.len(), back.kept, number) {
        (0, 0, Some(number)) => format!("There's no number {number} in what I leave out. `!leftout` lists it."),
        (0, 0, None) => "I leave nothing out here.".to_owned(),
        (0, ..) => "Only whoever sent it, or a moderator, can have me read that again.".to_owned(),
        (1, 0, _) => {
            "I'll read it again from now on. If the provider still refuses it, I'll leave it out once more.".to_owned()
        }
        (many, 0, _) => {
            format!(
                "I'll read all {many} again from now on. What the provider still refuses, I'll leave out once more."
            )
        }
        (many, kept, _) => {
            format!(
                "I'll read {many} of them again from now on. The other {kept} can be put back by whoever sent them, or a \
                 moderator."
            )
        }
    }
}
