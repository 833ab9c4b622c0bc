//! A reminder that is due: said in its owner's chat, once (A12).

use std::sync::Arc;

use ruma::{OwnedRoomId, OwnedUserId};

use super::{
    Tried,
    coming::Next,
    reminders::{Done, NO_CHAT_MS_MAX, cause_of},
};
use crate::{
    clock,
    core::{
        event::{Outgoing, OutgoingKind},
        room_check::Privacy,
        time::Timestamp,
        timetable::Reminder,
        words::timetable as words,
    },
    engine::{Engine, Shared, word, word_transaction},
    matrix::Account,
};

impl Engine {
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
        self.schedules
            .change_reminders(owner, |kept| {
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
        let late =
            if is_late { Some(self.zones.zone_of_owner(owner).await?.unwrap_or_default().date(due)) } else { None };
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
        if self.chats.attend(&account, owner, &room).await? != Privacy::Tight {
            return Ok(None);
        }
        // Whoever is only invited would neither see it nor be notified.
        let is_there = account.facts(&room).await?.joined.contains(owner);
        Ok(is_there.then_some((account, room)))
    }
}
