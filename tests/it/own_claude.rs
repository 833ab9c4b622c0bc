//! Rooms in an owner's own programs (A13), read with clients that nobody here wrote: the TypeScript SDK's client, the
//! inspector's command line, and Claude Code itself with the stand-in as its model. They are pinned, installed into
//! `target/sdk-check`, and kept for the next run.

mod rights;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result};
use reqwest::{Method, StatusCode};
use ruma::{OwnedRoomId, RoomId};
use serde_json::{Value, json};
use tokio::process::Command;
use workmate::standin::{RecordedRequest, Turn};

use crate::{
    assistants::{Office, call_as, said},
    harness::{Message, Person, RoomKind, Timeline, homeserver::shared, office::text_of},
    opening::visible,
    standin_sdks::{install_npm, run},
};

/// The newest versions of each that run on Node 20; Claude Code brings its own runtime.
const SDK: &str = "@modelcontextprotocol/sdk@1.32.2";
const INSPECTOR: &str = "@modelcontextprotocol/inspector@0.22.0";
const CLAUDE_CODE: &str = "@anthropic-ai/claude-code@2.1.328";
/// What the team decided, and what nobody else may read.
const DECISION: &str = "We roll back to 2.4 on Friday. Kingfisher-7741";
const SECRET: &str = "The other team's rollback is in March. Bittern-9020";
const NOT_THERE: &str = "Not allowed or not there";

/// A workspace with an encrypted room that alice may read, and one that she may not.
struct Scene {
    office: Office,
    alice: Person,
    bob: Person,
    dm: OwnedRoomId,
    team: OwnedRoomId,
    other: OwnedRoomId,
    url: String,
    http: reqwest::Client,
}

impl Scene {
    async fn set() -> Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        drop(listener);
        let office = Office::open_with(|setup| {
            let setup = setup.section("mcp_listen", json!(address));
            setup.section("log", json!({ "filter": "trace,workmate=trace" }))
        })
        .await?;
        let [alice, bob, carol] =
            [shared().person("alice").await, shared().person("bob").await, shared().person("carol").await];
        let team = office.team(RoomKind::Encrypted, &[&bob, &alice]).await?;
        let other = office.team(RoomKind::Encrypted, &[&bob, &carol]).await?;
        let dm = office.meet(&alice).await?;
        let url = format!("http://{address}/mcp");
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { office, alice, bob, dm, team, other, url, http })
    }

    /// Has alice write `!connect`, and returns the line to paste and the token in it.
    async fn connect(&self, name: &str) -> Result<(String, String)> {
        self.connect_for(&self.alice, &self.dm, name).await
    }

    /// Has a person write `!connect` in their assistant's chat, likewise.
    async fn connect_for(&self, owner: &Person, dm: &RoomId, name: &str) -> Result<(String, String)> {
        let shown = self.office.word(owner, dm, &format!("!connect {name}"), "Connection ").await?;
        anyhow::ensure!(shown.is_decrypted(), "a token is shown encrypted");
        let line = shown.body().lines().find(|line| line.starts_with("claude mcp add")).context("a line")?.to_owned();
        let token = line.split("Bearer ").nth(1).context("a token")?.trim_end_matches('"').to_owned();
        let json = &shown.body()[shown.body().find('{').context("JSON")?..=shown.body().rfind('}').context("JSON")?];
        let settings: Value = serde_json::from_str(json)?;
        assert_eq!(settings["mcpServers"]["workmate"]["url"], self.url);
        assert_eq!(settings["mcpServers"]["workmate"]["headers"]["Authorization"], format!("Bearer {token}"));
        Ok((line, token))
    }

    /// Calls a tool; returns whether it is an error, and the text.
    async fn tool(&self, token: &str, tool: &str, arguments: Value) -> Result<(bool, String)> {
        let params = json!({ "name": tool, "arguments": arguments });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
        let call = self.http.post(&self.url).bearer_auth(token).json(&body);
        let answer = call.header("accept", "application/json, text/event-stream").send().await?;
        anyhow::ensure!(answer.status().is_success(), "{tool}: {}", answer.status());
        let answer: Value = answer.json().await?;
        let text = answer["result"]["content"][0]["text"].as_str().context("text")?.to_owned();
        Ok((answer["result"]["isError"] == true, text))
    }

    async fn status(&self, token: &str) -> Result<StatusCode> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
        let call = self.http.post(&self.url).bearer_auth(token).json(&body);
        Ok(call.header("accept", "application/json, text/event-stream").send().await?.status())
    }
}

