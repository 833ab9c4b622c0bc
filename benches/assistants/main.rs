//! What many assistants cost: waking idle ones at once, memory, open clients, and the speed of making them.
//!
//! `cargo bench --bench assistants` runs everything; `-- --help` lists the options. `benches/README.md` explains the
//! figures and records the results.
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

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Parser;
use serde_json::json;
use tokio::time::{self, Duration, Instant};
use workmate::cli::say::say;

use crate::{
    figures::{Samples, verdict},
    kernel::Load,
    owners::Owner,
    process::{Setup, Workmate},
    stage::{Stage, claude},
};

/// Highest ratio of idle to live, in time to the first visible text.
const RATIO_MAX: f64 = 1.5;
/// How long to wait until work behind the answers (receipts, stores) is over.
const QUIET: Duration = Duration::from_secs(3);

/// Wakes idle assistants and compares them with live ones, in one run.
#[derive(Debug, Parser)]
struct Args {
    /// Owners only on disk: their records are written straight into the store, beside those of the live ones.
    #[arg(long, default_value_t = 10_000)]
    owners: usize,
    /// Owners with a client, who all write within the window while their assistants are idle; at least 2.
    #[arg(long, default_value_t = 20)]
    live: usize,
    /// Messages that others, whose assistants are live, send in the same window; a quarter of `--live` by default.
    #[arg(long)]
    beside: Option<usize>,
    /// The window, in seconds.
    #[arg(long, default_value_t = 10)]
    window: u32,
    /// `limits.assistants_live_max`.
    #[arg(long, default_value_t = 64)]
    open_max: usize,
    /// Another build of `workmate` to measure.
    #[arg(long)]
    program: Option<PathBuf>,
    /// Instead, print the calls between Workmate and the homeserver for making one assistant, and for one answer of an
    /// idle and of a live one.
    #[arg(long)]
    requests: bool,
    /// Set by `cargo bench`; without it nothing is measured, because `cargo test --all-targets` runs benches too.
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
    let mut setup = Setup::new(&stage.slots[0], stage.homeserver.url(), &claude.base_url())
        .section("limits", json!({"assistants_live_max": args.open_max}))
        .section("log", json!({"filter": "workmate=debug"}));
    if let Some(program) = &args.program {
        setup = setup.program(program.clone());
    }
    let mut workmate = setup.start().await;
    let homeserver = kernel::process_in(&stage.dir.path().join("homeserver"))?;
    let owners = provision(&stage, &workmate, homeserver, args.live + args.awake()).await?;
    workmate.stop().await;
    let wrote = records::write(&workmate, args.owners).await?;
    say(format!("\n{} owners' records written in {:.1} s", args.owners, wrote.as_secs_f64()));
    let began = Instant::now();
    workmate.start_again().await;
    say(format!("  the start with them took {:.1} s", began.elapsed().as_secs_f64()));
    wake(&args, &workmate, homeserver, &owners).await?;
    workmate.stop().await;
    Ok(())
}

impl Args {
    fn beside(&self) -> usize {
        self.beside.unwrap_or(self.live / 4).max(1)
    }

    /// Owners who write beside the idle ones: few enough that their assistants are never the least recently used.
    fn awake(&self) -> usize {
        (self.open_max / 10).clamp(1, 8)
    }
}

/// Makes an assistant for each owner; prints the rate and which processes were busy.
async fn provision(stage: &Stage, workmate: &Workmate, homeserver: u32, number: usize) -> Result<Vec<Owner>> {
    let people = owners::people(stage, 0, number).await?;
    let load = load(workmate, homeserver)?;
    let began = Instant::now();
    let owners = owners::provision(people, workmate.slot()).await?;
    let took = began.elapsed().as_secs_f64();
    let rate = 60.0 * count(number) / took;
    say(format!("\n{number} assistants made in {took:.1} s, {} at once: {rate:.1} a minute", owners::AT_ONCE));
    say(format!("  meanwhile: {}", load.so_far()?));
    owners::meet(&owners).await?;
    Ok(owners)
}

fn load(workmate: &Workmate, homeserver: u32) -> Result<Load> {
    let ours = workmate.pid().context("workmate runs")?;
    Load::of(&[("workmate", ours), ("Synapse", homeserver), ("the people's clients", std::process::id())])
}

/// Has owners write while their assistants are idle and others write to live ones; then sends the same number at the
/// same pace to live ones only.
async fn wake(args: &Args, workmate: &Workmate, homeserver: u32, owners: &[Owner]) -> Result<()> {
    let pid = workmate.pid().context("workmate runs")?;
    let (idle, beside) = owners.split_at(args.live);
    for owner in beside {
        owner.ask().await?;
    }
    time::sleep(QUIET).await;
    let before_kb = kernel::resident_kb(pid)?;
    let window = Duration::from_secs(args.window.into());
    let opened_before = opened(&workmate.logs()).count();
    let busy = load(workmate, homeserver)?;
    let others = || owners::ask_in_turn(beside, args.beside(), window);
    let (woken, live) = tokio::try_join!(owners::ask_in_turn(idle, idle.len(), window), others())?;
    let opened_now = opened(&workmate.logs()).count() - opened_before;
    say(format!("\n{} messages to idle assistants and {} to live ones, {}", woken.len(), live.len(), uptime()));
    say(format!("  opened {opened_now} clients; meanwhile: {}", busy.so_far()?));
    let peak_kb = kernel::peak_kb(pid)?;
    time::sleep(QUIET).await;
    // These were opened last; asking them in turn closes none of them.
    let awake = &idle[idle.len().saturating_sub((args.open_max - beside.len()).max(1))..];
    let busy = load(workmate, homeserver)?;
    let (after, _) = tokio::try_join!(owners::ask_in_turn(awake, idle.len(), window), others())?;
    say(format!("the same, all being live; meanwhile: {}", busy.so_far()?));
    time::sleep(QUIET).await;
    let mut alone = Samples::default();
    for owner in awake.iter().take(5) {
        alone.push(owner.ask().await?);
    }
    print(args, &woken, &[("live, beside them", &live), ("live, at the same pace", &after), ("live, alone", &alone)]);
    say(format!("  memory: {:.1} MB before, {:.1} MB at the peak", mb(before_kb), mb(peak_kb)));
    let open = most_open(&workmate.logs()).context("the log tells how many clients are open")?;
    let verdict = if open <= args.open_max { "kept" } else { "broken" };
    say(format!("  clients of assistants open at once: {open} at most (limit {}: {verdict})", args.open_max));
    Ok(())
}

fn print(args: &Args, idle: &Samples, live: &[(&str, &Samples)]) {
    say(format!("\nfrom the owner's send to the first visible text, all within {} s", args.window));
    say(format!("  {:24}{idle}", "idle"));
    for (name, live) in live {
        let over = |percent| idle.percentile_ms(percent) / live.percentile_ms(percent);
        let verdict = verdict(over(50), RATIO_MAX);
        say(format!(
            "  {name:24}{live}   idle over it: {:.2}, p95 {:.2} (goal {RATIO_MAX}: {verdict})",
            over(50),
            over(95)
        ));
    }
}

/// Returns the machine's one-minute load average.
fn uptime() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!("load average {}", load.split(' ').next().unwrap_or_default())
}

/// Returns the log lines about an opened client.
fn opened(log: &str) -> impl Iterator<Item = &str> {
    log.lines().filter(|line| line.contains("an assistant's client was opened"))
}

/// Returns the largest number of open clients in the log.
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
