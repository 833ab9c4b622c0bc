//! `workmate retire`: has a coworker whose file is gone leave its rooms.

use std::time::Duration;

use anyhow::{anyhow, bail};

use super::{
    ConfigFile,
    audit::{knock, through},
    say::say,
};
use crate::{
    config::Config,
    core::audit::{Answer, Ask},
    engine::door_of,
};

/// How long a coworker may take to leave its rooms.
const PATIENCE: Duration = Duration::from_mins(10);

/// What `retire` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct RetireArgs {
    /// The coworker's id, such as oncall; its file has to be gone.
    #[arg(value_parser = super::coworker_id)]
    pub coworker: String,
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigFile,
}

/// Has the running Workmate retire the coworker, because only it can act as one; prints what was done.
///
/// # Errors
/// When no Workmate is running, or it cannot do it.
pub(crate) fn run(args: &RetireArgs) -> anyhow::Result<()> {
    let config = Config::load(&args.config.path())?;
    let path = door_of(&config.data_dir);
    let Some(mut door) = knock(&path)? else {
        bail!(
            "{}: no workmate runs with this configuration\n  It alone can speak as the coworker.\n  Mend: start it, and run this \
             again.",
            path.display()
        );
    };
    through(&mut door, &Ask::Retire(args.coworker.clone()), PATIENCE, &mut |answer| match answer {
        Answer::Said { done: true, text } => {
            say(text);
            Ok(())
        }
        Answer::Said { done: false, text } => Err(anyhow!(text)),
        Answer::Run(_) | Answer::Spent(_) | Answer::SpentInAll(_) | Answer::Done | Answer::Failed(_) => Ok(()),
    })
}
