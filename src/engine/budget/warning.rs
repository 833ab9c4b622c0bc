//! The warnings to admins that budgets run low: in the audit room where there is one, and in the log.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use ruma::RoomId;
use tokio::time::Instant;

use super::{Budget, ledger::Warning};
use crate::{
    core::{
        budget::{Holder, Low, Scope},
        words::spending,
    },
    engine::EngineError,
};

/// So many warnings are sent at once; further ones wait until the oldest is this old, and become one.
const WARNINGS_MAX: usize = 3;
const WARNINGS_WINDOW: Duration = Duration::from_mins(10);

/// When warnings may be sent.
#[derive(Debug, Default)]
pub(in crate::engine) struct Pace {
    sent: VecDeque<Instant>,
    is_due: bool,
}

impl Pace {
    /// Waits until a warning is due and may be sent; loses nothing if it is dropped before.
    pub(in crate::engine) async fn next(&mut self, budget: &Budget) {
        if !self.is_due {
            budget.ledger.warning_due.notified().await;
            self.is_due = true;
        }
        if self.sent.len() >= WARNINGS_MAX
            && let Some(oldest) = self.sent.front()
        {
            tokio::time::sleep_until(*oldest + WARNINGS_WINDOW).await;
            self.sent.pop_front();
        }
        self.is_due = false;
    }

    /// Notes that a warning was sent.
    pub(in crate::engine) fn note(&mut self) {
        self.sent.push_back(Instant::now());
    }
}

/// Logs warnings where there is no audit room.
pub(in crate::engine) async fn log(budget: Arc<Budget>) {
    let mut pace = Pace::default();
    loop {
        tokio::select! {
            () = budget.runtime.stop.cancelled() => return,
            () = pace.next(&budget) => {}
        }
        match budget.next_warning() {
            Ok(Some(warning)) => {
                pace.note();
                if let Err(error) = budget.ledger.warned(&warning) {
                    tracing::warn!(%error, "budgets that run low cannot be noted");
                }
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "budgets that run low cannot be noted"),
        }
    }
}

impl Budget {
    /// Warns admins of budgets that run low, and returns whether there was one to send. The transaction id is the
    /// warning's, so a resend after a crash is the same event.
    pub(in crate::engine) async fn warn_of_budgets(&self, room: &RoomId) -> Result<bool, EngineError> {
        let Some(warning) = self.next_warning()? else { return Ok(false) };
        self.runtime.store.flush().await?;
        let account = self.runtime.service_account()?;
        let coworker = |holder: &Holder| self.called(holder);
        let text =
            spending::budgets_low(&warning.lows, coworker, &self.runtime.namespace().server, &self.ledger.terms().zone);
        let txn = crate::engine::word_transaction("budgets", &warning.number.to_string(), account.user());
        account.send(room, &crate::engine::word(&text, None), txn).await?;
        self.ledger.warned(&warning)?;
        Ok(true)
    }

    fn next_warning(&self) -> Result<Option<Warning>, EngineError> {
        let warning = self.ledger.next_warning()?;
        if let Some(warning) = &warning {
            self.log_lows(&warning.lows);
        }
        Ok(warning)
    }

    /// Logs which budgets run low, without the names of people and rooms.
    fn log_lows(&self, lows: &[Low]) {
        for low in lows {
            let Low { holder, span, spent, limit, .. } = low;
            let scope = holder.scope().name();
            match holder.scope() {
                Scope::Workspace => tracing::warn!(scope, span, %spent, %limit, "a budget runs low"),
                Scope::Coworker => {
                    tracing::warn!(scope, coworker = self.called(holder), span, %spent, %limit, "a budget runs low");
                }
                Scope::Person | Scope::Room | Scope::Assistant => {}
            }
        }
        for scope in [Scope::Person, Scope::Room, Scope::Assistant] {
            let accounts = lows.iter().filter(|low| low.holder.scope() == scope).count();
            if accounts > 0 {
                tracing::warn!(scope = scope.name(), accounts, "budgets run low");
            }
        }
    }

    /// Returns a coworker's id.
    fn called(&self, holder: &Holder) -> String {
        match holder {
            Holder::Coworker(user) => self
                .runtime
                .coworker(user)
                .map_or_else(|| user.localpart().to_owned(), |coworker| coworker.id.0.clone()),
            other => other.scope().name().to_owned(),
        }
    }
}
