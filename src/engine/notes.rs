//! A room's stored notes, for the commands, the tools and the prompt (C2, C16).

use std::sync::Arc;

use ruma::{OwnedRoomId, RoomId};

use super::{EngineError, runtime::Runtime};
use crate::core::notes::{NewNote, Note, NoteError, Notes};

/// The notes of all rooms.
pub(super) struct NoteBook {
    runtime: Arc<Runtime>,
}

impl NoteBook {
    pub(super) fn new(runtime: &Arc<Runtime>) -> Self {
        Self { runtime: runtime.clone() }
    }

    /// Returns a room's notes, oldest first.
    pub(super) fn of(&self, room: &RoomId) -> Result<Vec<Note>, EngineError> {
        Ok(self.runtime.tables.notes.get(&room.to_owned())?.unwrap_or_default().list().to_vec())
    }

    /// Adds a note durably and returns its number; the inner error says why it was refused.
    pub(super) async fn add(&self, room: &RoomId, new: NewNote<'_>) -> Result<Result<u32, NoteError>, EngineError> {
        let mut added = Err(NoteError::Blank);
        self.change(room, |notes| added = notes.add(new)).await?;
        Ok(added)
    }

    /// Removes the note with this number and returns it.
    pub(super) async fn remove(&self, room: &RoomId, number: u32) -> Result<Option<Note>, EngineError> {
        let mut removed = None;
        self.change(room, |notes| removed = notes.remove(number)).await?;
        Ok(removed)
    }

    /// Removes all notes of a room and returns how many there were.
    pub(super) async fn forget(&self, room: &RoomId) -> Result<usize, EngineError> {
        let mut count = 0;
        self.runtime.tables.notes.update(&room.to_owned(), |notes| {
            count = notes.unwrap_or_default().list().len();
            None
        })?;
        self.runtime.store.flush().await?;
        Ok(count)
    }

    /// Copies a room's notes to the room that replaces it, unless that has notes of its own (C18).
    pub(super) fn carry(&self, old: &OwnedRoomId, new: &OwnedRoomId) -> Result<(), EngineError> {
        if let Some(notes) = self.runtime.tables.notes.get(old)? {
            self.runtime.tables.notes.insert_new(new, &notes)?;
        }
        Ok(())
    }

    /// Flushes, because what was confirmed to people must survive a crash.
    async fn change(&self, room: &RoomId, change: impl FnOnce(&mut Notes)) -> Result<(), EngineError> {
        self.runtime.tables.notes.update(&room.to_owned(), |notes: Option<Notes>| {
            let mut notes = notes.unwrap_or_default();
            change(&mut notes);
            Some(notes)
        })?;
        self.runtime.store.flush().await?;
        Ok(())
    }
}
