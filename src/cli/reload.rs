//! `workmate reload`: has the running Workmate read its configuration again.

use std::time::Duration;

use anyhow::bail;

use super::{
    ConfigFile,
    audit::{have_done, knock},
    say::say,
};
use crate::{config::Config, core::audit::Ask, engine::door_of};

/// How long it may take: others may be in progress, and new coworkers are set up.
const PATIENCE: Duration = Duration::from_mins(3);

/// What `reload` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct ReloadArgs {
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigFile,
}

/// Has the running Workmate read its configuration again, and prints what changed.
///
/// # Errors
/// When no Workmate is running, or the configuration has faults; nothing was changed then.
pub(crate) fn run(args: &ReloadArgs) -> anyhow::Result<()> {
    if let Some(said) = ask(&args.config)? {
        say(said);
        return Ok(());
    }
    bail!(
        "{}: no workmate runs with this configuration, so there is nothing to reload\n  Mend: start it; a start reads the \
         configuration anyway.",
        args.config.path().display()
    );
}

/// Returns what the running Workmate says; `None` if none is running.
///
/// # Errors
/// When the configuration has faults, or the running Workmate cannot be asked.
pub(super) fn ask(config: &ConfigFile) -> anyhow::Result<Option<String>> {
    let Some(mut door) = knock(&door_of(&Config::data_dir_of(&config.path())?))? else { return Ok(None) };
    have_done(&mut door, &Ask::Reload, PATIENCE).map(Some)
}
