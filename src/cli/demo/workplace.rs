//! Workmate in the demo: its configuration, registration and process.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use ruma::OwnedRoomId;
use serde_json::{Value, json};
use tokio::time;
use url::Url;

use super::{
    claude::Claude,
    homeserver::{Progress, SERVER_NAME, last_lines},
    private_file,
    state::State,
};
use crate::{core::time::Timestamp, secret::MasterSecret};

const COWORKERS: [(&str, &str); 3] = [
    ("ci", include_str!("../../../config/coworkers/ci.yaml")),
    ("oncall", include_str!("../../../config/coworkers/oncall.yaml")),
    ("sales", include_str!("../../../config/coworkers/sales.yaml")),
];
/// The same coworkers as they work without being asked.
const EXAMPLES: [(&str, &str); 3] = [
    ("ci", include_str!("../../../config/examples/ci.yaml")),
    ("oncall", include_str!("../../../config/examples/oncall.yaml")),
    ("sales", include_str!("../../../config/examples/sales.yaml")),
];
/// What the demo's GitHub signs its calls with, and what the others would.
pub(super) const HOOK_SECRET: &str = "the-demos-own-webhook-secret";
/// The credentials that the examples name.
const HOOK_CREDENTIALS: [&str; 4] = ["alertmanager", "github-hook", "gitlab-hook", "forgejo-hook"];
/// What of the examples the demo replaces by a room of its own, by a moment that comes soon, and by its server's name.
const EXAMPLE_ROOMS: [&str; 3] = ["#oncall:example.org", "#dev:example.org", "#sales:example.org"];
const EXAMPLE_TIMES: [&str; 2] = ["when: every weekday at 09:00", "when: every weekday at 08:30"];
const EXAMPLE_ZONE: &str = "zone: Europe/Berlin";
const EXAMPLE_SERVER: &str = "example.org";

const SUPERVISED: &str = include_str!("supervised_command.py");
const READY_SECONDS_MAX: u64 = 90;
const STOP_MAX: Duration = Duration::from_secs(25);
const POLL: Duration = Duration::from_millis(50);
const LOG_LINES: usize = 30;

/// Writes Synapse's copy of the registration; returns its path.
pub(super) fn write_registration(state: &State) -> Result<PathBuf> {
    let kept = &state.kept;
    let registration = json!({
        "id": "workmate-demo",
        "url": appservice_url(state),
        "as_token": kept.as_token,
        "hs_token": kept.hs_token,
        "sender_localpart": "workmate-sender",
        "rate_limited": false,
        "receive_ephemeral": false,
        "io.element.msc4190": true,
        "namespaces": {
            "users": [{"exclusive": true, "regex": format!("@(workmate|coworker-.*|assistant-.*):{SERVER_NAME}")}],
            "aliases": [],
            "rooms": [],
        },
    });
    let path = state.dir.join("registration.yaml");
    private_file::write(&path, &serde_json::to_string_pretty(&registration)?)?;
    Ok(path)
}

/// Writes `workmate.yaml`, the coworkers and the master secret; returns the path of `workmate.yaml`.
/// With `unasked`, the coworkers work by themselves in a room.
pub(super) fn write_config(
    state: &State,
    homeserver: &Url,
    claude: &Claude,
    unasked: Option<&Unasked>,
) -> Result<PathBuf> {
    let dir = state.dir.join("config");
    let coworkers = dir.join("coworkers");
    fs::create_dir_all(&coworkers).with_context(|| format!("{}: cannot be made", coworkers.display()))?;
    let files = match unasked {
        None => COWORKERS.map(|(id, text)| (id, text.to_owned())),
        Some(unasked) => EXAMPLES.map(|(id, text)| (id, unasked.example(text))),
    };
    for (id, text) in files {
        private_file::write(&coworkers.join(format!("{id}.yaml")), &text)?;
    }
    let master = dir.join("master.secret");
    if !master.exists() {
        private_file::write(&master, MasterSecret::random().encode().expose())?;
    }
    let path = dir.join("workmate.yaml");
    let mut settings = settings(state, homeserver, claude);
    if unasked.is_some() {
        settings["hooks_listen"] = json!(format!("127.0.0.1:{}", state.kept.hooks_port));
        settings["credentials"] =
            HOOK_CREDENTIALS.iter().map(|name| ((*name).to_owned(), json!({"value": HOOK_SECRET}))).collect();
    }
    private_file::write(&path, &serde_json::to_string_pretty(&settings)?)?;
    Ok(path)
}

