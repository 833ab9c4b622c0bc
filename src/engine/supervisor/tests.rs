//! Tests what a service manager hears, with a real datagram socket in its place.

use std::{path::Path, sync::mpsc};

use super::*;
use crate::appservice::health::State;

/// A watchdog that waits long enough for a busy machine.
const WATCHDOG: Duration = Duration::from_secs(2);
/// How long a word of the process may take.
const PATIENCE: Duration = Duration::from_secs(20);

struct Hearing {
    socket: tokio::net::UnixDatagram,
    _dir: tempfile::TempDir,
    told: Told,
}

impl Hearing {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("notify");
        let socket = tokio::net::UnixDatagram::bind(&path).expect("bound");
        Self { socket, told: told(&path), _dir: dir }
    }

    /// Returns the lines up to the first one for which `is_last` holds.
    async fn until(&self, is_last: impl Fn(&str) -> bool) -> Vec<String> {
        let mut heard = Vec::new();
        let hearing = async {
            loop {
                let mut bytes = [0; 4096];
                let length = self.socket.recv(&mut bytes).await.expect("a datagram");
                let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
                heard.extend(text.lines().map(str::to_owned));
                if heard.iter().any(|line| is_last(line)) {
                    return;
                }
            }
        };
        timeout(PATIENCE, hearing).await.expect("the line is heard");
        heard
    }
}

fn told(path: &Path) -> Told {
    let watchdog_usec = Some(WATCHDOG.as_micros().to_string());
    Told { socket: Some(path.into()), watchdog_usec, watchdog_pid: None }
}

fn all_ready(health: &Health) {
    for condition in Condition::ALL {
        health.set(condition, State::Ready);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_manager_hears_when_workmate_serves_what_it_waits_for_and_that_it_stops() {
    let hearing = Hearing::new();
    let (health, tasks, stop) = (Health::default(), TaskTracker::new(), CancellationToken::new());
    let supervisor = Supervisor::of(&hearing.told);
    supervisor.begin(&health, &tasks, &stop);
    let starting = hearing.until(|line| line.starts_with("STATUS=")).await;
    supervisor.serves();
    let serving = hearing.until(|line| line == "READY=1").await;
    all_ready(&health);
    health.set(Condition::ClaudeKey, State::Waiting("no key is set\n  Mend: set one.".to_owned()));
    let waiting = hearing.until(|line| line.contains("claude_key") && !line.contains("homeserver")).await;
    health.set(Condition::ClaudeKey, State::Ready);
    hearing.until(|line| line == "STATUS=Ready").await;
    hearing.until(|line| line == "WATCHDOG=1").await;
    supervisor.stopping();
    hearing.until(|line| line == "STOPPING=1").await;
    stop.cancel();
    tasks.close();
    tasks.wait().await;

    let first = "STATUS=Waiting for homeserver, deliveries, users, store, claude_key, claude_model, claude: the homeserver \
                 is being asked";
    assert_eq!(starting, ["EXTEND_TIMEOUT_USEC=60000000", "WATCHDOG=1", first]);
    assert!(!serving.contains(&"STOPPING=1".to_owned()), "{serving:?}");
    assert_eq!(waiting.last().map(String::as_str), Some("STATUS=Waiting for claude_key: no key is set"));
}

/// One thread for files, which waits for ever: accepted work would wait behind it too.
#[test]
fn the_watchdog_is_not_told_of_a_runtime_that_makes_no_progress() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let hearing = Hearing::new();
        let (health, tasks, stop) = (Health::default(), TaskTracker::new(), CancellationToken::new());
        all_ready(&health);
        let supervisor = Supervisor::of(&hearing.told);
        supervisor.serves();
        supervisor.begin(&health, &tasks, &stop);
        hearing.until(|line| line == "WATCHDOG=1").await;
        let (release, held) = mpsc::channel::<()>();
        let stuck = tokio::task::spawn_blocking(move || held.recv().is_err());

        let silent = hearing.until(|line| line == "STATUS=The runtime makes no progress").await;
        drop(release);
        let beats = hearing.until(|line| line == "WATCHDOG=1").await;

        // One beat may have been on its way.
        assert!(silent.iter().filter(|line| *line == "WATCHDOG=1").count() <= 1, "{silent:?}");
        assert!(beats.iter().any(|line| line == "STATUS=Ready"), "{beats:?}");
        assert!(stuck.await.expect("it ends"));
        stop.cancel();
    });
}

#[test]
fn the_watchdog_of_another_process_and_a_manager_that_is_away_are_none_of_ours() {
    let usec = |usec: &str, pid: Option<u32>| {
        let pid = pid.map(|pid| pid.to_string());
        Told { socket: None, watchdog_usec: Some(usec.to_owned()), watchdog_pid: pid }.watchdog()
    };
    let own = std::process::id();
    let found = [usec("60000000", None), usec("60000000", Some(own)), usec("60000000", Some(own + 1))];
    assert_eq!(found, [Some(Duration::from_mins(1)), Some(Duration::from_mins(1)), None]);
    assert_eq!([usec("0", None), usec("soon", None)], [None, None]);
    for socket in [None, Some("".into()), Some("/nonexistent/notify".into()), Some("relative\0".into())] {
        let supervisor = Supervisor::of(&Told { socket, ..Told::default() });
        assert!(supervisor.manager.is_none());
        supervisor.stopping();
    }
}

/// Containers and older managers use names instead of paths.
#[cfg(target_os = "linux")]
#[test]
fn an_abstract_socket_is_told_too() {
    use std::os::linux::net::SocketAddrExt as _;

    let name = format!("workmate-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let socket = UnixDatagram::bind_addr(&address).expect("bound");
    Supervisor::of(&Told { socket: Some(format!("@{name}").into()), ..Told::default() }).stopping();
    let mut bytes = [0; 64];
    let length = socket.recv(&mut bytes).expect("a datagram");
    assert_eq!(&bytes[..length], b"STOPPING=1\nSTATUS=Stopping");
}
