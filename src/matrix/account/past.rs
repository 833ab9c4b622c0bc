//! Reads further back than a room's window; for searches, not for contexts.

use matrix_sdk::room::MessagesOptions;
use ruma::{RoomId, UInt};

use super::{Account, MatrixError, PAGE_EVENTS, reading::reaches_the_beginning};
use crate::{
    core::event::RoomEvent,
    matrix::{
        inbound::{self, Read},
        window::Older,
    },
};

impl Account {
    /// Returns up to `want` of a room's newest events, oldest first, and whether there are older ones. Events before
    /// the window are fetched page by page, decrypted with the keys at hand, and not kept.
    ///
    /// # Errors
    /// When the homeserver does not answer.
    pub async fn past(&self, room_id: &RoomId, want: usize) -> Result<(Vec<RoomEvent>, bool), MatrixError> {
        let held = self.history(room_id, want).await?;
        let mut from = match self.older_than_held(room_id) {
            Older::From(token) => token,
            Older::Nothing => return Ok((held, false)),
            Older::Unknown => return Ok((held, true)),
        };
        let room = self.room(room_id)?;
        let mut before: Vec<Read> = Vec::new();
        let pages_max = want.div_ceil(PAGE_EVENTS as usize);
        for _ in 0..pages_max {
            if held.len() + before.len() >= want {
                break;
            }
            let mut options = MessagesOptions::backward().from(Some(from.as_str()));
            options.limit = UInt::from(PAGE_EVENTS);
            let page = match Box::pin(room.messages(options)).await.map_err(MatrixError::from) {
                // The homeserver does not know its own token any more.
                Err(error) if error.is_odd_refusal() => {
                    self.forget_window(room_id);
                    return Ok((joined(&before, held), true));
                }
                page => page?,
            };
            // Newest first, as requested.
            before.extend(self.read(room_id, &page.chunk).await);
            match page.end {
                Some(token) if !page.chunk.is_empty() && token != from && !reaches_the_beginning(&page.chunk) => {
                    from = token;
                }
                _ => return Ok((joined(&before, held), false)),
            }
        }
        Ok((joined(&before, held), true))
    }
}

/// Joins older events and the window's, each event once.
fn joined(before: &[Read], held: Vec<RoomEvent>) -> Vec<RoomEvent> {
    let mut before = inbound::together(before.iter().rev());
    before.retain(|event| !held.iter().any(|kept| kept.id == event.id));
    before.extend(held);
    before
}
