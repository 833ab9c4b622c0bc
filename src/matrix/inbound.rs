//! Parses events from the wire into core's; leniently, because others wrote every field.

use std::{borrow::Cow, collections::BTreeSet};

use matrix_sdk::deserialized_responses::{
    AlgorithmInfo, TimelineEvent, TimelineEventKind, UnableToDecryptReason, UnsignedDecryptionResult,
    UnsignedEventLocation, VerificationLevel, VerificationState, WithheldCode,
};
use ruma::{
    EventId, RoomId,
    events::{
        AnySyncMessageLikeEvent, AnySyncStateEvent, AnySyncTimelineEvent, SyncMessageLikeEvent, SyncStateEvent,
        room::{
            encrypted::OriginalSyncRoomEncryptedEvent,
            member::{MembershipState, SyncRoomMemberEvent},
        },
    },
    serde::Raw,
};
use serde::de::IgnoredAny;

mod facts;
mod fields;
mod message;
mod redaction;

use crate::core::{
    event::{EventKind, MemberChange, Membership, Message, RoomEvent},
    id, json,
    power::{Levels, Version},
    sealed::{Carriage, heard::Ciphertext},
    time::Timestamp,
    words::KeyMissing,
};

/// The content field that marks an approval card.
pub(super) const CARD_MARK: &str = "dev.workmate.card";
/// The content field in which an answer's sources stand.
pub(crate) const SOURCES_MARK: &str = "dev.workmate.sources";

/// The event types that count when they come out of ciphertext: those that people say something with. Unknown types may
/// count too ([`message::may_be_spoken`]).
///
/// State, redactions and reactions are never encrypted (spec, "m.room.encrypted"; MSC3414 is not in use): the
/// homeserver cannot check the sender's right to what it cannot read.
const SAID_IN_PRIVATE: [&str; 10] = [
    "m.beacon",
    "org.matrix.msc3489.beacon",
    "org.matrix.msc3672.beacon",
    "m.room.message",
    "m.poll.start",
    "m.poll.response",
    "m.poll.end",
    "org.matrix.msc3381.poll.start",
    "org.matrix.msc3381.poll.response",
    "org.matrix.msc3381.poll.end",
];

/// A room's rules for reading its events.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// The rules of the room's version; `None` if it is unknown.
    pub version: Option<Version>,
    /// The room's power levels, if they were requested.
    pub levels: Option<Levels>,
}

/// An event that a client read, with its ciphertext if it could not be decrypted.
#[derive(Clone, Debug)]
pub struct Read {
    /// The event in core's form.
    pub event: RoomEvent,
    /// The encrypted event, kept for retrying decryption.
    pub sealed: Option<Raw<OriginalSyncRoomEncryptedEvent>>,
    /// The likely reason why it could not be decrypted; only if it is sealed.
    pub key_missing: Option<KeyMissing>,
    /// Whether it arrived encrypted (and was decrypted).
    pub was_encrypted: bool,
    /// The Curve25519 key of the device that sent the session's key.
    pub sender_key: Option<String>,
    /// Where it stands in its session; only if it was decrypted from the ciphertext of a transaction.
    pub ciphertext: Option<Ciphertext>,
}

impl Read {
    /// Returns whether it came encrypted.
    #[must_use]
    pub fn carriage(&self) -> Carriage {
        if self.was_encrypted { Carriage::Encrypted } else { Carriage::Plain }
    }

    /// Wraps an event that came unencrypted.
    #[must_use]
    pub fn plain(event: RoomEvent) -> Self {
        Self { event, sealed: None, key_missing: None, was_encrypted: false, sender_key: None, ciphertext: None }
    }
}

/// Parses an event that the SDK has processed; `None` if it has no usable envelope.
#[must_use]
pub fn from_timeline(room: &RoomId, rules: &Rules, event: &TimelineEvent) -> Option<Read> {
    let raw = event.raw();
    match &event.kind {
        TimelineEventKind::PlainText { .. } => Some(Read::plain(from_raw(room, rules, raw)?)),
        // Decrypted but not JSON: no other key would help.
        TimelineEventKind::UnableToDecrypt { utd_info, .. }
            if utd_info.reason == UnableToDecryptReason::PayloadDeserializationFailure =>
        {
            let event = envelope(room, raw, message::unreadable(facts::sealed(raw)))?;
            Some(Read { was_encrypted: true, ..Read::plain(event) })
        }
        TimelineEventKind::UnableToDecrypt { utd_info, .. } => {
            let event = envelope(room, raw, facts::sealed(raw))?;
            let key_missing = Some(key_missing(&utd_info.reason));
            let sealed = Some(raw.clone().cast_unchecked());
            Some(Read { sealed, key_missing, was_encrypted: true, ..Read::plain(event) })
        }
        TimelineEventKind::Decrypted(decrypted) => {
            // The homeserver attributes this ciphertext to a user who did not write it.
            let forged = matches!(
                decrypted.encryption_info.verification_state,
                VerificationState::Unverified(VerificationLevel::MismatchedSender)
            );
            let event = if forged || !is_said_in_private(raw) {
                envelope(room, raw, EventKind::Other("m.room.encrypted".to_owned()))?
            } else {
                from_raw(room, rules, raw)?
            };
            let sender_key = match &decrypted.encryption_info.algorithm_info {
                AlgorithmInfo::MegolmV1AesSha2 { curve25519_key, .. } => Some(curve25519_key.clone()),
                AlgorithmInfo::OlmV1Curve25519AesSha2 { .. } => None,
            };
            Some(Read { was_encrypted: true, sender_key, ..Read::plain(event) })
        }
    }
}

