//! What computing adds to a round: the time from one request to the next, with code and its files in between and without.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use ruma::{OwnedRoomId, events::room::member::MembershipState};
use serde_json::{Value, json};
use tokio::time::{Duration, Instant};
use workmate::{
    cli::{
        demo::person::{Person, RoomKind, file::SentFile, message::Message, timeline::Timeline},
        say::say,
    },
    standin::{RecordedRequest, Turn},
};

use crate::{
    coworker,
    figures::{Samples, verdict},
    process::Setup,
    stage::{ANSWER, Stage, claude, room},
};

/// Pauses of the provider in one run, each of which makes a round.
const ROUNDS: usize = 4;
/// What code prints in a round, in bytes.
const PRINTED_BYTES: usize = 20_000;
const GOAL_MS: f64 = 10.0;
const KINDS: [&str; 2] = ["pause", "compute"];

/// The last request, and the samples by kind.
#[derive(Default)]
struct Figures {
    last: Option<Instant>,
    samples: [Samples; 2],
}

/// Measures, and prints the figures.
pub(crate) async fn measure(runs: usize) -> Result<()> {
    let (stage, claude) = (Stage::start(1).await?, claude().await?);
    let figures = Arc::new(Mutex::new(Figures::default()));
    let kept = figures.clone();
    claude.respond_with(move |request| respond(request, &mut kept.lock().unwrap_or_else(PoisonError::into_inner)));
    let slot = &stage.slots[0];
    let mut it = coworker();
    it["tools"] = json!(["code_execution"]);
    let limits = json!({ "run_tokens_max": 100_000_000, "person_requests_max": 10_000, "room_requests_max": 10_000 });
    let setup = Setup::new(slot, stage.homeserver.url(), &claude.base_url()).coworkers(vec![it]);
    let _workmate = setup.section("limits", limits).start().await;
    let (alice, bob) = (stage.person("alice").await?, stage.person("bob").await?);
    let oncall = slot.coworker("oncall");
    let room = room(&alice, &bob, RoomKind::Encrypted, "computing").await?;
    alice.invite(&room, &oncall).await?;
    alice.until_membership(&room, &oncall, &MembershipState::Join).await?;
    let table = SentFile::new("data.csv", "text/csv", "month,revenue\n".repeat(5_000).into_bytes());
    alice.send_file(&room, &table, None).await?;
    // Each kind's first run warms up.
    for run in 0..=runs {
        for kind in KINDS {
            ask(&alice, &room, &oncall, kind).await?;
        }
        if run == 0 {
            *figures.lock().unwrap_or_else(PoisonError::into_inner) = Figures::default();
        }
    }
    print(&figures.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(())
}

async fn ask(alice: &Person, room: &OwnedRoomId, oncall: &ruma::UserId, kind: &str) -> Result<()> {
    let question = Message::text(format!("@it please {kind}")).pill("@it", oncall);
    let request = alice.send(room, question).await?;
    let find = |seen: &Timeline| Some(seen.answer(&request, oncall, alice.user_id())?.body().contains(ANSWER));
    anyhow::ensure!(alice.until(room, "the answer behind the rounds", find).await?, "the run ended otherwise");
    Ok(())
}

/// Plays the model; each request after a round gives a sample.
fn respond(request: &RecordedRequest, figures: &mut Figures) -> Turn {
    let now = Instant::now();
    let messages = request.body["messages"].as_array().cloned().unwrap_or_default();
    let asked = messages.iter().map(Value::to_string).collect::<String>();
    let at = |kind: &str| asked.rfind(&format!("please {kind}"));
    let kind = usize::from(at("compute") > at("pause"));
    let asked_last = messages.iter().rposition(|message| message.to_string().contains("please "));
    let rounds = messages.len() - asked_last.map_or(messages.len(), |at| at + 1);
    let last = figures.last.replace(now);
    if rounds > 0
        && let Some(last) = last
    {
        let took: Duration = now - last;
        figures.samples[kind].push(took);
    }
    if rounds >= ROUNDS {
        return Turn::text(ANSWER);
    }
    let turn = if kind == 1 {
        Turn::empty().and_code(&format!("srvtoolu_{rounds}"), "print(table)", &"x".repeat(PRINTED_BYTES), &[])
    } else {
        Turn::text("So far. ")
    };
    turn.stop_reason("pause_turn")
}

fn print(figures: &Figures) {
    for (kind, samples) in KINDS.iter().zip(&figures.samples) {
        say(format!("  {kind:<8} {samples}"));
    }
    let [paused, computed] = &figures.samples;
    let added = computed.median_ms() - paused.median_ms();
    say(format!("  computing adds {added:.1} ms a round   (goal {GOAL_MS} ms: {})", verdict(added, GOAL_MS)));
}
