//! Unencrypted messages where people encrypt: the sender is told once a day, an owner in their assistant's chat once an
//! hour (C8, A3).

use std::collections::BTreeMap;

use ruma::{OwnedUserId, RoomId, UserId};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{Engine, EngineError, Shared, assistants::Privacy, records::RoomRecord};
use crate::{
    clock,
    core::{
        address::{Verdict, is_of_machines},
        breaker::SaidOnce,
        event::{EventKind, RoomEvent},
        sealed::{Carriage, is_suspect},
        time::Timestamp,
        voice::Voice,
        words,
    },
    store::InboxEntry,
};

/// The time between two such notices to one person about one room, in milliseconds.
const WORD_INTERVAL_MS: u64 = 24 * 60 * 60 * 1000;
/// The time between two such notices to an owner in their assistant's chat, in milliseconds.
const CHAT_WORD_INTERVAL_MS: u64 = 60 * 60 * 1000;
/// People of one room told within that time; further ones are not.
const TOLD_MAX: usize = 100;

/// Who was told something about a room, and when.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Told(BTreeMap<OwnedUserId, SaidOnce>);

impl Told {
    /// Returns whether a person should be told at `now`, and records it.
    fn is_due(&mut self, person: &UserId, now: Timestamp) -> bool {
        if !self.0.contains_key(person) && self.0.len() >= TOLD_MAX {
            // Ask a copy, because asking records the time; drop those who could be told again.
            self.0.retain(|_, said| !said.clone().is_due(now, WORD_INTERVAL_MS));
            if self.0.len() >= TOLD_MAX {
                return false;
            }
        }
        self.0.entry(person.to_owned()).or_default().is_due(now, WORD_INTERVAL_MS)
    }
}

impl Engine {
    /// Returns whether an event is an unencrypted message in a room whose people encrypt. Such a message is not obeyed
    /// unless the operator allows it. Reactions and redactions are unencrypted everywhere in Matrix.
    pub(super) async fn is_suspect(&self, event: &RoomEvent, came: Carriage) -> Result<bool, EngineError> {
        let allowed = self.config.workspace.obey_unencrypted;
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
        let voice = self.voice_in(&account, &event.room).await?;
        if voice != Voice::Heard {
            Box::pin(self.tell_unheard(&account, &event.room, &event.sender, voice)).await;
            return Ok(());
        }
        if !self.is_told_now(&event.room, &event.sender, |record| &mut record.unencrypted_told)? {
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
        if !is_said || !self.is_word_due(owner, &limit, &event.event_id, CHAT_WORD_INTERVAL_MS)? {
            return Ok(());
        }
        tracing::info!(room.id = %event.room_id, event.id = %event.event_id, "words came unencrypted into an assistant's chat");
        let account = Box::pin(self.pool.passing(&self.assistant_persona(owner))).await?;
        account.sync_since(accepted).await?;
        if self.attend(&account, owner, &event.room_id).await? != Privacy::Tight {
            return Ok(());
        }
        let txn = super::word_transaction("unencrypted", event.event_id.as_str(), account.user());
        account.send(&event.room_id, &super::word(&words::trust::not_encrypted_here(), None), txn).await?;
        Ok(())
    }

    pub(super) fn is_told_now(
        &self,
        room: &RoomId,
        person: &UserId,
        told: impl FnOnce(&mut RoomRecord) -> &mut Told,
    ) -> Result<bool, EngineError> {
        let mut due = false;
        self.tables.rooms.update(&room.to_owned(), |record: Option<RoomRecord>| {
            let mut record = record.unwrap_or_default();
            due = told(&mut record).is_due(person, clock::now());
            Some(record)
        })?;
        Ok(due)
    }
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    #[test]
    fn c8_each_person_is_told_once_a_day_and_a_bounded_number_of_them() {
        let (mut told, alice, bob) = (Told::default(), user_id!("@alice:hs"), user_id!("@bob:hs"));
        let at = |hours: i64| Timestamp::from_ms(1_795_346_400_000 + hours * 3_600_000);
        let said = [(alice, 0), (alice, 23), (bob, 23), (alice, 25), (alice, 26)]
            .map(|(who, when)| told.is_due(who, at(when)));
        assert_eq!(said, [true, false, true, true, false]);

        let many = |number: usize| OwnedUserId::try_from(format!("@{number}:hs")).expect("a user id");
        let all = (0..2 * TOLD_MAX).filter(|number| told.is_due(&many(*number), at(26))).count();
        assert_eq!((all, told.0.len()), (TOLD_MAX - 2, TOLD_MAX));
        assert!(told.is_due(user_id!("@late:hs"), at(60)), "who was told long ago makes room");
    }
}
