//! Finds owners who left their assistant's chat unnoticed, because the transaction that said so was lost.
//!
//! If the space is followed, its list of members shows who is gone. Otherwise each chat is checked once, at the start.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use super::pause_after;
use crate::engine::{runtime::Runtime, standing::People, workspace::Members};

/// Pause between two chats, because the start has more urgent requests for the homeserver.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Checks once for every assistant's chat whether its owner has left; ends after that, or when Workmate stops.
pub(in crate::engine) async fn look_for_leavers(people: Arc<People>, runtime: Arc<Runtime>, members: Arc<Members>) {
    if members.follows_space() || !runtime.config().assistants.enabled {
        return;
    }
    let rooms: Vec<_> = runtime.tables.assistant_rooms.iter().filter_map(Result::ok).collect();
    let mut pace = interval(LOOK_EVERY);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failures = 0;
    for (room, owner) in rooms {
        loop {
            tokio::select! {
                () = runtime.stop.cancelled() => return,
                _ = pace.tick() => {}
            }
            let error = match Box::pin(people.look_for_leaver(&room, &owner)).await {
                Ok(()) => break,
                Err(error) => error,
            };
            tracing::warn!(room.id = %room, %error, "it cannot be seen whether an owner left their assistant's chat");
            if !error.is_passing() {
                break;
            }
            failures += 1;
            tokio::select! {
                () = runtime.stop.cancelled() => return,
                () = tokio::time::sleep(pause_after(failures, error.retry_after())) => {}
            }
        }
        failures = 0;
    }
}
