//! Faults around Workmate, and how it reports them to the operator: on exit or in `/readyz`.

use std::{fs, path::Path, process::Stdio, time::Duration};

use anyhow::{Context as _, Result};
use axum::{Json, Router, http::StatusCode, response::Html, routing};
use serde_json::{Value, json};
use tokio::{net::TcpListener, process::Command, time};
use url::Url;
use workmate::cli::demo::homeserver::free_port;

use crate::harness::{
    RoomKind, Setup,
    homeserver::{Private, shared},
    office::{Office, echoing},
    progress,
    readiness::{is_ready, reconfigure, until_readiness},
};

/// How long a Workmate that cannot serve may take to exit.
const END_MAX: Duration = Duration::from_mins(1);

/// Runs `workmate serve` until it exits; returns its exit code and last output.
async fn run_to_the_end(config: &Path) -> Result<(Option<i32>, String)> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_workmate"));
    command.args(["serve", "--config"]).arg(config).env_remove("ANTHROPIC_API_KEY");
    let child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
    let output = time::timeout(END_MAX, child.wait_with_output()).await.context("it goes on instead of ending")??;
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok((output.status.code(), said.concat()))
}

fn nobody() -> Url {
    Url::parse("http://127.0.0.1:9").expect("a constant URL")
}

// ---- The machine ----

#[tokio::test]
async fn bad_input_a_second_process_on_the_same_data_ends_with_a_message_and_harms_nothing() -> Result<()> {
    let office = Office::open().await?;
    let room = office.room(RoomKind::Encrypted).await?;
    let second = office.workmate.config().with_file_name("second.yaml");
    fs::copy(office.workmate.config(), &second)?;
    let (listen, health) = (free_port()?.local_addr()?, free_port()?.local_addr()?);
    reconfigure(&second, |settings| {
        settings["appservice"]["listen"] = json!(listen);
        settings["health_listen"] = json!(health);
    })?;

    let (code, said) = run_to_the_end(&second).await?;

    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the store is locked by another process"), "{said}");
    assert!(said.contains("Mend: stop the other workmate that uses this data_dir"), "{said}");
    office.asked_and_answered(&room, "unharmed?").await?;
    Ok(())
}

#[tokio::test]
async fn bad_input_a_port_that_is_taken_is_named_with_its_key() -> Result<()> {
    for key in ["appservice.listen", "health_listen"] {
        let workmate = Setup::new(&shared().take_slot(), shared().url(), &nobody()).write();
        workmate.slot().release_ports();
        let taken = free_port()?;
        let address = taken.local_addr()?;
        reconfigure(&workmate.config(), |settings| match key {
            "health_listen" => settings["health_listen"] = json!(address),
            _ => settings["appservice"]["listen"] = json!(address),
        })?;

        let (code, said) = run_to_the_end(&workmate.config()).await?;

        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(&format!("{key} {address}: cannot listen there")) && said.contains("Mend:"), "{said}");
    }
    Ok(())
}

#[tokio::test]
async fn bad_input_every_fault_of_the_configuration_is_said_in_one_run() -> Result<()> {
    let workmate = Setup::new(&shared().take_slot(), shared().url(), &nobody()).write();
    reconfigure(&workmate.config(), |settings| {
        settings["surprise"] = json!(1);
        settings["limits"] = json!({"runs_max": 0});
        settings["appservice"].as_object_mut().expect("a section").remove("hs_token");
    })?;

    let (code, said) = run_to_the_end(&workmate.config()).await?;

    assert_eq!(code, Some(1), "{said}");
    for part in ["surprise", "limits.runs_max", "appservice.hs_token: missing", "Mend:", "workmate.yaml"] {
        assert!(said.contains(part), "{part} is not in:\n{said}");
    }
    Ok(())
}

#[tokio::test]
async fn bad_input_an_unwritable_data_folder_ends_with_its_path_and_a_mend() -> Result<()> {
    let workmate = Setup::new(&shared().take_slot(), shared().url(), &nobody()).write();
    workmate.slot().release_ports();
    fs::write(workmate.data_dir(), "a file stands in the way")?;

    let (code, said) = run_to_the_end(&workmate.config()).await?;

    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&workmate.data_dir().display().to_string()) && said.contains("Mend:"), "{said}");
    Ok(())
}

// ---- The homeserver ----

#[tokio::test]
async fn bad_input_a_wrong_as_token_ends_with_how_to_mend_it() -> Result<()> {
    let workmate = Setup::new(&shared().take_slot(), shared().url(), &nobody()).write();
    workmate.slot().release_ports();
    reconfigure(&workmate.config(), |settings| settings["appservice"]["as_token"] = json!("wrong-token-4c1d-7f2e"))?;

    let (code, said) = run_to_the_end(&workmate.config()).await?;

    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("refused our as_token") && said.contains("registration.yaml"), "{said}");
    assert!(!said.contains("wrong-token-4c1d-7f2e"), "the token is told: {said}");
    Ok(())
}

