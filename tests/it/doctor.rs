//! `workmate doctor`: passes where all is well, finds what is planted, and leaves nothing behind.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use axum::{
    Json, Router,
    http::StatusCode,
    response::{Html, IntoResponse as _},
};
use reqwest::Method;
use ruma::OwnedUserId;
use serde_json::{Value, json};
use tokio::{process::Command, task::JoinSet, time};
use workmate::{
    cli::demo::homeserver::free_port,
    config::{Config, Registration},
    standin::{Failure, Matcher, Options, RecordedRequest, StandIn, Turn},
};

use crate::harness::{
    RoomKind, Setup, Workmate,
    between::{homeserver_behind, homeserver_whose_clock_is_off},
    homeserver::{Private, shared},
    office::{Office, echoing},
    readiness::reconfigure,
    slot::Slot,
    workmate::coworker,
};

/// How long to wait for a condition.
const WAIT_MAX: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(50);

/// What a run of the doctor said.
struct Told {
    code: Option<i32>,
    report: Value,
    printed: String,
}

impl Told {
    fn of(output: &Output) -> Result<Self> {
        let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let report = serde_json::from_str(&out).with_context(|| format!("JSON: {out}{err}"))?;
        Ok(Self { code: output.status.code(), report, printed: format!("{out}{err}") })
    }

    fn checks(&self) -> impl Iterator<Item = &Value> {
        self.report["checks"].as_array().into_iter().flatten()
    }

    /// Returns what failed or is doubtful, a line each.
    fn troubles(&self) -> Vec<String> {
        let troubles = self.checks().filter(|check| check["verdict"] == "fail" || check["verdict"] == "warn");
        troubles.map(|check| format!("{} {}: {}", check["verdict"], check["check"], check["what"])).collect()
    }

    /// Asserts that a check found something, with its mend.
    fn has(&self, name: &str, verdict: &str, what: &str, mend: &str) {
        let of = |check: &Value, key: &str| check[key].as_str().unwrap_or_default().to_owned();
        let is_it = |check: &&Value| {
            check["check"] == name
                && check["verdict"] == verdict
                && of(check, "what").contains(what)
                && of(check, "mend").contains(mend)
        };
        assert!(
            self.checks().any(|check| is_it(&check)),
            "{verdict} {name} {what:?} {mend:?} is not in {:#}",
            self.report
        );
    }
}

fn command(config: &Path, line: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_workmate"));
    command.arg("doctor").args(line).arg("--config").arg(config).env_remove("ANTHROPIC_API_KEY").kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn doctor(workmate: &Workmate) -> Result<Told> {
    Told::of(&command(&workmate.config(), &["--json"]).output().await?)
}

/// Takes away what the harness leaves open to others, and names no registration.
fn close(workmate: &Workmate) -> Result<()> {
    workmate.slot().release_ports();
    reconfigure(&workmate.config(), |settings| {
        settings.as_object_mut().expect("an object").remove("registration_file");
    })?;
    fs::set_permissions(workmate.config(), Permissions::from_mode(0o600))?;
    Ok(())
}

/// Writes the registration that belongs to a configuration beside it, as `init` does.
fn register(workmate: &Workmate) -> Result<()> {
    let config = Config::load(&workmate.config()).map_err(|faults| anyhow::anyhow!("{faults}"))?;
    let file = workmate.config().with_file_name("registration.yaml");
    fs::write(&file, Registration::of(&config).render().expose())?;
    fs::set_permissions(file, Permissions::from_mode(0o600))?;
    Ok(())
}

/// Returns a fresh set-up in which all is well, not started yet.
fn sound(claude: &StandIn) -> Result<Workmate> {
    let workmate = with(claude, |_| {})?;
    register(&workmate)?;
    Ok(workmate)
}

/// Returns a set-up in which one thing is changed. It has no registration, so that what is planted at the homeserver's
/// side shows in no file here.
fn with(claude: &StandIn, change: impl FnOnce(&mut Value)) -> Result<Workmate> {
    let workmate = Setup::new(&shared().take_slot(), shared().url(), &claude.base_url()).write();
    close(&workmate)?;
    reconfigure(&workmate.config(), change)?;
    Ok(workmate)
}

fn users(slot: &Slot) -> [OwnedUserId; 2] {
    ["doctor.a", "doctor.b"].map(|id| slot.coworker(id))
}

/// Asks the homeserver as one of Workmate's users.
async fn asked(slot: &Slot, user: &OwnedUserId, path: &str) -> Result<Value> {
    let url = shared().url().join(&format!("_matrix/client/v3/{path}?user_id={user}"))?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    Ok(http.get(url).bearer_auth(slot.as_token()).send().await?.json().await?)
}

/// Returns how many rooms and devices the throw-away users have.
async fn left_behind(slot: &Slot) -> Result<(usize, usize)> {
    let (mut rooms, mut devices) = (0, 0);
    for user in users(slot) {
        let count = |value: &Value| value.as_array().map_or(0, Vec::len);
        rooms += count(&asked(slot, &user, "joined_rooms").await?["joined_rooms"]);
        devices += count(&asked(slot, &user, "devices").await?["devices"]);
    }
    Ok((rooms, devices))
}

/// A page that answers everything.
async fn page() -> Result<(String, JoinSet<std::io::Result<()>>)> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let router = Router::new().fallback(|| async { Html("<html>Welcome to nginx!</html>") });
    let mut pages = JoinSet::new();
    pages.spawn(axum::serve(listener, router).into_future());
    Ok((url, pages))
}

