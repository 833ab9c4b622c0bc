//! Schedules that members set up in a room (C20): added by a tool that somebody approves, listed and ended by commands.

use ruma::{OwnedRoomId, RoomId, UserId};
use serde_json::{Map, Value};

use super::{
    Id, NEXT_SHOWN,
    jobs::{Job, job_of_room, key_of_room},
    schedules::Schedules,
};
use crate::{
    clock,
    config::Coworker,
    core::{
        approval::Pending,
        event::RoomEvent,
        room_tools::{NewWork, RoomTool},
        run::{RunId, RunRecord},
        time::Timestamp,
        timetable::{
            self, Asked, Handled, Meant, NewSchedule, Progress, Reading, RoomSchedule, RoomSchedules, Rule, When,
            check_reminder,
        },
        tool::MODERATOR_LEVEL,
        words::timetable as words,
        zone::Zone,
    },
    engine::{EngineError, toolsets::TASK_TOOL},
    matrix::Account,
    store::StoreError,
};

impl Schedules {
    /// Returns what a call that waits for approval means, where its arguments alone do not say it: when the work that
    /// it sets up would be due, in the time zone of who asks.
    pub(in crate::engine) fn meaning_of(record: &RunRecord, pending: &Pending) -> Option<String> {
        if pending.tool.as_str() == TASK_TOOL && record.owner().is_some() {
            return Some(Self::meaning_of_task(record, pending));
        }
        if pending.tool.as_str() != RoomTool::ScheduleAdd.name() {
            return None;
        }
        // A card may be open for days; what it shows is what is set up.
        let (now, read_at) = (clock::now(), record.accepted_at);
        let looked = NewWork::parse(&pending.arguments).map_err(|error| error.to_string()).and_then(|new| {
            let zone = zone_of(&new, record);
            let meant =
                When::parse(&new.when, &Reading { zone: &zone, now: read_at }).map_err(|error| error.to_string())?;
            let checked = timetable::check(&meant.when, &meant.zone, &new.task, now);
            let rule = checked.map_err(|error| error.to_string())?;
            Ok((rule, new.answer_within_hours))
        });
        Some(match looked {
            Ok((rule, within)) => {
                words::would_be_due(&rule.next(now, NEXT_SHOWN), within, readers_zone(&record.zone(), &rule))
            }
            Err(why) => words::cannot_be_set(&why),
        })
    }

    /// Sets up work in a run's room, as its tool asks. The inner error says why not.
    pub(in crate::engine) async fn add_schedule(
        &self,
        (record, id, call): (&RunRecord, &RunId, &str),
        new: &NewWork,
    ) -> Result<Result<(RoomSchedule, Vec<Timestamp>), String>, EngineError> {
        if !self.runtime.namespace().who(&record.asker).is_person() {
            return Ok(Err("only a person who asks for it can set up a schedule".to_owned()));
        }
        let (now, zone) = (clock::now(), zone_of(new, record));
        let Meant { when, zone, .. } = match When::parse(&new.when, &Reading { zone: &zone, now: record.accepted_at }) {
            Ok(meant) => meant,
            Err(why) => return Ok(Err(why.to_string())),
        };
        let task = self.toolsets.tools.mask().hide(&new.task);
        // Tomorrow, `tomorrow at ten` would say another day.
        let said = match &when {
            When::At(at) => zone.day(*at),
            When::Cron(_) => new.when.clone(),
        };
        let wording = id.wording(record.restarts);
        let cause = format!("{wording}|{call}");
        let wanted = NewSchedule {
            user: &record.user,
            set_by: &record.asker,
            said: &said,
            when,
            zone: &zone,
            task: &task,
            only_if_new_messages: new.only_if_new_messages,
            mention: new.mention,
            answer_within_hours: new.answer_within_hours,
            cause: &cause,
        };
        let counts = self.schedules_in_all_rooms(&record.user, &record.asker)?;
        let mut added = None;
        self.runtime.tables.schedules.update(&record.room, |kept: Option<RoomSchedules>| {
            let mut kept = kept.unwrap_or_default();
            added = Some(kept.add(&wanted, counts, now));
            Some(kept)
        })?;
        let added = match added {
            Some(Ok(added)) => added,
            Some(Err(why)) => return Ok(Err(why.to_string())),
            None => return Ok(Err("it was not stored".to_owned())),
        };
        self.set_due_in(&record.room, &added, now)?;
        // What the request said before an edit is not wanted any more.
        self.forget_schedules(&record.room, |kept| kept.replace(id.as_str(), &wording))?;
        self.runtime.store.flush().await?;
        tracing::info!(room.id = %record.room, user.id = %record.user, number = added.number, "a schedule is set up");
        let next = added.rule().map(|rule| rule.next(now, NEXT_SHOWN)).unwrap_or_default();
        Ok(Ok((added, next)))
    }

