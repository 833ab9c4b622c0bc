//! Rooms that our users leave: silently if no people are left (C4), with a reason if the room is too large to read.
//!
//! A deserted room serves nobody, and its leftover state costs time in every sync.

use std::{sync::Arc, time::Duration};

use ruma::RoomId;

use super::{EngineError, lobby::Lobby, runtime::Runtime, workspace::Members};
use crate::{core::words::declining, matrix::Account};

/// How often rooms are checked for departures that no transaction reported.
const LOOK_EVERY: Duration = Duration::from_hours(1);

/// Leaves deserted rooms at the start and at intervals.
pub(super) async fn keep_leaving(deserted: Arc<Deserted>) {
    loop {
        for account in deserted.runtime.pool.all_kept() {
            for room in account.joined() {
                if let Err(error) = deserted.leave_if_deserted(&account, &room).await {
                    tracing::warn!(room.id = %room, user.id = %account.user(), %error, "a room without people cannot be left");
                }
            }
        }
        tokio::select! {
            () = deserted.runtime.stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Leaves rooms in which nobody is served.
pub(super) struct Deserted {
    runtime: Arc<Runtime>,
    lobby: Arc<Lobby>,
    members: Arc<Members>,
}

impl Deserted {
    pub(super) fn new(runtime: &Arc<Runtime>, lobby: &Arc<Lobby>, members: &Arc<Members>) -> Self {
        Self { runtime: runtime.clone(), lobby: lobby.clone(), members: members.clone() }
    }

    /// Leaves a room in which only our users remain, as of the account's last sync; returns whether it left. A room
    /// that it made, such as the audit room, waits for people.
    pub(super) async fn leave_if_deserted(&self, account: &Account, room: &RoomId) -> Result<bool, EngineError> {
        let Some(joined) = account.alone_with(room) else { return Ok(false) };
        let ours = self.runtime.roster.of(room).len();
        let record = self.runtime.tables.rooms.get(&room.to_owned())?.unwrap_or_default();
        let waits = account.made(room) && record.service_dm.is_none();
        if joined > ours.max(1) || waits || self.members.is_space(room) || self.lobby.is_lobby(room)? {
            return Ok(false);
        }
        account.leave(room, None).await?;
        self.runtime.roster.leave(room, account.user());
        tracing::info!(room.id = %room, user.id = %account.user(), "left a room without people");
        Ok(true)
    }

    /// Leaves a room that had to be cut out of a sync: the account would miss its events for good, and read it again at
    /// every start.
    pub(super) async fn leave_too_large(&self, account: &Account, room: &RoomId) -> Result<(), EngineError> {
        account.leave(room, Some(&declining::room_too_large())).await?;
        self.runtime.roster.leave(room, account.user());
        tracing::warn!(room.id = %room, user.id = %account.user(), "left a room whose state is too large to be read");
        Ok(())
    }
}
