//! The reservation of one call.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use tokio::sync::watch;

use super::ledger::{Call, Ledger, is_priced};
use crate::{
    clock,
    core::{
        budget::{self, Estimate, Holder, Usd, outlay::Cost},
        run::Fault,
        time::Timestamp,
    },
    engine::{progress::Progress, used},
};

/// How often a call's cost is noted while its answer is written, in milliseconds.
const NOTE_EVERY_MS: u64 = 1_000;

/// A call's reservation. When dropped, it is settled at the usage that the provider reported.
pub(in crate::engine) struct Hold<'a> {
    pub(super) ledger: &'a Ledger,
    pub(super) holders: Vec<Holder>,
    pub(super) call: Call,
    pub(super) model: String,
    pub(super) estimate: Estimate,
    pub(super) progress: &'a watch::Sender<Progress>,
    pub(super) noted_ms: AtomicI64,
    /// What is counted for answers that broke off before the provider told what they used, in millionths of a dollar.
    pub(super) untold: AtomicU64,
    /// Whether the call has begun and not ended. If it is cut short before the provider reports usage, its prompt
    /// counts.
    pub(super) is_under_way: bool,
    /// Whether it waits for a batch: dropped meanwhile, it stays reserved, for whoever takes the run up again.
    pub(super) waits: bool,
}

impl Hold<'_> {
    /// Notes the call's cost so far, at most once per [`NOTE_EVERY_MS`]; a crash loses only the cost since the last
    /// note.
    pub(in crate::engine) fn note(&self, progress: &Progress) {
        let now = clock::now();
        let noted = Timestamp::from_ms(self.noted_ms.load(Ordering::Relaxed));
        if now >= noted && now.ms_since(noted) < NOTE_EVERY_MS {
            return;
        }
        // This goes through the whole text.
        let so_far = self.cost_of(progress, Usd::ZERO).amount;
        if so_far == Usd::ZERO {
            return;
        }
        self.noted_ms.store(now.as_ms(), Ordering::Relaxed);
        if let Err(error) = self.ledger.note(&self.holders, &self.call, so_far) {
            tracing::warn!(%error, "what a call costs cannot be noted; it is at its end");
        }
    }

    /// Reserves again, for an answer that broke off and is requested again. The broken answer's cost counts as paid.
    pub(in crate::engine) fn again(&self) -> Result<(), Fault> {
        let cost = {
            let progress = self.progress.borrow();
            if !progress.is_told() {
                self.untold.fetch_add(self.estimate.prompt.micro(), Ordering::Relaxed);
            }
            self.cost_of(&progress, Usd::ZERO)
        };
        match self.ledger.again(&self.holders, &self.call, &cost, &self.estimate) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(full)) => Err(Fault::OverBudget(budget::Full { begun: true, ..full })),
            Err(error) => {
                tracing::error!(%error, "a call's cost cannot be reserved; it is not made");
                Err(Fault::Internal)
            }
        }
    }

    /// Marks the call as begun.
    pub(in crate::engine) fn begin(&mut self) {
        self.is_under_way = true;
    }

    /// Marks the call as ended: its cost is what the provider reported.
    pub(in crate::engine) fn end(mut self) {
        (self.is_under_way, self.waits) = (false, false);
    }

    /// Marks the call as ended, at a cost that nobody knows: its prompt counts.
    pub(in crate::engine) fn end_unknown(mut self) {
        (self.is_under_way, self.waits) = (true, false);
    }

    /// Returns the cost of all answers: as the provider told, and what is counted where it did not.
    fn cost_of(&self, progress: &Progress, more: Usd) -> Cost {
        let told = used::cost_of(progress);
        let untold = more.micro().saturating_add(self.untold.load(Ordering::Relaxed));
        Cost {
            amount: Usd::from_micro(told.amount.micro().saturating_add(untold)),
            priced: told.priced && (untold == 0 || is_priced(&self.model)),
            model: told.model.filter(|_| told.amount != Usd::ZERO || untold == 0),
        }
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        if self.waits {
            return;
        }
        let cost = {
            let progress = self.progress.borrow();
            let is_untold = self.is_under_way && !progress.is_told();
            self.cost_of(&progress, if is_untold { self.estimate.prompt } else { Usd::ZERO })
        };
        if let Err(error) = self.ledger.settle(&self.holders, &self.call, &cost) {
            tracing::error!(%error, "what a call cost cannot be counted; it is at the next start");
        }
        self.ledger.freed.send_modify(|count| *count = count.wrapping_add(1));
    }
}
