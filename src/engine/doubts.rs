//! Refusals that may be mistaken. A homeserver in trouble, or a proxy before it, may for a while answer 403, 404, 400
//! or another 4xx to calls that we may make. So a refusal in a room is checked against a sync, and believed at once
//! only if the sync agrees or its code names a cause in the call itself. `matrix/proxy/doubt.rs` handles the shortest
//! ones before they get here.

use crate::engine::runtime::Runtime;
use ruma::RoomId;
use std::sync::Arc;

use super::EngineError;
use crate::{
    clock,
    core::retry::{Failures, Next, Others},
    matrix::{Account, MatrixError},
    store::InboxEntry,
};

/// Most tries of an event whose refusal contradicts everything that is known.
const TRIES_MAX: u32 = 5;

/// Looks again where the homeserver may have refused by mistake.
pub(super) struct Doubts {
    runtime: Arc<Runtime>,
}

impl Doubts {
    /// Makes it on what it may call.
    pub(super) fn new(runtime: &Arc<Runtime>) -> Self {
        Self { runtime: runtime.clone() }
    }

    /// Returns whether a refusal in a room is doubtful: a sync says that this user is there and may speak, or no sync
    /// succeeds. The caller tries again, within its bounds.
    pub(super) async fn doubts(&self, account: &Account, room: &RoomId, error: &MatrixError) -> bool {
        if !error.is_refusal() {
            return false;
        }
        // The SDK's state holds the homeserver's last answer, so we ask again.
        match account.sync().await {
            Err(error) => error.is_passing() || error.is_refusal(),
            Ok(()) => account.is_in(room) && account.may_speak(room).await.unwrap_or(true),
        }
    }

    /// Waits after a doubtful refusal of an event; returns whether another try is worthwhile.
    pub(super) async fn waits_out_doubt(&self, entry: &InboxEntry, error: &EngineError, doubts: &mut Failures) -> bool {
        let EngineError::Matrix(error) = error else { return false };
        if !error.is_refusal() || doubts.count() + 1 >= TRIES_MAX {
            return false;
        }
        let room = &entry.event.room_id;
        let account = match self.runtime.tables.assistant_rooms.get(room) {
            Ok(Some(owner)) => Box::pin(self.runtime.pool.passing(&self.runtime.assistant_persona(&owner))).await.ok(),
            _ => self.runtime.kept_in(room).into_iter().next(),
        };
        let is_doubted = match account {
            Some(account) => self.doubts(&account, room, error).await,
            // None of ours is in the room, as with an invite. A refusal that says nothing about us says nothing about
            // the room either.
            None => error.is_odd_refusal(),
        };
        if !is_doubted {
            return false;
        }
        match doubts.failed(clock::now(), None, Others::Succeed) {
            Next::Again(pause) => tokio::time::sleep(pause).await,
            Next::GiveUp => return false,
        }
        true
    }
}
