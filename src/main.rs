//! The `workmate` command: parses and dispatches.

use std::{process::ExitCode, time::Duration};

use workmate::{
    cli::{self, Cli, Command},
    sandbox,
};

/// How long unfinished work may take at the end.
const END_MAX: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let cli = match cli::parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    match cli.command {
        // A process that may die: one thread and no runtime.
        Command::Decode => sandbox::child::run(),
        _ => begin(cli),
    }
}

fn begin(cli: Cli) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return cli::cannot_begin(&error),
    };
    let code = runtime.block_on(cli::run(cli));
    // A write to an unresponsive disk must not block the exit.
    runtime.shutdown_timeout(END_MAX);
    code
}
