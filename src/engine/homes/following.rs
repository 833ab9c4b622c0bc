//! Upgrades of an assistant's room (A2): followed if `core/upgrade.rs` says so; otherwise a new room is made.
//!
//! After the tombstone, nothing is read or answered in the old room; nothing in the new room until one write records it
//! as the assistant's. Each earlier step may be repeated: after a crash the event that began it comes again.

use std::sync::Arc;

use ruma::{OwnedRoomId, RoomId, UserId};
use tokio::time::Instant;

use crate::{
    core::{
        upgrade::{Replaced, Sight, Step, next_step},
        words::moving,
    },
    engine::{
        EngineError,
        control::{Order, Which},
        homes::Homes,
        records::{AssistantRecord, Upgrade},
        word, word_transaction,
    },
    matrix::{Account, account::Tombstone, dm},
};

/// What became of an upgrade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Upgraded {
    /// There is none; the room stays.
    Not,
    /// The new room is the assistant's.
    Followed(OwnedRoomId),
    /// The assistant is silent and waits for its owner's invite.
    Awaited,
    /// The assistant is silent and needs another room.
    Refused,
}

impl Homes {
    /// If the owner's chat was upgraded, follows it or makes a new room instead.
    pub(super) async fn take_upgrade(
        self: Arc<Self>,
        account: &Arc<Account>,
        owner: &UserId,
    ) -> Result<(), EngineError> {
        let maker = self.makers.of(owner);
        let upgraded = {
            let _one_at_a_time = maker.lock().await;
            Box::pin(self.follow(account, owner)).await?
        };
        match upgraded {
            Upgraded::Followed(room) => {
                // The owner may have joined meanwhile, or loosened the room's rules.
                account.sync().await?;
                self.chats.attend(account, owner, &room).await?;
            }
            Upgraded::Refused if self.people.members.may_have_assistant(owner)? => {
                Box::pin(self.clone().ensure_assistant(owner)).await?;
            }
            Upgraded::Refused | Upgraded::Not | Upgraded::Awaited => {}
        }
        Ok(())
    }

    /// Handles an owner's invite of their assistant to the room that replaces its own; returns whether it was one.
    pub(in crate::engine) async fn take_invite_to_successor(
        self: &Arc<Self>,
        owner: &UserId,
        room: &RoomId,
        accepted: Instant,
    ) -> Result<bool, EngineError> {
        let record = self.runtime.tables.assistants.get(&owner.to_owned())?.unwrap_or_default();
        let Some(old) = record.room.filter(|_| self.runtime.config().assistants.enabled) else { return Ok(false) };
        let account = Box::pin(self.runtime.pool.passing(&self.runtime.assistant_persona(owner))).await?;
        account.sync_since(accepted).await?;
        if !account.is_in(&old) {
            return Ok(false);
        }
        if account.successor(&old).as_deref() == Some(room) {
            Box::pin(self.clone().take_upgrade(&account, owner)).await?;
            return Ok(true);
        }
        // The invite came before the tombstone, and waits for it.
        Ok(account.predecessor(room).as_ref() == Some(&old))
    }

    /// Continues an upgrade of the owner's chat, as of the last sync; the caller holds the owner's place in `makers`.
    pub(super) async fn follow(self: &Arc<Self>, account: &Account, owner: &UserId) -> Result<Upgraded, EngineError> {
        let record = self.runtime.tables.assistants.get(&owner.to_owned())?.unwrap_or_default();
        let Some(old) = record.room.filter(|room| account.is_in(room)) else { return Ok(Upgraded::Not) };
        let Some(tombstone) = account.tombstone(&old).await? else { return Ok(Upgraded::Not) };
        if !record.silent {
            tracing::info!(room.id = %old, successor = %tombstone.successor, "an assistant's room was replaced");
            self.chats.note(owner, |record| record.silent = true)?;
        }
        self.running.order(&old, Which::Of(account.user(), None), &Order::Drop);
        let known = record.upgrade.filter(|known| known.successor == tombstone.successor);
        let known =
            known.unwrap_or(Upgrade { successor: tombstone.successor.clone(), refused: Vec::new(), told: false });
        if !known.refused.is_empty() {
            return self.refuse_upgrade(account, owner, &old, known).await;
        }
        match self.look_at_upgrade(account, owner, &old, &tombstone).await? {
            Step::Follow => self.move_home(account, owner, &old, &tombstone.successor).await,
            Step::Refuse(objections) => {
                let refused = objections.iter().map(ToString::to_string).collect();
                let upgrade = Upgrade { refused, told: false, ..known };
                tracing::warn!(
                    room.id = %old, successor = %upgrade.successor, user.id = %account.user(), why = ?upgrade.refused,
                    "an assistant does not follow the upgrade of its room"
                );
                // Noted before leaving the room, which cannot be looked at again afterwards.
                self.chats.note(owner, |record| record.upgrade = Some(upgrade.clone()))?;
                self.runtime.store.flush().await?;
                self.refuse_upgrade(account, owner, &old, upgrade).await
            }
            Step::Await | Step::Join => {
                let text = moving::awaiting_invite(&self.runtime.service_pill());
                self.tell_of_upgrade(account, owner, &old, known, &text).await?;
                Ok(Upgraded::Awaited)
            }
        }
    }

