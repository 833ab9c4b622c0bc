//! The calls between Workmate and the homeserver for one assistant, recorded by a relay between them.

use anyhow::{Context as _, Result};
use tokio::time::{self, Duration, Instant};
use workmate::cli::say::say;

use crate::{
    kernel::{self, Load},
    owners,
    process::Setup,
    stage::{Stage, claude},
    tap::{Passed, Tap},
};

const QUIET: Duration = Duration::from_secs(2);

/// Prints the calls for making an assistant, and for one answer when it is idle, live, and idle again.
pub(crate) async fn trace() -> Result<()> {
    let (stage, claude) = (Stage::start(1).await?, claude().await?);
    let tap = Tap::start(stage.homeserver.url()).await?;
    let mut workmate = Setup::new(&stage.slots[0], &tap.url, &claude.base_url()).start().await;
    let homeserver = kernel::process_in(&stage.dir.path().join("homeserver"))?;
    // The first one makes Synapse load and compile what it needs.
    for number in 0..2 {
        let people = owners::people(&stage, number, 1).await?;
        time::sleep(QUIET).await;
        let pid = workmate.pid().context("workmate runs")?;
        let load = Load::of(&[("workmate", pid), ("Synapse", homeserver)])?;
        tap.take();
        let began = Instant::now();
        let owners = owners::provision(people, workmate.slot()).await?;
        let took = began.elapsed();
        let told = load.so_far()?;
        time::sleep(QUIET).await;
        print(&format!("assistant {number} made, {told}"), began, took, &tap.take());
        owners::meet(&owners).await?;
        for what in ["live", "live again"] {
            time::sleep(QUIET).await;
            ask(&tap, &owners[0], what).await?;
        }
        for what in ["idle", "idle again"] {
            workmate.stop().await;
            workmate.start_again().await;
            time::sleep(QUIET).await;
            ask(&tap, &owners[0], what).await?;
        }
    }
    workmate.stop().await;
    Ok(())
}

async fn ask(tap: &Tap, owner: &owners::Owner, what: &str) -> Result<()> {
    tap.take();
    let began = Instant::now();
    let took = owner.ask().await?;
    time::sleep(QUIET).await;
    print(&format!("an answer, {what}"), began, took, &tap.take());
    Ok(())
}

fn print(what: &str, began: Instant, took: Duration, passed: &[Passed]) {
    let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
    say(format!("\n{what}: {:.1} ms, {} requests", ms(took), passed.len()));
    for request in passed {
        let at = request.began.saturating_duration_since(began);
        say(format!("  at {:6.1} ms for {:5.1} ms  {}", ms(at), ms(request.took), request.what));
    }
}
