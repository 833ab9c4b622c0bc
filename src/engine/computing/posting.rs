//! Posting what a run made: each file once, under a transaction id made of run and file.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use ruma::OwnedTransactionId;
use sha2::{Digest as _, Sha256};

use crate::{
    claude::FileContent,
    core::{
        computing::{
            Look, Made, POSTED_BYTES_MAX, POSTED_EACH_MAX, Unposted, chosen, looked_at, media_type, picture_type,
        },
        event::Place,
        media::{Preview, Unread},
        run::{RunId, RunRecord, Step},
        words,
    },
    engine::{Engine, EngineError, Shared, answerers::Said},
    matrix::{Account, account::File},
};

/// Files that are asked about at once.
const LOOKS_AT_ONCE_MAX: usize = 4;

impl Engine {
    /// Posts the files that a run made behind its answer, and says which could not be.
    ///
    /// # Errors
    /// When the room could not be written to; what was posted before is posted as the same event again.
    pub(in crate::engine) async fn post_made(
        self: &Shared,
        account: &Arc<Account>,
        (id, record): (&RunId, &RunRecord),
        made: &[String],
        place: &Place,
    ) -> Result<(), EngineError> {
        let (looked, left_out) = looked_at(made);
        let looks = stream::iter(looked.to_vec()).map(|file| async move { self.look_at_made(&file).await });
        let looks: Vec<Option<Look>> = looks.buffered(LOOKS_AT_ONCE_MAX).collect().await;
        let missing = looks.iter().filter(|look| look.is_none()).count();
        let (files, mut unposted) = chosen(looks.into_iter().flatten().collect());
        unposted.missing += missing;
        unposted.too_many += left_out.too_many;
        unposted.uncounted = left_out.uncounted;
        let mut bytes_left = POSTED_BYTES_MAX;
        for file in files {
            self.post_one(account, (id, record), &file, (place, &mut bytes_left), &mut unposted).await?;
        }
        if unposted.is_none() {
            return Ok(());
        }
        let word = crate::core::event::Outgoing {
            place: place.clone(),
            ..crate::engine::word(&words::files::unposted(&unposted), None)
        };
        let room = self.chats.destination(record)?.room();
        let event = account.send(room, &word, id.transaction(Step::Unposted)).await?;
        self.answerer(record).note_posted(record, Said::Beside(&event))
    }

    async fn look_at_made(&self, file: &str) -> Option<Look> {
        match self.computing.claude.look_at_file(file).await {
            Ok(Some(info)) => Some(Look { id: info.id, name: info.name, bytes: info.bytes }),
            Ok(None) => None,
            Err(error) => {
                tracing::warn!(%error, "a file that code made cannot be looked at");
                None
            }
        }
    }

    async fn post_one(
        self: &Shared,
        account: &Arc<Account>,
        (id, record): (&RunId, &RunRecord),
        made: &Made,
        (place, bytes_left): (&Place, &mut u64),
        unposted: &mut Unposted,
    ) -> Result<(), EngineError> {
        let bytes = match self.computing.claude.read_file(&made.id, POSTED_EACH_MAX.min(*bytes_left)).await {
            Ok(FileContent::Whole(bytes)) => bytes,
            Ok(FileContent::TooLarge) => {
                unposted.too_large += 1;
                return Ok(());
            }
            Ok(FileContent::Missing) => {
                unposted.missing += 1;
                return Ok(());
            }
            Err(error) => {
                tracing::warn!(%error, "a file that code made cannot be fetched");
                unposted.missing += 1;
                return Ok(());
            }
        };
        *bytes_left = bytes_left.saturating_sub(bytes.len() as u64);
        let mask = self.toolsets.tools.mask();
        if mask.is_in(&bytes) {
            tracing::warn!("a file that code made holds a credential; it is not posted");
            unposted.secret += 1;
            return Ok(());
        }
        let name = mask.hide(&made.name);
        let txn = id.transaction(Step::Made(number_of(&made.id)));
        let _sending = self.running.sending(id).await;
        let (kind, preview) = if let Some(kind) = picture_type(&bytes) {
            let Ok(preview) = self.preview(record, &bytes).await else {
                // Nobody's client is to decode it.
                unposted.broken += 1;
                return Ok(());
            };
            (kind, Some(preview))
        } else {
            (media_type(&name), None)
        };
        let sent = self.send_made(account, record, (file_of(name, kind, bytes), preview), place, txn).await;
        let event = match sent {
            Ok(event) => event,
            Err(error) if error.is_about_size() => {
                unposted.too_large += 1;
                return Ok(());
            }
            Err(error) if error.is_about_file() => {
                tracing::warn!(%error, "a file that code made is not posted");
                unposted.refused += 1;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.running.show(id, &event);
        self.answerer(record).note_posted(record, Said::Answer(&event))
    }

    async fn send_made(
        &self,
        account: &Account,
        record: &RunRecord,
        (file, preview): (File, Option<Preview>),
        place: &Place,
        txn: OwnedTransactionId,
    ) -> Result<ruma::OwnedEventId, EngineError> {
        let room = self.chats.destination(record)?.room();
        Ok(match preview {
            Some(preview) => account.send_picture(room, file, &preview, place, txn).await?,
            None => account.send_file(room, file, place, txn).await?,
        })
    }

    /// Has a picture's preview made in the sandbox.
    async fn preview(&self, record: &RunRecord, bytes: &[u8]) -> Result<Preview, Unread> {
        self.files.prepared.preview(record.room.as_str(), bytes).await
    }
}

fn file_of(name: String, media_type: &str, bytes: Vec<u8>) -> File {
    File { name, media_type: media_type.parse().unwrap_or(mime::APPLICATION_OCTET_STREAM), bytes }
}

/// Returns a number for a file's transaction id.
fn number_of(file: &str) -> u64 {
    let digest = Sha256::digest(file.as_bytes());
    digest[..8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
