//! Whether a room may be spoken in plainly: never again, once anything of it was encrypted (C8, invariants 3 and 9).
//!
//! What was seen of a room only ever adds to its [`Seal`], in whatever order it is seen; nothing takes any of it back.

use serde::{Deserialize, Deserializer, Serialize, de::IgnoredAny};
use serde_json::Value;

use ruma::OwnedRoomId;

#[cfg(test)]
mod tests;

/// The state event that turns a room's encryption on (spec, "m.room.encryption").
pub const ENCRYPTION: &str = "m.room.encryption";
/// An encrypted message (spec, "m.room.encrypted").
pub const ENCRYPTED: &str = "m.room.encrypted";
/// The one algorithm for rooms that the specification knows.
pub const MEGOLM: &str = "m.megolm.v1.aes-sha2";

/// Events with content of ours that stay plain in an encrypted room, by the specification: emoji on messages.
pub const PLAIN_BY_DESIGN: [&str; 1] = ["m.reaction"];

/// That a room was encrypted, and how. Its being there is what counts; its fields only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Seal {
    /// Whether the room's own state asked for it: people's clients encrypt there, so what came plainly is suspect.
    #[serde(default)]
    pub demanded: bool,
    /// Whether [`MEGOLM`] was named in state, or a request came encrypted with it.
    #[serde(default)]
    pub megolm: bool,
    /// Whether the room's state named an algorithm that we do not know.
    #[serde(default)]
    pub foreign: bool,
}

/// How an event came to us.
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
    /// As the room is: it was never encrypted.
    Plain,
    /// Encrypted, whatever the room's state says now.
    Encrypted,
    /// Not at all: the room's state asks for an encryption that we do not know, and nobody was seen to use ours.
    Refused,
}

impl Seal {
    /// Returns the seal of an encryption event in a room's state, whatever its content.
    ///
    /// The specification has one, with an empty state key. Under another key it turns nothing on in any client, so people
    /// there write plainly; all the same somebody wanted the room encrypted, and we are careful.
    #[must_use]
    pub fn of_state(state_key: &str, content: &Value) -> Self {
        let algorithm = content.get("algorithm").and_then(Value::as_str);
        let (demanded, megolm) = (state_key.is_empty(), algorithm == Some(MEGOLM));
        Self { demanded, megolm, foreign: demanded && algorithm.is_some_and(|named| named != MEGOLM) }
    }

    /// Returns the seal of a request that was decrypted: whoever sent it can read [`MEGOLM`], which is all there is.
    #[must_use]
    pub const fn of_message() -> Self {
        Self { demanded: false, megolm: true, foreign: false }
    }

    /// Returns the seal of a room whose predecessor has this one: people take it for the same room.
    #[must_use]
    pub const fn of_predecessor(self) -> Self {
        Self { demanded: false, ..self }
    }

    /// Returns the seal of a room of which it is known that there is one, and no more.
    #[must_use]
    pub const fn unreadable() -> Self {
        Self { demanded: true, megolm: true, foreign: false }
    }

    /// Returns what both say together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            demanded: self.demanded || other.demanded,
            megolm: self.megolm || other.megolm,
            foreign: self.foreign || other.foreign,
        }
    }

    /// Returns what an event says of the encryption of its room: an encryption event, or an invite that shows the state of
    /// the room. `json` is the whole event; a malformed one says what can be read of it. An encrypted message says nothing:
    /// anybody can send one, or what looks like one, and would so take a plain room from everybody else.
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

/// Decides how we may speak in a room, to a request that came as `asked`.
#[must_use]
pub const fn speech(seal: Option<Seal>, asked: Carriage) -> Speech {
    match (seal, asked) {
        (None, Carriage::Plain) => Speech::Plain,
        (Some(Seal { foreign: true, megolm: false, .. }), Carriage::Plain) => Speech::Refused,
        _ => Speech::Encrypted,
    }
}

/// Returns whether what came as `asked` is not obeyed: plain text in a room whose people encrypt is nobody's whom the
/// homeserver could not have made up. `allowed`: the operator knows, because of a bridge (`workspace.obey_unencrypted`).
#[must_use]
pub const fn is_suspect(seal: Option<Seal>, asked: Carriage, allowed: bool) -> bool {
    matches!((seal, asked), (Some(Seal { demanded: true, .. }), Carriage::Plain)) && !allowed
}

/// Returns the room that another replaces, by the content of its `m.room.create`.
#[must_use]
pub fn predecessor(create: &Value) -> Option<OwnedRoomId> {
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

/// What an invite shows of a room's state, as far as it can be read.
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

/// Reads what is of another shape than it should be as if it were not there.
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
