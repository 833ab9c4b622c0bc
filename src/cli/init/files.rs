//! Writes files all or none: each to a temporary file beside its target, then copies of the replaced files are kept,
//! and finally all are renamed. A replaced file's owner and mode are kept, also when root runs `init`.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow, bail};

use crate::{
    config::{own_uid, reason, user_name, whose_if_denied},
    secret::Secret,
};

/// Old master secrets kept before `init` asks to tidy up.
const SET_ASIDE_MAX: u32 = 100;
/// The mode bits kept for a file that others must not read.
const WITHOUT_OTHERS: u32 = 0o770;

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Privacy {
    /// Only its owner: mode 0600, in a folder that is created with mode 0700.
    Owner,
    /// Everyone whom the umask allows.
    Everyone,
}

/// The name of a replaced file's copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copy {
    /// `name.bak-DATE`, with a number if necessary.
    Dated,
    /// `name.old`, with a number if necessary.
    Old,
    /// No copy is left once everything is written.
    None,
}

/// A file to be written.
pub(super) struct Planned {
    pub(super) path: PathBuf,
    text: Secret,
    privacy: Privacy,
    copy: Copy,
    /// The file whose owner gets it, if it is new.
    like: Option<PathBuf>,
}

/// A file that was written beside its target and may not be in place yet.
struct Staged {
    temporary: PathBuf,
    target: PathBuf,
    /// The requested path, which may be a link to the target.
    path: PathBuf,
    copy: Option<PathBuf>,
    /// Whether the copy is deleted once everything is written.
    is_passing: bool,
    is_in_place: bool,
}

impl Planned {
    /// Returns whether the file exists with different content.
    pub(super) fn would_change(&self) -> bool {
        is_there(&self.path) && !fs::read(&self.path).is_ok_and(|held| held == self.text.expose().as_bytes())
    }

    pub(super) fn new(path: PathBuf, text: &str, privacy: Privacy) -> Self {
        Self { path, text: Secret::new(text), privacy, copy: Copy::Dated, like: None }
    }

    /// Returns it as the property of whoever owns `file`.
    pub(super) fn owned_like(self, file: &Path) -> Self {
        Self { like: Some(file.to_owned()), ..self }
    }

    /// Returns it with another kind of copy.
    pub(super) fn with_copy(self, copy: Copy) -> Self {
        Self { copy, ..self }
    }

    /// Writes it beside its target, with its final owner and mode.
    fn stage(&self) -> std::io::Result<Staged> {
        // A link stays a link; its target is replaced.
        let target = self.path.canonicalize().unwrap_or_else(|_| self.path.clone());
        let folder = target.parent().unwrap_or(Path::new(""));
        make_folder(folder, self.privacy)?;
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let temporary = folder.join(format!(".{name}.{}", &Secret::random().expose()[..8]));
        let staged =
            Staged { temporary, target, path: self.path.clone(), copy: None, is_passing: false, is_in_place: false };
        match self.fill(&staged) {
            Ok(()) => Ok(staged),
            Err(error) => {
                staged.undo();
                Err(error)
            }
        }
    }

    fn fill(&self, staged: &Staged) -> std::io::Result<()> {
        let before = fs::metadata(&staged.target).ok();
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        if self.privacy == Privacy::Owner || before.is_some() {
            options.mode(0o600);
        }
        let mut file = options.open(&staged.temporary)?;
        file.write_all(self.text.expose().as_bytes())?;
        match before {
            Some(before) => {
                own(&staged.temporary, before.uid(), before.gid())?;
                let allowed = if self.privacy == Privacy::Owner { WITHOUT_OTHERS } else { 0o777 };
                file.set_permissions(fs::Permissions::from_mode(before.mode() & allowed))?;
            }
            None => match &self.like {
                Some(like) => fs::metadata(like).and_then(|like| own(&staged.temporary, like.uid(), like.gid()))?,
                None => own_like_its_folder(&staged.temporary)?,
            },
        }
        file.sync_all()
    }
}

impl Staged {
    /// Keeps a copy of the file to be replaced.
    fn keep(&mut self, copy: Copy, at: &str) -> anyhow::Result<()> {
        let base = match copy {
            Copy::Dated => format!(".bak-{at}"),
            Copy::Old => ".old".to_owned(),
            Copy::None => format!(".before-{at}"),
        };
        self.is_passing = copy == Copy::None;
        let named = |number: u32| {
            let mut name = self.target.as_os_str().to_owned();
            name.push(if number == 1 { base.clone() } else { format!("{base}.{number}") });
            PathBuf::from(name)
        };
        let free = (1..=SET_ASIDE_MAX).map(named).find(|path| !is_there(path));
        let shown = self.path.display();
        let free = free.with_context(|| format!("{SET_ASIDE_MAX} copies of {shown} stand in the way"))?;
        self.copy = Some(free.clone());
        // A second name for the old file keeps owner and mode and takes no space, but not every file system has hard
        // links.
        let kept = fs::hard_link(&self.target, &free).or_else(|_| {
            fs::copy(&self.target, &free)?;
            let before = fs::metadata(&self.target)?;
            own(&free, before.uid(), before.gid())
        });
        kept.with_context(|| format!("nothing was changed: {shown} cannot be copied to {}", free.display()))
    }

