//! The crash and fault suite of record: what bad days lose, double, ignore or leave open.
//!
//! `cargo bench --bench chaos` runs every part; `-- --help` names them. `benches/README.md` records the results.
#![recursion_limit = "256"]

mod chaos;
mod harness;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use tokio::time::{Duration, Instant};
use workmate::cli::say::say;

use crate::chaos::{
    disks, parts, reports,
    tally::Tally,
    times,
    world::{self, Kind},
};

/// Rooms in most parts.
const ROOMS: usize = 16;

/// Rooms into which webhooks deliver, and kills of Workmate meanwhile.
const REPORT_ROOMS: usize = 20;
const REPORT_KILLS: usize = 20;

/// When the disk fills up, in milliseconds after a start.
const DISK_FULL_AT_MS: [u64; 6] = [0, 300, 700, 1_500, 2_500, 6_000];
/// How far the clock is off, in turn, in seconds; among them an hour, a day back, five days ahead.
const CLOCK_JUMPS_S: [i64; 6] = [3_600, -3_600, 0, -86_400, 432_000, 0];

/// How far the clock jumps over due times, in seconds.
const DUE_JUMPS_S: [i64; 6] = [3_600, -3_600, 3_600, -3_600, 7_200, -86_400];

/// Makes bad days and counts what they cost.
#[derive(Debug, Parser)]
struct Args {
    /// Run only this part; may be given several times.
    #[arg(long)]
    only: Vec<Part>,
    /// Seed of all random choices.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Kills of Workmate.
    #[arg(long, default_value_t = 200)]
    kills: usize,
    /// Kills, restarts and stops of the homeserver.
    #[arg(long, default_value_t = 30)]
    homeserver: usize,
    /// How long the homeserver is away at most, in seconds.
    #[arg(long, default_value_t = 120)]
    away: u64,
    /// Rounds of network faults.
    #[arg(long, default_value_t = 44)]
    rounds: usize,
    /// Faults of the model.
    #[arg(long, default_value_t = 60)]
    model: usize,
    /// Kills of Workmate for each kind of request, at most, each at another call.
    #[arg(long, default_value_t = 40)]
    steps: usize,
    /// Rooms for a burst of twice as many mentions.
    #[arg(long, default_value_t = 100)]
    rooms: usize,
    /// Simultaneous joins in one room.
    #[arg(long, default_value_t = 10_000)]
    joins: usize,
    /// Messages waiting at once.
    #[arg(long, default_value_t = 100_000)]
    backlog: usize,
    /// Webhooks' deliveries within ten seconds, to twenty rooms.
    #[arg(long, default_value_t = 500)]
    reports: usize,
    /// Kills of Workmate at due times.
    #[arg(long, default_value_t = 40)]
    due_kills: usize,
    /// Starts from copies of the state.
    #[arg(long, default_value_t = 3)]
    copies: usize,
    /// Another build of `workmate` to test.
    #[arg(long)]
    program: Option<std::path::PathBuf>,
    /// Set by `cargo bench`; without it nothing runs, because `cargo test --all-targets` runs benches too.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A part of the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Kill Workmate at each call that one request causes.
    Steps,
    /// Kill Workmate at random moments under load.
    Kills,
    /// Kill, restart and stop the homeserver under load.
    Homeserver,
    /// Refuse, cut off, repeat and swallow calls and transactions.
    Network,
    /// Have the model refuse, break off and overload.
    Model,
    /// Lose devices, stores and the state.
    Losses,
    /// Send many mentions, joins and messages at once.
    Load,
    /// Fill the disk at several moments, or refuse all writes.
    Disk,
    /// Restore the state from a copy that was made while it was written.
    Copies,
    /// Let the clock jump.
    Clock,
    /// Deliver many webhooks at once, each twice, with and without kills.
    Reports,
    /// Miss, kill and jump over due times of schedules.
    Times,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    if !args.bench {
        say("nothing is done without --bench, which `cargo bench` gives");
        return Ok(());
    }
    if let Some(program) = &args.program {
        world::PROGRAM.set(program.clone()).ok();
    }
    let mut failed = Vec::new();
    for part in Part::value_variants() {
        if !args.only.is_empty() && !args.only.contains(part) {
            continue;
        }
        let began = Instant::now();
        for (name, tally) in Box::pin(run(&args, *part)).await? {
            say(format!("\n{name}, seed {}, {} s", args.seed, began.elapsed().as_secs()));
            say(format!("{tally}"));
            if tally.check().is_err() {
                failed.push(name);
            }
        }
    }
    anyhow::ensure!(failed.is_empty(), "not everything is zero: {}", failed.join(", "));
    Ok(())
}

async fn run(args: &Args, part: Part) -> Result<Vec<(String, Tally)>> {
    let seed = args.seed;
    Ok(match part {
        Part::Steps => {
            let mut tallies = Vec::new();
            for kind in [Kind::Question, Kind::Deploy, Kind::Chat] {
                let tally = Box::pin(parts::steps(kind, args.steps)).await?;
                tallies.push((format!("killed at each call of a {kind:?}"), tally));
            }
            tallies
        }
        Part::Kills => {
            vec![(format!("{} kills", args.kills), Box::pin(parts::kills(seed, args.kills, ROOMS)).await?)]
        }
        Part::Homeserver => {
            let away = Duration::from_secs(args.away);
            let tally = Box::pin(parts::homeserver(seed, args.homeserver, away, ROOMS)).await?;
            vec![(format!("{} ends of the homeserver", args.homeserver), tally)]
        }
        Part::Network => {
            let tally = Box::pin(parts::network(seed, args.rounds, ROOMS)).await?;
            vec![(format!("{} rounds of network faults", args.rounds), tally)]
        }
        Part::Model => {
            vec![(
                format!("{} faults of the model", args.model),
                Box::pin(parts::model(seed, args.model, ROOMS)).await?,
            )]
        }
        Part::Losses => vec![("losses of the disk and of devices".to_owned(), Box::pin(parts::losses()).await?)],
        Part::Load => {
            let tally = parts::load(args.rooms, 2 * args.rooms, args.joins, args.backlog);
            vec![("load".to_owned(), Box::pin(tally).await?)]
        }
        Part::Disk => {
            let tally = Box::pin(disks::disk(&DISK_FULL_AT_MS)).await?;
            tally.map(|tally| ("a full disk and one that takes no writes".to_owned(), tally)).into_iter().collect()
        }
        Part::Reports => {
            let mut tallies = Vec::new();
            for kills in [0, REPORT_KILLS] {
                let tally = Box::pin(reports::reports(seed, args.reports, REPORT_ROOMS, kills)).await?;
                tallies.push((format!("{} reports in 10 s, each delivered twice, {kills} kills", args.reports), tally));
            }
            tallies
        }
        Part::Copies => vec![("put back from torn copies".to_owned(), Box::pin(disks::copies(args.copies)).await?)],
        Part::Clock => {
            let tally = Box::pin(disks::clock(&CLOCK_JUMPS_S)).await?;
            tally.map(|tally| ("a clock that jumps".to_owned(), tally)).into_iter().collect()
        }
        Part::Times => {
            let plan = times::Plan { seed, missed: 40, kills: args.due_kills, jumps_s: &DUE_JUMPS_S };
            vec![("due times of schedules".to_owned(), Box::pin(times::times(plan)).await?)]
        }
    })
}
