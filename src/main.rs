//! The `workmate` command: parses and dispatches.

use std::process::ExitCode;

use clap::Parser as _;
use workmate::{
    cli::{self, Cli, Command},
    sandbox,
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        // A process that may die: one thread, no runtime.
        Command::Decode => sandbox::child::run(),
        _ => begin(cli),
    }
}

#[tokio::main]
async fn begin(cli: Cli) -> ExitCode {
    cli::run(cli).await
}
