//! Room upgrades (C18): followed when the new room points back at the old one.

use ruma::{OwnedRoomId, RoomId};
use tokio::time::Instant;

use super::{Engine, EngineError, Shared, records::RoomRecord};
use crate::{
    core::succession::{self, Ended, Sight, Step, next_step},
    matrix::Account,
    store::InboxEntry,
};

impl Engine {
    /// Handles a tombstone: our coworkers go on to the new room where it is known to replace the old one, if they may
    /// join it without an invite. No room is joined to look, and none is left on account of a tombstone elsewhere.
    pub(super) async fn take_tombstone(self: Shared, entry: &InboxEntry, accepted: Instant) -> Result<(), EngineError> {
        let (old, by) = (&entry.event.room_id, &entry.event.sender);
        if entry.event.state_key.as_deref() != Some("") || !self.namespace.who(by).is_person() {
            return Ok(());
        }
        for account in self.kept_in(old) {
            if self.coworker(account.user()).is_none() {
                continue;
            }
            account.sync_since(accepted).await?;
            // What stands there now, by the homeserver, which knows who may end a room: not an older one, or another's.
            let Ok(Some(ended)) = account.ended(old).await else { continue };
            if ended.by != *by {
                continue;
            }
            let new = ended.successor.clone();
            let sight = self.sight_of(&account, &new).await?;
            let proven = sight == Sight::Hidden && prove(ended).await;
            let step = next_step(old, &new, &sight, proven);
            tracing::info!(room.id = %old, successor = %new, user.id = %account.user(), ?step, "a tombstone");
            match step {
                Step::Await | Step::Ignore => continue,
                Step::TakeAlong => {}
                Step::Join => match account.join_via(&new, by.server_name()).await {
                    // Not for everybody: the invite comes, and is handled as any.
                    Err(error) if !error.is_passing() => continue,
                    joined => joined?,
                },
            }
            self.roster.enter(&new, account.user());
            let followed = self.follow_upgrade(&account, &new)?;
            if step == Step::Join {
                self.stay_if_lively(&account, &new, Some(followed.as_deref().unwrap_or(old))).await?;
            }
        }
        Ok(())
    }

    /// Looks at a room without joining it.
    async fn sight_of(&self, account: &Account, room: &RoomId) -> Result<Sight, EngineError> {
        if account.is_in(room) {
            return Ok(Sight::Inside { predecessor: account.predecessor(room) });
        }
        if account.is_invited(room) {
            return Ok(Sight::Invited);
        }
        if let Some(there) = self.kept_in(room).first().filter(|there| there.is_in(room)) {
            return Ok(Sight::Seen { predecessor: there.predecessor(room) });
        }
        let seen = account.predecessor_from_outside(room).await?;
        Ok(seen.map_or(Sight::Hidden, |predecessor| Sight::Seen { predecessor }))
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

/// Thousands of hashes are no work for the threads that serve everybody.
async fn prove(ended: Ended) -> bool {
    tokio::task::spawn_blocking(move || succession::is_made_by_upgrade(&ended)).await.unwrap_or_default()
}
