//! A Synapse on loopback, for the demo and the tests.
//!
//! It needs only Python: [`venv`] installs a pinned Synapse. This file configures and runs it, and makes sure that it
//! never outlives the process that started it.

mod accounts;
mod settings;
pub(crate) mod venv;

use std::{
    fs::{self, File},
    net::{Ipv4Addr, TcpListener},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use tokio::time;
use url::Url;

use settings::Secrets;

/// The server name of every embedded homeserver, as in its users' ids.
pub const SERVER_NAME: &str = "localhost";

/// Where free ports are looked for: below the range that the system uses for outgoing connections.
const PORTS: std::ops::Range<u16> = 18_000..32_000;
const READY_SECONDS_MAX: u64 = 90;
const STOP_MAX: Duration = Duration::from_secs(8);
const POLL: Duration = Duration::from_millis(50);
const HTTP_MAX: Duration = Duration::from_secs(30);
const LOG_LINES: usize = 25;
const SUPERVISED: &str = include_str!("homeserver/supervised.py");

/// A callback told what is being waited for whenever that takes longer than a second.
pub type Progress<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// Where an embedded homeserver lives, and which appservices it serves.
#[derive(Clone, Debug)]
pub struct Options {
    /// The Python environment; created if missing.
    pub venv: PathBuf,
    /// The folder for configuration, database and logs; existing ones are reused.
    pub dir: PathBuf,
    /// The port on 127.0.0.1; see [`free_port`].
    pub port: u16,
    /// Registration files of the appservices.
    pub registrations: Vec<PathBuf>,
    /// A Python program that runs Synapse in another way than as one process on SQLite. It gets the configuration's
    /// path, listens on the same port, and ends when its standard input closes.
    pub runner: Option<PathBuf>,
}

/// A running Synapse. It stops when this is dropped or the process ends.
pub struct Homeserver {
    python: PathBuf,
    dir: PathBuf,
    config: PathBuf,
    url: Url,
    secrets: Secrets,
    runner: Option<PathBuf>,
    child: Option<Child>,
}

impl Homeserver {
    /// Installs Synapse if need be, configures and starts it, and returns when it answers.
    ///
    /// # Errors
    /// If it cannot be installed or does not become ready; the message holds the log's last lines.
    pub async fn start(options: Options, progress: Progress<'_>) -> Result<Self> {
        let python = venv::ensure(&options.venv, progress).await?;
        fs::create_dir_all(&options.dir).with_context(|| format!("{}: cannot be made", options.dir.display()))?;
        let dir = absolute(&options.dir)?;
        let registrations = options.registrations.iter().map(|path| absolute(path)).collect::<Result<Vec<_>>>()?;
        let secrets = Secrets::load_or_make(&dir)?;
        let config = settings::write(&dir, options.port, &registrations, &secrets)?;
        let url = Url::parse(&format!("http://127.0.0.1:{}/", options.port))?;
        let runner = options.runner.clone();
        let mut homeserver = Self { python, dir, config, url, secrets, runner, child: None };
        homeserver.spawn()?;
        homeserver.until_ready(progress).await?;
        Ok(homeserver)
    }

    /// Returns the base URL of its client-server API.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Registers a person; an existing account is left unchanged.
    ///
    /// # Errors
    /// If the homeserver does not answer or refuses.
    pub async fn register(&self, localpart: &str, password: &str) -> Result<()> {
        accounts::register(&self.url, &self.secrets.registration, localpart, password).await
    }

    /// Stops it and waits until the process is gone.
    ///
    /// # Errors
    /// If the operating system refuses to end it.
    pub async fn stop(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        drop(child.stdin.take());
        let deadline = time::Instant::now() + STOP_MAX;
        while time::Instant::now() < deadline {
            if child.try_wait()?.is_some() {
                return Ok(());
            }
            time::sleep(POLL).await;
        }
        child.kill().context("Synapse does not stop")?;
        child.wait()?;
        Ok(())
    }

    /// Restarts it on the same port and with the same data.
    ///
    /// # Errors
    /// As for [`Self::start`].
    pub async fn restart(&mut self, progress: Progress<'_>) -> Result<()> {
        self.stop().await?;
        self.start_again(progress).await
    }

    /// Starts it after [`Self::stop`], on the same port and with the same data.
    ///
    /// # Errors
    /// As for [`Self::start`].
    pub async fn start_again(&mut self, progress: Progress<'_>) -> Result<()> {
        self.stop().await?;
        self.spawn()?;
        self.until_ready(progress).await
    }

    fn spawn(&mut self) -> Result<()> {
        let path = self.dir.join("stdout.log");
        let output = File::create(&path).with_context(|| format!("{}: cannot be written", path.display()))?;
        let mut command = Command::new(&self.python);
        match &self.runner {
            Some(runner) => command.arg(runner),
            None => command.args(["-c", SUPERVISED]),
        };
        let child = command
            .arg(&self.config)
            .current_dir(&self.dir)
            // Ctrl-C in the terminal must reach only us; we stop our children in order.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("{}: cannot be started", self.python.display()))?;
        self.child = Some(child);
        Ok(())
    }

    async fn until_ready(&mut self, progress: Progress<'_>) -> Result<()> {
        let versions = self.url.join("_matrix/client/versions")?;
        let http = http()?;
        let began = time::Instant::now();
        let mut told_seconds = 0;
        loop {
            let answered = http.get(versions.clone()).send().await.is_ok_and(|answer| answer.status().is_success());
            if let Some(status) = self.ended()? {
                bail!("Synapse ended while starting ({status}).\n{}", self.log_tail());
            }
            if answered {
                return Ok(());
            }
            let seconds = began.elapsed().as_secs();
            if seconds >= READY_SECONDS_MAX {
                bail!("Synapse at {} is not ready after {seconds} s.\n{}", self.url, self.log_tail());
            }
            if seconds >= told_seconds + 2 {
                progress(&format!("waiting for Synapse to start, {seconds} s"));
                told_seconds = seconds;
            }
            time::sleep(POLL).await;
        }
    }

    fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.as_mut().map(Child::try_wait).transpose()?.flatten())
    }

    fn log_tail(&self) -> String {
        let [output, log] = ["stdout.log", "homeserver.log"].map(|name| {
            let path = self.dir.join(name);
            format!("The last lines of {}:\n{}", path.display(), last_lines(&path, LOG_LINES))
        });
        format!("{output}\n{log}\nMend: what the log names; the demo starts over with `--fresh`.")
    }
}