#[tokio::test]
async fn op5_a_wrong_server_name_ends_with_the_right_one() -> Result<()> {
    let workmate = Setup::new(&shared().take_slot(), shared().url(), &nobody()).write();
    workmate.slot().release_ports();
    reconfigure(&workmate.config(), |settings| settings["homeserver"]["server_name"] = json!("example.org"))?;

    let (code, said) = run_to_the_end(&workmate.config()).await?;

    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("homeserver.server_name: example.org, but the homeserver at"), "{said}");
    assert!(said.contains("Mend: set homeserver.server_name to localhost"), "{said}");
    Ok(())
}

/// Serves a router in the homeserver's place.
async fn stand_in_for_the_homeserver(router: Router) -> Result<Url> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = Url::parse(&format!("http://{}", listener.local_addr()?))?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(url)
}

#[tokio::test]
async fn bad_input_a_homeserver_that_answers_html_is_named_in_readyz_and_waited_for() -> Result<()> {
    let page = || async { Html("<html><body>Welcome to nginx!</body></html>") };
    let url = stand_in_for_the_homeserver(Router::new().fallback(page)).await?;
    let mut workmate = Setup::new(&shared().take_slot(), &url, &nobody()).write();
    workmate.spawn();

    let names_it = |_, conditions: &Value| conditions["homeserver"]["mend"].to_string().contains("homeserver.url");
    let conditions = until_readiness(&workmate, names_it).await?;

    let reason = conditions["homeserver"]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("answered HTTP 200") && reason.contains("not as a homeserver does"), "{reason}");
    assert!(reason.contains(url.as_str().trim_end_matches('/')), "{reason}");
    workmate.stop().await;
    Ok(())
}

#[tokio::test]
async fn bad_input_a_homeserver_that_is_down_at_start_is_waited_for_and_then_served() -> Result<()> {
    let mut private = Private::start().await;
    let [alice, bob] = [private.person("alice").await, private.person("bob").await];
    let claude = echoing().await?;
    private.homeserver.stop().await?;
    let mut workmate = Setup::new(&private.slot, private.homeserver.url(), &claude.base_url()).write();
    workmate.spawn();
    let down = |status, conditions: &Value| {
        status == 503 && conditions["homeserver"]["reason"].to_string().contains("does not answer")
    };
    let conditions = until_readiness(&workmate, down).await?;
    assert!(is_ready(&conditions, "store") && !is_ready(&conditions, "users"), "{conditions}");

    private.homeserver.start_again(&progress).await?;
    workmate.until_ready().await?;

    let office = Office { claude, workmate, alice, bob };
    let room = office.room(RoomKind::Encrypted).await?;
    office.asked_and_answered(&room, "back?").await?;
    Ok(())
}

#[tokio::test]
async fn bad_input_a_homeserver_without_device_masquerading_ends_with_which_versions_have_it() -> Result<()> {
    let unrecognized = || async {
        (StatusCode::NOT_FOUND, Json(json!({"errcode": "M_UNRECOGNIZED", "error": "Unrecognized request"})))
    };
    let router = Router::new()
        .route("/_matrix/client/v3/account/whoami", routing::get(|| async { Json(json!({"user_id": "@x:localhost"})) }))
        .route("/_matrix/client/v3/register", routing::post(|| async { Json(json!({"user_id": "@x:localhost"})) }))
        .route("/_matrix/client/v3/devices", routing::get(|| async { Json(json!({"devices": []})) }))
        .fallback(unrecognized);
    let url = stand_in_for_the_homeserver(router).await?;
    let workmate = Setup::new(&shared().take_slot(), &url, &nobody()).write();
    workmate.slot().release_ports();

    let (code, said) = run_to_the_end(&workmate.config()).await?;

    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("lacks device management for application services"), "{said}");
    assert!(said.contains("Synapse 1.141"), "{said}");
    Ok(())
}

#[tokio::test]
async fn bad_input_the_homeservers_calls_with_a_wrong_token_or_too_large_are_refused() -> Result<()> {
    let office = Office::open().await?;
    let room = office.room(RoomKind::Plain).await?;
    let slot = office.workmate.slot();
    let url = format!("http://{}/_matrix/app/v1/transactions/t1", slot.listen);
    let http = reqwest::Client::builder().no_proxy().build()?;
    let event = json!({
        "event_id": "$forged", "room_id": room, "sender": office.alice.user_id(), "type": "m.room.message",
        "origin_server_ts": 1, "content": {"msgtype": "m.text", "body": "oncall: forged"},
    });
    let events = json!({"events": [event]});
    let mut statuses = Vec::new();
    for token in ["wrong".to_owned(), slot.as_token()] {
        statuses.push(http.put(&url).bearer_auth(token).json(&events).send().await?.status().as_u16());
    }
    statuses.push(http.put(&url).json(&events).send().await?.status().as_u16());
    let large = json!({"events": [], "padding": "x".repeat(80 << 20)});
    let refused = http.put(&url).bearer_auth(slot.hs_token()).json(&large).send().await;
    let not_json = http.put(&url).bearer_auth(slot.hs_token()).body("{").send().await?.status().as_u16();
    office.asked_and_answered(&room, "still here?").await?;

    assert_eq!(statuses, [403, 403, 401]);
    assert!(refused.is_err() || refused.is_ok_and(|answer| answer.status().as_u16() == 413), "too large is not taken");
    assert_eq!(not_json, 400);
    assert_eq!(office.questions().len(), 1, "{:?}", office.questions());
    Ok(())
}
