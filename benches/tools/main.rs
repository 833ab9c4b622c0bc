//! What tools cost: the time between a tool's result and the next request to the model, and what a bad MCP server costs
//! everybody else.
//!
//! `cargo bench --bench tools` runs everything; `-- --help` names the parts. `benches/README.md` explains the figures
//! and records the results.
#![recursion_limit = "256"]

mod bad_server;
mod computing;
#[path = "../overhead/figures.rs"]
mod figures;
#[path = "../../tests/it/harness/workmate.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod process;
mod rounds;
#[path = "../../tests/it/harness/slot.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod slot;
#[path = "../overhead/stage.rs"]
#[allow(dead_code, reason = "the other bench uses more of it")]
mod stage;

use std::path::Path;

use anyhow::Result;
use clap::Parser;
use serde_json::{Value, json};
use workmate::cli::say::say;

/// Measures tool rounds, and plain answers beside bad MCP servers.
#[derive(Debug, Parser)]
struct Args {
    /// Run one part alone.
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Runs for each class of tool; each has twenty rounds.
    #[arg(long, default_value_t = 4)]
    runs: usize,
    /// Plain answers for each contender.
    #[arg(long, default_value_t = 40)]
    answers: usize,
    /// Set by `cargo bench`; without it nothing is measured, because `cargo test --all-targets` runs benches too.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Time from a tool's result to the next request.
    Rounds,
    /// What code and its files add to a round.
    Computing,
    /// Plain answers beside a server that hangs and one that floods.
    BadServer,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    if !args.bench {
        say("nothing is measured without --bench, which `cargo bench` gives");
        return Ok(());
    }
    let wanted = |part| args.only.is_none_or(|only| only == part);
    if wanted(Part::Rounds) {
        say("\n== Time from the last result of a tool round to the next request to the model");
        Box::pin(rounds::measure(args.runs)).await?;
    }
    if wanted(Part::Computing) {
        say("\n== Time from one request to the model to the next, with code in between and without");
        Box::pin(computing::measure(args.runs)).await?;
    }
    if wanted(Part::BadServer) {
        say("\n== Plain answers beside a server that hangs, and one that floods");
        Box::pin(bad_server::measure(args.answers)).await?;
    }
    Ok(())
}

/// Returns `mcp_servers` with the bench's server, which records its times in `times`.
fn servers(times: &Path) -> Value {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/tools/server.py");
    json!({ "bench": { "command": ["python3", program, times] } })
}

/// Returns a coworker that may use its tools without approval.
fn coworker() -> Value {
    let mut oncall = process::coworker("oncall");
    let grant = |name: &str, class: &str, idempotent: bool| {
        let name = format!("bench__{name}");
        json!({ "name": name, "class": class, "approval": "never", "idempotent": idempotent, "timeout_seconds": 3_600 })
    };
    oncall["tools"] = json!([
        grant("read", "read", true),
        grant("write", "write", false),
        grant("hang", "read", true),
        grant("flood", "read", true),
    ]);
    oncall
}
