//! A run's end: its record in the thread, and its summary for the index.

use ruma::OwnedEventId;

use super::Audit;
use crate::{
    clock,
    core::{
        audit::{RunSummary, Spent},
        event::Outgoing,
        names::Names,
        people::Who,
        run::{End, Ended, Outcome, Run, RunRecord},
        trail::Tally,
    },
};

impl Audit {
    /// Returns the run's record, which replaces its status (C13); `None` for a run without a status and tools.
    pub(in crate::engine) fn record_of_run(
        &self,
        (record, model): (&RunRecord, Option<&str>),
        outcome: Outcome,
        spent: Spent,
        names: &Names,
    ) -> Option<Outgoing> {
        let now = clock::now();
        let ended = Ended {
            steps: record.work.steps(),
            outcome,
            fallback: model.filter(|_| record.fallback > 0),
            duration_ms: now.ms_since(record.accepted_at),
            spent,
            mask: &self.toolsets.tools.mask(),
            names,
            zone: &record.zone(),
        };
        record.last_notice(&ended, now)
    }

    /// What the index keeps of a run. Of an assistant's, it does not say what was read.
    pub(in crate::engine) fn summary(&self, run: &Run, end: End) -> RunSummary {
        let (record, used, spent) = (run.record(), run.used(), self.budget.spent_on(run));
        let End { outcome, answer, .. } = end;
        let coworker = match self.runtime.namespace().who(&record.user) {
            Who::Coworker(id) if record.owner().is_none() => Some(id.0),
            _ => None,
        };
        RunSummary {
            user: record.user.clone(),
            line_due: coworker.is_some() && self.has_audit_room(),
            coworker,
            private: record.owner().is_some(),
            asker: record.asker.clone(),
            room: record.room.clone(),
            thread: record.place.thread_root().map(ToOwned::to_owned),
            request: record.request.clone(),
            answer,
            outcome,
            reason: used.fault.filter(|_| outcome == Outcome::Failed).map(|fault| fault.name().to_owned()),
            read: read(used.read.clone(), record),
            read_span: used.read_span,
            tools: record.work.steps().iter().map(|step| Tally::of(step, &self.toolsets.tools.mask())).collect(),
            model: used.model.clone(),
            model_calls: spent.model_calls,
            input_tokens: spent.input_tokens,
            cached_tokens: spent.cached_tokens,
            output_tokens: spent.output_tokens,
            cost_micro_usd: spent.cost_micro_usd,
            refused: used.refused.clone(),
            left_out: used.left_out,
            fallback: record.fallback > 0,
            origin: record.unasked().map(|charge| charge.origin.clone()),
            batch: record.batch.as_ref().and_then(|batch| batch.end),
            accepted_at: record.accepted_at,
            ended_at: clock::now(),
        }
    }
}

/// Returns what the prompt held, followed by what tools read beyond it.
fn read(mut read: Vec<OwnedEventId>, record: &RunRecord) -> Vec<OwnedEventId> {
    let beyond = record.work.read().iter().filter(|event| !read.contains(event)).cloned().collect::<Vec<_>>();
    read.extend(beyond);
    read
}
