//! What an operator sees: conditions that are rechecked, reports about them, and commands by signal.

use std::{
    fs,
    process::{Command, Output},
};

use anyhow::Result;
use axum::Router;
use ruma::events::room::member::MembershipState;
use serde_json::{Value, json};
use workmate::{
    cli::demo::homeserver::free_port,
    standin::{Failure, Options, StandIn, Turn},
};

use crate::harness::{
    RoomKind, Setup, Workmate,
    homeserver::shared,
    office::Office,
    readiness::{is_ready, reconfigure, until_logged, until_readiness},
    workmate::coworker,
};

/// A folder copied to another machine: the homeserver reaches only one of the two.
#[tokio::test]
async fn op16_a_second_workmate_with_the_registration_of_another_says_so() -> Result<()> {
    let office = Office::open().await?;
    let slot = office.workmate.slot();
    let claude = StandIn::start(Options::scripted()).await?;
    let mut copy = Setup::new(&shared().take_slot(), shared().url(), &claude.base_url()).write();
    copy.slot().release_ports();
    let (listen, health) = (free_port()?.local_addr()?, copy.slot().health_listen);
    reconfigure(&copy.config(), |settings| {
        let own = settings["appservice"]["listen"].clone();
        settings["appservice"] = json!({
            "id": slot.id, "listen": listen, "url": format!("http://{}", slot.listen),
            "as_token": slot.as_token(), "hs_token": slot.hs_token(),
            "service_localpart": slot.service_localpart(), "coworker_prefix": slot.coworker_prefix(),
            "assistant_prefix": slot.assistant_prefix(),
        });
        settings["registration_file"] = json!(slot.registration);
        settings["health_listen"] = json!(health);
        assert_ne!(own, settings["appservice"]["listen"]);
    })?;
    copy.spawn();

    let told = |_, conditions: &Value| conditions["deliveries"]["reason"].to_string().contains("somebody else");
    let conditions = until_readiness(&copy, told).await?;

    assert!(is_ready(&conditions, "homeserver"), "{conditions}");
    assert!(conditions["deliveries"]["mend"].to_string().contains("stop the other workmate"), "{conditions}");
    Ok(())
}

/// Before anybody has asked for anything.
#[tokio::test]
async fn op4_a_refused_key_and_an_unknown_model_are_said_before_anybody_asks() -> Result<()> {
    let mut options = Options::scripted();
    options.keys = Some(vec!["sk-ant-another".to_owned()]);
    let strict = StandIn::start(options).await?;
    let open = StandIn::start(Options::scripted()).await?;
    let mut refused = Setup::new(&shared().take_slot(), shared().url(), &strict.base_url()).write();
    let mut unknown = Setup::new(&shared().take_slot(), shared().url(), &open.base_url()).write();
    reconfigure(&unknown.config(), |settings| settings["claude"]["model"] = json!("claude-opus-9"))?;
    refused.spawn();
    unknown.spawn();

    let is_told = |name: &'static str| move |_, conditions: &Value| conditions[name]["mend"].is_string();
    let key = until_readiness(&refused, is_told("claude_key")).await?;
    let model = until_readiness(&unknown, is_told("claude_model")).await?;

    assert!(key["claude_key"]["reason"].to_string().contains("HTTP 401"), "{key}");
    assert!(!key.to_string().contains("sk-ant"), "{key}");
    assert!(model["claude_model"]["reason"].to_string().contains("claude-opus-9 (claude.model)"), "{model}");
    assert!(is_ready(&model, "claude_key"), "{model}");
    assert_eq!((strict.requests().len(), open.requests().len()), (0, 0), "nothing was asked that costs");
    Ok(())
}

