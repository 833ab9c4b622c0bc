//! What an owner does with an answer of their assistant's (C10): 🔁 asks for it again, deleting the request removes it.

use ruma::{EventId, OwnedEventId, UserId};
use tokio::time::Instant;

use crate::{
    clock,
    core::{breaker::Gate, event::RoomEvent, run::RunRecord, steering},
    engine::{Engine, EngineError, Shared, beginning::Started, records::Answered, take_back},
};

/// Most answers for which an owner may use 🔁.
const ANSWERS_MAX: usize = 50;

impl Engine {
    /// Notes a message of an assistant's run, under the owner's key.
    pub(in crate::engine) fn note_answer(&self, record: &RunRecord, answer: &EventId) -> Result<(), EngineError> {
        self.note_said(record, answer, false)
    }

    /// Notes an approval card, on which 🔁 means nothing.
    pub(in crate::engine) fn note_private_card(&self, record: &RunRecord, card: &EventId) -> Result<(), EngineError> {
        self.note_said(record, card, true)
    }

    fn note_said(&self, record: &RunRecord, answer: &EventId, card: bool) -> Result<(), EngineError> {
        let answered = Answered {
            answer: answer.to_owned(),
            request: record.request.clone(),
            place: record.place.clone(),
            attempt: record.attempt,
            card,
        };
        self.chats.note(&record.asker, |kept| {
            // The answer may quote any room that was open when it was composed.
            kept.withheld.answered(&mut kept.opened, &record.request, answer);
            if !kept.answers.contains(&answered) {
                kept.answers.push(answered);
                let surplus = kept.answers.len().saturating_sub(ANSWERS_MAX);
                kept.answers.drain(..surplus);
            }
        })
    }

    /// Runs an owner's request again, as privately as the first time.
    pub(in crate::engine) async fn run_again_for_owner(
        self: &Shared,
        owner: &UserId,
        event: &RoomEvent,
        target: &EventId,
        accepted: Instant,
    ) -> Result<(), EngineError> {
        let kept = self.tables.assistants.get(&owner.to_owned())?.unwrap_or_default();
        let Some(answered) = kept.answers.iter().find(|answered| answered.answer == target && !answered.card) else {
            return Ok(());
        };
        let of_request = kept.answers.iter().filter(|other| other.request == answered.request);
        let attempt = of_request.map(|other| other.attempt).max().unwrap_or_default() + 1;
        let user = self.assistant_persona(owner).user;
        if kept.silent || kept.room.as_ref() != Some(&event.room) || !steering::may_run_again(attempt) {
            return Ok(());
        }
        let is_busy = self.running.count(&event.room, &user) >= self.config().limits.room_runs_max;
        if let Gate::Stopped { whose, until, .. } = self.pacing.gate(owner, None)? {
            let account = Box::pin(self.pool.passing(&self.assistant_persona(owner))).await?;
            return self.pacing.tell_stopped(&account, event, (whose, until)).await;
        }
        let (request, place) = (&answered.request, answered.place.clone());
        let record = RunRecord {
            asked_at: event.sent_at,
            private: true,
            came: crate::core::sealed::Carriage::Encrypted,
            zone: self.zones.zone_of_owner(owner).await?.and_then(|zone| zone.name().map(ToOwned::to_owned)),
            attempt,
            ..RunRecord::new(&user, &event.room, request, owner, place, clock::now())
        };
        if is_busy || self.start_run(record.clone(), Some(accepted), None)? == Started::TooManyWait {
            let account = Box::pin(self.pool.passing(&self.assistant_persona(owner))).await?;
            return self.decline_request(&account, &record).await;
        }
        Ok(())
    }

    /// Redacts the answers to an owner's message that was deleted.
    pub(in crate::engine) async fn take_back_answers(
        &self,
        owner: &UserId,
        event: &RoomEvent,
        request: &EventId,
    ) -> Result<(), EngineError> {
        let kept = self.tables.assistants.get(&owner.to_owned())?.unwrap_or_default();
        if kept.refused.has_event(request) {
            self.chats.note(owner, |kept| kept.refused.remove_event(request))?;
        }
        let of_request = kept.answers.into_iter().filter(|answered| answered.request == request);
        let answers: Vec<OwnedEventId> = of_request.map(|answered| answered.answer).collect();
        if answers.is_empty() {
            return Ok(());
        }
        let account = Box::pin(self.pool.passing(&self.assistant_persona(owner))).await?;
        for answer in answers {
            take_back(&account, &event.room, &answer).await?;
        }
        self.chats.note(owner, |kept| kept.answers.retain(|answered| answered.request != request))
    }
}
