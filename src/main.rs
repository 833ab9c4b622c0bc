//! The `workmate` command: parses and dispatches.

use std::process::ExitCode;

use clap::Parser as _;

#[tokio::main]
async fn main() -> ExitCode {
    workmate::cli::run(workmate::cli::Cli::parse()).await
}
