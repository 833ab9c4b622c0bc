//! What Workmate costs: time compared with an empty appservice, and memory by number of virtual users.
//!
//! `cargo bench --bench overhead` runs everything; `-- --help` names the parts. `benches/README.md` explains the
//! figures and records the results.
#![recursion_limit = "256"]

mod baseline;
mod connections;
mod figures;
mod hooks;
mod latency;
mod memory;
#[path = "../../tests/it/harness/workmate.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod process;
mod requests;
#[path = "../../tests/it/harness/slot.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod slot;
mod stage;
mod tap;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use workmate::cli::say::say;

/// Measures Workmate against an empty appservice on the same homeserver.
#[derive(Debug, Parser)]
struct Args {
    /// Run one part alone.
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Rounds for each kind of room; a round asks every contender once.
    #[arg(long, default_value_t = 40)]
    rounds: usize,
    /// Another build of workmate, measured in the same run.
    #[arg(long, value_name = "BINARY")]
    against: Option<PathBuf>,
    /// Numbers of coworkers in the room, for the memory of live ones.
    #[arg(long, value_delimiter = ',', default_value = "1,10,50")]
    coworkers: Vec<usize>,
    /// Number of idle assistants whose memory is measured; making 1000 takes about half an hour.
    #[arg(long, default_value_t = 100)]
    assistants: usize,
    /// Events of the room that an owner's program searches.
    #[arg(long, default_value_t = 100_000)]
    events: usize,
    /// Set by `cargo bench`; without it nothing is measured, because `cargo test --all-targets` runs benches too.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Time from question to answer.
    Latency,
    /// The homeserver's requests for one answer.
    Requests,
    /// Resident memory.
    Memory,
    /// What owners' own programs read of a large room.
    Connections,
    /// Webhooks: how soon they reach the model, and what a mention takes beside them.
    Hooks,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    if !args.bench {
        say("nothing is measured without --bench, which `cargo bench` gives");
        return Ok(());
    }
    let wanted = |part| args.only.is_none_or(|only| only == part);
    if wanted(Part::Latency) {
        say("\n== Time from a person's send to the answer read, Workmate over an empty appservice");
        Box::pin(latency::measure(args.rounds, args.against)).await?;
    }
    if wanted(Part::Requests) {
        say("\n== Requests to the homeserver for one answer in a warm room");
        Box::pin(requests::trace()).await?;
    }
    if wanted(Part::Hooks) {
        say("\n== Webhooks");
        Box::pin(hooks::measure(args.rounds)).await?;
    }
    if wanted(Part::Connections) {
        say("\n== Reading and searching a large room over MCP");
        Box::pin(connections::measure(args.events, args.rounds)).await?;
    }
    if wanted(Part::Memory) {
        say("\n== Resident memory");
        Box::pin(memory::live(&args.coworkers)).await?;
        Box::pin(memory::idle(args.assistants)).await?;
    }
    Ok(())
}
