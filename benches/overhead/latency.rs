//! Time from question to answer, contenders in turn, so that noise hits all of them.

use anyhow::Result;
use ruma::{OwnedRoomId, OwnedUserId, events::room::member::MembershipState};
use tokio::time::{self, Duration};
use workmate::cli::{
    demo::person::{Person, RoomKind},
    say::say,
};

use crate::{
    baseline::Baseline,
    figures::{Samples, verdict},
    process::Setup,
    stage::{Stage, ask, claude, room},
};

/// Questions in one room that are not counted: keys are shared and history is read with the first.
const WARM_UP: usize = 4;
/// Counted questions in one room; the rate breaker takes 30 in five minutes.
const ROOM_ROUNDS_MAX: usize = 20;
/// The pause after each answer, so that what comes behind it (receipts, typing, stores) disturbs nobody else.
const QUIET: Duration = Duration::from_millis(250);
const GOALS: [(RoomKind, f64); 2] = [(RoomKind::Plain, 1.3), (RoomKind::Encrypted, 1.6)];

struct Contender {
    name: &'static str,
    user: OwnedUserId,
    samples: Samples,
}

/// Measures both room kinds and prints the figures.
pub(crate) async fn measure(rounds: usize) -> Result<()> {
    let (stage, claude) = (Stage::start(3).await?, claude().await?);
    let empty = Baseline::empty(&stage, &stage.slots[0]).await?;
    let sdk = Baseline::sdk(&stage, &stage.slots[1]).await?;
    let _workmate = Setup::new(&stage.slots[2], stage.homeserver.url(), &claude.base_url()).start().await;
    let (alice, bob) = (stage.person("alice").await?, stage.person("bob").await?);
    for (kind, goal) in GOALS {
        let users = [
            ("empty", empty.user().to_owned()),
            ("sdk only", sdk.user().to_owned()),
            ("workmate", stage.slots[2].coworker("oncall")),
        ];
        let mut contenders = users.map(|(name, user)| Contender { name, user, samples: Samples::default() });
        let mut left = rounds;
        while left > 0 {
            let now = left.min(ROOM_ROUNDS_MAX);
            let rooms = rooms(&alice, &bob, kind, &contenders, [Some(&*empty), Some(&*sdk), None]).await?;
            play(&alice, &rooms, &mut contenders, now).await?;
            left -= now;
        }
        print(kind, goal, &contenders);
    }
    Ok(())
}

/// Makes a room for each contender, so that nobody handles another's questions.
async fn rooms(
    alice: &Person,
    bob: &Person,
    kind: RoomKind,
    contenders: &[Contender],
    baselines: [Option<&Baseline>; 3],
) -> Result<Vec<OwnedRoomId>> {
    let mut rooms = Vec::new();
    for (contender, baseline) in contenders.iter().zip(baselines) {
        let room = room(alice, bob, kind, contender.name).await?;
        alice.invite(&room, &contender.user).await?;
        if let Some(baseline) = baseline {
            Box::pin(baseline.join(&room)).await?;
        }
        alice.until_membership(&room, &contender.user, &MembershipState::Join).await?;
        rooms.push(room);
    }
    Ok(rooms)
}

async fn play(alice: &Person, rooms: &[OwnedRoomId], contenders: &mut [Contender], rounds: usize) -> Result<()> {
    for round in 0..WARM_UP + rounds {
        for (room, contender) in rooms.iter().zip(contenders.iter_mut()) {
            time::sleep(QUIET).await;
            let took = ask(alice, room, &contender.user).await?;
            if round >= WARM_UP {
                contender.samples.push(took);
            }
        }
    }
    Ok(())
}

fn print(kind: RoomKind, goal: f64, contenders: &[Contender]) {
    say(format!("\n{kind:?} room"));
    for contender in contenders {
        say(format!("  {:<9} {}", contender.name, contender.samples));
    }
    let [empty, sdk, workmate] = contenders else { return };
    let over = |percent| workmate.samples.percentile_ms(percent) / empty.samples.percentile_ms(percent);
    let verdict = verdict(over(50), goal);
    say(format!(
        "  workmate over empty: median {:.2} (goal {goal}: {verdict}), p95 {:.2}; sdk only over empty: median {:.2}",
        over(50),
        over(95),
        sdk.samples.median_ms() / empty.samples.median_ms(),
    ));
}
