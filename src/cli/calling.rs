//! Calls to the homeserver by a command that serves nothing.

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::Config,
    matrix::{
        api::Api,
        proxy::{Proxy, Upstream},
        seals::Seals,
    },
    secret::Rotating,
};

/// Has `act` call the homeserver as the appservice; what this takes has ended when it returns.
///
/// # Errors
/// If no call can be made at all.
pub(super) async fn calling<T>(
    config: &Config,
    token: Rotating,
    act: impl AsyncFnOnce(&Api) -> T,
) -> anyhow::Result<T> {
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let upstream = Upstream { url: config.homeserver.url.clone(), through: config.homeserver.proxy.clone() };
    let proxy = Proxy::start(upstream, token, Seals::unkept(), &tasks, stop.clone()).await?;
    let done = Box::pin(act(&Api::new(proxy))).await;
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    Ok(done)
}
