//! Work at set times (C20): one timer for all schedules; each due time is handed in as an errand, once.
//!
//! What is handled is noted only after the errand is on disk. After a crash in between, the same due time is handed in
//! again under the same id, and the errand is known already.

mod around;
mod coming;
mod jobs;
mod reminders;
mod setting;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ruma::{OwnedRoomId, OwnedUserId, RoomId};
use tokio::sync::Semaphore;

use self::jobs::{Job, job_of_room};
use super::{Engine, EngineError, Shared, caught::caught};
use crate::{
    clock,
    core::{
        time::Timestamp,
        timetable::{Calendar, Handled, RoomSchedule, next_due},
    },
    store::StoreError,
};

/// The longest the timer sleeps. It counts by a clock that never jumps, and the wall clock may.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// Due times that are handled at once; each may read a room.
const AT_ONCE_MAX: usize = 8;
/// How long a due time waits that could not be handed in, because too many wait in its room or the homeserver is away.
const AGAIN_AFTER_MS: i64 = 15_000;

pub(super) use self::{reminders::reminder_offer, setting::told};

/// A schedule's place among all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Id {
    /// One of a coworker's file: the places of both in the config.
    File { coworker: usize, schedule: usize },
    /// One that members set up in a room, by its number.
    Room(OwnedRoomId, u32),
    /// One of an owner's reminders, by its number.
    Reminder(OwnedUserId, u32),
}

/// When each schedule is due next, and the timer's alarm.
pub(super) struct Timetable {
    calendar: Mutex<Calendar<Id>>,
    changed: tokio::sync::Notify,
    turns: Semaphore,
}

impl Default for Timetable {
    fn default() -> Self {
        Self { calendar: Mutex::default(), changed: tokio::sync::Notify::new(), turns: Semaphore::new(AT_ONCE_MAX) }
    }
}

impl Timetable {
    fn lock(&self) -> MutexGuard<'_, Calendar<Id>> {
        self.calendar.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes when a schedule is due next.
    fn set(&self, id: &Id, due: Option<Timestamp>) {
        let mut calendar = self.lock();
        let first = calendar.first();
        calendar.set(id, due);
        if due.is_some_and(|due| first.is_none_or(|first| due < first)) {
            self.changed.notify_one();
        }
    }
}

/// Hands in what comes due, until told to stop.
pub(super) async fn keep_timetable(engine: Shared) {
    let loading = engine.clone();
    let loaded = tokio::task::spawn_blocking(move || loading.load_timetable()).await;
    match loaded {
        Ok(Ok(0)) => {}
        Ok(Ok(count)) => tracing::info!(count, "schedules are loaded"),
        Ok(Err(error)) => tracing::error!(%error, "schedules cannot be read; they work again after a restart"),
        Err(error) => tracing::error!(%error, "schedules cannot be loaded"),
    }
    loop {
        let (now, mut due) = (clock::now(), Vec::new());
        let first = {
            let mut calendar = engine.timetable.lock();
            due.extend(std::iter::from_fn(|| calendar.take_due(now)));
            calendar.first()
        };
        for id in due {
            engine.tasks.spawn(engine.clone().come_due(id));
        }
        let sleep = async {
            match first {
                Some(first) => {
                    tokio::time::sleep(Duration::from_millis(first.ms_since(clock::now())).min(LOOK_EVERY)).await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = engine.stop.cancelled() => return,
            () = engine.timetable.changed.notified() => {}
            () = sleep => {}
        }
    }
}

impl Engine {
    /// Notes for each schedule when it is due next, and returns how many there are. A new one begins now.
    fn load_timetable(&self) -> Result<usize, StoreError> {
        self.forget_what_no_file_has()?;
        let now = clock::now();
        for (coworker, of) in self.config.coworkers.iter().enumerate() {
            for (schedule, one) in of.schedules.iter().enumerate() {
                self.set_due(&Id::File { coworker, schedule }, &self.job_of_file(of, one), now)?;
            }
        }
        for kept in self.tables.schedules.iter() {
            let (room, schedules) = kept?;
            for schedule in schedules.list() {
                self.set_due_in(&room, schedule, now)?;
            }
        }
        self.load_reminders(now)?;
        Ok(self.timetable.lock().len())
    }

    /// Notes when a schedule that a member set up is due next.
    fn set_due_in(&self, room: &RoomId, schedule: &RoomSchedule, now: Timestamp) -> Result<(), StoreError> {
        let Some(job) = job_of_room(room, schedule) else { return Ok(()) };
        self.set_due(&Id::Room(room.to_owned(), schedule.number), &job, now)
    }

    /// Notes when a schedule is due next.
    fn set_due(&self, id: &Id, job: &Job, now: Timestamp) -> Result<(), StoreError> {
        let kept = self.tables.timetable.get(&job.key)?;
        let until = match kept {
            Some(kept) if kept.said == job.reads => kept.until,
            // What happened in the rooms is true whatever was changed.
            changed => {
                let rooms = changed.map(|kept| kept.rooms).unwrap_or_default();
                self.tables.timetable.put(&job.key, &Handled { until: now, said: job.reads.clone(), rooms })?;
                now
            }
        };
        let next = next_due(&job.rule, until, now);
        if next.is_none() {
            tracing::warn!(schedule = job.name, "a schedule has no due time any more");
        }
        self.timetable.set(id, next);
        Ok(())
    }

    /// Handles a schedule that is due, and notes when it is due again.
    async fn come_due(self: Shared, id: Id) {
        let Ok(_turn) = self.timetable.turns.acquire().await else { return };
        let handled = tokio::select! {
            () = self.stop.cancelled() => return,
            handled = caught(Box::pin(self.handle(&id))) => handled,
        };
        let later = || Some(Timestamp::from_ms(clock::now().as_ms().saturating_add(AGAIN_AFTER_MS)));
        let next = match handled {
            Ok(coming::Next::At(next)) => next,
            Ok(coming::Next::Later) => later(),
            Err(error) => {
                tracing::warn!(%error, "a due time cannot be handled yet");
                later()
            }
        };
        self.timetable.set(&id, next);
    }

    async fn handle(self: &Shared, id: &Id) -> Tried<coming::Next> {
        match id {
            Id::Reminder(owner, number) => Box::pin(self.remind(owner, *number)).await,
            Id::File { .. } | Id::Room(..) => Box::pin(self.hand_in(id)).await,
        }
    }

    /// Forgets how far schedules came that no file has any more. A coworker's that is left out for a fault are kept.
    fn forget_what_no_file_has(&self) -> Result<(), StoreError> {
        let left_out = self.config.left_out_ids();
        for kept in self.tables.timetable.iter() {
            let (key, _) = kept?;
            let Some((coworker, name)) = jobs::parts_of_file_key(&key) else { continue };
            let has_it =
                self.config.coworkers.iter().any(|known| {
                    known.id.0 == coworker && known.schedules.iter().any(|schedule| schedule.name == name)
                });
            if !has_it && !left_out.iter().any(|id| id == coworker) {
                self.tables.timetable.remove(&key)?;
            }
        }
        Ok(())
    }
}

/// The error of what cannot be handled now.
type Tried<T> = Result<T, EngineError>;