    fn put_in_place(&mut self) -> std::io::Result<()> {
        fs::rename(&self.temporary, &self.target)?;
        self.is_in_place = true;
        // If the folder cannot be synced, the system does so in its own time.
        let _ = fs::File::open(folder_of(&self.target)).and_then(|folder| folder.sync_all());
        Ok(())
    }

    /// Restores the old state; failures are ignored, because the first error is reported.
    fn undo(&self) {
        match (self.is_in_place, &self.copy) {
            (true, Some(copy)) => drop(fs::rename(copy, &self.target)),
            (true, None) => drop(fs::remove_file(&self.target)),
            (false, copy) => {
                drop(fs::remove_file(&self.temporary));
                drop(copy.as_ref().map(fs::remove_file));
            }
        }
    }
}

/// Writes files and copies of those they replace, all or none; returns the copies. `at` is the date.
pub(super) fn write_all(plan: &[Planned], at: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut staged = Vec::new();
    let written = write_into(&mut staged, plan, at);
    if let Err(error) = written {
        staged.iter().rev().for_each(Staged::undo);
        return Err(error);
    }
    let (passing, kept): (Vec<Staged>, Vec<Staged>) = staged.into_iter().partition(|staged| staged.is_passing);
    for copy in passing.iter().filter_map(|staged| staged.copy.as_ref()) {
        // A leftover copy is harmless.
        drop(fs::remove_file(copy));
    }
    Ok(kept.into_iter().filter_map(|staged| staged.copy).collect())
}

fn write_into(staged: &mut Vec<Staged>, plan: &[Planned], at: &str) -> anyhow::Result<()> {
    // Files that are already as planned are left alone.
    let plan: Vec<(&Planned, bool)> = plan
        .iter()
        .map(|planned| (planned, planned.would_change()))
        .filter(|(planned, changes)| *changes || !is_there(&planned.path))
        .collect();
    for (planned, _) in &plan {
        staged.push(planned.stage().map_err(|error| cannot(&planned.path, &error))?);
    }
    for (staged, (planned, _)) in staged.iter_mut().zip(&plan).filter(|(_, (_, changes))| *changes) {
        staged.keep(planned.copy, at)?;
    }
    for staged in staged {
        staged.put_in_place().map_err(|error| cannot(&staged.path, &error))?;
    }
    Ok(())
}

/// Changes a new file's owner, unless it is already right.
fn own(path: &Path, uid: u32, gid: u32) -> std::io::Result<()> {
    let made = fs::metadata(path)?;
    if (made.uid(), made.gid()) == (uid, gid) {
        return Ok(());
    }
    chown(path, Some(uid), Some(gid)).map_err(|error| {
        let owner = user_name(uid);
        std::io::Error::new(error.kind(), format!("it is {owner}'s, and only root can make a file {owner}'s"))
    })
}

/// Gives a file that root made in somebody's folder to that folder's owner.
fn own_like_its_folder(path: &Path) -> std::io::Result<()> {
    let folder = fs::metadata(folder_of(path))?;
    if own_uid() == Some(0) && folder.uid() != 0 { own(path, folder.uid(), folder.gid()) } else { Ok(()) }
}

/// Returns the folder that a file is in.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Returns whether something has this path, even a dangling link.
fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Returns those of `paths` that exist, including dangling links.
pub(super) fn existing<'p>(paths: impl IntoIterator<Item = &'p Path>) -> Vec<PathBuf> {
    paths.into_iter().filter(|path| is_there(path)).map(Path::to_owned).collect()
}

/// Checks that the targets are regular files and `dir` can be a folder; a pipe would block for ever.
pub(super) fn check_replaceable(dir: &Path, paths: &[PathBuf]) -> anyhow::Result<()> {
    if let Some(path) = dir.ancestors().find(|path| is_there(path))
        && !fs::metadata(path).is_ok_and(|metadata| metadata.is_dir())
    {
        bail!(
            "nothing was written: {} is not a folder\n  Mend: choose another --dir, or move it away.",
            path.display()
        );
    }
    for path in paths {
        let instead = match fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => continue,
            Ok(metadata) if metadata.is_dir() => "a folder",
            Ok(_) => "a pipe, a socket or a device",
            Err(_) => "a link that leads to no file",
        };
        bail!(
            "nothing was written: {} is {instead}, not a file\n  Mend: move it away, or choose another --dir.",
            path.display()
        );
    }
    Ok(())
}

