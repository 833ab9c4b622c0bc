//! What composing the context for one answer costs, by room size; and the requests for one answer.
//!
//! `cargo bench --bench context` composes in this process, with the real window of a room and the real `core`.
//! `-- --requests` starts a homeserver and prints what one answer asks of it. Figures are in `benches/README.md`.
#![recursion_limit = "256"]

#[path = "../overhead/figures.rs"]
#[allow(dead_code, reason = "the other bench uses more of it")]
mod figures;
mod memory;
#[path = "../../tests/it/harness/workmate.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod process;
#[path = "../overhead/requests.rs"]
mod requests;
mod room;
#[path = "../../tests/it/harness/slot.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod slot;
#[path = "../overhead/stage.rs"]
#[allow(dead_code, reason = "the other bench uses more of it")]
mod stage;
#[path = "../overhead/tap.rs"]
mod tap;
mod time;

use anyhow::Result;
use clap::Parser;
use workmate::cli::say::say;

/// Room sizes in events; "flat" means that the last costs no more than the one before.
const SIZES: [usize; 3] = [100, 10_000, 100_000];
/// The goal: the cost in the largest room, divided by that in the one before.
const RATIO_MAX: f64 = 1.2;

/// Measures what it costs to compose the context for one answer.
#[derive(Debug, Parser)]
struct Args {
    /// Rounds; each composes once in every room.
    #[arg(long, default_value_t = 60)]
    rounds: usize,
    /// Print the homeserver's requests for one answer in a warm room instead.
    #[arg(long)]
    requests: bool,
    /// Compose in a room of this size and print this process's peak resident memory; used by the bench itself.
    #[arg(long, hide = true, value_name = "EVENTS")]
    peak: Option<usize>,
    /// Set by `cargo bench`; without it nothing is measured, because `cargo test --all-targets` runs benches too.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(events) = args.peak {
        return memory::print_own_peak(events);
    }
    if !args.bench {
        say("nothing is measured without --bench, which `cargo bench` gives");
        return Ok(());
    }
    if args.requests {
        say("\n== Requests to the homeserver for one answer in a warm room");
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        return runtime.block_on(Box::pin(requests::trace()));
    }
    say("\n== Time to compose the context of one answer, by events in the room");
    time::measure(args.rounds);
    say("\n== Greatest resident memory of a process that holds the room and composes");
    memory::measure()
}
