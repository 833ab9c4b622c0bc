//! What an owner's own program waits for in a large room (A13), and what that takes of memory.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;
use ruma::{OwnedRoomId, RoomId, UserId, events::room::member::MembershipState};
use serde_json::{Value, json};
use tokio::time::{self, Duration, Instant};
use workmate::cli::{
    demo::{
        homeserver::free_port,
        person::{Person, RoomKind, message::Message, timeline::Timeline},
    },
    say::{complain, say},
};

use crate::{
    figures::{Samples, verdict},
    process::{Setup, Workmate},
    stage::{Stage, claude, room},
};

/// The goal: the median time of a search's first page.
const FIRST_PAGE_MS: f64 = 300.0;
/// The goal: by how much memory grows while the whole room is searched twice.
const GROWTH_MB: f64 = 8.0;
/// The word that is searched for stands in one message of so many.
const EVERY: usize = 1_000;
/// Messages of the encrypted room: more than a first page reads.
const ENCRYPTED: usize = 300;
/// Programs that read at once at last.
const AT_ONCE: usize = 8;
/// The word that is searched for.
const FOUND: &str = "kingfisher";

/// A person with a program that reads as them.
struct Desk {
    http: reqwest::Client,
    url: String,
    token: String,
    workmate: Workmate,
}

/// Fills a room with so many events, and prints the times of first pages, of the whole room, and the memory.
pub(crate) async fn measure(events: usize, rounds: usize) -> Result<()> {
    let (mut stage, claude) = (Stage::start(1).await?, claude().await?);
    let address = free_port()?.local_addr()?;
    let setup = Setup::new(&stage.slots[0], stage.homeserver.url(), &claude.base_url());
    let mut workmate = setup.section("mcp_listen", json!(address)).start().await;
    let (alice, bob) = (stage.person("alice").await?, stage.person("bob").await?);
    let oncall = stage.slots[0].coworker("oncall");
    let [large, sealed] = [room_with(&alice, &bob, &oncall, RoomKind::Plain).await?, {
        let sealed = room_with(&alice, &bob, &oncall, RoomKind::Encrypted).await?;
        for number in 0..ENCRYPTED {
            let word = if number % 100 == 0 { FOUND } else { "heron" };
            bob.send(&sealed, Message::text(format!("Message {number}: the {word} waits by the river."))).await?;
        }
        sealed
    }];
    alice.send(&large, "the last message by hand").await?;
    let token = connect(&alice, &stage.slots[0].assistant("alice")).await?;
    workmate.stop().await;
    fill(&mut stage, &large, events).await?;
    workmate.start_again().await;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let mut desk = Desk { http, url: format!("http://{address}/mcp"), token, workmate };
    say(format!("  a plain room of {events} events, and an encrypted one of {ENCRYPTED}"));
    for (what, room, word) in [
        ("search, plain room", &large, FOUND),
        ("search for what is nowhere, plain room", &large, "nowhere"),
        ("search, encrypted room", &sealed, FOUND),
    ] {
        let arguments = json!({ "room": room, "text": word });
        let times = desk.times("room_search", &arguments, rounds).await?;
        let goal = verdict(times.median_ms(), FIRST_PAGE_MS);
        say(format!("  {what}, first page: {times}   (goal {FIRST_PAGE_MS} ms: {goal})"));
    }
    let (calls, took) = desk.search_until_found(&large).await?;
    say(format!("  until the first is found, up to {EVERY} events back: {calls} calls, {} ms", took.as_millis()));
    for (tool, arguments) in [("room_read", json!({ "room": large })), ("rooms", json!({}))] {
        say(format!("  {tool}: {}", desk.times(tool, &arguments, rounds).await?));
    }
    let before = desk.resident_mb()?;
    for _ in 0..2 {
        let (calls, found, took) = desk.search_whole(&large).await?;
        ensure!(found == events.div_ceil(EVERY), "{found} messages are found");
        say(format!("  the whole room: {calls} calls, {:.1} s, {found} found", took.as_secs_f64()));
    }
    let reads = (0..AT_ONCE).map(|_| desk.search_from(&large, None));
    try_join_all(reads).await?;
    let grew = desk.resident_mb()? - before;
    let goal = verdict(grew, GROWTH_MB);
    say(format!("  memory: {before:.1} MB, behind all of it {grew:+.1} MB (goal {GROWTH_MB:+} MB: {goal})"));
    desk.workmate.stop().await;
    claude.shutdown().await;
    Ok(())
}

async fn room_with(alice: &Person, bob: &Person, oncall: &UserId, kind: RoomKind) -> Result<OwnedRoomId> {
    let room = room(alice, bob, kind, "large").await?;
    alice.invite(&room, oncall).await?;
    alice.until_membership(&room, oncall, &MembershipState::Join).await?;
    Ok(room)
}

