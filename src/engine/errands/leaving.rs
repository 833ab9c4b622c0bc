//! Leaves errands that are not carried out, and says whether they may come again.

use super::Tried;
use crate::{
    core::{
        errand::{Errand, ErrandId, Left, OriginKind, Stage},
        outcome::Outcome,
        run::RunId,
    },
    engine::{Engine, EngineError, word_transaction},
    store::StoreError,
};

impl Engine {
    /// Leaves an errand for good; a notice of it that is there already says so.
    pub(super) async fn leave_errand(&self, errand: &Errand, why: Left) -> Result<Tried, EngineError> {
        tracing::warn!(
            room.id = %errand.room, user.id = %errand.user, errand.id = errand.id.as_str(), ?why, "an errand is left"
        );
        // Before it is over: a crash in between notes it twice, which says the same.
        self.note_left(errand, why)?;
        self.keep_errand(&Errand { stage: Stage::Left(why), ..errand.clone() })?;
        if let (true, Some(notice), Some(account)) =
            (errand.is_announced(), &errand.request, self.pool.kept(&errand.user))
        {
            let txn = word_transaction("left", &errand.notice_cause(), account.user());
            if let Err(error) = account.edit(&errand.room, notice, &errand.notice_left(why), txn).await {
                tracing::debug!(room.id = %errand.room, %error, "a notice cannot say that its errand is left");
            }
        }
        Ok(Tried::Over)
    }

    /// Leaves an errand that its room refuses for good.
    pub(super) fn give_up_errand(&self, id: &ErrandId, why: &str) {
        tracing::error!(errand.id = id.as_str(), error = why, "an errand cannot begin; it is left");
        let left = self.tables.errands.update(&id.as_str().to_owned(), |kept: Option<Errand>| {
            kept.map(|errand| Errand { stage: Stage::Left(Left::NotThere), ..errand })
        });
        let left = left.and_then(|left| left.map_or(Ok(()), |errand| self.note_left(&errand, Left::NotThere)));
        if let Err(error) = left {
            tracing::error!(errand.id = id.as_str(), %error, "that an errand is left cannot be noted");
        }
    }

    /// Returns whether a known delivery counts as new if its sender delivers it again: nothing came of it, because it
    /// was left, or because its coworker could not say anything any more.
    pub(in crate::engine) fn may_come_again(&self, known: &Errand) -> Result<bool, StoreError> {
        if known.origin.kind != OriginKind::Hook {
            return Ok(false);
        }
        match (known.stage, &known.request, known.begun_at) {
            (Stage::Left(_), ..) => Ok(true),
            (Stage::Begun, Some(request), Some(at)) => {
                let run = RunId::of(request, &known.user).as_str().to_owned();
                let ended = self.tables.run_index.get(&(at, run))?;
                Ok(ended.is_some_and(|summary| summary.outcome == Outcome::Dropped))
            }
            _ => Ok(false),
        }
    }
}
