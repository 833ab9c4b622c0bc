//! Reactions and redactions that steer a run and that it did not hear: they came while we were down, or before it was
//! known what they were about.

use std::sync::Arc;

use ruma::{EventId, OwnedEventId};
use tokio::time::Instant;

use super::{
    Engine, EngineError, Shared,
    control::{Order, Which},
    reactions::{AGAIN_KEYS, STOP_KEYS},
};
use crate::{
    core::{
        event::{EventKind, MessageKind, RoomEvent},
        run::RunRecord,
    },
    matrix::Account,
};

impl Engine {
    /// Looks for a 🛑 on what a run is about and shows, and whether its request is still there. What is found reaches the
    /// run as an order.
    pub(super) async fn take_missed_orders(self: &Shared, account: &Arc<Account>, record: &RunRecord) {
        let looked = async {
            let shown = [Some(&record.request), record.status.as_ref(), record.streamed.as_ref()];
            for target in shown.into_iter().flatten() {
                for event in self.reactions_to(account, record, target, &STOP_KEYS).await? {
                    tracing::info!(event.id = %event.id, "a stop that nobody heard is found");
                    Box::pin(self.take_reaction(&event, Instant::now())).await?;
                }
            }
            let request = account.fetch_with_edit(&record.room, &record.request).await?;
            if request.first().is_some_and(|request| request.kind == EventKind::Redacted) {
                self.running.order(&record.room, Which::AskedBy(&record.request), &Order::TakeBack);
            }
            Ok::<_, EngineError>(())
        };
        if let Err(error) = looked.await {
            tracing::debug!(%error, "what a run may have missed cannot be looked for");
        }
    }

    /// Looks for a 🔁 on an answer that was there before it was noted.
    pub(super) async fn take_missed_again(
        self: &Shared,
        account: &Arc<Account>,
        record: &RunRecord,
        answer: &OwnedEventId,
    ) {
        let looked = async {
            for event in self.reactions_to(account, record, answer, &AGAIN_KEYS).await? {
                Box::pin(self.take_reaction(&event, Instant::now())).await?;
            }
            Ok::<_, EngineError>(())
        };
        if let Err(error) = looked.await {
            tracing::debug!(%error, "what was missed on an answer cannot be looked for");
        }
    }

    /// Returns whether a request from before this start has its answer already: the store that knew so was put back from
    /// an older copy. Looked for where an answer goes into a thread of its own; elsewhere nothing points at the request.
    pub(super) async fn was_answered_before(
        &self,
        account: &Account,
        request: &RoomEvent,
    ) -> Result<bool, EngineError> {
        if request.sent_at >= self.began {
            return Ok(false);
        }
        let said = match account.newest_in_thread(&request.room, &request.id).await {
            Err(error) if !error.is_passing() => Vec::new(),
            said => said?,
        };
        let answers = |event: &RoomEvent| match &event.kind {
            EventKind::Message(message) => {
                message.kind == MessageKind::Text
                    && message.mentions.as_ref().is_some_and(|mentions| mentions.users.contains(&request.sender))
            }
            _ => false,
        };
        // What this process said belongs to runs that it knows.
        let mut ours = said.iter().filter(|event| event.sender == account.user() && event.sent_at < self.began);
        Ok(ours.any(answers))
    }

    /// The reactions of people since a run was asked for; in an assistant's chat its owner's alone.
    async fn reactions_to(
        &self,
        account: &Account,
        record: &RunRecord,
        target: &EventId,
        keys: &[&str],
    ) -> Result<Vec<RoomEvent>, EngineError> {
        let mut found = account.reactions_to(&record.room, target).await?;
        found.retain(|event| {
            let theirs = !record.private || event.sender == record.asker;
            // An earlier one was about an earlier run of the same request.
            let is_new = event.sent_at >= record.asked_at;
            theirs && is_new && matches!(&event.kind, EventKind::Reaction { key, .. } if keys.contains(&key.as_str()))
        });
        Ok(found)
    }
}
