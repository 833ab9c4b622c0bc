//! Computing at the provider (C24): the files of a context go there, what comes of them is posted, and everything is
//! deleted behind the run. `core/computing.rs` decides.

mod clearing;
mod posting;

use std::{
    sync::Arc,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use ruma::{EventId, OwnedEventId};
use tokio::sync::Notify;

pub(super) use self::clearing::keep_files;
use super::{EngineError, ask::Asking, progress::Progress, runtime::Runtime};
use crate::{
    claude::{self, Container},
    clock,
    core::{
        computing::{
            FileRecord, Session, SessionKey, UPLOAD_BYTES_MAX, UPLOAD_EACH_MAX, UPLOAD_EXPIRES_SECONDS, UPLOADS_MAX,
            Upload, checked_id, name_of,
        },
        context::Wanted,
        event::EventKind,
        media::Unread,
        run::{RunId, RunRecord},
    },
    matrix::{
        Account,
        media::{Fetched, Most},
    },
    store::StoreError,
};

/// Files that are fetched and uploaded at once.
const UPLOADS_AT_ONCE_MAX: usize = 3;
/// How long one file may take on its way to the provider.
const UPLOAD_TIMEOUT: Duration = Duration::from_mins(1);

/// What runs compute on, and what they make, at the provider.
pub(super) struct Computing {
    runtime: Arc<Runtime>,
    claude: Arc<claude::Client>,
    /// Tells that files can be deleted.
    left: Notify,
}

impl Computing {
    pub(super) fn new(runtime: &Arc<Runtime>, claude: &Arc<claude::Client>) -> Self {
        Self { runtime: runtime.clone(), claude: claude.clone(), left: Notify::new() }
    }

    /// Puts the files of a context where the model may compute on them, and finds the container in which the thread did
    /// so before.
    ///
    /// What is uploaded is on disk before the model is asked, so that it is deleted even if this process is killed.
    pub(super) async fn fill_container(
        self: &Arc<Self>,
        account: &Account,
        id: &RunId,
        record: &RunRecord,
        asking: &mut Asking,
    ) -> Result<(), EngineError> {
        if !asking.composed.prompt.computes() {
            return Ok(());
        }
        let key = session_key(record, asking);
        let may_read = |source: &EventId| asking.around.readable.contains(source) || *source == *record.request;
        let session =
            self.runtime.tables.containers.get(&key)?.filter(|session| session.may_go_on(may_read, clock::now()));
        let uploads = self.upload(account, id, record, &asking.around.files).await?;
        let holds_request = uploads.iter().any(|upload| record.requests().contains(&upload.event));
        if holds_request && asking.composed.unreadable.is_some_and(Unread::may_be_opened_by_code) {
            // It cannot be shown to the model, which can open it.
            asking.composed.unreadable = None;
        }
        if !uploads.is_empty() {
            self.runtime.store.flush().await?;
        }
        let computing = &mut asking.composed.prompt.computing;
        computing.container = session.map(|session| session.container);
        computing.uploads = uploads;
        Ok(())
    }

    /// Uploads files, the newest first as far as they fit, and returns those that are at the provider, oldest first.
    async fn upload(
        self: &Arc<Self>,
        account: &Account,
        id: &RunId,
        record: &RunRecord,
        files: &[Wanted],
    ) -> Result<Vec<Upload>, EngineError> {
        let known: Vec<(String, FileRecord)> = self.files_of(id)?;
        let newest: Vec<(Wanted, String)> = {
            let mut names = Vec::new();
            let mut named = Vec::new();
            for file in files.iter().rev().take(UPLOADS_MAX) {
                let name = name_of(&file.claims.title(), &names);
                names.push(name.clone());
                named.push((file.clone(), name));
            }
            named
        };
        let left = &AtomicU64::new(UPLOAD_BYTES_MAX);
        let known = &known;
        let uploaded = newest.into_iter().map(|(file, name)| async move {
            let of = (file.event.clone(), file.at);
            if let Some((there, _)) = known.iter().find(|(_, record)| record.of.as_ref() == Some(&of)) {
                return Some(Upload { file: there.clone(), name, event: of.0 });
            }
            let uploading = self.upload_one(account, (id, record), (&file, &name), left);
            let there = tokio::time::timeout(UPLOAD_TIMEOUT, Box::pin(uploading)).await.ok().flatten()?;
            Some(Upload { file: there, name, event: of.0 })
        });
        let mut uploads: Vec<Upload> =
            stream::iter(uploaded).buffered(UPLOADS_AT_ONCE_MAX).filter_map(std::future::ready).collect().await;
        uploads.reverse();
        Ok(uploads)
    }

    async fn upload_one(
        self: &Arc<Self>,
        account: &Account,
        (id, record): (&RunId, &RunRecord),
        (file, name): (&Wanted, &str),
        left: &AtomicU64,
    ) -> Option<String> {
        let most = UPLOAD_EACH_MAX.min(left.load(Ordering::Relaxed));
        let bytes = match account.media(&file.source, Most { whole: most, by_ends: most }).await {
            Ok(Fetched::Whole(bytes)) if !bytes.is_empty() => bytes,
            Ok(_) => return None,
            Err(error) => {
                tracing::info!(event.id = %file.event, %error, "a file cannot be computed on");
                return None;
            }
        };
        let size = bytes.len() as u64;
        let fits = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(size)).is_ok();
        // Others may have been fetched meanwhile.
        if !fits || Self::is_gone(account, record, &file.event) {
            return None;
        }
        // A run that is cut off now must not lose the id: the file is to be deleted.
        let of = record.owner().is_none().then(|| (file.event.clone(), file.at));
        let (computing, run, name) = (self.clone(), id.clone(), name.to_owned());
        let uploading = async move {
            match computing.claude.upload_file(&name, &bytes, UPLOAD_EXPIRES_SECONDS).await {
                Ok(info) => {
                    computing.note_file(&info.id, &run, of);
                    computing.leave_files();
                    Some(info.id)
                }
                Err(error) => {
                    tracing::warn!(%error, "a file cannot be uploaded to be computed on");
                    None
                }
            }
        };
        self.runtime.tasks.spawn(uploading).await.ok().flatten()
    }

    /// Whether a file's message was redacted while it was fetched.
    fn is_gone(account: &Account, record: &RunRecord, event: &EventId) -> bool {
        account.held(&record.room, event).is_some_and(|held| held.event.kind == EventKind::Redacted)
    }

    fn files_of(&self, id: &RunId) -> Result<Vec<(String, FileRecord)>, StoreError> {
        let mut files: Vec<(String, FileRecord)> = self.runtime.tables.files.iter().collect::<Result<_, _>>()?;
        files.retain(|(_, record)| record.run == id.as_str());
        Ok(files)
    }

    /// Notes a file that has to be deleted at the provider.
    fn note_file(&self, file: &str, id: &RunId, of: Option<(OwnedEventId, usize)>) {
        let record = FileRecord { run: id.as_str().to_owned(), noted_at: clock::now(), of };
        if let Err(error) = self.runtime.tables.files.put(&file.to_owned(), &record) {
            tracing::error!(%error, "a file at the provider cannot be noted; it may stay there");
        }
    }

    /// Notes the files that a run made, as soon as they are known: all but the first `noted` are new.
    pub(super) fn note_made(&self, id: &RunId, progress: &Progress, noted: &mut usize) {
        let known = noted.saturating_sub(progress.made_before);
        for file in progress.made.iter().skip(known).filter_map(|file| checked_id(file)) {
            self.note_file(file, id, None);
        }
        *noted = (progress.made_before + progress.made.len()).max(*noted);
    }

    /// Keeps the container of an answer for the thread's next question.
    pub(super) fn keep_container(&self, record: &RunRecord, asking: &Asking, container: &Container) {
        let Some(name) = checked_id(&container.id) else { return };
        let uploads = asking.composed.prompt.computing.uploads.iter().map(|upload| upload.event.clone());
        let sources: Vec<OwnedEventId> = record.requests().into_iter().chain(uploads).collect();
        let owner = record.owner().map(ToOwned::to_owned);
        let key: SessionKey = session_key(record, asking);
        let kept = self.runtime.tables.containers.update(&key, |earlier: Option<Session>| {
            let told = (name, container.expires_at);
            Some(Session::after(earlier, told, sources.clone(), owner.clone(), clock::now()))
        });
        if let Err(error) = kept {
            tracing::warn!(%error, "a thread's container cannot be kept; its next question begins in a new one");
        }
    }
}

/// Returns the key of a run's session: its thread's, or the one of an assistant's chat.
fn session_key(record: &RunRecord, asking: &Asking) -> SessionKey {
    let root = || record.place.thread_root().unwrap_or(&record.request);
    Session::key(&record.room, asking.around.begins.as_deref().unwrap_or_else(root), &record.user)
}
