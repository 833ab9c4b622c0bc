//! Finds owners who left their assistant's chat unnoticed, because the transaction that said so was lost.
//!
//! If the space is followed, its list of members shows who is gone. Otherwise each chat is checked once, at the start.

use std::time::Duration;

use ruma::{OwnedRoomId, OwnedUserId};
use tokio::time::{MissedTickBehavior, interval};

use super::pause_after;
use crate::{
    core::belonging::{Belonging, Sign},
    engine::{Engine, EngineError, Shared},
};

/// Pause between two chats, because the start has more urgent requests for the homeserver.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Checks once for every assistant's chat whether its owner has left; ends after that, or when Workmate stops.
pub(in crate::engine) async fn look_for_leavers(engine: Shared) {
    if engine.follows_space() || !engine.config.assistants.enabled {
        return;
    }
    let rooms: Vec<_> = engine.tables.assistant_rooms.iter().filter_map(Result::ok).collect();
    let mut pace = interval(LOOK_EVERY);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failures = 0;
    for (room, owner) in rooms {
        loop {
            tokio::select! {
                () = engine.stop.cancelled() => return,
                _ = pace.tick() => {}
            }
            let error = match Box::pin(engine.look_for_leaver(&room, &owner)).await {
                Ok(()) => break,
                Err(error) => error,
            };
            tracing::warn!(room.id = %room, %error, "it cannot be seen whether an owner left their assistant's chat");
            if !error.is_passing() {
                break;
            }
            failures += 1;
            tokio::select! {
                () = engine.stop.cancelled() => return,
                () = tokio::time::sleep(pause_after(failures, error.retry_after())) => {}
            }
        }
        failures = 0;
    }
}

impl Engine {
    async fn look_for_leaver(&self, room: &OwnedRoomId, owner: &OwnedUserId) -> Result<(), EngineError> {
        let current = self.tables.assistants.get(owner)?.and_then(|record| record.room);
        let is_gone = self.tables.members.get(owner)?.is_some_and(Belonging::is_gone);
        if current.as_ref() != Some(room) || is_gone {
            return Ok(());
        }
        let assistant = self.assistant_persona(owner).user;
        if self.api().has_left(&assistant, room, owner).await? == Some(true) {
            self.note_sign(owner, Sign::LeftChat)?;
        }
        Ok(())
    }
}
