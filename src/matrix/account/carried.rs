//! How a message came: plain, or in which ciphertext, and whether the relation around the ciphertext is the one inside.
//!
//! Whoever runs the homeserver writes what is around a ciphertext, and can send a ciphertext again as another event.

use matrix_sdk::ruma::events::room::encrypted::OriginalSyncRoomEncryptedEvent;
use ruma::{RoomId, events::AnySyncTimelineEvent, serde::Raw};
use serde_json::{Map, Value};

use super::{Account, megolm::Megolm};
use crate::{
    core::{
        event::{EventKind, Message, RoomEvent},
        sealed::heard::Ciphertext,
    },
    matrix::{
        error::MatrixError,
        inbound::{self, Rules},
    },
};

const RELATION: &str = "m.relates_to";

/// How a message came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carried {
    /// In the clear, where that counts.
    Plain,
    /// In this ciphertext; another event with it is the same message, sent again.
    Sealed(Ciphertext),
    /// It is not clear what its sender wrote, or about what.
    InDoubt,
}

impl Account {
    /// Returns the ciphertext of an event that was read, if the `json` of its transaction decrypts to just that.
    ///
    /// # Errors
    /// When it cannot be decrypted here, although it was read.
    pub async fn ciphertext_read(&self, event: &RoomEvent, json: &str) -> Result<Option<Ciphertext>, MatrixError> {
        let Some(ciphertext) = ciphertext_of(&event.room, json) else { return Ok(None) };
        let Ok(sealed) = Raw::<OriginalSyncRoomEncryptedEvent>::from_json_string(json.to_owned()) else {
            return Ok(None);
        };
        let decrypted = self.room(&event.room)?.decrypt_event(&sealed, None).await?;
        let read = Box::pin(self.opened(&event.room, &Rules::default(), &decrypted)).await;
        Ok(read.filter(|read| read.event == *event).map(|_| ciphertext))
    }

    /// Like [`Self::ciphertext_read`], with the event as the homeserver has it now.
    ///
    /// # Errors
    /// When the homeserver does not answer, and as for [`Self::ciphertext_read`].
    pub async fn ciphertext_fetched(&self, event: &RoomEvent) -> Result<Option<Ciphertext>, MatrixError> {
        let Some(raw) = self.fetched(event).await? else { return Ok(None) };
        self.ciphertext_read(event, raw.json().get()).await
    }

    /// Fetches an event as it is; `None` if the homeserver refuses.
    async fn fetched(&self, event: &RoomEvent) -> Result<Option<Raw<AnySyncTimelineEvent>>, MatrixError> {
        match self.raw_event(&event.room, &event.id).await {
            Err(error) if error.is_passing() => Err(error),
            found => Ok(found.ok()),
        }
    }

    /// Returns how a message came. It is fetched and decrypted again, so that the ciphertext is that of these words.
    ///
    /// # Errors
    /// When the homeserver does not answer.
    pub async fn carried(&self, event: &RoomEvent, plain_counts: bool) -> Result<Carried, MatrixError> {
        let room = self.room(&event.room)?;
        let Some(raw) = self.fetched(event).await? else { return Ok(Carried::InDoubt) };
        if raw.get_field::<String>("type").ok().flatten().as_deref() != Some("m.room.encrypted") {
            let counts = plain_counts || !self.is_sealed(&event.room);
            return Ok(if counts { Carried::Plain } else { Carried::InDoubt });
        }
        let Some(ciphertext) = ciphertext_of(&event.room, raw.json().get()) else { return Ok(Carried::InDoubt) };
        let Some(bare) = without_relation(&raw) else { return Ok(Carried::InDoubt) };
        let decrypted = room.decrypt_event(&bare, None).await?;
        let inside = Box::pin(self.opened(&event.room, &Rules::default(), &decrypted)).await;
        let outside = inbound::around(&raw);
        Ok(match inside.map(|read| read.event) {
            Some(RoomEvent { id, sender, kind: inside, .. })
                if id == event.id
                    && sender == event.sender
                    && is_as_written(&event.kind, &inside, outside.as_ref()) =>
            {
                Carried::Sealed(ciphertext)
            }
            _ => Carried::InDoubt,
        })
    }
}

fn ciphertext_of(room: &RoomId, json: &str) -> Option<Ciphertext> {
    Megolm::of(json).map(|sealed| sealed.place(room))
}

