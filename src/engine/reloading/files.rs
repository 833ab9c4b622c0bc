//! The configuration's files as they are on disk: whose, when written, and a hash; what changed is kept for the operator.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use crate::{
    clock,
    config::{Config, user_name},
    core::{
        changes::{FileLog, Seen},
        hex::hex,
        time::Timestamp,
    },
    engine::runtime::Runtime,
};

/// The key of the log of changes in the settings table.
const FILE_LOG: &str = "config_files";
/// Bytes of a file's hash.
const HASH_BYTES: usize = 8;
/// Most bytes of a file that are read.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Files by name.
pub(super) type SeenFiles = BTreeMap<String, Seen>;

/// Returns the configuration's files; one that cannot be read is missing.
pub(super) fn seen_in(file: &Path) -> SeenFiles {
    let dir = Config::coworkers_dir_of(file);
    let coworkers = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let is_yaml = |path: &PathBuf| {
        let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        !is_hidden && path.extension().is_some_and(|end| end == "yaml" || end == "yml")
    };
    std::iter::once(file.to_owned()).chain(coworkers.filter(is_yaml)).filter_map(|path| seen(&path)).collect()
}

fn seen(path: &Path) -> Option<(String, Seen)> {
    let metadata = fs::metadata(path).ok().filter(|metadata| metadata.is_file() && metadata.len() <= FILE_BYTES_MAX)?;
    let modified = metadata.mtime().checked_mul(1_000).map(Timestamp::from_ms);
    let digest = Sha256::digest(fs::read(path).ok()?);
    let seen = Seen { hash: hex(&digest[..HASH_BYTES]), modified, owner: Some(user_name(metadata.uid())) };
    Some((path.file_name()?.to_str()?.to_owned(), seen))
}

/// Keeps which files have changed since they were last read.
pub(super) fn note(runtime: &Runtime, files: SeenFiles, by: &str) {
    let noted = runtime.store.settings::<FileLog>().update(&FILE_LOG.to_owned(), |log: Option<FileLog>| {
        let mut log = log.unwrap_or_default();
        log.note(files, clock::now(), by);
        Some(log)
    });
    if let Err(error) = noted {
        tracing::warn!(%error, "which files of the configuration changed cannot be kept");
    }
}

/// Keeps which files have changed while Workmate was stopped.
pub(in crate::engine) fn note_start(runtime: &Runtime) {
    note(runtime, seen_in(&runtime.config_file), "start");
}
