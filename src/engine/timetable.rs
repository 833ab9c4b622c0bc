//! Work at set times (C20): one timer for all schedules; each due time is handed in as an errand, once.
//!
//! What is handled is noted only after the errand is on disk. After a crash in between, the same due time is handed in
//! again under the same id, and the errand is known already.

mod around;
mod coming;
mod jobs;
mod loading;
mod reminders;
mod reminding;
mod schedules;
mod setting;
mod tasks;

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ruma::{OwnedRoomId, OwnedUserId};
use tokio::sync::Semaphore;

use super::{Engine, EngineError, Shared, caught::caught};
use crate::{
    clock,
    core::{
        retry::{doubled, send_pause},
        time::Timestamp,
        timetable::Calendar,
    },
};

/// The longest the timer sleeps. It counts by a clock that never jumps, and the wall clock may.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// Due times that are handled at once; each may read a room.
const AT_ONCE_MAX: usize = 8;
/// How long a reminder waits first whose owner has no chat that they have joined; each time twice as long.
const NO_CHAT_PAUSE: Duration = Duration::from_mins(10);
/// The longest that it waits between two looks.
const NO_CHAT_PAUSE_MAX: Duration = Duration::from_hours(6);
/// Due times that a card and a confirmation name.
const NEXT_SHOWN: usize = 3;

pub(super) use self::{jobs::key_of_file, schedules::Schedules, setting::told, tasks::briefs};

/// A schedule's place among all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Id {
    /// One of a coworker's file: the coworker's id, and the schedule's name.
    File { coworker: String, schedule: String },
    /// One that members set up in a room, by its number.
    Room(OwnedRoomId, u32),
    /// One of an owner's reminders, by its number.
    Reminder(OwnedUserId, u32),
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { .. } => write!(f, "a schedule of a coworker's file"),
            Self::Room(room, _) => write!(f, "schedules of the room {room}"),
            Self::Reminder(owner, _) => write!(f, "reminders of {owner}"),
        }
    }
}

/// When each schedule is due next, and the timer's alarm.
pub(super) struct Timetable {
    calendar: Mutex<Calendar<Id>>,
    changed: tokio::sync::Notify,
    turns: Semaphore,
    /// How often in a row what is due could not be handed in.
    tries: Mutex<HashMap<Id, usize>>,
    /// What is left out because its record is unreadable, as the operator is told of it.
    unreadable: Mutex<BTreeSet<String>>,
}

impl Default for Timetable {
    fn default() -> Self {
        Self {
            calendar: Mutex::default(),
            changed: tokio::sync::Notify::new(),
            turns: Semaphore::new(AT_ONCE_MAX),
            tries: Mutex::default(),
            unreadable: Mutex::default(),
        }
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

    /// Notes when a schedule is due next, unless that has changed from `before` meanwhile.
    fn change(&self, id: &Id, before: Option<Timestamp>, due: Option<Timestamp>) {
        self.lock().change(id, before, due);
        self.changed.notify_one();
    }

    fn unreadable(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.unreadable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when what could not be handed in is tried again, `pause` after so many tries.
    fn again(&self, id: &Id, pause: impl FnOnce(usize) -> Duration) -> Timestamp {
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        let tries = tries.entry(id.clone()).or_default();
        let pause = u64::try_from(pause(*tries).as_millis()).unwrap_or(u64::MAX);
        *tries += 1;
        clock::now().later(pause)
    }

    fn has_ended(&self, id: &Id) {
        self.tries.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

/// Hands in what comes due, until told to stop.
pub(super) async fn keep_timetable(engine: Shared) {
    let loading = engine.schedules.clone();
    let loaded = tokio::task::spawn_blocking(move || loading.load_timetable()).await;
    match loaded {
        Ok(Ok(0)) => {}
        Ok(Ok(count)) => tracing::info!(count, "schedules are loaded"),
        Ok(Err(error)) => tracing::error!(%error, "schedules cannot be read; they work again after a restart"),
        Err(error) => tracing::error!(%error, "schedules cannot be loaded"),
    }
    let checking = engine.schedules.clone();
    engine.tasks.spawn_blocking(move || {
        if let Err(error) = checking.check_timetable() {
            tracing::warn!(%error, "when schedules are due cannot be checked");
        }
    });
    loop {
        let (now, mut due) = (clock::now(), Vec::new());
        let first = {
            let mut calendar = engine.schedules.timetable.lock();
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
            () = engine.schedules.timetable.changed.notified() => {}
            () = sleep => {}
        }
    }
}

impl Engine {
    /// Handles a schedule that is due, and notes when it is due again.
    async fn come_due(self: Shared, id: Id) {
        let Ok(_turn) = self.schedules.timetable.turns.acquire().await else { return };
        let handled = tokio::select! {
            () = self.stop.cancelled() => return,
            handled = caught(Box::pin(self.handle(&id))) => handled,
        };
        let next = match handled {
            Ok(coming::Next::At(next)) => {
                self.schedules.timetable.has_ended(&id);
                next
            }
            // It ends with the schedule's grace.
            Ok(coming::Next::Later) => Some(self.schedules.timetable.again(&id, send_pause)),
            Ok(coming::Next::NoChat) => Some(self.schedules.timetable.again(&id, |tries| {
                doubled(NO_CHAT_PAUSE, NO_CHAT_PAUSE_MAX, u32::try_from(tries).unwrap_or(u32::MAX))
            })),
            Err(EngineError::Store(error)) if !error.is_fatal() => {
                self.schedules.leave_out_unreadable(&id.to_string(), &error);
                None
            }
            Err(error) => {
                tracing::warn!(%error, "a due time cannot be handled yet");
                Some(self.schedules.timetable.again(&id, send_pause))
            }
        };
        self.schedules.timetable.set(&id, next);
    }

    async fn handle(self: &Shared, id: &Id) -> Tried<coming::Next> {
        match id {
            Id::Reminder(owner, number) => Box::pin(self.remind(owner, *number)).await,
            Id::File { .. } | Id::Room(..) => Box::pin(self.hand_in(id)).await,
        }
    }
}

/// The error of what cannot be handled now.
type Tried<T> = Result<T, EngineError>;