/// Has a person write `!connect`, and returns the token.
async fn connect(owner: &Person, assistant: &UserId) -> Result<String> {
    owner.create_dm(assistant).await?;
    let dm = owner.until_invited_by(assistant).await?;
    owner.join(&dm).await?;
    let begins = |words: &'static str| {
        move |seen: &Timeline| seen.messages_of(assistant).find(|said| said.body().contains(words)).cloned()
    };
    owner.until(&dm, "the first words", begins("assistant")).await?;
    owner.send(&dm, "!connect bench").await?;
    let shown = owner.until(&dm, "the token", begins("Bearer ")).await?;
    let token = shown.body().split("Bearer ").nth(1).and_then(|rest| rest.split('"').next()).context("a token")?;
    Ok(token.to_owned())
}

/// Writes events into the database of the stopped homeserver: sending them would take an hour.
async fn fill(stage: &mut Stage, room: &RoomId, events: usize) -> Result<()> {
    stage.homeserver.stop().await?;
    let began = Instant::now();
    let python = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("synapse-venv").join("bin/python");
    let mut filling = Command::new(python);
    filling.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/overhead/fill.py"));
    filling.arg(stage.dir.path().join("homeserver/homeserver.db")).arg(room.as_str());
    filling.args([events.to_string(), EVERY.to_string()]).stdin(Stdio::null());
    let status = tokio::task::spawn_blocking(move || filling.status()).await??;
    ensure!(status.success(), "the room cannot be filled: {status}");
    say(format!("  filled in {:.0} s", began.elapsed().as_secs_f64()));
    stage.homeserver.start_again(&complain).await
}

impl Desk {
    /// Calls a tool; returns the head of its answer. Waits where it is told to.
    async fn call(&self, tool: &str, arguments: &Value) -> Result<Value> {
        let params = json!({ "name": tool, "arguments": arguments });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
        loop {
            let call = self.http.post(&self.url).bearer_auth(&self.token).json(&body);
            let answer = call.header("accept", "application/json, text/event-stream").send().await?;
            if answer.status() == reqwest::StatusCode::TOO_MANY_REQUESTS {
                time::sleep(Duration::from_secs(1)).await;
                continue;
            }
            let answer: Value = answer.error_for_status()?.json().await?;
            let text = answer["result"]["content"][0]["text"].as_str().context("text")?;
            if answer["result"]["isError"] == true {
                ensure!(text.contains("Wait"), "{tool}: {text}");
                time::sleep(Duration::from_secs(1)).await;
                continue;
            }
            return Ok(serde_json::from_str(text.lines().next().context("a head")?)?);
        }
    }

    async fn times(&self, tool: &str, arguments: &Value, rounds: usize) -> Result<Samples> {
        self.call(tool, arguments).await?;
        let mut times = Samples::default();
        for _ in 0..rounds {
            // Slow enough not to be held up for calling too fast.
            time::sleep(Duration::from_millis(550)).await;
            let began = Instant::now();
            self.call(tool, arguments).await?;
            times.push(began.elapsed());
        }
        Ok(times)
    }

    /// Searches on from a cursor; returns how many are found, and the next one.
    async fn search_from(&self, room: &RoomId, cursor: Option<&Value>) -> Result<(usize, Option<Value>)> {
        let mut arguments = json!({ "room": room, "text": FOUND });
        if let Some(cursor) = cursor {
            arguments["cursor"] = cursor.clone();
        }
        let head = self.call("room_search", &arguments).await?;
        let found = head["here"].as_u64().and_then(|here| usize::try_from(here).ok()).context("a count")?;
        Ok((found, head.get("next").filter(|next| next.is_string()).cloned()))
    }

    async fn search_until_found(&self, room: &RoomId) -> Result<(usize, Duration)> {
        let (began, mut calls, mut cursor) = (Instant::now(), 0, None);
        loop {
            let (found, next) = self.search_from(room, cursor.as_ref()).await?;
            calls += 1;
            if found > 0 {
                return Ok((calls, began.elapsed()));
            }
            cursor = Some(next.context("it is there")?);
        }
    }

    async fn search_whole(&self, room: &RoomId) -> Result<(usize, usize, Duration)> {
        let (began, mut calls, mut found, mut cursor) = (Instant::now(), 0, 0, None);
        loop {
            let (here, next) = self.search_from(room, cursor.as_ref()).await?;
            (calls, found) = (calls + 1, found + here);
            match next {
                Some(next) => cursor = Some(next),
                None => return Ok((calls, found, began.elapsed())),
            }
        }
    }

    fn resident_mb(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.workmate.pid().context("it runs")?))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
        let kb: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kb / 1024.0)
    }
}
