//! Files for a prompt: fetched, decoded in the sandbox, and kept for the thread's next turns.

mod hearing;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use ruma::{OwnedUserId, RoomId, UserId};
use tokio::{task, time};

pub(super) use self::hearing::Hears;
pub(crate) use self::hearing::settings_of;
use self::hearing::transcript;
use crate::{
    core::{
        context::{Files, Wanted},
        event::MessageKind,
        media::{Claims, Kind, Outcome, Preview, Unread, joined},
        prompt::FileContent,
        recogniser::Sound,
        tool::Output,
    },
    engine::runtime::Runtime,
    matrix::{
        Account,
        media::{Fetched, MediaError, Most},
    },
    sandbox::{Limits, Owner, Program, Sandbox},
};

/// Files of one prompt that are fetched at once.
const FETCHES_AT_ONCE_MAX: usize = 4;
/// Most bytes fetched for one prompt, as sent; later files are left out.
const FETCHED_BYTES_MAX: u64 = 128 << 20;
/// Most bytes fetched of a text file of which the ends are kept.
const TEXT_BYTES_MAX: u64 = 128 << 20;
/// Most bytes of prepared files kept in memory.
const KEPT_BYTES_MAX: u64 = 64 << 20;
/// Most prepared files kept, including unreadable ones.
const KEPT_MAX: usize = 512;
/// How long a file is kept after its last use.
const KEPT_FOR: Duration = Duration::from_mins(30);
/// How long a question waits for the words of all recordings that it is not about.
const EARLIER_WORDS_PATIENCE: Duration = Duration::from_secs(5);
/// How long it waits for another file that it is not about to come: a file's own server may never answer. Once one is
/// late, no more are begun.
const EARLIER_FILES_PATIENCE: Duration = Duration::from_secs(10);
/// Pause before a file that could not be fetched is tried again, because each try may delay an answer.
const UNAVAILABLE_FOR: Duration = Duration::from_mins(2);

/// Prepared files in memory, and the sandbox that prepares more.
pub(super) struct Prepared {
    kept: Mutex<Kept>,
    sandbox: Sandbox,
}

impl Prepared {
    /// Starts the sandbox.
    pub(super) fn new() -> Self {
        Self { kept: Mutex::default(), sandbox: Sandbox::new(Program::Own, Limits::default()) }
    }

    /// Makes the preview of a picture that is to be posted.
    pub(super) async fn preview(&self, room: &str, bytes: &[u8]) -> Result<Preview, Unread> {
        self.sandbox.decode(Owner::room(room), Kind::Preview, bytes).await?.preview()
    }

    /// Forgets every file that one of our users was shown.
    pub(super) fn forget(&self, user: &UserId) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let theirs: Vec<Key> = kept.files.keys().filter(|key| key.user == user).cloned().collect();
        for key in &theirs {
            kept.remove(key);
        }
    }
}

/// A file as one of our users sees it; users share no files, because each must fetch its own.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    user: OwnedUserId,
    claims: Claims,
}

#[derive(Default)]
struct Kept {
    files: HashMap<Key, (Outcome, time::Instant)>,
    bytes: u64,
}

impl Kept {
    fn get(&mut self, key: &Key, now: time::Instant) -> Option<Outcome> {
        let (outcome, used) = self.files.get_mut(key)?;
        if let Err(why @ (Unread::Unavailable | Unread::Unheard)) = outcome {
            return (now - *used < UNAVAILABLE_FOR).then_some(Err(*why));
        }
        *used = now;
        Some(outcome.clone())
    }

    fn put(&mut self, key: Key, outcome: Outcome, now: time::Instant) {
        self.bytes += bytes_of(&outcome);
        if let Some((old, _)) = self.files.insert(key, (outcome, now)) {
            self.bytes -= bytes_of(&old);
        }
        let stale: Vec<Key> =
            self.files.iter().filter(|(_, (_, used))| now - *used > KEPT_FOR).map(|(key, _)| key.clone()).collect();
        for key in &stale {
            self.remove(key);
        }
        while self.bytes > KEPT_BYTES_MAX || self.files.len() > KEPT_MAX {
            let Some(oldest) = self.files.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| key.clone()) else {
                break;
            };
            self.remove(&oldest);
        }
    }

    fn remove(&mut self, key: &Key) {
        if let Some((outcome, _)) = self.files.remove(key) {
            self.bytes -= bytes_of(&outcome);
        }
    }
}

fn bytes_of(outcome: &Outcome) -> u64 {
    outcome.as_ref().map_or(0, |file| file.bytes)
}

/// What files say: fetched, decoded, heard.
pub(super) struct FilesRead {
    runtime: Arc<Runtime>,
    pub(super) hears: Arc<Hears>,
    pub(super) prepared: Prepared,
}

