//! `workmate retire`: has a coworker whose file is gone leave its rooms, or takes out all of Workmate.

mod everything;

use std::time::Duration;

use anyhow::bail;

use super::{
    ConfigFile,
    audit::{have_done, knock},
    say::say,
};
use crate::{config::Config, core::audit::Ask, engine::door_of};

/// How long a coworker may take to leave its rooms.
const PATIENCE: Duration = Duration::from_mins(10);

/// What `retire` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct RetireArgs {
    /// The coworker's id, such as oncall; its file has to be gone.
    #[arg(value_parser = super::coworker_id, required_unless_present = "everything")]
    pub coworker: Option<String>,
    /// Take all of Workmate out of the homeserver, while it is stopped: every user of ours leaves its rooms, loses its devices
    /// and is deactivated, and the data is deleted. Without --yes, only say what would be done.
    #[arg(long, conflicts_with = "coworker")]
    pub everything: bool,
    /// With --everything: do it. Nothing brings it back.
    #[arg(long, requires = "everything")]
    pub yes: bool,
    /// With --everything: ask the homeserver to hide what our users wrote from people who join later.
    #[arg(long, requires = "everything")]
    pub erase: bool,
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigFile,
}

/// Retires one coworker, or everything; prints what was done.
///
/// # Errors
/// When Workmate runs where it must not, or does not where it must; when a step is refused.
pub(crate) async fn run(args: &RetireArgs) -> anyhow::Result<()> {
    let config = Config::load(&args.config.path())?;
    match &args.coworker {
        Some(coworker) => one(&config, coworker),
        None => Box::pin(everything::run(&config, args.yes, args.erase)).await,
    }
}

/// Has the running Workmate retire the coworker, because only it can act as one.
///
/// # Errors
/// When none runs, or it cannot do it.
pub(super) fn one(config: &Config, coworker: &str) -> anyhow::Result<()> {
    let path = door_of(&config.data_dir);
    let Some(mut door) = knock(&path)? else {
        bail!(
            "{}: no workmate runs with this configuration\n  It alone can speak as the coworker.\n  Mend: start it, and run this \
             again.",
            path.display()
        );
    };
    say(have_done(&mut door, &Ask::Retire(coworker.to_owned()), PATIENCE)?);
    Ok(())
}
