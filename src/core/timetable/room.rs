//! The schedules that members set up in a room, each under a permanent number, as notes are (C20).

use ruma::{OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use super::{
    phrase::TEXT_CHARS_MAX,
    reminder::is_of,
    when::{EVERY_MS_MIN, Rule, When, WhenError},
};
use crate::core::{time::Timestamp, zone::Zone};

/// Most schedules in a room.
pub(super) const SCHEDULES_OF_ROOM_MAX: usize = 20;
/// Most schedules of a coworker that members set up, in all rooms.
pub(super) const SCHEDULES_OF_COWORKER_MAX: usize = 500;
/// Most schedules that one person has set up, with all coworkers in all rooms.
pub(super) const SCHEDULES_OF_PERSON_MAX: usize = 50;
/// Most characters of a task.
pub(crate) const TASK_CHARS_MAX: usize = 2_000;

/// A schedule that a member set up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RoomSchedule {
    /// Its number, from 1; not used again while the room has schedules.
    pub number: u32,
    /// The coworker that works.
    pub user: OwnedUserId,
    /// Who set it up.
    pub set_by: OwnedUserId,
    /// When it is due, as it was said.
    pub said: String,
    /// When it is due.
    pub when: When,
    /// The IANA zone whose wall clock counts; UTC if none.
    #[serde(default)]
    pub zone: Option<String>,
    /// What is to be done.
    pub task: String,
    /// Whether it runs only if something new was said.
    #[serde(default)]
    pub only_if_new_messages: bool,
    /// Whether the answer mentions who set it up.
    #[serde(default)]
    pub mention: bool,
    /// How many hours the answer may take, if what it asks first goes as a batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_within_hours: Option<u32>,
    /// When it was set up.
    pub at: Timestamp,
    /// The call that set it up; the same call sets up no second one.
    #[serde(default)]
    pub cause: String,
}

impl RoomSchedule {
    /// Returns its rule.
    ///
    /// # Errors
    /// If the stored expression is not understood any more.
    pub(crate) fn rule(&self) -> Result<Rule, WhenError> {
        Rule::of(&self.when, &Zone::stored(self.zone.as_deref()))
    }
}

/// A room's schedules, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RoomSchedules {
    #[serde(default)]
    schedules: Vec<RoomSchedule>,
    /// The highest number given out.
    #[serde(default)]
    last: u32,
}

/// A schedule to be added.
#[derive(Clone, Debug)]
pub(crate) struct NewSchedule<'a> {
    /// See [`RoomSchedule::user`].
    pub user: &'a UserId,
    /// See [`RoomSchedule::set_by`].
    pub set_by: &'a UserId,
    /// See [`RoomSchedule::said`].
    pub said: &'a str,
    /// See [`RoomSchedule::when`].
    pub when: When,
    /// The zone whose wall clock counts.
    pub zone: &'a Zone,
    /// See [`RoomSchedule::task`].
    pub task: &'a str,
    /// See [`RoomSchedule::only_if_new_messages`].
    pub only_if_new_messages: bool,
    /// See [`RoomSchedule::mention`].
    pub mention: bool,
    /// See [`RoomSchedule::answer_within_hours`].
    pub answer_within_hours: Option<u32>,
    /// See [`RoomSchedule::cause`].
    pub cause: &'a str,
}

/// Why a schedule is not added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AddError {
    /// The time is not understood, or never comes.
    #[error("{0}")]
    When(#[from] WhenError),
    /// There is no task.
    #[error("say what is to be done")]
    NoTask,
    /// The task is too long.
    #[error("the task has at most {TASK_CHARS_MAX} characters")]
    LongTask,
    /// It would be due too often.
    #[error("it would be due more often than every {} minutes, which only the operator can set up", EVERY_MS_MIN / 60_000)]
    TooOften,
    /// The room has as many as it may.
    #[error("this room has {SCHEDULES_OF_ROOM_MAX} schedules, which is the most; end one with `!unschedule` first")]
    RoomFull,
    /// The coworker has as many as it may.
    #[error("this coworker has {SCHEDULES_OF_COWORKER_MAX} schedules, which is the most")]
    CoworkerFull,
    /// The person has set up as many as they may.
    #[error(
        "whoever asks has set up {SCHEDULES_OF_PERSON_MAX} schedules in all rooms, which is the most for one person; \
         `!unschedule` ends one, in the room that has it"
    )]
    PersonFull,
}

/// How many schedules there are in all rooms already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Those of the coworker.
    pub of_coworker: usize,
    /// Those that the person has set up.
    pub of_person: usize,
}

impl Counts {
    /// Counts those of a room, too.
    pub(crate) fn add(&mut self, room: &RoomSchedules, coworker: &UserId, person: &UserId) {
        self.of_coworker += room.schedules.iter().filter(|one| one.user == coworker).count();
        self.of_person += room.schedules.iter().filter(|one| one.set_by == person).count();
    }
}