impl Drop for Homeserver {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        // SQLite survives a kill; without the wait a zombie would remain.
        if child.kill().is_ok() {
            child.wait().ok();
        }
    }
}

/// Returns a listener on a free loopback port; dropping it releases the port.
///
/// # Errors
/// If no port in the range is free.
pub fn free_port() -> Result<TcpListener> {
    let mut random = [0; 2];
    getrandom::fill(&mut random).ok().context("the operating system gives no randomness")?;
    let offset = u16::from_ne_bytes(random) % (PORTS.end - PORTS.start);
    (PORTS.start + offset..PORTS.end)
        .chain(PORTS.start..PORTS.start + offset)
        .find_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok())
        .with_context(|| format!("no free port on 127.0.0.1 between {} and {}", PORTS.start, PORTS.end))
}

/// Returns a text file's last lines, or a note that it cannot be read.
#[must_use]
pub fn last_lines(path: &Path, lines_max: usize) -> String {
    let Ok(bytes) = fs::read(path) else { return "(no log)".to_owned() };
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(lines_max)..].join("\n")
}

/// Makes an HTTP client for loopback. Each use has its own, because a pooled connection belongs to one runtime.
fn http() -> Result<reqwest::Client> {
    Ok(reqwest::Client::builder().no_proxy().timeout(HTTP_MAX).build()?)
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("{}: not a usable path", path.display()))
}
