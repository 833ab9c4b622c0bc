//! Whether a room may be spoken to in plain text: never again once anything in it was encrypted (C8, invariants 3 and
//! 9).
//!
//! Observations of a room only add to its [`Seal`], in whatever order they come; nothing is ever taken back.

use serde::{Deserialize, Deserializer, Serialize, de::IgnoredAny};
use serde_json::Value;

use ruma::OwnedRoomId;

pub(crate) mod heard;
#[cfg(test)]
mod tests;

/// The state event that turns on a room's encryption (spec, "m.room.encryption").
pub(crate) const ENCRYPTION: &str = "m.room.encryption";
/// An encrypted message (spec, "m.room.encrypted").
pub(crate) const ENCRYPTED: &str = "m.room.encrypted";
/// The only room encryption algorithm in the specification.
pub(crate) const MEGOLM: &str = "m.megolm.v1.aes-sha2";

/// Events with our content that the specification leaves plain in encrypted rooms: emoji reactions.
pub(crate) const PLAIN_BY_DESIGN: [&str; 1] = ["m.reaction"];

/// The fact that a room was encrypted, and how. Its existence is what matters; its fields only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Seal {
    /// Whether the room's own state demanded it. People's clients then encrypt, so a plain message is suspect.
    #[serde(default)]
    pub demanded: bool,
    /// Whether state named [`MEGOLM`], or a request was encrypted with it.
    #[serde(default)]
    pub megolm: bool,
    /// Whether state named an algorithm that we do not know.
    #[serde(default)]
    pub foreign: bool,
}

/// How an event was transported to us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Carriage {
    /// In plain text: anybody between the sender and us could have written it.
    #[default]
    Plain,
    /// Encrypted, and we decrypted it.
    Encrypted,
}

/// How we may speak in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// In plain text: the room was never encrypted.
    Plain,
    /// Encrypted, whatever the room's state says now.
    Encrypted,
    /// Not at all: the state demands an unknown encryption, and nobody was seen to use ours.
    Refused,
}

impl Seal {
    /// Returns the seal of an encryption event in a room's state, whatever its content.
    ///
    /// The specification's event has an empty state key. Under another key it turns on nothing in any client, so people
    /// there write in plain text. Still, somebody wanted encryption, so we are careful.
    #[must_use]
    pub fn of_state(state_key: &str, content: &Value) -> Self {
        let algorithm = content.get("algorithm").and_then(Value::as_str);
        let (demanded, megolm) = (state_key.is_empty(), algorithm == Some(MEGOLM));
        Self { demanded, megolm, foreign: demanded && algorithm.is_some_and(|named| named != MEGOLM) }
    }

    /// Returns the seal of a decrypted request: its sender can read [`MEGOLM`], the only algorithm.
    #[must_use]
    pub const fn of_message() -> Self {
        Self { demanded: false, megolm: true, foreign: false }
    }

    /// Returns the seal of a room whose predecessor has this one: people take it for the same room.
    #[must_use]
    pub const fn of_predecessor(self) -> Self {
        Self { demanded: false, ..self }
    }

    /// Returns the seal for an unreadable record, of which only the existence is known.
    #[must_use]
    pub const fn unreadable() -> Self {
        Self { demanded: true, megolm: true, foreign: false }
    }

    /// Combines two seals.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            demanded: self.demanded || other.demanded,
            megolm: self.megolm || other.megolm,
            foreign: self.foreign || other.foreign,
        }
    }

    /// Returns the seal that an event implies: an encryption event, or an invite that shows the room's state. `json` is
    /// the whole event; of a malformed one the readable parts count. An encrypted message implies nothing, because
    /// anybody can send one, or its lookalike, and would so close a plain room to everybody else.
    #[must_use]
    pub fn of_event(event_type: &str, state_key: Option<&str>, json: &str) -> Option<Self> {
        match event_type {
            ENCRYPTION => {
                let state_key = state_key?;
                let event: StateEvent = serde_json::from_str(json).unwrap_or_default();
                let before = event.unsigned.prev_content.as_ref().map(|content| Self::of_state(state_key, content));
                Some(before.unwrap_or_default().and(Self::of_state(state_key, &event.content)))
            }
            "m.room.member" => {
                let event: StateEvent = serde_json::from_str(json).ok()?;
                let unsigned = event.unsigned;
                let shown = unsigned.invite_room_state.0.into_iter().chain(unsigned.knock_room_state.0);
                shown.filter_map(|state| state.seal()).reduce(Self::and)
            }
            _ => None,
        }
    }
}

/// Decides how we may speak in a room, answering a request transported as `asked`.
#[must_use]
pub(crate) const fn speech(seal: Option<Seal>, asked: Carriage) -> Speech {
    match (seal, asked) {
        (None, Carriage::Plain) => Speech::Plain,
        (Some(Seal { foreign: true, megolm: false, .. }), Carriage::Plain) => Speech::Refused,
        _ => Speech::Encrypted,
    }
}

/// Returns whether a message transported as `asked` must not be obeyed: in a room whose people encrypt, the homeserver
/// could have made up plain text. `allowed` means that the operator accepts this, e.g. for a bridge
/// (`workspace.obey_unencrypted`).
#[must_use]
pub(crate) const fn is_suspect(seal: Option<Seal>, asked: Carriage, allowed: bool) -> bool {
    matches!((seal, asked), (Some(Seal { demanded: true, .. }), Carriage::Plain)) && !allowed
}

/// Returns the room's predecessor, from the content of its `m.room.create`.
#[must_use]
pub(crate) fn predecessor(create: &Value) -> Option<OwnedRoomId> {
    let id = create.get("predecessor")?.get("room_id")?.as_str()?;
    crate::core::id::room(id)
}

#[derive(Default, Deserialize)]
struct StateEvent {
    #[serde(default)]
    content: Value,
    #[serde(default, deserialize_with = "or_default")]
    unsigned: Unsigned,
}

#[derive(Default, Deserialize)]
struct Unsigned {
    #[serde(default)]
    prev_content: Option<Value>,
    #[serde(default)]
    invite_room_state: Stripped,
    #[serde(default)]
    knock_room_state: Stripped,
}

/// The readable part of the room state in an invite.
#[derive(Default)]
struct Stripped(Vec<StrippedEvent>);

#[derive(Deserialize)]
struct StrippedEvent {
    #[serde(rename = "type")]
    event_type: String,
    #[serde(default)]
    state_key: String,
    #[serde(default)]
    content: Value,
}

impl StrippedEvent {
    fn seal(&self) -> Option<Seal> {
        (self.event_type == ENCRYPTION).then(|| Seal::of_state(&self.state_key, &self.content))
    }
}

impl<'de> Deserialize<'de> for Stripped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Entry {
            Event(StrippedEvent),
            Other(IgnoredAny),
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Entries {
            List(Vec<Entry>),
            Other(IgnoredAny),
        }
        let Entries::List(entries) = Entries::deserialize(deserializer)? else { return Ok(Self::default()) };
        let readable = |entry| match entry {
            Entry::Event(event) => Some(event),
            Entry::Other(_) => None,
        };
        Ok(Self(entries.into_iter().filter_map(readable).collect()))
    }
}

/// Deserialises a value of the wrong shape as if it were missing.
fn or_default<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either<T> {
        Fits(T),
        Other(IgnoredAny),
    }
    Ok(match Either::deserialize(deserializer)? {
        Either::Fits(value) => value,
        Either::Other(_) => T::default(),
    })
}
