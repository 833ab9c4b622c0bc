//! The operators' console: in a real Chromium, where one can be had, and over HTTP.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, ensure};
use reqwest::StatusCode;
use ruma::OwnedRoomId;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::Command,
};
use workmate::standin::{Failure, Turn};

use crate::{
    audit,
    harness::{
        Person, RoomKind, Timeline,
        homeserver::shared,
        office::Office,
        workmate::{Clock, reconfigure},
    },
    senders::installed,
    standin_sdks::run,
};

/// The packages that drive the browser and judge its pages.
const PACKAGES: [&str; 2] = ["playwright-core@1.65.1", "@axe-core/playwright@4.13.0"];
/// Held while they are fetched.
static FETCHING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A Chromium and what drives it.
struct Browser {
    folder: PathBuf,
    program: PathBuf,
    /// Where its libraries are, if it was unpacked.
    libraries: Option<String>,
}

/// Returns Debian's Chromium with what drives it; `None`, loudly, if it cannot be had.
async fn browser() -> Option<Browser> {
    let _alone = FETCHING.lock().await;
    let mut install = Command::new("npm");
    install.args(["install", "--no-audit", "--no-fund", "--save-exact"]).args(PACKAGES);
    let folder = installed("playwright", &PACKAGES.join("+"), vec![install]).await?;
    if run(Command::new("chromium").arg("--version")).await.is_ok() {
        return Some(Browser { folder, program: "chromium".into(), libraries: None });
    }
    let mut fetch = Command::new("sh");
    fetch.args([
        "-c",
        "mkdir -p debs/partial && apt-get install -y --no-install-recommends --download-only -o Debug::NoLocking=1 \
         -o Dir::Cache::archives=$PWD/debs chromium && for deb in debs/*.deb; do dpkg -x $deb root || exit 1; done && rm -r debs",
    ]);
    let root = installed("chromium", "chromium", vec![fetch]).await?.join("root");
    let libraries = root.join("usr/lib/x86_64-linux-gnu");
    let libraries = format!("{0}:{0}/pulseaudio", libraries.display());
    Some(Browser { folder, program: root.join("usr/lib/chromium/chromium"), libraries: Some(libraries) })
}

impl Browser {
    fn command(&self, what: &str, given: &Value) -> Command {
        let mut call = Command::new("node");
        call.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/console/browser.mjs"));
        call.arg(&self.folder).arg(&self.program).args([what, &given.to_string()]);
        if let Some(libraries) = &self.libraries {
            call.env("LD_LIBRARY_PATH", libraries);
        }
        call
    }

    async fn does(&self, what: &str, given: &Value) -> Result<Value> {
        let printed = run(&mut self.command(what, given)).await.map_err(anyhow::Error::msg)?;
        let said: Value = serde_json::from_str(&printed).context(printed.clone())?;
        assert_eq!((&said["errors"], &said["elsewhere"]), (&json!([]), &json!([])), "{what}: {said}");
        Ok(said)
    }
}

/// An office with a console, whose admin is Alice, and her chat with the service bot.
struct Scene {
    office: Office,
    room: OwnedRoomId,
    chat: OwnedRoomId,
    url: String,
    clock: Clock,
    http: reqwest::Client,
}

impl Scene {
    async fn set() -> Result<Self> {
        let free = std::net::TcpListener::bind("127.0.0.1:0")?;
        let listen: SocketAddr = free.local_addr()?;
        drop(free);
        let people = [shared().person("alice").await, shared().person("bob").await];
        let admins = json!({ "admins": [people[0].user_id()] });
        let clock = Clock::new();
        let office = Office::open_for(people, |setup| {
            let setup = clock.on(setup).section("console_listen", json!(listen)).section("workspace", admins);
            let budgets = json!({ "workspace": { "usd_month": 100 }, "person": { "usd_day": 5 } });
            setup
                .section("budgets", budgets)
                .section("mcp_servers", json!({ "logs": { "command": ["sh", "-c", "exit 3"] } }))
        })
        .await?;
        let room = office.room(RoomKind::Encrypted).await?;
        let service = office.workmate.slot().service();
        let chat = office.alice.create_dm(&service).await?;
        office.alice.until(&chat, "the welcome", |seen| seen.messages_of(&service).next().map(|_| ())).await?;
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(Self { office, room, chat, url: format!("http://{listen}"), clock, http })
    }

