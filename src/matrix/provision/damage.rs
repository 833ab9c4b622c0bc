//! Damaged user stores: recognised, and set aside with a copy kept.

use std::{
    fs,
    path::{Path, PathBuf},
};

use ruma::UserId;

use super::{Provisioner, file_error};
use crate::{clock, matrix::error::MatrixError};

/// Copies kept of one user's damaged stores; the oldest is deleted first.
const COPIES_MAX: usize = 2;
/// Copies kept over all users.
const COPIES_ALL_MAX: usize = 20;

/// Error texts of SQLite and the SDK that mean lasting damage; not a full disk, missing rights or a lock.
const DAMAGES: [&str; 6] = [
    "database disk image is malformed",
    "file is not a database",
    "failed to deserialize",
    "failed to decode",
    "error decrypting",
    "no such table",
];

/// Error texts of SQLite and the system that mean a temporary problem: with the disk, or a lock held elsewhere.
const TROUBLES: [&str; 7] = [
    "database or disk is full",
    "attempt to write a readonly database",
    "disk i/o error",
    "unable to open database file",
    "database is locked",
    "no space left on device",
    "read-only file system",
];

/// Returns whether an error means that the disk refuses for now.
pub(in crate::matrix) fn is_disk_trouble(error: &dyn std::error::Error) -> bool {
    says_trouble(&chain(error))
}

/// Like [`is_disk_trouble`], for an error's text.
pub(in crate::matrix) fn says_trouble(said: &str) -> bool {
    let said = said.to_lowercase();
    TROUBLES.iter().any(|trouble| said.contains(trouble))
}

/// Returns whether an error says that the user's own store is damaged.
pub(in crate::matrix) fn is_damage(error: &MatrixError) -> bool {
    let said = match error {
        MatrixError::UserStore { cause, .. } => cause.to_lowercase(),
        MatrixError::Sdk(
            error @ (matrix_sdk::Error::StateStore(_)
            | matrix_sdk::Error::CryptoStoreError(_)
            | matrix_sdk::Error::OlmError(_)),
        ) => chain(error).to_lowercase(),
        _ => return false,
    };
    DAMAGES.iter().any(|damage| said.contains(damage))
}

/// Returns an error's text with those of its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        said.push_str(": ");
        said.push_str(&cause.to_string());
        source = cause.source();
    }
    said
}

impl Provisioner {
    /// Moves a user's damaged folder away; a few copies are kept, and none is used again.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn set_aside(&self, user: &UserId) -> Result<(), MatrixError> {
        let dir = self.dir_of(user);
        let name = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let copies = self.users_dir.with_file_name("users-damaged");
        fs::create_dir_all(&copies).map_err(|cause| file_error(&copies, cause))?;
        let copy = copies.join(format!("{name}.{}", clock::now().as_ms()));
        match fs::rename(&dir, &copy) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            moved => moved.map_err(|cause| file_error(&dir, cause))?,
        }
        tracing::error!(
            user.id = %user, copy = %copy.display(),
            "the store of one of our users is damaged; it is recovered from the homeserver as if it were lost. Check the disk"
        );
        forget_old(&copies, &name).map_err(|cause| file_error(&copies, cause))
    }
}

fn forget_old(copies: &Path, name: &str) -> std::io::Result<()> {
    let mut kept: Vec<PathBuf> =
        fs::read_dir(copies)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    // The time follows the last dot.
    kept.sort_by_key(|path| path.extension().and_then(|time| time.to_str()?.parse::<u64>().ok()));
    let is_theirs = |path: &&PathBuf| path.file_stem().is_some_and(|stem| stem.to_string_lossy() == name);
    let of_user: Vec<&PathBuf> = kept.iter().filter(is_theirs).collect();
    let surplus_of_user = of_user.len().saturating_sub(COPIES_MAX);
    let surplus = kept.len().saturating_sub(COPIES_ALL_MAX);
    for old in of_user.iter().take(surplus_of_user).copied().chain(kept.iter().take(surplus)) {
        match fs::remove_dir_all(old) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            removed => removed?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_damaged_by_what_no_waiting_mends() {
        let table = [
            ("database disk image is malformed", true),
            ("Error code 26: file is not a database", true),
            ("unable to open database file: /data/users/x", false),
            ("database or disk is full", false),
            ("database is locked", false),
            ("attempt to write a readonly database", false),
        ];
        for (cause, expected) in table {
            let [user, dir, cause] = ["@a:hs", "/data", cause].map(str::to_owned);
            let error = MatrixError::UserStore { user, dir, cause: cause.clone() };
            assert_eq!(is_damage(&error), expected, "{cause}");
            assert_eq!(error.is_passing(), !expected, "what is no damage is waited out: {cause}");
        }
    }

    #[test]
    fn of_each_user_the_newest_copies_are_kept() {
        let copies = tempfile::tempdir().expect("a folder");
        for name in ["a.1", "a.2", "a.10", "b.3", "a-b.4"] {
            fs::create_dir(copies.path().join(name)).expect("a folder");
        }
        forget_old(copies.path(), "a").expect("it can be read");
        let mut left: Vec<_> = fs::read_dir(copies.path())
            .expect("readable")
            .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
            .collect();
        left.sort();
        assert_eq!(left, ["a-b.4", "a.10", "a.2", "b.3"]);
    }
}
