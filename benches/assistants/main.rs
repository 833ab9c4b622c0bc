//! What many assistants cost: waking idle ones at once, memory, open clients, and how fast they are made.
//!
//! `cargo bench --bench assistants` runs everything; `-- --help` names what can be changed. How to read the figures, and
//! what was reached, is in `benches/README.md`.
#![recursion_limit = "256"]

#[path = "../overhead/figures.rs"]
mod figures;
mod kernel;
mod owners;
#[path = "../../tests/it/harness/workmate.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod process;
mod records;
mod requests;
#[path = "../../tests/it/harness/slot.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod slot;
#[path = "../overhead/stage.rs"]
#[allow(dead_code, reason = "the other bench uses more of it")]
mod stage;
#[path = "../overhead/tap.rs"]
mod tap;

use anyhow::{Context as _, Result};
use clap::Parser;
use serde_json::json;
use tokio::time::{self, Duration, Instant};
use workmate::cli::say::say;

use crate::{
    figures::{Samples, verdict},
    kernel::Busy,
    owners::Owner,
    process::{Setup, Workmate},
    stage::{Stage, claude},
};

/// Idle over live, time to the first visible text.
const RATIO_MAX: f64 = 1.5;
/// The time after which what comes behind answers (receipts, stores) disturbs nobody.
const QUIET: Duration = Duration::from_secs(3);

/// Wakes idle assistants and compares them with live ones, in one run.
#[derive(Debug, Parser)]
struct Args {
    /// Owners on disk: their records are written straight into the store, beside those of the live ones.
    #[arg(long, default_value_t = 10_000)]
    owners: usize,
    /// Owners with a client and an assistant on the homeserver, who all write within the window; at least 2.
    #[arg(long, default_value_t = 20)]
    live: usize,
    /// The window, in seconds.
    #[arg(long, default_value_t = 10)]
    window: u32,
    /// `limits.assistants_live_max`.
    #[arg(long, default_value_t = 64)]
    open_max: usize,
    /// Instead of all that: what passes between Workmate and the homeserver for one assistant's making, and for one
    /// answer of an idle and of a live one.
    #[arg(long)]
    requests: bool,
    /// Given by `cargo bench`; without it nothing is measured, for `cargo test --all-targets` runs benches too.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    if !args.bench {
        say("nothing is measured without --bench, which `cargo bench` gives");
        return Ok(());
    }
    if args.requests {
        return requests::trace().await;
    }
    anyhow::ensure!(args.live >= 2 && args.window >= 1 && args.open_max >= 1, "nothing can be compared with that few");
    let (stage, claude) = (Stage::start(1).await?, claude().await?);
    let setup = Setup::new(&stage.slots[0], stage.homeserver.url(), &claude.base_url())
        .section("limits", json!({"assistants_live_max": args.open_max}))
        .section("log", json!({"filter": "workmate=debug"}));
    let mut workmate = setup.start().await;
    let owners = provision(&stage, &workmate, args.live).await?;
    workmate.stop().await;
    let wrote = records::write(&workmate, args.owners).await?;
    say(format!("\n{} owners' records written in {:.1} s", args.owners, wrote.as_secs_f64()));
    let began = Instant::now();
    workmate.start_again().await;
    say(format!("  the start with them took {:.1} s", began.elapsed().as_secs_f64()));
    wake(&args, &workmate, &owners).await?;
    workmate.stop().await;
    Ok(())
}

/// Lets each owner have an assistant, and says how fast that goes and who is busy with it.
async fn provision(stage: &Stage, workmate: &Workmate, live: usize) -> Result<Vec<Owner>> {
    let people = owners::people(stage, 0, live).await?;
    let homeserver = kernel::process_in(&stage.dir.path().join("homeserver"))?;
    let ours = workmate.pid().context("workmate runs")?;
    let (busy, theirs) = (Busy::of(ours)?, Busy::of(homeserver)?);
    let began = Instant::now();
    let owners = owners::provision(people, workmate.slot()).await?;
    let took = began.elapsed();
    say(format!(
        "\n{live} assistants made in {:.1} s, {} at once: {:.1} a minute",
        took.as_secs_f64(),
        owners::AT_ONCE,
        60.0 * count(live) / took.as_secs_f64()
    ));
    say(format!(
        "  of one core, meanwhile: Synapse {:.0} %, workmate {:.0} %",
        100.0 * theirs.since()?.as_secs_f64() / took.as_secs_f64(),
        100.0 * busy.since()?.as_secs_f64() / took.as_secs_f64()
    ));
    owners::meet(&owners).await?;
    Ok(owners)
}

/// Has all write while their assistants are idle, and then those again whose assistants are live, at the same pace.
async fn wake(args: &Args, workmate: &Workmate, owners: &[Owner]) -> Result<()> {
    let pid = workmate.pid().context("workmate runs")?;
    time::sleep(QUIET).await;
    let before_kb = kernel::resident_kb(pid)?;
    let gap = Duration::from_secs(u64::from(args.window)) / u32::try_from(owners.len())?;
    let opened_before = opened(&workmate.logs()).count();
    let idle = owners::ask_all(owners, gap).await?;
    let log = workmate.logs();
    say(format!("\n{} messages opened {} clients", owners.len(), opened(&log).count() - opened_before));
    let peak_kb = kernel::peak_kb(pid)?;
    time::sleep(QUIET).await;
    // The last ones are open now, and asking them in order closes none of them.
    let awake = &owners[owners.len().saturating_sub(args.open_max)..];
    let live = owners::ask_all(awake, gap).await?;
    time::sleep(QUIET).await;
    let mut alone = Samples::default();
    for owner in awake.iter().take(5) {
        alone.push(owner.ask().await?);
    }
    print(args, &idle, &live, &alone);
    say(format!("  memory: {:.1} MB before, {:.1} MB at the peak", mb(before_kb), mb(peak_kb)));
    let open = most_open(&workmate.logs()).context("the log tells how many clients are open")?;
    let verdict = if open <= args.open_max { "kept" } else { "broken" };
    say(format!("  clients of assistants open at once: {open} at most (limit {}: {verdict})", args.open_max));
    Ok(())
}

fn print(args: &Args, idle: &Samples, live: &Samples, alone: &Samples) {
    say(format!("\nfrom the owner's send to the first visible text, all within {} s", args.window));
    say(format!("  idle        {idle}"));
    say(format!("  live        {live}"));
    say(format!("  live, alone {alone}"));
    for (name, live, goal) in [("live", live, Some(RATIO_MAX)), ("live, alone", alone, None)] {
        let over = |percent| idle.percentile_ms(percent) / live.percentile_ms(percent);
        let goal = goal.map(|goal| format!("   (goal {goal}: {})", verdict(over(50), goal))).unwrap_or_default();
        say(format!("  idle over {name}: median {:.2}, p95 {:.2}{goal}", over(50), over(95)));
    }
}

/// The lines that tell of an opened client.
fn opened(log: &str) -> impl Iterator<Item = &str> {
    log.lines().filter(|line| line.contains("an assistant's client was opened"))
}

/// Returns the largest number of open clients that the log tells of.
fn most_open(log: &str) -> Option<usize> {
    let counts = opened(log).filter_map(|line| {
        let (_, after) = line.split_once("open=")?;
        after.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
    });
    counts.max()
}

#[expect(clippy::cast_precision_loss, reason = "a process has less than 2^52 KiB")]
fn mb(kb: u64) -> f64 {
    kb as f64 / 1024.0
}

#[expect(clippy::cast_precision_loss, reason = "nobody makes 2^52 users")]
fn count(users: usize) -> f64 {
    users as f64
}
