//! How every run begins: one that a message, an edit or a 🔁 asks for, one that nobody asked for, and one that an
//! earlier process left.

use tokio::time::Instant;

use super::{Engine, EngineError, Shared, ahead::Ahead, lanes::Place as PlaceInLine};
use crate::{
    core::{
        run::{RunId, RunRecord},
        schedule::Wanted,
        words,
    },
    matrix::Account,
};

/// What came of starting a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Started {
    /// It is recorded and waits for its turn.
    Begun,
    /// Its id is in the journal already: it is going on.
    Known,
    /// Too many wait in its room; nothing is recorded.
    TooManyWait,
}

impl Engine {
    /// Starts a run, whoever or whatever asks for it: takes its place in line, records it and lets it wait for its turn.
    /// Runs of one lane keep the order of these calls. Whoever acknowledges what asked for it flushes the store first.
    ///
    /// `accepted` is the moment before which nothing known of the room is new enough; `None` means now. `ahead` is what the
    /// model was asked before.
    pub(super) fn start_run(
        self: &Shared,
        record: RunRecord,
        accepted: Option<Instant>,
        ahead: Option<Ahead>,
    ) -> Result<Started, EngineError> {
        let key = record.id().as_str().to_owned();
        if self.tables.runs.get(&key)?.is_some() {
            return Ok(Started::Known);
        }
        let Ok(place) = self.lanes.place(record.lane(), record.wanted(), record.asked_by()) else {
            return Ok(Started::TooManyWait);
        };
        if !self.tables.runs.insert_new(&key, &record)? {
            return Ok(Started::Known);
        }
        if record.wanted() == Wanted::ByPerson {
            self.errands.pace.note_question();
        }
        self.spawn_run(record, place, accepted, ahead);
        Ok(Started::Begun)
    }

    /// Starts a run that a person asked for; tells them if too many wait in the room (C11).
    pub(super) async fn start_asked_run(
        self: &Shared,
        account: &Account,
        record: RunRecord,
        accepted: Option<Instant>,
    ) -> Result<(), EngineError> {
        match self.start_run(record.clone(), accepted, None)? {
            Started::Begun | Started::Known => Ok(()),
            Started::TooManyWait => self.decline_request(account, &record).await,
        }
    }

    /// Goes on with a run that an earlier process accepted, whatever the limits.
    pub(super) fn take_up_run(self: &Shared, record: RunRecord) {
        let place = self.lanes.place_again(record.lane(), record.wanted(), record.asked_by());
        self.spawn_run(record, place, None, None);
    }

    /// Says that a request is not accepted, because too many wait in its room.
    pub(super) async fn decline_request(&self, account: &Account, record: &RunRecord) -> Result<(), EngineError> {
        tracing::warn!(room.id = %record.room, user.id = %record.user, "a request is declined: too many wait in its room");
        let mut word = super::word(&words::too_many_waiting(), Some(&record.asker));
        word.place = record.place.clone();
        let txn = super::word_transaction("too-many-waiting", record.id().as_str(), &record.user);
        account.sync().await?;
        account.send(self.chats.destination(record)?.room(), &word, txn).await?;
        Ok(())
    }

    fn spawn_run(
        self: &Shared,
        record: RunRecord,
        place: PlaceInLine,
        accepted: Option<Instant>,
        ahead: Option<Ahead>,
    ) {
        let (engine, id) = (self.clone(), record.id());
        let registered = self.running.register(&id, &record);
        self.tasks.spawn(async move {
            let (stop, accepted) = (engine.stop.clone(), accepted.unwrap_or_else(Instant::now));
            let cut_off = async {
                stop.cancelled().await;
                engine.running.until_done_or_cut_off(&id).await;
            };
            // A run cut off here is in the journal and continues at the next start; this does not count as a crash.
            tokio::select! {
                () = cut_off => engine.note_cut_off(&id),
                () = Box::pin(engine.run(registered, record, place, (accepted, ahead))) => {}
            }
        });
    }

    fn note_cut_off(&self, id: &RunId) {
        let noted = self.tables.runs.update(&id.as_str().to_owned(), |record: Option<RunRecord>| {
            record.map(|record| RunRecord { under_way: false, ..record })
        });
        if let Err(error) = noted {
            tracing::warn!(run.id = id.as_str(), %error, "that a run was cut off by a stop cannot be noted");
        }
    }
}
