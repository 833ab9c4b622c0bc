//! Files written whole or not at all: into a temporary one beside the target, which is then renamed.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow, bail};

use crate::{config::whose_if_denied, secret::Secret};

/// Copies of an old master secret that are kept before `init` asks somebody to tidy up.
const SET_ASIDE_MAX: u32 = 100;

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Privacy {
    /// Its owner: mode 0600, in a folder of mode 0700 where that has to be made.
    Owner,
    /// Whoever the process's umask lets.
    Everyone,
}

/// A file to be written.
pub(super) struct Planned {
    pub(super) path: PathBuf,
    text: Secret,
    privacy: Privacy,
}

impl Planned {
    /// Returns whether the file is there and holds something else.
    pub(super) fn would_change(&self) -> bool {
        !existing([self.path.as_path()]).is_empty()
            && !fs::read(&self.path).is_ok_and(|held| held == self.text.expose().as_bytes())
    }

    pub(super) fn new(path: PathBuf, text: &str, privacy: Privacy) -> Self {
        Self { path, text: Secret::new(text), privacy }
    }

    /// Writes it, and its folders where they are missing.
    pub(super) fn write(&self) -> anyhow::Result<()> {
        self.try_write().map_err(|error| cannot(&self.path, &error))
    }

    fn try_write(&self) -> std::io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new(""));
        make_folder(folder, self.privacy)?;
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = folder.join(format!(".{name}.{}", &Secret::random().expose()[..8]));
        let written = self.fill(&temporary).and_then(|()| fs::rename(&temporary, &self.path));
        if written.is_err() {
            // What went wrong is said; a leftover that cannot be removed either changes nothing about it.
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    fn fill(&self, path: &Path) -> std::io::Result<()> {
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        if self.privacy == Privacy::Owner {
            use std::os::unix::fs::OpenOptionsExt as _;
            options.mode(0o600);
        }
        let mut file = options.open(path)?;
        file.write_all(self.text.expose().as_bytes())?;
        file.sync_all()
    }
}

/// Returns those of `paths` that exist, links to nowhere included.
pub(super) fn existing<'p>(paths: impl IntoIterator<Item = &'p Path>) -> Vec<PathBuf> {
    paths.into_iter().filter(|path| path.symlink_metadata().is_ok()).map(Path::to_owned).collect()
}

/// Copies a file to `name.bak-DATE`, with its mode, before it is replaced; returns where that is. `at` is a date.
pub(super) fn keep_copy(path: &Path, at: &str) -> anyhow::Result<PathBuf> {
    let named = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(if number == 1 { format!(".bak-{at}") } else { format!(".bak-{at}.{number}") });
        PathBuf::from(name)
    };
    let free = (1..=SET_ASIDE_MAX).map(named).find(|path| existing([path.as_path()]).is_empty());
    let free = free.with_context(|| format!("{SET_ASIDE_MAX} copies of {} stand in the way", path.display()))?;
    fs::copy(path, &free).with_context(|| format!("{} cannot be copied to {}", path.display(), free.display()))?;
    Ok(free)
}

/// Renames a file to `name.old`, or the first `name.old.N` that is free, and returns that.
pub(super) fn set_aside(path: &Path) -> anyhow::Result<PathBuf> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".old");
    let first = PathBuf::from(&aside);
    let numbered = (2..=SET_ASIDE_MAX).map(|number| PathBuf::from(format!("{}.{number}", first.display())));
    let free = std::iter::once(first.clone()).chain(numbered).find(|path| existing([path.as_path()]).is_empty());
    let free = free.with_context(|| format!("{} and {SET_ASIDE_MAX} more stand in the way", first.display()))?;
    fs::rename(path, &free).with_context(|| format!("{} cannot be renamed", path.display()))?;
    Ok(free)
}

/// Checks that what is to be replaced are files, and that `dir` can be a folder: a pipe would be read for ever.
pub(super) fn check_replaceable(dir: &Path, paths: &[PathBuf]) -> anyhow::Result<()> {
    if let Some(path) = dir.ancestors().find(|path| path.symlink_metadata().is_ok())
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

/// Says why a file cannot be written, and how to mend that.
fn cannot(path: &Path, error: &std::io::Error) -> anyhow::Error {
    use std::io::ErrorKind;
    let denied = whose_if_denied(path, error);
    let mend = match error.kind() {
        ErrorKind::PermissionDenied => "run this as the user that the folder belongs to, or choose another --dir.",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room on that disk, or choose another --dir.",
        _ => "choose another --dir, a folder on a disk that can be written.",
    };
    anyhow!("{} cannot be written: {error}{denied}\n  Mend: {mend}", path.display())
}

fn make_folder(folder: &Path, privacy: Privacy) -> std::io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    if privacy == Privacy::Owner && folder.ends_with("secrets") {
        use std::os::unix::fs::DirBuilderExt as _;
        fs::create_dir_all(folder.parent().unwrap_or(Path::new("")))?;
        builder.mode(0o700);
    }
    #[cfg(not(unix))]
    let _ = privacy;
    builder.create(folder)
}
