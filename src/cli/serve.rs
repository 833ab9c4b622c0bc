//! `workmate serve`: answers the homeserver until stopped.

use std::path::PathBuf;

/// What `serve` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeArgs {
    /// The config file.
    #[arg(long, default_value = "config/workmate.yaml", value_name = "FILE")]
    pub config: PathBuf,
}

/// Serves until stopped.
///
/// # Errors
/// When the configuration has faults, or what it needs cannot be opened.
#[expect(clippy::unused_async, reason = "a stub: what it will do awaits")]
pub async fn run(_args: ServeArgs) -> anyhow::Result<()> {
    anyhow::bail!("not built yet")
}
