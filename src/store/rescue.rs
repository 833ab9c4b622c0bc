//! Recovers a database whose files are damaged: sets the snapshots aside and, if that does not help, the whole store. A
//! copy stays, and the log says where.
//!
//! A full disk can damage a snapshot: sled 0.34 writes over a longer one and does not finish. The log alone holds every
//! record, and is then read from its beginning.

use std::{
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use super::{Store, StoreError};
use crate::clock;

/// Copies of damaged stores that are kept; the oldest is deleted first.
const COPIES_MAX: usize = 2;
/// File name prefix of the database's snapshots.
const SNAPSHOT: &str = "snap.";

impl Store {
    /// Opens the store like [`Self::open`], but recovers damaged files as far as possible and otherwise starts afresh.
    /// A folder beside the store, named in the log, keeps what was set aside.
    ///
    /// # Errors
    /// As for [`Self::open`], for every cause but damage: another key, a newer version, a lock, a full disk.
    pub fn open_or_rescue(dir: &Path, key: &[u8; 32]) -> Result<Self, StoreError> {
        let error = match open(dir, key) {
            Err(error) if error.is_damage() => error,
            opened => return opened,
        };
        let snapshots = snapshots(dir).map_err(|source| refused(dir, source))?;
        if !snapshots.is_empty() {
            let copy = set_aside(dir, &snapshots).map_err(|source| refused(dir, source))?;
            tracing::error!(
                copy = %copy.display(),
                "the store's snapshot is damaged; it is set aside, and everything is read from the log: {error}"
            );
            match open(dir, key) {
                Err(error) if error.is_damage() => {}
                opened => return opened,
            }
        }
        let all = entries(dir).map_err(|source| refused(dir, source))?;
        let copy = set_aside(dir, &all).map_err(|source| refused(dir, source))?;
        tracing::error!(
            copy = %copy.display(),
            "the store is damaged beyond what can be recovered; it is set aside and begun afresh. Notes, mutes, open \
             approvals, runs, budgets and the audit index are lost unless you stop workmate and put a backup of state/ \
             in its place; rooms and their history are the homeserver's and stay. Check the disk: {error}"
        );
        open(dir, key)
    }
}

/// Opens the store like [`Store::open`], and survives what sled panics about.
pub(super) fn open(dir: &Path, key: &[u8; 32]) -> Result<Store, StoreError> {
    caught(dir, || Store::open(dir, key))
}

/// sled takes some kinds of damage for its own bugs and panics.
pub(super) fn caught<T>(dir: &Path, reading: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(reading)).unwrap_or_else(|_| {
        let reason = "the database gives up reading them".to_owned();
        Err(StoreError::CorruptFiles { dir: dir.to_owned(), reason })
    })
}

fn refused(dir: &Path, source: io::Error) -> StoreError {
    StoreError::from_sled(dir, source.into())
}

fn entries(dir: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect()
}

fn snapshots(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = entries(dir)?;
    found.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(SNAPSHOT)));
    Ok(found)
}

/// Moves the paths into a new folder beside the store, and returns it.
fn set_aside(dir: &Path, paths: &[PathBuf]) -> io::Result<PathBuf> {
    let mut name = dir.file_name().unwrap_or_default().to_os_string();
    name.push("-damaged");
    let copies = dir.with_file_name(name);
    let mut stamp = clock::now().as_ms();
    while copies.join(stamp.to_string()).exists() {
        stamp += 1;
    }
    let copy = copies.join(stamp.to_string());
    super::make_private_dir(&copy)?;
    for path in paths {
        if let Some(name) = path.file_name() {
            fs::rename(path, copy.join(name))?;
        }
    }
    let mut kept = entries(&copies)?;
    kept.sort_by_key(|path| path.file_name().and_then(|time| time.to_str()?.parse::<i64>().ok()));
    for old in kept.iter().take(kept.len().saturating_sub(COPIES_MAX)) {
        fs::remove_dir_all(old)?;
    }
    Ok(copy)
}
