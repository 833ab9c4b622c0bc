//! Times as people and programs read them: RFC 3339 in UTC, with milliseconds.

use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

use super::Timestamp;

pub(super) fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    shown(*at).serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    let at: jiff::Timestamp = text.parse().map_err(D::Error::custom)?;
    Ok(Timestamp::from_ms(at.as_millisecond()))
}

/// Times outside of jiff's years are shown as its bounds.
pub(super) fn shown(at: Timestamp) -> String {
    let bounds = (jiff::Timestamp::MIN.as_millisecond(), jiff::Timestamp::MAX.as_millisecond());
    let at = jiff::Timestamp::from_millisecond(at.as_ms().clamp(bounds.0, bounds.1)).unwrap_or_default();
    format!("{at:.3}")
}
