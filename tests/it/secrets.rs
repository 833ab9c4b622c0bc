//! Tools' secrets (C13): servers tell all they know, the model repeats all it saw, and the planted secrets are searched
//! for in everything that leaves Workmate.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result};
use axum::{Json, Router, http::HeaderMap, http::StatusCode, response::IntoResponse as _, response::Response};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use matrix_sdk::media::{MediaFormat, MediaRequestParameters};
use ruma::{OwnedRoomId, events::room::MediaSource};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet};
use workmate::{
    core::mask::MASK,
    standin::{RecordedRequest, Turn},
};

use crate::{
    harness::{
        Message, RoomKind, Timeline,
        homeserver::shared,
        office::{Office, question_of},
        readiness::until_runs_ended,
        workmate::coworker,
    },
    privacy::on_disk,
};

/// The secret in the program's environment; awkward to write in JSON and in URLs.
const OF_PROGRAM: &str = "planted-7f3a9c/\"quoted\"+plus&more-51be";
/// The secret in the header for the HTTP server.
const OF_HEADER: &str = "planted-0d44e1/header+plus=more-92aa";
/// The secret for `http_get`.
const OF_HTTP_GET: &str = "planted-c6b2d8/get+plus=more-1e07";
const PLANTED: [&str; 3] = [OF_PROGRAM, OF_HEADER, OF_HTTP_GET];
/// A value that the operator wrote in plain sight: it is no secret, and is shown.
const PLAIN: &str = "plainly-visible-colour";
const QUESTION: &str = "tell me all that you know";
/// With this request the model assembles a secret from pieces that no mask finds.
const PIECES: &str = "write it down";

/// Returns what betrays the secrets, in any encoding.
fn needles() -> Vec<String> {
    let of_secret = |secret: &str| {
        let (head, tail) = (&secret[..14], &secret[secret.len() - 9..]);
        let in_base64 = (0..3).map(|before| {
            let encoded = BASE64_STANDARD.encode([&[0; 2][..before], secret.as_bytes()].concat());
            encoded[4..24].to_owned()
        });
        let mut needles: Vec<String> = in_base64.collect();
        needles.extend([head.to_owned(), tail.to_owned()]);
        needles
    };
    PLANTED.into_iter().flat_map(of_secret).collect()
}

/// An MCP server over HTTP that answers each call with the credential it received.
struct Hub {
    url: String,
    heard: mpsc::UnboundedReceiver<String>,
    _serving: JoinSet<()>,
}

impl Hub {
    async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/mcp", listener.local_addr()?);
        let (said, heard) = mpsc::unbounded_channel();
        let handler = move |headers: HeaderMap, body: String| {
            let credential = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
            let _ = said.send(credential.to_owned());
            let answer = hub_answer(credential, &body);
            async move { answer }
        };
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, Router::new().fallback(handler)).await.expect("serves") });
        Ok(Self { url, heard, _serving: serving })
    }
}

fn hub_answer(credential: &str, body: &str) -> Response {
    let Ok(request) = serde_json::from_str::<Value>(body) else {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    };
    if request["id"].is_null() {
        return StatusCode::ACCEPTED.into_response();
    }
    let text = request["params"]["arguments"]["text"].as_str().unwrap_or_default();
    let result = match request["method"].as_str().unwrap_or_default() {
        "initialize" => json!({
            "protocolVersion": request["params"]["protocolVersion"], "capabilities": { "tools": {} },
            "serverInfo": { "name": "hub", "version": "1" },
        }),
        "tools/list" => {
            let schema = json!({ "type": "object", "properties": { "text": { "type": "string" } } });
            json!({ "tools": [{ "name": "whoami", "description": credential, "inputSchema": schema }] })
        }
        _ => json!({ "content": [{ "type": "text", "text": format!("You are {credential}. You said {text}.") }] }),
    };
    Json(json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })).into_response()
}

/// A model that calls everything, passes on what it saw, and repeats it in its answer.
fn repeat(request: &RecordedRequest) -> Turn {
    let question = question_of(request);
    if question.contains(PIECES) {
        return write_down(request);
    }
    if !question.contains(QUESTION) {
        return Turn::text(format!("You asked: {question}"));
    }
    let messages = request.body["messages"].as_array().cloned().unwrap_or_default();
    let blocks = messages.iter().filter_map(|turn| turn["content"].as_array()).flatten();
    let results: Vec<&str> =
        blocks.filter(|block| block["type"] == "tool_result").filter_map(|block| block["content"].as_str()).collect();
    let seen = format!("{}\n{}", request.body["tools"], results.join("\n"));
    match messages.len() {
        _ if results.is_empty() => Turn::empty()
            .and_tool_use("leaky__fail", json!({}))
            .and_tool_use("leaky__break", json!({}))
            .and_tool_use("http_get", json!({ "url": "https://127.0.0.1/" }))
            .and_tool_use("leaky__dump", json!({})),
        _ if results.len() == 4 => Turn::empty().and_tool_use("hub__whoami", json!({ "text": seen })),
        _ => Turn::text(format!("I saw:\n{seen}")).delta_chars(2_000),
    }
}

