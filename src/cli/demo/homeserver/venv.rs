//! The Python environment for Synapse: made once, shared, and rebuilt if incomplete or outdated.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};
use tokio::{process::Command, time};

use super::{Progress, accounts::hex, last_lines};

/// Synapse and its dependencies, pinned.
const REQUIREMENTS: &str = include_str!("../requirements.txt");
const INSTALL_SECONDS_MAX: u64 = 900;
const LOCK_POLL: Duration = Duration::from_millis(200);
const PROGRESS_EVERY: Duration = Duration::from_secs(5);
const LOG_LINES: usize = 15;

/// Makes sure that `dir` holds a Python with Synapse, and returns the interpreter.
///
/// Processes that want the same environment wait for each other on `<dir>.lock`.
///
/// # Errors
/// If Python, its venv module or the packages are missing; the message says what to install.
pub(crate) async fn ensure(dir: &Path, progress: Progress<'_>) -> Result<PathBuf> {
    let python = dir.join("bin/python");
    let stamp_path = dir.join("complete.stamp");
    let stamp = wanted_stamp().await?;
    let is_complete = || fs::read_to_string(&stamp_path).is_ok_and(|found| found == stamp);
    if is_complete() {
        return Ok(python);
    }
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent).with_context(|| format!("{}: cannot be made", parent.display()))?;
    }
    let _lock = lock(&dir.with_extension("lock"), progress).await?;
    if is_complete() {
        return Ok(python);
    }
    install(dir, &python, progress).await?;
    fs::write(&stamp_path, &stamp).with_context(|| format!("{}: cannot be written", stamp_path.display()))?;
    Ok(python)
}

/// Returns the stamp of a complete environment; another Python or other pins give another stamp.
async fn wanted_stamp() -> Result<String> {
    let version = Command::new("python3").arg("--version").output().await;
    let Ok(version) = version else {
        bail!(
            "python3: not found. The embedded Synapse is a Python program. \
             Mend: install Python 3.10 or later (Debian, Ubuntu: `apt install python3 python3-venv`)."
        );
    };
    let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
    Ok(format!("{version}\n{}\n", hex(&Sha256::digest(REQUIREMENTS))))
}

async fn lock(path: &Path, progress: Progress<'_>) -> Result<File> {
    let file = File::create(path).with_context(|| format!("{}: cannot be made", path.display()))?;
    let began = time::Instant::now();
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if began.elapsed().as_secs() < INSTALL_SECONDS_MAX => {}
            Err(error) => bail!(
                "{}: cannot be locked ({error}). Mend: end the other process that installs Synapse there.",
                path.display()
            ),
        }
        if !told && began.elapsed() > Duration::from_secs(1) {
            progress("another process is installing Synapse, waiting for it");
            told = true;
        }
        time::sleep(LOCK_POLL).await;
    }
}

async fn install(dir: &Path, python: &Path, progress: Progress<'_>) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir)
            .with_context(|| format!("{}: a half-made environment cannot be removed", dir.display()))?;
    }
    let log = dir.with_extension("log");
    progress("making a Python environment");
    let mut make = Command::new("python3");
    make.args(["-m", "venv"]).arg(dir);
    run(make, &log, "making the Python environment", progress).await.context(
        "`python3 -m venv` failed. Mend: install the venv module (Debian, Ubuntu: `apt install python3-venv`).",
    )?;

    let requirements = dir.join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS).with_context(|| format!("{}: cannot be written", requirements.display()))?;
    progress("installing Synapse into it (once; about half a minute, 250 MB)");
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--prefer-binary", "-r"]);
    pip.arg(&requirements);
    run(pip, &log, "installing Synapse", progress).await.context(
        "pip could not install Synapse. Mend: check that this machine reaches a Python package index, then try again.",
    )
}

/// Runs one step with its output in `log`; an error holds the log's last lines.
async fn run(mut command: Command, log: &Path, what: &str, progress: Progress<'_>) -> Result<()> {
    let output = File::create(log).with_context(|| format!("{}: cannot be written", log.display()))?;
    let errors = output.try_clone()?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .kill_on_drop(true)
        .spawn()
        .context("cannot be started")?;
    let began = time::Instant::now();
    let mut ticks = time::interval_at(began + PROGRESS_EVERY, PROGRESS_EVERY);
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            _ = ticks.tick() => {
                let seconds = began.elapsed().as_secs();
                if seconds > INSTALL_SECONDS_MAX {
                    bail!("{what} took longer than {INSTALL_SECONDS_MAX} s; its output is in {}", log.display());
                }
                progress(&format!("still {what}, {seconds} s"));
            }
        }
    };
    if status.success() {
        return Ok(());
    }
    bail!("{what}: {status}. The last lines of {}:\n{}", log.display(), last_lines(log, LOG_LINES))
}
