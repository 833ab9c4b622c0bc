//! Reads a proven call's body.

use serde_json::Value;

use super::{Call, Denied, Headers, Sender};
use crate::core::json;

/// How deeply a body may be nested.
pub(super) const DEPTH_MAX: usize = 64;
/// Most values of a body, those of lists and objects included: each takes many times its bytes once it is read.
pub(super) const VALUES_MAX: usize = 100_000;

/// What a body is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Json,
    /// JSON in a form, as forges send it.
    Form,
    Text,
}

/// Returns what a call's body is written in, by its headers.
pub(super) fn kind(sender: Sender, headers: &Headers) -> Result<Kind, Denied> {
    if headers.get("content-encoding").is_some_and(|coding| !coding.trim().eq_ignore_ascii_case("identity")) {
        return Err(Denied::Packed);
    }
    let media_type = headers.get("content-type").unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let of_application = essence.strip_prefix("application/").unwrap_or_default();
    if of_application == "json" || of_application.ends_with("+json") {
        return Ok(Kind::Json);
    }
    match essence.as_str() {
        // What GitHub and Forgejo send unless told otherwise.
        "application/x-www-form-urlencoded" if matches!(sender, Sender::Github | Sender::Forgejo) => Ok(Kind::Form),
        "text/plain" if sender == Sender::Other => Ok(Kind::Text),
        _ => Err(Denied::MediaType),
    }
}

/// Returns what a call's body says: JSON, the JSON in a form of a forge's, or plain text as a JSON text.
pub(super) fn read(sender: Sender, call: &Call<'_>) -> Result<Value, Denied> {
    match kind(sender, call.headers)? {
        Kind::Json => parsed(call.body),
        Kind::Form => {
            let mut fields = url::form_urlencoded::parse(call.body);
            let payload = fields.find(|(name, _)| name == "payload").ok_or(Denied::NotJson)?;
            parsed(payload.1.as_bytes())
        }
        Kind::Text => {
            let text = std::str::from_utf8(call.body).map_err(|_| Denied::NotJson)?;
            Ok(Value::String(text.to_owned()))
        }
    }
}

fn parsed(bytes: &[u8]) -> Result<Value, Denied> {
    let (depth, values) = extent(bytes);
    if depth > DEPTH_MAX {
        return Err(Denied::TooDeep);
    }
    if values > VALUES_MAX {
        return Err(Denied::TooMany);
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    serde_json::from_slice(bytes).or_else(|_| {
        // What others write and no parser of ours takes: half an emoji of a text that was cut, numbers without end.
        let text = std::str::from_utf8(bytes).map_err(|_| Denied::NotJson)?;
        serde_json::from_str(&json::whole(text)).map_err(|_| Denied::NotJson)
    })
}

/// Returns how deeply JSON is nested and about how many values it has, without parsing it.
fn extent(bytes: &[u8]) -> (usize, usize) {
    let (mut depth, mut deepest, mut values) = (0_usize, 0, 1);
    let (mut in_text, mut escaped) = (false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => {
                depth += 1;
                values += 1;
                deepest = deepest.max(depth);
            }
            b',' if !in_text => values += 1,
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    (deepest, values)
}