/// Parses an event that we decrypted ourselves; also takes the key of its sending device.
pub(super) fn from_decrypted(room: &RoomId, raw: &Raw<AnySyncTimelineEvent>, sender_key: String) -> Option<Read> {
    let event = if is_said_in_private(raw) {
        from_raw(room, &Rules::default(), raw)?
    } else {
        envelope(room, raw, EventKind::Other("m.room.encrypted".to_owned()))?
    };
    Some(Read { was_encrypted: true, sender_key: Some(sender_key), ..Read::plain(event) })
}

/// Returns what an encrypted event says in the clear about its relation; `None` if it says nothing.
pub(super) fn around(raw: &Raw<AnySyncTimelineEvent>) -> Option<Message> {
    let is_there = fields::content(raw).get("m.relates_to").is_some_and(|relation| !relation.is_null());
    match facts::sealed(raw) {
        EventKind::Undecryptable(message) if is_there => Some(message.unwrap_or_else(|| Message::text(""))),
        _ => None,
    }
}

fn has_state_key(raw: &Raw<AnySyncTimelineEvent>) -> bool {
    !matches!(raw.get_field::<IgnoredAny>("state_key"), Ok(None))
}

/// Returns whether people can say something with events of a type, unknown types included.
#[must_use]
pub fn may_be_said(event_type: &str) -> bool {
    SAID_IN_PRIVATE.contains(&event_type) || message::may_be_spoken(event_type)
}

/// Returns whether a decrypted event is a message; with a state key it would be state.
fn is_said_in_private(raw: &Raw<AnySyncTimelineEvent>) -> bool {
    raw.get_field::<String>("type").ok().flatten().is_some_and(|event_type| may_be_said(&event_type))
        && !has_state_key(raw)
}

/// Returns the likely cause from the sender's withheld code (spec, "Reporting that decryption keys are withheld") and
/// from the key that we have.
fn key_missing(reason: &UnableToDecryptReason) -> KeyMissing {
    use WithheldCode::{Blacklisted, HistoryNotShared, Unauthorised, Unverified};
    match reason {
        UnableToDecryptReason::MissingMegolmSession {
            withheld_code: Some(Blacklisted | Unverified | Unauthorised),
        } => KeyMissing::Withheld,
        UnableToDecryptReason::MissingMegolmSession { withheld_code: Some(HistoryNotShared) }
        | UnableToDecryptReason::UnknownMegolmMessageIndex => KeyMissing::BeforeJoining,
        _ => KeyMissing::NotSent,
    }
}

/// Parses an unencrypted event from a transaction.
#[must_use]
pub fn from_json(room: &RoomId, rules: &Rules, json: &str) -> Option<RoomEvent> {
    let raw = Raw::from_json_string(json.to_owned()).ok()?;
    from_raw(room, rules, &raw)
}

/// Returns the content of an event as it came.
#[must_use]
pub fn content_of(json: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Envelope<'a> {
        #[serde(borrow)]
        content: &'a serde_json::value::RawValue,
    }
    let envelope: Envelope<'_> = serde_json::from_str(json).ok()?;
    Some(envelope.content.get().to_owned())
}

/// Returns the newest edit bundled with an event (`m.replace` in its `unsigned`), decrypted with it.
#[must_use]
pub fn bundled_edit(room: &RoomId, event: &TimelineEvent) -> Option<RoomEvent> {
    #[derive(serde::Deserialize)]
    struct Unsigned {
        #[serde(rename = "m.relations")]
        relations: Relations,
    }
    #[derive(serde::Deserialize)]
    struct Relations {
        #[serde(rename = "m.replace")]
        replace: Raw<AnySyncTimelineEvent>,
    }
    let unsigned: Unsigned = event.raw().get_field("unsigned").ok().flatten()?;
    let edit = &unsigned.relations.replace;
    if let TimelineEventKind::Decrypted(decrypted) = &event.kind {
        let bundled = decrypted.unsigned_encryption_info.as_ref();
        let bundled = bundled.and_then(|bundled| bundled.get(&UnsignedEventLocation::RelationsReplace));
        // An edit of an encrypted message is encrypted too (spec, "Validity of replacement events").
        if !matches!(bundled, Some(UnsignedDecryptionResult::Decrypted(_))) || !is_said_in_private(edit) {
            return None;
        }
    }
    from_raw(room, &Rules::default(), edit).filter(|edit| matches!(edit.kind, EventKind::Edit { .. }))
}

