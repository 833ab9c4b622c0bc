//! What coworkers cost in a month, and that a used-up budget lets no work begin (C19).

use super::{Engine, EngineError};
use crate::{
    clock,
    core::{
        audit::Spent,
        budget::{counted_micro_usd, is_used_up, month_of},
        run::{Fault, RunRecord},
    },
    store::StoreError,
};

impl Engine {
    /// Returns the fault that a run ends with before it begins, where its coworker's budget is used up. What has begun
    /// is brought to its end.
    pub(super) fn over_budget(&self, record: &RunRecord) -> Result<Option<Fault>, EngineError> {
        let budget_usd = self.coworker(&record.user).and_then(|coworker| coworker.budget_usd_month);
        let Some(budget_usd) = budget_usd.filter(|_| !record.private && record.work.is_empty()) else {
            return Ok(None);
        };
        let spent = self.tables.spent.get(&(record.user.clone(), month_of(clock::now())))?.unwrap_or_default();
        Ok(is_used_up(budget_usd, spent).then_some(Fault::OverBudget(budget_usd)))
    }

    /// Counts what a coworker's run cost, in the month in which it ended.
    pub(super) fn count_spent(&self, record: &RunRecord, spent: &Spent) -> Result<(), StoreError> {
        if record.private {
            return Ok(());
        }
        let key = (record.user.clone(), month_of(clock::now()));
        self.tables
            .spent
            .update(&key, |sum: Option<u64>| Some(sum.unwrap_or_default().saturating_add(counted_micro_usd(spent))))?;
        Ok(())
    }
}
