//! The one door for content into rooms (invariants 3 and 9, C8): encrypted if anything there ever was, plain only if
//! nothing was, and otherwise not at all.

use std::panic::{AssertUnwindSafe, resume_unwind};

use futures_util::FutureExt as _;
use matrix_sdk::{
    Room,
    deserialized_responses::{RawAnySyncOrStrippedState, TimelineEvent, TimelineEventKind},
    ruma::{
        api::{
            client::state::{get_state_event_for_key, get_state_events},
            error::ErrorKind,
        },
        events::room::encryption::PossiblyRedactedRoomEncryptionEventContent,
        serde::Raw,
    },
    sync::{RoomUpdates, State},
};
use matrix_sdk_base::RoomInfoNotableUpdateReasons;
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedTransactionId, RoomId,
    events::{AnyStateEvent, StateEventType},
};
use serde_json::{Value, json};

use super::{Account, File, MESSAGE};
use crate::{
    core::{
        event::Place,
        media::Preview,
        sealed::{Carriage, ENCRYPTION, MEGOLM, Seal, Speech, predecessor, speech},
    },
    matrix::{error::MatrixError, outbound},
};

/// Tries of a send that the SDK's assertion about an expired session aborts. Each makes a new session.
const SENDS_MAX: usize = 5;
/// How many predecessors are checked for a room's encryption.
const PREDECESSORS_MAX: usize = 4;

impl Account {
    /// Returns a room's seal, after asking the homeserver for its encryption once since the start.
    ///
    /// # Errors
    /// When the room is not joined, or its state cannot be read, so that its encryption is unknown.
    pub async fn seal_of(&self, room: &RoomId) -> Result<Option<Seal>, MatrixError> {
        self.establish(room).await?;
        Ok(self.seals.of(room))
    }

    /// Returns how this user may speak in a room, by its seal ([`Self::seal_of`]).
    ///
    /// # Errors
    /// As [`Self::seal_of`].
    pub async fn speech_in(&self, room: &RoomId) -> Result<Speech, MatrixError> {
        Ok(speech(self.seal_of(room).await?, Carriage::Plain))
    }

    /// Records that a request came encrypted in a room, so that its answer is not sent in plain text.
    pub fn note_encrypted(&self, room: &RoomId) {
        self.seals.note(room, Seal::of_message());
    }

    /// Returns whether anything in a room was ever encrypted, as far as known without a call.
    #[must_use]
    pub fn is_sealed(&self, room: &RoomId) -> bool {
        self.seals.of(room).is_some()
    }

    /// Sends a message's content through the door.
    pub(super) async fn say_content(
        &self,
        room: &RoomId,
        content: Value,
        txn: OwnedTransactionId,
    ) -> Result<OwnedEventId, MatrixError> {
        let (here, speech) = self.door(room).await?;
        match self.say_placed(&here, content.clone(), &txn).await {
            // Encryption was turned on between the door and the homeserver; the proxy blocked the send.
            Err(_) if self.was_sealed_since(room, speech) => {
                let (here, _) = self.door(room).await?;
                self.say_placed(&here, content, &txn).await
            }
            sent => sent,
        }
    }

