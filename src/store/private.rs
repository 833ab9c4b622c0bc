//! Closes all stored files to other accounts: folders 0700, files 0600.
//!
//! The umask covers new files. At the start this mends what an earlier version or an operator's copy left open.

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::Path};

use super::make_private_dir;

/// Workmate's own folders in the data folder; anything else there is not touched.
const OURS: [&str; 2] = ["state", "users"];
/// Depth of nested folders that are checked; ours are two deep.
const DEPTH_MAX: usize = 6;

/// Creates the data folder if there is none, and closes it and our folders in it to others. Returns how many files and
/// folders were open.
///
/// # Errors
/// If the data folder itself cannot be created or closed.
pub fn make_private(dir: &Path) -> io::Result<usize> {
    make_private_dir(dir)?;
    let mut mended = usize::from(close(dir)?);
    for ours in OURS.map(|name| dir.join(name)).iter().filter(|ours| ours.is_dir()) {
        mended += usize::from(close(ours)?) + within(ours, DEPTH_MAX);
    }
    Ok(mended)
}

fn within(dir: &Path, depth: usize) -> usize {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let mut mended = 0;
    for entry in entries.filter_map(Result::ok) {
        let path = entry.path();
        // A link is not followed: its target may not be ours.
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() && depth > 0 {
            mended += usize::from(close(&path).unwrap_or_default()) + within(&path, depth - 1);
        } else if kind.is_file() {
            mended += usize::from(close(&path).unwrap_or_default());
        }
    }
    mended
}

/// Removes all rights of group and others; returns whether there were any.
fn close(path: &Path) -> io::Result<bool> {
    let permissions = fs::symlink_metadata(path)?.permissions();
    if permissions.mode().trailing_zeros() >= 6 {
        return Ok(false);
    }
    fs::set_permissions(path, fs::Permissions::from_mode(permissions.mode() & 0o700))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_could_read_is_closed_and_links_are_left_alone() {
        let outside = tempfile::tempdir().expect("a directory");
        let theirs = outside.path().join("theirs");
        fs::write(&theirs, "x").expect("written");
        fs::set_permissions(&theirs, fs::Permissions::from_mode(0o644)).expect("set");
        let dir = tempfile::tempdir().expect("a directory");
        let data = dir.path().join("data");
        fs::create_dir_all(data.join("users/alice")).expect("made");
        fs::write(data.join("users/alice/crypto.sqlite3"), "x").expect("written");
        std::os::unix::fs::symlink(&theirs, data.join("users/link")).expect("linked");
        for (path, mode) in
            [("", 0o755), ("users", 0o755), ("users/alice", 0o775), ("users/alice/crypto.sqlite3", 0o644)]
        {
            fs::set_permissions(data.join(path), fs::Permissions::from_mode(mode)).expect("set");
        }
        assert_eq!(make_private(&data).expect("it is ours"), 4);
        assert_eq!(make_private(&data).expect("it is ours"), 0);
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&data), 0o700);
        assert_eq!(mode(&data.join("users/alice/crypto.sqlite3")), 0o600);
        assert_eq!(mode(&theirs), 0o644);
    }
}
