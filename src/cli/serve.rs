//! `workmate serve`: answers the homeserver until stopped.

use std::os::unix::process::CommandExt as _;

use nix::sys::stat::{Mode, umask};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{ConfigFile, telemetry};
use crate::{
    config::Config,
    engine::{self, Ended},
};

/// What `serve` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeArgs {
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigFile,
}

/// Serves until SIGINT or SIGTERM, then ends what it can; the rest goes on at the next start.
///
/// # Errors
/// When the configuration has faults, or what it needs cannot be opened.
pub async fn run(args: ServeArgs) -> anyhow::Result<()> {
    let config = Config::load(&args.config.path)?;
    telemetry::install(&config.log)?;
    // Whatever is written from here on is this account's alone; programs that are started have it so too.
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let signalled = stop.clone();
    let signals = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        signalled.cancel();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        served = Box::pin(engine::serve(config, stop)) => match served? {
            Ended::Stopped => Ok(()),
            Ended::StartsAgain => Err(start_again().into()),
        },
        () = signals => Ok(()),
    }
}

/// Becomes a new process of the same program with the same arguments; returns only where that fails.
fn start_again() -> std::io::Error {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return error,
    };
    std::process::Command::new(program).args(std::env::args_os().skip(1)).exec()
}