/// Returns the error that a file cannot be written, with a remedy.
fn cannot(path: &Path, error: &std::io::Error) -> anyhow::Error {
    use std::io::ErrorKind;
    let denied = whose_if_denied(path, error);
    let mend = match error.kind() {
        ErrorKind::PermissionDenied => {
            "run this as the user that the folder and its files belong to, or with sudo; or choose another --dir."
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room on that disk, or choose another --dir.",
        _ => "choose another --dir, a folder on a disk that can be written.",
    };
    anyhow!("nothing was changed: {} cannot be written: {}{denied}\n  Mend: {mend}", path.display(), reason(error))
}

/// Creates a folder and its missing parents.
fn make_folder(folder: &Path, privacy: Privacy) -> std::io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    make_folder(folder.parent().unwrap_or(Path::new("")), Privacy::Everyone)?;
    let mut builder = fs::DirBuilder::new();
    if privacy == Privacy::Owner && folder.ends_with("secrets") {
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    }
    builder.create(folder)?;
    own_like_its_folder(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(dir: &Path) -> Vec<(String, String)> {
        let entries = fs::read_dir(dir).expect("readable").map(|entry| entry.expect("readable").path());
        let mut all: Vec<_> = entries
            .filter(|path| path.is_file())
            .map(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                (name, fs::read_to_string(path).expect("readable"))
            })
            .collect();
        all.sort();
        all
    }

    #[test]
    fn op8_where_one_file_cannot_be_written_all_stay_as_they_were() {
        let dir = tempfile::tempdir().expect("a folder");
        let at = |name: &str| dir.path().join(name);
        let plan = |last: &str| {
            ["a", "same", "b", last].map(|name| Planned::new(at(name), &format!("new {name}"), Privacy::Owner))
        };
        for (name, age) in [("a", "old"), ("same", "new"), ("file", "old")] {
            fs::write(at(name), format!("{age} {name}")).expect("written");
        }
        let before = texts(dir.path());
        // One fails at the first step, where a file is in the folder's place, the other at the last, where a folder is
        // in the file's place.
        fs::create_dir(at("folder")).expect("made");
        for last in ["file/c", "folder"] {
            let error = write_all(&plan(last), "1").expect_err(last).to_string();
            assert!(error.contains("cannot be ") && error.starts_with("nothing was changed: "), "{error}");
            assert_eq!(texts(dir.path()), before, "{last}");
        }
        let copies = write_all(&plan("c"), "1").expect("writes");
        assert_eq!(copies, [at("a.bak-1")]);
        let names: Vec<_> = texts(dir.path()).into_iter().map(|(name, text)| format!("{name}: {text}")).collect();
        assert_eq!(names, ["a: new a", "a.bak-1: old a", "b: new b", "c: new c", "file: old file", "same: new same"]);
    }

    #[test]
    fn op8_what_is_replaced_keeps_its_mode_and_a_link_stays_one() {
        let dir = tempfile::tempdir().expect("a folder");
        let at = |name: &str| dir.path().join(name);
        let mode = |name: &str| fs::metadata(at(name)).expect("there").mode() & 0o777;
        for (name, mode) in [("token", 0o644), ("group", 0o640), ("config", 0o664)] {
            fs::write(at(name), "old").expect("written");
            fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).expect("set");
        }
        std::os::unix::fs::symlink("config", at("link")).expect("linked");
        let plan = [("token", Privacy::Owner), ("group", Privacy::Owner), ("link", Privacy::Everyone)];
        let plan = plan.map(|(name, privacy)| Planned::new(at(name), "new", privacy).with_copy(Copy::Old));
        write_all(&plan, "1").expect("writes");
        assert_eq!(["token", "group", "config", "config.old"].map(mode), [0o640, 0o640, 0o664, 0o664]);
        assert!(at("link").is_symlink() && fs::read_to_string(at("config")).expect("there") == "new");
    }

    #[test]
    fn op8_what_root_writes_is_the_folder_s_owner_s_or_whose_it_was() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path().join("config");
        fs::create_dir(&folder).expect("made");
        // Only root can change a file's owner.
        if own_uid() != Some(0) || chown(&folder, Some(4_321), Some(4_322)).is_err() {
            return;
        }
        fs::write(folder.join("theirs"), "old").expect("written");
        chown(folder.join("theirs"), Some(4_323), Some(4_324)).expect("given");
        let plan = ["theirs", "new", "secrets/deep"];
        let plan = plan.map(|name| Planned::new(folder.join(name), "x", Privacy::Owner));
        write_all(&plan, "1").expect("writes");
        let owner = |name: &str| {
            let metadata = fs::metadata(folder.join(name)).expect("there");
            (metadata.uid(), metadata.gid())
        };
        assert_eq!(
            ["theirs", "theirs.bak-1", "new", "secrets", "secrets/deep"].map(owner),
            [(4_323, 4_324), (4_323, 4_324), (4_321, 4_322), (4_321, 4_322), (4_321, 4_322)]
        );
    }
}
