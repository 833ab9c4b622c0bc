//! The lead of an encrypted room: the user of ours that syncs and decrypts for the others.

use std::{sync::Arc, time::Duration};

use ruma::{EventId, RoomId};
use tokio::time::Instant;

use super::{account::Account, error::MatrixError, inbound::Read};

/// Pauses before the tries; the first is immediate, later ones use up to [`READERS_MAX`] of our users.
const TRIES: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(5)];
/// Most of our users in a room that try to decrypt an event.
const READERS_MAX: usize = 3;

/// Decrypts an event with the first of `readers` that can.
///
/// `accepted` is when its transaction came: a sync that began later has its keys. If all tries fail, returns the event
/// still sealed, and the caller parks it. `None` if no reader can see it at all.
///
/// # Errors
/// When the homeserver does not answer.
pub async fn read(
    readers: &[Arc<Account>],
    room: &RoomId,
    event: &EventId,
    accepted: Instant,
) -> Result<Option<Read>, MatrixError> {
    let mut last = None;
    for (attempt, pause) in TRIES.into_iter().enumerate() {
        let since = if attempt == 0 {
            accepted
        } else {
            tokio::time::sleep(pause).await;
            Instant::now()
        };
        let asked = if attempt == 0 { 1 } else { READERS_MAX };
        for reader in readers.iter().take(asked) {
            last = read_as(reader, room, event, since).await?;
            match &last {
                // Only keys are worth waiting for.
                Some(read) if read.sealed.is_some() => {}
                Some(_) => return Ok(last),
                None => {}
            }
        }
        if last.is_none() && attempt > 0 {
            return Ok(None);
        }
    }
    Ok(last)
}

/// Reads an event as one user, after a sync that began at or after `since`.
///
/// # Errors
/// When the homeserver does not answer.
pub async fn read_as(
    reader: &Account,
    room: &RoomId,
    event: &EventId,
    since: Instant,
) -> Result<Option<Read>, MatrixError> {
    reader.sync_since(since).await?;
    if !reader.is_in(room) {
        return Ok(None);
    }
    let found = match reader.event(room, event).await {
        // An odd refusal says nothing about the event; the caller retries, within its bounds.
        Err(error) if !error.is_passing() && !error.is_odd_refusal() => {
            tracing::info!(room.id = %room, event.id = %event, user.id = %reader.user(), %error, "an event is not to be had");
            return Ok(None);
        }
        found => found?,
    };
    match found {
        Some(read) if read.sealed.is_some() => Ok(Some(reader.unseal(&read).await?)),
        found => Ok(found),
    }
}
