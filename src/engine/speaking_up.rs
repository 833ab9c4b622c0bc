//! Says what is due in rooms in which ours can speak again (C19).

use ruma::{RoomId, UserId};
use tokio::time::Instant;

use super::{Engine, EngineError, Shared, records::RoomRecord};
use crate::{
    clock,
    core::{
        address::{Asked, Why},
        event::EventKind,
        told::Told,
        voice::{Voice, Waiting},
    },
    matrix::Account,
};

impl Engine {
    /// Handles a change of permissions: our users that had to keep silent say what is due.
    pub(super) async fn take_voice(self: &Shared, room: &RoomId, accepted: Instant) -> Result<(), EngineError> {
        for account in self.kept_in(room) {
            account.sync_since(accepted).await?;
        }
        let said = self.speak_up(room).await;
        self.owed_due.try_now();
        said
    }

    /// Says what is due from each of ours that may speak again: its first words, and answers to what was asked
    /// meanwhile. The caller deals with what runs owe.
    async fn speak_up(self: &Shared, room: &RoomId) -> Result<(), EngineError> {
        let record = self.tables.rooms.get(&room.to_owned())?.unwrap_or_default();
        let mut heard = Vec::new();
        for account in self.kept_in(room) {
            if self.voices.voice_in(&account, room).await? != Voice::Heard {
                continue;
            }
            if record.stays.contains(account.user()) {
                self.membership.company.introduce(&account, room).await?;
            }
            heard.push(account);
        }
        if heard.is_empty() {
            return Ok(());
        }
        let is_heard = |user: &UserId| heard.iter().any(|account| account.user() == user);
        let (due, _): (Vec<Waiting>, Vec<_>) = record.waiting.into_iter().partition(|waiting| is_heard(&waiting.user));
        for waiting in &due {
            let Some(account) = heard.iter().find(|account| account.user() == waiting.user) else { continue };
            self.answer_late(account, room, waiting).await?;
        }
        self.tables.rooms.update(&room.to_owned(), |record: Option<RoomRecord>| {
            let mut record = record?;
            record.waiting.retain(|waiting| !due.contains(waiting));
            // Should the permission be lost again, people are told again.
            record.no_power_told = Told::default();
            Some(record)
        })?;
        Ok(())
    }

    /// Starts the run of a request that had to wait. A late answer says so; a redacted request is dropped.
    async fn answer_late(
        self: &Shared,
        account: &Account,
        room: &RoomId,
        waiting: &Waiting,
    ) -> Result<(), EngineError> {
        let read = match account.held(room, &waiting.request) {
            Some(read) => Some(read),
            None => match account.event(room, &waiting.request).await {
                Err(error) if error.is_passing() => return Err(error.into()),
                found => found.ok().flatten(),
            },
        };
        let Some(read) = read.filter(|read| matches!(read.event.kind, EventKind::Message(_) | EventKind::Edit { .. }))
        else {
            return Ok(());
        };
        let late = clock::now().ms_since(waiting.since) > self.config().limits.deadline_ms();
        let asked = Asked { user: waiting.user.clone(), why: Why::Mentioned, late };
        tracing::info!(room.id = %room, event.id = %waiting.request, "a request that had to wait can be answered");
        Box::pin(self.clone().begin_coworker(&read.event, read.carriage(), &asked, Instant::now())).await
    }

    /// Retries the rooms where something is waiting, in case no transaction reported the change.
    pub(super) async fn speak_up_where_due(self: &Shared) -> Result<(), EngineError> {
        let is_due = |record: &RoomRecord| !record.waiting.is_empty() || !record.stays.is_subset(&record.introduced);
        let rooms = self.tables.rooms.iter().filter_map(Result::ok);
        let due: Vec<_> = rooms.filter(|(_, record)| is_due(record)).map(|(room, _)| room).collect();
        for room in due {
            self.speak_up(&room).await?;
        }
        Ok(())
    }
}
