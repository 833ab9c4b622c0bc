//! Events whose key has not come: a few tries soon, then parked until the deadline, then a word (C8).

use std::{sync::Arc, time::Duration};

use ruma::{OwnedUserId, RoomId};
use tokio::time::Instant;

use super::{Engine, EngineError, Shared, assistants::Privacy, records::RoomRecord};
use crate::{
    clock,
    core::words::{self, KeyMissing},
    matrix::{Account, MatrixError, inbound::Read, lead},
    store::InboxEntry,
};

/// Between two words in a room that a message cannot be decrypted, in milliseconds.
const UNDECRYPTABLE_WORD_INTERVAL_MS: u64 = 24 * 60 * 60 * 1000;
/// A parked event is tried again after this long, doubled each time.
const PARKED_FIRST_S: u64 = 10;
/// The longest pause between two tries of a parked event.
const PARKED_MAX_S: u64 = 300;

/// Who reads an event.
#[derive(Clone, Debug)]
pub(super) enum Readers {
    /// The coworkers and the service bot in its room.
    Coworkers,
    /// This person's assistant.
    AssistantOf(OwnedUserId),
}

impl Engine {
    /// Waits for the key of an event, and handles it once it can be read.
    pub(super) async fn read_patiently(self: Shared, readers: Readers, entry: InboxEntry, accepted: Instant) {
        let (room, id) = (&entry.event.room_id, &entry.event.event_id);
        let deadline_ms = u64::from(self.config.limits.deadline_minutes) * 60_000;
        let mut pause_s = PARKED_FIRST_S;
        let mut cause = KeyMissing::NotSent;
        loop {
            let read = tokio::select! {
                () = self.stop.cancelled() => return,
                read = Box::pin(self.try_to_read(&readers, &entry, accepted)) => read,
            };
            match read {
                Ok(Some(read)) if read.sealed.is_none() => {
                    if let Err(error) = Box::pin(self.take_late(&readers, &read, &entry, accepted)).await {
                        tracing::error!(room.id = %room, event.id = %id, %error, "an event cannot be handled");
                    }
                    return self.done(&entry);
                }
                Ok(None) => return self.done(&entry),
                Ok(Some(sealed)) => cause = sealed.key_missing.unwrap_or(cause),
                Err(error) => tracing::debug!(room.id = %room, event.id = %id, %error, "a sealed event cannot be read"),
            }
            let waited_ms = clock::now().ms_since(entry.accepted_at);
            if waited_ms >= deadline_ms {
                tracing::warn!(room.id = %room, event.id = %id, "an event stayed undecryptable; nobody sent its key");
                if let Err(error) = Box::pin(self.tell_undecryptable(&readers, &entry, cause)).await {
                    tracing::warn!(room.id = %room, %error, "the word about an undecryptable message cannot be sent");
                }
                return self.done(&entry);
            }
            tracing::debug!(room.id = %room, event.id = %id, pause_s, "an event is parked until its key comes");
            let pause = Duration::from_secs(pause_s).min(Duration::from_millis(deadline_ms - waited_ms));
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause_s = (pause_s * 2).min(PARKED_MAX_S);
        }
    }

    async fn try_to_read(
        &self,
        readers: &Readers,
        entry: &InboxEntry,
        accepted: Instant,
    ) -> Result<Option<Read>, MatrixError> {
        let accounts = self.accounts_of(readers, &entry.event.room_id).await?;
        lead::read(&accounts, &entry.event.room_id, &entry.event.event_id, accepted).await
    }

    /// The readers' clients. An assistant's is held only while it tries, so that parked events keep no place open.
    async fn accounts_of(&self, readers: &Readers, room: &RoomId) -> Result<Vec<Arc<Account>>, MatrixError> {
        match readers {
            Readers::Coworkers => Ok(self.kept_in(room)),
            Readers::AssistantOf(owner) => Ok(vec![Box::pin(self.pool.passing(&self.assistant_persona(owner))).await?]),
        }
    }

    async fn take_late(
        self: &Shared,
        readers: &Readers,
        read: &Read,
        entry: &InboxEntry,
        accepted: Instant,
    ) -> Result<(), EngineError> {
        match readers {
            Readers::Coworkers => Box::pin(self.clone().take_read(&read.event, entry, accepted)).await,
            Readers::AssistantOf(owner) if read.was_encrypted => {
                let account = Box::pin(self.pool.passing(&self.assistant_persona(owner))).await?;
                Box::pin(self.clone().answer_owner(&account, owner, &read.event, entry, accepted)).await
            }
            Readers::AssistantOf(_) => Ok(()),
        }
    }

    async fn tell_undecryptable(
        self: &Shared,
        readers: &Readers,
        entry: &InboxEntry,
        cause: KeyMissing,
    ) -> Result<(), EngineError> {
        let room = &entry.event.room_id;
        let accounts = self.accounts_of(readers, room).await?;
        let Some(account) = accounts.first() else { return Ok(()) };
        if let Readers::AssistantOf(owner) = readers
            && self.attend(account, owner, room).await? == Privacy::Lost
        {
            return Ok(());
        }
        let mut due = false;
        self.tables.rooms.update(room, |record: Option<RoomRecord>| {
            let mut record = record.unwrap_or_default();
            due = record.undecryptable_told.is_due(clock::now(), UNDECRYPTABLE_WORD_INTERVAL_MS);
            Some(record)
        })?;
        if due {
            let text = words::undecryptable(cause);
            let txn = super::word_transaction("undecryptable", entry.event.event_id.as_str(), account.user());
            account.send(room, &super::word(&text, Some(&entry.event.sender)), txn).await?;
        }
        Ok(())
    }
}
