//! Tells the service manager (systemd with `Type=notify`; the protocol is that of sd_notify(3)) when Workmate serves, what
//! its readiness waits for, and that it is alive as long as its runtime makes progress. A manager with a watchdog restarts
//! a process that falls silent.

use std::{
    env,
    ffi::{OsStr, OsString},
    io,
    os::unix::{
        ffi::OsStrExt as _,
        net::{SocketAddr, UnixDatagram},
    },
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::appservice::health::{Condition, Health};

/// How often the status is compared with what was told, if the watchdog does not ask more often.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How much longer a start may take, said at each look while it makes progress: a full disk can hold it up for hours.
const START_MORE: Duration = Duration::from_mins(1);
/// Characters of a status.
const STATUS_CHARS_MAX: usize = 300;
/// Beats and looks that fit into the watchdog's time, so that a late one does no harm.
const BEATS: u32 = 4;

/// The service manager; without one, nothing is told.
#[derive(Clone, Debug, Default)]
pub struct Supervisor {
    manager: Option<Arc<Manager>>,
    serves: Arc<watch::Sender<bool>>,
}

#[derive(Debug)]
struct Manager {
    socket: UnixDatagram,
    /// The silence after which it restarts us.
    watchdog: Option<Duration>,
}

/// What the manager put into our environment.
#[derive(Debug, Default)]
struct Told {
    socket: Option<OsString>,
    watchdog_usec: Option<String>,
    watchdog_pid: Option<String>,
}

impl Supervisor {
    /// Returns the manager that the environment names. The environment stays as it is: after a restart by `exec`, the same
    /// manager has to be told.
    #[must_use]
    pub fn of_env() -> Self {
        Self::of(&Told {
            socket: env::var_os("NOTIFY_SOCKET"),
            watchdog_usec: env::var("WATCHDOG_USEC").ok(),
            watchdog_pid: env::var("WATCHDOG_PID").ok(),
        })
    }

    fn of(told: &Told) -> Self {
        let Some(path) = told.socket.as_deref().filter(|path| !path.is_empty()) else { return Self::default() };
        match connected(path) {
            Ok(socket) => {
                let manager = Manager { socket, watchdog: told.watchdog() };
                Self { manager: Some(Arc::new(manager)), serves: Arc::default() }
            }
            Err(error) => {
                tracing::warn!(%error, "the service manager named by NOTIFY_SOCKET cannot be told anything");
                Self::default()
            }
        }
    }

    /// Begins to tell the manager about this process, until `stop`.
    pub(super) fn begin(&self, health: &Health, tasks: &TaskTracker, stop: &CancellationToken) {
        let Some(manager) = self.manager.clone() else { return };
        let (serves, health, within, stop) = (self.serves.subscribe(), health.clone(), tasks.clone(), stop.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = manager.keep_told(serves, &health, &within) => {}
            }
        });
    }

    /// Records that requests are taken from now on.
    pub(super) fn serves(&self) {
        self.serves.send_replace(true);
    }

    /// Says that the process ends because it was told to.
    pub fn stopping(&self) {
        if let Some(manager) = &self.manager {
            manager.tell("STOPPING=1\nSTATUS=Stopping");
        }
    }
}

impl Told {
    /// Returns the watchdog's time, if it is meant for this process.
    fn watchdog(&self) -> Option<Duration> {
        let is_ours = self.watchdog_pid.as_ref().is_none_or(|pid| *pid == std::process::id().to_string());
        let usec = self.watchdog_usec.as_ref().filter(|_| is_ours)?.parse().ok().filter(|usec| *usec > 0)?;
        Some(Duration::from_micros(usec))
    }
}

/// Connects to the manager's socket: a path, or an abstract name behind `@`.
fn connected(path: &OsStr) -> io::Result<UnixDatagram> {
    let address = match path.as_bytes().strip_prefix(b"@") {
        #[cfg(target_os = "linux")]
        Some(name) => <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name)?,
        #[cfg(not(target_os = "linux"))]
        Some(_) => return Err(io::ErrorKind::Unsupported.into()),
        None => SocketAddr::from_pathname(path)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    // A manager that does not read must not stop us.
    socket.set_nonblocking(true)?;
    Ok(socket)
}