/// Gives `oncall` a hook, and names the public address of hooks.
fn hook(workmate: &Workmate, url: &str) -> Result<()> {
    let listen = free_port()?.local_addr()?;
    reconfigure(&workmate.config(), |settings| {
        settings["hooks_listen"] = json!(listen);
        settings["hooks_url"] = json!(if url.is_empty() { format!("http://{listen}") } else { url.to_owned() });
        settings["credentials"] = json!({ "am": { "value": "a-token-of-alertmanager's" } });
    })?;
    reconfigure(&workmate.config().with_file_name("coworkers").join("oncall.yaml"), |coworker| {
        coworker["hooks"] = json!([{
            "name": "alertmanager", "room": "!ops:localhost", "task": "Say what is wrong.", "proof": "bearer",
            "credential": "am", "sender": "alertmanager",
        }]);
    })
}

/// Before the first start, and beside a Workmate that serves.
#[tokio::test]
async fn op3_doctor_passes_where_all_is_well_and_leaves_nothing_behind() -> Result<()> {
    let claude = echoing().await?;
    let server = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/injection/server.py");
    let mut workmate = sound(&claude)?;
    let connections = free_port()?.local_addr()?;
    reconfigure(&workmate.config(), |settings| {
        settings["mcp_listen"] = json!(connections);
        settings["mcp_servers"] = json!({ "notes": { "command": ["python3", server, "/tmp", "It is fine.", ""] } });
    })?;
    hook(&workmate, "")?;

    let before = doctor(&workmate).await?;
    assert!(!workmate.data_dir().exists(), "nothing is made that a start makes");
    assert!(before.printed.contains("registration.yaml agrees"), "{}", before.printed);
    let left = left_behind(workmate.slot()).await?;
    assert_eq!((before.troubles(), before.code, left), (Vec::new(), Some(0), (0, 0)), "{}", before.printed);
    for name in ["encryption", "pace", "deliveries", "namespace", "clock", "question", "mcp", "addresses", "effort"] {
        assert!(
            before.checks().any(|check| check["check"] == name && check["verdict"] == "pass"),
            "{}",
            before.printed
        );
    }

    workmate.start_again().await;
    let people = [shared().person("alice").await, shared().person("bob").await];
    let [alice, bob] = people;
    let office = Office { claude, workmate, alice, bob };
    let room = office.room(RoomKind::Encrypted).await?;
    let serving = doctor(&office.workmate).await?;
    let left = left_behind(office.workmate.slot()).await?;
    assert_eq!((serving.troubles(), serving.code, left), (Vec::new(), Some(0), (0, 0)), "{}", serving.printed);
    assert_eq!(serving.report["serves"], true);
    office.asked_and_answered(&room, "still here?").await?;
    let logs = office.workmate.logs();
    let warned: Vec<&str> =
        logs.lines().filter(|line| line.contains("doctor")).filter(|line| line.contains(" WARN ")).collect();
    assert_eq!(warned, Vec::<&str>::new());

    let mut shown = command(&office.workmate.config(), &["--free"]);
    let shown = shown.env("COLUMNS", "80").output().await?;
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(text.contains("skip  question") && text.contains("pass  encryption"), "{text}");
    let is_narrow = |line: &&str| line.chars().count() <= 80 || line.split_whitespace().count() < 3;
    assert_eq!(text.lines().find(|line| !is_narrow(line)), None, "{text}");
    for printed in [&before.printed, &serving.printed, &text] {
        for secret in [office.workmate.slot().as_token(), office.workmate.slot().hs_token(), "sk-ant-tests".to_owned()]
        {
            assert!(!printed.contains(&secret), "{printed}");
        }
    }
    let mut office = office;
    office.workmate.stop().await;
    let stopped = doctor(&office.workmate).await?;
    assert_eq!((stopped.troubles(), stopped.code), (Vec::new(), Some(0)), "{}", stopped.printed);
    assert!(stopped.printed.contains("records are whole"), "{}", stopped.printed);
    Ok(())
}

