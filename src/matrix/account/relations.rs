//! Events related to another, from the homeserver, in case no transaction brought them.

use matrix_sdk::{
    room::{IncludeRelations, RelationsOptions},
    ruma::UInt,
};
use ruma::{EventId, RoomId, events::relation::RelationType};

use super::{Account, PAGE_EVENTS};
use crate::{
    core::event::{EventKind, RoomEvent},
    matrix::error::MatrixError,
};

/// Most pages of related events that are read, newest first.
const RELATED_PAGES_MAX: usize = 5;

impl Account {
    /// Returns the reactions to an event that are not redacted, oldest first.
    ///
    /// # Errors
    /// When the homeserver does not answer, or refuses.
    pub async fn reactions_to(&self, room: &RoomId, target: &EventId) -> Result<Vec<RoomEvent>, MatrixError> {
        self.related(room, target, RelationType::Annotation).await
    }

    /// Returns the newest events of a thread without its root, oldest first, decrypted with the keys at hand.
    ///
    /// # Errors
    /// When the homeserver does not answer, or refuses.
    pub async fn newest_in_thread(&self, room: &RoomId, root: &EventId) -> Result<Vec<RoomEvent>, MatrixError> {
        self.related(room, root, RelationType::Thread).await
    }

    async fn related(
        &self,
        room_id: &RoomId,
        target: &EventId,
        relation: RelationType,
    ) -> Result<Vec<RoomEvent>, MatrixError> {
        let room = self.room(room_id)?;
        let is_encrypted = room.encryption_state().is_encrypted();
        let (mut found, mut from): (Vec<RoomEvent>, Option<String>) = (Vec::new(), None);
        for _ in 0..RELATED_PAGES_MAX {
            let options = RelationsOptions {
                from: from.take(),
                limit: Some(UInt::from(PAGE_EVENTS)),
                include_relations: IncludeRelations::RelationsOfType(relation.clone()),
                ..RelationsOptions::default()
            };
            let page = Box::pin(room.relations(target.to_owned(), options)).await?;
            // Newest first, as requested. An unencrypted message in an encrypted room counts as nobody's.
            let read = self.read(room_id, &page.chunk).await.into_iter().filter(|read| {
                read.was_encrypted || !is_encrypted || !matches!(read.event.kind, EventKind::Message(_))
            });
            found.extend(read.map(|read| read.event));
            match page.next_batch_token {
                Some(token) if !page.chunk.is_empty() => from = Some(token),
                _ => break,
            }
        }
        found.reverse();
        Ok(found)
    }
}
