//! Reminders (A12): the owner's commands, and the message that comes when one is due, once.

use ruma::{EventId, UserId};
use serde_json::{Map, Value, json};

use super::{Id, schedules::Schedules};
use crate::{
    clock,
    core::{
        command::Reminding,
        event::{EventKind, RoomEvent},
        run::{RunId, RunRecord},
        time::Timestamp,
        timetable::{Asked, Reading, Reminder, ReminderError, Reminders},
        tool::{Output, Tool},
        words::timetable as words,
        zone::Zone,
    },
    engine::{EngineError, toolsets::TASK_TOOL, word, word_transaction},
    matrix::Account,
    store::StoreError,
};

impl Schedules {
    /// Does what an owner's command about reminders says, and returns the answer.
    pub(in crate::engine) async fn obey_reminding(
        &self,
        owner: &UserId,
        event: &RoomEvent,
        command: &Reminding,
    ) -> Result<String, EngineError> {
        // An edit says anew what its original said.
        let (request, cause) = match &event.kind {
            EventKind::Edit { target, .. } => (target.as_str(), format!("{target}|{}", event.id)),
            _ => (event.id.as_str(), event.id.to_string()),
        };
        let made_by = Cause { request, wording: &cause, cause: &cause };
        Ok(match command {
            Reminding::Add(said) => self.add_by_command(owner, |reading| Asked::parse(said, reading), made_by).await?,
            Reminding::AddTask(said) => {
                self.add_by_command(owner, |reading| Asked::parse_task(said, reading), made_by).await?
            }
            Reminding::List => {
                let zone = self.zones.zone_of_owner(owner).await?.unwrap_or_default();
                let kept = self.runtime.tables.reminders.get(&owner.to_owned())?.unwrap_or_default();
                words::reminders(kept.list(), &zone, clock::now())
            }
            Reminding::Remove(number) => {
                let mut removed = None;
                self.change_reminders(owner, |kept| removed = kept.remove(*number)).await?;
                self.timetable.set(&Id::Reminder(owner.to_owned(), *number), None);
                words::reminder_ended(*number, removed.is_some())
            }
            Reminding::Zone(name) => match Zone::named(name) {
                Some(zone) => {
                    self.change_reminders(owner, |kept| kept.zone = zone.name().map(ToOwned::to_owned)).await?;
                    words::zone_noted(&zone, clock::now())
                }
                None if name.trim().is_empty() => words::which_zone(),
                None => words::no_such_zone(name),
            },
        })
    }

    /// Ends what a message of the owner's set up that they deleted: their command, or what they asked for.
    pub(in crate::engine) async fn take_back_reminders(
        &self,
        owner: &UserId,
        assistant: &UserId,
        request: &EventId,
    ) -> Result<(), StoreError> {
        if self.runtime.tables.reminders.get(&owner.to_owned())?.is_none() {
            return Ok(());
        }
        let run = RunId::of(request, assistant);
        let mut taken = Vec::new();
        self.change_reminders(owner, |kept| {
            taken = kept.take_back(request.as_str());
            taken.extend(kept.take_back(run.as_str()));
        })
        .await?;
        for number in taken {
            self.timetable.set(&Id::Reminder(owner.to_owned(), number), None);
        }
        Ok(())
    }

    /// Ends what an owner's command set up that an edit makes something else of, and says so.
    pub(in crate::engine) async fn end_unsaid_reminders(
        &self,
        account: &Account,
        owner: &UserId,
        edit: &RoomEvent,
        command: &EventId,
    ) -> Result<(), EngineError> {
        if self.runtime.tables.reminders.get(&owner.to_owned())?.is_none() {
            return Ok(());
        }
        let mut taken = Vec::new();
        self.change_reminders(owner, |kept| taken = kept.take_back(command.as_str())).await?;
        for number in taken {
            self.timetable.set(&Id::Reminder(owner.to_owned(), number), None);
            let txn = word_transaction("unsaid", &format!("{}|{number}", edit.id), account.user());
            account.send(&edit.room, &word(&words::reminder_ended(number, true), None), txn).await?;
        }
        Ok(())
    }

