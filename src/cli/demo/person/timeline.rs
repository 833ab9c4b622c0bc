//! One room as a client has seen it: decrypted events in order of arrival.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use matrix_sdk::deserialized_responses::{EncryptionInfo, ShieldState, TimelineEvent, TimelineEventKind};
use ruma::{EventId, OwnedEventId, OwnedUserId, UserId, events::AnySyncTimelineEvent, serde::Raw};
use serde_json::{Value, value::RawValue};

use crate::{clock, core::time::Timestamp};

const DUMP_BODY_CHARS: usize = 160;

/// A room as one client has seen it since it started.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    /// The events in order of arrival.
    pub events: Vec<SeenEvent>,
    /// Users who were ever seen typing.
    pub typed: BTreeSet<OwnedUserId>,
    /// Users who are typing now.
    pub typing: BTreeSet<OwnedUserId>,
    /// The event of each user's newest read receipt.
    pub read: BTreeMap<OwnedUserId, OwnedEventId>,
}

/// An event as the client saw it.
#[derive(Clone, Debug)]
pub struct SeenEvent {
    /// The event's id; an edit has its own.
    pub event_id: OwnedEventId,
    /// The sender, as the homeserver says.
    pub sender: OwnedUserId,
    /// The type after decryption, e.g. `m.room.message`.
    pub kind: String,
    /// The content after decryption.
    pub content: Value,
    /// The redacted event's id; `None` if this is no redaction.
    pub redacts: Option<OwnedEventId>,
    /// `origin_server_ts`.
    pub sent_at: Timestamp,
    /// When this client read it, by this machine's clock.
    pub read_at: Timestamp,
    /// Whether and how it was encrypted.
    pub encryption: Encryption,
}

/// How an event was transported.
#[derive(Clone, Debug)]
pub enum Encryption {
    /// Not encrypted.
    Plain,
    /// Encrypted, and decrypted by this client.
    Decrypted(Arc<EncryptionInfo>),
    /// Encrypted, and this client has no key that it trusts.
    Undecryptable {
        /// The SDK's reason.
        reason: String,
        /// The event as it arrived, to retry when its key comes.
        raw: Raw<AnySyncTimelineEvent>,
    },
}

impl SeenEvent {
    /// Returns a message's text; empty for any other event.
    #[must_use]
    pub fn body(&self) -> &str {
        self.content["body"].as_str().unwrap_or_default()
    }

    /// Returns `m.text`, `m.notice` etc.; empty if it is not a message.
    #[must_use]
    pub fn msgtype(&self) -> &str {
        self.content["msgtype"].as_str().unwrap_or_default()
    }

    /// Returns whether this is a new message, not an edit, state event or reaction.
    #[must_use]
    pub fn is_message(&self) -> bool {
        self.kind == "m.room.message" && self.replaces().is_none()
    }

    /// Returns whether `m.mentions` names `user`.
    #[must_use]
    pub fn mentions(&self, user: &UserId) -> bool {
        self.content["m.mentions"]["user_ids"].as_array().is_some_and(|ids| ids.iter().any(|id| id == user.as_str()))
    }

    /// Returns the root of its thread.
    #[must_use]
    pub fn thread_root(&self) -> Option<&str> {
        self.related("m.thread")
    }

    /// Returns the id of the event that this edits.
    #[must_use]
    pub fn replaces(&self) -> Option<&str> {
        self.related("m.replace")
    }

    /// Returns the event that this replies to, including a thread's fallback.
    #[must_use]
    pub fn in_reply_to(&self) -> Option<&str> {
        self.content["m.relates_to"]["m.in_reply_to"]["event_id"].as_str()
    }

    /// Returns whether it arrived encrypted and was decrypted.
    #[must_use]
    pub fn is_decrypted(&self) -> bool {
        matches!(self.encryption, Encryption::Decrypted(_))
    }

    /// Returns the shields that a client shows beside it, in its default and in its strict view.
    #[must_use]
    pub fn shields(&self) -> Option<(ShieldState, ShieldState)> {
        let Encryption::Decrypted(info) = &self.encryption else { return None };
        Some((info.verification_state.to_shield_state_lax(), info.verification_state.to_shield_state_strict()))
    }

    fn related(&self, rel_type: &str) -> Option<&str> {
        let relation = &self.content["m.relates_to"];
        relation["event_id"].as_str().filter(|_| relation["rel_type"] == rel_type)
    }
}

impl Timeline {
    /// Returns the event with this id.
    #[must_use]
    pub fn event(&self, id: &EventId) -> Option<&SeenEvent> {
        self.events.iter().find(|event| event.event_id == id)
    }

    /// Returns the sender's new messages, without edits.
    pub fn messages_of(&self, sender: &UserId) -> impl Iterator<Item = &SeenEvent> {
        self.events.iter().filter(move |event| event.sender == sender && event.is_message())
    }

    /// Returns the sender's message that mentions `asker` and replies to `request` or is in its thread.
    #[must_use]
    pub fn answer(&self, request: &EventId, sender: &UserId, asker: &UserId) -> Option<&SeenEvent> {
        self.messages_of(sender).find(|event| {
            let related = [event.thread_root(), event.in_reply_to()].contains(&Some(request.as_str()));
            related && event.mentions(asker) && event.msgtype() == "m.text"
        })
    }

