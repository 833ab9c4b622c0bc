//! What people see of a run before its answer: the read receipt and the typing notice (C9).

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    core::{
        event::{Place, RoomEvent},
        run::RunRecord,
    },
    matrix::Account,
};

/// How often the typing notice is renewed; one lasts four seconds.
const TYPING_INTERVAL: Duration = Duration::from_secs(3);
/// The delay before the receipt and the typing notice. Sooner, their cost to the homeserver would delay the request
/// itself; and an answer that comes sooner needs no typing notice.
const PRESENCE_AFTER: Duration = Duration::from_millis(150);

/// Shows the read receipt and typing (C9) until the run is done, and syncs if the run skipped its sync.
pub(super) async fn show(account: Arc<Account>, record: RunRecord, accepted: Instant, done: CancellationToken) {
    let thread = match &record.place {
        Place::Thread { root, .. } if *root != record.request => Some(root.as_ref()),
        _ => None,
    };
    let is_long = tokio::time::timeout(PRESENCE_AFTER, done.cancelled()).await.is_err();
    let shown = async {
        if is_long {
            account.typing(&record.room, true).await?;
        }
        account.receipt(&record.room, &record.request, thread).await?;
        // Before a long answer is sent, so that the run knows what has changed in the room.
        account.sync_since(accepted).await
    };
    if let Err(error) = shown.await {
        tracing::debug!(room.id = %record.room, %error, "typing or the read receipt cannot be shown");
    }
    if !is_long {
        return;
    }
    loop {
        tokio::select! {
            () = done.cancelled() => break,
            () = tokio::time::sleep(TYPING_INTERVAL) => {}
        }
        if account.typing(&record.room, true).await.is_err() {
            break;
        }
    }
    if let Err(error) = account.typing(&record.room, false).await {
        tracing::debug!(room.id = %record.room, %error, "typing cannot be ended; it passes by itself");
    }
}

/// Shows the read receipt and typing until a voice message is heard. Typing is not ended: a run that begins goes on with
/// it, and else it passes by itself.
pub(super) async fn show_listening(account: &Account, event: &RoomEvent, heard: &CancellationToken) {
    let thread = event.thread_root().filter(|root| **root != event.id);
    let shown = async {
        account.typing(&event.room, true).await?;
        account.receipt(&event.room, &event.id, thread).await
    };
    if let Err(error) = shown.await {
        tracing::debug!(room.id = %event.room, %error, "typing or the read receipt cannot be shown");
    }
    while tokio::time::timeout(TYPING_INTERVAL, heard.cancelled()).await.is_err() {
        if account.typing(&event.room, true).await.is_err() {
            return;
        }
    }
}