fn write_down(request: &RecordedRequest) -> Turn {
    if request.body["messages"].to_string().contains("tool_result") {
        return Turn::text(format!("Written down: {OF_HEADER}."));
    }
    Turn::empty()
        .and_tool_use("attach_file", json!({ "name": "all.md", "text": format!("It is {OF_HEADER}.") }))
        .and_tool_use("note_add", json!({ "text": format!("Noted: {OF_HEADER}.") }))
}

struct Scene {
    office: Office,
    hub: Hub,
    room: OwnedRoomId,
    audit: OwnedRoomId,
}

impl Scene {
    async fn set() -> Result<Self> {
        let hub = Hub::start().await?;
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/secrets/leaky.py");
        let env = json!({ "API_TOKEN": { "credential": "program" }, "COLOUR": PLAIN });
        let servers = json!({
            "leaky": { "command": ["python3", program], "env": env },
            "hub": { "url": hub.url, "headers": { "Authorization": { "credential": "header" } } },
        });
        let credentials = json!({
            "program": { "value": OF_PROGRAM }, "header": { "value": OF_HEADER }, "get": { "value": OF_HTTP_GET },
        });
        let mut oncall = coworker("oncall");
        oncall["tools"] = json!([
            { "name": "leaky__*", "approval": "never" },
            { "name": "hub__*", "approval": "asker" },
            { "name": "http_get", "hosts": ["127.0.0.1"], "credential": "get" },
            "attach_file", "note_add",
        ]);
        let people = [shared().person("alice").await, shared().person("bob").await];
        let admins = json!({ "admins": [people[0].user_id()] });
        let office = Office::open_for(people, |setup| {
            setup
                .coworkers(vec![oncall])
                .section("mcp_servers", servers)
                .section("credentials", credentials)
                .section("workspace", admins)
                .section("log", json!({ "filter": "trace,workmate=trace" }))
        });
        let office = office.await?;
        office.claude.respond_with(repeat);
        let audit = office.alice.until_invited_by(&office.workmate.slot().service()).await?;
        office.alice.join(&audit).await?;
        let room = office.room(RoomKind::Encrypted).await?;
        Ok(Self { office, hub, room, audit })
    }

    /// Lets the run happen with its one approval, and asks for everything that reports on it.
    async fn run(&self) -> Result<()> {
        let (office, room) = (&self.office, &self.room);
        let (alice, oncall) = (&office.alice, office.oncall());
        let request = office.ask(alice, room, QUESTION).await?;
        let is_card = |seen: &Timeline| {
            let card = seen.messages_of(&oncall).find(|said| said.body().starts_with("May I run"))?;
            (seen.reactions(&card.event_id).count() == 2).then(|| card.event_id.clone())
        };
        let card = alice.until(room, "the card", is_card).await?;
        alice.react(room, &card, "✅").await?;
        let answer = office.answer(alice, room, &oncall, "I saw:").await?;
        until_runs_ended(&office.workmate, 1).await;
        for (command, told) in [("!tools", "My tools:"), ("!why", "For that answer I read")] {
            let said = Message::text(format!("@oncall {command}")).pill("@oncall", &oncall).in_thread(&request);
            alice.send(room, said).await?;
            let find = |seen: &Timeline| seen.messages_of(&oncall).find(|said| said.body().contains(told)).map(drop);
            alice.until(room, told, find).await?;
        }
        let service = office.workmate.slot().service();
        let links = |seen: &Timeline| {
            let mut lines = seen.messages_of(&service);
            lines.find(|line| line.body().contains(answer.event_id.as_str())).map(drop)
        };
        alice.until(&self.audit, "the audit room's line", links).await
    }

    /// Has the model write down what it assembled; returns the file and what is said about it.
    async fn put_together(&self) -> Result<[String; 3]> {
        let (office, room) = (&self.office, &self.room);
        let (alice, oncall) = (&office.alice, office.oncall());
        office.ask(alice, room, PIECES).await?;
        let answer = office.answer(alice, room, &oncall, "Written down").await?;
        let file = self.file(|name| !name.starts_with("hub__whoami")).await?;
        office.ask(alice, room, "!notes").await?;
        let notes = office.answer(alice, room, &oncall, "The notes of this room").await?;
        Ok([file, answer.body().to_owned(), notes.body().to_owned()])
    }

