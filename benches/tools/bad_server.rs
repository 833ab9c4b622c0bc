//! Plain answers of three Workmates in turn: one with a healthy MCP server, one whose server hangs, one whose server
//! floods.

use anyhow::Result;
use ruma::{OwnedRoomId, OwnedUserId, events::room::member::MembershipState};
use serde_json::json;
use tokio::time::{self, Duration};
use workmate::{
    cli::{
        demo::person::{Person, RoomKind, message::Message},
        say::say,
    },
    standin::{RecordedRequest, Turn},
};

use crate::{
    coworker,
    figures::{Samples, verdict},
    process::{Setup, Workmate},
    servers,
    stage::{ANSWER, Stage, ask, claude, room},
};

/// Uncounted first answers.
const WARM_UP: usize = 4;
/// Counted answers in one room; the breaker allows 30 in five minutes.
const ROOM_ANSWERS_MAX: usize = 20;
/// Runs hanging in the bad server while plain answers are measured.
const CALLS: usize = 3;
const QUIET: Duration = Duration::from_millis(300);
const GOAL: f64 = 1.2;

struct Contender {
    name: &'static str,
    user: OwnedUserId,
    samples: Samples,
    _workmate: Workmate,
}

/// Measures, and prints the figures.
pub(crate) async fn measure(answers: usize) -> Result<()> {
    let (stage, claude) = (Stage::start(3).await?, claude().await?);
    claude.respond_with(respond);
    let (alice, bob) = (stage.person("alice").await?, stage.person("bob").await?);
    let mut contenders = Vec::new();
    for (slot, name) in stage.slots.iter().zip(["well", "hang", "flood"]) {
        let limits = json!({ "room_runs_max": CALLS, "person_requests_max": 10_000, "room_requests_max": 10_000 });
        let setup = Setup::new(slot, stage.homeserver.url(), &claude.base_url()).coworkers(vec![coworker()]);
        let servers = servers(&stage.dir.path().join(name));
        let workmate = setup.section("mcp_servers", servers).section("limits", limits).start().await;
        let user = slot.coworker("oncall");
        if name != "well" {
            let room = invite(&alice, &bob, &user, name).await?;
            for _ in 0..CALLS {
                alice.send(&room, Message::text(format!("@it please {name}")).pill("@it", &user)).await?;
            }
        }
        contenders.push(Contender { name, user, samples: Samples::default(), _workmate: workmate });
    }
    let mut left = answers;
    while left > 0 {
        let now = left.min(ROOM_ANSWERS_MAX);
        let mut rooms = Vec::new();
        for contender in &contenders {
            rooms.push(invite(&alice, &bob, &contender.user, "plain").await?);
        }
        play(&alice, &rooms, &mut contenders, now).await?;
        left -= now;
    }
    print(&contenders);
    Ok(())
}

async fn invite(alice: &Person, bob: &Person, user: &OwnedUserId, name: &str) -> Result<OwnedRoomId> {
    let room = room(alice, bob, RoomKind::Encrypted, name).await?;
    alice.invite(&room, user).await?;
    alice.until_membership(&room, user, &MembershipState::Join).await?;
    Ok(room)
}

/// Plays the model: calls the bad tool when asked to.
fn respond(request: &RecordedRequest) -> Turn {
    let text = request.body["messages"].to_string();
    let asked = ["hang", "flood"].into_iter().find(|name| text.contains(&format!("please {name}")));
    match asked {
        Some(name) if !text.contains("tool_result") => Turn::tool_use(format!("bench__{name}"), json!({})),
        _ => Turn::text(ANSWER),
    }
}

async fn play(alice: &Person, rooms: &[OwnedRoomId], contenders: &mut [Contender], answers: usize) -> Result<()> {
    for round in 0..WARM_UP + answers {
        let mut order: Vec<_> = rooms.iter().zip(contenders.iter_mut()).collect();
        // Each contender follows each other one equally often.
        order.rotate_left(round % 3);
        if round % 2 == 1 {
            order.reverse();
        }
        for (room, contender) in order {
            time::sleep(QUIET).await;
            let took = ask(alice, room, &contender.user).await?;
            if round >= WARM_UP {
                contender.samples.push(took.to_read);
            }
        }
    }
    Ok(())
}

fn print(contenders: &[Contender]) {
    for contender in contenders {
        say(format!("  {:<6} {}", contender.name, contender.samples));
    }
    let Some((well, bad)) = contenders.split_first() else { return };
    for contender in bad {
        let over = |percent| contender.samples.percentile_ms(percent) / well.samples.percentile_ms(percent);
        let reached = verdict(over(95), GOAL);
        say(format!(
            "  {:<6} over well: median {:.2}, p95 {:.2} (goal {GOAL}: {reached})",
            contender.name,
            over(50),
            over(95)
        ));
    }
}
