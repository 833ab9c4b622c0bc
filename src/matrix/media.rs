//! Downloads files that people sent: through the proxy, up to a size, decrypted by the SDK's code.
//!
//! The SDK's own download has no size limit. So the bytes are fetched here with the SDK's HTTP client, and counted. Of
//! very long texts only the ends are kept meanwhile.

use std::{
    io::{self, Read},
    time::Duration,
};

use bytes::Bytes;
use matrix_sdk_base::crypto::AttachmentDecryptor;
use ruma::events::room;
use tokio::{sync::mpsc, task};

use super::{
    account::Account,
    source::{checked, uri},
};
use crate::core::{self, event::MediaSource, media::ENDS_BYTES};

/// How long one download may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the homeserver may wait for the file's own server, in milliseconds.
const REMOTE_WAIT_MS: u32 = 20_000;

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

/// Bytes with which a file begins that tell whether it is a text.
const SAMPLE_BYTES: usize = 64 << 10;
/// Parts of a download that wait to be decrypted.
const PARTS_AHEAD: usize = 8;
/// Bytes that are decrypted at a time.
const OPENED_BYTES: usize = 64 << 10;

/// What was downloaded.
#[derive(Debug)]
pub enum Fetched {
    /// The file.
    Whole(Vec<u8>),
    /// The beginning and end of a text that is too long to be kept.
    Ends {
        /// The first [`ENDS_BYTES`] bytes.
        head: Vec<u8>,
        /// The last ones.
        tail: Vec<u8>,
        /// The place of the tail's first byte in the file.
        tail_at: u64,
    },
}

/// Most bytes of a download.
#[derive(Clone, Copy, Debug)]
pub struct Most {
    /// Of a file that is kept whole.
    pub whole: u64,
    /// Of a text of which the ends are kept.
    pub by_ends: u64,
}

/// Keeps a file while it is downloaded: all of it, or the ends of a long text.
struct Keeper {
    most: Most,
    /// How long the homeserver says that it is.
    announced: Option<u64>,
    total: u64,
    is_text: Option<bool>,
    head: Vec<u8>,
    /// The end of what came after the head, once only the ends are kept.
    tail: Vec<u8>,
}

impl Keeper {
    fn new(most: Most, announced: Option<u64>) -> Self {
        Self { most, announced, total: 0, is_text: None, head: Vec::new(), tail: Vec::new() }
    }

    fn push(&mut self, part: &[u8]) -> Result<(), MediaError> {
        self.total += part.len() as u64;
        if self.total > self.most.by_ends.max(self.most.whole) {
            return Err(MediaError::TooLarge(self.most.by_ends));
        }
        if self.total <= self.most.whole {
            self.head.extend_from_slice(part);
            let will_be_long = self.announced.is_some_and(|length| length > self.most.whole);
            return if will_be_long && self.head.len() >= SAMPLE_BYTES { self.check_text() } else { Ok(()) };
        }
        self.check_text()?;
        if self.head.len() > ENDS_BYTES {
            self.tail = self.head.split_off(ENDS_BYTES);
        }
        self.tail.extend_from_slice(part);
        // Not at every part, because it moves all that is kept.
        if self.tail.len() > 4 * ENDS_BYTES {
            self.tail.drain(..self.tail.len() - ENDS_BYTES);
        }
        Ok(())
    }

    fn check_text(&mut self) -> Result<(), MediaError> {
        let head = &self.head[..self.head.len().min(SAMPLE_BYTES)];
        let is_text = *self.is_text.get_or_insert_with(|| core::media::is_text(head));
        if is_text { Ok(()) } else { Err(MediaError::TooLarge(self.most.whole)) }
    }

    fn kept(mut self) -> Fetched {
        if self.total <= self.most.whole {
            return Fetched::Whole(self.head);
        }
        self.tail.drain(..self.tail.len().saturating_sub(ENDS_BYTES));
        let tail_at = self.total - self.tail.len() as u64;
        Fetched::Ends { head: self.head, tail: self.tail, tail_at }
    }
}

/// The parts of a download, as a file to read from.
struct Parts {
    coming: mpsc::Receiver<Bytes>,
    part: Bytes,
}

impl Read for Parts {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.part.is_empty() {
            let Some(part) = self.coming.blocking_recv() else { return Ok(0) };
            self.part = part;
        }
        let length = self.part.len().min(into.len());
        into[..length].copy_from_slice(&self.part.split_to(length));
        Ok(length)
    }
}

