//! The command line: what can be said to `workmate`, and who carries it out.

pub mod audit;
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
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a configuration, a registration with fresh tokens and a master secret.
    Init(init::InitArgs),
    /// Say everything that is wrong with the configuration, without starting.
    Check(check::CheckArgs),
    /// Serve the homeserver until stopped.
    Serve(serve::ServeArgs),
    /// List, show and export past runs: who asked, which tools, how it ended, tokens and cost; never content.
    Audit(audit::AuditArgs),
    /// Show it all on this machine: a homeserver of its own, people, rooms, coworkers, an assistant.
    Demo(demo::DemoArgs),
    /// Decode files in a sandbox: what `serve` starts by itself.
    #[command(hide = true)]
    Decode,
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
        Command::Audit(args) => audit::run(args),
        Command::Demo(args) => demo::run(args).await,
        Command::Decode => return crate::sandbox::child::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::from(FAULTS)
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound_and_a_wrong_one_ends_with_2() {
        Cli::command().debug_assert();
        assert!(Cli::command().find_subcommand(crate::sandbox::COMMAND).is_some_and(clap::Command::is_hide_set));
        for line in
            ["workmate", "workmate init --homeserver ftp://x", "workmate init --new-master-secret", "workmate x"]
        {
            let error = Cli::try_parse_from(line.split(' ')).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }

    #[tokio::test]
    async fn faults_end_with_1_and_success_with_0() {
        let dir = tempfile::tempdir().expect("a folder");
        let config = dir.path().join("config/workmate.yaml").display().to_string();
        let dir = dir.path().display().to_string();
        let lines = [
            ["workmate", "check", "--config", &config],
            ["workmate", "init", "--dir", &dir],
            ["workmate", "check", "--config", &config],
            ["workmate", "init", "--dir", &dir],
        ];
        let mut codes = Vec::new();
        for line in lines {
            let code = Box::pin(run(Cli::try_parse_from(line).expect("parses"))).await;
            codes.push(format!("{code:?}"));
        }
        let (ok, faults) = (format!("{:?}", ExitCode::SUCCESS), format!("{:?}", ExitCode::from(FAULTS)));
        assert_eq!(codes, [faults.clone(), ok.clone(), ok, faults]);
    }
}
