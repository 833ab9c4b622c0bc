//! Damaged user stores, set aside with a copy kept.

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