/// What stands beside each other is found in one run.
#[tokio::test]
async fn op3_doctor_finds_what_is_wrong_with_the_provider_tools_voice_addresses_clock_and_files() -> Result<()> {
    let claude = StandIn::start(Options::scripted()).await?;
    let empty = Failure::status(400).message("Your credit balance is too low to access the Anthropic API.");
    claude.on(Matcher::when("any question", |_: &RecordedRequest| true), Turn::failure(empty));
    let (url, _page) = page().await?;
    let hours = homeserver_whose_clock_is_off(7_200).await?;
    let workmate = with(&claude, |settings| {
        settings["homeserver"]["url"] = json!(hours);
        settings["mcp_listen"] = json!(free_port().expect("a port").local_addr().expect("bound"));
        settings["connections"] = json!({ "public_url": url });
        settings["transcription"] = json!({ "url": "http://127.0.0.1:9" });
        settings["mcp_servers"] = json!({ "logs": { "command": ["sh", "-c", "exit 3"] } });
        settings["assistants"] = json!({ "model": "claude-opus-4-5", "effort": "max" });
    })?;
    hook(&workmate, &url)?;
    let coworkers = workmate.config().with_file_name("coworkers");
    let mut legal = coworker("legal");
    legal["model"] = json!("claude-opus-9");
    fs::write(coworkers.join("legal.yaml"), legal.to_string())?;
    fs::write(coworkers.join("faulty.yaml"), "id: [\n")?;
    fs::set_permissions(coworkers.join("legal.yaml"), Permissions::from_mode(0o666))?;

    let told = doctor(&workmate).await?;

    assert_eq!(told.code, Some(1), "{}", told.printed);
    told.has("config", "fail", "faulty.yaml", "");
    told.has("secrets", "fail", "legal.yaml can be changed by everyone", "chmod o-w");
    told.has("clock", "fail", "clock", "");
    told.has("model", "fail", "claude-opus-9", "existing model id");
    told.has("model", "warn", "claude-opus-4-5 (named by assistants.model) ends on 2027-01-22", "claude-opus-5-5");
    told.has("effort", "warn", "claude-opus-4-5 takes only low, medium, high", "an effort that it takes");
    told.has("question", "fail", "the account cannot pay", "");
    told.has("mcp", "fail", "mcp_servers.logs", "run its command by hand");
    told.has("transcription", "fail", "127.0.0.1:9", "the recogniser runs");
    told.has("addresses", "fail", "connections.public_url: something else answers", "have the proxy");
    told.has("addresses", "fail", "hooks_url: something else answers", "have the proxy");
    // One fault hides no other: what can be tried is.
    assert!(
        told.checks().any(|check| check["check"] == "encryption" && check["verdict"] == "pass"),
        "{}",
        told.printed
    );
    assert_eq!(left_behind(workmate.slot()).await?, (0, 0));
    Ok(())
}