    fn schedules_in_all_rooms(&self, coworker: &UserId, person: &UserId) -> Result<timetable::Counts, StoreError> {
        let mut counts = timetable::Counts::default();
        for kept in self.runtime.tables.schedules.iter() {
            counts.add(&kept?.1, coworker, person);
        }
        Ok(counts)
    }

    /// Lists what works in a room at set times: the coworker's file first, then what members set up.
    pub(in crate::engine) async fn list_schedules(
        &self,
        coworker: &Coworker,
        room: &RoomId,
        zone: &Zone,
    ) -> Result<String, EngineError> {
        let mut lines = Vec::new();
        for schedule in &coworker.schedules {
            if self.bindings.is_among(room, &schedule.rooms).await? {
                lines.push(self.line_of(&self.job_of_file(coworker, schedule), room, None, zone)?);
            }
        }
        let mut ended = None;
        for schedule in self.runtime.tables.schedules.get(&room.to_owned())?.unwrap_or_default().list() {
            if let Some(job) = job_of_room(room, schedule) {
                lines.push(self.line_of(&job, room, Some(schedule.number), zone)?);
                ended.get_or_insert(schedule.number);
            }
        }
        Ok(words::schedules(&lines, ended, &coworker.id.0))
    }

    fn line_of(&self, job: &Job, room: &RoomId, number: Option<u32>, zone: &Zone) -> Result<String, EngineError> {
        let handled: Option<Handled> = self.runtime.tables.timetable.get(&job.key)?;
        let progress: Progress = handled.as_ref().and_then(|kept| kept.rooms.get(room)).cloned().unwrap_or_default();
        let now = clock::now();
        let next = timetable::next_due(&job.rule, handled.map_or(now, |kept| kept.until), now);
        let shown_in = readers_zone(zone, &job.rule);
        let told = words::Listed {
            number,
            name: &job.name,
            said: job.rule.repeats().then_some(&*job.said),
            zone: job.rule.zone().name().filter(|theirs| shown_in.name() != Some(theirs)),
            task: number.map(|_| &*job.task),
            set_by: job.set_by.as_deref(),
            next,
            within_hours: job.answer_within_hours,
        };
        Ok(words::schedule_line(&told, &progress, shown_in))
    }

    /// Ends a schedule of the room, if whoever asks may.
    pub(in crate::engine) async fn end_schedule(
        &self,
        account: &Account,
        event: &RoomEvent,
        number: u32,
    ) -> Result<String, EngineError> {
        let (room, who) = (&event.room, &event.sender);
        let kept = self.runtime.tables.schedules.get(room)?.unwrap_or_default();
        let Some(schedule) = kept.get(number) else { return Ok(words::no_such_schedule(number)) };
        let level = account.level_at(room, &event.id, who).await?;
        let is_moderator = level.is_some_and(|level| level >= MODERATOR_LEVEL);
        if !timetable::may_end(schedule, who, is_moderator, self.runtime.config().workspace.admins.contains(who)) {
            return Ok(words::not_yours_to_end(number));
        }
        self.forget_schedule(room, number)?;
        self.runtime.store.flush().await?;
        tracing::info!(room.id = %room, number, "a schedule is ended");
        Ok(words::schedule_ended(number))
    }

    /// Ends what members set up for a coworker that is not in the room any more.
    pub(in crate::engine) fn end_schedules_of(&self, room: &RoomId, user: &UserId) -> Result<(), StoreError> {
        if self.runtime.tables.schedules.get(&room.to_owned())?.is_none() {
            return Ok(());
        }
        self.forget_schedules(room, |schedules| schedules.remove_of(user))
    }

