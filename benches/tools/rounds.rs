//! The time from a round's last result, by the server's clock, to the next request to the model, by the stand-in's.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Result;
use ruma::{OwnedRoomId, events::room::member::MembershipState};
use serde_json::{Value, json};
use tokio::time::Duration;
use workmate::{
    cli::{
        demo::person::{Person, RoomKind, message::Message, timeline::Timeline},
        say::say,
    },
    standin::{RecordedRequest, Turn},
};

use crate::{
    coworker,
    figures::{Samples, verdict},
    process::Setup,
    servers,
    stage::{ANSWER, Stage, claude, room},
};

/// Rounds of one run, alternating between one call and eight calls.
const ROUNDS: usize = 20;
const MANY: usize = 8;
const GOAL_MS: f64 = 5.0;
const TOOLS: [&str; 2] = ["read", "write"];

/// Samples by tool and by number of calls.
#[derive(Default)]
struct Figures([[Samples; 2]; 2]);

/// Measures, and prints the figures.
pub(crate) async fn measure(runs: usize) -> Result<()> {
    let (stage, claude) = (Stage::start(1).await?, claude().await?);
    let times = stage.dir.path().join("times");
    let figures = Arc::new(Mutex::new(Figures::default()));
    let (noted, kept) = (times.clone(), figures.clone());
    claude.respond_with(move |request| respond(request, &noted, &kept));
    let slot = &stage.slots[0];
    let limits = json!({ "tool_rounds_max": 200, "run_tokens_max": 100_000_000, "person_requests_max": 10_000, "room_requests_max": 10_000 });
    let setup = Setup::new(slot, stage.homeserver.url(), &claude.base_url()).coworkers(vec![coworker()]);
    let _workmate = setup.section("mcp_servers", servers(&times)).section("limits", limits).start().await;
    let (alice, bob) = (stage.person("alice").await?, stage.person("bob").await?);
    let oncall = slot.coworker("oncall");
    let room = room(&alice, &bob, RoomKind::Encrypted, "tools").await?;
    alice.invite(&room, &oncall).await?;
    alice.until_membership(&room, &oncall, &MembershipState::Join).await?;
    // Each tool's first run warms up: keys are shared, the server starts.
    for run in 0..=runs {
        for tool in TOOLS {
            ask(&alice, &room, &oncall, tool).await?;
        }
        if run == 0 {
            *figures.lock().unwrap_or_else(PoisonError::into_inner) = Figures::default();
        }
    }
    print(&figures.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(())
}

async fn ask(alice: &Person, room: &OwnedRoomId, oncall: &ruma::UserId, tool: &str) -> Result<()> {
    let question = Message::text(format!("@it please use {tool}")).pill("@it", oncall);
    let request = alice.send(room, question).await?;
    let find = |seen: &Timeline| Some(seen.answer(&request, oncall, alice.user_id())?.body() == ANSWER);
    anyhow::ensure!(alice.until(room, "the answer behind the rounds", find).await?, "the run ended otherwise");
    Ok(())
}

/// Plays the model; each request after a round gives a sample.
fn respond(request: &RecordedRequest, times: &Path, figures: &Mutex<Figures>) -> Turn {
    let now = jiff::Timestamp::now().as_nanosecond();
    let messages = request.body["messages"].as_array().cloned().unwrap_or_default();
    let is_round = |message: &&Value| message["content"][0]["type"] == "tool_result";
    let rounds = messages.iter().filter(is_round).count();
    let asked: String = messages.iter().filter(|message| !is_round(message)).map(ToString::to_string).collect();
    let at = |tool: &str| asked.rfind(&format!("please use {tool}"));
    let tool = usize::from(at("write") > at("read"));
    if rounds > 0 {
        let calls = usize::from(rounds % 2 == 0);
        if let Some(last) = last_time(times) {
            let took = Duration::from_nanos(u64::try_from(now - last).unwrap_or_default());
            figures.lock().unwrap_or_else(PoisonError::into_inner).0[tool][calls].push(took);
        }
    }
    if rounds == ROUNDS {
        return Turn::text(ANSWER);
    }
    let calls = if rounds % 2 == 0 { 1 } else { MANY };
    let name = format!("bench__{}", TOOLS[tool]);
    (0..calls).fold(Turn::empty(), |turn, n| turn.and_tool_use(&name, json!({ "n": n })))
}

/// Returns when the server wrote its last result.
fn last_time(times: &Path) -> Option<i128> {
    fs::read_to_string(times).ok()?.lines().last()?.parse().ok()
}

fn print(figures: &Figures) {
    for (tool, samples) in TOOLS.iter().zip(&figures.0) {
        for (calls, samples) in [1, MANY].iter().zip(samples) {
            let median = samples.median_ms();
            say(format!("  {tool:<5} {calls} at once: {samples}   (goal {GOAL_MS} ms: {})", verdict(median, GOAL_MS)));
        }
    }
}