/// What the homeserver and Workmate do not agree about.
#[tokio::test]
async fn op3_doctor_finds_tokens_names_and_addresses_that_differ_from_the_homeserver_s() -> Result<()> {
    let claude = echoing().await?;
    let elsewhere = free_port()?.local_addr()?;
    let other_hs = with(&claude, |settings| settings["appservice"]["hs_token"] = json!("another-token-6f1c-8a2b"))?;
    let other_as = with(&claude, |settings| settings["appservice"]["as_token"] = json!("another-token-6f1c-8a2b"))?;
    let names = with(&claude, |settings| settings["appservice"]["coworker_prefix"] = json!("bot-"))?;
    let server = with(&claude, |settings| settings["homeserver"]["server_name"] = json!("example.org"))?;
    let unreached = with(&claude, |settings| settings["appservice"]["listen"] = json!(elsewhere))?;
    let away = with(&claude, |settings| settings["homeserver"]["url"] = json!("http://127.0.0.1:9"))?;
    let differs = sound(&claude)?;
    reconfigure(&differs.config(), |settings| settings["appservice"]["hs_token"] = json!("another-token-6f1c-8a2b"))?;

    let all = [&other_hs, &other_as, &names, &server, &unreached, &away, &differs];
    let mut told = Vec::new();
    for workmate in all {
        told.push(doctor(workmate).await?);
    }

    let [other_hs, other_as, names, server, unreached, away, differs] = told.as_slice() else { panic!("seven") };
    other_hs.has("deliveries", "fail", "calls us with another hs_token", "give it the present registration.yaml");
    other_as.has("homeserver", "fail", "refused our as_token", "registration.yaml");
    other_as.has("encryption", "skip", "not tried", "");
    names.has("namespace", "fail", "appservice.coworker_prefix", "back to what it was");
    server.has("homeserver", "fail", "homeserver.server_name: example.org", "set homeserver.server_name to");
    unreached.has("deliveries", "fail", "the homeserver cannot reach us", "leads from its machine to");
    away.has("homeserver", "fail", "does not answer", "start what is to listen there");
    differs.has("registration", "fail", "hs_token: differs", "copy the token");
    for told in &told {
        assert_eq!(told.code, Some(1), "{}", told.printed);
        assert!(!told.printed.contains("another-token-6f1c-8a2b"), "{}", told.printed);
    }
    Ok(())
}

#[tokio::test]
async fn op3_doctor_finds_a_refused_key_an_open_secret_a_useless_folder_and_a_damaged_store() -> Result<()> {
    let mut options = Options::scripted();
    options.keys = Some(vec!["sk-ant-another".to_owned()]);
    let strict = StandIn::start(options).await?;
    let claude = echoing().await?;
    let refused = sound(&strict)?;
    let open = sound(&claude)?;
    fs::set_permissions(open.config().with_file_name("master.secret"), Permissions::from_mode(0o644))?;
    let in_vain = sound(&claude)?;
    fs::write(in_vain.data_dir(), "")?;
    let mut damaged = sound(&claude)?;
    damaged.start_again().await;
    damaged.stop().await;
    let db = damaged.data_dir().join("state/db");
    let mut bytes = fs::read(&db)?;
    let middle = bytes.len() / 4;
    bytes[16..middle].fill(0x5a);
    fs::write(&db, &bytes)?;

    let [refused, open, in_vain] = [doctor(&refused).await?, doctor(&open).await?, doctor(&in_vain).await?];
    let told = doctor(&damaged).await?;

    refused.has("claude", "fail", "HTTP 401", "");
    open.has("config", "fail", "master.secret can be read by others", "chmod 600");
    open.has("homeserver", "skip", "", "");
    in_vain.has("data", "fail", "it is a file, not a folder", "set data_dir to another place");
    told.has("store", "fail", "damaged", "restore state/ from a backup");
    assert_eq!(fs::read(&db)?, bytes, "the store is only read");
    for told in [&refused, &open, &in_vain, &told] {
        assert_eq!(told.code, Some(1), "{}", told.printed);
    }
    Ok(())
}

