//! Downloads files that people sent: through the proxy, up to a size, decrypted by the SDK's code.
//!
//! The SDK's own download has no size limit. So the bytes are fetched here with the SDK's HTTP client, and counted.

use std::{
    io::{Cursor, Read as _},
    time::Duration,
};

use matrix_sdk_base::crypto::AttachmentDecryptor;
use ruma::{MxcUri, events::room, serde::JsonObject};
use serde_json::{Value, json};

use super::account::Account;
use crate::core::event::MediaSource;

/// How long one download may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the homeserver may wait for the file's own server, in milliseconds.
const REMOTE_WAIT_MS: u32 = 20_000;
/// The longest `mxc:` URI: a server name has at most 230 characters, an id about 65.
const URI_BYTES_MAX: usize = 240;

/// Why a file could not be downloaded.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// It is larger than allowed, as announced or as received.
    #[error("the file has more than {0} bytes")]
    TooLarge(u64),
    /// It does not exist, or the homeserver refuses it; holds the status.
    #[error("the homeserver answered {0} for a file")]
    Refused(u16),
    /// The homeserver did not answer in time.
    #[error("a file could not be fetched: {0}")]
    Unreachable(String),
    /// Its content does not match, or the event does not say how to decrypt it.
    #[error("a file could not be decrypted")]
    Undecryptable,
}

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

fn uri(source: &room::MediaSource) -> &MxcUri {
    match source {
        room::MediaSource::Plain(uri) => uri,
        room::MediaSource::Encrypted(file) => &file.url,
    }
}

/// Returns the server and media id, neither with characters that are special in a path.
fn checked(uri: &MxcUri) -> Option<(&str, &str)> {
    // ruma stores the slash's position in one byte.
    if uri.as_str().len() > URI_BYTES_MAX {
        return None;
    }
    let (server, id) = uri.parts().ok()?;
    (!id.is_empty()).then_some((server.as_str(), id))
}

impl Account {
    /// Downloads and decrypts a file; reads at most `bytes_max`.
    ///
    /// # Errors
    /// [`MediaError`] by cause; only [`MediaError::Unreachable`] is temporary.
    pub async fn media(&self, source: &MediaSource, bytes_max: u64) -> Result<Vec<u8>, MediaError> {
        let source: room::MediaSource = serde_json::from_str(source.as_str()).map_err(|_| MediaError::Undecryptable)?;
        let fetched = tokio::time::timeout(FETCH_TIMEOUT, self.fetch(uri(&source), bytes_max)).await;
        let bytes = fetched.map_err(|_| MediaError::Unreachable("it took too long".to_owned()))??;
        match source {
            room::MediaSource::Plain(_) => Ok(bytes),
            room::MediaSource::Encrypted(file) => {
                let mut opened = Vec::with_capacity(bytes.len());
                let mut sealed = Cursor::new(bytes);
                let mut decryptor =
                    AttachmentDecryptor::new(&mut sealed, (*file).into()).map_err(|_| MediaError::Undecryptable)?;
                // The hash is checked at the end.
                decryptor.read_to_end(&mut opened).map_err(|_| MediaError::Undecryptable)?;
                Ok(opened)
            }
        }
    }

    async fn fetch(&self, uri: &MxcUri, bytes_max: u64) -> Result<Vec<u8>, MediaError> {
        let (server, id) = checked(uri).ok_or(MediaError::Refused(400))?;
        // Authenticated media: spec 1.11, "Content repository".
        let mut url = self.client().homeserver();
        url.set_path(&format!("/_matrix/client/v1/media/download/{server}/{id}"));
        url.set_query(Some(&format!("timeout_ms={REMOTE_WAIT_MS}")));
        let unreachable = |error: reqwest::Error| MediaError::Unreachable(error.without_url().to_string());
        let request = self.client().http_client().get(url).bearer_auth(self.token().expose());
        let mut answer = request.send().await.map_err(unreachable)?;
        match answer.status().as_u16() {
            200..=299 => {}
            // A proxy or a troubled homeserver says nothing about the file itself.
            passing @ (401 | 408 | 425 | 429 | 500..) => {
                return Err(MediaError::Unreachable(format!("HTTP {passing}")));
            }
            refused => return Err(MediaError::Refused(refused)),
        }
        if answer.content_length().is_some_and(|length| length > bytes_max) {
            return Err(MediaError::TooLarge(bytes_max));
        }
        let most = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
            if chunk.len() > most - bytes.len() {
                return Err(MediaError::TooLarge(bytes_max));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}
