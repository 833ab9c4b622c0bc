//! Gives up an entry that cannot be handled: only that entry is lost, and its sender is told if it is clear whom they
//! meant.

use std::sync::atomic::Ordering;

use ruma::{OwnedUserId, RoomId};
use serde_json::Value;

use crate::{
    core::{id, words},
    engine::{EngineError, entries::Entries},
    store::InboxEntry,
};

/// Most mentioned users that are checked.
const MENTIONED_MAX: usize = 50;

impl Entries {
    /// Gives an entry up: logs it once, counts it, and tells a sender who asked one of ours with it.
    pub(in crate::engine) async fn give_up(&self, entry: &InboxEntry, error: &EngineError) {
        let event = &entry.event;
        self.given_up.fetch_add(1, Ordering::Relaxed);
        tracing::error!(
            room.id = %event.room_id, event.id = %event.event_id, %error,
            "an event cannot be handled; it is given up, and its room goes on"
        );
        if let Err(error) = Box::pin(self.tell_given_up(entry)).await {
            tracing::warn!(room.id = %event.room_id, %error, "the word about an event that was given up cannot be sent");
        }
    }

    async fn tell_given_up(&self, entry: &InboxEntry) -> Result<(), EngineError> {
        let event = &entry.event;
        if self.runtime.namespace().is_ours(&event.sender) || event.state_key.is_some() {
            return Ok(());
        }
        let account = match self.runtime.tables.assistant_rooms.get(&event.room_id)? {
            Some(owner) if owner == event.sender => {
                Box::pin(self.runtime.pool.passing(&self.runtime.assistant_persona(&owner))).await?
            }
            Some(_) => return Ok(()),
            None => {
                let asked = self.mentioned_in(&event.room_id, &event.json);
                let Some(account) = asked.and_then(|user| self.runtime.pool.kept(&user)) else { return Ok(()) };
                account
            }
        };
        let txn = crate::engine::word_transaction("given-up", event.event_id.as_str(), account.user());
        let word = crate::engine::word(&words::given_up(), Some(&event.sender));
        account.send(&event.room_id, &word, txn).await?;
        Ok(())
    }

    /// Returns the first user of ours in the room that a plain message mentions by id.
    fn mentioned_in(&self, room: &RoomId, json: &str) -> Option<OwnedUserId> {
        let event: Value = serde_json::from_str(json).ok()?;
        let mentioned = event["content"]["m.mentions"]["user_ids"].as_array()?;
        let here = self.runtime.roster.of(room);
        let users = mentioned.iter().take(MENTIONED_MAX).filter_map(|user| id::user(user.as_str()?));
        users.into_iter().find(|user| here.contains(user))
    }
}
