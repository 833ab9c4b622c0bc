//! The command line: what can be said to `workmate`, and who carries it out.

pub mod check;
pub mod demo;
pub mod init;
pub mod say;
pub mod serve;
pub mod telemetry;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use self::say::complain;

/// The exit code of a command that found faults; clap ends with 2 on a command line that it cannot read.
const FAULTS: u8 = 1;

/// Puts Claude into Matrix rooms, as coworkers and as private assistants.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[expect(clippy::large_enum_variant, reason = "there is one of them in the life of a process")]
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a configuration, a registration with fresh tokens and a master secret.
    Init(init::InitArgs),
    /// Say everything that is wrong with the configuration, without starting.
    Check(check::CheckArgs),
    /// Serve the homeserver until stopped.
    Serve(serve::ServeArgs),
    /// Show it all on this machine: a homeserver of its own, people, rooms, coworkers, an assistant.
    Demo(demo::DemoArgs),
}

/// The config file of a command that needs one.
#[derive(Clone, Debug, clap::Args)]
pub struct ConfigFile {
    /// The config file.
    #[arg(long = "config", default_value = "config/workmate.yaml", value_name = "FILE")]
    pub path: PathBuf,
}

/// Carries out one command; what went wrong has been said when it returns.
pub async fn run(cli: Cli) -> ExitCode {
    let done = match cli.command {
        Command::Init(args) => init::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Serve(args) => serve::run(args).await,
        Command::Demo(args) => demo::run(args).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::from(FAULTS)
        }
    }
}
