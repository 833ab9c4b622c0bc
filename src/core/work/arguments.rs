//! Reads a call's arguments strictly: what people are shown, what is carried out and what the model wrote are one thing.
//!
//! JSON leaves open what a key that stands twice means, and readers of numbers differ about those that are too large. Such
//! arguments are taken from nobody: the model is told, and writes them anew.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Map, Value, value::RawValue};

/// Arguments that are nested deeper are refused. With what stands around them they have to be read again from the
/// journal, whose reader stops at 128.
pub(super) const DEPTH_MAX: usize = 64;

/// Why arguments cannot be taken as they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unclear;

/// What a call is made with.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Arguments {
    /// It can be read in one way only.
    Clear(Value),
    /// It cannot; as the model wrote it.
    Unclear(String),
}

impl Arguments {
    pub(super) fn read(raw: &str) -> Self {
        read(raw).map_or_else(|_| Self::Unclear(raw.to_owned()), Self::Clear)
    }

    pub(super) fn is_object(&self) -> bool {
        matches!(self, Self::Clear(Value::Object(_)))
    }
}

/// Returns the value that `raw` is, where it can be only one.
fn read(raw: &str) -> Result<Value, Unclear> {
    value(raw.trim(), 0)
}

fn value(raw: &str, depth: usize) -> Result<Value, Unclear> {
    if depth > DEPTH_MAX {
        return Err(Unclear);
    }
    match raw.as_bytes().first() {
        Some(b'{') => {
            let mut object = Map::new();
            for (key, entry) in serde_json::from_str::<Entries>(raw).map_err(|_| Unclear)?.0 {
                if object.insert(key, value(entry.get(), depth + 1)?).is_some() {
                    return Err(Unclear);
                }
            }
            Ok(Value::Object(object))
        }
        Some(b'[') => {
            let items: Vec<Box<RawValue>> = serde_json::from_str(raw).map_err(|_| Unclear)?;
            items.iter().map(|item| value(item.get(), depth + 1)).collect()
        }
        Some(b'-' | b'0'..=b'9') => number(raw),
        // Half a surrogate pair is no character.
        _ => serde_json::from_str(raw).map_err(|_| Unclear),
    }
}

/// A whole number stays whole, and none becomes nothing or without end.
fn number(raw: &str) -> Result<Value, Unclear> {
    let value: Value = serde_json::from_str(raw).map_err(|_| Unclear)?;
    let is_whole = !raw.contains(['.', 'e', 'E']) && raw != "-0";
    let is_nothing = !raw.split(['e', 'E']).next().unwrap_or_default().contains(|digit| ('1'..='9').contains(&digit));
    let is_kept = match value.as_f64() {
        _ if is_whole => value.is_i64() || value.is_u64(),
        Some(number) => number.is_finite() && (number == 0.0) == is_nothing,
        None => false,
    };
    if is_kept { Ok(value) } else { Err(Unclear) }
}

/// The entries of an object, also those whose keys stand twice.
struct Entries(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c5_arguments_that_can_be_read_in_two_ways_are_not_taken() {
        let deep = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        let deepest = deep(DEPTH_MAX);
        let clear = [
            "{}",
            r#"{"to":"staging","steps":[{"to":1},{"to":2}]}"#,
            r#"{"a":-0,"b":0.0e9,"c":1e308,"d":-1.5,"e":18446744073709551615,"f":-9223372036854775808,"g":3.14159265358979}"#,
            r#"["\ud83d\ude00",null,true," "]"#,
            &deepest,
        ];
        for raw in clear {
            assert_eq!(read(raw).ok(), serde_json::from_str(raw).ok(), "{raw}");
        }
        let deeper = deep(DEPTH_MAX + 1);
        let bottomless = deep(100_000);
        let unclear = [
            r#"{"to":"staging","to":"production"}"#,
            r#"{"to":"staging","\u0074o":"production"}"#,
            r#"{"to":"same","to":"same"}"#,
            r#"{"a":[{"b":{"c":1,"c":2}}]}"#,
            r#"{"amount":1e400}"#,
            r#"{"amount":-1e400}"#,
            r#"{"amount":1e-400}"#,
            r#"{"account":12345678901234567890123}"#,
            r#"{"name":"\ud800"}"#,
            r#"{"\udfff":1}"#,
            &deeper,
            &bottomless,
        ];
        for raw in unclear {
            assert_eq!(read(raw), Err(Unclear), "{}", &raw[..raw.len().min(60)]);
        }
    }
}
