//! A room's notes: what its members asked to keep, each under a permanent number (C2, C16).

use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// Most notes in a room.
pub(crate) const NOTES_MAX: usize = 50;
/// Most characters in a note.
pub(crate) const NOTE_CHARS_MAX: usize = 500;

/// A note that a room keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Its number, from 1; not reused while the room has notes.
    pub number: u32,
    /// The text, on one line.
    pub text: String,
    /// Who noted it: a member, or the coworker whose tool did.
    pub by: OwnedUserId,
    /// When it was noted.
    pub at: Timestamp,
    /// The id of the event or tool call that caused it; the same cause adds no second note.
    #[serde(default)]
    pub cause: String,
}

/// A room's notes, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Notes {
    #[serde(default)]
    notes: Vec<Note>,
    /// The highest number given out.
    #[serde(default)]
    last: u32,
}

/// A note to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewNote<'a> {
    /// The text; it is put on one line.
    pub text: &'a str,
    /// Who asks for it.
    pub by: OwnedUserId,
    /// The time to record.
    pub at: Timestamp,
    /// See [`Note::cause`].
    pub cause: &'a str,
}

/// Why a note is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The text is blank.
    #[error("a note needs a text")]
    Blank,
    /// The text is longer than [`NOTE_CHARS_MAX`].
    #[error("a note has at most {NOTE_CHARS_MAX} characters, and this text has {chars}: shorten it")]
    TooLong {
        /// Its length in characters.
        chars: usize,
    },
    /// The room has [`NOTES_MAX`] notes already.
    #[error("this room has {NOTES_MAX} notes, the most that a room can have: remove some first")]
    Full,
}

impl Notes {
    /// Returns the notes, oldest first.
    #[must_use]
    pub(crate) fn list(&self) -> &[Note] {
        &self.notes
    }

    /// Adds a note and returns its number, or the existing note's number if the cause is known.
    ///
    /// # Errors
    /// If the text is blank or too long, or the room has too many notes; nothing is changed then.
    pub(crate) fn add(&mut self, new: NewNote<'_>) -> Result<u32, NoteError> {
        if let Some(known) = self.notes.iter().find(|note| !note.cause.is_empty() && note.cause == new.cause) {
            return Ok(known.number);
        }
        let text = one_line(new.text);
        if text.is_empty() {
            return Err(NoteError::Blank);
        }
        let chars = text.chars().count();
        if chars > NOTE_CHARS_MAX {
            return Err(NoteError::TooLong { chars });
        }
        if self.notes.len() >= NOTES_MAX {
            return Err(NoteError::Full);
        }
        self.last = self.last.saturating_add(1);
        self.notes.push(Note { number: self.last, text, by: new.by, at: new.at, cause: new.cause.to_owned() });
        Ok(self.last)
    }

    /// Removes the note with this number and returns it.
    pub(crate) fn remove(&mut self, number: u32) -> Option<Note> {
        let at = self.notes.iter().position(|note| note.number == number)?;
        Some(self.notes.remove(at))
    }
}

/// Returns the text on one line, without control characters.
fn one_line(text: &str) -> String {
    let words = text.split(|letter: char| letter.is_whitespace() || letter.is_control());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use ruma::owned_user_id;

    use super::*;

    fn new<'a>(text: &'a str, cause: &'a str) -> NewNote<'a> {
        NewNote { text, by: owned_user_id!("@alice:hs"), at: Timestamp::from_ms(5), cause }
    }

    #[test]
    fn c2_notes_keep_their_numbers_when_others_go() {
        let mut notes = Notes::default();
        assert_eq!([notes.add(new("one", "$1")), notes.add(new(" two\n\tlines \u{0}", "$2"))], [Ok(1), Ok(2)]);
        assert_eq!(notes.remove(1).map(|note| note.text), Some("one".to_owned()));
        assert_eq!((notes.remove(1), notes.remove(0)), (None, None));
        assert_eq!(notes.add(new("three", "$3")), Ok(3));
        let listed: Vec<_> = notes.list().iter().map(|note| (note.number, note.text.as_str())).collect();
        assert_eq!(listed, [(2, "two lines"), (3, "three")]);
    }

    #[test]
    fn c2_the_same_cause_notes_once() {
        let mut notes = Notes::default();
        assert_eq!([notes.add(new("one", "$1")), notes.add(new("one", "$1"))], [Ok(1), Ok(1)]);
        assert_eq!([notes.add(new("tool", "")), notes.add(new("tool", ""))], [Ok(2), Ok(3)]);
    }

    #[test]
    fn c2_what_a_note_cannot_be_is_refused_and_changes_nothing() {
        let mut notes = Notes::default();
        let (fits, long) = ("ü".repeat(NOTE_CHARS_MAX), "ü".repeat(NOTE_CHARS_MAX + 1));
        let table = [
            (" \n ", Err(NoteError::Blank)),
            (long.as_str(), Err(NoteError::TooLong { chars: NOTE_CHARS_MAX + 1 })),
            (fits.as_str(), Ok(1)),
        ];
        for (text, expected) in table {
            assert_eq!(notes.add(new(text, text)), expected);
        }
        for n in 1..NOTES_MAX {
            notes.add(new("x", &format!("${n}"))).expect("there is room");
        }
        assert_eq!(notes.add(new("one more", "$more")), Err(NoteError::Full));
        assert_eq!(notes.list().len(), NOTES_MAX);
    }

    #[test]
    fn stored_notes_look_so() {
        let mut notes = Notes::default();
        notes.add(new("one", "$1")).expect("noted");
        let stored = serde_json::to_string(&notes).expect("JSON");
        let expected = r#"{"notes":[{"number":1,"text":"one","by":"@alice:hs","at":5,"cause":"$1"}],"last":1}"#;
        assert_eq!(stored, expected);
        assert_eq!(serde_json::from_str::<Notes>(expected).expect("notes"), notes);
        assert_eq!(serde_json::from_str::<Notes>("{}").expect("notes"), Notes::default());
    }
}
