//! What is due next at a start. It is read from the records, where it was noted when the last due time was handled: to
//! work it out anew for thousands of rules would take seconds.
//!
//! An unreadable record leaves out what it is about, and nothing else.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use ruma::RoomId;

use super::{
    Id,
    jobs::{self, Job, job_of_room, key_of_room},
    schedules::Schedules,
};
use crate::{
    appservice::health::{Condition, State},
    clock,
    config::{Config, Coworker, Schedule},
    core::{
        time::Timestamp,
        timetable::{Handled, RoomSchedule, RoomSchedules, next_due},
    },
    store::StoreError,
};

/// Most unreadable records that readiness names.
const NAMED_MAX: usize = 5;

/// What is known of how far each schedule has come, by its key.
type Known = HashMap<String, Kept>;

/// A record of how far a schedule has come.
enum Kept {
    Readable(Handled),
    Unreadable,
}

impl Schedules {
    /// Notes for each schedule when it is due next, and returns how many there are. A new one begins now.
    pub(super) fn load_timetable(&self) -> Result<usize, StoreError> {
        let now = clock::now();
        let mut known = self.load_handled()?;
        for of in &self.runtime.config().coworkers {
            for one in &of.schedules {
                let id = id_of_file(of, one);
                let handled = known.remove(&jobs::key_of_file(&of.id.0, &one.name));
                let reads = jobs::reads_in_file(one);
                self.load(&id, handled, &reads, now, || Some(self.job_of_file(of, one)));
            }
        }
        for kept in self.runtime.tables.schedules.each() {
            let (room, schedules) = kept?;
            match schedules {
                Ok(schedules) => self.load_room(&room, &schedules, &mut known, now),
                Err(error) => self.leave_out_unreadable(&format!("schedules of the room {room}"), &error),
            }
        }
        self.load_reminders(now)?;
        // What is left belongs to no schedule any more.
        for (key, kept) in known {
            if matches!(kept, Kept::Readable(_)) && self.is_of_nothing(&key) {
                self.runtime.tables.timetable.remove(&key)?;
            }
        }
        Ok(self.timetable.lock().len())
    }