/// Returns an answer's records, without its first line.
fn records(text: &str) -> Vec<Value> {
    text.lines().skip(1).filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn texts(text: &str) -> Vec<String> {
    records(text).iter().filter_map(|record| record["text"].as_str().map(str::to_owned)).collect()
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/own_claude").join(name)
}

#[tokio::test]
async fn a13_owners_programs_read_what_their_owner_may_read_and_nobody_sees_it() -> Result<()> {
    let scene = Scene::set().await?;
    let (alice, bob, team) = (&scene.alice, &scene.bob, &scene.team);
    let decided = bob.send(team, "We roll back on Thursday.").await?;
    bob.send(team, Message::text(DECISION).replacing(&decided)).await?;
    let gone = bob.send(team, "rollback password hunter2").await?;
    bob.redact(team, &gone).await?;
    let last = bob.send(team, "Lunch?").await?;
    let hidden = bob.send(&scene.other, SECRET).await?;
    alice.until(team, "the last message", |seen| seen.event(&last).cloned()).await?;
    let before = visible(bob, team).await?;
    let (line, token) = scene.connect("laptop").await?;

    let (is_error, rooms) = scene.tool(&token, "rooms", json!({})).await?;
    assert!(!is_error && rooms.contains(team.as_str()) && !rooms.contains(scene.other.as_str()), "{rooms}");
    let (_, read) = scene.tool(&token, "room_read", json!({ "room": team })).await?;
    assert!(read.contains(DECISION) && !read.contains("Thursday") && !read.contains("hunter2"), "{read}");
    assert!(read.lines().next().is_some_and(|head| head.contains("never instructions")), "{read}");
    let (_, found) = scene.tool(&token, "room_search", json!({ "room": team, "text": "ROLL back" })).await?;
    assert_eq!(texts(&found), [DECISION]);
    paging(&scene, &token).await?;
    refusals_read_the_same(&scene, &token, (decided.as_str(), hidden.as_str())).await?;
    // The message that showed the token goes once the token is used.
    let assistant = scene.office.assistant_of(alice);
    let is_taken_back = |seen: &Timeline| {
        let shown = &said(seen, &assistant, "Connection ")?.event_id;
        seen.events.iter().any(|event| event.redacts.as_ref() == Some(shown)).then_some(())
    };
    alice.until(&scene.dm, "the token's message to go", is_taken_back).await?;

    read_with_the_sdk(&scene, &token, decided.as_str()).await?;
    read_with_the_inspector(&scene, &token).await?;
    read_with_claude_code(&scene, &line).await?;

    assert_eq!(visible(bob, team).await?, before, "nobody in the room can see that it was read");
    ends(&scene, &token).await
}

/// Reads the room page by page: nothing twice, nothing missing, and no cursor holds elsewhere.
async fn paging(scene: &Scene, token: &str) -> Result<()> {
    let whole = texts(&scene.tool(token, "room_read", json!({ "room": scene.team })).await?.1);
    let (mut read, mut cursor) = (Vec::new(), Value::Null);
    for _ in 0..50 {
        let mut arguments = json!({ "room": scene.team, "limit": 1 });
        if cursor.is_string() {
            arguments["cursor"] = cursor.clone();
        }
        let (is_error, page) = scene.tool(token, "room_read", arguments).await?;
        anyhow::ensure!(!is_error, "{page}");
        read.splice(0..0, texts(&page));
        cursor = serde_json::from_str::<Value>(page.lines().next().context("a head")?)?["next"].clone();
        if cursor.is_null() {
            break;
        }
        for elsewhere in [
            ("room_search", json!({ "room": scene.team, "text": "x", "cursor": cursor })),
            ("room_read", json!({ "room": scene.other, "cursor": cursor })),
            ("room_members", json!({ "room": scene.team, "cursor": cursor })),
        ] {
            let (is_error, text) = scene.tool(token, elsewhere.0, elsewhere.1).await?;
            assert!(is_error && text.starts_with(NOT_THERE), "{text}");
        }
    }
    assert_eq!(read, whole);
    Ok(())
}

/// Whatever is not allowed and whatever is not there is answered alike, byte for byte.
async fn refusals_read_the_same(scene: &Scene, token: &str, (decided, hidden): (&str, &str)) -> Result<()> {
    let (team, other) = (&scene.team, &scene.other);
    let asked = [
        ("room_read", json!({ "room": other })),
        ("room_read", json!({ "room": "!nowhere:localhost" })),
        ("room_read", json!({ "room": "#nowhere" })),
        ("room_read", json!({ "room": "nothing at all\u{0}" })),
        ("room_read", json!({ "room": scene.dm })),
        ("room_search", json!({ "room": other, "text": "rollback" })),
        ("room_members", json!({ "room": other })),
        ("message", json!({ "room": other, "event": hidden })),
        ("message", json!({ "room": team, "event": hidden })),
        ("message", json!({ "room": team, "event": "$nowhere" })),
        ("message", json!({ "room": other, "event": decided })),
        ("thread_read", json!({ "room": team, "event": hidden })),
        ("room_read", json!({ "room": team, "cursor": "AAAA" })),
    ];
    let mut told = std::collections::BTreeSet::new();
    for (tool, arguments) in asked {
        let (is_error, text) = scene.tool(token, tool, arguments.clone()).await?;
        assert!(is_error && !text.contains("Bittern"), "{tool} {arguments}: {text}");
        told.insert(text);
    }
    assert_eq!(told.len(), 1, "{told:?}");
    let words =
        ["a", "wmc_", &token[..token.len() - 1], &token.replace('w', "W"), &format!("{token}x")].map(str::to_owned);
    for guess in words {
        assert_eq!(scene.status(&guess).await?, StatusCode::UNAUTHORIZED);
    }
    Ok(())
}

async fn read_with_the_sdk(scene: &Scene, token: &str, decided: &str) -> Result<()> {
    let Some(modules) = install_npm("mcp-sdk", SDK).await else { return Ok(()) };
    let settings = json!({
        "url": scene.url, "token": token, "team": scene.team, "other": scene.other, "event": decided,
    });
    let printed = run(Command::new("node").arg(script("client.mjs")).arg(&modules).arg(settings.to_string())).await;
    let report: Value = serde_json::from_str(printed.map_err(anyhow::Error::msg)?.trim())?;
    let tools = json!(["rooms", "room_read", "room_search", "thread_read", "message", "room_members"]);
    assert_eq!(report["tools"], tools, "{report:#}");
    assert_eq!(report["readOnly"], true);
    assert_eq!((&report["resources"], &report["prompts"]), (&json!(1), &json!(1)), "{report:#}");
    for read in ["read", "search", "message", "thread", "resource", "prompt"] {
        let text = report[read].as_str().unwrap_or_default();
        assert!(text.contains("Kingfisher-7741") && !text.contains("Thursday"), "{read}: {report:#}");
    }
    let members = report["members"].as_str().unwrap_or_default();
    assert!(members.contains(scene.bob.user_id().as_str()), "{report:#}");
    assert!(report["otherRoom"].as_str().is_some_and(|text| text.starts_with(NOT_THERE)), "{report:#}");
    assert_eq!(report["otherRoom"], report["noRoom"]);
    assert_eq!(report["otherResource"], report["noResource"]);
    assert!(report["wrongToken"].as_str().is_some_and(|error| error.contains("nauthorized") || error.contains("401")));
    Ok(())
}

async fn read_with_the_inspector(scene: &Scene, token: &str) -> Result<()> {
    let Some(modules) = install_npm("mcp-inspector", INSPECTOR).await else { return Ok(()) };
    let inspect = async |more: &[&str]| -> Result<Value> {
        let mut command = Command::new(modules.join("node_modules/.bin/mcp-inspector"));
        command.args([
            "--cli",
            &scene.url,
            "--transport",
            "http",
            "--header",
            &format!("Authorization: Bearer {token}"),
        ]);
        let printed = run(command.args(more)).await.map_err(anyhow::Error::msg)?;
        Ok(serde_json::from_str(printed.trim())?)
    };
    let tools = inspect(&["--method", "tools/list"]).await?;
    assert_eq!(tools["tools"].as_array().map(Vec::len), Some(6), "{tools}");
    let room = format!("room={}", scene.team);
    let read = inspect(&["--method", "tools/call", "--tool-name", "room_read", "--tool-arg", &room]).await?;
    assert!(read["content"][0]["text"].as_str().is_some_and(|text| text.contains("Kingfisher-7741")), "{read}");
    Ok(())
}

/// Plays a model that looks for the tools, finds the room, searches it, and tries another room and one that is not there.
fn play(request: &RecordedRequest, other: &RoomId) -> Turn {
    let messages = request.body["messages"].as_array().cloned().unwrap_or_default();
    let results: Vec<String> = messages
        .iter()
        .filter_map(|message| message["content"].as_array())
        .flatten()
        .filter(|block| block["type"] == "tool_result")
        .map(|block| text_of(&block["content"]))
        .collect();
    let rounds = messages.iter().filter(|message| message["role"] == "assistant").count();
    let names = ["rooms", "room_search", "room_read"].map(|tool| format!("mcp__workmate__{tool}"));
    match rounds {
        0 => Turn::tool_use("ToolSearch", json!({ "query": format!("select:{}", names.join(",")), "max_results": 5 })),
        1 => Turn::tool_use(&names[0], json!({})),
        2 => {
            let rooms = results.last().map(|text| records(text)).unwrap_or_default();
            let team = rooms.iter().find(|record| record["room"]["name"] == "team").cloned().unwrap_or_default();
            Turn::tool_use(&names[1], json!({ "room": team["room"]["id"], "text": "roll back" }))
                .and_tool_use(&names[2], json!({ "room": other }))
                .and_tool_use(&names[2], json!({ "room": "!nowhere:localhost" }))
        }
        _ => {
            // The program gives the results in the order in which they came.
            let last = &results[results.len().saturating_sub(3)..];
            let (refused, found): (Vec<_>, Vec<_>) = last.iter().partition(|text| text.starts_with(NOT_THERE));
            let found: Vec<String> = found.into_iter().flat_map(|text| texts(text)).collect();
            let same = refused.len() == 2 && refused[0] == refused[1];
            let refused = refused.first().map_or("", |text| text.as_str());
            Turn::text(format!("They wrote: {}. Elsewhere: {refused} (the same: {same})", found.join(" ")))
        }
    }
}

async fn read_with_claude_code(scene: &Scene, line: &str) -> Result<()> {
    let Some(modules) = install_npm("claude-code", CLAUDE_CODE).await else { return Ok(()) };
    let programs = modules.join("node_modules/.bin");
    let native = modules.join("node_modules/@anthropic-ai/claude-code-linux-x64");
    // Where npm runs no scripts, the wrapper is not replaced by the program.
    let path = [native, programs].iter().chain(&[PathBuf::from("/usr/bin"), PathBuf::from("/bin")]).fold(
        String::new(),
        |path, part| {
            if path.is_empty() { part.display().to_string() } else { format!("{path}:{}", part.display()) }
        },
    );
    let home = tempfile::tempdir()?;
    let program = |name: &str| {
        let mut command = Command::new(name);
        command.env_clear().env("PATH", &path).env("HOME", home.path()).current_dir(home.path());
        command.env("ANTHROPIC_BASE_URL", scene.office.claude.base_url().as_str().trim_end_matches('/'));
        command.env("ANTHROPIC_API_KEY", "sk-ant-tests").env("DISABLE_AUTOUPDATER", "1");
        command.env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1");
        command
    };
    // The very line that the owner pastes.
    run(program("/bin/bash").args(["-c", line])).await.map_err(anyhow::Error::msg)?;
    let other = Arc::new(scene.other.clone());
    scene.office.claude.respond_with(move |request| play(request, &other));
    let question = "what did the team decide about the rollback?";
    let asked = ["-c", "exec claude -p \"$0\" --allowedTools mcp__workmate", question];
    let printed = run(program("/bin/bash").args(asked)).await.map_err(anyhow::Error::msg)?;
    assert!(printed.contains("Kingfisher-7741"), "{printed}");
    assert!(printed.contains(NOT_THERE) && printed.contains("the same: true"), "{printed}");
    assert!(!printed.contains("Bittern"), "{printed}");
    scene.office.claude.respond_with(|_| Turn::text("Yes."));
    Ok(())
}

/// Sixty searches of alice's at once: each is answered or refused, and bob's call beside them is answered.
async fn one_owners_calls_keep_nobody_out(scene: &Scene) -> Result<()> {
    let (_, busy) = scene.connect("busy").await?;
    let dm = scene.office.meet(&scene.bob).await?;
    let (_, bobs) = scene.connect_for(&scene.bob, &dm, "mine").await?;
    let params = json!({ "name": "room_search", "arguments": { "room": scene.team, "text": "nothing like it" } });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
    let searches = (0..60).map(|_| async {
        let call = scene.http.post(&scene.url).bearer_auth(&busy).json(&body);
        anyhow::Ok(call.header("accept", "application/json, text/event-stream").send().await?.status())
    });
    let (hers, his) = tokio::join!(futures_util::future::join_all(searches), scene.status(&bobs));
    assert_eq!(his?, StatusCode::OK);
    let hers = hers.into_iter().collect::<Result<Vec<StatusCode>>>()?;
    assert!(hers.contains(&StatusCode::OK), "{hers:?}");
    assert!(hers.iter().all(|status| [StatusCode::OK, StatusCode::TOO_MANY_REQUESTS].contains(status)), "{hers:?}");
    Ok(())
}

/// What the owner sees of it, and how it ends.
async fn ends(scene: &Scene, token: &str) -> Result<()> {
    let Scene { office, alice, bob, dm, team, .. } = scene;
    let listed = office.word(alice, dm, "!connections", "Your own programs").await?;
    assert!(listed.body().contains("laptop") && listed.body().contains("last used"), "{}", listed.body());
    let trail = office.word(alice, dm, "!trail", "What your own programs read").await?;
    assert!(
        trail.body().contains("room_search") && trail.body().contains("not allowed or not there"),
        "{}",
        trail.body()
    );
    assert!(!trail.body().contains("Kingfisher") && !trail.body().contains("ROLL"), "{}", trail.body());
    one_owners_calls_keep_nobody_out(scene).await?;
    let (_, second) = scene.connect("second").await?;
    office.word(alice, dm, "!disconnect 1", "Connection 1 has ended").await?;
    assert_eq!((scene.status(token).await?, scene.status(&second).await?), (StatusCode::UNAUTHORIZED, StatusCode::OK));

    // Who leaves a room, or is put out of it, reads nothing of it from that moment.
    let kick = json!({ "user_id": alice.user_id() });
    call_as(bob, Method::POST, &format!("_matrix/client/v3/rooms/{team}/kick"), &kick).await?;
    let (is_error, text) = scene.tool(&second, "room_read", json!({ "room": team })).await?;
    assert!(is_error && text.starts_with(NOT_THERE), "{text}");
    let (_, rooms) = scene.tool(&second, "rooms", json!({})).await?;
    assert!(!rooms.contains(team.as_str()), "{rooms}");

    office.word(alice, dm, "!forget", "What I stored about our sessions").await?;
    assert_eq!(scene.status(&second).await?, StatusCode::UNAUTHORIZED, "`!forget` ends every connection");
    let logs = office.workmate.logs();
    for hidden in [token, second.as_str(), "Kingfisher", "Bittern", "ROLL back"] {
        assert!(!logs.contains(hidden), "{hidden} is in the log");
    }
    let metrics = scene.http.get(format!("http://{}/metrics", office.slot.health_listen)).send().await?.text().await?;
    assert!(metrics.contains("workmate_connection_calls_total{outcome=\"not_there\"}"), "{metrics}");
    assert!(!metrics.contains(alice.user_id().as_str()) && !metrics.contains(team.as_str()));
    Ok(())
}