    /// Has a person say something to the service bot; returns the answer.
    async fn told(&self, person: &Person, chat: &OwnedRoomId, said: &str) -> Result<String> {
        let service = self.office.workmate.slot().service();
        let asked = person.send(chat, said).await?;
        let answer = |seen: &Timeline| {
            let mut later = seen.events.iter().skip_while(|event| event.event_id != asked);
            later.find(|event| event.sender == service && event.is_message()).cloned()
        };
        let answer = person.until(chat, said, answer).await?;
        Ok(answer.content["formatted_body"].as_str().unwrap_or_else(|| answer.body()).to_owned())
    }

    /// Has Alice ask for a link.
    async fn link(&self) -> Result<String> {
        let told = self.told(&self.office.alice, &self.chat, "!console").await?;
        let link = told.split("href=\"").nth(1).and_then(|rest| rest.split('"').next()).context(told.clone())?;
        ensure!(link.starts_with(&format!("{}/in/", self.url)), "{link}");
        Ok(link.to_owned())
    }

    /// Signs in over HTTP; returns the cookie.
    async fn sign_in(&self) -> Result<String> {
        let link = self.link().await?;
        let token = link.rsplit('/').next().context("a token")?;
        let entered = self.http.post(format!("{}/in", self.url)).header("origin", &self.url);
        let entered = entered.header("content-type", "application/x-www-form-urlencoded").body(format!("link={token}"));
        let entered = entered.send().await?;
        ensure!(entered.status() == StatusCode::SEE_OTHER, "{entered:?}");
        let cookie = entered.headers()["set-cookie"].to_str()?.split(';').next().context("a pair")?;
        Ok(cookie.to_owned())
    }

    async fn page(&self, cookie: &str, path: &str) -> Result<(StatusCode, String)> {
        let page = self.http.get(format!("{}{path}", self.url)).header("cookie", cookie).send().await?;
        Ok((page.status(), page.text().await?))
    }

    /// Has Alice and Bob ask, and one question fail.
    async fn work(&self) -> Result<()> {
        self.office.script("how odd", Turn::failure(Failure::status(413)));
        self.office.asked_and_answered(&self.room, "is it up?").await?;
        self.office.ask(&self.office.alice, &self.room, "how odd is it?").await?;
        self.office.ask(&self.office.bob, &self.room, "and now?").await?;
        self.office.answer(&self.office.bob, &self.room, &self.office.oncall(), "and now?").await?;
        self.until_ended(3).await
    }