/// A web page in the API's place, found by a free look; and a retired model, found by a request.
#[tokio::test]
async fn op1_a_page_in_the_api_s_place_and_a_model_that_a_request_misses_turn_readyz_red_until_they_work() -> Result<()>
{
    let office = Office::open().await?;
    let page = Router::new().fallback(|| async { axum::response::Html("<html>Welcome to nginx!</html>") });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let mut pages = tokio::task::JoinSet::new();
    pages.spawn(axum::serve(listener, page).into_future());
    let claude = StandIn::start(Options::scripted()).await?;
    let mut fooled = Setup::new(&shared().take_slot(), shared().url(), &claude.base_url()).write();
    reconfigure(&fooled.config(), |settings| settings["claude"]["base_url"] = json!(url))?;
    fooled.spawn();

    let room = office.room(RoomKind::Plain).await?;
    let missing = Failure::status(404).message("model: claude-opus-5-5");
    office.script("with a lost model", Turn::failure(missing));
    office.ask(&office.alice, &room, "with a lost model").await?;
    let lost =
        until_readiness(&office.workmate, |status, seen| status == 503 && !is_ready(seen, "claude_model")).await?;
    office.asked_and_answered(&room, "with a model that is back").await?;
    until_readiness(&office.workmate, |status, _| status == 200).await?;
    let fooled = until_readiness(&fooled, |status, seen| status == 503 && seen["claude"]["mend"].is_string()).await?;

    assert!(lost["claude_model"]["mend"].to_string().contains("existing model id"), "{lost}");
    let why = &fooled["claude"];
    assert!(why["reason"].to_string().contains("a page and not the Messages API: text/html (HTTP 200)"), "{why}");
    assert!(why["mend"].to_string().contains("claude.base_url"), "{why}");
    Ok(())
}

#[tokio::test]
async fn op7_op13_a_hangup_reads_the_files_again_and_the_log_says_a_line_each() -> Result<()> {
    let mut office = Office::open().await?;
    let pid = office.workmate.pid().expect("it runs").to_string();
    let asked = Command::new("kill").args(["-HUP", &pid]).status()?;

    assert!(asked.success());
    until_logged(&office.workmate, "the configuration was read again: nothing changed", 1).await;
    let logs = office.workmate.logs();
    let start = logs.lines().find(|line| line.contains("workmate starts")).unwrap_or_default();
    for part in ["version=", "config=", "homeserver=", "listen=", "health_listen=", "coworkers="] {
        assert!(start.contains(part), "{part} is not in {start:?}");
    }
    assert!(!logs.contains("not looked at yet"), "{logs}");
    let is_event = |line: &&str| line.starts_with("20") && line.contains('Z');
    assert_eq!(logs.lines().find(|line| !is_event(line)), None);
    let warned: Vec<&str> =
        logs.lines().filter(|line| line.contains(" WARN ") && line.contains("being set up")).collect();
    assert_eq!(warned, Vec::<&str>::new());
    office.workmate.stop().await;
    Ok(())
}

