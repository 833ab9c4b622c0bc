//! The end of a run: what is owed is noted, the run leaves the journal for the index, and what is owed is done.

use std::collections::BTreeSet;

use ruma::{OwnedEventId, UserId};

use crate::{
    clock,
    core::{
        audit::RunKey,
        names::Names,
        owed::{self, Owed},
        run::{End, Run, RunId, RunRecord},
        trail::Decision,
    },
    engine::{Engine, EngineError, Shared},
    store::StoreError,
};

impl Engine {
    /// Ends a run. Whatever cannot be done now is done later, by another process if need be.
    pub(super) async fn end_run(self: &Shared, id: &RunId, run: &Run, end: End) {
        let record = run.record();
        if end.taken_back {
            tracing::info!("the request was redacted; its run ends, and what it said is taken back");
        }
        // What it cost is in its record, too.
        self.budget.leave_batch(record);
        let names = self.names_of_deciders(record).await;
        match self.owed_for(id, run, &end, &names) {
            Ok(owed) => {
                if let Err(error) = self.owe(owed) {
                    tracing::error!(%error, "what a run owes cannot be noted; it is taken up again at the next start");
                    return;
                }
            }
            Err(error) => tracing::error!(%error, "what a run owes cannot be told"),
        }
        if let Err(error) = self.approvals.close(&record.room, id) {
            tracing::warn!(%error, "a run's cards cannot be forgotten; the next start does it");
        }
        self.close_run(id, run, end).await;
        self.computing.leave_files();
        if record.batch.is_some() {
            self.batches.leave_batches();
        }
        match self.pay(id).await {
            Ok(true) => self.owed_due.try_now(),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "what a run owes cannot be read"),
        }
    }

    /// What is owed for a run that ends now.
    fn owed_for(&self, id: &RunId, run: &Run, end: &End, names: &Names) -> Result<Owed, StoreError> {
        let record = run.record();
        let cards = self.card_ends(id, record)?;
        let left = owed::End {
            record: self.audit.record_of_run(
                (record, run.used().model.as_deref()),
                end.outcome,
                self.budget.spent_on(run),
                names,
            ),
            cards: cards.edits,
            reactions: cards.reactions,
            posted: if end.taken_back { self.posted_of(record, end.answer.as_ref())? } else { Vec::new() },
            answered: end.answer.is_some(),
            taken_back: end.taken_back,
            unheard: end.unheard,
            keeps_answer: end.keeps_answer,
        };
        Ok(Owed::of(record, left, clock::now()))
    }

    /// What the people are called who decided about a run's calls.
    async fn names_of_deciders(&self, record: &RunRecord) -> Names {
        let decided = record.work.steps().iter().filter_map(|step| step.decision.as_ref().and_then(Decision::by));
        let people: Vec<&UserId> = decided.collect::<BTreeSet<_>>().into_iter().collect();
        match self.answerer(record).account().await {
            Ok(account) if !people.is_empty() => account.names(&record.room, &people).await,
            _ => Names::default(),
        }
    }

    fn posted_of(&self, record: &RunRecord, last: Option<&OwnedEventId>) -> Result<Vec<OwnedEventId>, StoreError> {
        let noted = self.tables.threads.get(&(record.room.clone(), record.request.clone()))?;
        let noted = noted.map(|noted| noted.posted).unwrap_or_default();
        let ours = noted.into_iter().filter(|posted| posted.user == record.user).map(|posted| posted.event);
        Ok(ours.chain(last.cloned()).collect())
    }

    /// Ends the cards of a run that goes on from its beginning.
    pub(in crate::engine) fn close_cards(&self, id: &RunId, record: &RunRecord) {
        let owed = self.card_ends(id, record).and_then(|cards| {
            let end = owed::End { cards: cards.edits, reactions: cards.reactions, ..owed::End::default() };
            self.owe(Owed::of(record, end, clock::now()))?;
            self.approvals.close(&record.room, id)
        });
        match owed {
            Ok(()) => self.owed_due.try_now(),
            Err(error) => tracing::error!(%error, "a run's cards cannot be closed"),
        }
    }

    pub(in crate::engine) fn journal(&self, id: &RunId, record: &RunRecord) -> Result<(), EngineError> {
        // What an assistant's run says, and its tools were asked and gave, is sealed under its owner's key; see
        // `Tables::of`.
        Ok(self.tables.runs.put(&id.as_str().to_owned(), record)?)
    }

    /// The run leaves the journal and stays in the index, without content.
    async fn close_run(&self, id: &RunId, run: &Run, end: End) {
        let summary = self.audit.summary(run, end);
        let key: RunKey = (run.record().accepted_at, id.as_str().to_owned());
        let closed = self.audit.index_run(&key, &summary).and_then(|()| self.tables.runs.remove(&key.1));
        let closed = match closed {
            // Durable at once: a process that is killed now must not ask the model again for what is answered.
            Ok(()) => self.store.flush().await,
            Err(error) => Err(error),
        };
        if let Err(error) = closed {
            tracing::error!(%error, "a run's end cannot be recorded; it is taken up again at the next start");
        }
        self.metrics.run_ended(&summary);
        tracing::info!(
            outcome = ?summary.outcome, tokens.input = summary.input_tokens, tokens.output = summary.output_tokens,
            duration_ms = summary.ended_at.ms_since(summary.accepted_at), "a run ended"
        );
        if summary.line_due {
            self.audit.tell(&key);
        }
    }
}
