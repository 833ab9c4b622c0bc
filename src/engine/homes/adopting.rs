//! Resumes a chat that the homeserver has but our store lost with its disk, when its owner writes in it.

use std::{collections::BTreeSet, sync::Arc};

use ruma::{RoomId, UserId};
use tokio::time::Instant;

use crate::{
    core::{
        room_check::{Origin, check_room},
        words,
    },
    engine::{EngineError, homes::Homes, records::AssistantRecord, word, word_transaction},
    matrix::{Account, MatrixError, dm},
    store::InboxEntry,
};

impl Homes {
    /// Resumes an unknown chat in which a person writes whose assistant has no chat; returns whether the room is theirs
    /// now.
    pub(in crate::engine) async fn adopt_chat(
        self: &Arc<Self>,
        entry: &InboxEntry,
        accepted: Instant,
    ) -> Result<bool, EngineError> {
        let (room, owner) = (&entry.event.room_id, &entry.event.sender);
        let may_be_one = entry.event.event_type == "m.room.encrypted"
            && self.runtime.config().assistants.enabled
            && self.runtime.is_local_person(owner)
            && self.runtime.roster.of(room).is_empty()
            && !self.no_chats.has(room)
            && self.runtime.tables.assistants.get(owner)?.is_none_or(|record| record.room.is_none());
        if !may_be_one
            || self.runtime.tables.rooms.get(room)?.is_some()
            || !self.people.members.may_have_assistant(owner)?
        {
            return Ok(false);
        }
        let persona = self.runtime.assistant_persona(owner);
        let joined = match self.runtime.api().joined_members(&persona.user, room).await {
            // The assistant is not there, or does not exist.
            Err(error) if !error.is_passing() => BTreeSet::new(),
            joined => joined?,
        };
        if joined != BTreeSet::from([persona.user.clone(), owner.clone()]) {
            self.no_chats.add(room);
            return Ok(false);
        }
        let maker = self.makers.of(owner);
        {
            let _one_at_a_time = maker.lock().await;
            let account = Box::pin(self.runtime.pool.passing(&persona)).await?;
            account.sync_since(accepted).await?;
            if self.take_for_chat(&account, owner, room, entry).await? {
                return Ok(true);
            }
        }
        // The room is not private any more, so the owner gets another one.
        self.no_chats.add(room);
        Box::pin(self.clone().ensure_assistant(owner)).await?;
        Ok(false)
    }

    async fn take_for_chat(
        &self,
        account: &Account,
        owner: &UserId,
        room: &RoomId,
        entry: &InboxEntry,
    ) -> Result<bool, EngineError> {
        if !account.is_in(room) {
            return Ok(false);
        }
        let state = dm::state_of(account, room, owner).await?;
        if !check_room(&state, Origin::Made, owner, account.user()).is_tight() {
            return Ok(false);
        }
        let events = account.history(room, 2).await?;
        let before = events.iter().take_while(|event| event.id != entry.event.event_id).last();
        // Earlier messages belong to a session whose record is lost.
        let markers = before.map(|event| event.id.clone()).into_iter().collect();
        let record =
            AssistantRecord { room: Some(room.to_owned()), introduced: true, markers, ..AssistantRecord::default() };
        self.runtime.tables.assistants.put(&owner.to_owned(), &record)?;
        self.runtime.tables.assistant_rooms.put(&room.to_owned(), &owner.to_owned())?;
        self.gaps.begin_comparing_in(room)?;
        self.runtime.store.flush().await?;
        tracing::info!(user.id = %account.user(), room.id = %room, "a chat that the store had lost is taken up again");
        let txn = word_transaction("adopted", room.as_str(), account.user());
        account.send(room, &word(&words::sessions::adopted(), None), txn).await?;
        Ok(true)
    }

    /// Says once in an assistant's chat that messages encrypted for its lost device cannot be read any more.
    pub(in crate::engine) async fn say_renewed(&self, account: &Account, room: &RoomId) -> Result<(), MatrixError> {
        let Some(at) = account.renewed_at().filter(|_| account.take_renewal()) else { return Ok(()) };
        let txn = word_transaction("renewed", &format!("{room} {}", at.as_ms()), account.user());
        account.send(room, &word(&words::sessions::renewed(), None), txn).await?;
        Ok(())
    }
}
