//! Unencrypted messages where people encrypt: the sender is told once a day, an owner in their assistant's chat once an
//! hour (C8, A3).

use ruma::UserId;
use tokio::time::Instant;

use super::{Engine, EngineError, Shared};
use crate::{
    core::{
        address::{Verdict, is_of_machines},
        event::{EventKind, RoomEvent},
        room_check::Privacy,
        sealed::{Carriage, is_suspect},
        voice::Voice,
        words,
    },
    store::InboxEntry,
};

/// The time between two such notices to an owner in their assistant's chat, in milliseconds.
const CHAT_WORD_INTERVAL_MS: u64 = 60 * 60 * 1000;

impl Engine {
    /// Returns whether an event is an unencrypted message in a room whose people encrypt. Such a message is not obeyed
    /// unless the operator allows it. Reactions and redactions are unencrypted everywhere in Matrix.
    pub(super) async fn is_suspect(&self, event: &RoomEvent, came: Carriage) -> Result<bool, EngineError> {
        let allowed = self.config().workspace.obey_unencrypted;
        if came == Carriage::Encrypted
            || allowed
            || !matches!(event.kind, EventKind::Message(_) | EventKind::Edit { .. })
        {
            return Ok(false);
        }
        let Some(reader) = self.kept_in(&event.room).into_iter().next() else { return Ok(false) };
        match reader.seal_of(&event.room).await {
            Ok(seal) => Ok(is_suspect(seal, came, allowed)),
            Err(error) if error.is_passing() => Err(error.into()),
            // None of ours is in the room any more.
            Err(_) => Ok(false),
        }
    }

    /// Tells the sender of an unencrypted request that it is not obeyed.
    pub(super) async fn take_suspect(self: &Shared, event: &RoomEvent, verdict: &Verdict) -> Result<(), EngineError> {
        match verdict {
            Verdict::Asked(asked) => match asked.first() {
                Some(first) => self.tell_unencrypted(event, &first.user).await,
                None => Ok(()),
            },
            Verdict::Nobody(_) => Ok(()),
        }
    }

    /// Says in the room that a message was not encrypted and is not answered.
    pub(super) async fn tell_unencrypted(self: &Shared, event: &RoomEvent, user: &UserId) -> Result<(), EngineError> {
        tracing::info!(room.id = %event.room, event.id = %event.id, "a request came unencrypted into an encrypted room");
        let Some(account) = self.pool.kept(user) else { return Ok(()) };
        let voice = self.voices.voice_in(&account, &event.room).await?;
        if voice != Voice::Heard {
            Box::pin(self.voices.tell_unheard(&account, &event.room, &event.sender, voice)).await;
            return Ok(());
        }
        if !self.tables.is_told_now(&event.room, &event.sender, |record| &mut record.unencrypted_told)? {
            return Ok(());
        }
        let txn = super::word_transaction("unencrypted", event.id.as_str(), user);
        let word = super::word(&words::trust::not_encrypted(), Some(&event.sender));
        match account.send(&event.room, &word, txn).await {
            Err(error) if error.is_passing() => Err(error.into()),
            Err(error) => {
                tracing::warn!(room.id = %event.room, %error, "who wrote unencrypted cannot be told");
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }

    /// Says in an assistant's chat that an unencrypted message arrived under the owner's name. It is neither answered
    /// nor read, because the homeserver could have written it (A3).
    pub(super) async fn tell_of_plain_words(
        self: &Shared,
        owner: &UserId,
        entry: &InboxEntry,
        accepted: Instant,
    ) -> Result<(), EngineError> {
        let event = &entry.event;
        let Some(read) = self.read_plain(event).await else { return Ok(()) };
        let is_said = match &read.kind {
            EventKind::Message(message) | EventKind::Edit { new: message, .. } => !is_of_machines(message),
            _ => false,
        };
        let limit = format!("unencrypted/{}", event.room_id);
        if !is_said || !self.pacing.is_word_due(owner, &limit, &event.event_id, CHAT_WORD_INTERVAL_MS)? {
            return Ok(());
        }
        tracing::info!(room.id = %event.room_id, event.id = %event.event_id, "words came unencrypted into an assistant's chat");
        let account = Box::pin(self.pool.passing(&self.assistant_persona(owner))).await?;
        account.sync_since(accepted).await?;
        if self.chats.attend(&account, owner, &event.room_id).await? != Privacy::Tight {
            return Ok(());
        }
        let txn = super::word_transaction("unencrypted", event.event_id.as_str(), account.user());
        account.send(&event.room_id, &super::word(&words::trust::not_encrypted_here(), None), txn).await?;
        Ok(())
    }
}