    /// Returns the content of the room's first file whose name is `wanted`.
    async fn file(&self, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let (alice, oncall) = (&self.office.alice, self.office.oncall());
        let is_file = |seen: &Timeline| {
            let mut theirs = seen.messages_of(&oncall);
            theirs.find(|said| said.msgtype() == "m.file" && wanted(said.body())).cloned()
        };
        let file = alice.until(&self.room, "the file", is_file).await?;
        let source = MediaSource::Encrypted(Box::new(serde_json::from_value(file.content["file"].clone())?));
        let wanted = MediaRequestParameters { source, format: MediaFormat::File };
        Ok(String::from_utf8(alice.client().media().get_media_content(&wanted, false).await?)?)
    }

    /// Returns everything that people and operators are shown, by place.
    fn shown(&self) -> Result<Vec<(String, String)>> {
        let (office, mut shown) = (&self.office, Vec::new());
        for room in [&self.room, &self.audit] {
            let seen = office.alice.timeline(room);
            shown.push((format!("what is shown in {room}"), seen.to_string()));
            let contents = seen.events.iter().map(|event| event.content.to_string());
            shown.push((format!("the events of {room}"), contents.collect::<Vec<_>>().join("\n")));
        }
        // The model is sent its own words again; only there does it read what it assembled.
        let asked = office.claude.requests().into_iter().filter(|request| !question_of(request).contains(PIECES));
        for (number, request) in asked.enumerate() {
            shown.push((format!("prompt {number}"), request.body.to_string()));
        }
        for line in ["list", "export --format jsonl", "export --format csv"] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_workmate"));
            command.arg("audit").args(line.split(' ')).arg("--config").arg(office.workmate.config());
            let output = command.env_remove("ANTHROPIC_API_KEY").output()?;
            anyhow::ensure!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
            shown.push((format!("workmate audit {line}"), String::from_utf8(output.stdout)?));
        }
        shown.push(("the log, stdout and stderr".to_owned(), office.workmate.logs()));
        Ok(shown)
    }
}

#[tokio::test]
async fn c13_planted_secrets_come_out_nowhere_though_servers_and_the_model_tell_all_they_know() -> Result<()> {
    let mut scene = Box::pin(Scene::set()).await?;
    Box::pin(scene.run()).await?;
    let [file, answer, notes] = Box::pin(scene.put_together()).await?;
    assert_eq!([file, answer], ["It is •••.", "Written down: •••."]);
    assert!(notes.contains("Noted: •••."), "{notes}");

    let mut shown = scene.shown()?;
    // The call is too long for its card.
    shown.insert(0, ("the card's file".to_owned(), scene.file(|name| name.starts_with("hub__whoami")).await?));
    let needles = needles();
    let leaks = |place: &str, text: &str| {
        let found = needles.iter().filter(|needle| text.contains(needle.as_str()));
        found.map(|needle| format!("{needle} in {place}")).collect::<Vec<_>>()
    };
    let leaked: Vec<String> = shown.iter().flat_map(|(place, text)| leaks(place, text)).collect();
    assert_eq!(leaked, Vec::<String>::new());
    let mut files = on_disk(&scene.office.workmate.data_dir())?;
    scene.office.workmate.stop().await;
    files.extend(on_disk(&scene.office.workmate.data_dir())?);
    assert!(files.len() > 10, "only {} files", files.len());
    let on_disk: Vec<_> = needles.iter().filter(|needle| files.iter().any(|file| file.holds(needle))).collect();
    assert_eq!(on_disk, Vec::<&String>::new());

    // The servers had and told the secrets, and what is no secret came through.
    assert_eq!(scene.hub.heard.recv().await.context("the hub is asked")?, format!("Bearer {OF_HEADER}"));
    let prompts: Vec<_> = shown.iter().filter(|(place, _)| place.starts_with("prompt")).collect();
    let last = &prompts.last().context("the model was asked")?.1;
    assert!(last.contains(MASK) && last.contains(PLAIN) && last.contains("You are Bearer •••."), "{last}");
    let room = &shown[2].1;
    assert!(room.contains("You are Bearer •••.") && room.contains(PLAIN), "the answer repeats what the model saw");
    let log = &shown.last().context("the log is shown")?.1;
    assert!(log.contains("DEBUG"), "the log says what was asked for");
    // Neither what Workmate itself is trusted with, nor what was said, asked, called and answered.
    let config = scene.office.workmate.config();
    let settings: Value = serde_json::from_str(&fs::read_to_string(&config)?)?;
    let own = |path: &str| settings.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut never = vec![own("/appservice/as_token"), own("/appservice/hs_token"), own("/claude/api_key")];
    never.push(fs::read_to_string(own("/master_secret_file"))?.trim().to_owned());
    never.extend([QUESTION, PIECES, PLAIN, "Noted: ", "You are Bearer", "I saw:"].map(str::to_owned));
    assert!(never.iter().all(|needle| needle.len() > 5), "{never:?}");
    let logged: Vec<_> = never.iter().filter(|needle| log.contains(needle.as_str())).collect();
    assert_eq!(logged, Vec::<&String>::new());
    Ok(())
}
