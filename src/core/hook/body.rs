//! Reads a proven call's body.

use serde_json::Value;

use super::{Call, Denied, Sender};

/// How deeply a body may be nested.
pub const DEPTH_MAX: usize = 64;

/// Returns what a call's body says: JSON, the JSON in a form of a forge's, or plain text as a JSON text.
pub(super) fn read(sender: Sender, call: &Call<'_>) -> Result<Value, Denied> {
    let media_type = call.headers.get("content-type").unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let of_application = essence.strip_prefix("application/").unwrap_or_default();
    if of_application == "json" || of_application.ends_with("+json") {
        return json(call.body);
    }
    match essence.as_str() {
        // What GitHub and Forgejo send unless told otherwise.
        "application/x-www-form-urlencoded" if matches!(sender, Sender::Github | Sender::Forgejo) => {
            let mut fields = url::form_urlencoded::parse(call.body);
            let payload = fields.find(|(name, _)| name == "payload").ok_or(Denied::NotJson)?;
            json(payload.1.as_bytes())
        }
        "text/plain" if sender == Sender::Other => {
            let text = std::str::from_utf8(call.body).map_err(|_| Denied::NotJson)?;
            Ok(Value::String(text.to_owned()))
        }
        _ => Err(Denied::MediaType),
    }
}

fn json(bytes: &[u8]) -> Result<Value, Denied> {
    if depth(bytes) > DEPTH_MAX {
        return Err(Denied::TooDeep);
    }
    serde_json::from_slice(bytes).map_err(|_| Denied::NotJson)
}

/// Returns how deeply JSON is nested, without parsing it.
fn depth(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_text, mut escaped) = (false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}