    /// Goes on with the schedules of the config in use: what it has no more, or says otherwise, is noted anew, and so are
    /// members' schedules for coworkers that are new.
    pub(in crate::engine) fn follow_timetable(&self, before: &Config) -> Result<(), StoreError> {
        let (now, config) = (clock::now(), self.runtime.config());
        let reads = |config: &Config| -> BTreeMap<Id, String> {
            let all = config.coworkers.iter().flat_map(|of| of.schedules.iter().map(move |one| (of, one)));
            all.map(|(of, one)| (id_of_file(of, one), jobs::reads_in_file(one))).collect()
        };
        let (were, are) = (reads(before), reads(&config));
        let mut known = self.load_handled()?;
        for id in were.keys().filter(|id| !are.contains_key(*id)) {
            if let Id::File { coworker, schedule } = id {
                self.timetable.set(id, None);
                self.runtime.tables.timetable.remove(&jobs::key_of_file(coworker, schedule))?;
            }
        }
        for of in &config.coworkers {
            for one in &of.schedules {
                let (id, reads) = (id_of_file(of, one), jobs::reads_in_file(one));
                if were.get(&id) != Some(&reads) {
                    let handled = known.remove(&jobs::key_of_file(&of.id.0, &one.name));
                    self.load(&id, handled, &reads, now, || Some(self.job_of_file(of, one)));
                }
            }
        }
        let had = |user: &ruma::UserId| before.coworkers.iter().any(|of| self.runtime.coworker_user(of) == user);
        for kept in self.runtime.tables.schedules.each() {
            let (room, Ok(schedules)) = kept? else { continue };
            for schedule in schedules.list() {
                let id = Id::Room(room.clone(), schedule.number);
                match (had(&schedule.user), self.runtime.coworker(&schedule.user).is_some()) {
                    (true, false) => self.timetable.set(&id, None),
                    (false, true) => {
                        let handled = known.remove(&key_of_room(&room, schedule));
                        self.load(&id, handled, &schedule.said, now, || job_of_room(&room, schedule));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn load_handled(&self) -> Result<Known, StoreError> {
        let mut known = Known::new();
        for kept in self.runtime.tables.timetable.each() {
            let (key, handled) = kept?;
            let handled = handled
                .inspect_err(|error| self.leave_out_unreadable(&format!("a schedule ({})", jobs::shown(&key)), error));
            known.insert(key, handled.map_or(Kept::Unreadable, Kept::Readable));
        }
        Ok(known)
    }

    fn load_room(&self, room: &RoomId, schedules: &RoomSchedules, known: &mut Known, now: Timestamp) {
        for schedule in schedules.list() {
            let handled = known.remove(&key_of_room(room, schedule));
            // Who is left out for a fault of their file comes back with it.
            if self.runtime.coworker(&schedule.user).is_some() {
                let id = Id::Room(room.to_owned(), schedule.number);
                self.load(&id, handled, &schedule.said, now, || job_of_room(room, schedule));
            }
        }
    }

    /// Notes when a schedule is due next, by what is known of it.
    fn load(&self, id: &Id, kept: Option<Kept>, reads: &str, now: Timestamp, job: impl FnOnce() -> Option<Job>) {
        let handled = match kept {
            Some(Kept::Readable(handled)) => Some(handled),
            // It is left out.
            Some(Kept::Unreadable) => return,
            None => None,
        };
        let due = match handled.as_ref().and_then(|handled| handled.next_noted(reads, now)) {
            Some(next) => Some(next),
            None => match job().map(|job| self.begin(id, handled, &job, now)) {
                None => return,
                Some(Ok(due)) => due,
                Some(Err(error)) => return self.leave_out_unreadable(&id.to_string(), &error),
            },
        };
        self.timetable.set(id, due);
    }

    /// Notes when a schedule that a member set up is due next.
    pub(super) fn set_due_in(&self, room: &RoomId, schedule: &RoomSchedule, now: Timestamp) -> Result<(), StoreError> {
        let Some(job) = job_of_room(room, schedule) else { return Ok(()) };
        let id = Id::Room(room.to_owned(), schedule.number);
        let handled = self.runtime.tables.timetable.get(&job.key)?;
        let due = self.begin(&id, handled, &job, now)?;
        self.timetable.set(&id, due);
        Ok(())
    }

    /// Works out when a schedule is due next, and notes it. One that is new, or that says another time than before,
    /// begins now; one of a room that never comes again is forgotten.
    fn begin(
        &self,
        id: &Id,
        handled: Option<Handled>,
        job: &Job,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        let (until, rooms) = match handled {
            Some(kept) if kept.said == job.reads => (kept.until, kept.rooms),
            // What happened in the rooms is true whatever was changed.
            changed => (now, changed.map_or_else(BTreeMap::new, |kept| kept.rooms)),
        };
        let next = next_due(&job.rule, until, now);
        self.runtime.tables.timetable.put(&job.key, &Handled { until, said: job.reads.clone(), next, rooms })?;
        match (id, next) {
            (Id::Room(room, number), None) => {
                self.forget_schedule(room, *number)?;
            }
            (_, None) => tracing::debug!(schedule = job.name, "a schedule has no due time any more"),
            (_, Some(_)) => {}
        }
        Ok(next)
    }

    /// Works out anew when each schedule is due next, behind the start: a country may have changed its clocks since it
    /// was noted.
    pub(super) fn check_timetable(self: &Arc<Self>) -> Result<(), StoreError> {
        let ids = self.timetable.lock().ids();
        for id in ids {
            if self.runtime.stop.is_cancelled() {
                break;
            }
            let Some(job) = self.job(&id)? else { continue };
            let Some(handled): Option<Handled> = self.runtime.tables.timetable.get(&job.key)? else { continue };
            let next = next_due(&job.rule, handled.until, clock::now());
            if next != handled.next {
                self.timetable.change(&id, handled.next, next);
            }
        }
        Ok(())
    }

    /// Leaves out what an unreadable record is about: the log and readiness name it.
    pub(super) fn leave_out_unreadable(&self, what: &str, error: &StoreError) {
        tracing::error!(%error, "{what}: unreadable, and left out");
        let told = {
            let mut all = self.timetable.unreadable();
            all.insert(what.to_owned());
            let named: Vec<&str> = all.iter().take(NAMED_MAX).map(String::as_str).collect();
            format!("{} unreadable and left out: {}\n  Mend: see the log", all.len(), named.join("; "))
        };
        self.runtime.health.set(Condition::Schedules, State::Waiting(told));
    }

    /// Returns whether what is known of a schedule is of no use any more: no file and no room has it. What belongs to a
    /// coworker whose file is left out for a fault stays.
    fn is_of_nothing(&self, key: &str) -> bool {
        if let Some((coworker, _)) = jobs::parts_of_file_key(key) {
            return !self.runtime.config().left_out_ids().iter().any(|id| id == coworker);
        }
        let Some(room) = jobs::room_of_key(key) else { return true };
        // An unreadable room's stay, for the operator who repairs the store.
        let Ok(schedules) = self.runtime.tables.schedules.get(&room) else { return false };
        let schedules = schedules.unwrap_or_default();
        !schedules.list().iter().any(|schedule| key_of_room(&room, schedule) == key)
    }
}

fn id_of_file(of: &Coworker, one: &Schedule) -> Id {
    Id::File { coworker: of.id.0.clone(), schedule: one.name.clone() }
}

#[cfg(test)]
mod tests;
