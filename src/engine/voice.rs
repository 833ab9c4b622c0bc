//! Rooms in which one of ours cannot speak (C19): detected before the model is asked, told to the asker elsewhere, and
//! answered once speaking is possible.

use std::sync::Arc;

use ruma::{RoomId, UserId};

use super::{EngineError, records::RoomRecord};
use crate::{
    core::{
        told::Told,
        voice::{Voice, Waiting, wait},
        words,
    },
    engine::{runtime::Runtime, service_chats::ServiceChats},
    matrix::{Account, MatrixError},
};

/// Whether ours can speak in a room, and who is told if not.
pub(super) struct Voices {
    runtime: Arc<Runtime>,
    service_chats: Arc<ServiceChats>,
}

impl Voices {
    /// Makes it on what it may call.
    pub(super) fn new(runtime: &Arc<Runtime>, service_chats: &Arc<ServiceChats>) -> Self {
        Self { runtime: runtime.clone(), service_chats: service_chats.clone() }
    }

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
    pub(super) async fn tell_unheard(self: &Arc<Self>, account: &Account, room: &RoomId, person: &UserId, why: Voice) {
        tracing::warn!(room.id = %room, user.id = %account.user(), ?why, "one of ours cannot speak in a room; nothing is said in it");
        let told: fn(&mut RoomRecord) -> &mut Told = match why {
            Voice::NoPower | Voice::Replaced => |record| &mut record.no_power_told,
            Voice::Heard | Voice::OtherEncryption => |record| &mut record.other_encryption_told,
        };
        match self.runtime.tables.is_told_now(room, person, told) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return tracing::error!(room.id = %room, %error, "who was told cannot be noted"),
        }
        let coworker = self.runtime.coworker(account.user());
        let name = coworker.as_ref().map_or(account.user().as_str(), |coworker| &coworker.name);
        let text = match why {
            Voice::NoPower => words::no_power(name, room.as_str()),
            Voice::Replaced => words::room_replaced(name, room.as_str()),
            Voice::Heard | Voice::OtherEncryption => words::trust::other_encryption(name, room.as_str()),
        };
        if let Err(error) = Box::pin(self.service_chats.clone().say_privately(person, &text)).await {
            tracing::warn!(room.id = %room, user.id = %person, %error, "somebody cannot be told why there is no answer");
        }
    }

    /// Keeps a request that cannot be answered in its room yet.
    pub(super) fn let_wait(&self, room: &RoomId, request: Waiting) -> Result<(), EngineError> {
        self.runtime.tables.rooms.update(&room.to_owned(), |record: Option<RoomRecord>| {
            let mut record = record.unwrap_or_default();
            wait(&mut record.waiting, request);
            Some(record)
        })?;
        Ok(())
    }
}
