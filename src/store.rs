//! What Workmate stores beside the SDK's own stores: one sled database of sealed, typed tables.
//!
//! Keys (ids, times) are plain; values are sealed under the store's key. No promise may rest on a write before
//! [`Store::flush`] has returned, or [`Inbox::accept`], which flushes itself.

use std::{
    fmt,
    fs::DirBuilder,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::watch;

use ruma::UserId;

pub(crate) use self::error::is_full;
use self::{
    durable::DatabaseFiles, group::Group, inbox::InboxTrees, seal::Seal, table::SealedTree, tables::Name, vault::Vault,
};
pub use self::{
    error::StoreError,
    inbox::{Accepted, Inbox, InboxEntry, InboxEvent},
    key::{Key, Prefixed},
    private::make_private,
    table::{OwnerOf, Table},
};

mod copying;
mod durable;
mod error;
mod group;
mod inbox;
mod key;
mod private;
mod rescue;
mod schema;
mod seal;
mod seals;
mod table;
mod tables;
#[cfg(test)]
mod tests;
mod vault;
mod verify;

/// Most memory for the database's cache, in bytes.
const CACHE_BYTES_MAX: u64 = 64 << 20;
/// How often a locked store is tried again, so that a predecessor can end.
const LOCK_ATTEMPTS_MAX: u32 = 20;
/// Pause between two attempts, in milliseconds.
const LOCK_PAUSE_MS: u64 = 100;

/// A handle to the open store; cheap to clone.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    db: sled::Db,
    files: DatabaseFiles,
    flushes: Group,
    dir: Arc<Path>,
    seal: Seal,
    vault: Vault,
    /// Trees and their writers' locks, in the order of [`Name::ALL`].
    tables: [(sled::Tree, Arc<Mutex<()>>); Name::ALL.len()],
    inbox: InboxTrees,
    /// The highest sequence number of the inbox that is durable.
    accepted: watch::Sender<u64>,
    /// Why the database refuses every operation, once it does.
    failed: watch::Sender<Option<String>>,
}

impl Store {
    /// Opens the store in `dir`, creating it if there is none and migrating an older one to the present schema.
    ///
    /// Blocks; waits up to two seconds for another process to release the store.
    ///
    /// # Errors
    /// One variant for each cause, with its remedy in the text; no record has been changed then.
    ///
    /// # Panics
    /// Never: there are as many trees as names.
    pub fn open(dir: &Path, key: &[u8; 32]) -> Result<Self, StoreError> {
        make_private_dir(dir).map_err(|source| StoreError::Unreadable { dir: dir.to_owned(), source })?;
        let db = open_database(dir)?;
        let seal = Seal::new(key);
        let dir: Arc<Path> = dir.into();
        schema::check(&db, &seal, &dir)?;
        let open_tree = |name: &str| db.open_tree(name).map_err(|source| StoreError::from_sled(&dir, source));
        let mut tables = Vec::with_capacity(Name::ALL.len());
        for name in Name::ALL {
            tables.push((open_tree(name.as_str())?, Arc::new(Mutex::new(()))));
        }
        let tables = tables.try_into().expect("one tree was opened for each name");
        let vault = Vault::open(&dir, &seal)?;
        let inbox = InboxTrees::open(&db, &seal, &dir)?;
        let accepted = watch::Sender::new(inbox.last_seq()?);
        let files = DatabaseFiles::open(&dir).map_err(|source| StoreError::from_sled(&dir, source.into()))?;
        let failed = watch::Sender::new(None);
        Ok(Self(Arc::new(Inner {
            db,
            files,
            flushes: Group::default(),
            dir,
            seal,
            vault,
            tables,
            inbox,
            accepted,
            failed,
        })))
    }

    /// Returns the inbox that the homeserver fills under this registration.
    ///
    /// The fingerprint covers the registration's tokens: with a new registration, transaction ids start over.
    #[must_use]
    pub fn inbox(&self, registration_fingerprint: [u8; 16]) -> Inbox {
        Inbox::new(self.clone(), registration_fingerprint)
    }

    /// Makes every write before the call durable. Callers at the same time share one flush.
    ///
    /// # Errors
    /// If the disk refuses; then nothing may be promised, and the process has to be restarted.
    ///
    /// # Panics
    /// If the flushing task panicked, which it does not.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let inner = Arc::clone(&self.0);
        let flushing = tokio::task::spawn_blocking(move || inner.flush());
        flushing.await.expect("flushing does not panic")
    }

    /// Returns a watch on why the store refuses every operation from now on; `None` while it works.
    #[must_use]
    pub fn watch_failure(&self) -> watch::Receiver<Option<String>> {
        self.0.failed.subscribe()
    }

    /// Returns the size of the database's files, in bytes.
    ///
    /// # Errors
    /// If their metadata cannot be read.
    pub fn size_on_disk(&self) -> Result<u64, StoreError> {
        self.0.db.size_on_disk().map_err(|source| StoreError::from_sled(&self.0.dir, source))
    }

    /// Destroys the key under which an owner's records are sealed. No copy of them can be read again, not even one that
    /// the database has yet to overwrite. Later records of the owner are sealed under a new key.
    ///
    /// # Errors
    /// If the disk refuses; the key may still exist then.
    pub fn destroy_owner_key(&self, owner: &UserId) -> Result<(), StoreError> {
        self.0.vault.destroy(owner)
    }

    fn table<K: Key, V: Serialize + DeserializeOwned>(&self, name: Name) -> Table<K, V> {
        let inner = &self.0;
        let (tree, writing) = &inner.tables[name as usize];
        let sealed = SealedTree {
            tree: tree.clone(),
            name: name.as_str(),
            seal: inner.seal.clone(),
            dir: Arc::clone(&inner.dir),
        };
        Table::new(sealed, Arc::clone(writing), inner.vault.clone())
    }
}

impl Inner {
    fn flush(&self) -> Result<(), StoreError> {
        let flushed = self.flushes.flush(|| self.db.flush().and_then(|_| self.files.sync().map_err(sled::Error::from)));
        flushed.map_err(|source| self.note(StoreError::from_sled(&self.dir, source)))
    }

    /// Announces a fatal failure to those who watch for it.
    fn note(&self, error: StoreError) -> StoreError {
        if error.is_fatal() {
            self.failed.send_if_modified(|failed| {
                let is_news = failed.is_none();
                failed.get_or_insert_with(|| error.to_string());
                is_news
            });
        }
        error
    }
}

/// The derived form would print every record.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Store").field(&self.0.dir).finish()
    }
}

fn make_private_dir(dir: &Path) -> std::io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

fn open_database(dir: &Path) -> Result<sled::Db, StoreError> {
    let config = sled::Config::new().path(dir).cache_capacity(CACHE_BYTES_MAX);
    for _ in 1..LOCK_ATTEMPTS_MAX {
        match config.open().map_err(|source| StoreError::from_sled(dir, source)) {
            Err(StoreError::Locked { .. }) => thread::sleep(Duration::from_millis(LOCK_PAUSE_MS)),
            answer => return answer,
        }
    }
    config.open().map_err(|source| StoreError::from_sled(dir, source))
}

/// These locks guard no data of their own, so a panic elsewhere leaves nothing half done.
fn lock(mutex: &Mutex<()>) -> std::sync::MutexGuard<'_, ()> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