    /// Uploads a picture and its small copy, encrypted if the room is, and sends it.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn send_picture(
        &self,
        room: &RoomId,
        file: File,
        preview: &Preview,
        place: &Place,
        txn: OwnedTransactionId,
    ) -> Result<OwnedEventId, MatrixError> {
        Box::pin(self.say_file(room, (&file, Some(preview)), place, txn)).await
    }

    /// Uploads a file, encrypted if its message will be, and sends the message through the door.
    pub(super) async fn say_file(
        &self,
        room: &RoomId,
        file: (&File, Option<&Preview>),
        place: &Place,
        txn: OwnedTransactionId,
    ) -> Result<OwnedEventId, MatrixError> {
        let (here, speech) = self.door(room).await?;
        let content = self.upload(file, place, speech).await.map_err(MatrixError::of_upload)?;
        match self.say_placed(&here, content, &txn).await {
            Err(_) if self.was_sealed_since(room, speech) => {
                let (here, speech) = self.door(room).await?;
                let content = self.upload(file, place, speech).await.map_err(MatrixError::of_upload)?;
                self.say_placed(&here, content, &txn).await
            }
            sent => sent,
        }
    }

    fn was_sealed_since(&self, room: &RoomId, spoken: Speech) -> bool {
        spoken == Speech::Plain && self.is_sealed(room)
    }

    async fn upload(
        &self,
        (file, preview): (&File, Option<&Preview>),
        place: &Place,
        speech: Speech,
    ) -> Result<Value, MatrixError> {
        let source = self.upload_bytes(&file.media_type, &file.bytes, speech).await?;
        let message = outbound::file(&file.name, file.media_type.as_ref(), file.bytes.len(), source, place);
        let Some(preview) = preview else { return Ok(message) };
        let kind = preview.thumbnail.media_type.parse().unwrap_or(mime::IMAGE_JPEG);
        let small = self.upload_bytes(&kind, &preview.thumbnail.bytes, speech).await?;
        Ok(outbound::picture(message, preview, &small))
    }

    async fn upload_bytes(
        &self,
        kind: &mime::Mime,
        mut bytes: &[u8],
        speech: Speech,
    ) -> Result<outbound::MediaSource, MatrixError> {
        if speech == Speech::Plain {
            let upload = self.client.media().upload(kind, bytes.to_vec(), None);
            return Ok(outbound::MediaSource::Plain(upload.await?.content_uri));
        }
        let encrypted = self.client.upload_encrypted_file(&mut bytes).into_future();
        Ok(outbound::MediaSource::Encrypted(Box::new(Box::pin(encrypted).await?)))
    }

    /// Decides how to speak in a room now, and makes the SDK comply.
    pub(super) async fn door(&self, id: &RoomId) -> Result<(Room, Speech), MatrixError> {
        let room = self.room(id)?;
        let was_established = self.seals.is_established(id);
        let mut seal = self.seal_of(id).await?;
        if seal.is_none() {
            // Ask every time, because the transaction that reports encryption may be late or lost.
            if was_established && let Some(found) = self.read_encryption(id).await? {
                self.seals.note(id, found);
            }
            let encryption = room.latest_encryption_state().await?;
            if encryption.is_unknown() {
                return Err(MatrixError::EncryptionUnknown { room: id.to_string() });
            }
            if encryption.is_encrypted() {
                // The homeserver no longer has the event that it once had: lost or rewritten state.
                self.seals.note(id, Seal::unreadable());
            }
            seal = self.seals.of(id);
        }
        let speech = speech(seal, Carriage::Plain);
        match speech {
            Speech::Plain => {}
            Speech::Encrypted => {
                make_sdk_encrypt(&room).await?;
                self.keep_up_with(id).await?;
            }
            Speech::Refused => return Err(MatrixError::OtherEncryption { room: id.to_string() }),
        }
        Ok((room, speech))
    }

    /// Makes sure that a room's encryption was looked for at the homeserver, whatever is left of our stores.
    ///
    /// State cannot be removed from a room: overwritten or redacted, it is still there. So what the homeserver does not
    /// have now was never there, and later state reaches us as it comes.
    async fn establish(&self, id: &RoomId) -> Result<(), MatrixError> {
        let room = self.room(id)?;
        if self.seals.is_established(id) {
            return Ok(());
        }
        for event in room.get_state_events(StateEventType::RoomEncryption).await? {
            let (key, content) = match &event {
                RawAnySyncOrStrippedState::Sync(event) => (event.get_field("state_key"), event.get_field("content")),
                RawAnySyncOrStrippedState::Stripped(event) => {
                    (event.get_field("state_key"), event.get_field("content"))
                }
            };
            let key: String = key.ok().flatten().unwrap_or_default();
            let content: Option<Value> = content.ok().flatten();
            self.seals.note(id, Seal::of_state(&key, &content.unwrap_or_default()));
        }
        if let Some(found) = self.read_encryption(id).await? {
            self.seals.note(id, found);
        }
        if let Some(old) = room.create_content().and_then(|creation| creation.predecessor) {
            self.take_over(id, old.room_id).await?;
        }
        self.seals.set_established(id);
        Ok(())
    }

    /// Seals a room that replaces a sealed one: people take it for the same room, and nothing said encrypted there may
    /// be repeated here in plain text.
    async fn take_over(&self, id: &RoomId, predecessor_id: OwnedRoomId) -> Result<(), MatrixError> {
        let mut old = Some(predecessor_id);
        for _ in 0..PREDECESSORS_MAX {
            let Some(room) = old.take() else { break };
            let seal = match self.seals.of(&room) {
                Some(seal) => Some(seal),
                None => visible(self.read_encryption(&room).await)?,
            };
            if let Some(seal) = seal {
                self.seals.note(id, seal.of_predecessor());
                break;
            }
            let creation = visible(self.read_state(&room, StateEventType::RoomCreate).await)?;
            old = creation.as_ref().and_then(predecessor);
        }
        Ok(())
    }

    /// Asks the homeserver for a room's encryption event, whatever its content.
    ///
    /// A content that could answer any request does not prove that the event exists. Then the whole state is read, in
    /// which events have types.
    async fn read_encryption(&self, room: &RoomId) -> Result<Option<Seal>, MatrixError> {
        let Some(content) = self.read_state(room, StateEventType::RoomEncryption).await? else { return Ok(None) };
        if content.get("algorithm").is_some() {
            return Ok(Some(Seal::of_state("", &content)));
        }
        let request = get_state_events::v3::Request::new(room.to_owned());
        let state = self.client.send(request).await.map_err(matrix_sdk::Error::from)?.room_state;
        let text = |event: &Raw<_>, name: &str| event.get_field::<String>(name).ok().flatten();
        let seals = state.iter().filter_map(|event: &Raw<AnyStateEvent>| {
            let kind = text(event, "type").filter(|kind| kind == ENCRYPTION)?;
            Seal::of_event(&kind, text(event, "state_key").as_deref(), event.json().get())
        });
        match seals.reduce(Seal::and) {
            Some(seal) => Ok(Some(seal)),
            // Either the state changed in between, or a proxy answered.
            None => Err(MatrixError::EncryptionUnknown { room: room.to_string() }),
        }
    }

    /// Fetches a state event's content, whatever it is; `None` if there is no such event.
    async fn read_state(&self, room: &RoomId, kind: StateEventType) -> Result<Option<Value>, MatrixError> {
        let request = get_state_event_for_key::v3::Request::new(room.to_owned(), kind, String::new());
        match self.client.send(request).await {
            Ok(answer) => Ok(Some(serde_json::from_str(answer.event_or_content.get()).unwrap_or_default())),
            Err(error) if error.client_api_error_kind() == Some(&ErrorKind::NotFound) => Ok(None),
            Err(error) => Err(matrix_sdk::Error::from(error).into()),
        }
    }

    /// Records what a sync says about rooms' encryption, before anything else processes it.
    pub(super) fn take_seals(&self, rooms: &RoomUpdates) {
        for (room, update) in &rooms.joined {
            self.seal_by(room, &update.state, &update.timeline.events);
        }
        for (room, update) in &rooms.left {
            self.seal_by(room, &update.state, &update.timeline.events);
        }
        for (room, update) in &rooms.invited {
            for event in &update.invite_state.events {
                self.seal_by_state(room, event);
            }
        }
        for (room, update) in &rooms.knocked {
            for event in &update.knock_state.events {
                self.seal_by_state(room, event);
            }
        }
    }

    fn seal_by(&self, room: &RoomId, state: &State, timeline: &[TimelineEvent]) {
        let (State::Before(state) | State::After(state)) = state;
        for event in state {
            self.seal_by_state(room, event);
        }
        for event in timeline {
            if let TimelineEventKind::PlainText { event } = &event.kind {
                self.seal_by_state(room, event);
            }
        }
    }

    fn seal_by_state<T>(&self, room: &RoomId, event: &Raw<T>) {
        let text = |name: &str| event.get_field::<String>(name).ok().flatten();
        if text("type").as_deref() == Some(ENCRYPTION)
            && let Some(seal) = Seal::of_event(ENCRYPTION, text("state_key").as_deref(), event.json().get())
        {
            self.seals.note(room, seal);
        }
    }
}