impl Manager {
    fn tell(&self, text: &str) {
        if let Err(error) = self.socket.send(text.as_bytes()) {
            tracing::debug!(%error, "the service manager cannot be told");
        }
    }

    async fn keep_told(&self, mut serves: watch::Receiver<bool>, health: &Health, tasks: &TaskTracker) {
        let pause = self.watchdog.map_or(LOOK_EVERY, |watchdog| LOOK_EVERY.min(watchdog / BEATS));
        let mut progress = Progress { health: health.clone(), tasks: tasks.clone(), patience: pause, trial: None };
        let (mut is_ready, mut shown, mut beaten) = (false, String::new(), None::<Instant>);
        loop {
            let mut told = Vec::new();
            let status = if progress.is_made().await {
                let begins = !is_ready && *serves.borrow();
                is_ready |= begins;
                match (begins, is_ready) {
                    (true, _) => told.push("READY=1".to_owned()),
                    (false, true) => {}
                    (false, false) => told.push(format!("EXTEND_TIMEOUT_USEC={}", START_MORE.as_micros())),
                }
                let every = self.watchdog.map(|watchdog| watchdog / BEATS);
                if every.is_some_and(|every| beaten.is_none_or(|at| at.elapsed() >= every)) {
                    beaten = Some(Instant::now());
                    told.push("WATCHDOG=1".to_owned());
                }
                status(health)
            } else {
                tracing::warn!("the runtime makes no progress, and the service manager is not told that it does");
                "The runtime makes no progress".to_owned()
            };
            if status != shown {
                told.push(format!("STATUS={status}"));
                shown = status;
            }
            if !told.is_empty() {
                self.tell(&told.join("\n"));
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = serves.wait_for(|serves| *serves), if !is_ready => {}
            }
        }
    }
}

/// Whether the runtime does what every request needs.
struct Progress {
    health: Health,
    tasks: TaskTracker,
    /// How long that may take.
    patience: Duration,
    /// The last trial, if it has not ended; no other one begins beside it.
    trial: Option<JoinHandle<io::Result<()>>>,
}

impl Progress {
    async fn is_made(&mut self) -> bool {
        let trial = self.trial.take().unwrap_or_else(|| self.tasks.spawn(try_all(self.health.clone())));
        let trial = self.trial.insert(trial);
        let ended = timeout(self.patience, trial).await;
        if ended.is_ok() {
            self.trial = None;
        }
        match ended {
            Ok(Ok(Ok(()))) => true,
            // Without descriptors, everything but this goes on, and a restart would not give more.
            Ok(Ok(Err(error))) => {
                tracing::debug!(%error, "whether the runtime makes progress cannot be tried");
                true
            }
            Ok(Err(_)) | Err(_) => false,
        }
    }
}

/// Ends once a task was scheduled, a timer and a socket have woken it, a thread for files has taken work, and the conditions
/// of readiness could be read.
async fn try_all(health: Health) -> io::Result<()> {
    tokio::time::sleep(Duration::from_millis(1)).await;
    let (mut here, mut there) = UnixStream::pair()?;
    here.write_all(b".").await?;
    there.read_exact(&mut [0]).await?;
    tokio::task::spawn_blocking(move || drop(status(&health))).await.map_err(io::Error::other)
}

/// Returns what readiness waits for, in one line.
fn status(health: &Health) -> String {
    let needed = Condition::ALL.into_iter().filter(|condition| condition.is_needed());
    let waiting: Vec<(&str, String)> = needed
        .filter_map(|condition| {
            let state = health.get(condition);
            let first = state.reason()?.lines().next().unwrap_or_default().trim().to_owned();
            Some((condition.name(), first))
        })
        .collect();
    let Some((_, first)) = waiting.first() else { return "Ready".to_owned() };
    let names: Vec<&str> = waiting.iter().map(|(name, _)| *name).collect();
    let whole = format!("Waiting for {}: {first}", names.join(", "));
    whole.chars().filter(|char| !char.is_control()).take(STATUS_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests;
