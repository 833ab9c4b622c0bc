//! Room upgrades (C18): followed when the new room points back at the old one.

use ruma::{OwnedRoomId, RoomId};
use tokio::time::Instant;

use super::{Engine, EngineError, Shared, records::RoomRecord};
use crate::{core::people::Who, matrix::Account, store::InboxEntry};

impl Engine {
    /// Handles a tombstone: our coworkers go on to the new room if they may join it without an invite.
    pub(super) async fn take_tombstone(self: Shared, entry: &InboxEntry, accepted: Instant) -> Result<(), EngineError> {
        let old = &entry.event.room_id;
        if self.namespace.who(&entry.event.sender) != Who::Person {
            return Ok(());
        }
        for account in self.kept_in(old) {
            if self.coworker(account.user()).is_none() {
                continue;
            }
            account.sync_since(accepted).await?;
            let Some(new) = account.successor(old) else { continue };
            match account.join_via(&new, entry.event.sender.server_name()).await {
                // Invite-only: the invite comes, and is handled as any.
                Err(error) if !error.is_passing() => continue,
                joined => joined?,
            }
            if account.predecessor(&new).as_deref() != Some(old) {
                tracing::warn!(room.id = %old, successor = %new, "a tombstone names a room that does not point back");
                account.leave(&new).await?;
                continue;
            }
            self.roster.enter(&new, account.user());
            let followed = self.follow_upgrade(&account, &new)?.unwrap_or_else(|| old.clone());
            self.stay_if_lively(&account, &new, Some(&followed)).await?;
        }
        Ok(())
    }

    /// Takes a room's settings and notes along into the room that replaces it, where both point at each other; out of
    /// a private room into a public one only that it is muted there.
    pub(super) fn follow_upgrade(&self, account: &Account, new: &RoomId) -> Result<Option<OwnedRoomId>, EngineError> {
        let Some(old) = account.predecessor(new) else { return Ok(None) };
        if account.successor(&old).as_deref() != Some(new) || self.tables.rooms.get(&new.to_owned())?.is_some() {
            return Ok(None);
        }
        let Some(record) = self.tables.rooms.get(&old)? else { return Ok(None) };
        let opened = account.is_public(new) && !account.is_public(&old);
        let record = if opened {
            RoomRecord { introduced: record.introduced, muted: record.muted, ..RoomRecord::default() }
        } else {
            // Before the record, which says that the upgrade was followed.
            self.carry_notes(&old, &new.to_owned())?;
            record
        };
        self.tables.rooms.put(&new.to_owned(), &record)?;
        tracing::info!(room.id = %new, predecessor = %old, "a room upgrade is followed");
        Ok(Some(old))
    }
}
