//! The beginning of a private run.

use std::sync::Arc;

use ruma::{EventId, UserId};
use tokio::time::Instant;

use super::nodding::only_nods;
use crate::{
    clock,
    core::{
        address::{EDIT_WINDOW_MS, as_edited},
        beginning::{Habit, is_late, place_of_answer},
        breaker::Gate,
        event::{EventKind, Message, RoomEvent},
        run::{RunId, RunRecord},
        sealed::Carriage,
        time::Timestamp,
    },
    engine::{Engine, EngineError, Shared},
    matrix::Account,
};

impl Engine {
    /// Records a run for an owner's message, and starts it. The times are those of the message's arrival.
    pub(in crate::engine) async fn begin_owners_run(
        self: Shared,
        account: &Arc<Account>,
        owner: &UserId,
        event: &RoomEvent,
        (accepted_at, accepted): (Timestamp, Instant),
    ) -> Result<(), EngineError> {
        let EventKind::Message(message) = &event.kind else { return Ok(()) };
        let place = place_of_answer(&event.id, message.thread_root.as_deref(), None, Habit::Timeline);
        let now = clock::now();
        let record = RunRecord {
            asked_at: event.sent_at,
            late: is_late(event.sent_at, accepted_at, now, self.config().limits.deadline_ms()),
            private: true,
            came: Carriage::Encrypted,
            zone: self.zones.zone_of_owner(owner).await?.and_then(|zone| zone.name().map(ToOwned::to_owned)),
            gathers: message.is_file_alone(),
            live: message.live,
            ..RunRecord::new(account.user(), &event.room, &event.id, owner, place, now)
        };
        let id = RunId::of(&event.id, account.user());
        if self.tables.runs.get(&id.as_str().to_owned())?.is_some() {
            return Ok(());
        }
        if let Gate::Stopped { whose, until, .. } = self.pacing.gate(owner, None)? {
            return self.pacing.tell_stopped(account, event, (whose, until)).await;
        }
        self.start_asked_run(account, record, Some(accepted)).await
    }

    /// Returns an owner's message as edited, if it only nodded and now asks something (C6).
    pub(in crate::engine) async fn asks_since_edit(
        &self,
        account: &Account,
        owner: &UserId,
        edit: &RoomEvent,
        (target, new): (&EventId, &Message),
    ) -> Result<Option<RoomEvent>, EngineError> {
        let original = match account.event(&edit.room, target).await {
            Err(error) if error.is_passing() => return Err(error.into()),
            found => found.ok().flatten().map(|read| read.event),
        };
        let is_theirs = |event: &RoomEvent| event.sender == owner && edit.sender == owner;
        let Some(original) = original.filter(is_theirs) else { return Ok(None) };
        let in_time = edit.sent_at.ms_since(original.sent_at) <= EDIT_WINDOW_MS;
        let stands = as_edited(&original, new);
        let asks = in_time && only_nods(account, &original) && !only_nods(account, &stands);
        let kept = self.tables.assistants.get(&owner.to_owned())?.unwrap_or_default();
        // What was answered is asked again by 🔁.
        let is_answered = kept.answers.iter().any(|answered| answered.request == target);
        Ok((asks && !is_answered).then_some(stands))
    }
}
