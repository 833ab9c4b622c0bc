//! Programs around Workmate that nobody here wrote, above all senders of webhooks: pinned, installed into `target/hook-senders`, kept for the next run, and
//! skipped loudly where they cannot be had.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use workmate::cli::demo::homeserver::free_port;

use crate::{harness::venv_dir, standin_sdks::run};

const OCTOKIT: [&str; 2] = ["@octokit/webhooks@14.2.0", "@octokit/webhooks-examples@7.6.1"];
const STANDARD: &str = "standardwebhooks==1.1.0";
const ALERTMANAGER: &str = "prometheus-alertmanager";

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("hook-senders").join(name)
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/senders").join(name)
}

/// Writes past the test harness, which hides the output of passing tests.
fn skip(what: &str, why: &str) {
    let line = format!("SKIPPED: nothing is tested with {what}: {}\n", why.lines().last().unwrap_or_default());
    std::io::stderr().write_all(line.as_bytes()).expect("stderr is open");
}

/// Installs something once, by these commands in its folder; returns the folder.
pub(crate) async fn installed(name: &str, marker: &str, commands: Vec<Command>) -> Option<PathBuf> {
    let folder = folder(name);
    let marker = folder.join("installed").join(marker.replace('/', "_"));
    if !marker.exists() {
        std::fs::create_dir_all(&folder).expect("target is writable");
        std::fs::write(folder.join("package.json"), r#"{"private":true}"#).expect("target is writable");
        for mut command in commands {
            if let Err(why) = run(command.current_dir(&folder)).await {
                skip(name, &why);
                return None;
            }
        }
        std::fs::create_dir_all(&marker).expect("target is writable");
    }
    Some(folder)
}

/// What became of one of octokit's examples.
#[derive(Debug, Deserialize)]
pub(crate) struct Sent {
    pub(crate) event: String,
    pub(crate) signature: String,
    pub(crate) status: u16,
    pub(crate) became: Option<String>,
    pub(crate) body: String,
}

/// Has octokit sign and send every example; `None` if there is no octokit.
pub(crate) async fn octokit(url: &str, secret: &str) -> Result<Option<Vec<Sent>>> {
    let mut install = Command::new("npm");
    install.args(["install", "--no-audit", "--no-fund", "--save-exact"]).args(OCTOKIT);
    let Some(folder) = installed("octokit", &OCTOKIT.join("+"), vec![install]).await else { return Ok(None) };
    let mut call = Command::new("node");
    call.arg(script("github.mjs")).args([url, secret]).arg(folder);
    let printed = run(&mut call).await.map_err(anyhow::Error::msg)?;
    printed.lines().map(|line| serde_json::from_str(line).context(line.to_owned())).collect::<Result<_>>().map(Some)
}

/// Has standardwebhooks send: a call, the same again, one that is a byte off, and one that is six minutes old; returns
/// the statuses. `None` if there is no such package.
pub(crate) async fn standard(url: &str, secret: &str, title: &str) -> Result<Option<Vec<u16>>> {
    let python = venv_dir().join("bin/python");
    let mut install = Command::new(&python);
    let target = folder("standard").join("packages");
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", STANDARD, "--target"]).arg(&target);
    if installed("standard", STANDARD, vec![install]).await.is_none() {
        return Ok(None);
    }
    let mut call = Command::new(&python);
    call.arg(script("standard.py")).args([url, secret, title]).env("PYTHONPATH", target);
    let printed = run(&mut call).await.map_err(anyhow::Error::msg)?;
    Ok(Some(serde_json::from_str(printed.trim())?))
}

/// Returns an unpacked Alertmanager that looks for its templates where it runs: Debian's looks in the system's folder, into
/// which only an installation may write. The folder's name is replaced in a copy of the program.
fn unpacked(folder: &Path) -> Result<PathBuf> {
    const SHARED: &[u8] = b"/usr/share/prometheus/alertmanager";
    let (root, run) = (folder.join("root"), folder.join("run"));
    std::fs::create_dir_all(&run)?;
    for template in std::fs::read_dir(root.join("usr/share/prometheus/alertmanager"))? {
        let template = template?;
        if template.file_type()?.is_file() {
            std::fs::copy(template.path(), run.join(template.file_name()))?;
        }
    }
    let mut program = std::fs::read(root.join("usr/bin").join(ALERTMANAGER))?;
    let here: Vec<u8> = b"./".iter().copied().cycle().take(SHARED.len()).collect();
    let found: Vec<usize> =
        program.windows(SHARED.len()).enumerate().filter(|(_, bytes)| *bytes == SHARED).map(|(at, _)| at).collect();
    for at in found {
        program[at..at + SHARED.len()].copy_from_slice(&here);
    }
    let ours = run.join(ALERTMANAGER);
    std::fs::write(&ours, program)?;
    std::fs::set_permissions(&ours, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    Ok(ours)
}

/// Debian's Alertmanager; it ends when this is dropped.
pub(crate) struct Alertmanager {
    _process: Child,
    url: String,
    http: reqwest::Client,
}

impl Alertmanager {
    /// Starts it with a receiver; `None` if there is none to start.
    pub(crate) async fn start(receiver: &str, token: &str) -> Result<Option<Self>> {
        let mut fetch = Command::new("apt-get");
        fetch.args(["download", ALERTMANAGER]);
        let mut unpack = Command::new("sh");
        unpack.args(["-c", "dpkg -x prometheus-alertmanager_*.deb root"]);
        let on_path = run(Command::new(ALERTMANAGER).arg("--version")).await.is_ok();
        let program = if on_path {
            PathBuf::from(ALERTMANAGER)
        } else {
            let Some(folder) = installed("alertmanager", ALERTMANAGER, vec![fetch, unpack]).await else {
                return Ok(None);
            };
            unpacked(&folder)?
        };
        let folder = folder("alertmanager").join("run");
        std::fs::create_dir_all(&folder)?;
        let config = json!({
            "route": { "receiver": "workmate", "group_by": ["alertname"], "group_wait": "100ms", "group_interval": "1s" },
            "receivers": [{ "name": "workmate", "webhook_configs": [{
                "url": receiver, "send_resolved": true,
                "http_config": { "authorization": { "type": "Bearer", "credentials": token } },
            }] }],
        });
        std::fs::write(folder.join("config.yml"), config.to_string())?;
        let address = free_port()?.local_addr()?.to_string();
        let process = Command::new(program)
            .arg("--config.file=config.yml")
            .arg("--storage.path=data")
            .arg("--cluster.listen-address=")
            .arg(format!("--web.listen-address={address}"))
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.join("log"))?)
            .kill_on_drop(true)
            .spawn()?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        let alertmanager = Self { _process: process, url: format!("http://{address}"), http };
        alertmanager.until_ready().await?;
        Ok(Some(alertmanager))
    }

    async fn until_ready(&self) -> Result<()> {
        let ready = async {
            while !self
                .http
                .get(format!("{}/-/ready", self.url))
                .send()
                .await
                .is_ok_and(|one| one.status().is_success())
            {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(30), ready).await.context("Alertmanager is not ready")
    }

    /// Reports an alert as Prometheus does; it is resolved if it has ended.
    pub(crate) async fn report(&self, name: &str, severity: &str, has_ended: bool) -> Result<()> {
        let now = jiff::Timestamp::now();
        let mut alert: Value = json!({
            "labels": { "alertname": name, "severity": severity, "instance": "db-1" },
            "annotations": { "summary": "it is full" },
            "startsAt": now.checked_sub(jiff::SignedDuration::from_mins(2))?.to_string(),
        });
        if has_ended {
            alert["endsAt"] = json!(now.to_string());
        }
        let call = self.http.post(format!("{}/api/v2/alerts", self.url)).json(&json!([alert]));
        call.send().await?.error_for_status()?;
        Ok(())
    }
}
