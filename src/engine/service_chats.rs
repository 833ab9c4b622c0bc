//! The service bot's chats with people.

use crate::engine::runtime::Runtime;
use ruma::{OwnedRoomId, RoomId, UserId};
use std::sync::Arc;
use tokio::sync::Mutex;

use super::{EngineError, records::RoomRecord};
use crate::{
    core::{links::room_link, words::declining},
    matrix::Account,
};

/// What the service bot says to people in private.
pub(super) struct ServiceChats {
    runtime: Arc<Runtime>,
    /// Held while a chat with a person is looked up or made, so that two words at once make one chat.
    making: Mutex<()>,
}

impl ServiceChats {
    /// Makes it on what it may call.
    pub(super) fn new(runtime: &Arc<Runtime>) -> Self {
        Self { runtime: runtime.clone(), making: Mutex::default() }
    }

    /// Sends a text in a person's chat with the service bot; makes the chat if there is none.
    pub(super) async fn say_privately(self: Arc<Self>, person: &UserId, text: &str) -> Result<(), EngineError> {
        self.say_privately_once(person, text, ruma::TransactionId::new()).await
    }

    /// Like [`Self::say_privately`], but a repeated `txn` sends nothing new.
    pub(super) async fn say_privately_once(
        self: Arc<Self>,
        person: &UserId,
        text: &str,
        txn: ruma::OwnedTransactionId,
    ) -> Result<(), EngineError> {
        let Some(account) = self.runtime.pool.kept(&self.runtime.service_user()) else { return Ok(()) };
        let room = self.service_chat_of(&account, person).await?;
        account.sync().await?;
        account.send(&room, &crate::engine::word(text, Some(person)), txn).await?;
        Ok(())
    }

    /// Returns a person's chat with the service bot; makes it if there is none.
    async fn service_chat_of(&self, account: &Account, person: &UserId) -> Result<OwnedRoomId, EngineError> {
        let _making = self.making.lock().await;
        let known = self.runtime.tables.rooms.iter().filter_map(Result::ok);
        let mut rooms = known.filter(|(_, record)| record.service_dm.as_deref() == Some(person)).map(|(room, _)| room);
        if let Some(room) = rooms.find(|room| account.is_in(room)) {
            return Ok(room);
        }
        let room = crate::matrix::dm::create_service(account, person).await?;
        self.runtime.roster.enter(&room, account.user());
        let record = RoomRecord { service_dm: Some(person.to_owned()), ..RoomRecord::default() };
        self.runtime.tables.rooms.put(&room, &record)?;
        Ok(room)
    }

    /// Leaves the service bot's chat with a person, because somebody else has joined it.
    pub(super) async fn leave_service_chat(&self, room: &RoomId) -> Result<(), EngineError> {
        let Some(account) = self.runtime.pool.kept(&self.runtime.service_user()) else { return Ok(()) };
        account.leave(room, Some(&declining::service_alone())).await?;
        self.runtime.roster.leave(room, account.user());
        self.runtime.tables.rooms.update(&room.to_owned(), |record: Option<RoomRecord>| {
            Some(RoomRecord { service_dm: None, ..record.unwrap_or_default() })
        })?;
        Ok(())
    }

    /// Returns a link to a person's chat with their assistant.
    pub(super) fn assistant_chat_link(&self, owner: &UserId, called: &str) -> Result<Option<String>, EngineError> {
        let room = self.runtime.tables.assistants.get(&owner.to_owned())?.and_then(|record| record.room);
        Ok(room.map(|room| room_link(called, &room, &self.runtime.namespace().server)))
    }
}