/// A registration without `rate_limited: false`, at a homeserver with Synapse's own limits.
#[tokio::test]
async fn op3_doctor_finds_that_the_homeserver_slows_our_users_down() -> Result<()> {
    let mut private = Private::start().await;
    private.homeserver.stop().await?;
    reconfigure(&private.slot.registration, |registration| registration["rate_limited"] = json!(true))?;
    reconfigure(&private.dir().join("homeserver.yaml"), |settings| {
        settings["rc_message"] = json!({ "per_second": 0.2, "burst_count": 10 });
    })?;
    private.homeserver.start_again(&|_| {}).await?;
    let claude = echoing().await?;
    let workmate = Setup::new(&private.slot, private.homeserver.url(), &claude.base_url()).write();
    close(&workmate)?;
    register(&workmate)?;

    let told = doctor(&workmate).await?;

    assert_eq!(told.troubles().len(), 1, "{:?}", told.troubles());
    told.has("pace", "warn", "the homeserver slows our users down", "rate_limited: false");
    assert_eq!(told.code, Some(3), "{}", told.printed);
    Ok(())
}

/// Ended by a signal in the middle of its exchange, and killed there.
#[tokio::test]
async fn op3_a_doctor_that_is_broken_off_tidies_up_and_one_that_is_killed_is_tidied_up_after() -> Result<()> {
    let claude = echoing().await?;
    let workmate = sound(&claude)?;
    let sends = Arc::new(AtomicBool::new(false));
    let seen = sends.clone();
    let url = homeserver_behind(move |request| {
        let is_sent = *request.method() == Method::PUT && request.uri().path().contains("/send/m.room.encrypted/");
        is_sent.then(|| {
            seen.store(true, Ordering::Relaxed);
            let later = json!({ "errcode": "M_LIMIT_EXCEEDED", "error": "later", "retry_after_ms": 5_000 });
            (StatusCode::TOO_MANY_REQUESTS, Json(later)).into_response()
        })
    })
    .await?;
    reconfigure(&workmate.config(), |settings| settings["homeserver"]["url"] = json!(url))?;
    let until_it_sends = || async {
        let sent = async {
            while !sends.swap(false, Ordering::Relaxed) {
                time::sleep(POLL).await;
            }
        };
        time::timeout(WAIT_MAX, sent).await.context("nothing was sent")
    };

    let ended = command(&workmate.config(), &["--json"]).spawn()?;
    until_it_sends().await?;
    let pid = ended.id().context("it runs")?.to_string();
    assert!(Command::new("kill").arg(&pid).status().await?.success());
    let ended = Told::of(&ended.wait_with_output().await?)?;
    let after_signal = left_behind(workmate.slot()).await?;
    sends.store(false, Ordering::Relaxed);
    let mut killed = command(&workmate.config(), &["--json"]).spawn()?;
    until_it_sends().await?;
    killed.kill().await?;
    let after_kill = left_behind(workmate.slot()).await?;
    reconfigure(&workmate.config(), |settings| settings["homeserver"]["url"] = json!(shared().url()))?;
    let again = doctor(&workmate).await?;

    assert_eq!((ended.code, after_signal), (Some(1), (0, 0)), "{}", ended.printed);
    ended.has("encryption", "skip", "broken off", "");
    assert_eq!(after_kill, (2, 2), "both were in the room");
    assert_eq!((again.troubles(), again.code), (Vec::new(), Some(0)), "{}", again.printed);
    assert_eq!(left_behind(workmate.slot()).await?, (0, 0));
    Ok(())
}
