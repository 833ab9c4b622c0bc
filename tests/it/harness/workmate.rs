//! Workmate as a separate process, as an operator runs it.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Result, bail};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time;
use url::Url;
use workmate::{
    cli::demo::homeserver::{SERVER_NAME, last_lines},
    secret::MasterSecret,
    store::Store,
};

use super::slot::Slot;

const READY_MAX: Duration = Duration::from_mins(1);
const STOP_MAX: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);
const LOG_LINES: usize = 60;

/// Changes the configuration, which the harness writes as JSON.
pub(crate) fn reconfigure(config: &Path, change: impl FnOnce(&mut Value)) -> Result<()> {
    let mut settings: Value = serde_json::from_str(&fs::read_to_string(config)?)?;
    change(&mut settings);
    fs::write(config, settings.to_string())?;
    Ok(())
}

/// The configuration of a Workmate beyond its slot.
pub(crate) struct Setup {
    slot: Arc<Slot>,
    homeserver: Url,
    claude: Url,
    settings: Value,
    coworkers: Vec<Value>,
    /// The text of coworkers' files, by id.
    files: Vec<(&'static str, String)>,
    program: PathBuf,
    env: Vec<(&'static str, String)>,
}

impl Setup {
    /// Returns a setup with the coworker `oncall` and the default limits.
    pub(crate) fn new(slot: &Arc<Slot>, homeserver: &Url, claude: &Url) -> Self {
        let (slot, homeserver, claude) = (slot.clone(), homeserver.clone(), claude.clone());
        let program = PathBuf::from(env!("CARGO_BIN_EXE_workmate"));
        Self {
            slot,
            homeserver,
            claude,
            settings: json!({}),
            coworkers: vec![coworker("oncall")],
            files: Vec::new(),
            program,
            env: Vec::new(),
        }
    }

    /// Has Workmate reach its homeserver at another URL; see [`super::between`].
    pub(crate) fn homeserver(self, homeserver: &Url) -> Self {
        Self { homeserver: homeserver.clone(), ..self }
    }

    /// Replaces the coworkers; see [`coworker`].
    pub(crate) fn coworkers(self, coworkers: Vec<Value>) -> Self {
        Self { coworkers, ..self }
    }

    /// Replaces the coworkers by files as an operator writes them.
    pub(crate) fn coworker_files(self, files: Vec<(&'static str, String)>) -> Self {
        Self { coworkers: Vec::new(), files, ..self }
    }

    /// Runs another build of Workmate than this one.
    pub(crate) fn program(self, program: PathBuf) -> Self {
        Self { program, ..self }
    }

    /// Sets an environment variable of the process.
    pub(crate) fn env(mut self, name: &'static str, value: String) -> Self {
        self.env.push((name, value));
        self
    }

    /// Adds a top-level section of `workmate.yaml`, such as `limits`.
    pub(crate) fn section(mut self, name: &str, section: Value) -> Self {
        self.settings[name] = section;
        self
    }

    /// Writes the configuration, starts Workmate, and waits until it is ready.
    pub(crate) async fn start(self) -> Workmate {
        let mut workmate = self.write();
        workmate.start_again().await;
        workmate
    }

    /// Writes the configuration without starting anything.
    pub(crate) fn write(self) -> Workmate {
        let dir = tempfile::tempdir().expect("a directory for temporary files");
        self.write_to(dir.path()).expect("the configuration can be written");
        Workmate { dir, slot: self.slot, program: self.program, env: self.env, child: None }
    }

    fn write_to(&self, dir: &Path) -> Result<()> {
        let coworkers = dir.join("coworkers");
        fs::create_dir(&coworkers)?;
        for coworker in &self.coworkers {
            let id = coworker["id"].as_str().expect("a coworker has an id");
            fs::write(coworkers.join(format!("{id}.yaml")), serde_json::to_string_pretty(coworker)?)?;
        }
        for (id, text) in &self.files {
            fs::write(coworkers.join(format!("{id}.yaml")), text)?;
        }
        let master = dir.join("master.secret");
        fs::write(&master, MasterSecret::random().encode().expose())?;
        fs::set_permissions(&master, Permissions::from_mode(0o600))?;
        let mut settings = self.own_settings(dir);
        for (name, section) in self.settings.as_object().into_iter().flatten() {
            settings[name] = section.clone();
        }
        fs::write(dir.join("workmate.yaml"), serde_json::to_string_pretty(&settings)?)?;
        Ok(())
    }

    fn own_settings(&self, dir: &Path) -> Value {
        let slot = &self.slot;
        json!({
            "homeserver": {"url": self.homeserver, "server_name": SERVER_NAME},
            "appservice": {
                "id": slot.id,
                "listen": slot.listen,
                "url": format!("http://{}", slot.listen),
                "as_token": slot.as_token(),
                "hs_token": slot.hs_token(),
                "service_localpart": slot.service_localpart(),
                "coworker_prefix": slot.coworker_prefix(),
                "assistant_prefix": slot.assistant_prefix(),
            },
            "health_listen": slot.health_listen,
            "data_dir": dir.join("data"),
            "master_secret_file": dir.join("master.secret"),
            "claude": {"base_url": self.claude, "api_key": "sk-ant-tests", "model": "claude-opus-5-5"},
            "coworkers_dir": dir.join("coworkers"),
            "registration_file": slot.registration,
        })
    }
}

/// Returns a coworker's file with this id, as in `config/coworkers/`.
pub(crate) fn coworker(id: &str) -> Value {
    json!({
        "id": id,
        "name": id,
        "purpose": format!("Answers the questions that the tests ask {id}."),
        "instructions": "Answer briefly.",
    })
}

/// A clock that a test moves, as Workmate sees it.
pub(crate) struct Clock(TempDir);

impl Clock {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    /// Has Workmate read it.
    pub(crate) fn on(&self, setup: Setup) -> Setup {
        setup.env("WORKMATE_CLOCK_FILE", self.0.path().join("ms").to_string_lossy().into_owned())
    }

    pub(crate) fn ahead(&self, seconds: i64) {
        fs::write(self.0.path().join("ms"), (seconds * 1_000).to_string()).expect("written");
    }
}

/// Returns what the wall clock shows, in seconds.
pub(crate) fn now_s() -> i64 {
    workmate::clock::now().as_ms() / 1_000
}

/// Writes a moment as a schedule's date in UTC.
pub(crate) fn date(at_s: i64) -> String {
    let at = jiff::Timestamp::from_second(at_s).expect("a moment");
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Gives `oncall` other schedules, while it does not run.
pub(crate) fn give_schedules(workmate: &Workmate, schedules: &Value) {
    let mut oncall = coworker("oncall");
    oncall["schedules"] = schedules.clone();
    let path = workmate.config().with_file_name("coworkers").join("oncall.yaml");
    fs::write(path, serde_json::to_string_pretty(&oncall).expect("JSON")).expect("written");
}

/// A configured Workmate, running or not; killed on drop.
pub(crate) struct Workmate {
    dir: TempDir,
    slot: Arc<Slot>,
    program: PathBuf,
    env: Vec<(&'static str, String)>,
    child: Option<Child>,
}

impl Workmate {
    /// Returns its slot, for ids and tokens.
    pub(crate) fn slot(&self) -> &Slot {
        &self.slot
    }

    /// Returns its process id while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Returns its data folder.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Returns its configuration file.
    pub(crate) fn config(&self) -> PathBuf {
        self.dir.path().join("workmate.yaml")
    }

    /// Starts it and waits until it is ready; if that fails, panics with the log's tail.
    pub(crate) async fn start_again(&mut self) {
        self.spawn();
        if let Err(error) = self.until_ready().await {
            panic!("{error}\nThe last lines of its log:\n{}", last_lines(&self.log_path(), LOG_LINES));
        }
    }

    /// Starts it without waiting.
    pub(crate) fn spawn(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        self.slot.release_ports();
        let log = self.open_log().expect("the log can be opened");
        let child = Command::new(&self.program)
            .args(["serve", "--config"])
            .arg(self.config())
            .env_remove("ANTHROPIC_API_KEY")
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .env("RUST_LOG", "info,workmate=debug,matrix_sdk_crypto::backups=error,matrix_sdk::http_client=off")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log)
            .spawn()
            .expect("workmate can be started");
        self.child = Some(child);
    }

    /// Waits until `/readyz` reports ready.
    pub(crate) async fn until_ready(&mut self) -> Result<()> {
        let url = format!("http://{}/readyz", self.slot.health_listen);
        let http = reqwest::Client::builder().no_proxy().build()?;
        let deadline = time::Instant::now() + READY_MAX;
        while time::Instant::now() < deadline {
            if http.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().transpose()).transpose()? {
                bail!("workmate ended while starting: {status}");
            }
            time::sleep(POLL).await;
        }
        bail!("workmate was not ready after {} s", READY_MAX.as_secs())
    }

    /// Waits like [`Self::until_ready`], but restarts it whenever it exits, as a supervisor would.
    #[allow(dead_code, reason = "the benches and the tests use different parts")]
    pub(crate) async fn until_ready_whatever_ends(&mut self) -> Result<()> {
        let deadline = time::Instant::now() + READY_MAX;
        loop {
            match self.until_ready().await {
                Ok(()) => return Ok(()),
                Err(error) if time::Instant::now() > deadline => return Err(error),
                Err(_) => {
                    self.kill();
                    time::sleep(Duration::from_secs(1)).await;
                    self.spawn();
                }
            }
        }
    }

    /// Asks it to stop, kills it if it does not, and ignores how it exits.
    #[allow(dead_code, reason = "the benches and the tests use different parts")]
    pub(crate) async fn end(&mut self) {
        let Some(child) = self.child.as_mut() else { return };
        let asked = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
        assert!(asked.is_ok(), "kill can be run");
        let deadline = time::Instant::now() + STOP_MAX;
        while time::Instant::now() < deadline && matches!(child.try_wait(), Ok(None)) {
            time::sleep(POLL).await;
        }
        self.kill();
    }

    /// Kills it without warning, as a power cut would.
    pub(crate) fn kill(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        // If it has exited already, only the wait matters.
        child.kill().ok();
        child.wait().expect("a killed child ends");
    }

    /// Crashes it (SIGABRT), as a failed assertion in a library would.
    pub(crate) fn crash(&mut self) {
        let mut child = self.child.take().expect("it runs");
        let asked = Command::new("kill").args(["-ABRT", &child.id().to_string()]).status();
        assert!(asked.is_ok_and(|status| status.success()), "kill -ABRT works");
        let ended = child.wait().expect("one's own child can be waited for");
        assert!(!ended.success(), "an aborted process does not succeed");
    }

    /// Asks it to stop (SIGTERM) and waits; panics if it does not stop or fails.
    pub(crate) async fn stop(&mut self) {
        let child = self.child.as_mut().expect("it runs");
        let asked = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
        assert!(asked.is_ok_and(|status| status.success()), "kill -TERM works");
        let deadline = time::Instant::now() + STOP_MAX;
        while time::Instant::now() < deadline {
            if let Some(status) = child.try_wait().expect("one's own child can be waited for") {
                self.child = None;
                assert!(
                    status.success(),
                    "workmate stopped with {status}\n{}",
                    last_lines(&self.log_path(), LOG_LINES)
                );
                return;
            }
            time::sleep(POLL).await;
        }
        panic!("workmate did not stop\n{}", last_lines(&self.log_path(), LOG_LINES));
    }

    /// Stops it; returns its store.
    pub(crate) async fn stop_and_open_store(&mut self) -> Result<Store> {
        self.stop().await;
        let secret = fs::read_to_string(self.dir.path().join("master.secret"))?;
        let master = MasterSecret::decode(secret.trim()).expect("the harness wrote a master secret");
        Ok(Store::open(&self.data_dir().join("state"), &master.derive("state"))?)
    }

    /// Stops it; returns the stored index of ended runs, oldest first.
    pub(crate) async fn stop_and_read_run_index(&mut self) -> Result<Vec<Value>> {
        self.stop_and_open_store().await?.run_index::<Value>().iter().map(|entry| Ok(entry?.1)).collect()
    }

    /// Returns its log over all starts.
    pub(crate) fn logs(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("workmate.log")
    }

    fn open_log(&self) -> std::io::Result<File> {
        OpenOptions::new().create(true).append(true).open(self.log_path())
    }
}

impl Drop for Workmate {
    fn drop(&mut self) {
        self.kill();
        // The test runner shows this only if the test fails.
        eprintln!("The last lines of workmate's log:\n{}", last_lines(&self.log_path(), LOG_LINES));
    }
}
