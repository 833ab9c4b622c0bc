//! What can go wrong with the store; each text says where, and how to mend it.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use thiserror::Error;

/// A fault of the store; every variant's text says what is wrong, where, and how to mend it.
///
/// If [`Self::is_fatal`], the fault stays until the process is restarted.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The directory cannot be created, entered, read or written.
    #[error(
        "{dir}: the store's directory cannot be used: {source}\n  \
         Mend: give the user that runs workmate read and write access to it (`chown -R USER: DIR`), or set data_dir to another place."
    )]
    Unreadable {
        /// The store's directory.
        dir: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// Another process holds the store.
    #[error(
        "{dir}: the store is locked by another process\n  \
         Mend: stop the other workmate that uses this data_dir, or give this one a data_dir of its own."
    )]
    Locked {
        /// The store's directory.
        dir: PathBuf,
    },
    /// The key does not open the stored values.
    #[error(
        "{dir}: the store was written under another master secret\n  \
         Mend: put the master secret's file back that was in use when this store was made; without it the store's \
         content is lost, and only an empty data_dir starts afresh."
    )]
    WrongKey {
        /// The store's directory.
        dir: PathBuf,
    },
    /// The store was written by a newer Workmate.
    #[error(
        "{dir}: the store has schema version {found}, this workmate knows versions up to {known}\n  \
         Mend: run the newer workmate again, or restore state/ from a backup of before the upgrade and remove users/ beside it (never \
         restore that: an old encryption state uses keys twice; each user recovers from the homeserver)."
    )]
    NewerSchema {
        /// The store's directory.
        dir: PathBuf,
        /// The version found.
        found: u32,
        /// The newest version known here.
        known: u32,
    },
    /// A record cannot be unsealed or parsed as its table's type.
    #[error(
        "{dir}: a record in table {table} is damaged: {reason}\n  \
         Mend: stop workmate, check the disk, restore state/ from a backup and remove users/ beside it (never restore that: an old \
         encryption state uses keys twice; each user recovers from the homeserver)."
    )]
    CorruptRecord {
        /// The store's directory.
        dir: PathBuf,
        /// The record's table.
        table: &'static str,
        /// What is wrong with it; never its content.
        reason: &'static str,
    },
    /// The database's own files are damaged.
    #[error(
        "{dir}: the store's files are damaged: {reason}\n  \
         Mend: stop workmate, check the disk, restore state/ from a backup and remove users/ beside it (never restore that: an old \
         encryption state uses keys twice; each user recovers from the homeserver). Without a backup, move this directory away to \
         begin afresh (rooms and their history are the homeserver's and stay)."
    )]
    CorruptFiles {
        /// The store's directory.
        dir: PathBuf,
        /// The database's error, or what was found missing.
        reason: String,
    },
    /// No room on the disk, or beyond a quota or file size limit.
    #[error(
        "{dir}: the disk is full, nothing more can be stored: {source}\n  \
         Mend: free space on that disk (or raise the quota); a workmate that serves starts anew by itself then, and the \
         homeserver sends again what was not acknowledged."
    )]
    Full {
        /// The store's directory.
        dir: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The copy that is read instead of the store cannot be made, for lack of space or rights.
    #[error(
        "{dir}: the store cannot be read: a copy of it cannot be made in {into} ({reason})\n  \
         It is read by way of a copy, so that nothing in it is changed.\n  \
         Mend: make room in {into}, or name another folder in TMPDIR (`TMPDIR=/var/tmp workmate …`)."
    )]
    NoCopy {
        /// The store's directory.
        dir: PathBuf,
        /// The folder for the copy.
        into: PathBuf,
        /// The system's answer.
        reason: String,
    },
    /// Any other failure of reading or writing.
    #[error(
        "{dir}: the store cannot be read or written: {source}\n  \
         Mend: check the disk and its mount, then restart workmate."
    )]
    Io {
        /// The store's directory.
        dir: PathBuf,
        /// The database's error.
        source: sled::Error,
    },
    /// A value that JSON cannot express; a bug in Workmate.
    #[error(
        "a record for table {table} cannot be written as JSON: {source}\n  \
         Mend: this is a bug in workmate; please report it with this line."
    )]
    Encode {
        /// The record's table.
        table: &'static str,
        /// The serializer's error.
        source: serde_json::Error,
    },
}

impl StoreError {
    /// Returns whether the store stays unusable until the cause is mended and the process restarted.
    ///
    /// After a failed write the database refuses every later one, even once there is room again.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        !matches!(self, Self::CorruptRecord { .. } | Self::Encode { .. })
    }

    /// Returns whether the database's files are damaged: waiting does not help.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::CorruptFiles { .. })
    }

    /// Maps sled's error to the variant of its cause.
    pub(super) fn from_sled(dir: &Path, source: sled::Error) -> Self {
        let dir = dir.to_owned();
        match source {
            sled::Error::Io(source) if is_lock_refusal(&source) => Self::Locked { dir },
            sled::Error::Io(source) if is_full(&source) => Self::Full { dir, source },
            sled::Error::Io(source) if is_access(&source) => Self::Unreadable { source: naming(&dir, source), dir },
            source @ sled::Error::Corruption { .. } => Self::CorruptFiles { dir, reason: source.to_string() },
            source => Self::Io { dir, source },
        }
    }
}

/// Adds the file's name, which the operating system leaves out.
fn naming(dir: &Path, error: io::Error) -> io::Error {
    let closed = |path: &Path| {
        let opened = if path.is_dir() {
            fs::read_dir(path).map(|_| ())
        } else {
            fs::OpenOptions::new().read(true).append(true).open(path).map(|_| ())
        };
        opened.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    };
    let entries = fs::read_dir(dir).map(|entries| entries.filter_map(Result::ok).map(|entry| entry.path()).collect());
    let mut files: Vec<PathBuf> = entries.unwrap_or_default();
    files.sort();
    match files.into_iter().find(|path| closed(path)) {
        Some(file) => {
            let uid = fs::metadata(&file).map(|metadata| metadata.uid()).unwrap_or_default();
            io::Error::new(error.kind(), format!("{} belongs to user {uid}: {error}", file.display()))
        }
        None => error,
    }
}

/// sled 0.34 has no error kind for a held lock, only this text (`Config::try_lock`).
fn is_lock_refusal(error: &io::Error) -> bool {
    error.to_string().starts_with("could not acquire lock")
}

/// Returns whether a disk, a quota or a limit of a file's size is used up.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

fn is_access(error: &io::Error) -> bool {
    use io::ErrorKind::{AlreadyExists, IsADirectory, NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem};
    matches!(
        error.kind(),
        PermissionDenied | ReadOnlyFilesystem | NotADirectory | IsADirectory | AlreadyExists | NotFound
    )
}