    /// Looks at the new room as far as the assistant may; joins it only if nothing known speaks against it.
    async fn look_at_upgrade(
        &self,
        account: &Account,
        owner: &UserId,
        old: &RoomId,
        tombstone: &Tombstone,
    ) -> Result<Step, EngineError> {
        let new = &tombstone.successor;
        let (assistant, by) = (account.user(), &*tombstone.by);
        let replaced = Replaced { owner, assistant, room: old, by, successor: new };
        let step = next_step(&replaced, &sight_of(account, new, owner).await?);
        if step != Step::Join {
            return Ok(step);
        }
        match account.join(new).await {
            Err(error) if error.is_passing() => return Err(error.into()),
            // The invite was withdrawn, or the room is gone.
            Err(error) => tracing::info!(room.id = %new, %error, "the room that replaces another cannot be joined"),
            Ok(()) => {}
        }
        Ok(next_step(&replaced, &sight_of(account, new, owner).await?))
    }

    /// Makes the new room the assistant's own. The session, its opened rooms and 🔁 end with the old room.
    async fn move_home(
        &self,
        account: &Account,
        owner: &UserId,
        old: &RoomId,
        new: &OwnedRoomId,
    ) -> Result<Upgraded, EngineError> {
        let facts = account.facts(new).await?;
        if !facts.joined.contains(owner) && !facts.invited.contains(owner) {
            account.invite(new, owner).await?;
        }
        self.runtime.tables.assistant_rooms.put(new, &owner.to_owned())?;
        self.gaps.begin_comparing_in(new)?;
        let record =
            AssistantRecord { room: Some(new.clone()), followed: Some(old.to_owned()), ..AssistantRecord::default() };
        self.runtime.tables.assistants.put(&owner.to_owned(), &record)?;
        self.runtime.store.flush().await?;
        tracing::info!(user.id = %account.user(), room.id = %new, predecessor = %old, "an assistant follows an upgrade");
        Ok(Upgraded::Followed(new.clone()))
    }

    /// Leaves or declines the new room, and says why.
    async fn refuse_upgrade(
        self: &Arc<Self>,
        account: &Account,
        owner: &UserId,
        old: &RoomId,
        upgrade: Upgrade,
    ) -> Result<Upgraded, EngineError> {
        let new = &upgrade.successor;
        if new != old && (account.is_in(new) || account.invited().contains(new)) {
            account.leave(new, None).await?;
        }
        let text = moving::not_followed(&upgrade.refused);
        self.tell_of_upgrade(account, owner, old, upgrade, &text).await?;
        Ok(Upgraded::Refused)
    }

    /// Says something about an upgrade once: in the old room, or through the service bot if the assistant may not write
    /// there.
    async fn tell_of_upgrade(
        self: &Arc<Self>,
        account: &Account,
        owner: &UserId,
        old: &RoomId,
        upgrade: Upgrade,
        text: &str,
    ) -> Result<(), EngineError> {
        if upgrade.told {
            return Ok(());
        }
        let purpose = if upgrade.refused.is_empty() { "awaiting" } else { "not-followed" };
        let txn = word_transaction(purpose, &format!("{old}|{}", upgrade.successor), account.user());
        match account.send(old, &word(text, Some(owner)), txn).await {
            Err(error) if error.is_forbidden() => {
                Box::pin(self.service_chats.clone().say_privately(owner, text)).await?;
            }
            sent => drop(sent?),
        }
        self.chats.note(owner, |record| {
            record.silence_told = true;
            record.upgrade = Some(Upgrade { told: true, ..upgrade });
        })
    }
}

/// Returns what the assistant knows of a room, as of its last sync.
async fn sight_of(account: &Account, room: &RoomId, owner: &UserId) -> Result<Sight, EngineError> {
    if account.is_in(room) {
        let mut state = dm::state_of(account, room, owner).await?;
        state.discoverable |= account.is_listed(room).await?;
        return Ok(Sight::Inside { predecessor: account.predecessor(room), state });
    }
    Ok(account.invite_to(room).await.map_or(Sight::Nothing, Sight::Invite))
}
