//! Begins errands: announces them and records their runs, one after the other in each room.

use std::{sync::PoisonError, time::Duration};

use ruma::OwnedEventId;
use tokio::time::Instant;

use super::Desk;
use crate::{
    clock,
    core::{
        errand::{Errand, ErrandId, Left, MatterThread, Stage},
        event::Place,
        retry::{SEND_PAUSES, send_pause},
        run::RunRecord,
        schedule::{Lane, Wanted},
        sealed::Carriage,
        voice::Voice,
    },
    engine::{
        Engine, EngineError, Shared, ahead::Ahead, beginning::Started, caught::caught, records::ThreadRecord,
        word_transaction,
    },
    matrix::Account,
    store::StoreError,
};

/// Refusals of the homeserver in a row after which an errand is left.
const REFUSALS_MAX: usize = SEND_PAUSES.len();
/// How long an errand whose room is full waits for a place before it is looked at again: it may be too old by then.
const FULL_MAX: Duration = Duration::from_mins(1);
/// After so many tries the log says that an errand waits.
const WORTH_A_LINE: usize = 4;

/// How far an attempt to begin an errand came.
enum Tried {
    /// It has begun, or is left for good.
    Over,
    /// It has to wait; nothing is wrong.
    Later,
    /// Too many runs wait in its room; in this lane, if its thread has begun.
    Full(Option<Lane>),
}

impl Engine {
    /// Begins an errand: announces it, and records its run.
    async fn begin_errand(self: &Shared, id: &ErrandId) -> Result<Tried, EngineError> {
        let Some(errand) = self.errands.kept_errand(id)? else { return Ok(Tried::Over) };
        if errand.stage != Stage::Accepted {
            return Ok(Tried::Over);
        }
        if self.errands.has_run(&errand)? {
            self.errands.keep_errand(&Errand { stage: Stage::Begun, ..errand })?;
            return Ok(Tried::Over);
        }
        let room = self.tables.rooms.get(&errand.room)?.unwrap_or_default();
        if room.muted.contains(&errand.user) {
            Box::pin(self.errands.leave_errand(&errand, Left::Muted)).await?;
            return Ok(Tried::Over);
        }
        if room.liveliness.is_paused() {
            Box::pin(self.errands.leave_errand(&errand, Left::Paused)).await?;
            return Ok(Tried::Over);
        }
        if errand.is_too_old(clock::now()) {
            Box::pin(self.errands.leave_errand(&errand, Left::TooOld)).await?;
            return Ok(Tried::Over);
        }
        // Before the homeserver is asked anything: with a full line this comes again and again.
        let lane = errand.lane();
        if self.lanes.is_full(&errand.room, lane.as_ref(), Wanted::ByNobody) {
            return Ok(Tried::Full(lane));
        }
        let Some(account) = self.pool.kept(&errand.user) else {
            // It is set up, or out of order and being mended.
            return Ok(Tried::Later);
        };
        let _turn = self.errands.pace.turn().await;
        // What comes meanwhile is read.
        let seen = Instant::now();
        if !account.is_in(&errand.room) {
            account.sync().await?;
            if !account.is_in(&errand.room) {
                return Ok(Tried::Later);
            }
        }
        if self.voices.voice_in(&account, &errand.room).await? != Voice::Heard {
            return Ok(Tried::Later);
        }
        if errand.came == Carriage::Encrypted {
            account.note_encrypted(&errand.room);
        }
        let mut errand = self.errands.with_thread(errand)?;
        let came = if account.is_sealed(&errand.room) { Carriage::Encrypted } else { Carriage::Plain };
        let is_idle = self.lanes.counts() == (0, 0);
        let may_ask = is_idle && errand.may_be_asked_ahead();
        if may_ask && !account.is_up_to_date(&errand.room) {
            // Nothing is asked before it is read.
            account.sync_since(seen).await?;
        }
        let ahead = if may_ask { Ahead::begin(self, &account, &mut errand, came, clock::now())? } else { None };
        if came == Carriage::Encrypted {
            // Nothing is encrypted for people whose joining is not known.
            account.sync_since(seen).await?;
        }
        // The run reads what this sync brings.
        let (synced, errand) = tokio::join!(account.sync_since(seen), Box::pin(self.announce(&account, errand)));
        synced?;
        self.record_run_of(&account, errand?, (came, seen), ahead)
    }

    /// Posts the errand's notice, unless a message of somebody else's caused it; returns it with request and thread.
    /// Each step may be repeated after a crash: the notice is the same event, and the matter's thread is noted again.
    async fn announce(&self, account: &Account, mut errand: Errand) -> Result<Errand, EngineError> {
        if !errand.is_announced() || errand.begun_at.is_some() {
            return Ok(errand);
        }
        let now = clock::now();
        let matter = errand.matter_key();
        let kept = self.errands.open_matter(&errand, now)?;
        let notice = if let Some(notice) = errand.request.clone() {
            notice
        } else {
            let notice = self.post_notice(account, &errand).await?;
            errand.request = Some(notice.clone());
            self.errands.keep_errand(&errand)?;
            notice
        };
        let Some(key) = matter else { return Ok(errand) };
        // Before its note, by which it would be no news any more after a crash.
        if let Some(thread) = kept.as_ref().filter(|thread| thread.root != notice) {
            self.edit_root(account, &errand, thread).await;
        }
        self.tables.matters.put(&key, &errand.matter_thread(&notice, kept.as_ref(), now))?;
        Ok(errand)
    }