impl RoomSchedules {
    /// Returns the schedules, oldest first.
    #[must_use]
    pub(crate) fn list(&self) -> &[RoomSchedule] {
        &self.schedules
    }

    /// Returns the schedule with this number.
    #[must_use]
    pub(crate) fn get(&self, number: u32) -> Option<&RoomSchedule> {
        self.schedules.iter().find(|schedule| schedule.number == number)
    }

    /// Adds a schedule and returns it; the existing one if the cause is known. `counts` are those of all rooms.
    ///
    /// # Errors
    /// [`AddError`]; nothing is changed then.
    pub(crate) fn add(
        &mut self,
        new: &NewSchedule<'_>,
        counts: Counts,
        now: Timestamp,
    ) -> Result<RoomSchedule, AddError> {
        if let Some(known) = self.schedules.iter().find(|known| !new.cause.is_empty() && known.cause == new.cause) {
            return Ok(known.clone());
        }
        check(&new.when, new.zone, new.task, now)?;
        if self.schedules.len() >= SCHEDULES_OF_ROOM_MAX {
            return Err(AddError::RoomFull);
        }
        if counts.of_person >= SCHEDULES_OF_PERSON_MAX {
            return Err(AddError::PersonFull);
        }
        if counts.of_coworker >= SCHEDULES_OF_COWORKER_MAX {
            return Err(AddError::CoworkerFull);
        }
        self.last = self.last.saturating_add(1);
        let added = RoomSchedule {
            number: self.last,
            user: new.user.to_owned(),
            set_by: new.set_by.to_owned(),
            said: new.said.chars().take(TEXT_CHARS_MAX).collect(),
            when: new.when.clone(),
            zone: new.zone.name().map(ToOwned::to_owned),
            task: new.task.trim().to_owned(),
            only_if_new_messages: new.only_if_new_messages,
            mention: new.mention,
            answer_within_hours: new.answer_within_hours,
            at: now,
            cause: new.cause.to_owned(),
        };
        self.schedules.push(added.clone());
        Ok(added)
    }

    /// Takes over the schedules of a room that this one replaces, under new numbers where theirs are taken. Those that
    /// were taken over before, by the calls that set them up, are not taken again. Returns each as it was and as it is.
    pub(crate) fn take_over(&mut self, old: &Self) -> Vec<(RoomSchedule, RoomSchedule)> {
        let mut taken = Vec::new();
        for one in &old.schedules {
            if self.schedules.iter().any(|known| !one.cause.is_empty() && known.cause == one.cause) {
                continue;
            }
            let number = if self.get(one.number).is_none() { one.number } else { self.last.saturating_add(1) };
            self.last = self.last.max(number);
            let new = RoomSchedule { number, ..one.clone() };
            self.schedules.push(new.clone());
            taken.push((one.clone(), new));
        }
        self.last = self.last.max(old.last);
        taken
    }

    /// Removes the schedule with this number and returns it.
    pub(crate) fn remove(&mut self, number: u32) -> Option<RoomSchedule> {
        let at = self.schedules.iter().position(|schedule| schedule.number == number)?;
        Some(self.schedules.remove(at))
    }

    /// Removes what earlier wordings of a request set up, and returns it; see [`super::Reminders::replace`].
    pub(crate) fn replace(&mut self, request: &str, wording: &str) -> Vec<RoomSchedule> {
        let is_old = |one: &RoomSchedule| is_of(&one.cause, request) && !is_of(&one.cause, wording);
        let (old, others) = std::mem::take(&mut self.schedules).into_iter().partition(is_old);
        self.schedules = others;
        old
    }

    /// Removes every schedule of a coworker and returns them.
    pub(crate) fn remove_of(&mut self, user: &UserId) -> Vec<RoomSchedule> {
        let (theirs, others) = std::mem::take(&mut self.schedules).into_iter().partition(|one| one.user == user);
        self.schedules = others;
        theirs
    }
}

/// Checks what a member wants to set up, and returns when it would be due.
///
/// # Errors
/// [`AddError`].
pub(crate) fn check(when: &When, zone: &Zone, task: &str, now: Timestamp) -> Result<Rule, AddError> {
    if task.trim().is_empty() {
        return Err(AddError::NoTask);
    }
    if task.chars().count() > TASK_CHARS_MAX {
        return Err(AddError::LongTask);
    }
    let rule = Rule::of(when, zone)?;
    if rule.is_too_often(now)? { Err(AddError::TooOften) } else { Ok(rule) }
}

/// Returns whether a member may end a schedule: who set it up, a moderator of the room, or an admin of the workspace.
#[must_use]
pub(crate) fn may_end(schedule: &RoomSchedule, who: &UserId, is_moderator: bool, is_admin: bool) -> bool {
    schedule.set_by == who || is_moderator || is_admin
}
