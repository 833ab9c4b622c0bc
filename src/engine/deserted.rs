//! Rooms that are left: those without people, quietly (C4), and those that are too large to be read, with a reason.
//!
//! Such a room is of no use to anybody, and whoever left it may have left something behind there that is read at every
//! sync.

use std::time::Duration;

use ruma::RoomId;

use super::{Engine, EngineError, Shared};
use crate::{core::words::declining, matrix::Account};

/// How often it is looked for rooms that nobody told us of.
const LOOK_EVERY: Duration = Duration::from_hours(1);

/// Leaves deserted rooms at the start, and now and then.
pub(super) async fn keep_leaving(engine: Shared) {
    loop {
        for account in engine.pool.all_kept() {
            for room in account.joined() {
                if let Err(error) = engine.leave_if_deserted(&account, &room).await {
                    tracing::warn!(room.id = %room, user.id = %account.user(), %error, "a room without people cannot be left");
                }
            }
        }
        tokio::select! {
            () = engine.stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

impl Engine {
    /// Leaves a room in which only ours are, as of the account's last sync; returns whether it did. A room of its own
    /// making, such as the audit room, waits for people.
    pub(super) async fn leave_if_deserted(&self, account: &Account, room: &RoomId) -> Result<bool, EngineError> {
        let Some(joined) = account.alone_with(room) else { return Ok(false) };
        let ours = self.roster.of(room).len();
        let record = self.tables.rooms.get(&room.to_owned())?.unwrap_or_default();
        let waits = account.made(room) && record.service_dm.is_none();
        if joined > ours.max(1) || waits || self.members.is_space(room) || self.is_lobby(room)? {
            return Ok(false);
        }
        account.leave(room, None).await?;
        self.roster.leave(room, account.user());
        tracing::info!(room.id = %room, user.id = %account.user(), "left a room without people");
        Ok(true)
    }

    /// Leaves a room that a sync was read without: one who stays is behind there for good, and reads it at every start.
    pub(super) async fn leave_too_large(&self, account: &Account, room: &RoomId) -> Result<(), EngineError> {
        account.leave(room, Some(&declining::room_too_large())).await?;
        self.roster.leave(room, account.user());
        tracing::warn!(room.id = %room, user.id = %account.user(), "left a room whose state is too large to be read");
        Ok(())
    }
}
