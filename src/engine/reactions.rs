//! Reactions and redactions that steer runs (C6, C10).

use ruma::{EventId, OwnedEventId, RoomId};
use tokio::time::Instant;

use super::{
    Engine, EngineError, Shared,
    control::{Order, Which},
    records::{Posted, ThreadRecord},
};
use crate::{
    clock,
    core::{
        beginning::{Habit, place_of_answer},
        breaker::Gate,
        event::{EventKind, RoomEvent},
        run::RunRecord,
        steering::{self, Steer},
    },
};

/// The 🔁 reactions remembered for one answer, so that each counts once; further ones are ignored.
const HEARD_MAX: usize = 64;

impl Engine {
    /// Handles a reaction: ✅ or ❌ on an approval card, 🛑 on a request or on a message of its run, 🔁 on an answer.
    pub(super) async fn take_reaction(self: &Shared, event: &RoomEvent, accepted: Instant) -> Result<(), EngineError> {
        let EventKind::Reaction { target, key } = &event.kind else { return Ok(()) };
        if !self.namespace().who(&event.sender).is_person() {
            return Ok(());
        }
        if self.take_choice(event, accepted).await? {
            return Ok(());
        }
        match Steer::of(key) {
            Some(Steer::Stop) => {
                let asked_by_card = self.approvals.request_of(&event.room, target)?;
                let touched = asked_by_card.as_ref().unwrap_or(target);
                let stopped = self.running.order(&event.room, Which::Touching(touched), &Order::Stop);
                tracing::info!(room.id = %event.room, event.id = %target, stopped, "a stop");
                Ok(())
            }
            Some(Steer::Again) if self.tables.assistant_rooms.get(&event.room)?.is_some() => {
                // The event's dispatch has checked that the sender owns this assistant.
                Box::pin(self.run_again_for_owner(&event.sender, event, target, accepted)).await
            }
            Some(Steer::Again) => Box::pin(self.run_again(event, target)).await,
            None => Ok(()),
        }
    }

    /// Handles a redaction: ends the redacted request's run and redacts what the run posted.
    pub(super) async fn take_redaction(self: Shared, room: &RoomId, target: &EventId) -> Result<(), EngineError> {
        self.running.order(room, Which::Touching(target), &Order::TakeBack);
        self.take_back_owed(room, target)?;
        self.forget_refused_in(room, target)?;
        let key = (room.to_owned(), target.to_owned());
        let Some(record) = self.tables.threads.get(&key)? else { return Ok(()) };
        for posted in &record.posted {
            self.take_back(room, posted).await?;
        }
        Ok(())
    }

    /// Redacts a message of ours.
    pub(super) async fn take_back(&self, room: &RoomId, posted: &Posted) -> Result<(), EngineError> {
        let Some(account) = self.pool.kept(&posted.user) else { return Ok(()) };
        super::take_back(&account, room, &posted.event).await
    }

    async fn run_again(self: &Shared, event: &RoomEvent, answer: &OwnedEventId) -> Result<(), EngineError> {
        let room = &event.room;
        let Some(kept) = self.tables.threads.get(&(room.clone(), answer.clone()))? else { return Ok(()) };
        let Some(Posted { user, event: request }) = kept.answers else { return Ok(()) };
        let Some(account) = self.pool.kept(&user).filter(|account| account.is_in(room)) else { return Ok(()) };
        let kept = self.tables.rooms.get(room)?.unwrap_or_default();
        if kept.liveliness.is_paused() || kept.muted.contains(&user) {
            return Ok(());
        }
        if let Gate::Stopped { whose, until, .. } = self.pacing.gate(&event.sender, Some(room))? {
            return self.pacing.tell_stopped(&account, event, (whose, until)).await;
        }
        let mut is_new = false;
        self.tables.threads.update(&(room.clone(), answer.clone()), |kept: Option<ThreadRecord>| {
            let mut kept = kept.unwrap_or_default();
            is_new = kept.heard.len() < HEARD_MAX && kept.heard.insert(event.id.clone());
            Some(kept)
        })?;
        if !is_new {
            return Ok(());
        }
        let mut attempt = 0;
        self.tables.threads.update(&(room.clone(), request.clone()), |kept: Option<ThreadRecord>| {
            let mut kept = kept.unwrap_or_default();
            kept.again = kept.again.saturating_add(1);
            attempt = kept.again;
            Some(kept)
        })?;
        if !steering::may_run_again(attempt) {
            return Ok(());
        }
        let root = self.root_of(room, &request)?;
        let place = place_of_answer(&request, root.as_deref(), Some(answer.clone()), Habit::Reply);
        let record = RunRecord {
            asked_at: event.sent_at,
            attempt,
            zone: self.zones.zone_name_of(&event.sender).await,
            errand: self.errands.charge_of(room, &request, &user)?,
            ..RunRecord::new(&user, room, &request, &event.sender, place, clock::now())
        };
        self.start_asked_run(&account, record, None).await
    }

    /// Returns the root of the thread in which the request was answered.
    fn root_of(&self, room: &RoomId, request: &OwnedEventId) -> Result<Option<OwnedEventId>, EngineError> {
        let kept = self.tables.threads.get(&(room.to_owned(), request.clone()))?;
        Ok(kept.and_then(|kept| kept.answered_in))
    }
}
