//! A run whose first question goes as a batch (C20): noted, sent, noted again, waited for.
//!
//! While it waits it holds no place, shows no typing and counts as no crash; an order ends it as it ends anything.

use super::{
    BatchNews, Effect, Flush, Remark, Run,
    phase::{Phase, Stage},
    showing::News,
};
use crate::core::{
    batch::{Batch, BatchEnd, Latency},
    time::Timestamp,
};

impl Run {
    /// Returns how the next question is asked.
    pub(super) fn latency(&self, now: Timestamp) -> Latency {
        if self.refusing.has_begun() {
            return Latency::Normal;
        }
        let is_batch = match &self.record.batch {
            Some(batch) => batch.is_open(),
            None => self.new_batch(now).is_some(),
        };
        if is_batch { Latency::Batch } else { Latency::Normal }
    }

    /// Returns the batch of a run that may wait and has asked nothing yet; `None` if there is no time for one. Who runs it
    /// again waits for it, and so does an assistant's owner.
    fn new_batch(&self, now: Timestamp) -> Option<Batch> {
        let record = &self.record;
        let answer_by = record.unasked()?.answer_by?;
        let may_wait = !record.private && record.work.is_empty();
        may_wait.then(|| Batch::begin(format!("wm-{}", record.id().as_str()), answer_by, now))?
    }

    /// Begins a batch, or goes on waiting for the one that an earlier process or attempt began.
    pub(super) fn batch(&mut self, now: Timestamp) {
        // Whoever waits for hours does not bring the process down.
        self.record.under_way = false;
        let begun = self.record.batch.is_some();
        if !begun {
            self.record.batch = self.new_batch(now);
        }
        let Some(until) = self.record.batch.as_ref().map(|batch| batch.until) else {
            // The time for it has run out meanwhile.
            return self.ask();
        };
        self.push(Effect::Park);
        self.phase = Phase::Batching(if begun { Stage::Noted } else { Stage::Noting });
        self.push(Effect::Journal);
        self.push(Effect::Flush(Flush::Batch));
        let shown = self.showing.as_mut().map(|showing| showing.take(&News::Batched(until), now));
        self.outbox.extend(shown.unwrap_or_default());
        self.post_next();
    }

    /// What was noted of the batch is on disk.
    pub(super) fn batch_noted(&mut self) {
        let Some(batch) = self.record.batch.clone() else { return };
        match &mut self.phase {
            Phase::Batching(stage @ Stage::Noting) => {
                *stage = Stage::Waiting;
                self.push(Effect::SendBatch(batch));
            }
            Phase::Batching(stage @ Stage::Noted) => {
                *stage = Stage::Waiting;
                self.push(Effect::AwaitBatch(batch));
            }
            _ => {}
        }
    }

    pub(super) fn batched(&mut self, news: BatchNews) {
        let (Phase::Batching(stage @ Stage::Waiting), Some(batch)) = (&mut self.phase, &mut self.record.batch) else {
            return;
        };
        match news {
            BatchNews::Made(id) => {
                batch.id = Some(id);
                *stage = Stage::Noted;
                self.push(Effect::Journal);
                self.push(Effect::Flush(Flush::Batch));
            }
            BatchNews::Unsure => {
                let batch = batch.clone();
                self.push(Effect::AwaitBatch(batch));
            }
            BatchNews::Answered(reply) => {
                *stage = Stage::Returning(Some(reply));
                self.push(Effect::Unpark);
            }
            BatchNews::GivenUp => {
                batch.end = Some(BatchEnd::GivenUp);
                *stage = Stage::Returning(None);
                self.push(Effect::Log(Remark::BatchGivenUp));
                self.push(Effect::Journal);
                self.push(Effect::Unpark);
            }
        }
    }

    /// The run holds its places again.
    pub(super) fn batch_returned(&mut self, now: Timestamp) {
        if let Phase::Batching(stage @ Stage::Returning(_)) = &mut self.phase
            && let Stage::Returning(reply) = std::mem::replace(stage, Stage::Waiting)
        {
            *stage = Stage::Returned(reply);
            self.go_on_after_batch(now);
        }
    }

    /// Goes on with the answer, or with a normal call, once nothing is on its way.
    pub(super) fn go_on_after_batch(&mut self, now: Timestamp) {
        if !self.is_idle() || !matches!(self.phase, Phase::Batching(Stage::Returned(_))) {
            return;
        }
        let Phase::Batching(Stage::Returned(reply)) = std::mem::replace(&mut self.phase, Phase::Asking) else { return };
        match reply {
            Some(reply) => {
                if let Some(batch) = &mut self.record.batch {
                    batch.end = Some(BatchEnd::Answered);
                }
                self.replied(reply, now);
            }
            None => self.work(now),
        }
    }
}
