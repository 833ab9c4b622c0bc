//! Files that only their owner may read.

use std::{
    fs::{OpenOptions, Permissions},
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use anyhow::{Context as _, Result};

const OWNER_ONLY: u32 = 0o600;

/// Writes `text` to `path`, readable only by the owner.
///
/// # Errors
/// If the file cannot be written; the message names it.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    let at = || format!("{}: cannot be written", path.display());
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(OWNER_ONLY).open(path).with_context(at)?;
    file.set_permissions(Permissions::from_mode(OWNER_ONLY)).with_context(at)?;
    file.write_all(text.as_bytes()).with_context(at)
}
