//! Leaves errands that are not carried out, and says whether they may come again.

use std::sync::Arc;

use super::Errands;
use crate::{
    clock,
    core::{
        breaker::PAUSE_MS,
        errand::{Errand, ErrandId, Left, OriginKind, Stage},
        time::Timestamp,
        timetable::Skip,
        words,
    },
    engine::{EngineError, records::RoomRecord, word, word_transaction},
    store::StoreError,
};

impl Errands {
    /// Tells a room that what comes by itself is too much for a while (C14). It can be said later than that, or not at all.
    pub(super) async fn tell_too_fast(self: Arc<Self>, errand: Errand, until: Timestamp) {
        let Some(account) = self.runtime.pool.kept(&errand.user) else { return };
        let minutes = until.ms_since(clock::now()).div_ceil(60_000);
        let message = word(&words::errands::too_fast(errand.origin.kind, minutes), None);
        let txn = word_transaction("too-fast", &format!("{}|{}", errand.room, until.as_ms()), account.user());
        if let Err(error) = account.send(&errand.room, &message, txn).await {
            tracing::debug!(room.id = %errand.room, %error, "a room cannot be told that errands come too fast");
        }
    }

    /// Says in a room, once in a while, that so much waits there that what nobody sends again is not taken up.
    pub(in crate::engine) async fn tell_full(&self, errand: &Errand) -> Result<(), EngineError> {
        let (mut due, now) = (false, clock::now());
        self.runtime.tables.rooms.update(&errand.room, |record: Option<RoomRecord>| {
            let mut record = record.unwrap_or_default();
            due = record.full_told.is_due(now, PAUSE_MS);
            Some(record)
        })?;
        let Some(account) = self.runtime.pool.kept(&errand.user).filter(|_| due) else { return Ok(()) };
        tracing::warn!(room.id = %errand.room, kind = errand.origin.kind.name(), "too many errands wait; none is taken");
        let txn = word_transaction("full", errand.id.as_str(), account.user());
        if let Err(error) = account.send(&errand.room, &word(&words::errands::full(), None), txn).await {
            tracing::debug!(room.id = %errand.room, %error, "a room cannot be told that too many errands wait");
        }
        Ok(())
    }

    /// Notes that a due time which was accepted does not run after all.
    pub(super) fn note_left(&self, errand: &Errand, why: Left) -> Result<(), StoreError> {
        let Some(key) = &errand.schedule else { return Ok(()) };
        let why = match why {
            Left::Muted => Skip::Muted,
            Left::TooOld => Skip::Missed,
            Left::Paused | Left::NotThere => Skip::NotThere,
        };
        self.runtime.tables.note_handled(key, |kept| {
            kept.rooms.entry(errand.room.clone()).or_default().left(errand.due_at, why);
        })
    }

    /// Leaves an errand for good; a notice of it that is there already says so.
    pub(super) async fn leave_errand(&self, errand: &Errand, why: Left) -> Result<(), EngineError> {
        tracing::warn!(
            room.id = %errand.room, user.id = %errand.user, errand.id = errand.id.as_str(), ?why, "an errand is left"
        );
        // Before it is over: a crash in between notes it twice, which says the same.
        self.note_left(errand, why)?;
        self.keep_errand(&Errand { stage: Stage::Left(why), ..errand.clone() })?;
        if let (true, Some(notice), Some(account)) =
            (errand.is_announced(), &errand.request, self.runtime.pool.kept(&errand.user))
        {
            let txn = word_transaction("left", &errand.notice_cause(), account.user());
            if let Err(error) = account.edit(&errand.room, notice, &errand.notice_left(why), txn).await {
                tracing::debug!(room.id = %errand.room, %error, "a notice cannot say that its errand is left");
            }
        }
        Ok(())
    }

    /// Leaves an errand that its room refuses for good.
    pub(super) fn give_up_errand(&self, id: &ErrandId, why: &str) {
        tracing::error!(errand.id = id.as_str(), error = why, "an errand cannot begin; it is left");
        let left = self.runtime.tables.errands.update(&id.as_str().to_owned(), |kept: Option<Errand>| {
            kept.map(|errand| Errand { stage: Stage::Left(Left::NotThere), ..errand })
        });
        let left = left.and_then(|left| left.map_or(Ok(()), |errand| self.note_left(&errand, Left::NotThere)));
        if let Err(error) = left {
            tracing::error!(errand.id = id.as_str(), %error, "that an errand is left cannot be noted");
        }
    }

    /// Returns whether a known delivery counts as new if its sender delivers it again, because it was left. One whose
    /// notice people deleted stays known: a sender that repeats itself must not bring it back.
    pub(in crate::engine) fn may_come_again(known: &Errand) -> bool {
        known.origin.kind == OriginKind::Hook && matches!(known.stage, Stage::Left(_))
    }
}