/// Where and when the coworkers work by themselves.
pub(super) struct Unasked {
    pub(super) room: OwnedRoomId,
    pub(super) due: Timestamp,
}

impl Unasked {
    /// Returns an example's file for the demo's room: what it does on weekdays is due once, soon.
    fn example(&self, text: &str) -> String {
        let due = jiff::Timestamp::from_millisecond(self.due.as_ms()).unwrap_or_default();
        let due = format!("when: {}", due.strftime("%Y-%m-%d %H:%M:%S"));
        let mut text = text.replace(EXAMPLE_ZONE, "zone: UTC");
        for room in EXAMPLE_ROOMS {
            text = text.replace(room, self.room.as_str());
        }
        for when in EXAMPLE_TIMES {
            text = text.replace(when, &due);
        }
        text.replace(EXAMPLE_SERVER, SERVER_NAME)
    }
}

fn settings(state: &State, homeserver: &Url, claude: &Claude) -> Value {
    let kept = &state.kept;
    json!({
        "homeserver": {"url": homeserver, "server_name": SERVER_NAME},
        "appservice": {
            "id": "workmate-demo",
            "listen": format!("127.0.0.1:{}", kept.appservice_port),
            "url": appservice_url(state),
            "as_token": kept.as_token,
            "hs_token": kept.hs_token,
            "service_localpart": "workmate",
            "coworker_prefix": "coworker-",
            "assistant_prefix": "assistant-",
        },
        "health_listen": format!("127.0.0.1:{}", kept.health_port),
        "data_dir": "../data",
        "master_secret_file": "master.secret",
        "coworkers_dir": "coworkers",
        "registration_file": "../registration.yaml",
        "claude": claude.settings(),
    })
}

fn appservice_url(state: &State) -> String {
    format!("http://127.0.0.1:{}", state.kept.appservice_port)
}

/// `workmate serve` as a child process; it stops when this is dropped or the demo ends.
pub(super) struct Workmate {
    child: Child,
    log: PathBuf,
}

impl Workmate {
    /// Starts it and waits until it is ready.
    pub(super) async fn start(python: &Path, config: &Path, state: &State, progress: Progress<'_>) -> Result<Self> {
        let log = state.dir.join("workmate.log");
        let output = File::create(&log).with_context(|| format!("{}: cannot be written", log.display()))?;
        let own = std::env::current_exe().context("the path of this program")?;
        let child = Command::new(python)
            .args(["-c", SUPERVISED])
            .arg(own)
            .args(["serve", "--config"])
            .arg(config)
            // Ctrl-C in the terminal must reach only us; we stop our children in order.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("workmate cannot be started")?;
        let mut workmate = Self { child, log };
        workmate.until_ready(state.kept.health_port, progress).await?;
        Ok(workmate)
    }

    /// Stops it, and starts it with the configuration as it is now.
    pub(super) async fn start_again(
        &mut self,
        python: &Path,
        config: &Path,
        state: &State,
        progress: Progress<'_>,
    ) -> Result<()> {
        self.end().await?;
        *self = Self::start(python, config, state, progress).await?;
        Ok(())
    }

    /// Asks it to stop and waits until it has.
    pub(super) async fn stop(mut self) -> Result<()> {
        self.end().await
    }

    async fn end(&mut self) -> Result<()> {
        drop(self.child.stdin.take());
        let deadline = time::Instant::now() + STOP_MAX;
        while time::Instant::now() < deadline {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            time::sleep(POLL).await;
        }
        bail!("workmate did not stop within {} s; its log is {}", STOP_MAX.as_secs(), self.log.display())
    }

