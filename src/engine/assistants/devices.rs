//! Devices that their owner has not verified: mentioned once, and left unanswered if the config says so (A11).

use ruma::UserId;

use crate::{
    core::{event::RoomEvent, words},
    engine::{Engine, EngineError, records::AssistantRecord},
    matrix::{Account, account::Vouched, inbound::Read},
};

/// Most devices of one owner that their assistant mentions.
const TOLD_MAX: usize = 100;

impl Engine {
    /// Returns whether an assistant answers the device that its owner's message came from; tells the owner once that a
    /// device is unverified.
    pub(super) async fn answers_device(
        &self,
        account: &Account,
        owner: &UserId,
        read: &Read,
    ) -> Result<bool, EngineError> {
        let required = self.config().assistants.require_verified_devices;
        let key = read.sender_key.clone().unwrap_or_default();
        let vouched = account.vouched_for(owner, &key).await?;
        let known = self.tables.assistants.get(&owner.to_owned())?.unwrap_or_default().unverified;
        let device = match vouched {
            Vouched::ByOwner => {
                if known.contains(&key) {
                    self.chats.note(owner, |record| {
                        record.unverified.remove(&key);
                    })?;
                }
                return Ok(true);
            }
            // A user without an identity has verified nothing, so a new device is no different from the others.
            Vouched::NoIdentity if !required => return Ok(true),
            Vouched::NoIdentity => "you use".to_owned(),
            Vouched::ByNobody(device) => device,
        };
        tracing::info!(user.id = %account.user(), answered = !required, "an owner's device is not verified");
        if !known.contains(&key) && known.len() < TOLD_MAX {
            let text = words::trust::unverified_device(&device, !required);
            let txn = crate::engine::word_transaction("unverified-device", &device, account.user());
            account.send(&read.event.room, &crate::engine::word(&text, Some(owner)), txn).await?;
            self.chats.note(owner, |record| {
                record.unverified.insert(key);
            })?;
        }
        Ok(!required)
    }

    /// Returns whether an event came from a device that gets no answer; such an event is not read later either.
    pub(super) fn is_of_unanswered_device(&self, account: &Account, kept: &AssistantRecord, event: &RoomEvent) -> bool {
        self.config().assistants.require_verified_devices
            && account.held(&event.room, &event.id).is_some_and(|read| {
                read.event.sender != account.user() && kept.unverified.contains(&read.sender_key.unwrap_or_default())
            })
    }
}
