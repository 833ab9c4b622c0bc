//! A run whose first question goes as a batch (C20): noted, sent, noted again, waited for.
//!
//! While it waits it holds no place, shows no typing and counts as no crash; an order ends it as it ends anything.

use super::{Effect, Flush, Remark, Reply, Run, phase::Phase, showing::News};
use crate::core::{
    batch::{Batch, BatchEnd, Latency},
    time::Timestamp,
};

/// What became of a batch, as far as is known.
#[derive(Clone, Debug, PartialEq)]
pub enum BatchNews {
    /// It is there, under this id.
    Made(String),
    /// It may be there: no reply came.
    Unsure,
    /// It brought the answer.
    Answered(Reply),
    /// It was not made, or brings no answer; what may still be there is cancelled.
    GivenUp,
}

/// How far a batch is.
#[derive(Debug)]
pub(super) enum Stage {
    /// That it is about to be sent is being brought to the disk.
    Noting,
    /// It is sent, looked for or waited for.
    Waiting,
    /// Its id is being brought to the disk.
    Noted,
    /// It is over, and the run takes its places again, with the answer if there is one.
    Returning(Option<Reply>),
    /// It holds its places, and goes on once nothing is on its way.
    Returned(Option<Reply>),
}

impl Run {
    /// Returns how the next question is asked.
    pub(super) fn latency(&self, now: Timestamp) -> Latency {
        let is_batch = match &self.record.batch {
            Some(batch) => batch.is_open(),
            None => Batch::begin(&self.record, now).is_some(),
        };
        if is_batch { Latency::Batch } else { Latency::Normal }
    }

    /// Begins a batch, or goes on waiting for the one that an earlier process or attempt began.
    pub(super) fn batch(&mut self, now: Timestamp) {
        // Whoever waits for hours does not bring the process down.
        self.record.under_way = false;
        let begun = self.record.batch.is_some();
        if !begun {
            self.record.batch = Batch::begin(&self.record, now);
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
