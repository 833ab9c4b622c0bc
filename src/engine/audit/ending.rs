//! The end of a run: its record in the thread, and what the index keeps of it.

use ruma::OwnedEventId;

use crate::{
    clock,
    core::{
        audit::{RunSummary, Spent},
        people::Who,
        run::{Machine, Outcome, RunId, RunRecord, Step},
        trail::{Ended, Tally},
    },
    engine::{Engine, EngineError, used::Used},
};

impl Engine {
    /// The status becomes the run's record (C13); a run without status and tools leaves none.
    pub(in crate::engine) async fn end_status(&self, id: &RunId, record: &RunRecord, outcome: Outcome, spent: Spent) {
        let now = clock::now();
        let ended = Ended {
            steps: record.work.steps(),
            outcome,
            duration_ms: now.ms_since(record.accepted_at),
            spent,
            mask: self.tools.mask(),
        };
        let Some(text) = Machine::new(record, now).status_end(&ended) else { return };
        let said = async {
            let account = self.account_of(record).await?;
            let room = self.destination(record)?.room();
            let txn = id.transaction(Step::StatusEnd);
            match &record.status {
                Some(status) => account.edit(room, status, &text, txn).await?,
                None => account.send(room, &text, txn).await?,
            };
            Ok::<_, EngineError>(())
        };
        if let Err(error) = said.await {
            tracing::debug!(%error, "a run's record cannot be shown");
        }
    }

    /// What the index keeps of a run. Of an assistant's, it does not say what was read.
    pub(in crate::engine) fn summary(
        &self,
        record: &RunRecord,
        (outcome, answer): (Outcome, Option<OwnedEventId>),
        used: Used,
    ) -> RunSummary {
        let spent = used.spent();
        let coworker = match self.namespace.who(&record.user) {
            Who::Coworker(id) if !record.private => Some(id.0),
            _ => None,
        };
        RunSummary {
            user: record.user.clone(),
            line_due: coworker.is_some() && self.has_audit_room(),
            coworker,
            private: record.private,
            asker: record.asker.clone(),
            room: record.room.clone(),
            thread: record.place.thread_root().map(ToOwned::to_owned),
            request: record.request.clone(),
            answer,
            outcome,
            read: read(used.read, record),
            read_span: used.read_span,
            tools: record.work.steps().iter().map(|step| Tally::of(step, self.tools.mask())).collect(),
            model: used.model,
            model_calls: spent.model_calls,
            input_tokens: spent.input_tokens,
            cached_tokens: spent.cached_tokens,
            output_tokens: spent.output_tokens,
            cost_micro_usd: spent.cost_micro_usd,
            accepted_at: record.accepted_at,
            ended_at: clock::now(),
        }
    }
}

/// What the prompt held, and what tools read beyond it.
fn read(mut read: Vec<OwnedEventId>, record: &RunRecord) -> Vec<OwnedEventId> {
    let beyond = record.work.read().iter().filter(|event| !read.contains(event)).cloned().collect::<Vec<_>>();
    read.extend(beyond);
    read
}