/// Decrypts a download while it comes; the hash is checked at the end.
fn opened(file: room::EncryptedFile, coming: mpsc::Receiver<Bytes>, mut keeper: Keeper) -> Result<Fetched, MediaError> {
    let mut parts = Parts { coming, part: Bytes::new() };
    let mut decryptor = AttachmentDecryptor::new(&mut parts, file.into()).map_err(|_| MediaError::Undecryptable)?;
    let mut some = vec![0; OPENED_BYTES];
    loop {
        match decryptor.read(&mut some).map_err(|_| MediaError::Undecryptable)? {
            0 => return Ok(keeper.kept()),
            length => keeper.push(&some[..length])?,
        }
    }
}

impl Account {
    /// Downloads and decrypts a file. Of a text that is longer than `most.whole` it keeps the beginning and end.
    ///
    /// # Errors
    /// [`MediaError`] by cause; only [`MediaError::Unreachable`] is temporary.
    pub async fn media(&self, source: &MediaSource, most: Most) -> Result<Fetched, MediaError> {
        let source: room::MediaSource = serde_json::from_str(source.as_str()).map_err(|_| MediaError::Undecryptable)?;
        let fetched = tokio::time::timeout(FETCH_TIMEOUT, Box::pin(self.fetch(source, most))).await;
        fetched.map_err(|_| MediaError::Unreachable("it took too long".to_owned()))?
    }

    async fn fetch(&self, source: room::MediaSource, most: Most) -> Result<Fetched, MediaError> {
        let (server, id) = checked(uri(&source)).ok_or(MediaError::Refused(400))?;
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
        let announced = answer.content_length();
        if announced.is_some_and(|length| length > most.by_ends.max(most.whole)) {
            return Err(MediaError::TooLarge(most.by_ends));
        }
        let mut keeper = Keeper::new(most, announced);
        match source {
            room::MediaSource::Plain(_) => {
                while let Some(part) = answer.chunk().await.map_err(unreachable)? {
                    keeper.push(&part)?;
                }
                Ok(keeper.kept())
            }
            room::MediaSource::Encrypted(file) => {
                let (parts, coming) = mpsc::channel(PARTS_AHEAD);
                let opening = task::spawn_blocking(move || opened(*file, coming, keeper));
                while let Some(part) = answer.chunk().await.map_err(unreachable)? {
                    if parts.send(part).await.is_err() {
                        break;
                    }
                }
                drop(parts);
                opening.await.map_err(|_| MediaError::Undecryptable)?
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(length: usize, announced: bool, byte: impl Fn(usize) -> u8) -> Result<Fetched, MediaError> {
        let most = Most { whole: 3 << 20, by_ends: 8 << 20 };
        let bytes: Vec<u8> = (0..length).map(byte).collect();
        let mut keeper = Keeper::new(most, announced.then_some(length as u64));
        for part in bytes.chunks(10_007) {
            keeper.push(part)?;
        }
        Ok(keeper.kept())
    }

    #[test]
    fn d_of_a_long_text_the_ends_are_kept_and_nothing_else_that_is_too_large() {
        let text = |at: usize| if at % 40 == 39 { b'\n' } else { b'a' + u8::try_from(at % 26).unwrap_or_default() };
        for announced in [true, false] {
            let whole = keep(3 << 20, announced, text);
            assert!(matches!(&whole, Ok(Fetched::Whole(bytes)) if bytes.len() == 3 << 20), "{announced}");
            let Ok(Fetched::Ends { head, tail, tail_at }) = keep(7 << 20, announced, text) else {
                panic!("the ends, {announced}")
            };
            assert_eq!((head.len(), tail.len(), tail_at), (ENDS_BYTES, ENDS_BYTES, (7 << 20) - ENDS_BYTES as u64));
            let first = usize::try_from(tail_at).expect("small");
            assert!(tail.iter().enumerate().all(|(at, byte)| *byte == text(first + at)));
            for (length, byte) in [(9 << 20, text as fn(usize) -> u8), (4 << 20, |at| [0x89, 1, 2, 0xff, 3][at % 5])] {
                let refused = keep(length, announced, byte);
                assert!(matches!(refused, Err(MediaError::TooLarge(_))), "{length} {announced} {refused:?}");
            }
        }
    }
}
