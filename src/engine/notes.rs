//! A room's stored notes, for the commands, the tools and the prompt (C2, C16).

use ruma::{OwnedRoomId, RoomId};

use super::{Engine, EngineError};
use crate::core::notes::{NewNote, Note, NoteError, Notes};

impl Engine {
    /// Returns a room's notes, oldest first.
    pub(super) fn notes(&self, room: &RoomId) -> Result<Vec<Note>, EngineError> {
        Ok(self.tables.notes.get(&room.to_owned())?.unwrap_or_default().list().to_vec())
    }

    /// Adds a note durably and returns its number; the inner error says why it was refused.
    pub(super) async fn add_note(
        &self,
        room: &RoomId,
        new: NewNote<'_>,
    ) -> Result<Result<u32, NoteError>, EngineError> {
        let mut added = Err(NoteError::Blank);
        self.change_notes(room, |notes| added = notes.add(new)).await?;
        Ok(added)
    }

    /// Removes the note with this number and returns it.
    pub(super) async fn remove_note(&self, room: &RoomId, number: u32) -> Result<Option<Note>, EngineError> {
        let mut removed = None;
        self.change_notes(room, |notes| removed = notes.remove(number)).await?;
        Ok(removed)
    }

    /// Removes all notes of a room and returns how many there were.
    pub(super) async fn forget_notes(&self, room: &RoomId) -> Result<usize, EngineError> {
        let mut count = 0;
        self.tables.notes.update(&room.to_owned(), |notes| {
            count = notes.unwrap_or_default().list().len();
            None
        })?;
        self.store.flush().await?;
        Ok(count)
    }

    /// Copies a room's notes to the room that replaces it, unless that has notes of its own (C18).
    pub(super) fn carry_notes(&self, old: &OwnedRoomId, new: &OwnedRoomId) -> Result<(), EngineError> {
        if let Some(notes) = self.tables.notes.get(old)? {
            self.tables.notes.insert_new(new, &notes)?;
        }
        Ok(())
    }

    /// Flushes, because what was confirmed to people must survive a crash.
    async fn change_notes(&self, room: &RoomId, change: impl FnOnce(&mut Notes)) -> Result<(), EngineError> {
        self.tables.notes.update(&room.to_owned(), |notes: Option<Notes>| {
            let mut notes = notes.unwrap_or_default();
            change(&mut notes);
            Some(notes)
        })?;
        self.store.flush().await?;
        Ok(())
    }
}
