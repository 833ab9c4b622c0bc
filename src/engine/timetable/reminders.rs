//! Reminders (A12): the owner's commands, and the message that comes when one is due, once.

use ruma::{OwnedUserId, UserId};
use serde_json::{Map, Value, json};

use super::{Id, Tried, coming::Next};
use crate::{
    clock,
    core::{
        command::Reminding,
        event::{Outgoing, OutgoingKind},
        room_check::Privacy,
        run::{RunId, RunRecord},
        time::Timestamp,
        timetable::{Asked, REMINDER_CHARS_MAX, Reading, Reminder, ReminderError, Reminders},
        tool::{ApprovalRule, Class, Offer, Output, Source, Tool, ToolName, built_in},
        words::timetable as words,
        zone::Zone,
    },
    engine::{Engine, EngineError, Shared, word, word_transaction},
    store::StoreError,
};

impl Engine {
    /// Does what an owner's command about reminders says, and returns the answer.
    pub(in crate::engine) async fn obey_reminding(
        &self,
        owner: &UserId,
        cause: &str,
        command: &Reminding,
    ) -> Result<String, EngineError> {
        Ok(match command {
            Reminding::Add(said) => {
                let zone = self.zone_of_owner(owner).await?;
                match self.add_reminder(owner, |reading| Asked::parse(said, reading), cause, zone.as_ref()).await? {
                    Ok(reminder) => words::reminder_set(&reminder, &zone.unwrap_or_default(), clock::now()),
                    Err(NotSet::NoZone) => words::which_zone(),
                    Err(NotSet::Refused(why)) => words::no_reminder(&why),
                }
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
                None => words::which_zone(),
            },
        })
    }

    /// Makes a reminder of what `read` reads, durably.
    async fn add_reminder(
        &self,
        owner: &UserId,
        read: impl Fn(&Reading<'_>) -> Result<Asked, ReminderError>,
        cause: &str,
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
        self.change_reminders(owner, |kept| added = kept.add(&asked, &zone, cause, now)).await?;
        if let Ok(reminder) = &added {
            self.timetable.set(&Id::Reminder(owner.to_owned(), reminder.number), reminder.next(now));
        }
        Ok(added.map_err(NotSet::Refused))
    }

    /// Carries out the assistants' tool for reminders.
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
        let (when, what) = (text("when"), text("text"));
        let cause = format!("{}|{call}", id.as_str());
        let made = async {
            let zone = self.zone_of_owner(owner).await?;
            let made =
                self.add_reminder(owner, |reading| Asked::of(when, what, reading), &cause, zone.as_ref()).await?;
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
        let of_profile = self.zone_of(owner).await;
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
        if !self.config.assistants.enabled {
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
            let late = owing.is_late.then_some(due);
            let said = match self.say_reminder(owner, reminder, due, late).await {
                Err(error) if !error.is_passing() => {
                    tracing::warn!(user.id = %owner, %error, "a reminder cannot be said in its owner's chat now");
                    false
                }
                said => said?,
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

    /// Posts a reminder in its owner's own chat; false where there is none now that is private and that they have joined.
    async fn say_reminder(
        self: &Shared,
        owner: &OwnedUserId,
        reminder: &Reminder,
        due: Timestamp,
        late: Option<Timestamp>,
    ) -> Tried<bool> {
        let record = self.tables.assistants.get(owner)?.unwrap_or_default();
        let Some(room) = record.room.filter(|_| !record.silent) else { return Ok(false) };
        let account = Box::pin(self.pool.passing(&self.assistant_persona(owner))).await?;
        account.sync().await?;
        if self.attend(&account, owner, &room).await? != Privacy::Tight {
            return Ok(false);
        }
        // Whoever is only invited would neither see it nor be notified.
        if !account.facts(&room).await?.joined.contains(owner) {
            return Ok(false);
        }
        let late = match late {
            Some(due) => Some(self.zone_of_owner(owner).await?.unwrap_or_default().date(due)),
            None => None,
        };
        let said = words::reminder(&reminder.text, late.as_deref());
        let message = Outgoing { kind: OutgoingKind::Text, ..word(&said, Some(owner)) };
        // The same due time is the same event, however often it is sent.
        let cause = format!("{owner}|{}|{}|{}", reminder.number, reminder.cause, due.as_ms());
        let txn = word_transaction("reminder", &cause, account.user());
        account.send(&room, &message, txn).await?;
        Ok(true)
    }
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
/// The tool's name.
const TOOL: &str = "reminder_add";

/// Returns the assistants' tool for reminders. What it keeps is the owner's own and leaves nowhere, so it needs no
/// approval; the same call sets one reminder however often it is made.
pub(in crate::engine) fn reminder_offer() -> Option<Offer> {
    let properties = json!({
        "when": { "type": "string", "description": "When, e.g. tomorrow at 10:00, in 20 minutes, every monday at 9." },
        "text": {
            "type": "string",
            "description": format!("What to say then, at most {REMINDER_CHARS_MAX} characters."),
        },
    });
    Some(Offer {
        name: ToolName::parse(TOOL)?,
        description: built_in(TOOL)?.told.trim_end().to_owned(),
        schema: json!({
            "type": "object", "properties": properties, "required": ["when", "text"], "additionalProperties": false,
        }),
        source: Source::Chat,
        class: Class::Read,
        approval: ApprovalRule::Never,
        idempotent: true,
    })
}
