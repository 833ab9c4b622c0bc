//! The requests that Workmate makes for one answer in a warm room, recorded by a relay before the homeserver.

use anyhow::Result;
use ruma::events::room::member::MembershipState;
use tokio::time::{self, Duration, Instant};
use workmate::cli::{demo::person::RoomKind, say::say};

use crate::{
    process::Setup,
    stage::{Stage, ask, claude, room},
    tap::{Passed, Tap},
};

/// The goal: most requests for one answer in a warm room.
const REQUESTS_MAX: usize = 6;
const WARM_UP: usize = 4;
const QUIET: Duration = Duration::from_secs(1);

/// Prints the requests for one answer, in a plain and in an encrypted room.
pub(crate) async fn trace() -> Result<()> {
    let (stage, claude) = (Stage::start(1).await?, claude().await?);
    let tap = Tap::start(stage.homeserver.url()).await?;
    let _workmate = Setup::new(&stage.slots[0], &tap.url, &claude.base_url()).start().await;
    let (alice, bob) = (stage.person("alice").await?, stage.person("bob").await?);
    let coworker = stage.slots[0].coworker("oncall");
    for kind in [RoomKind::Plain, RoomKind::Encrypted] {
        let room = room(&alice, &bob, kind, "warm").await?;
        alice.invite(&room, &coworker).await?;
        alice.until_membership(&room, &coworker, &MembershipState::Join).await?;
        for _ in 0..WARM_UP {
            ask(&alice, &room, &coworker).await?;
            time::sleep(QUIET).await;
        }
        tap.take();
        let asked = Instant::now();
        let took = ask(&alice, &room, &coworker).await?.to_read;
        time::sleep(QUIET).await;
        print(kind, asked, took, &tap.take());
    }
    Ok(())
}

fn print(kind: RoomKind, asked: Instant, took: Duration, passed: &[Passed]) {
    let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
    say(format!("\n{kind:?} room, from the person's send to the answer read: {:.1} ms", ms(took)));
    for request in passed {
        let began = request.began.saturating_duration_since(asked);
        say(format!("  at {:6.1} ms for {:5.1} ms  {}", ms(began), ms(request.took), request.what));
    }
    let verdict = if passed.len() <= REQUESTS_MAX { "reached" } else { "missed" };
    say(format!("  {} requests (goal {REQUESTS_MAX}: {verdict})", passed.len()));
}
