//! Content blocks without loss: unknown blocks and fields keep their raw JSON.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, MapAccess, Visitor},
    ser::SerializeMap as _,
};
use serde_json::value::RawValue;

/// A JSON value kept as written, so that numbers, key order and escapes stay unchanged.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json(Box<RawValue>);

impl Json {
    /// Checks that `text` is one JSON value, and keeps it.
    ///
    /// # Errors
    /// When `text` is not JSON; the caller decides what that means.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        RawValue::from_string(text.to_owned()).map(Self)
    }

    /// Serialises a value.
    ///
    /// # Panics
    /// When `value` cannot be JSON (a map with non-string keys), which is a bug in the caller's type.
    #[must_use]
    pub fn of(value: &impl Serialize) -> Self {
        Self(serde_json::value::to_raw_value(value).expect("wire types serialize to JSON"))
    }

    /// Returns the text as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// Parses it as `T`.
    ///
    /// # Errors
    /// When it has another shape.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.as_str())
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

/// The fields of a JSON object in order, each as written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields(Vec<(String, Json)>);

impl Fields {
    /// Returns the value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Sets `name`, replacing its value in place if it exists.
    pub fn set(&mut self, name: &str, value: Json) {
        match self.0.iter_mut().find(|(key, _)| key == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// Returns all fields, in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Json)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    fn take(&mut self, name: &str) -> Option<Json> {
        let at = self.0.iter().position(|(key, _)| key == name)?;
        Some(self.0.remove(at).1)
    }

    /// Returns the value of `name` if it parses as `T`; otherwise it counts as absent.
    pub(crate) fn part<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        self.get(name)?.read().ok()
    }

    /// Returns a number of tokens or calls, rounded up. Negative, non-finite, non-numeric values and those above `max`
    /// count as absent.
    pub(crate) fn count(&self, name: &str, max: u64) -> Option<u64> {
        let raw = self.get(name)?.as_str().trim_matches('"');
        let whole = || raw.parse::<u64>().ok();
        let rounded = || {
            let number = raw.parse::<f64>().ok().filter(|number| (0.0..=1e15).contains(number))?;
            format!("{:.0}", number.ceil().abs()).parse::<u64>().ok()
        };
        whole().or_else(rounded).filter(|count| *count <= max)
    }

