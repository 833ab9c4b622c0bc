//! Whether the data folder can be used. A start tests this before it opens anything; `check --live` tests it too and
//! reports it in the same words.

use std::{
    fs,
    io::{self, ErrorKind, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use nix::unistd::{AccessFlags, eaccess};

use crate::{
    config::{Account, belongs, whose},
    core::reach::without_number,
    matrix::disk::{FULL_BYTES, left},
    store::is_full,
};

/// The room that a start needs, in bytes: more than one segment of the database, and more than counts as full.
pub(super) const ROOM_WANTED: usize = 16 << 20;
/// Bytes written to test whether writing works.
const PROBE_BYTES: usize = 4 << 10;
/// What Workmate keeps in its data folder.
pub const OURS: [&str; 3] = ["state", "users", "run"];

/// Why the data folder cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("data_dir {dir}: {what}\n  Nothing can be kept there, so workmate cannot serve.\n  Mend: {mend}.")]
pub struct PlaceError {
    dir: String,
    what: String,
    mend: String,
    is_full: bool,
}

impl PlaceError {
    /// Returns whether it only lacks space, which may become free.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.is_full
    }
}

/// Tests whether a data folder can be used or created; leaves nothing behind. `service` is the user who will use it, if
/// that is not this process's; this process is then root.
///
/// # Errors
/// The obstacle, and the remedy.
pub fn try_data_dir(dir: &Path, service: Option<&Account>) -> Result<(), PlaceError> {
    let failed =
        |(what, mend): (String, String)| PlaceError { dir: dir.display().to_string(), what, mend, is_full: false };
    let (nearest, rest) = nearest(dir);
    if rest {
        if let Some(fault) = no_folder(&nearest, dir) {
            return Err(failed(fault));
        }
        // It will be created there.
        return may_write(&nearest, service).map_err(|error| {
            let (what, mend) = refused(&nearest, service, &error);
            let user = service.map_or("USER", |account| account.name.as_str());
            // The parent folder belongs to somebody else and must not be given away.
            let mend = if error.kind() == ErrorKind::PermissionDenied {
                format!(
                    "make it, as root: `install -d -o {user} -m 700 {}` for the user that runs workmate; or set data_dir to \
                     another place",
                    dir.display()
                )
            } else {
                mend
            };
            failed((what, mend))
        });
    }
    let inner = OURS.iter().map(|name| dir.join(name)).filter(|path| path.symlink_metadata().is_ok());
    for folder in std::iter::once(dir.to_owned()).chain(inner) {
        if let Some(fault) = no_folder(&folder, dir) {
            return Err(failed(fault));
        }
        let tried = may_write(&folder, service).and_then(|()| probe(&folder));
        tried.map_err(|error| {
            let is_full = is_full(&error);
            PlaceError { is_full, ..failed(refused(&folder, service, &error)) }
        })?;
    }
    Ok(())
}

/// Returns the reason if a folder's disk has too little space for a start; `None` if it has enough.
#[must_use]
pub fn too_full_to_start(dir: &Path) -> Option<String> {
    let (nearest, _) = nearest(dir);
    let left = left(&nearest).filter(|left| *left < ROOM_WANTED as u64)?;
    Some(format!(
        "{}: the disk is full, {left} bytes are left, and a start needs {ROOM_WANTED}\n  Mend: free space on that disk; \
         workmate goes on by itself then.",
        dir.display()
    ))
}

/// Returns the reason if a folder's disk is full; `None` if it has space.
pub(super) fn full(dir: &Path) -> Option<String> {
    let (nearest, _) = nearest(dir);
    let left = left(&nearest).filter(|left| *left < FULL_BYTES)?;
    Some(format!(
        "{}: the disk is full, {left} bytes are left\n  Nothing more can be kept, so nothing is accepted.\n  Mend: free space \
         on that disk; a workmate that serves starts anew by itself then, and the homeserver sends again what was not \
         acknowledged.",
        dir.display()
    ))
}

/// Returns the existing part of a path, and whether more follows.
fn nearest(dir: &Path) -> (PathBuf, bool) {
    let here = |path: &Path| if path.as_os_str().is_empty() { PathBuf::from(".") } else { path.to_owned() };
    let found = dir.ancestors().map(here).find(|path| path.symlink_metadata().is_ok());
    let found = found.unwrap_or_else(|| PathBuf::from("/"));
    let rest = found != dir;
    (found, rest)
}

/// Returns what is wrong with a path that must be a folder.
fn no_folder(path: &Path, dir: &Path) -> Option<(String, String)> {
    let what = match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => return None,
        Ok(metadata) if metadata.is_file() => "is a file, not a folder",
        Ok(_) => "is a pipe, a socket or a device, not a folder",
        Err(error) if error.kind() == ErrorKind::NotFound => "is a link that leads nowhere",
        Err(error) => {
            return Some((format!("{} cannot be looked at ({error})", named(path, dir)), ELSEWHERE.to_owned()));
        }
    };
    Some((format!("{} {what}", named(path, dir)), "move it away, or set data_dir to another place".to_owned()))
}

fn named(path: &Path, dir: &Path) -> String {
    if path == dir { "it".to_owned() } else { path.display().to_string() }
}

const ELSEWHERE: &str = "look at the disk and its mount, or set data_dir to another place";