    async fn until_ready(&mut self, health_port: u16, progress: Progress<'_>) -> Result<()> {
        let url = format!("http://127.0.0.1:{health_port}/readyz");
        let http = reqwest::Client::builder().no_proxy().build()?;
        let began = time::Instant::now();
        let mut told_seconds = 0;
        loop {
            if http.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            let tail = || format!("The last lines of {}:\n{}", self.log.display(), last_lines(&self.log, LOG_LINES));
            let ended = self.child.try_wait()?;
            let seconds = began.elapsed().as_secs();
            if let Some(status) = ended {
                bail!("workmate ended while starting ({status}).\n{}", tail());
            }
            if seconds >= READY_SECONDS_MAX {
                bail!("workmate is not ready after {seconds} s.\n{}", tail());
            }
            if seconds >= told_seconds + 2 {
                progress(&format!("waiting for Workmate to make its users, {seconds} s"));
                told_seconds = seconds;
            }
            time::sleep(POLL).await;
        }
    }
}

impl Drop for Workmate {
    fn drop(&mut self) {
        // The wrapper stops workmate when its standard input closes; if we waited for the wrapper, it has ended
        // already.
        drop(self.child.stdin.take());
        self.child.try_wait().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::demo::DemoArgs, config::Config};

    fn state_in(dir: &Path) -> State {
        let args = DemoArgs { once: true, fresh: false, dir: Some(dir.to_owned()) };
        let state = State::open(&args).expect("an empty directory is taken");
        write_registration(&state).expect("the registration can be written");
        state
    }

    /// Writes the configuration and loads it; it has neither faults nor warnings.
    fn config_of(state: &State, unasked: Option<&Unasked>) -> (Config, PathBuf) {
        let homeserver = Url::parse("http://127.0.0.1:8008").expect("a URL");
        let path = write_config(state, &homeserver, &Claude::Real, unasked).expect("the configuration can be written");
        let key = |name: &str| (name == "ANTHROPIC_API_KEY").then(|| "sk-ant-of-the-environment".to_owned());
        let (config, warnings) = Config::load_with(&path, &key).expect("it has no fault");
        assert_eq!(warnings, []);
        (config, path)
    }

    #[test]
    fn the_demos_configuration_is_accepted_and_agrees_with_its_registration() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let state = state_in(dir.path());

        let (config, _) = config_of(&state, None);

        assert_eq!(
            config.coworkers.iter().map(|coworker| coworker.id.0.as_str()).collect::<Vec<_>>(),
            ["ci", "oncall", "sales"]
        );
        assert!(config.appservice.as_token.matches(&state.kept.as_token));
    }

    #[test]
    fn the_examples_are_accepted_with_the_demos_room_and_a_due_time_of_its_own() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let state = state_in(dir.path());
        let room = OwnedRoomId::try_from("!unasked:localhost").expect("a room id");
        let unasked = Unasked { room: room.clone(), due: Timestamp::from_ms(1_800_000_000_000) };

        let (config, path) = config_of(&state, Some(&unasked));

        let hooks: Vec<_> = config.coworkers.iter().flat_map(|one| &one.hooks).map(|hook| &hook.hook).collect();
        let names: Vec<_> = hooks.iter().map(|hook| hook.name.as_str()).collect();
        assert_eq!(names, ["github", "gitlab", "forgejo", "alertmanager"]);
        assert!(hooks.iter().all(|hook| hook.room.as_str() == room.as_str()));
        let schedules: Vec<_> = config.coworkers.iter().flat_map(|one| &one.schedules).collect();
        assert_eq!(schedules.len(), 2);
        for schedule in schedules {
            assert_eq!(schedule.rooms.iter().map(|room| room.as_str()).collect::<Vec<_>>(), [room.as_str()]);
        }
        let left = ["example.org", "when: every weekday", "Europe"];
        for (id, _) in EXAMPLES {
            let text = fs::read_to_string(path.with_file_name("coworkers").join(format!("{id}.yaml"))).expect("a file");
            assert!(!left.iter().any(|left| text.contains(left)), "{text}");
        }
    }
}
