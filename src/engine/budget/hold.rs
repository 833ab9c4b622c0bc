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
    /// The cost of answers that broke off, in millionths of a dollar.
    pub(super) paid: AtomicU64,
    /// Whether the call has begun and not ended. If it is cut short before the provider reports usage, its prompt
    /// counts.
    pub(super) is_under_way: bool,
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
        let so_far = used::cost_of(progress).amount;
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
        let told = used::cost_of(&self.progress.borrow());
        let cost = if told.amount > self.estimate.prompt { told } else { self.untold(self.estimate.prompt) };
        match self.ledger.again(&self.holders, &self.call, &cost, &self.estimate) {
            Ok(Ok(())) => {
                self.paid.store(cost.amount.micro(), Ordering::Relaxed);
                Ok(())
            }
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
        self.is_under_way = false;
    }

    /// Returns a cost that the provider has not reported.
    fn untold(&self, amount: Usd) -> Cost {
        Cost { amount, model: None, priced: is_priced(&self.model) }
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let told = used::cost_of(&self.progress.borrow());
        let paid = self.paid.load(Ordering::Relaxed);
        let cost = if told.amount.micro() > paid {
            told
        } else if self.is_under_way {
            self.untold(Usd::from_micro(paid.saturating_add(self.estimate.prompt.micro())))
        } else {
            self.untold(told.amount)
        };
        if let Err(error) = self.ledger.settle(&self.holders, &self.call, &cost) {
            tracing::error!(%error, "what a call cost cannot be counted; it is at the next start");
        }
        self.ledger.freed.send_modify(|count| *count = count.wrapping_add(1));
    }
}