    async fn post_notice(&self, account: &Account, errand: &Errand) -> Result<OwnedEventId, EngineError> {
        let room = &errand.room;
        let place = match &errand.thread {
            Some(root) => {
                let latest = account.latest_in_thread(room, root).unwrap_or_else(|| root.clone());
                Place::Thread { root: root.clone(), latest }
            }
            None => Place::Timeline,
        };
        let txn = word_transaction("errand", &errand.notice_cause(), account.user());
        Ok(account.send(room, &errand.notice(place), txn).await?)
    }

    /// Shows at the root of a matter's thread how it stands now. A root that is gone stays gone.
    async fn edit_root(&self, account: &Account, errand: &Errand, thread: &MatterThread) {
        let Some(message) = errand.root_now(thread) else { return };
        let txn = word_transaction("matter", errand.id.as_str(), account.user());
        if let Err(error) = account.edit(&errand.room, &thread.root, &message, txn).await {
            tracing::debug!(room.id = %errand.room, %error, "how a matter stands cannot be shown at its thread's root");
        }
    }

    /// Records the errand's run. When it is recorded is on disk before, and part of its key in the index: whoever finds
    /// the errand after a crash finds its run too, going on or ended.
    fn record_run_of(
        self: &Shared,
        account: &Account,
        mut errand: Errand,
        (came, seen): (Carriage, Instant),
        ahead: Option<Ahead>,
    ) -> Result<Tried, EngineError> {
        let Some(request) = errand.request.clone() else { return Ok(Tried::Later) };
        let latest = errand.thread.as_ref().and_then(|root| account.latest_in_thread(&errand.room, root));
        let place = errand.place(&request, latest);
        self.note_errand(&errand, &request, place.thread_root().map(ToOwned::to_owned))?;
        let begun_at = *errand.begun_at.get_or_insert_with(|| errand.ahead_at.unwrap_or_else(clock::now));
        self.errands.keep_errand(&errand)?;
        let record = errand.run(&request, place, came, self.config().limits.deadline_ms(), clock::now());
        let record = RunRecord { accepted_at: begun_at, ..record };
        let lane = record.lane();
        if self.start_run(record, Some(seen), ahead)? == Started::TooManyWait {
            return Ok(Tried::Full(Some(lane)));
        }
        errand.stage = Stage::Begun;
        self.errands.keep_errand(&errand)?;
        Ok(Tried::Over)
    }

    /// Notes at the request which errand it is, and in its thread that the coworker works there.
    fn note_errand(
        &self,
        errand: &Errand,
        request: &OwnedEventId,
        root: Option<OwnedEventId>,
    ) -> Result<(), StoreError> {
        let key = (errand.room.clone(), request.clone());
        self.tables.threads.update(&key, |kept: Option<ThreadRecord>| {
            let mut kept = kept.unwrap_or_default();
            kept.errands.insert(errand.user.clone(), errand.id.clone());
            Some(kept)
        })?;
        let Some(root) = root else { return Ok(()) };
        self.tables.threads.update(&(errand.room.clone(), root), |kept: Option<ThreadRecord>| {
            let mut kept = kept.unwrap_or_default();
            kept.thread.asked.insert(errand.user.clone());
            Some(kept)
        })?;
        Ok(())
    }
}

/// Begins what is lined up, each place in a task of its own, until Workmate stops.
pub(in crate::engine) async fn keep_beginning(engine: Shared) {
    let desks = engine.errands.desks.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(mut desks) = desks else { return };
    loop {
        let desk = tokio::select! {
            () = engine.stop.cancelled() => return,
            desk = desks.recv() => desk,
        };
        let Some(desk) = desk else { return };
        engine.tasks.spawn(begin_all(engine.clone(), desk));
    }
}

/// Begins a coworker's errands in a room one after the other, until none waits. An outage is waited out.
async fn begin_all(engine: Shared, desk: Desk) {
    let (mut tries, mut refusals) = (0, 0);
    while let Some(id) = engine.errands.lines.first(&desk) {
        let why = match caught(Box::pin(engine.begin_errand(&id))).await {
            Ok(Tried::Over) => None,
            Ok(Tried::Later) => {
                refusals = 0;
                Some(String::new())
            }
            Ok(Tried::Full(lane)) => {
                refusals = 0;
                tokio::select! {
                    () = engine.stop.cancelled() => return,
                    () = engine.lanes.until_free(&desk.0, lane.as_ref(), Wanted::ByNobody) => {}
                    () = tokio::time::sleep(FULL_MAX) => {}
                }
                continue;
            }
            Err(error) => {
                refusals = if error.is_passing() { 0 } else { refusals + 1 };
                Some(error.to_string())
            }
        };
        match why {
            Some(why) if refusals <= REFUSALS_MAX => {
                if tries == WORTH_A_LINE {
                    tracing::warn!(
                        room.id = %desk.0, user.id = %desk.1, errand.id = id.as_str(), error = why,
                        "an errand waits; is its coworker in the room, and may it speak there?"
                    );
                }
                tokio::select! {
                    () = engine.stop.cancelled() => return,
                    () = tokio::time::sleep(send_pause(tries)) => tries += 1,
                }
                continue;
            }
            Some(why) => engine.errands.give_up_errand(&id, &why),
            None => {}
        }
        engine.errands.lines.done(&desk, &id);
        (tries, refusals) = (0, 0);
    }
}