/// Returns the events without unencrypted edits of encrypted messages, which the homeserver could have written (spec,
/// "Validity of replacement events").
pub fn together<'a>(read: impl Iterator<Item = &'a Read> + Clone) -> Vec<RoomEvent> {
    let encrypted: BTreeSet<&EventId> =
        read.clone().filter(|read| read.was_encrypted).map(|read| &*read.event.id).collect();
    let as_they_count = read.map(|read| match &read.event.kind {
        EventKind::Edit { target, .. } if !read.was_encrypted && encrypted.contains(&**target) => {
            RoomEvent { kind: EventKind::Other("m.room.message".to_owned()), ..read.event.clone() }
        }
        _ => read.event.clone(),
    });
    as_they_count.collect()
}

fn envelope(room: &RoomId, raw: &Raw<AnySyncTimelineEvent>, kind: EventKind) -> Option<RoomEvent> {
    let text = |field: &str| raw.get_field::<String>(field).ok().flatten();
    Some(RoomEvent {
        room: room.to_owned(),
        id: id::event(&text("event_id")?)?,
        sender: id::user(&text("sender")?)?,
        sent_at: Timestamp::from_ms(raw.get_field::<i64>("origin_server_ts").ok().flatten().unwrap_or_default()),
        kind: kind.fit(),
    })
}

fn from_raw(room: &RoomId, rules: &Rules, raw: &Raw<AnySyncTimelineEvent>) -> Option<RoomEvent> {
    // A field nested too deeply for the parser costs only itself.
    if let Cow::Owned(shallow) = json::shallow(raw.json().get()) {
        return from_raw(room, rules, &Raw::from_json_string(shallow).ok()?);
    }
    let known = message::of(raw).or_else(|| facts::of(raw)).or_else(|| redaction::of(raw, rules));
    if let Some(kind) = known.or_else(|| message::of_unknown_type(raw)) {
        return envelope(room, raw, kind);
    }
    let kind = match raw.deserialize() {
        Ok(AnySyncTimelineEvent::MessageLike(event)) => message_like(event, raw),
        Ok(AnySyncTimelineEvent::State(AnySyncStateEvent::RoomMember(event))) => member(&event),
        Ok(AnySyncTimelineEvent::State(event)) => EventKind::Other(event.event_type().to_string()),
        // The content breaks the spec: the event exists, but we can use none of it.
        Err(_) => broken_member(raw)
            .unwrap_or_else(|| EventKind::Other(raw.get_field::<String>("type").ok().flatten().unwrap_or_default())),
    };
    envelope(room, raw, kind)
}

fn message_like(event: AnySyncMessageLikeEvent, raw: &Raw<AnySyncTimelineEvent>) -> EventKind {
    match event {
        AnySyncMessageLikeEvent::RoomEncrypted(SyncMessageLikeEvent::Redacted(_)) => EventKind::Redacted,
        AnySyncMessageLikeEvent::RoomEncrypted(SyncMessageLikeEvent::Original(_)) => facts::sealed(raw),
        AnySyncMessageLikeEvent::Reaction(SyncMessageLikeEvent::Original(event)) if is_annotation(raw) => {
            EventKind::Reaction { target: event.content.relates_to.event_id, key: event.content.relates_to.key }
        }
        other => EventKind::Other(other.event_type().to_string()),
    }
}

/// Returns whether a reaction relates to its event as one. No client shows any other, which the SDK takes too.
fn is_annotation(raw: &Raw<AnySyncTimelineEvent>) -> bool {
    let content = raw.get_field::<serde_json::Value>("content").ok().flatten().unwrap_or_default();
    content["m.relates_to"]["rel_type"] == "m.annotation"
}

fn member(event: &SyncRoomMemberEvent) -> EventKind {
    let membership = membership(event.membership());
    let content = match event {
        SyncStateEvent::Original(event) => Some(&event.content),
        SyncStateEvent::Redacted(_) => None,
    };
    EventKind::Member(MemberChange {
        user: event.state_key().clone(),
        membership,
        display_name: content.and_then(|content| content.displayname.clone()),
    })
}

/// Returns a membership whose other content breaks the spec, because the homeserver acts on it anyway.
fn broken_member(raw: &Raw<AnySyncTimelineEvent>) -> Option<EventKind> {
    #[derive(serde::Deserialize)]
    struct Content {
        membership: String,
    }
    let is_member = raw.get_field::<String>("type").ok().flatten()? == "m.room.member";
    let user = id::user(&raw.get_field::<String>("state_key").ok().flatten()?).filter(|_| is_member)?;
    let content: Content = raw.get_field("content").ok().flatten()?;
    let membership = membership(&MembershipState::from(content.membership));
    Some(EventKind::Member(MemberChange { user, membership, display_name: None }))
}

/// Maps a membership; an unknown one counts as having left.
pub(super) fn membership(state: &MembershipState) -> Membership {
    match state {
        MembershipState::Join => Membership::Join,
        MembershipState::Invite => Membership::Invite,
        MembershipState::Ban => Membership::Ban,
        MembershipState::Knock => Membership::Knock,
        _ => Membership::Leave,
    }
}

#[cfg(test)]
mod tests;
