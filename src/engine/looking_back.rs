//! Reactions and redactions that steer a run but were missed: they came while Workmate was down, or before it knew what
//! they were about.

use std::sync::Arc;

use ruma::{EventId, OwnedEventId};
use tokio::time::Instant;

use super::{
    Engine, EngineError, Shared,
    control::{Order, Which},
};
use crate::{
    core::{
        event::{EventKind, MessageKind, RoomEvent},
        run::RunRecord,
        steering::Steer,
    },
    matrix::Account,
};

/// The newest events of a room among which an answer from before a start is looked for, if it is in no thread.
const ANSWERS_AMONG: usize = 50;

impl Engine {
    /// Looks for a 🛑 on a run's request and messages, and checks that the request still exists. The run gets the result
    /// as an order.
    pub(super) async fn take_missed_orders(self: &Shared, account: &Arc<Account>, record: &RunRecord) {
        let looked = async {
            // First: a run that is stopped does not look any further.
            let request = account.fetch_with_edit(&record.room, &record.request).await.unwrap_or_default();
            if request.first().is_some_and(|request| request.kind == EventKind::Redacted) {
                self.running.order(&record.room, Which::AskedBy(&record.request), &Order::TakeBack);
            }
            let shown = [Some(&record.request), record.status.as_ref(), record.streamed.as_ref()];
            for target in shown.into_iter().flatten() {
                for event in self.reactions_to(account, record, target, Steer::Stop).await? {
                    tracing::info!(event.id = %event.id, "a stop that nobody heard is found");
                    Box::pin(self.take_reaction(&event, Instant::now())).await?;
                }
            }
            Ok::<_, EngineError>(())
        };
        if let Err(error) = looked.await {
            tracing::debug!(%error, "what a run may have missed cannot be looked for");
        }
    }

    /// Looks for a 🔁 on an answer that came before the answer was noted.
    pub(super) async fn take_missed_again(
        self: &Shared,
        account: &Arc<Account>,
        record: &RunRecord,
        answer: &OwnedEventId,
    ) {
        let looked = async {
            for event in self.reactions_to(account, record, answer, Steer::Again).await? {
                Box::pin(self.take_reaction(&event, Instant::now())).await?;
            }
            Ok::<_, EngineError>(())
        };
        if let Err(error) = looked.await {
            tracing::debug!(%error, "what was missed on an answer cannot be looked for");
        }
    }

    /// Returns whether a request from before this start already has its answer; the store may be lost, or restored from
    /// an older copy. An answer points at its request, is in its thread, or follows it in the thread that it came in.
    pub(super) async fn was_answered_before(
        &self,
        account: &Account,
        request: &RoomEvent,
    ) -> Result<bool, EngineError> {
        if request.sent_at >= self.life.began {
            return Ok(false);
        }
        let root = request.thread_root();
        let mut said = match account.newest_in_thread(&request.room, root.unwrap_or(&request.id)).await {
            Err(error) if !error.is_passing() => Vec::new(),
            said => said?,
        };
        match account.history(&request.room, ANSWERS_AMONG).await {
            Err(error) if error.is_passing() => return Err(error.into()),
            held => said.extend(held.unwrap_or_default()),
        }
        let answers = |event: &RoomEvent| match &event.kind {
            EventKind::Message(message) => {
                let points = message.reply_to.as_deref() == Some(&*request.id)
                    || message.thread_root.as_deref() == Some(&*request.id)
                    || (root.is_some() && message.thread_root.as_deref() == root && event.sent_at >= request.sent_at);
                points
                    && message.kind == MessageKind::Text
                    && message.mentions.as_ref().is_some_and(|mentions| mentions.users.contains(&request.sender))
            }
            _ => false,
        };
        // Messages of this process belong to runs that it knows.
        let ours = said.iter().filter(|event| event.sender == account.user() && event.sent_at < self.life.began);
        for answer in ours.filter(|event| answers(event)) {
            let noted = self.tables.threads.get(&(request.room.clone(), answer.id.clone()))?;
            // Whoever asks twice in a thread has the first answer there before the second.
            if noted.and_then(|noted| noted.answers).is_none_or(|answered| answered.event == request.id) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns people's reactions since a run was asked for; in an assistant's chat, only its owner's.
    async fn reactions_to(
        &self,
        account: &Account,
        record: &RunRecord,
        target: &EventId,
        steer: Steer,
    ) -> Result<Vec<RoomEvent>, EngineError> {
        let mut found = account.reactions_to(&record.room, target).await?;
        found.retain(|event| {
            let theirs = record.owner().is_none_or(|owner| event.sender == owner);
            // An earlier reaction was about an earlier run of the same request.
            let is_new = event.sent_at >= record.asked_at;
            theirs && is_new && matches!(&event.kind, EventKind::Reaction { key, .. } if Steer::of(key) == Some(steer))
        });
        Ok(found)
    }
}
