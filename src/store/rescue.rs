//! A database whose files are damaged: what it can do without is set aside, and where that does not help, all of it. A
//! copy stays, and the words say where.
//!
//! A full disk can leave a snapshot damaged (sled 0.34 writes it over a longer one that was not finished). The log alone
//! holds everything, and is read from its beginning then.

use std::{
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use super::{Store, StoreError};
use crate::clock;

/// Copies of damaged stores that are kept; the oldest goes.
const COPIES_MAX: usize = 2;
/// How the names of the database's snapshots begin.
const SNAPSHOT: &str = "snap.";

impl Store {
    /// Opens the store as [`Self::open`] does; one whose files are damaged is recovered as far as that is possible, and
    /// otherwise begun afresh. What was set aside lies in a folder beside it, which the log names.
    ///
    /// # Errors
    /// As [`Self::open`], for everything that is no damage: a foreign key, a newer version, a lock, a full disk.
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

/// The database takes some damages for faults of its own, and panics.
fn open(dir: &Path, key: &[u8; 32]) -> Result<Store, StoreError> {
    catch_unwind(AssertUnwindSafe(|| Store::open(dir, key))).unwrap_or_else(|_| {
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

/// Moves these into a folder of their own beside the store; returns it.
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
