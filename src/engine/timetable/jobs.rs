//! A schedule as the timer sees it, wherever it was set up.

use std::collections::BTreeSet;

use ruma::{OwnedRoomId, OwnedRoomOrAliasId, OwnedUserId, RoomId};

use super::{Id, schedules::Schedules};
use crate::{
    config::{Coworker, Schedule},
    core::{
        id,
        timetable::{RoomSchedule, Rule},
        words,
    },
    store::StoreError,
};

/// Stands between the parts of a key; no id and no name on one line holds it.
const BETWEEN: char = '\n';
const OF_FILE: &str = "file";
const OF_ROOM: &str = "room";
/// How late a schedule that a member set up may run, in milliseconds: an hour.
const GRACE_OF_ROOM_MS: u64 = 60 * 60 * 1_000;

/// A schedule, wherever it was set up.
pub(super) struct Job {
    /// Its key in the store, and the part of its errands' ids that is its own.
    pub(super) key: String,
    /// The coworker.
    pub(super) user: OwnedUserId,
    /// Its name for people.
    pub(super) name: String,
    /// When it is due, as it was said.
    pub(super) said: String,
    /// The same with its zone: another text means other times.
    pub(super) reads: String,
    /// When it is due.
    pub(super) rule: Rule,
    /// Where.
    pub(super) rooms: Vec<OwnedRoomOrAliasId>,
    /// What is to be done.
    pub(super) task: String,
    /// Whether it stays silent where nothing new was said.
    pub(super) only_if_new_messages: bool,
    /// Whom its answers mention.
    pub(super) mention: BTreeSet<OwnedUserId>,
    /// How late it may run.
    pub(super) grace_ms: u64,
    /// How many hours the answer may take, if it may wait.
    pub(super) answer_within_hours: Option<u32>,
    /// The member who set it up; `None` for the operator.
    pub(super) set_by: Option<OwnedUserId>,
}

impl Schedules {
    /// Returns a schedule; `None` if it is gone.
    pub(super) fn job(&self, id: &Id) -> Result<Option<Job>, StoreError> {
        match id {
            Id::File { coworker, schedule } => {
                let config = self.runtime.config();
                let of = config.coworkers.iter().find(|of| of.id.0 == *coworker);
                let one = of.and_then(|of| Some((of, of.schedules.iter().find(|one| one.name == *schedule)?)));
                Ok(one.map(|(of, one)| self.job_of_file(of, one)))
            }
            Id::Room(room, number) => {
                let kept = self.runtime.tables.schedules.get(room)?.unwrap_or_default();
                Ok(kept.get(*number).and_then(|schedule| job_of_room(room, schedule)))
            }
            Id::Reminder(..) => Ok(None),
        }
    }

    /// Returns a schedule of a coworker's file.
    pub(super) fn job_of_file(&self, coworker: &Coworker, schedule: &Schedule) -> Job {
        Job {
            key: key_of_file(&coworker.id.0, &schedule.name),
            user: self.runtime.coworker_user(coworker),
            name: schedule.name.clone(),
            said: schedule.said.clone(),
            reads: reads_in_file(schedule),
            rule: schedule.rule.clone(),
            rooms: schedule.rooms.clone(),
            task: schedule.task.clone(),
            only_if_new_messages: schedule.only_if_new_messages,
            mention: schedule.mention.clone(),
            grace_ms: schedule.grace_ms(),
            answer_within_hours: schedule.answer_within_hours,
            set_by: None,
        }
    }
}

/// Returns a schedule that a member set up; `None` if what is stored is unreadable.
pub(super) fn job_of_room(room: &RoomId, schedule: &RoomSchedule) -> Option<Job> {
    let rule =
        schedule.rule().inspect_err(|error| tracing::error!(room.id = %room, %error, "a schedule is unreadable"));
    Some(Job {
        key: key_of_room(room, schedule),
        user: schedule.user.clone(),
        name: words::timetable::numbered(schedule.number),
        said: schedule.said.clone(),
        reads: schedule.said.clone(),
        rule: rule.ok()?,
        rooms: vec![room.to_owned().into()],
        task: schedule.task.clone(),
        only_if_new_messages: schedule.only_if_new_messages,
        mention: schedule.mention.then(|| schedule.set_by.clone()).into_iter().collect(),
        grace_ms: GRACE_OF_ROOM_MS,
        answer_within_hours: schedule.answer_within_hours,
        set_by: Some(schedule.set_by.clone()),
    })
}

/// Returns the key of a schedule of a coworker's file.
pub(in crate::engine) fn key_of_file(coworker: &str, name: &str) -> String {
    [OF_FILE, coworker, name].join(&BETWEEN.to_string())
}

/// Returns when a schedule of a file is due, with its zone, as it is written there.
pub(super) fn reads_in_file(schedule: &Schedule) -> String {
    format!("{} {}", schedule.said, schedule.rule.zone().name().unwrap_or_default())
}

/// Returns the room in the key of a schedule that a member set up.
pub(super) fn room_of_key(key: &str) -> Option<OwnedRoomId> {
    let (room, _) = key.strip_prefix(OF_ROOM)?.strip_prefix(BETWEEN)?.split_once(BETWEEN)?;
    id::room(room)
}

/// Returns a key on one line, without the call that set it up.
pub(super) fn shown(key: &str) -> String {
    key.split(BETWEEN).take(3).collect::<Vec<_>>().join(" ")
}

/// Returns the key of a schedule that a member set up.
pub(super) fn key_of_room(room: &RoomId, schedule: &RoomSchedule) -> String {
    [OF_ROOM, room.as_str(), &schedule.number.to_string(), &schedule.cause].join(&BETWEEN.to_string())
}

/// Returns the coworker's id and the schedule's name in the key of a file's schedule.
pub(super) fn parts_of_file_key(key: &str) -> Option<(&str, &str)> {
    key.strip_prefix(OF_FILE)?.strip_prefix(BETWEEN)?.split_once(BETWEEN)
}
