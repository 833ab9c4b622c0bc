//! What a run shows before its last message: each under its own step, once, whatever becomes of the call that sends it.

use ruma::OwnedEventId;

use super::{
    Answer, Effect, Failure, Flush, Outcome, Remark, Run, Step,
    phase::{Phase, Posting},
};
use crate::core::time::Timestamp;

impl Run {
    /// Sends the next thing that is to be shown, once nothing is on its way.
    ///
    /// An edit of what is not known to be there sends it: as the same step it is the same event, came it or not.
    pub(super) fn post_next(&mut self) {
        if self.posting.is_some() {
            return;
        }
        let Some((step, message)) = self.outbox.pop_front() else { return };
        let (first, target) = match step {
            Step::Edit(number) => {
                self.record.edits = number;
                self.push(Effect::Journal);
                (Step::Answer, self.record.streamed.clone())
            }
            Step::StatusEdit(_) => (Step::Status, self.record.status.clone()),
            step => (step, None),
        };
        if let Some(target) = target {
            self.posting = Some(Posting::Editing);
            return self.push(Effect::Edit(step, target, message));
        }
        match first {
            Step::Status => self.record.status_begun = true,
            Step::Answer => {
                let begun = Answer { message: message.clone(), file: None, made: Vec::new(), outcome: Outcome::Done };
                let _ = self.record.begin_answer(&begun);
            }
            _ => {}
        }
        // The run is known on disk before any of it is seen: a process that finds it there knows that more may have been
        // sent than was noted.
        self.push(Effect::Journal);
        self.push(Effect::Flush(Flush::Post));
        self.posting = Some(Posting::Flushing(first, message));
    }

    pub(super) fn flushed(&mut self, flush: Flush, now: Timestamp) {
        match (flush, &mut self.phase) {
            (Flush::Post, _) => match self.posting.take() {
                Some(Posting::Flushing(step, message)) => {
                    self.posting = Some(Posting::Sending(step));
                    self.push(Effect::Send(step, message));
                }
                other => self.posting = other,
            },
            (Flush::Entered, Phase::Composing { noted, .. }) => {
                *noted = true;
                self.compose_on(now);
            }
            (Flush::Answer, Phase::Saying(saying)) => {
                saying.flushed = true;
                self.say_on();
            }
            (Flush::Batch, Phase::Batching(_)) => self.batch_noted(),
            (Flush::Begun, Phase::Calling(_)) => self.calls_may_begin(now),
            (Flush::Done, Phase::Calling(_)) => self.calls_are_done(now),
            _ => {}
        }
    }

    /// Takes what became of what was on its way.
    pub(super) fn sent(&mut self, sent: Result<OwnedEventId, Failure>, now: Timestamp) {
        match (self.posting.take(), sent) {
            (Some(Posting::Last | Posting::Sending(Step::Stopped) | Posting::Flushing(Step::Stopped, _)), sent) => {
                return self.said(sent, now);
            }
            (Some(Posting::Sending(step)), Ok(event)) => {
                self.push(Effect::Shown(event.clone()));
                self.push(Effect::NotePosted(event.clone()));
                match step {
                    Step::Answer => self.record.streamed = Some(event),
                    Step::Status => self.record.status = Some(event),
                    _ => return self.after_posting(now),
                }
                self.push(Effect::Journal);
                if self.record.resumed && matches!(self.phase, Phase::Asking | Phase::Batching(_)) {
                    // What was there before it was known may have been reacted to.
                    self.posting = Some(Posting::LookingBack);
                    return self.push(Effect::LookBack);
                }
            }
            // A lost edit in between is made good by the next one.
            (Some(Posting::Editing), Err(failure)) if failure.is_of_homeserver => {}
            (Some(_), Err(failure)) => return self.post_failed(failure, now),
            (_, _) => {}
        }
        self.after_posting(now);
    }

    /// Something beside the model's work could not be shown. That breaks nothing off; only where the run may say nothing
    /// more at all, it ends.
    fn post_failed(&mut self, failure: Failure, now: Timestamp) {
        self.push(Effect::Log(Remark::CannotShow));
        if !matches!(self.phase, Phase::Asking) {
            return self.after_posting(now);
        }
        if !failure.is_of_homeserver {
            return self.fail(failure, now);
        }
        if failure.is_forbidden {
            // A room that has taken its power to speak may give it back until there is an answer.
            self.posting = Some(Posting::Doubting(failure));
            return self.push(Effect::Doubt);
        }
        self.show_failed(now);
    }

    pub(super) fn show_failed(&mut self, now: Timestamp) {
        // It may be there nevertheless, and people may have reacted to it.
        self.record.resumed = true;
        self.after_posting(now);
    }

    /// Does what waited until nothing was on its way.
    pub(super) fn after_posting(&mut self, now: Timestamp) {
        if self.order_is_new && self.may_be_cut_short() {
            self.record.resumed |= self.failure.take().is_some();
            return self.obey(now);
        }
        if let Some(failure) = self.failure.take() {
            return self.fail(failure, now);
        }
        self.post_next();
        if self.posting.is_some() {
            return;
        }
        match &self.phase {
            Phase::Lining { .. } => self.go(),
            Phase::Asking => match self.reply.take() {
                Some(reply) => self.replied(reply, now),
                None => self.show_progress(false, now),
            },
            Phase::Batching(_) => self.go_on_after_batch(now),
            Phase::Calling(_) => self.carry_on(now),
            _ => {}
        }
    }
}
