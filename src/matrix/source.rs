//! Where a file is, as a message says it.

use ruma::{MxcUri, events::room, serde::JsonObject};
use serde_json::{Value, json};

use crate::core::event::MediaSource;

/// The longest `mxc:` URI: a server name has at most 230 characters, an id about 65.
const URI_BYTES_MAX: usize = 240;

/// Returns the source of a file in a message's content; `None` if it has no `mxc:` URI or lacks what decryption needs.
pub(super) fn source_in(content: &JsonObject) -> Option<MediaSource> {
    let source = match content.get("file") {
        Some(Value::Object(file)) => room::MediaSource::Encrypted(Box::new(encrypted(file)?)),
        _ => room::MediaSource::Plain(content.get("url")?.as_str()?.into()),
    };
    checked(uri(&source))?;
    serde_json::to_string(&source).ok().map(MediaSource::new)
}

/// Reads only the fields that decryption needs; the others have fixed values (spec, "Extensions to `m.room.message`
/// msgtypes").
fn encrypted(file: &JsonObject) -> Option<room::EncryptedFile> {
    let (key, hashes) = (file.get("key")?, file.get("hashes")?);
    let url_safe = |value: &Value| Some(unpadded(value.as_str()?).replace('+', "-").replace('/', "_"));
    let standard = |value: &Value| Some(unpadded(value.as_str()?).replace('-', "+").replace('_', "/"));
    let normal = json!({
        "v": "v2",
        "url": file.get("url")?.as_str()?,
        "key": {
            "kty": "oct", "alg": "A256CTR", "ext": true, "key_ops": ["encrypt", "decrypt"], "k": url_safe(&key["k"])?,
        },
        "iv": standard(file.get("iv")?)?,
        "hashes": { "sha256": standard(&hashes["sha256"])? },
    });
    serde_json::from_value(normal).ok()
}

fn unpadded(base64: &str) -> &str {
    base64.trim().trim_end_matches('=')
}

/// Returns where the file is.
pub(super) fn uri(source: &room::MediaSource) -> &MxcUri {
    match source {
        room::MediaSource::Plain(uri) => uri,
        room::MediaSource::Encrypted(file) => &file.url,
    }
}

/// Returns the server and media id, neither with characters that are special in a path.
pub(super) fn checked(uri: &MxcUri) -> Option<(&str, &str)> {
    // ruma stores the slash's position in one byte.
    if uri.as_str().len() > URI_BYTES_MAX {
        return None;
    }
    let (server, id) = uri.parts().ok()?;
    (!id.is_empty()).then_some((server.as_str(), id))
}
