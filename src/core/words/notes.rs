//! Texts about a room's notes (C2, C16).

use crate::core::{
    names::{Names, letter_by_letter as as_is},
    notes::{NOTE_CHARS_MAX, NOTES_MAX, Note, NoteError},
    zone::Zone,
};

/// `!notes`: each note with its number, author and day.
#[must_use]
pub fn notes(coworker: &str, notes: &[Note], zone: &Zone) -> String {
    let lines = notes.iter().map(|note| {
        format!(
            "- **{}** {} ({}, {})",
            note.number,
            as_is(&note.text),
            Names::default().of(&note.by),
            zone.date(note.at)
        )
    });
    let lines: Vec<_> = lines.collect();
    format!("The notes of this room:\n\n{}\n\n`@{coworker} !forget` with a number removes one.", lines.join("\n"))
}

/// `!notes` if there are none.
#[must_use]
pub fn no_notes(coworker: &str) -> String {
    format!("This room has no notes. `@{coworker} !note` with a text adds one.")
}

/// Confirms `!note`.
#[must_use]
pub fn noted(number: u32) -> String {
    format!("Noted as number {number}. I'll read it whenever I'm asked something here.")
}

/// Says why a note was refused.
#[must_use]
pub fn not_noted(why: NoteError) -> String {
    match why {
        NoteError::Blank => "What should I note? Write it after `!note`.".to_owned(),
        NoteError::TooLong { chars } => {
            format!("That's too long for a note: it has {chars} characters, and {NOTE_CHARS_MAX} is the most.")
        }
        NoteError::Full => {
            format!(
                "This room already has {NOTES_MAX} notes, which is the most. `!notes` lists them; forget some first."
            )
        }
    }
}

/// Confirms `!forget` with a number.
#[must_use]
pub fn forgot(number: u32) -> String {
    format!("Forgotten: note {number}.")
}

/// Says that no note has this number.
#[must_use]
pub fn no_such_note(number: u32) -> String {
    format!("There's no note {number}. `!notes` lists them.")
}

/// Confirms `!forget` of all notes.
#[must_use]
pub fn forgot_all(count: usize) -> String {
    match count {
        0 => "There were no notes.".to_owned(),
        1 => "Forgotten: the one note of this room.".to_owned(),
        _ => format!("Forgotten: all of this room's notes ({count})."),
    }
}

#[cfg(test)]
mod tests {
    use ruma::owned_user_id;

    use super::*;
    use crate::core::{render::own as render, time::Timestamp};

    #[test]
    fn c16_notes_are_listed_letter_by_letter_with_their_authors_and_ping_nobody() {
        let hostile = "# *a* [b](https://evil.example) <i>c</i> `d` @room @bob:hs 1. \\\\";
        let at = Timestamp::from_ms(1_795_346_405_000);
        let note = |number, text: &str| Note {
            number,
            text: text.to_owned(),
            by: owned_user_id!("@alice:hs"),
            at,
            cause: String::new(),
        };
        insta::assert_snapshot!(
            render(&notes("oncall", &[note(1, "the valve is green"), note(4, hostile)], &Zone::default()))
                .html
                .expect("rich")
        );
    }

    #[test]
    fn c16_forgetting_says_how_many() {
        assert_eq!(
            [0, 1, 2].map(forgot_all),
            [
                "There were no notes.",
                "Forgotten: the one note of this room.",
                "Forgotten: all of this room's notes (2).",
            ]
        );
    }
}
