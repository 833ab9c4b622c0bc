//! Time from question to answer; contenders take turns, so that noise affects all of them.

use std::path::PathBuf;

use anyhow::Result;
use ruma::{OwnedRoomId, OwnedUserId, events::room::member::MembershipState};
use serde_json::json;
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

/// Uncounted first questions in a room, in which keys are shared and history is read.
const WARM_UP: usize = 4;
/// Counted questions in one room; the breaker allows 30 in five minutes.
const ROOM_ROUNDS_MAX: usize = 20;
/// The pause after each answer, so that its aftermath (receipts, typing, stores) disturbs nobody else.
const QUIET: Duration = Duration::from_millis(400);
const GOALS: [(RoomKind, f64); 2] = [(RoomKind::Plain, 1.3), (RoomKind::Encrypted, 1.6)];

struct Contender {
    name: &'static str,
    user: OwnedUserId,
    /// From sending the question to reading the answer.
    to_read: Samples,
    /// The part between the homeserver's accepting the question and the answer.
    in_between: Samples,
}

impl Contender {
    fn new(name: &'static str, user: OwnedUserId) -> Self {
        Self { name, user, to_read: Samples::default(), in_between: Samples::default() }
    }
}

/// Measures both kinds of room and prints the figures; `against` is another build of Workmate.
pub(crate) async fn measure(rounds: usize, against: Option<PathBuf>) -> Result<()> {
    let (stage, claude) = (Stage::start(4).await?, claude().await?);
    let (homeserver, slots) = (stage.homeserver.url(), &stage.slots);
    let empty = Baseline::empty(&stage, &slots[0]).await?;
    let sdk = Baseline::sdk(&stage, &slots[1]).await?;
    let setup = |slot| {
        // The bench asks far more than a real person.
        let limits = json!({ "person_requests_max": 10_000, "room_requests_max": 10_000 });
        Setup::new(slot, homeserver, &claude.base_url()).section("limits", limits)
    };
    let _workmate = setup(&slots[2]).start().await;
    let other = match &against {
        Some(program) => Some(setup(&slots[3]).program(program.clone()).start().await),
        None => None,
    };
    let (alice, bob) = (stage.person("alice").await?, stage.person("bob").await?);
    for (kind, goal) in GOALS {
        let mut contenders = vec![
            Contender::new("empty", empty.user().to_owned()),
            Contender::new("sdk only", sdk.user().to_owned()),
            Contender::new("workmate", slots[2].coworker("oncall")),
        ];
        if other.is_some() {
            contenders.push(Contender::new("against", slots[3].coworker("oncall")));
        }
        let mut left = rounds;
        while left > 0 {
            let now = left.min(ROOM_ROUNDS_MAX);
            let rooms = rooms(&alice, &bob, kind, &contenders, &[&empty, &sdk]).await?;
            play(&alice, &rooms, &mut contenders, now).await?;
            left -= now;
        }
        print(kind, goal, &contenders);
    }
    Ok(())
}

/// Makes a room for each contender, so that none handles another's questions.
async fn rooms(
    alice: &Person,
    bob: &Person,
    kind: RoomKind,
    contenders: &[Contender],
    baselines: &[&Baseline],
) -> Result<Vec<OwnedRoomId>> {
    let mut rooms = Vec::new();
    for contender in contenders {
        let room = room(alice, bob, kind, contender.name).await?;
        alice.invite(&room, &contender.user).await?;
        if let Some(baseline) = baselines.iter().find(|baseline| baseline.user() == contender.user) {
            Box::pin(baseline.join(&room)).await?;
        }
        alice.until_membership(&room, &contender.user, &MembershipState::Join).await?;
        rooms.push(room);
    }
    Ok(rooms)
}

async fn play(alice: &Person, rooms: &[OwnedRoomId], contenders: &mut [Contender], rounds: usize) -> Result<()> {
    for round in 0..WARM_UP + rounds {
        // Reverse the order in every other round, so that the empty one does not always follow Workmate.
        let mut order: Vec<_> = rooms.iter().zip(contenders.iter_mut()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for (room, contender) in order {
            time::sleep(QUIET).await;
            let took = ask(alice, room, &contender.user).await?;
            if round >= WARM_UP {
                contender.to_read.push(took.to_read);
                contender.in_between.push(took.in_between);
            }
        }
    }
    Ok(())
}

fn print(kind: RoomKind, goal: f64, contenders: &[Contender]) {
    say(format!("\n{kind:?} room"));
    let Some((empty, others)) = contenders.split_first() else { return };
    for contender in contenders {
        let in_between = contender.in_between.median_ms();
        say(format!(
            "  {:<9} {}   of it between question and answer {in_between:5.0} ms",
            contender.name, contender.to_read
        ));
    }
    for contender in others {
        let over = |percent| contender.to_read.percentile_ms(percent) / empty.to_read.percentile_ms(percent);
        let goal = match contender.name {
            "workmate" => format!("   (goal {goal}: {})", verdict(over(50), goal)),
            _ => String::new(),
        };
        say(format!("  {:<9} over empty: median {:.2}, p95 {:.2}{goal}", contender.name, over(50), over(95)));
    }
}
