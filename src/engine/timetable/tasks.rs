//! What an assistant does for its owner at set times (A12). A due time becomes a private run, whose request is the notice
//! that announces it: it reads and writes where any run of that assistant does.
//!
//! The notice is noted under the owner's key before its run is recorded, with the moment that is part of the run's key:
//! whoever comes back after a crash finds both again.

use std::{collections::BTreeMap, sync::Arc};

use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};

use super::{
    Tried,
    reminders::{Done, cause_of},
};
use crate::{
    clock,
    core::{
        beginning::{Habit, place_of_answer},
        brief::Brief,
        errand::{Charge, ErrandId, Origin, OriginKind},
        run::RunRecord,
        sealed::Carriage,
        time::Timestamp,
        timetable::Reminder,
        words::timetable as words,
    },
    engine::{
        Engine, Shared,
        beginning::Started,
        records::{AssistantRecord, Tasked},
        word, word_transaction,
    },
    matrix::Account,
    store::StoreError,
};

/// Most due times that are kept with their notices, so that 🔁 on their answers finds the task.
const TASKS_MAX: usize = 50;

impl Engine {
    /// Begins a task that is due in its owner's chat, once.
    pub(super) async fn begin_task(
        self: &Shared,
        account: &Arc<Account>,
        (owner, room): (&OwnedUserId, &OwnedRoomId),
        reminder: &Reminder,
        due: Timestamp,
        is_late: bool,
    ) -> Tried<Done> {
        let is_this = |one: &Tasked| (one.number, &one.cause, one.due) == (reminder.number, &reminder.cause, due);
        let kept = self.tables.assistants.get(owner)?.unwrap_or_default();
        let tasked = if let Some(known) = kept.tasks.iter().find(|one| is_this(one)) {
            known.clone()
        } else {
            let txn = word_transaction("task", &cause_of(owner, reminder, due), account.user());
            let request = account.send(room, &word(&words::task_due(&reminder.text), None), txn).await?;
            let tasked = Tasked {
                number: reminder.number,
                cause: reminder.cause.clone(),
                task: reminder.text.clone(),
                due,
                request,
                at: clock::now(),
            };
            self.note_task(owner, room, &tasked)?;
            self.store.flush().await?;
            tasked
        };
        // Its owner may have ended it, or had everything forgotten, while the notice was sent.
        let still = self.tables.reminders.get(owner)?.unwrap_or_default();
        if still.get(reminder.number).is_none_or(|one| one.cause != reminder.cause)
            || self.errands.is_recorded(&tasked.request, account.user(), tasked.at)?
        {
            return Ok(Done::Yes);
        }
        let place = place_of_answer(&tasked.request, None, None, Habit::Timeline);
        let parts = [owner.as_str(), &reminder.number.to_string(), &due.as_ms().to_string()];
        let record = RunRecord {
            asked_at: due,
            late: is_late,
            private: true,
            came: Carriage::Encrypted,
            zone: self.zones.zone_of_owner(owner).await?.and_then(|zone| zone.name().map(ToOwned::to_owned)),
            errand: Some(Charge {
                id: ErrandId::of(OriginKind::Schedule, &parts),
                origin: origin_of(owner, reminder.number),
                mention: [].into(),
                answer_by: None,
            }),
            ..RunRecord::new(account.user(), room, &tasked.request, owner, place, tasked.at)
        };
        Ok(if self.start_run(record, None, None)? == Started::TooManyWait { Done::Busy } else { Done::Yes })
    }

    /// Notes a due time under its owner's key, in case its room is still their chat.
    fn note_task(&self, owner: &OwnedUserId, room: &OwnedRoomId, tasked: &Tasked) -> Result<(), StoreError> {
        self.tables.assistants.update(owner, |kept: Option<AssistantRecord>| {
            let mut kept = kept?;
            if kept.room.as_ref() == Some(room) {
                kept.tasks.push(tasked.clone());
                let surplus = kept.tasks.len().saturating_sub(TASKS_MAX);
                kept.tasks.drain(..surplus);
            }
            Some(kept)
        })?;
        Ok(())
    }
}

/// Returns what the model is told in place of the notices of an owner's tasks.
pub(in crate::engine) fn briefs(owner: &OwnedUserId, kept: &AssistantRecord) -> BTreeMap<OwnedEventId, Brief> {
    let brief = |one: &Tasked| Brief {
        origin: origin_of(owner, one.number),
        task: one.task.clone(),
        payload: None,
        payload_cut: false,
        due_at: one.due,
    };
    kept.tasks.iter().map(|one| (one.request.clone(), brief(one))).collect()
}

fn origin_of(owner: &OwnedUserId, number: u32) -> Origin {
    Origin { kind: OriginKind::Schedule, name: words::numbered(number), set_by: Some(owner.clone()) }
}
