//! Free disk space. A sync removes keys from the homeserver for good, so none may begin if they cannot be stored.

use std::{io, path::Path};

use super::error::MatrixError;

/// Free bytes below which a disk counts as full: some stores hang on a full disk, or lose part of a write.
pub(crate) const FULL_BYTES: u64 = 8 << 20;
/// The error code of a full disk on Linux (`ENOSPC`).
const NO_SPACE: i32 = 28;

/// Returns the free bytes on a folder's disk; `None` if unknown.
#[must_use]
pub(crate) fn left(dir: &Path) -> Option<u64> {
    let found = nix::sys::statvfs::statvfs(dir).ok()?;
    if found.files() > 0 && found.files_available() == 0 {
        return Some(0);
    }
    Some(found.blocks_available().saturating_mul(found.fragment_size()))
}

/// Fails while a folder's disk is full.
///
/// If its store cannot save a key, the SDK treats the key as undecryptable and asks for the next.
pub(super) fn require_room(dir: &Path) -> Result<(), MatrixError> {
    match left(dir) {
        Some(left) if left < FULL_BYTES => {
            let cause = io::Error::from_raw_os_error(NO_SPACE);
            Err(MatrixError::File { path: dir.display().to_string(), cause })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_waited_out() {
        let cause = io::Error::from_raw_os_error(NO_SPACE);
        assert!(MatrixError::File { path: "/data".to_owned(), cause }.is_passing());
        let dir = tempfile::tempdir().expect("a folder");
        assert!(left(dir.path()).is_some() && left(Path::new("/nowhere/at/all")).is_none());
        assert!(require_room(Path::new("/nowhere/at/all")).is_ok(), "what cannot be told holds up nobody");
    }
}
