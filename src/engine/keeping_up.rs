//! Keeps our users' clients up with the homeserver until Workmate stops.

use std::{collections::HashSet, sync::Arc, time::Duration};

use ruma::{OwnedRoomId, OwnedUserId};
use tokio::time::{MissedTickBehavior, interval};

use super::gaps::COMPARE_EVERY;
use crate::{
    engine::{
        EngineError, SAFETY_SYNC, caught::caught, gaps::Gaps, homeserver::Homeserver, invites::Invites,
        runtime::Runtime, trust::Trust,
    },
    matrix::Account,
};

/// How long after a start or a return the safety sync comes.
const SECOND_LOOK: Duration = Duration::from_secs(10);

/// Open invites, by our user and the room, as of the last look at each user's.
type OpenInvites = HashSet<(OwnedUserId, OwnedRoomId)>;

/// Keeps ours up with the homeserver.
pub(super) struct KeepingUp {
    runtime: Arc<Runtime>,
    pub(super) gaps: Arc<Gaps>,
    trust: Arc<Trust>,
    invites: Arc<Invites>,
    homeserver: Arc<Homeserver>,
}

impl KeepingUp {
    /// Makes it on what it may call.
    pub(super) fn new(
        runtime: &Arc<Runtime>,
        gaps: &Arc<Gaps>,
        trust: &Arc<Trust>,
        invites: &Arc<Invites>,
        homeserver: &Arc<Homeserver>,
    ) -> Self {
        Self {
            runtime: runtime.clone(),
            gaps: gaps.clone(),
            trust: trust.clone(),
            invites: invites.clone(),
            homeserver: homeserver.clone(),
        }
    }

    /// Syncs every client that stays open and compares the events that came.
    async fn sync_and_compare(self: &Arc<Self>, invites: &mut OpenInvites) {
        for account in self.runtime.pool.all_kept() {
            if self.runtime.stop.is_cancelled() {
                return;
            }
            let kept_up = async {
                account.sync().await?;
                self.trust.take_verification_requests(std::slice::from_ref(&account));
                self.gaps.compare(&account).await?;
                self.take_overlooked_invites(&account, invites).await
            };
            if let Err(error) = caught::<_, EngineError>(kept_up).await {
                tracing::warn!(user.id = %account.user(), %error, "a safety sync failed; the next one makes it good");
                // While the homeserver is away, every other client's sync would wait as long.
                self.homeserver.reach.until_back_or(&self.runtime.stop).await;
            }
        }
    }

    async fn compare_all(self: &Arc<Self>, invites: &mut OpenInvites) {
        for account in self.runtime.pool.all_kept() {
            let compared = async {
                self.gaps.compare(&account).await?;
                self.take_overlooked_invites(&account, invites).await
            };
            if let Err(error) = caught::<_, EngineError>(compared).await {
                tracing::debug!(user.id = %account.user(), %error, "a room cannot be compared; it is tried again");
            }
        }
    }

    /// Handles the invites that were open at the last look and still are, so that no transaction has brought them.
    async fn take_overlooked_invites(
        self: &Arc<Self>,
        account: &Account,
        invites: &mut OpenInvites,
    ) -> Result<(), EngineError> {
        let user = account.user();
        let open: Vec<OwnedRoomId> = account.invited();
        let (overlooked, new): (Vec<_>, Vec<_>) =
            open.into_iter().partition(|room| invites.contains(&(user.to_owned(), room.clone())));
        invites.retain(|(of, _)| of != user);
        invites.extend(new.into_iter().map(|room| (user.to_owned(), room)));
        for room in overlooked {
            tracing::info!(room.id = %room, user.id = %user, "the homeserver had not delivered an invite");
            Box::pin(self.invites.clone().take_missed_invites(account, [room])).await?;
        }
        Ok(())
    }
}

/// Compares new events until Workmate stops, and syncs once more soon after each return: what Synapse stores between
/// finding nothing more to send and noting that we are back is sent only after our next absence.
///
/// It also closes idle clients and forgets old event ids.
pub(super) async fn keep_up(keeping_up: Arc<KeepingUp>) {
    let mut returns = keeping_up.homeserver.reach.returns();
    let ticks = |every| {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    };
    let (mut safety, mut comparing) = (ticks(SAFETY_SYNC), ticks(COMPARE_EVERY));
    safety.reset_after(SECOND_LOOK);
    let mut invites = OpenInvites::new();
    loop {
        tokio::select! {
            () = keeping_up.runtime.stop.cancelled() => return,
            _ = returns.changed() => {
                crate::engine::stepped_back::look_for_a_step_back(&keeping_up.runtime).await;
                keeping_up.sync_and_compare(&mut invites).await;
                safety.reset_after(SECOND_LOOK);
            }
            _ = safety.tick() => {
                keeping_up.sync_and_compare(&mut invites).await;
                keeping_up.gaps.tidy();
            }
            _ = comparing.tick() => keeping_up.compare_all(&mut invites).await,
        }
    }
}
