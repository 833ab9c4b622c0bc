//! `workmate demo`: the whole of it on this machine.

use std::path::PathBuf;

/// What `demo` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct DemoArgs {
    /// End after the transcript; the exit code says whether every step held.
    #[arg(long)]
    pub once: bool,
    /// Start over: remove what an earlier demo left.
    #[arg(long)]
    pub fresh: bool,
    /// Where the demo keeps its files.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Runs the demo.
///
/// # Errors
/// When a step did not hold.
#[expect(clippy::unused_async, reason = "a stub: what it will do awaits")]
pub async fn run(_args: DemoArgs) -> anyhow::Result<()> {
    anyhow::bail!("not built yet")
}
