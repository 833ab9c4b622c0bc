//! Room on the disk: a sync takes keys from the homeserver for good, so none begins where they may not be kept.

use std::{io, path::Path};

use super::error::MatrixError;

/// With less than this a disk counts as full, in bytes: stores that do not say so may hang on it, or lose a part of what
/// they are given.
pub const FULL_BYTES: u64 = 8 << 20;
/// What the system says of a full disk, on Linux (`ENOSPC`).
const NO_SPACE: i32 = 28;

/// Returns how many bytes may still be written to a folder's disk; `None` where that cannot be told.
#[must_use]
pub fn left(dir: &Path) -> Option<u64> {
    let found = nix::sys::statvfs::statvfs(dir).ok()?;
    if found.files() > 0 && found.files_available() == 0 {
        return Some(0);
    }
    Some(found.blocks_available().saturating_mul(found.fragment_size()))
}

/// Refuses, for as long as that is so, where a folder's disk is full.
///
/// The SDK takes it for a key that cannot be decrypted when its store has no room for it, and asks for the next one.
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
