//! `workmate serve`: answers the homeserver until stopped.

use std::{path::Path, sync::Arc};

use nix::sys::stat::{Mode, umask};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{ConfigFile, telemetry};
use crate::{
    config::Config,
    engine::{self, Ended, Source, Supervisor},
};

/// What `serve` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeArgs {
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigFile,
}

/// Serves until SIGINT or SIGTERM, then finishes what it can; the next start resumes the rest. SIGHUP has the
/// configuration read again, as `workmate reload` does. SIGUSR1 and SIGUSR2, which make other programs rotate, do nothing.
///
/// # Errors
/// When the configuration has faults, or something that it needs cannot be opened.
pub(crate) async fn run(args: ServeArgs) -> anyhow::Result<()> {
    let path = args.config.path();
    let config = Config::load(&path)?;
    telemetry::install(&config.log)?;
    say_start(&path, &config);
    // Everything written from here on is closed to other accounts, also by child processes.
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
    let stop = CancellationToken::new();
    let (mut terminate, mut hangup) = (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
    let (mut first, mut second) = (signal(SignalKind::user_defined1())?, signal(SignalKind::user_defined2())?);
    let supervisor = Supervisor::of_env();
    let (signalled, told) = (stop.clone(), supervisor.clone());
    let source = Source { file: path, hangups: Arc::default() };
    let hangs_up = source.hangups.clone();
    let signals = async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = tokio::signal::ctrl_c() => break,
                _ = hangup.recv() => hangs_up.notify_one(),
                _ = first.recv() => changes_nothing("SIGUSR1"),
                _ = second.recv() => changes_nothing("SIGUSR2"),
            }
        }
        told.stopping();
        signalled.cancel();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        served = Box::pin(engine::serve(config, source, &supervisor, stop)) => match served? {
            Ended::Stopped => Ok(()),
            Ended::StartsAgain => Err(engine::start_again().into()),
        },
        () = signals => Ok(()),
    }
}

fn changes_nothing(signal: &str) {
    tracing::info!("{signal} changes nothing; SIGHUP has the configuration read again");
}

/// Logs the version, the configuration and the addresses.
fn say_start(path: &Path, config: &Config) {
    let coworkers: Vec<&str> = config.coworkers.iter().map(|coworker| coworker.id.0.as_str()).collect();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        config = %path.canonicalize().unwrap_or_else(|_| path.to_owned()).display(),
        data_dir = %config.data_dir.display(),
        homeserver = %config.homeserver.url,
        server_name = %config.homeserver.server_name,
        listen = %config.appservice.listen,
        health_listen = %config.health_listen,
        claude = %config.claude.base_url,
        model = config.claude.model,
        coworkers = coworkers.join(","),
        "workmate starts"
    );
}