impl FilesRead {
    /// Makes it on what it may call.
    pub(super) fn new(runtime: &Arc<Runtime>, hears: &Arc<Hears>) -> Self {
        Self { runtime: runtime.clone(), hears: hears.clone(), prepared: Prepared::new() }
    }

    /// Fetches a room's files that a prompt has room for; a file that fails is named with the reason.
    pub(super) async fn fetch_files(&self, account: &Account, room: &RoomId, wanted: Vec<Wanted>) -> Files {
        let left = &AtomicU64::new(FETCHED_BYTES_MAX);
        // Newest first, so that the request's own file fits if the limit is reached.
        let (words_by, is_late) = (time::Instant::now() + EARLIER_WORDS_PATIENCE, &AtomicBool::new(false));
        let fetched = wanted.into_iter().rev().map(|file| async move {
            let is_sound = file.claims.is_sound();
            let patience = (!file.asked && !is_sound).then_some(is_late);
            let fetching = Box::pin(self.fetch_file(account, room, &file, left, patience));
            let outcome = if is_sound && !file.asked { heard_by(words_by, fetching).await } else { fetching.await };
            ((file.event, file.at), outcome)
        });
        stream::iter(fetched).buffer_unordered(FETCHES_AT_ONCE_MAX).collect().await
    }

    /// Fetches one file and prepares it; an outcome is kept for a while. With `is_late`, it has to come soon, or another
    /// like it was late already.
    pub(super) async fn fetch_file(
        &self,
        account: &Account,
        room: &RoomId,
        file: &Wanted,
        left: &AtomicU64,
        is_late: Option<&AtomicBool>,
    ) -> Outcome {
        let key = Key { user: account.user().to_owned(), claims: file.claims.clone() };
        let known = self.prepared.kept.lock().unwrap_or_else(PoisonError::into_inner).get(&key, time::Instant::now());
        if let Some(outcome) = known {
            return outcome;
        }
        let bytes_max = self.runtime.config().limits.file_bytes_max;
        if left.load(Ordering::Relaxed) < bytes_max {
            return Err(Unread::LeftOut);
        }
        if file.claims.is_sound()
            && let Some(words) = self.heard_before(account, room, &file.source)
        {
            return Ok(transcript(&words));
        }
        let most = Most { whole: bytes_max, by_ends: TEXT_BYTES_MAX.min(left.load(Ordering::Relaxed)) };
        let fetching = Box::pin(account.media(&file.source, most));
        let fetched = match is_late {
            None => fetching.await,
            Some(is_late) if is_late.load(Ordering::Relaxed) => return Err(Unread::Unavailable),
            Some(is_late) => time::timeout(EARLIER_FILES_PATIENCE, fetching).await.unwrap_or_else(|_| {
                is_late.store(true, Ordering::Relaxed);
                Err(MediaError::Unreachable("it did not come while a question could wait for it".to_owned()))
            }),
        };
        let outcome = match fetched {
            Ok(fetched) => {
                let (bytes, absent) = match fetched {
                    Fetched::Whole(bytes) => (bytes, None),
                    Fetched::Ends { head, tail, tail_at } => {
                        let (joined, absent) = joined(head, &tail, tail_at);
                        (joined, Some(absent))
                    }
                };
                let size = absent.unwrap_or_default().saturating_add(bytes.len() as u64);
                let _ = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(size)));
                match Sound::of(&bytes, file.claims.is_sound()).filter(|_| absent.is_none() && self.hears.is_on()) {
                    Some(sound) => self.transcribe(account, room, &file.source, sound, bytes).await,
                    None if file.claims.is_sound() => Err(Unread::Broken),
                    None => self.prepare(owner_of(account, room, file), bytes, absent, file.claims.clone()).await,
                }
            }
            Err(MediaError::TooLarge(_)) => Err(Unread::TooLarge),
            Err(error) => {
                tracing::info!(event.id = %file.event, %error, "a file cannot be given to the model");
                Err(Unread::Unavailable)
            }
        };
        let mut kept = self.prepared.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.put(key, outcome.clone(), time::Instant::now());
        outcome
    }

    /// Prepares a tool result's pictures like any from strangers; those that cannot be shown are noted in its text.
    pub(super) async fn look_into(&self, output: &mut Output, room: &RoomId) -> Vec<FileContent> {
        let mut shown = Vec::new();
        for bytes in std::mem::take(&mut output.pictures) {
            let prepared =
                self.prepare(Owner::room(room.as_str()), bytes, None, of_a_picture()).await.and_then(|file| {
                    let is_picture = matches!(file.content, FileContent::Image { .. } | FileContent::Pictures { .. });
                    is_picture.then_some(file).ok_or(Unread::Unsupported)
                });
            match prepared {
                Ok(file) => shown.push(file.content.clone()),
                Err(why) => {
                    tracing::info!(?why, "a picture of a tool's cannot be given to the model");
                    output.text.push_str("\n[one of the pictures cannot be shown, left out]");
                }
            }
        }
        shown
    }

    /// Prepares a file, or the ends of a text between which so many bytes are `absent`. No library reads it in this
    /// process; our own steps run on blocking threads.
    async fn prepare(&self, owner: Owner, bytes: Vec<u8>, absent: Option<u64>, claims: Claims) -> Outcome {
        let sniffed = task::spawn_blocking(move || (claims.kind_of(&bytes), bytes));
        let (kind, bytes) = sniffed.await.map_err(|_| Unread::Broken)?;
        let kind = match (kind?, absent) {
            (Kind::Text | Kind::Mail | Kind::Calendar, Some(absent)) => Kind::Ends { absent },
            (_, Some(_)) => return Err(Unread::TooLarge),
            (kind, None) => kind,
        };
        let decoded = self.prepared.sandbox.decode(owner, kind, &bytes).await?;
        task::spawn_blocking(move || decoded.prepared(&bytes)).await.map_err(|_| Unread::Broken)?
    }
}

