//! The demo's directory: what it keeps between runs, and what `--fresh` removes.

use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, anyhow, bail};
use serde::{Deserialize, Serialize};

use super::{DemoArgs, homeserver::free_port, private_file};
use crate::{config::reason, secret::Secret};

/// The file that marks a demo directory; without it nothing is ever removed.
const MARKER: &str = ".workmate-demo";
/// The Python environment outside a checkout; `--fresh` keeps it, because it holds nothing of the conversation.
const VENV: &str = "venv";

/// The demo's directory, locked for this process.
pub(super) struct State {
    pub(super) dir: PathBuf,
    pub(super) venv: PathBuf,
    pub(super) kept: Kept,
    _lock: File,
}

/// What a second run needs to find the first one's homeserver, tokens and logins.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) homeserver_port: u16,
    pub(super) appservice_port: u16,
    pub(super) health_port: u16,
    #[serde(default)]
    pub(super) hooks_port: u16,
    pub(super) as_token: String,
    pub(super) hs_token: String,
    pub(super) passwords: [String; 2],
}

impl State {
    /// Opens or creates the directory; starts over if asked to.
    pub(super) fn open(args: &DemoArgs) -> Result<Self> {
        let checkout_target = checkout_target();
        let default_dir =
            checkout_target.as_ref().map_or_else(|| PathBuf::from("workmate-demo"), |dir| dir.join("demo"));
        let dir = std::path::absolute(args.dir.clone().unwrap_or(default_dir))?;
        let venv = checkout_target.map_or_else(|| dir.join(VENV), |target| target.join("synapse-venv"));
        let venv = std::path::absolute(venv)?;
        claim(&dir)?;
        let lock = lock(&dir)?;
        if args.fresh {
            remove_content(&dir)?;
        }
        let kept = Kept::load_or_make(&dir.join("demo.json"))?;
        Ok(Self { dir, venv, kept, _lock: lock })
    }
}

/// Returns the checkout's target directory if this runs in a Workmate checkout.
fn checkout_target() -> Option<PathBuf> {
    let is_checkout = Path::new("Cargo.toml").is_file() && Path::new("src/cli/demo/story.rs").is_file();
    is_checkout.then(|| std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from))
}

fn claim(dir: &Path) -> Result<()> {
    let marker = dir.join(MARKER);
    let is_foreign = !marker.exists() && fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
    if is_foreign {
        bail!(
            "{}: not empty, and not a directory of the demo (it has no {MARKER}); nothing was changed.\n  \
             Mend: name an empty or new directory with --dir.",
            dir.display()
        );
    }
    fs::create_dir_all(dir).map_err(|error| {
        let why = reason(&error);
        anyhow!("{}: cannot be made: {why}\n  Mend: name a folder in which you may write with --dir.", dir.display())
    })?;
    private_file::write(&marker, "The workmate demo keeps its state here; `--fresh` removes it.\n")
}

fn lock(dir: &Path) -> Result<File> {
    let path = dir.join("lock");
    let file = File::create(&path).with_context(|| format!("{}: cannot be made", path.display()))?;
    if file.try_lock().is_err() {
        bail!(
            "{}: another demo is running there.\n  Mend: end it, or name another directory with --dir.",
            dir.display()
        );
    }
    Ok(file)
}

fn remove_content(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if [MARKER, VENV, "lock"].iter().any(|kept| entry.file_name() == *kept) {
            continue;
        }
        let path = entry.path();
        let removed = if entry.file_type()?.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.with_context(|| format!("{}: cannot be removed", path.display()))?;
    }
    Ok(())
}

impl Kept {
    fn load_or_make(path: &Path) -> Result<Self> {
        let mut kept = match fs::read_to_string(path) {
            Ok(text) => serde_json::from_str(&text)
                .with_context(|| format!("{}: not readable.\n  Mend: start over with --fresh.", path.display()))?,
            Err(_) => Self::new(),
        };
        // Hold all of them at once, so that none is found twice.
        let listeners =
            [kept.homeserver_port, kept.appservice_port, kept.health_port, kept.hooks_port].map(kept_or_free);
        let [homeserver, appservice, health, hooks] = listeners;
        let (homeserver, appservice, health, hooks) = (homeserver?, appservice?, health?, hooks?);
        kept.homeserver_port = homeserver.local_addr()?.port();
        kept.appservice_port = appservice.local_addr()?.port();
        kept.health_port = health.local_addr()?.port();
        kept.hooks_port = hooks.local_addr()?.port();
        private_file::write(path, &serde_json::to_string_pretty(&kept)?)?;
        Ok(kept)
    }

    fn new() -> Self {
        let random = || Secret::random().expose().to_owned();
        let password = || random().chars().filter(char::is_ascii_alphanumeric).take(12).collect();
        Self {
            homeserver_port: 0,
            appservice_port: 0,
            health_port: 0,
            hooks_port: 0,
            as_token: random(),
            hs_token: random(),
            passwords: [password(), password()],
        }
    }
}

/// Returns a listener on the last run's port, or on a free one if that is taken or there was none.
fn kept_or_free(port: u16) -> Result<TcpListener> {
    if port != 0
        && let Ok(listener) = TcpListener::bind(("127.0.0.1", port))
    {
        return Ok(listener);
    }
    free_port()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(dir: &Path, fresh: bool) -> DemoArgs {
        DemoArgs { once: true, fresh, dir: Some(dir.to_owned()) }
    }

    #[test]
    fn fresh_removes_the_demos_own_state_and_no_environment() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let first = State::open(&args(dir.path(), false)).expect("an empty directory is taken").kept;
        fs::create_dir_all(dir.path().join("homeserver")).expect("a directory");
        fs::create_dir_all(dir.path().join("venv/bin")).expect("a directory");

        let kept = State::open(&args(dir.path(), false)).expect("it is known again").kept;
        let fresh = State::open(&args(dir.path(), true)).expect("it starts over").kept;

        assert_eq!((kept.as_token == first.as_token, fresh.as_token == first.as_token), (true, false));
        assert_eq!(["homeserver", "venv/bin"].map(|name| dir.path().join(name).exists()), [false, true]);
    }

    #[test]
    fn a_directory_of_somebody_elses_is_left_alone() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let theirs = dir.path().join("thesis.txt");
        fs::write(&theirs, "years of work").expect("a file");

        let refused = State::open(&args(dir.path(), true)).err().expect("it is refused").to_string();

        assert!(refused.contains("not a directory of the demo"), "{refused}");
        assert!(theirs.exists());
    }

    #[test]
    fn two_demos_do_not_share_a_directory() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let _running = State::open(&args(dir.path(), false)).expect("an empty directory is taken");
        let refused = State::open(&args(dir.path(), false)).err().expect("it is refused").to_string();
        assert!(refused.contains("another demo is running there"), "{refused}");
    }
}