/// Runs a command of the program with a Workmate's configuration.
async fn run(workmate: &Workmate, line: &[&str]) -> Result<Output> {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_workmate"));
    command.args(line).arg("--config").arg(workmate.config()).kill_on_drop(true);
    Ok(command.env_remove("ANTHROPIC_API_KEY").output().await?)
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

/// One file is gone and one is faulty: nobody else notices, and the operator is told of both.
#[tokio::test]
async fn op7_op9_faulty_files_leave_out_and_a_coworker_without_one_is_retired_when_told() -> Result<()> {
    let mut office = Office::open_with(vec![coworker("oncall"), coworker("ci")]).await?;
    let ci = office.workmate.slot().coworker("ci");
    let room = office.room(RoomKind::Encrypted).await?;
    office.bring(&room, &ci).await?;
    office.workmate.stop().await;
    let files = office.workmate.config().with_file_name("coworkers");
    fs::remove_file(files.join("ci.yaml"))?;
    fs::write(files.join("legal.yaml"), "id: [\n")?;
    office.workmate.start_again().await;

    let told = |_, conditions: &Value| conditions["coworkers"]["mend"].to_string().contains("workmate retire ci");
    let conditions = until_readiness(&office.workmate, told).await?;
    let early = run(&office.workmate, &["retire", "oncall"]).await?;
    fs::rename(files.join("oncall.yaml"), files.join("oncall.away"))?;
    let unread = run(&office.workmate, &["retire", "oncall"]).await?;
    fs::rename(files.join("oncall.away"), files.join("oncall.yaml"))?;
    let retired = run(&office.workmate, &["retire", "ci"]).await?;
    office.alice.until_membership(&room, &ci, &MembershipState::Leave).await?;
    let farewell = office.alice.until(&room, "a farewell", |seen| {
        seen.messages_of(&ci).any(|said| said.body().contains("leaving this room")).then_some(())
    });
    farewell.await?;
    office.asked_and_answered(&room, "still here?").await?;
    let after = run(&office.workmate, &["retire", "ci"]).await?;

    assert!(conditions["coworkers"]["reason"].to_string().contains("legal"), "{conditions}");
    assert!(!early.status.success() && said(&early).contains("has a file"), "{}", said(&early));
    assert!(!unread.status.success() && said(&unread).contains("its file is gone"), "{}", said(&unread));
    assert!(retired.status.success() && said(&retired).contains("left 1 rooms"), "{}", said(&retired));
    assert!(!after.status.success() && said(&after).contains("no coworker called ci"), "{}", said(&after));
    assert!(!office.workmate.data_dir().join("users").join(ci.localpart()).exists());
    Ok(())
}

/// Checks what a start and the first request would meet, before and after things go wrong.
#[tokio::test]
async fn op3_check_live_tries_what_a_start_and_a_request_would() -> Result<()> {
    let mut office = Office::open().await?;
    reconfigure(&office.workmate.config(), |settings| {
        settings.as_object_mut().expect("an object").remove("registration_file");
    })?;
    let running = run(&office.workmate, &["check", "--live"]).await?;
    office.workmate.stop().await;
    let stopped = run(&office.workmate, &["check", "--live"]).await?;
    reconfigure(&office.workmate.config(), |settings| {
        settings["appservice"]["hs_token"] = json!("another-token-6f1c-8a2b");
        settings["claude"]["base_url"] = json!("http://127.0.0.1:9");
        settings["mcp_servers"] = json!({"logs": {"command": ["/nonexistent/mcp-server"]}});
    })?;
    let broken = run(&office.workmate, &["check", "--live"]).await?;
    let quiet = run(&office.workmate, &["check"]).await?;
    reconfigure(&office.workmate.config(), |settings| settings["homeserver"]["url"] = json!("https://127.0.0.1:9"))?;
    let away = run(&office.workmate, &["check", "--live"]).await?;

    let text = said(&running);
    assert!(running.status.success(), "{text}");
    for part in [
        "a workmate runs here",
        "takes our as_token",
        "the service bot, coworkers and assistants are in ours",
        "reaches the workmate that runs",
        "in use",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let text = said(&stopped);
    assert!(stopped.status.success(), "{text}");
    for part in ["are free", "reaches us at", "takes the key and has claude-opus-5-5", "opens with the master secret"] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let text = said(&broken);
    assert_eq!(broken.status.code(), Some(1), "{text}");
    for part in [
        "calls us with another hs_token",
        "mcp_servers.logs: its program cannot be started",
        "Connection refused",
        "Mend:",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(quiet.status.success() && said(&quiet).contains("`workmate check --live`"), "{}", said(&quiet));
    let text = said(&away);
    assert!(text.contains("does not answer (") && text.contains("start what is to listen there"), "{text}");
    assert!(!text.contains("another-token-6f1c-8a2b"), "{text}");
    Ok(())
}

/// Tests how a changed name and an unusable data folder are reported, by the check and the start alike.
#[tokio::test]
async fn op5_names_that_the_loaded_registration_does_not_cover_and_a_useless_data_folder_are_told_by_their_keys()
-> Result<()> {
    let mut office = Office::open().await?;
    let sound = fs::read_to_string(office.workmate.config())?;
    office.workmate.stop().await;
    reconfigure(&office.workmate.config(), |settings| {
        settings.as_object_mut().expect("an object").remove("registration_file");
        settings["appservice"]["id"] = json!("another-id");
        settings["appservice"]["coworker_prefix"] = json!("bot-");
        settings["appservice"]["assistant_prefix"] = json!("mine-");
    })?;
    let checked = run(&office.workmate, &["check", "--live"]).await?;
    let in_vain = office.workmate.config().with_file_name("no-folder");
    fs::write(&in_vain, "")?;
    reconfigure(&office.workmate.config(), |settings| settings["data_dir"] = json!(in_vain))?;
    let checked_in_vain = run(&office.workmate, &["check", "--live"]).await?;
    let started_in_vain = run(&office.workmate, &["serve"]).await?;
    fs::write(office.workmate.config(), sound)?;

    let text = said(&checked);
    assert_eq!(checked.status.code(), Some(1), "{text}");
    for part in [
        "appservice.id: the homeserver knows our as_token under another id than another-id",
        "appservice.coworker_prefix: the registration that the homeserver has loaded does not cover @bot-oncall:",
        "appservice.assistant_prefix: the registration that the homeserver has loaded does not cover @mine-",
        "back to what it was",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(!text.contains("Another registration has") && text.contains("with this machine's"), "{text}");
    let what = format!("data_dir {}: it is a file, not a folder", in_vain.display());
    for output in [&checked_in_vain, &started_in_vain] {
        assert!(!output.status.success() && said(output).contains(&what), "{}", said(output));
    }
    Ok(())
}