    /// Waits until so many runs have ended, as the index says.
    async fn until_ended(&self, runs: usize) -> Result<()> {
        for _ in 0..600 {
            if audit::told(&self.office.workmate, "export")?.lines().count() >= runs {
                return Ok(());
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        anyhow::bail!("{runs} runs have not ended")
    }

    /// Changes who is an admin, by a restart.
    async fn administered_by(&mut self, admins: Value) -> Result<()> {
        self.office.workmate.stop().await;
        reconfigure(&self.office.workmate.config(), |config| config["workspace"]["admins"] = admins)?;
        self.office.workmate.start_again().await;
        Ok(())
    }
}

#[tokio::test]
async fn console_admins_sign_in_by_matrix_and_see_what_is_not_content() -> Result<()> {
    let scene = Scene::set().await?;
    scene.work().await?;
    let cookie = scene.sign_in().await?;
    let oncall = scene.office.oncall();
    let (alice, bob) = (scene.office.alice.user_id().to_string(), scene.office.bob.user_id().to_string());
    let mut all = String::new();
    for (path, parts) in [
        ("/", vec!["claude_key", "mcp_servers", "Mend: ", "Requests today", alice.as_str()]),
        ("/runs", vec!["failed", "done", alice.as_str(), bob.as_str(), "oncall"]),
        ("/runs?outcome=failed", vec!["failed", alice.as_str()]),
        ("/spend?by=person", vec![alice.as_str(), bob.as_str(), "in all", "workspace", "<svg"]),
        ("/coworkers", vec!["Answers the questions that the tests ask oncall.", "logs", "fails"]),
        ("/queues", vec!["Waiting for their turn"]),
        ("/assistants", vec!["Owners"]),
        ("/changes", vec!["Tools that have changed"]),
    ] {
        let (status, page) = scene.page(&cookie, path).await?;
        assert_eq!(status, StatusCode::OK, "{path}");
        for part in parts {
            assert!(page.contains(part), "{path} lacks {part}:\n{page}");
        }
        assert!(page.len() < 200 << 10, "{path} has {} bytes", page.len());
        all.push_str(&page);
    }
    let (_, failed) = scene.page(&cookie, "/runs?outcome=failed").await?;
    assert!(!failed.contains(&format!(">{bob}<")), "{failed}");
    for content in ["is it up", "how odd", "and now", "You asked"] {
        assert!(!all.contains(content), "{content} is shown");
    }
    let run = all.split("href=\"/runs/").nth(1).and_then(|rest| rest.split('"').next()).context("a run")?;
    let (_, run) = scene.page(&cookie, &format!("/runs/{run}")).await?;
    assert!(run.contains("https://matrix.to/#/") && run.contains(oncall.as_str()), "{run}");

    // What the terminal says is the same, and adds up to what was spent.
    let report: Value = serde_json::from_str(&audit::told(&scene.office.workmate, "report --by person --json")?)?;
    let spent: Value = serde_json::from_str(&audit::told(&scene.office.workmate, "spend --by person --json")?)?;
    assert_eq!(
        (&report["sum"]["cost_micro_usd"], &report["sum"]["runs"]),
        (&spent["sum"]["cost_micro_usd"], &json!(3))
    );
    assert_eq!(report["sum"]["failed"], 1);
    Ok(())
}

#[tokio::test]
async fn console_only_admins_in_an_encrypted_chat_get_a_link_and_sessions_end_by_command_and_with_the_entry()
-> Result<()> {
    let mut scene = Scene::set().await?;
    let service = scene.office.workmate.slot().service();
    let bobs = scene.office.bob.create_dm(&service).await?;
    let told = scene.told(&scene.office.bob, &bobs, "!console").await?;
    assert!(!told.contains("/in/"), "{told}");
    let plain = scene.office.alice.create_room(RoomKind::Plain, "plain", &[&service]).await?;
    scene.office.alice.until(&plain, "the welcome", |seen| seen.messages_of(&service).next().map(|_| ())).await?;
    let told = scene.told(&scene.office.alice, &plain, "!console").await?;
    assert!(told.contains("only in an encrypted chat") && !told.contains("/in/"), "{told}");

    let [one, two] = [scene.sign_in().await?, scene.sign_in().await?];
    for cookie in [&one, &two] {
        assert_eq!(scene.page(cookie, "/").await?.0, StatusCode::OK);
    }
    let told = scene.told(&scene.office.alice, &scene.chat, "!console end").await?;
    assert!(told.contains("2 sessions"), "{told}");
    for cookie in [&one, &two] {
        assert_eq!(scene.page(cookie, "/").await?.0, StatusCode::UNAUTHORIZED);
    }

    let three = scene.sign_in().await?;
    let admins = json!([scene.office.alice.user_id()]);
    scene.administered_by(admins.clone()).await?;
    assert_eq!(scene.page(&three, "/").await?.0, StatusCode::OK, "a restart ends no session");
    scene.administered_by(json!([scene.office.bob.user_id()])).await?;
    assert_eq!(scene.page(&three, "/").await?.0, StatusCode::UNAUTHORIZED, "taken off the list");
    scene.administered_by(admins).await?;
    assert_eq!(scene.page(&three, "/").await?.0, StatusCode::UNAUTHORIZED, "and never valid again");
    let four = scene.sign_in().await?;
    scene.clock.ahead(3 * 3_600);
    assert_eq!(scene.page(&four, "/").await?.0, StatusCode::UNAUTHORIZED, "idle for too long");
    let logs = scene.office.workmate.logs();
    for token in [&one, &two, &three, &four].map(|cookie| cookie.split_once('=').expect("a pair").1) {
        assert!(!logs.contains(token), "a token is in the log");
    }
    Ok(())
}

#[tokio::test]
async fn console_in_a_real_browser_nothing_is_wrong_for_eyes_keyboard_or_screen_reader() -> Result<()> {
    let Some(browser) = browser().await else { return Ok(()) };
    let mut scene = Scene::set().await?;
    scene.work().await?;
    let folder = tempfile::tempdir()?;
    let state = folder.path().join("state.json");
    let url = scene.url.clone();
    let given = |link: &str| json!({ "url": url, "link": link, "state": state });

    let said = browser.does("enter", &given(&scene.link().await?)).await?;
    assert_eq!((&said["door"], &said["entered"]), (&json!("Workmate's console"), &json!("Now")));
    assert_eq!(said["cookies_before"], 0, "looking at it takes nothing");
    assert_eq!(said["cookie"], json!({ "name": "workmate", "httpOnly": true, "sameSite": "Strict" }));
    assert_eq!(said["reused"], "This link opens nothing any more");
    assert_eq!(said["stranger"], "Signed out");
    assert_eq!(said["violations"], json!([]));

    let paths =
        ["/", "/runs", "/spend", "/spend?by=coworker&span=all", "/coworkers", "/queues", "/assistants", "/changes"];
    let mut looking = json!({ "url": url, "state": state, "paths": paths });
    if let Ok(pictures) = std::env::var("WORKMATE_PICTURES") {
        looking["pictures"] = json!(pictures);
    }
    let said = browser.does("look", &looking).await?;
    assert_eq!(said["violations"], json!([]), "{said}");

    let using = json!({ "url": url, "state": state, "person": scene.office.alice.user_id() });
    let said = browser.does("use", &using).await?;
    assert_eq!(
        (&said["all"], &said["of_person"], &said["failed_of_person"]),
        (&json!(3), &json!(2), &json!(1)),
        "{said}"
    );
    assert!(said["fault"].as_str().is_some_and(|fault| !fault.is_empty()), "{said}");
    assert_eq!((&said["run"], &said["bar_is_seen"]), (&json!("One run"), &json!(true)));
    assert!(said["charts"].as_u64() >= Some(2) && said["matrix"].as_u64() >= Some(2), "{said}");
    assert_eq!((&said["first_tab"], &said["skipped_to"]), (&json!("Skip to the content"), &json!("main")));

    // An open page follows what happens, and its session's end.
    let mut following = browser.command("follow", &given(""));
    let mut following = following.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let mut lines = BufReader::new(following.stdout.take().context("it speaks")?);
    for (expected, then) in [("open\n", true), ("grown\n", false)] {
        let mut line = String::new();
        lines.read_line(&mut line).await?;
        assert_eq!(line, expected);
        if then {
            scene.office.asked_and_answered(&scene.room, "still up?").await?;
        } else {
            scene.told(&scene.office.alice, &scene.chat, "!console end").await?;
        }
    }
    let mut rest = String::new();
    lines.read_to_string(&mut rest).await?;
    assert_eq!(serde_json::from_str::<Value>(&rest)?["at_last"], "Signed out", "{rest}");

    // Taken off the list, and too long without use.
    browser.does("enter", &given(&scene.link().await?)).await?;
    scene.administered_by(json!([scene.office.bob.user_id()])).await?;
    let said = browser.does("again", &given("")).await?;
    assert_eq!((&said["again"], &said["status"], &said["violations"]), (&json!("Signed out"), &json!(401), &json!([])));
    scene.administered_by(json!([scene.office.alice.user_id()])).await?;
    browser.does("enter", &given(&scene.link().await?)).await?;
    scene.clock.ahead(13 * 3_600);
    let said = browser.does("again", &given("")).await?;
    assert_eq!((&said["again"], &said["status"]), (&json!("Signed out"), &json!(401)));
    Ok(())
}

/// Fills the index with runs of a year: 300 people in 60 rooms, each with what it cost.
fn fill(store: &workmate::store::Store, runs: u64, coworker: &str) -> Result<()> {
    const YEAR_MS: i64 = 365 * 24 * 3_600 * 1_000;
    let (index, outlays) = (store.run_index::<Value>(), store.outlays::<Value>());
    let began = workmate::clock::now().as_ms() - YEAR_MS;
    for number in 0..runs {
        let at = began + i64::try_from(u128::from(number) * u128::from(YEAR_MS.unsigned_abs()) / u128::from(runs))?;
        let (person, room) = (format!("@person{}:hs", number * 7 % 300), format!("!room{}:hs", number * 11 % 60));
        let (outcome, reason) = if number % 50 == 0 { ("failed", json!("overloaded")) } else { ("done", json!(null)) };
        let key = (workmate::core::time::Timestamp::from_ms(at), format!("{number:032x}"));
        let tool = json!({ "tool": "http_get", "outcome": "done", "decision": null, "duration_ms": 12 });
        index.put(&key, &json!({
            "user": coworker, "coworker": "oncall", "private": false, "asker": person, "room": room, "thread": "$ask",
            "request": "$ask", "answer": "$answer", "outcome": outcome, "reason": reason, "read": ["$one", "$two"],
            "tools": [tool], "model": "claude-opus-5-5", "model_calls": 2, "input_tokens": 9_000, "output_tokens": 300,
            "cost_micro_usd": 40_000, "accepted_at": at, "ended_at": at + 4_000,
        }))?;
        let day = jiff::Timestamp::from_millisecond(at)?.strftime("%Y-%m-%d").to_string();
        outlays.put(
            &key,
            &json!({ "user": coworker, "coworker": "oncall", "room": room, "calls": [[
            { "day": day, "person": person, "model": "claude-opus-5-5", "cost": 40_000, "priced": true }
        ]] }),
        )?;
    }
    Ok(())
}

#[tokio::test]
#[ignore = "writes a million runs; run it by name for its figure"]
async fn figure_console_with_a_million_runs_in_the_index() -> Result<()> {
    let mut scene = Scene::set().await?;
    let runs = std::env::var("WORKMATE_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(1_000_000);
    let store = scene.office.workmate.stop_and_open_store().await?;
    fill(&store, runs, scene.office.oncall().as_str())?;
    store.flush().await?;
    drop(store);
    let memory = |pid: u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default().to_owned()
    };
    scene.office.workmate.start_again().await;
    let pid = scene.office.workmate.pid().context("it runs")?;
    let mut told = vec![format!("{runs} runs; at the start {}", memory(pid))];
    let cookie = scene.sign_in().await?;
    let began = tokio::time::Instant::now();
    while scene.page(&cookie, "/spend").await?.1.contains("still being counted") {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    told.push(format!("counted after {:.1} s; {}", began.elapsed().as_secs_f32(), memory(pid)));
    for path in [
        "/",
        "/runs",
        "/runs?person=%40person7%3Ahs",
        "/runs?person=%40nobody%3Ahs",
        "/runs?outcome=failed",
        "/runs?outcome=stopped",
        "/runs?tool=none",
        "/runs?room=%21room5%3Ahs&outcome=failed&until=30d",
        "/spend",
        "/spend?by=person&span=all",
        "/spend?by=room&span=90d",
        "/coworkers",
        "/queues",
        "/assistants",
        "/changes",
    ] {
        let mut times = Vec::new();
        let mut bytes = 0;
        for _ in 0..5 {
            let began = tokio::time::Instant::now();
            let (status, page) = scene.page(&cookie, path).await?;
            ensure!(status == StatusCode::OK, "{path}: {status}");
            times.push(began.elapsed().as_millis());
            bytes = page.len();
        }
        times.sort_unstable();
        told.push(format!("{path}: {} ms (at most {} ms), {} KB", times[2], times[4], bytes >> 10));
    }
    told.push(format!("at the end {}", memory(pid)));
    std::io::Write::write_all(&mut std::io::stderr(), (told.join("\n") + "\n").as_bytes())?;
    Ok(())
}
