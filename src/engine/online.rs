//! Shows our users as online while Workmate serves, and as offline once it has stopped.
//!
//! A homeserver shows a user as gone who neither syncs nor sends (Synapse 1.163: after 30 s by default). So presence is
//! refreshed for a bounded number of users: the service bot, the coworkers, and assistants with an open client. If the
//! homeserver keeps no presence, nothing is sent.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use ruma::OwnedUserId;

use super::{homeserver::Homeserver, runtime::Runtime};

/// How often presence is refreshed.
const REFRESH: Duration = Duration::from_secs(20);
/// Most users shown as online; the rest are not shown.
const USERS_MAX: usize = 64;
/// How often a homeserver without presence is asked again.
const ASK_AGAIN: Duration = Duration::from_hours(1);
/// Concurrent calls.
const CALLS_AT_ONCE: usize = 2;
/// How long a shutdown waits for the users to be shown as offline.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// Keeps our users online until Workmate stops.
pub(super) async fn keep_online(runtime: Arc<Runtime>, homeserver: Arc<Homeserver>) {
    let mut shown = Vec::new();
    loop {
        let mut pause = REFRESH;
        if !homeserver.reach.is_away() {
            shown = live_users(&runtime);
            let told = async {
                show_as(&runtime, &shown, "online").await;
                let service = runtime.service_user();
                runtime.api().presence(&service).await
            };
            let kept = tokio::select! {
                () = runtime.stop.cancelled() => break,
                kept = told => kept,
            };
            match kept {
                Ok(presence) if presence == "online" => {}
                // Temporarily unreachable; the next refresh tries again.
                Err(error) if error.is_passing() => {}
                _ => pause = ASK_AGAIN,
            }
        }
        tokio::select! {
            () = runtime.stop.cancelled() => break,
            () = tokio::time::sleep(pause) => {}
        }
    }
    if !homeserver.reach.is_away() {
        let _ = tokio::time::timeout(STOP_PATIENCE, show_as(&runtime, &shown, "offline")).await;
    }
}

fn live_users(runtime: &Runtime) -> Vec<OwnedUserId> {
    let users = runtime.users();
    let kept = std::iter::once(runtime.service_user()).chain(users.iter().cloned());
    let kept = kept.filter(|user| runtime.pool.kept(user).is_some());
    kept.chain(runtime.pool.passing_users()).take(USERS_MAX).collect()
}

async fn show_as(runtime: &Runtime, users: &[OwnedUserId], presence: &str) {
    let calls = futures_util::stream::iter(users).for_each_concurrent(CALLS_AT_ONCE, |user| async move {
        if let Err(error) = runtime.api().set_presence(user, presence).await {
            tracing::debug!(user.id = %user, %error, "presence cannot be shown");
        }
    });
    calls.await;
}
