//! Opens a copy of a store for reading: opening a sled database writes into it, even for a reader.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    thread,
    time::Duration,
};

use nix::fcntl::{Flock, FlockArg};
use tempfile::TempDir;

use super::{LOCK_ATTEMPTS_MAX, LOCK_PAUSE_MS, Store, StoreError, is_full, rescue::open};

/// The database's own file, which the process using it locks.
const LOCKED: &str = "db";
/// Depth of nested folders that are copied; a store has one level.
const DEPTH_MAX: usize = 3;

impl Store {
    /// Opens a copy of the store in `dir`, which is only read. Dropping the second value deletes the copy.
    ///
    /// Blocks; waits up to two seconds for a store in use.
    ///
    /// # Errors
    /// As for [`Self::open`]; a file that cannot be read is named.
    pub fn open_copy(dir: &Path, key: &[u8; 32]) -> Result<(Self, TempDir), StoreError> {
        let failed = |source| StoreError::Unreadable { dir: dir.to_owned(), source };
        let lock = dir.join(LOCKED);
        let closed = fs::Permissions::from_mode(0o700);
        let copy = tempfile::Builder::new().prefix("workmate-").permissions(closed).tempdir();
        let copy = copy.map_err(|error| no_copy(dir, &error))?;
        let held = lock_shared(dir, &lock)?;
        let copied = copy_into(dir, copy.path(), DEPTH_MAX);
        drop(held);
        copied.map_err(|error| if is_full(&error) { no_copy(dir, &error) } else { failed(error) })?;
        match open(copy.path(), key) {
            Ok(store) => Ok((store, copy)),
            // Name the store's path; the copy's means nothing to the reader.
            Err(StoreError::WrongKey { .. }) => Err(StoreError::WrongKey { dir: dir.to_owned() }),
            Err(StoreError::NewerSchema { found, known, .. }) => {
                Err(StoreError::NewerSchema { dir: dir.to_owned(), found, known })
            }
            Err(StoreError::CorruptFiles { reason, .. }) => {
                Err(StoreError::CorruptFiles { dir: dir.to_owned(), reason })
            }
            Err(StoreError::Full { source, .. }) => Err(no_copy(dir, &source)),
            Err(error) => Err(error),
        }
    }
}

/// Returns an error of the folder for temporary files, not of the store.
fn no_copy(dir: &Path, error: &io::Error) -> StoreError {
    StoreError::NoCopy { dir: dir.to_owned(), into: std::env::temp_dir(), reason: error.to_string() }
}

/// Keeps other processes from using the database while it is copied.
fn lock_shared(dir: &Path, lock: &Path) -> Result<Flock<File>, StoreError> {
    let failed = |error: io::Error| StoreError::Unreadable { dir: dir.to_owned(), source: named(lock, &error) };
    for _ in 0..LOCK_ATTEMPTS_MAX {
        let file = File::open(lock).map_err(failed)?;
        match Flock::lock(file, FlockArg::LockSharedNonblock) {
            Ok(held) => return Ok(held),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => thread::sleep(Duration::from_millis(LOCK_PAUSE_MS)),
            Err((_, error)) => return Err(failed(error.into())),
        }
    }
    Err(StoreError::Locked { dir: dir.to_owned() })
}

fn copy_into(from: &Path, to: &Path, depth: usize) -> io::Result<()> {
    for entry in fs::read_dir(from).map_err(|error| named(from, &error))? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() && depth > 0 {
            fs::create_dir(&target)?;
            copy_into(&source, &target, depth - 1)?;
        } else if kind.is_file() {
            fs::copy(&source, &target).map_err(|error| named(&source, &error))?;
        }
    }
    Ok(())
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, os::unix::fs::MetadataExt as _, path::PathBuf};

    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn every_file(dir: &Path) -> BTreeMap<PathBuf, (u64, i64, i64)> {
        let mut all = BTreeMap::new();
        for entry in fs::read_dir(dir).expect("readable").filter_map(Result::ok) {
            let metadata = entry.metadata().expect("readable");
            all.insert(entry.path(), (metadata.len(), metadata.mtime(), metadata.mtime_nsec()));
            if metadata.is_dir() {
                all.extend(every_file(&entry.path()));
            }
        }
        all
    }

    #[test]
    fn op10_reading_a_copy_changes_nothing_in_the_store_and_a_store_in_use_is_left_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        let state = dir.path().join("state");
        let store = Store::open(&state, &KEY).expect("a fresh one");
        assert!(matches!(Store::open_copy(&state, &KEY), Err(StoreError::Locked { .. })));
        drop(store);
        let before = every_file(&state);

        let (copy, folder) = Store::open_copy(&state, &KEY).expect("nobody uses it");
        let wrong = Store::open_copy(&state, &[8; 32]).map(|_| ()).expect_err("another key");
        drop(copy);
        drop(folder);

        assert_eq!(every_file(&state), before);
        assert!(wrong.to_string().starts_with(&state.display().to_string()), "{wrong}");
        let missing = Store::open_copy(&dir.path().join("none"), &KEY).map(|_| ()).expect_err("there is none");
        assert!(missing.to_string().contains("none/db"), "{missing}");
    }
}