/// Returns an encrypted event without the relation around its ciphertext.
fn without_relation(raw: &Raw<AnySyncTimelineEvent>) -> Option<Raw<OriginalSyncRoomEncryptedEvent>> {
    let mut event: Map<String, Value> = raw.deserialize_as_unchecked().ok()?;
    event.get_mut("content")?.as_object_mut()?.remove(RELATION);
    Some(Raw::new(&event).ok()?.cast_unchecked())
}

/// Returns whether `said` is the message `inside` the ciphertext, and relates to what both it and what is around the
/// ciphertext name, as far as they name anything.
fn is_as_written(said: &EventKind, inside: &EventKind, outside: Option<&Message>) -> bool {
    let (EventKind::Message(said), EventKind::Message(inside)) = (said, inside) else { return said == inside };
    let relation = |message: &Message| (message.thread_root.clone(), message.reply_to.clone());
    let is_related = inside.relates || relation(inside) != (None, None);
    let agree = match outside {
        Some(outside) if is_related => relation(outside) == relation(inside) && relation(said) == relation(inside),
        Some(outside) => relation(said) == relation(outside),
        None => relation(said) == relation(inside),
    };
    agree && (&said.body, &said.html, &said.kind) == (&inside.body, &inside.html, &inside.kind)
}

#[cfg(test)]
mod tests {
    use matrix_sdk_base::crypto::vodozemac::megolm::{GroupSession, SessionConfig};
    use ruma::{owned_event_id, room_id};
    use serde_json::json;

    use super::*;

    fn reply(to: Option<&str>) -> Message {
        Message { reply_to: to.map(|to| ruma::EventId::parse(to).expect("an id")), ..Message::text("yes") }
    }

    fn message(message: &Message) -> EventKind {
        EventKind::Message(message.clone())
    }

    #[test]
    fn c12_the_relation_inside_a_ciphertext_and_the_one_around_it_have_to_name_the_same_card() {
        let (none, one, two) = (reply(None), reply(Some("$one")), reply(Some("$two")));
        let in_thread = Message { thread_root: Some(owned_event_id!("$root")), ..one.clone() };
        // What was read, what is inside, what is around it.
        let table = [
            (&one, &none, Some(&one), true),
            (&one, &one, Some(&one), true),
            (&one, &one, None, true),
            (&none, &none, None, true),
            (&one, &one, Some(&two), false),
            (&two, &one, Some(&two), false),
            (&one, &none, Some(&two), false),
            (&one, &one, Some(&none), false),
            (&one, &one, Some(&in_thread), false),
            (&one, &two, None, false),
        ];
        for (number, (said, inside, outside, counts)) in table.into_iter().enumerate() {
            assert_eq!(is_as_written(&message(said), &message(inside), outside), counts, "row {number}");
        }
        assert!(!is_as_written(&message(&one), &message(&Message::text("no")), Some(&one)), "other words");
    }

    #[test]
    fn c12_a_ciphertext_is_known_again_whatever_is_around_it() {
        let mut session = GroupSession::new(SessionConfig::version_1());
        let (first, second) = (session.encrypt("yes").to_base64(), session.encrypt("yes").to_base64());
        let of = |id: &str, ciphertext: &str, to: &str| {
            let content = json!({ "algorithm": "m.megolm.v1.aes-sha2", "ciphertext": ciphertext,
                "session_id": session.session_id(), RELATION: { "m.in_reply_to": { "event_id": to } } });
            let event = json!({ "type": "m.room.encrypted", "event_id": id, "sender": "@a:hs", "content": content });
            let raw = Raw::from_json_string(event.to_string()).expect("JSON");
            let bare = without_relation(&raw).expect("an encrypted event");
            assert!(!bare.json().get().contains(RELATION), "only what is inside is read");
            let ciphertext = ciphertext_of(room_id!("!room:hs"), raw.json().get()).expect("a ciphertext");
            assert_eq!(ciphertext_of(room_id!("!room:hs"), bare.json().get()), Some(ciphertext.clone()));
            ciphertext
        };
        assert_eq!(of("$a", &first, "$one"), of("$b", &first, "$two"));
        assert_ne!(of("$a", &first, "$one"), of("$c", &second, "$one"));
    }
}
