//! Rooms in which one of ours cannot speak (C19): detected before the model is asked, told to the asker elsewhere, and
//! answered once speaking is possible.

use ruma::{RoomId, UserId};
use tokio::time::Instant;

use super::{Engine, EngineError, Shared, records::RoomRecord};
use crate::{
    clock,
    core::{
        address::{Asked, Why},
        event::EventKind,
        told::Told,
        voice::{Voice, Waiting, wait},
        words,
    },
    matrix::{Account, MatrixError},
};

impl Engine {
    /// Returns whether one of ours can speak in a room, as of its last sync.
    pub(super) async fn voice_in(&self, account: &Account, room: &RoomId) -> Result<Voice, EngineError> {
        match account.voice_in(room).await {
            Ok(voice) => Ok(voice),
            Err(error) if error.is_passing() => Err(error.into()),
            // It is no longer in the room; sending will report that.
            Err(_) => Ok(Voice::Heard),
        }
    }

    /// Fails a run that could not post its answer, before it costs anything.
    pub(super) async fn make_sure_it_is_heard(&self, account: &Account, room: &RoomId) -> Result<(), EngineError> {
        match self.voice_in(account, room).await? {
            Voice::Heard => Ok(()),
            Voice::OtherEncryption => Err(MatrixError::OtherEncryption { room: room.to_string() }.into()),
            Voice::NoPower | Voice::Replaced => {
                Err(MatrixError::NoPower { user: account.user().to_string(), room: room.to_string() }.into())
            }
        }
    }

    /// Tells a person, in their chat with the service bot and once a day, that one of ours cannot speak in a room.
    pub(super) async fn tell_unheard(self: &Shared, account: &Account, room: &RoomId, person: &UserId, why: Voice) {
        tracing::warn!(room.id = %room, user.id = %account.user(), ?why, "one of ours cannot speak in a room; nothing is said in it");
        let told: fn(&mut RoomRecord) -> &mut Told = match why {
            Voice::NoPower | Voice::Replaced => |record| &mut record.no_power_told,
            Voice::Heard | Voice::OtherEncryption => |record| &mut record.other_encryption_told,
        };
        match self.tables.is_told_now(room, person, told) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return tracing::error!(room.id = %room, %error, "who was told cannot be noted"),
        }
        let coworker = self.coworker(account.user());
        let name = coworker.as_ref().map_or(account.user().as_str(), |coworker| &coworker.name);
        let text = match why {
            Voice::NoPower => words::no_power(name, room.as_str()),
            Voice::Replaced => words::room_replaced(name, room.as_str()),
            Voice::Heard | Voice::OtherEncryption => words::trust::other_encryption(name, room.as_str()),
        };
        if let Err(error) = Box::pin(self.clone().say_privately(person, &text)).await {
            tracing::warn!(room.id = %room, user.id = %person, %error, "somebody cannot be told why there is no answer");
        }
    }

    /// Keeps a request that cannot be answered in its room yet.
    pub(super) fn let_wait(&self, room: &RoomId, request: Waiting) -> Result<(), EngineError> {
        self.tables.rooms.update(&room.to_owned(), |record: Option<RoomRecord>| {
            let mut record = record.unwrap_or_default();
            wait(&mut record.waiting, request);
            Some(record)
        })?;
        Ok(())
    }

    /// Handles a change of permissions: our users that had to keep silent say what is due.
    pub(super) async fn take_voice(self: &Shared, room: &RoomId, accepted: Instant) -> Result<(), EngineError> {
        for account in self.kept_in(room) {
            account.sync_since(accepted).await?;
        }
        let said = self.speak_up(room).await;
        self.try_what_is_owed();
        said
    }

    /// Says what is due from each of ours that may speak again: its first words, and answers to what was asked
    /// meanwhile. The caller deals with what runs owe.
    async fn speak_up(self: &Shared, room: &RoomId) -> Result<(), EngineError> {
        let record = self.tables.rooms.get(&room.to_owned())?.unwrap_or_default();
        let mut heard = Vec::new();
        for account in self.kept_in(room) {
            if self.voice_in(&account, room).await? != Voice::Heard {
                continue;
            }
            if record.stays.contains(account.user()) {
                self.introduce(&account, room).await?;
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