    fn take_string(&mut self, name: &str) -> Option<String> {
        self.take(name)?.read().ok()
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Fields::default();
                while let Some((key, value)) = map.next_entry::<String, Json>()? {
                    fields.set(&key, value);
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

/// A content block; `rest` keeps the fields without a name here, for sending back.
#[derive(Clone, Debug, PartialEq)]
pub enum ContentBlock {
    /// `text`
    Text {
        /// The text.
        text: String,
        /// `citations`, `cache_control` and newer fields.
        rest: Fields,
    },
    /// `thinking`: signed together with its exact prefix, so never edited.
    Thinking {
        /// The thinking, often empty.
        thinking: String,
        /// The signature by which the API trusts it when it comes back.
        signature: Option<String>,
        /// Newer fields.
        rest: Fields,
    },
    /// `redacted_thinking`
    RedactedThinking {
        /// The encrypted content.
        data: String,
        /// Newer fields.
        rest: Fields,
    },
    /// `tool_use`: a call of one of our tools.
    ToolUse {
        /// `toolu_…`
        id: String,
        /// The tool's name.
        name: String,
        /// The arguments as the model wrote them.
        input: Json,
        /// `caller` and newer fields.
        rest: Fields,
    },
    /// Any other type, as the whole object including `type`.
    Other(Fields),
}

/// `source` of an image or document.
#[derive(Serialize)]
struct Source<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    media_type: &'a str,
    data: &'a str,
}

/// Returns `citations` of a document or a search result. The API takes it in all of a request, or in none.
fn citable() -> Json {
    #[derive(Serialize)]
    struct Citations {
        enabled: bool,
    }
    Json::of(&Citations { enabled: true })
}

impl ContentBlock {
    /// Returns a text block.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into(), rest: Fields::default() }
    }

    /// Returns an image.
    #[must_use]
    pub fn image(media_type: &str, base64: &str) -> Self {
        let source = Json::of(&Source { kind: "base64", media_type, data: base64 });
        Self::other(&[("type", Json::of(&"image")), ("source", source)])
    }

    /// Returns something that a tool found, which the answer may cite.
    #[must_use]
    pub fn search_result(source: &str, title: &str, text: &str) -> Self {
        Self::other(&[
            ("type", Json::of(&"search_result")),
            ("source", Json::of(&source)),
            ("title", Json::of(&title)),
            ("content", Json::of(&[Self::text(text)])),
            ("citations", citable()),
        ])
    }

    /// Returns a PDF, which the answer may cite.
    #[must_use]
    pub fn pdf(title: &str, base64: &str) -> Self {
        Self::document(title, &Source { kind: "base64", media_type: "application/pdf", data: base64 })
    }

    /// Returns a text file as a document, which the answer may cite, so that its words are not mistaken for anybody's in the transcript.
    #[must_use]
    pub fn text_document(title: &str, text: &str) -> Self {
        Self::document(title, &Source { kind: "text", media_type: "text/plain", data: text })
    }

    /// Returns a file for the provider's container, by its id at the provider.
    #[must_use]
    pub fn container_upload(file: &str) -> Self {
        Self::other(&[("type", Json::of(&"container_upload")), ("file_id", Json::of(&file))])
    }

    fn document(title: &str, source: &Source<'_>) -> Self {
        let source = Json::of(source);
        let (kind, title) = (Json::of(&"document"), Json::of(&title));
        Self::other(&[("type", kind), ("source", source), ("title", title), ("citations", citable())])
    }

    fn other(fields: &[(&str, Json)]) -> Self {
        let mut all = Fields::default();
        for (name, value) in fields {
            all.set(name, value.clone());
        }
        Self::Other(all)
    }

    /// Returns the text of a text block.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Returns the block's `type`.
    #[must_use]
    pub fn kind(&self) -> String {
        match self {
            Self::Text { .. } => "text".to_owned(),
            Self::Thinking { .. } => "thinking".to_owned(),
            Self::RedactedThinking { .. } => "redacted_thinking".to_owned(),
            Self::ToolUse { .. } => "tool_use".to_owned(),
            Self::Other(fields) => fields.get("type").and_then(|kind| kind.read().ok()).unwrap_or_default(),
        }
    }

    /// A missing or mistyped required field becomes empty: it costs itself, and not the answer around it.
    fn from_fields(mut fields: Fields) -> Self {
        let kind: String = fields.part("type").unwrap_or_default();
        match kind.as_str() {
            "text" => Self::Text { text: fields.take_string("text").unwrap_or_default(), rest: fields },
            "thinking" => Self::Thinking {
                thinking: fields.take_string("thinking").unwrap_or_default(),
                signature: fields.take_string("signature"),
                rest: fields,
            },
            "redacted_thinking" => {
                Self::RedactedThinking { data: fields.take_string("data").unwrap_or_default(), rest: fields }
            }
            "tool_use" => Self::ToolUse {
                id: fields.take_string("id").unwrap_or_default(),
                name: fields.take_string("name").unwrap_or_default(),
                input: fields.take("input").unwrap_or_else(|| Json::of(&Fields::default())),
                rest: fields,
            },
            _ => return Self::Other(fields),
        }
        .without_type()
    }

    fn without_type(mut self) -> Self {
        if let Some(rest) = self.rest_mut() {
            rest.take("type");
        }
        self
    }

    /// Returns the fields without a name here; for an unknown block, all of them.
    pub(crate) fn rest_mut(&mut self) -> Option<&mut Fields> {
        match self {
            Self::Text { rest, .. }
            | Self::Thinking { rest, .. }
            | Self::RedactedThinking { rest, .. }
            | Self::ToolUse { rest, .. } => Some(rest),
            Self::Other(_) => None,
        }
    }
}

impl<'de> Deserialize<'de> for ContentBlock {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = Json::deserialize(deserializer)?.read().unwrap_or_default();
        Ok(Self::from_fields(fields))
    }
}

