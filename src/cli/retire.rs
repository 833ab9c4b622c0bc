//! `workmate retire`: has a coworker whose file is gone leave its rooms.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    time::Duration,
};

use anyhow::{Context as _, bail};

use super::{ConfigFile, say::say};
use crate::{
    config::{Config, whose},
    core::audit::{Answer, Ask},
    engine::door_of,
};

/// How long a coworker may take to leave its rooms.
const PATIENCE: Duration = Duration::from_mins(10);

/// What `retire` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct RetireArgs {
    /// The coworker's id, such as oncall; its file has to be gone.
    pub coworker: String,
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigFile,
}

/// Has the Workmate that runs carry it out, for it alone can speak as the coworker, and says what was done.
///
/// # Errors
/// When none runs, or it cannot be carried out.
pub fn run(args: &RetireArgs) -> anyhow::Result<()> {
    let config = Config::load(&args.config.path())?;
    let path = door_of(&config.data_dir);
    let mut door = match UnixStream::connect(&path) {
        Ok(door) => door,
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => bail!(
            "{}: only the user that runs workmate may ask it{}\n  Mend: run this as that user, e.g. with sudo -u workmate.",
            path.display(),
            whose(&path)
        ),
        Err(_) => bail!(
            "{}: no workmate runs with this configuration\n  It alone can speak as the coworker.\n  Mend: start it, and run this \
             again.",
            path.display()
        ),
    };
    door.set_read_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(&Ask::Retire(args.coworker.clone()))?;
    line.push(b'\n');
    door.write_all(&line)?;
    for line in BufReader::new(door).lines() {
        let line = line.context(
            "the running workmate broke off its answer\n  Mend: ask again; if it stays so, look into its log",
        )?;
        match serde_json::from_str(&line).context("the running workmate is of another version\n  Mend: restart it")? {
            Answer::Said { done: true, text } => say(text),
            Answer::Said { done: false, text } | Answer::Failed(text) => bail!(text),
            Answer::Done => return Ok(()),
            Answer::Run(_) => {}
        }
    }
    bail!("the running workmate broke off its answer\n  Mend: ask again; if it stays so, look into its log.")
}