    /// Moves what members set up to the room that replaces theirs (C18), with how far it has come. A crash in between
    /// leaves some in both, and the next call moves the rest.
    pub(in crate::engine) fn carry_schedules(&self, old: &OwnedRoomId, new: &OwnedRoomId) -> Result<(), StoreError> {
        let Some(kept) = self.runtime.tables.schedules.get(old)? else { return Ok(()) };
        let mut there = self.runtime.tables.schedules.get(new)?.unwrap_or_default();
        for (was, is) in there.take_over(&kept) {
            let Some(mut handled): Option<Handled> = self.runtime.tables.timetable.get(&key_of_room(old, &was))? else {
                continue;
            };
            handled.rooms = handled.rooms.remove(old).map(|progress| (new.clone(), progress)).into_iter().collect();
            self.runtime.tables.timetable.put(&key_of_room(new, &is), &handled)?;
        }
        let there = self.runtime.tables.schedules.update(new, |there: Option<RoomSchedules>| {
            let mut there = there.unwrap_or_default();
            there.take_over(&kept);
            Some(there)
        })?;
        let now = clock::now();
        for schedule in there.unwrap_or_default().list() {
            self.set_due_in(new, schedule, now)?;
        }
        self.forget_schedules(old, |schedules| std::mem::take(schedules).list().to_vec())
    }

    /// Ends one schedule of a room.
    pub(super) fn forget_schedule(&self, room: &RoomId, number: u32) -> Result<(), StoreError> {
        self.forget_schedules(room, |schedules| schedules.remove(number).into_iter().collect())
    }

    fn forget_schedules(
        &self,
        room: &RoomId,
        which: impl FnOnce(&mut RoomSchedules) -> Vec<RoomSchedule>,
    ) -> Result<(), StoreError> {
        let mut gone = Vec::new();
        self.runtime.tables.schedules.update(&room.to_owned(), |kept: Option<RoomSchedules>| {
            let mut kept = kept?;
            gone = which(&mut kept);
            // Numbers are not used again while there are others.
            (!kept.list().is_empty()).then_some(kept)
        })?;
        for schedule in gone {
            let id = Id::Room(room.to_owned(), schedule.number);
            self.timetable.set(&id, None);
            self.runtime.tables.timetable.remove(&key_of_room(room, &schedule))?;
        }
        Ok(())
    }

    /// Returns what a card says beside a call that sets up a task: when it would be due, in the owner's time zone.
    pub(super) fn meaning_of_task(record: &RunRecord, pending: &Pending) -> String {
        let text = |name: &str| pending.arguments.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
        let (when, task, zone) = (text("when"), text("task"), record.zone());
        let read = |reading: &Reading<'_>| Asked::of(when, task, true, reading);
        let (now, read_at) = (clock::now(), record.accepted_at);
        let asked = match read(&Reading { zone: &zone, now: read_at }) {
            Ok(_) if record.zone.is_none() && !Asked::is_same_everywhere(read, read_at) => {
                return words::which_zone();
            }
            asked => asked,
        };
        match asked.and_then(|asked| check_reminder(&asked, &zone, now)) {
            Ok(rule) => words::would_be_due(&rule.next(now, NEXT_SHOWN), None, &zone),
            Err(why) => words::cannot_be_set(&why.to_string()),
        }
    }
}

/// Returns the zone that somebody reads times in: theirs, or where that is not known the schedule's own.
fn readers_zone<'z>(theirs: &'z Zone, rule: &'z Rule) -> &'z Zone {
    if theirs.name().is_some() { theirs } else { rule.zone() }
}

/// Returns the zone of what is to be set up: the one that it names, or that of who asks.
fn zone_of(new: &NewWork, record: &RunRecord) -> Zone {
    new.zone.as_deref().and_then(Zone::named).unwrap_or_else(|| record.zone())
}

/// Returns what the model is told of what it set up.
pub(in crate::engine) fn told(added: &RoomSchedule, next: &[Timestamp], zone: &Zone) -> Map<String, Value> {
    let times: Vec<Value> = next.iter().map(|at| Value::from(zone.day(*at))).collect();
    [("number".to_owned(), Value::from(added.number)), ("next".to_owned(), Value::from(times))].into_iter().collect()
}