/// Tests whether files can be created in a folder: for ourselves by asking the system, for another user by the mode.
fn may_write(folder: &Path, service: Option<&Account>) -> io::Result<()> {
    eaccess(folder, AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK).map_err(io::Error::from)?;
    let Some(account) = service else { return Ok(()) };
    let folder = folder.canonicalize()?;
    for (depth, path) in folder.ancestors().enumerate() {
        let metadata = fs::metadata(path)?;
        let wanted = if depth == 0 { 0o7 } else { 0o1 };
        if !account.may(metadata.uid(), metadata.gid(), metadata.mode(), wanted) {
            let verb = if depth == 0 { "write there" } else { "enter it" };
            let words = format!("{} may not {verb}: {}", account.name, belongs(&path.display().to_string(), &metadata));
            return Err(io::Error::new(ErrorKind::PermissionDenied, words));
        }
    }
    Ok(())
}

/// Writes a little and deletes it: a full disk, a quota or a mount may refuse what the modes allow.
fn probe(folder: &Path) -> io::Result<()> {
    let path = folder.join(format!(".probe-{}", std::process::id()));
    let written = fs::OpenOptions::new().write(true).create(true).truncate(true).open(&path).and_then(|mut file| {
        file.write_all(&[0x5a; PROBE_BYTES])?;
        file.sync_all()
    });
    let removed = fs::remove_file(&path);
    written.and(removed)
}

/// Explains a system error for a folder, with the remedy.
fn refused(folder: &Path, service: Option<&Account>, error: &io::Error) -> (String, String) {
    let (shown, told) = (folder.display(), error.to_string());
    let told = without_number(&told);
    match error.kind() {
        ErrorKind::PermissionDenied => {
            let (user, whose, who) = match service {
                Some(account) => (account.name.as_str(), String::new(), ""),
                None => ("USER", whose(folder), ", where USER is the user that runs workmate"),
            };
            (
                format!("{shown} cannot be written: {told}{whose}"),
                format!(
                    "run `chown -R {user}: {shown}`{who}, and see that its mode lets that user in (0700); or set data_dir to another place"
                ),
            )
        }
        ErrorKind::ReadOnlyFilesystem => (
            format!("{shown} is on a file system that is mounted read-only"),
            "mount it for writing (a unit with ProtectSystem= needs StateDirectory= or ReadWritePaths=, a container a \
             volume), or set data_dir to another place"
                .to_owned(),
        ),
        _ if is_full(error) => (
            format!("the disk of {shown} is full, or a quota is reached ({told})"),
            "free space there or raise the quota, or set data_dir to another place".to_owned(),
        ),
        _ => (format!("{shown} cannot be written ({told})"), ELSEWHERE.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn told(dir: &Path, service: Option<&Account>) -> String {
        try_data_dir(dir, service).map_or_else(|error| error.to_string(), |()| "fine".to_owned())
    }

    #[test]
    fn op3_a_data_folder_that_a_start_cannot_use_is_told_with_its_mend_and_nothing_is_left_there() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = |name: &str| dir.path().join(name);
        fs::write(path("file"), "x").expect("written");
        symlink(path("nowhere"), path("link")).expect("linked");
        fs::create_dir_all(path("half/users")).expect("made");
        fs::write(path("half/state"), "x").expect("written");
        fs::create_dir(path("good")).expect("made");
        for (name, what) in [
            ("good", "fine"),
            ("new", "fine"),
            ("new/deep/er", "fine"),
            ("file", "it is a file, not a folder"),
            ("file/data", "file is a file, not a folder"),
            ("link", "it is a link that leads nowhere"),
            ("link/data", "link is a link that leads nowhere"),
            ("half", "half/state is a file, not a folder"),
        ] {
            let told = told(&path(name), None);
            assert!(told.contains(what), "{name}: {told}");
            assert!(told == "fine" || (told.starts_with("data_dir ") && told.contains("\n  Mend: ")), "{told}");
        }
        assert!(!path("new").exists() && fs::read_dir(path("good")).expect("readable").next().is_none());
    }

    #[test]
    fn op3_the_service_s_user_is_judged_by_the_modes_and_not_by_what_root_may() {
        let dir = tempfile::tempdir().expect("a folder");
        let data = dir.path().join("data");
        fs::create_dir(&data).expect("made");
        let owner = fs::metadata(&data).expect("there").uid();
        let account = |uid, gids: &[u32]| Account { name: "someone".to_owned(), uid, gids: gids.to_vec() };
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
        set(dir.path(), 0o755);
        for (mode, uid, fine) in [(0o700, owner, true), (0o755, owner + 1, false), (0o777, owner + 1, true)] {
            set(&data, mode);
            let told = told(&data, Some(&account(uid, &[])));
            assert_eq!(told == "fine", fine || uid == 0, "{mode:o} {uid}: {told}");
            assert!(
                fine || told.contains("someone may not write there") && told.contains("`chown -R someone: "),
                "{told}"
            );
        }
        set(dir.path(), 0o700);
        let told = told(&data, Some(&account(owner + 1, &[])));
        assert!(told.contains("someone may not enter it"), "{told}");
    }

    #[test]
    fn op3_each_answer_of_the_system_has_a_mend_of_its_own() {
        for (kind, what, mend) in [
            (ErrorKind::PermissionDenied, "cannot be written", "chown -R USER: "),
            (ErrorKind::ReadOnlyFilesystem, "mounted read-only", "ReadWritePaths="),
            (ErrorKind::StorageFull, "is full", "free space"),
            (ErrorKind::QuotaExceeded, "a quota is reached", "raise the quota"),
            (ErrorKind::Other, "cannot be written", "the disk and its mount"),
        ] {
            let told = refused(Path::new("/data"), None, &kind.into());
            assert!(told.0.contains(what) && told.1.contains(mend), "{told:?}");
        }
    }
}
