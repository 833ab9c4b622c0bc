//! Reminders (A12): the owner's commands, and the message that comes when one is due, once.

use std::sync::Arc;

use ruma::{EventId, OwnedRoomId, OwnedUserId, UserId};
use serde_json::{Map, Value, json};

use super::{Id, TASK_TOOL, Tried, coming::Next};
use crate::{
    clock,
    core::{
        command::Reminding,
        event::{EventKind, Outgoing, OutgoingKind, RoomEvent},
        room_check::Privacy,
        run::{RunId, RunRecord},
        time::Timestamp,
        timetable::{Asked, Reading, Reminder, ReminderError, Reminders},
        tool::{Output, Tool},
        words::timetable as words,
        zone::Zone,
    },
    engine::{Engine, EngineError, Shared, word, word_transaction},
    matrix::Account,
    store::StoreError,
};

impl Engine {
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
                let zone = self.zone_of_owner(owner).await?.unwrap_or_default();
                let kept = self.tables.reminders.get(&owner.to_owned())?.unwrap_or_default();
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
        if self.tables.reminders.get(&owner.to_owned())?.is_none() {
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
        if self.tables.reminders.get(&owner.to_owned())?.is_none() {
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
        let zone = self.zone_of_owner(owner).await?;
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
            let zone = self.zone_of_owner(owner).await?;
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

    /// Returns an owner's zone: their profile's, or the one that they named in the chat.
    pub(in crate::engine) async fn zone_of_owner(&self, owner: &UserId) -> Result<Option<Zone>, EngineError> {
        let of_profile = self.zones.zone_of(owner).await;
        if of_profile.name().is_some() {
            return Ok(Some(of_profile));
        }
        let kept = self.tables.reminders.get(&owner.to_owned())?.unwrap_or_default();
        Ok(kept.zone.as_deref().and_then(Zone::named))
    }

    /// Flushes, because what was confirmed must survive a crash.
    async fn change_reminders(&self, owner: &UserId, change: impl FnOnce(&mut Reminders)) -> Result<(), StoreError> {
        self.tables.reminders.update(&owner.to_owned(), |kept: Option<Reminders>| {
            let mut kept = kept.unwrap_or_default();
            change(&mut kept);
            (kept != Reminders::default()).then_some(kept)
        })?;
        self.store.flush().await
    }

    /// Notes when each reminder is due next.
    pub(super) fn load_reminders(&self, now: Timestamp) -> Result<(), StoreError> {
        if !self.config().assistants.enabled {
            return Ok(());
        }
        for kept in self.tables.reminders.each() {
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

    /// Says an owner's reminder that is due, and notes that it was said.
    pub(super) async fn remind(self: &Shared, owner: &OwnedUserId, number: u32) -> Tried<Next> {
        let now = clock::now();
        let kept = self.tables.reminders.get(owner)?.unwrap_or_default();
        let Some(reminder) = kept.get(number) else { return Ok(Next::At(None)) };
        let Ok(owing) = reminder.owing(now) else { return Ok(Next::At(None)) };
        if let Some(due) = owing.due {
            let said = match self.do_reminder(owner, reminder, due, owing.is_late).await {
                Err(error) if !error.is_passing() => {
                    tracing::warn!(user.id = %owner, %error, "a reminder cannot be said in its owner's chat now");
                    false
                }
                Ok(Done::Yes) => true,
                Ok(Done::NoChat) => false,
                Ok(Done::Busy) => return Ok(Next::Later),
                Err(error) => return Err(error),
            };
            // The owner may get another chat, or join this one.
            if !said && now.ms_since(due) <= NO_CHAT_MS_MAX {
                return Ok(Next::NoChat);
            }
            if !said {
                tracing::warn!(user.id = %owner, "a reminder is dropped: for a month its owner had no chat to say it in");
            }
        }
        let mut next = None;
        self.change_reminders(owner, |kept| {
            kept.handled(number, owing.until);
            next = kept.get(number).and_then(|reminder| reminder.next(now));
        })
        .await?;
        Ok(Next::At(next))
    }

    /// Says a reminder that is due in its owner's own chat, or begins its task there.
    async fn do_reminder(
        self: &Shared,
        owner: &OwnedUserId,
        reminder: &Reminder,
        due: Timestamp,
        is_late: bool,
    ) -> Tried<Done> {
        let Some((account, room)) = self.chat_of(owner).await? else { return Ok(Done::NoChat) };
        if reminder.is_task {
            return self.begin_task(&account, (owner, &room), reminder, due, is_late).await;
        }
        let late = if is_late { Some(self.zone_of_owner(owner).await?.unwrap_or_default().date(due)) } else { None };
        let said = words::reminder(&reminder.text, late.as_deref());
        let message = Outgoing { kind: OutgoingKind::Text, ..word(&said, Some(owner)) };
        let txn = word_transaction("reminder", &cause_of(owner, reminder, due), account.user());
        account.send(&room, &message, txn).await?;
        Ok(Done::Yes)
    }

    /// Returns an owner's chat, if it is private now and they have joined it.
    async fn chat_of(self: &Shared, owner: &OwnedUserId) -> Tried<Option<(Arc<Account>, OwnedRoomId)>> {
        let record = self.tables.assistants.get(owner)?.unwrap_or_default();
        let Some(room) = record.room.filter(|_| !record.silent) else { return Ok(None) };
        let account = Box::pin(self.pool.passing(&self.assistant_persona(owner))).await?;
        account.sync().await?;
        if self.attend(&account, owner, &room).await? != Privacy::Tight {
            return Ok(None);
        }
        // Whoever is only invited would neither see it nor be notified.
        let is_there = account.facts(&room).await?.joined.contains(owner);
        Ok(is_there.then_some((account, room)))
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
const NO_CHAT_MS_MAX: u64 = 30 * 24 * 60 * 60 * 1000;
