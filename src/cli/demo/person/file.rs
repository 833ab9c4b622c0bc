//! Files that a person sends: uploaded, encrypted if the room is, with any claimed type.

use std::io::Cursor;

use anyhow::{Context as _, Result};
use ruma::{OwnedEventId, RoomId};
use serde_json::{Value, json};

use super::{Person, message::Message};

/// A file as a client's composer holds it.
#[derive(Clone, Debug)]
pub struct SentFile {
    name: String,
    msgtype: &'static str,
    media_type: String,
    bytes: Vec<u8>,
    voice: bool,
}

impl SentFile {
    /// Returns a file (`m.file`) that claims a media type.
    #[must_use]
    pub fn new(name: &str, media_type: &str, bytes: Vec<u8>) -> Self {
        Self { name: name.to_owned(), msgtype: "m.file", media_type: media_type.to_owned(), bytes, voice: false }
    }

    /// Sends it as a picture (`m.image`).
    #[must_use]
    pub fn as_image(self) -> Self {
        Self { msgtype: "m.image", ..self }
    }

    /// Sends it as a voice message (MSC3245).
    #[must_use]
    pub fn as_voice(self) -> Self {
        Self { msgtype: "m.audio", voice: true, ..self }
    }

    fn content(&self, caption: Option<&Message>, source: (&str, Value)) -> Value {
        let mut content = caption.map_or_else(|| json!({ "body": self.name, "m.mentions": {} }), Message::content);
        content["msgtype"] = json!(self.msgtype);
        content["filename"] = json!(self.name);
        content["info"] = json!({ "mimetype": self.media_type, "size": self.bytes.len() });
        content[source.0] = source.1;
        if self.voice {
            content["org.matrix.msc3245.voice"] = json!({});
        }
        content
    }
}

impl Person {
    /// Uploads a file and sends it, with or without a caption.
    ///
    /// # Errors
    /// If the homeserver refuses.
    pub async fn send_file(&self, room: &RoomId, file: &SentFile, caption: Option<Message>) -> Result<OwnedEventId> {
        let known = self.room(room)?;
        let source = if known.latest_encryption_state().await?.is_encrypted() {
            let mut bytes = Cursor::new(&file.bytes);
            ("file", serde_json::to_value(self.client().upload_encrypted_file(&mut bytes).await?)?)
        } else {
            let media_type = file.media_type.parse().context("a media type")?;
            let uploaded = self.client().media().upload(&media_type, file.bytes.clone(), None).await?;
            ("url", json!(uploaded.content_uri))
        };
        let sent = known.send_raw("m.room.message", file.content(caption.as_ref(), source)).await;
        Ok(sent.with_context(|| format!("{} sending a file to {room}", self.user_id()))?.response.event_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caption_stands_beside_the_files_name_and_without_one_the_name_is_the_body() {
        let file = SentFile::new("a.ogg", "audio/ogg", vec![1, 2]).as_voice();
        let mut expected = json!({
            "msgtype": "m.audio", "body": "a.ogg", "filename": "a.ogg", "m.mentions": {}, "url": "mxc://hs/a",
            "info": { "mimetype": "audio/ogg", "size": 2 }, "org.matrix.msc3245.voice": {},
        });
        assert_eq!(file.content(None, ("url", json!("mxc://hs/a"))), expected);
        expected["body"] = json!("listen");
        expected["m.mentions"] = json!({ "user_ids": [] });
        assert_eq!(file.content(Some(&Message::text("listen")), ("url", json!("mxc://hs/a"))), expected);
    }
}
