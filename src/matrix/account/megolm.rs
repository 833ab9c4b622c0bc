//! What an encrypted event says around its message. Whoever runs the homeserver writes it, except for the ciphertext.

use matrix_sdk_base::crypto::vodozemac::megolm::MegolmMessage;
use ruma::{OwnedUserId, RoomId};
use serde_json::{Map, Value};

use crate::core::{id, sealed::heard::Ciphertext};

/// A message as an encrypted event carries it (spec, `m.megolm.v1.aes-sha2`).
pub(super) struct Megolm {
    pub(super) sender: OwnedUserId,
    /// The session's id.
    pub(super) session: String,
    pub(super) message: MegolmMessage,
}

impl Megolm {
    /// Reads an encrypted event; `None` if it has no such message.
    pub(super) fn of(json: &str) -> Option<Self> {
        let event: Map<String, Value> = serde_json::from_str(json).ok()?;
        let content = event.get("content")?.as_object()?;
        let text = |name: &str| content.get(name).and_then(Value::as_str);
        Some(Self {
            sender: id::user(event.get("sender")?.as_str()?)?,
            session: text("session_id")?.to_owned(),
            message: MegolmMessage::from_base64(text("ciphertext")?).ok()?,
        })
    }

    /// Returns where the message stands in its session: each index belongs to one message, and the ciphertext is signed.
    pub(super) fn place(&self, room: &RoomId) -> Ciphertext {
        Ciphertext::new(room, &self.sender, &self.session, self.message.message_index())
    }
}