    /// Returns the text that a client shows for a message: its sender's last edit, or the original.
    #[must_use]
    pub fn shown_text(&self, id: &EventId) -> Option<&str> {
        let original = self.event(id)?;
        let edit = self.edits(id).last().and_then(|edit| edit.content["m.new_content"]["body"].as_str());
        Some(edit.unwrap_or_else(|| original.body()))
    }

    /// Returns the edits of a message by its sender, in order.
    pub fn edits(&self, id: &EventId) -> impl Iterator<Item = &SeenEvent> {
        let sender = self.event(id).map(|event| event.sender.clone());
        let id = id.to_owned();
        self.events
            .iter()
            .filter(move |event| event.replaces() == Some(id.as_str()) && Some(&event.sender) == sender.as_ref())
    }

    /// Returns whether an event was redacted.
    #[must_use]
    pub fn is_redacted(&self, id: &EventId) -> bool {
        self.events.iter().any(|event| event.redacts.as_deref() == Some(id))
    }

    /// Returns the reactions to an event as pairs of sender and key.
    pub fn reactions(&self, id: &EventId) -> impl Iterator<Item = (&UserId, &str)> {
        let id = id.to_owned();
        self.events.iter().filter_map(move |event| {
            let key = event.content["m.relates_to"]["key"].as_str()?;
            (event.related("m.annotation") == Some(id.as_str())).then_some((&*event.sender, key))
        })
    }

    /// Adds an event from a sync; ignores what does not parse as one.
    pub(super) fn take(&mut self, event: &TimelineEvent) {
        let Some(seen) = read(event) else { return };
        if self.event(&seen.event_id).is_none() {
            self.events.push(seen);
        }
    }

    /// Replaces an undecryptable event by its decrypted form.
    pub(super) fn replace(&mut self, event: &TimelineEvent) {
        let Some(seen) = read(event) else { return };
        if let Some(place) = self.events.iter_mut().find(|old| old.event_id == seen.event_id) {
            *place = seen;
        }
    }

    /// Notes typing notices and read receipts.
    pub(super) fn take_ephemeral(&mut self, json: &RawValue) {
        let Ok(event) = serde_json::from_str::<Value>(json.get()) else { return };
        if event["type"] == "m.typing" {
            let users = event["content"]["user_ids"].as_array().into_iter().flatten().filter_map(Value::as_str);
            self.typing = users.filter_map(|user| UserId::parse(user).ok()).collect();
            self.typed.extend(self.typing.iter().cloned());
        }
        if event["type"] != "m.receipt" {
            return;
        }
        for (event_id, receipts) in event["content"].as_object().into_iter().flatten() {
            let readers = ["m.read", "m.read.private"].into_iter().filter_map(|kind| receipts[kind].as_object());
            for user in readers.flat_map(serde_json::Map::keys) {
                if let (Ok(user), Ok(event_id)) = (UserId::parse(user), EventId::parse(event_id)) {
                    self.read.insert(user, event_id);
                }
            }
        }
    }

    pub(super) fn undecrypted(&self) -> impl Iterator<Item = Raw<AnySyncTimelineEvent>> {
        self.events.iter().filter_map(|event| match &event.encryption {
            Encryption::Undecryptable { raw, .. } => Some(raw.clone()),
            Encryption::Plain | Encryption::Decrypted(_) => None,
        })
    }
}

fn read(event: &TimelineEvent) -> Option<SeenEvent> {
    let json: Value = serde_json::from_str(event.raw().json().get()).ok()?;
    let encryption = match &event.kind {
        TimelineEventKind::Decrypted(decrypted) => Encryption::Decrypted(decrypted.encryption_info.clone()),
        TimelineEventKind::UnableToDecrypt { event, utd_info } => {
            Encryption::Undecryptable { reason: format!("{:?}", utd_info.reason), raw: event.clone() }
        }
        TimelineEventKind::PlainText { .. } => Encryption::Plain,
    };
    // Room version 11 moved `redacts` into the content.
    let redacts = json["redacts"].as_str().or_else(|| json["content"]["redacts"].as_str());
    Some(SeenEvent {
        event_id: event.event_id()?,
        sender: event.sender()?,
        kind: json["type"].as_str()?.to_owned(),
        redacts: redacts.and_then(|id| EventId::parse(id).ok()),
        sent_at: Timestamp::from_ms(json["origin_server_ts"].as_i64().unwrap_or_default()),
        read_at: clock::now(),
        content: json["content"].clone(),
        encryption,
    })
}

/// Prints a readable dump, for the error of a wait that found nothing.
impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for event in &self.events {
            let how = match &event.encryption {
                Encryption::Plain => "plain".to_owned(),
                Encryption::Decrypted(_) => "decrypted".to_owned(),
                Encryption::Undecryptable { reason, .. } => format!("UNDECRYPTABLE {reason}"),
            };
            let body: String = event.body().chars().take(DUMP_BODY_CHARS).collect();
            let relation = &event.content["m.relates_to"];
            writeln!(f, "  {} {} {} [{how}] {body:?}", event.event_id, event.sender, event.kind)?;
            if !relation.is_null() {
                writeln!(f, "    relates to {relation}")?;
            }
            if event.kind == "m.room.member" {
                writeln!(f, "    membership {}", event.content["membership"])?;
            }
        }
        write!(f, "  typed: {:?}; read: {:?}", self.typed, self.read)
    }
}
