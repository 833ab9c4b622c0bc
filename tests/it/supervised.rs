//! What a service manager hears of a real process, and what `workmate health` says of it.

use std::{process::Command, time::Duration};

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use tokio::{net::UnixDatagram, time::timeout};
use url::Url;
use workmate::{
    cli::demo::homeserver::free_port,
    standin::{Options, StandIn},
};

use crate::harness::{Setup, Workmate, homeserver::shared};

/// How long a word may take: a start provisions users first.
const PATIENCE: Duration = Duration::from_mins(1);

/// The manager's end.
struct Manager {
    socket: UnixDatagram,
    dir: TempDir,
    heard: Vec<String>,
}

impl Manager {
    fn new() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        Ok(Self { socket: UnixDatagram::bind(dir.path().join("notify"))?, dir, heard: Vec::new() })
    }

    /// Has a Workmate tell it everything, as systemd does for `Type=notify` with `WatchdogSec=`.
    fn over(&self, setup: Setup) -> Setup {
        let socket = self.dir.path().join("notify").display().to_string();
        setup.env("NOTIFY_SOCKET", socket).env("WATCHDOG_USEC", "4000000".to_owned())
    }

    /// Listens until a line that begins so has been heard.
    async fn until(&mut self, begin: &str) -> Result<()> {
        let (socket, heard) = (&self.socket, &mut self.heard);
        let hearing = async {
            while !heard.iter().any(|line| line.starts_with(begin)) {
                let mut bytes = [0; 4096];
                let length = socket.recv(&mut bytes).await?;
                heard.extend(String::from_utf8_lossy(&bytes[..length]).lines().map(str::to_owned));
            }
            anyhow::Ok(())
        };
        let ended = timeout(PATIENCE, hearing).await;
        ended.with_context(|| format!("{begin} is not among {:?}", self.heard))?
    }
}

/// Runs `workmate health`; returns whether it exits with 0, and what it says.
fn health(workmate: &Workmate, more: &[&str]) -> Result<(bool, String)> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_workmate"));
    let output = command.arg("health").args(more).arg("--config").arg(workmate.config()).output()?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8(said)?))
}

#[tokio::test]
async fn a_service_manager_hears_that_workmate_serves_is_alive_and_stops() -> Result<()> {
    let mut manager = Manager::new()?;
    let claude = StandIn::start(Options::scripted()).await?;
    let setup = Setup::new(&shared().take_slot(), shared().url(), &claude.base_url());
    let mut workmate = manager.over(setup).write();
    let nobody = health(&workmate, &[])?;
    workmate.spawn();

    manager.until("READY=1").await?;
    manager.until("STATUS=Ready").await?;
    manager.until("WATCHDOG=1").await?;
    let alive = [health(&workmate, &[])?, health(&workmate, &["--ready"])?];
    workmate.stop().await;
    manager.until("STOPPING=1").await?;

    assert!(!nobody.0 && nobody.1.contains("does not answer"), "{nobody:?}");
    assert!(manager.heard.iter().any(|line| line.starts_with("STATUS=Waiting for ")), "{:?}", manager.heard);
    assert_eq!(manager.heard.iter().filter(|line| *line == "READY=1").count(), 1, "{:?}", manager.heard);
    assert_eq!(alive, [(true, "alive\n".to_owned()), (true, "ready\n".to_owned())]);
    Ok(())
}

/// Whatever is ordered after the service must not wait for a homeserver that is down, nor may the watchdog restart it.
#[tokio::test]
async fn a_service_manager_hears_what_is_waited_for_and_a_start_is_not_held_up_by_it() -> Result<()> {
    let mut manager = Manager::new()?;
    let claude = StandIn::start(Options::scripted()).await?;
    let closed = Url::parse(&format!("http://{}", free_port()?.local_addr()?))?;
    let mut workmate = manager.over(Setup::new(&shared().take_slot(), &closed, &claude.base_url())).write();
    workmate.spawn();

    manager.until("READY=1").await?;
    manager.until("STATUS=Waiting for homeserver, deliveries, users: ").await?;
    manager.until("WATCHDOG=1").await?;
    let (alive, ready) = (health(&workmate, &[])?, health(&workmate, &["--ready"])?);
    workmate.stop().await;
    manager.until("STOPPING=1").await?;

    assert!(manager.heard.iter().all(|line| line != "STATUS=Ready"), "{:?}", manager.heard);
    assert_eq!(alive, (true, "alive\n".to_owned()));
    assert!(!ready.0 && ready.1.contains("not ready\n") && ready.1.contains("  homeserver: "), "{ready:?}");
    Ok(())
}
