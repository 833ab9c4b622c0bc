//! Serialises times as RFC 3339 in UTC, with milliseconds.

use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

use super::Timestamp;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
pub(super) fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    shown(*at).serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    read(&text).map_err(D::Error::custom)
}

/// Serialises a span as its two ends.
pub(super) mod span {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

    use super::{Timestamp, read, shown};

    #[expect(clippy::ref_option, reason = "serde calls it so")]
    pub(in super::super) fn serialize<S: Serializer>(
        span: &Option<(Timestamp, Timestamp)>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        span.map(|(from, to)| [shown(from), shown(to)]).serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<(Timestamp, Timestamp)>, D::Error> {
        let Some([from, to]) = Option::<[String; 2]>::deserialize(deserializer)? else { return Ok(None) };
        let [from, to] = [read(&from), read(&to)].map(|end| end.map_err(D::Error::custom));
        Ok(Some((from?, to?)))
    }
}

fn read(text: &str) -> Result<Timestamp, jiff::Error> {
    Ok(Timestamp::from_ms(text.parse::<jiff::Timestamp>()?.as_millisecond()))
}

/// Formats a time; one beyond jiff's range of years becomes the range's bound.
fn shown(at: Timestamp) -> String {
    let bounds = (jiff::Timestamp::MIN.as_millisecond(), jiff::Timestamp::MAX.as_millisecond());
    let at = jiff::Timestamp::from_millisecond(at.as_ms().clamp(bounds.0, bounds.1)).unwrap_or_default();
    format!("{at:.3}")
}