/// Returns the words of a recording that nobody asks about, if they are there by then. A recogniser that hangs holds up
/// nobody's question.
async fn heard_by(until: time::Instant, fetching: impl Future<Output = Outcome>) -> Outcome {
    time::timeout_at(until, fetching).await.unwrap_or(Err(Unread::NotHeardYet))
}

/// Returns the owner of a file, whose share of the sandbox it uses.
fn owner_of(account: &Account, room: &RoomId, file: &Wanted) -> Owner {
    let sender = account.held(room, &file.event).map(|read| read.event.sender.to_string());
    Owner { room: room.to_string(), sender }
}

/// Returns the claims of a tool's picture; its bytes decide its real type.
fn of_a_picture() -> Claims {
    let (msgtype, name, mime) = ("m.image".to_owned(), String::new(), Some("image/png".to_owned()));
    Claims::of(&MessageKind::Attachment { msgtype, name, mime, size: None, voice: false, media: None })
        .expect("an attachment has claims")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ruma::user_id;

    use super::*;
    use crate::core::media;

    fn key(name: usize) -> Key {
        let user = user_id!("@coworker-a:hs").to_owned();
        let kind = MessageKind::Attachment {
            msgtype: "m.file".to_owned(),
            name: name.to_string(),
            mime: None,
            size: None,
            voice: false,
            media: None,
        };
        Key { user, claims: Claims::of(&kind).expect("a file") }
    }

    fn file(bytes: u64) -> Arc<media::Prepared> {
        let content = FileContent::Text { text: "a".into() };
        Arc::new(media::Prepared { content, tokens: 1, bytes, shown: media::Extent::Whole })
    }

    #[test]
    fn the_file_unused_for_longest_goes_first_and_all_go_in_the_end() {
        let (mut kept, begin) = (Kept::default(), time::Instant::now());
        let after = |seconds| begin + Duration::from_secs(seconds);
        for name in 0..4 {
            kept.put(key(name), Ok(file(KEPT_BYTES_MAX / 4)), after(name as u64));
        }
        assert!(kept.get(&key(0), after(4)).is_some());
        kept.put(key(4), Ok(file(1)), after(5));
        assert_eq!(kept.get(&key(1), after(6)), None, "the one unused for longest");
        assert!(kept.get(&key(0), after(6)).is_some());

        kept.put(key(5), Err(Unread::Broken), after(7) + KEPT_FOR);
        assert_eq!((kept.files.len(), kept.bytes), (1, 0));
    }

    #[test]
    fn a_file_that_could_not_be_fetched_is_tried_again_after_a_while() {
        let (mut kept, begin) = (Kept::default(), time::Instant::now());
        kept.put(key(0), Err(Unread::Unavailable), begin);
        let soon = begin + UNAVAILABLE_FOR / 2;
        assert_eq!(kept.get(&key(0), soon), Some(Err(Unread::Unavailable)));
        assert_eq!(kept.get(&key(0), begin + UNAVAILABLE_FOR), None);
    }

    #[tokio::test]
    async fn c25_a_question_waits_a_while_for_recordings_that_it_is_not_about() {
        let soon = time::Instant::now() + Duration::from_millis(1);
        assert_eq!(heard_by(soon, std::future::pending()).await, Err(Unread::NotHeardYet));
        assert_eq!(heard_by(soon, std::future::ready(Ok(file(1)))).await, Ok(file(1)), "known words take no time");
    }

    #[test]
    fn files_that_cannot_be_read_are_bounded_too() {
        let (mut kept, now) = (Kept::default(), time::Instant::now());
        for name in 0..KEPT_MAX * 2 {
            kept.put(key(name), Err(Unread::Broken), now);
        }
        assert_eq!(kept.files.len(), KEPT_MAX);
    }
}