    async fn add_by_command(
        &self,
        owner: &UserId,
        read: impl Fn(&Reading<'_>) -> Result<Asked, ReminderError>,
        made_by: Cause<'_>,
    ) -> Result<String, EngineError> {
        let zone = self.zones.zone_of_owner(owner).await?;
        Ok(match self.add_reminder(owner, read, made_by, zone.as_ref()).await? {
            Ok(reminder) => {
                // Who named a zone and has none of their own reads it in that one.
                let zone = zone.unwrap_or_else(|| Zone::stored(reminder.zone.as_deref()));
                words::reminder_set(&reminder, &zone, clock::now())
            }
            Err(NotSet::NoZone) => words::which_zone(),
            Err(NotSet::Refused(why)) => words::no_reminder(&why),
        })
    }

    /// Makes a reminder of what `read` reads, durably.
    async fn add_reminder(
        &self,
        owner: &UserId,
        read: impl Fn(&Reading<'_>) -> Result<Asked, ReminderError>,
        made_by: Cause<'_>,
        zone: Option<&Zone>,
    ) -> Result<Result<Reminder, NotSet>, EngineError> {
        let (now, known) = (clock::now(), zone);
        let zone = known.cloned().unwrap_or_default();
        let asked = match read(&Reading { zone: &zone, now }) {
            // What is not understood in any zone says so, and asks for none.
            Err(why) => return Ok(Err(NotSet::Refused(why))),
            Ok(_) if known.is_none() && !Asked::is_same_everywhere(&read, now) => return Ok(Err(NotSet::NoZone)),
            Ok(asked) => asked,
        };
        let mut added = Err(ReminderError::NoText);
        let mut replaced = Vec::new();
        self.change_reminders(owner, |kept| {
            added = kept.add(&asked, &zone, made_by.cause, now);
            if added.is_ok() {
                replaced = kept.replace(made_by.request, made_by.wording);
            }
        })
        .await?;
        for number in replaced {
            self.timetable.set(&Id::Reminder(owner.to_owned(), number), None);
        }
        if let Ok(reminder) = &added {
            self.timetable.set(&Id::Reminder(owner.to_owned(), reminder.number), reminder.next(now));
        }
        Ok(added.map_err(NotSet::Refused))
    }

    /// Carries out the assistants' tools for reminders and tasks.
    pub(in crate::engine) async fn call_chat_tool(
        &self,
        id: &RunId,
        record: &RunRecord,
        call: &str,
        tool: &Tool,
        arguments: &Map<String, Value>,
    ) -> Output {
        let Some(owner) = record.owner() else {
            return Output::error(format!("{} is an assistant's.", tool.offer.name.as_str()));
        };
        let text = |name: &str| arguments.get(name).and_then(Value::as_str).unwrap_or_default();
        let is_task = tool.offer.name.as_str() == TASK_TOOL;
        let (when, what) = (text("when"), text(if is_task { "task" } else { "text" }));
        // What is said in the chat holds no secrets; what is kept for it does not either.
        let what = self.toolsets.tools.mask().hide(what);
        let (request, wording) = (id.as_str(), id.wording(record.restarts));
        let cause = format!("{wording}|{call}");
        let made = async {
            let zone = self.zones.zone_of_owner(owner).await?;
            let made_by = Cause { request, wording: &wording, cause: &cause };
            let made = self
                .add_reminder(owner, |reading| Asked::of(when, &what, is_task, reading), made_by, zone.as_ref())
                .await?;
            Ok::<_, EngineError>((made, zone.unwrap_or_default()))
        };
        match made.await {
            Ok((Ok(reminder), zone)) => {
                let next = reminder.next(clock::now()).map(|at| zone.day(at));
                Output::ok(json!({ "number": reminder.number, "next": next }).to_string())
            }
            Ok((Err(NotSet::NoZone), _)) => Output::error(
                "Their time zone is not known. Ask them to tell it once with the command `!zone Europe/Berlin` (with their \
                 own zone), and then again."
                    .to_owned(),
            ),
            Ok((Err(NotSet::Refused(why)), _)) => Output::error(format!("It was not set: {why}.")),
            Err(error) => {
                tracing::warn!(%error, "a reminder cannot be kept");
                Output::error("It was not set: the store did not answer. Try again later.".to_owned())
            }
        }
    }

    /// Flushes, because what was confirmed must survive a crash.
    pub(in crate::engine) async fn change_reminders(
        &self,
        owner: &UserId,
        change: impl FnOnce(&mut Reminders),
    ) -> Result<(), StoreError> {
        self.runtime.tables.reminders.update(&owner.to_owned(), |kept: Option<Reminders>| {
            let mut kept = kept.unwrap_or_default();
            change(&mut kept);
            (kept != Reminders::default()).then_some(kept)
        })?;
        self.runtime.store.flush().await
    }

    /// Notes when each reminder is due next.
    pub(super) fn load_reminders(&self, now: Timestamp) -> Result<(), StoreError> {
        if !self.runtime.config().assistants.enabled {
            return Ok(());
        }
        for kept in self.runtime.tables.reminders.each() {
            let (owner, kept) = kept?;
            match kept {
                Ok(kept) => {
                    for one in kept.list() {
                        self.timetable.set(&Id::Reminder(owner.clone(), one.number), one.next(now));
                    }
                }
                Err(error) => self.leave_out_unreadable(&format!("reminders of {owner}"), &error),
            }
        }
        Ok(())
    }
}

/// What came of doing what is due.
pub(super) enum Done {
    /// It is said, or its run is recorded.
    Yes,
    /// Its owner has no chat in which it could be said.
    NoChat,
    /// Too many runs wait.
    Busy,
}

/// Names a due time of a reminder: what is sent for it is the same event, however often it is sent.
pub(super) fn cause_of(owner: &UserId, reminder: &Reminder, due: Timestamp) -> String {
    format!("{owner}|{}|{}|{}", reminder.number, reminder.cause, due.as_ms())
}

/// What makes a reminder.
#[derive(Clone, Copy)]
struct Cause<'a> {
    /// The message, or the run, that says it: an edit of it takes the place of what it made before.
    request: &'a str,
    /// The same as it reads now.
    wording: &'a str,
    /// The message or call itself; the same one makes no second reminder.
    cause: &'a str,
}

/// Why a reminder was not made.
enum NotSet {
    /// The owner's time zone is not known.
    NoZone,
    /// What was said makes none.
    Refused(ReminderError),
}

/// How long a reminder waits for its owner to have a private chat, in milliseconds: 30 days.
pub(super) const NO_CHAT_MS_MAX: u64 = 30 * 24 * 60 * 60 * 1000;
