//! Trouble of the disk, as errors tell it.

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
pub(super) fn is_disk_trouble(error: &dyn std::error::Error) -> bool {
    says_trouble(&chain(error))
}

/// Like [`is_disk_trouble`], for an error's text.
pub(super) fn says_trouble(said: &str) -> bool {
    let said = said.to_lowercase();
    TROUBLES.iter().any(|trouble| said.contains(trouble))
}

/// Returns an error's text with those of its causes.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        said.push_str(": ");
        said.push_str(&cause.to_string());
        source = cause.source();
    }
    said
}