/// Sends a message; the SDK encrypts it if it considers the room encrypted.
pub(super) async fn say(room: &Room, content: Value, txn: &OwnedTransactionId) -> Result<OwnedEventId, MatrixError> {
    let mut tries = 0;
    let sent = loop {
        tries += 1;
        let sending = room.send_raw(MESSAGE, content.clone()).with_transaction_id(txn).into_future();
        match AssertUnwindSafe(Box::pin(sending)).catch_unwind().await {
            Ok(sent) => break sent?,
            // Other sends used up the session since it was shared; the next try makes a new one (matrix-sdk-crypto
            // 0.18, `GroupSessionManager::encrypt`). Nothing was sent.
            Err(_) if tries < SENDS_MAX => {}
            Err(panic) => resume_unwind(panic),
        }
    };
    Ok(sent.response.event_id)
}

/// Makes the SDK treat a room as encrypted, whatever it read from the state.
///
/// It parses an encryption event strictly (matrix-sdk 0.18: with one odd optional field the room counts as never
/// encrypted), and takes neither messages nor predecessors into account. There is one algorithm; rotation is the SDK's
/// default.
async fn make_sdk_encrypt(room: &Room) -> Result<(), MatrixError> {
    let settings = room.encryption_settings().and_then(|settings| settings.algorithm);
    let named = settings.map(|algorithm| algorithm.to_string());
    if named.as_deref() != Some(MEGOLM) || !room.encryption_state().is_encrypted() {
        let settings: PossiblyRedactedRoomEncryptionEventContent =
            serde_json::from_value(json!({ "algorithm": MEGOLM }))
                .map_err(|error| MatrixError::Sdk(matrix_sdk::Error::from(error)))?;
        let changed = room.update_and_save_room_info(|mut info| {
            info.mark_encryption_state_synced();
            info.set_encryption_event(Some(settings));
            (info, RoomInfoNotableUpdateReasons::empty())
        });
        changed.await.map_err(matrix_sdk::Error::from)?;
    }
    if room.encryption_state().is_encrypted() {
        return Ok(());
    }
    Err(MatrixError::EncryptionUnknown { room: room.room_id().to_string() })
}

/// A refusal to show another room's state reveals nothing about that room.
fn visible<T>(read: Result<Option<T>, MatrixError>) -> Result<Option<T>, MatrixError> {
    match read {
        Err(error) if !error.is_passing() => Ok(None),
        read => read,
    }
}
