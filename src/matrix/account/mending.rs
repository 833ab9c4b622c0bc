//! Decrypts messages that the SDK gives up because their JSON does not parse (matrix-sdk-crypto 0.18,
//! `InboundGroupSession::decrypt`). A program cut a text inside an emoji and left an unpaired surrogate, or nested a field
//! deeper than the parser goes. Here they are decrypted with the same key, mended and parsed.

use matrix_sdk::{
    deserialized_responses::{TimelineEvent, TimelineEventKind, UnableToDecryptReason},
    ruma::events::AnySyncTimelineEvent,
};
use matrix_sdk_base::crypto::{
    store::CryptoStore as _,
    vodozemac::{
        Curve25519PublicKey,
        megolm::{InboundGroupSession, SessionConfig},
    },
};
use ruma::{RoomId, UserId, serde::Raw};
use serde_json::{Map, Value};

use super::{Account, megolm::Megolm};
use crate::{
    core::json,
    matrix::inbound::{self, Read},
};

impl Account {
    /// Reads a message that the SDK decrypted but could not parse; `None` if it is not one, or is unreadable here too.
    pub(super) async fn mended(&self, room: &RoomId, event: &TimelineEvent) -> Option<Read> {
        let TimelineEventKind::UnableToDecrypt { utd_info, .. } = &event.kind else { return None };
        if utd_info.reason != UnableToDecryptReason::PayloadDeserializationFailure {
            return None;
        }
        let raw = event.raw();
        let Megolm { sender, session, message } = Megolm::of(raw.json().get())?;
        let session = self.crypto.get_inbound_group_session(room, &session).await.ok().flatten()?;
        let key = session.sender_key();
        if !self.is_of_a_device_of(&sender, key).await {
            return None;
        }
        let exported = session.export().await;
        let mut session = InboundGroupSession::import(&exported.session_key, SessionConfig::version_1());
        let plaintext = String::from_utf8_lossy(&session.decrypt(&message).ok()?.plaintext).into_owned();
        let mut whole: Map<String, Value> = serde_json::from_str(&json::shallow(&json::whole(&plaintext))).ok()?;
        // The SDK checks this too: a message for another room does not count here.
        if whole.get("room_id").and_then(Value::as_str) != Some(room.as_str()) {
            return None;
        }
        for field in ["event_id", "sender", "origin_server_ts", "unsigned"] {
            match raw.get_field::<Value>(field).ok().flatten() {
                Some(value) => whole.insert(field.to_owned(), value),
                None => whole.remove(field),
            };
        }
        let content = raw.get_field::<Map<String, Value>>("content").ok().flatten();
        let relation = content.and_then(|mut content| content.remove("m.relates_to"));
        if let (Some(Value::Object(said)), Some(relation)) = (whole.get_mut("content"), relation) {
            said.entry("m.relates_to").or_insert(relation);
        }
        let whole: Raw<AnySyncTimelineEvent> = Raw::new(&whole).ok()?.cast_unchecked();
        inbound::from_decrypted(room, &whole, key.to_base64())
    }

    /// Returns whether the key belongs to a device of the sender that the homeserver names.
    async fn is_of_a_device_of(&self, sender: &UserId, key: Curve25519PublicKey) -> bool {
        let devices = self.client().encryption().get_user_devices(sender).await;
        devices.is_ok_and(|devices| devices.devices().any(|device| device.curve25519_key() == Some(key)))
    }
}