impl Serialize for ContentBlock {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let rest = match self {
            Self::Other(fields) => fields,
            Self::Text { text, rest } => {
                map.serialize_entry("type", "text")?;
                map.serialize_entry("text", text)?;
                rest
            }
            Self::Thinking { thinking, signature, rest } => {
                map.serialize_entry("type", "thinking")?;
                map.serialize_entry("thinking", thinking)?;
                if let Some(signature) = signature {
                    map.serialize_entry("signature", signature)?;
                }
                rest
            }
            Self::RedactedThinking { data, rest } => {
                map.serialize_entry("type", "redacted_thinking")?;
                map.serialize_entry("data", data)?;
                rest
            }
            Self::ToolUse { id, name, input, rest } => {
                map.serialize_entry("type", "tool_use")?;
                map.serialize_entry("id", id)?;
                map.serialize_entry("name", name)?;
                map.serialize_entry("input", input)?;
                rest
            }
        };
        for (key, value) in &rest.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_and_unknown_blocks_come_back_as_they_were_written() {
        for written in [
            r#"{"type":"text","text":"Hi","citations":null}"#,
            r#"{"type":"text","text":"é","new_field":{"z":1,"a":1.10}}"#,
            r#"{"type":"thinking","thinking":"","signature":"c2ln","estimated_tokens":12}"#,
            r#"{"type":"thinking","thinking":"hm"}"#,
            r#"{"type":"redacted_thinking","data":"opaque","v":2}"#,
            r#"{"type":"tool_use","id":"toolu_1","name":"f","input":{"b":1.50,"a":[]},"caller":{"type":"direct"}}"#,
            r#"{"type":"server_tool_use","id":"srvtoolu_1","input":{"q":12345678901234567890123}}"#,
            r#"{"never":"seen","type":"hologram","payload":"\u00e9"}"#,
        ] {
            let block: ContentBlock = serde_json::from_str(written).expect(written);
            assert_eq!(serde_json::to_string(&block).expect("a block serializes"), written);
        }
    }

    #[test]
    fn a3_a_block_without_what_its_type_needs_is_read_as_far_as_it_goes() {
        for (written, expected) in [
            (r#"{"text":"Hi"}"#, r#"{"text":"Hi"}"#),
            (r#"{"type":7,"text":"Hi"}"#, r#"{"type":7,"text":"Hi"}"#),
            (r#"{"type":"text"}"#, r#"{"type":"text","text":""}"#),
            (r#"{"type":"text","text":["a"]}"#, r#"{"type":"text","text":""}"#),
            (r#"{"type":"tool_use","id":7,"name":"f"}"#, r#"{"type":"tool_use","id":"","name":"f","input":{}}"#),
            (r#"{"type":"redacted_thinking"}"#, r#"{"type":"redacted_thinking","data":""}"#),
            ("[]", "{}"),
            ("null", "{}"),
        ] {
            let block: ContentBlock = serde_json::from_str(written).expect(written);
            assert_eq!(serde_json::to_string(&block).expect("a block serializes"), expected);
        }
    }

    #[test]
    fn a3_a_count_that_is_none_costs_itself_and_fractions_are_rounded_up() {
        for (told, expected) in [
            ("7", Some(7)),
            ("7.2", Some(8)),
            ("\"7\"", Some(7)),
            ("1e3", Some(1_000)),
            ("0", Some(0)),
            ("-0.0", Some(0)),
            ("1000001", None),
            ("18446744073709551615", None),
            ("18446744073709551616", None),
            ("1e400", None),
            ("-1", None),
            ("\"NaN\"", None),
            ("\"many\"", None),
            ("null", None),
            ("true", None),
            ("[7]", None),
            ("{}", None),
        ] {
            let fields: Fields = serde_json::from_str(&format!(r#"{{"count":1,"count":{told}}}"#)).expect("an object");
            assert_eq!(fields.count("count", 1_000_000), expected, "{told}");
        }
    }
}
