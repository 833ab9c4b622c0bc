//! `workmate rotate-tokens`: fresh tokens, without a moment in which the homeserver and Workmate do not know each other.
//!
//! The tokens before the present ones stay beside them (`as_token.previous`), and a Workmate that runs is told. Until the
//! homeserver has read the new registration, both sides go on with the old ones; from its first call on, only the new ones
//! count.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{anyhow, bail};

use super::{
    dated,
    files::{self, Copy, Planned, Privacy},
    line,
};
use crate::{
    cli::{
        ConfigFile,
        audit::{have_done, knock},
        calling::calling,
        check::registration_file,
        say::say,
    },
    config::{Config, Registration, previous},
    core::audit::Ask,
    engine::door_of,
    matrix::MatrixError,
    secret::{Rotating, Secret},
};

/// How long a running Workmate may take to read its tokens again.
const PATIENCE: Duration = Duration::from_mins(1);

/// What `rotate-tokens` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct RotateArgs {
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigFile,
}

/// Rotates, as a command of its own.
///
/// # Errors
/// As [`run`].
pub(crate) async fn run_alone(args: &RotateArgs) -> anyhow::Result<()> {
    Box::pin(run(&args.config.path())).await
}

/// Makes fresh tokens with the registration that belongs to them, has a running Workmate take them, and prints the rest
/// of the way.
///
/// # Errors
/// When the tokens do not come from files of their own, when the homeserver has not read the last ones yet, or when
/// something cannot be written: nothing is changed then.
pub(super) async fn run(path: &Path) -> anyhow::Result<()> {
    let config = Config::load_leaving_out(path, &|name| std::env::var(name).ok())?.0;
    if config.appservice.before.iter().any(Option::is_some) && !is_read(&config).await? {
        bail!(
            "{}: nothing was written: the homeserver has not read the tokens of the last rotation yet\n  A second one would leave \
             it with tokens that nobody takes.\n  Mend: give it the registration, restart it, and run this again.",
            path.display()
        );
    }
    let rotated = rotate(path, &config)?;
    let told = tell(&config);
    say(words(&rotated, told.as_ref().map(|is_told| *is_told)));
    told.map(drop)
}

/// Returns whether the homeserver takes our present token.
async fn is_read(config: &Config) -> anyhow::Result<bool> {
    let token = Rotating::new(config.appservice.as_token.clone(), None);
    match calling(config, token, async |api| api.whoami().await).await? {
        Ok(_) => Ok(true),
        Err(MatrixError::Token { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// What was written.
#[derive(Debug)]
pub(super) struct Rotated {
    pub(super) registration: PathBuf,
    /// Copies of what was replaced.
    pub(super) copies: Vec<PathBuf>,
    /// Where the tokens before these are.
    pub(super) previous: [PathBuf; 2],
}

/// Writes fresh tokens, those before them, and the registration, all or none.
pub(super) fn rotate(path: &Path, config: &Config) -> anyhow::Result<Rotated> {
    let elsewhere = || {
        anyhow!(
            "{}: nothing was written: its tokens are not in files of their own\n  Fresh ones could only be written by hand.\n  \
             Mend: put new random ones where appservice.as_token and hs_token come from and into the registration; give that to \
             the homeserver, and restart both. Or move them into files (as_token_file, hs_token_file) first.",
            path.display()
        )
    };
    let files = config.appservice.token_files.as_ref().ok_or_else(elsewhere)?;
    let tokens = [&config.appservice.as_token, &config.appservice.hs_token];
    // A file that another key names, too, would be lost.
    let others = config.own_secrets();
    if tokens.iter().any(|token| others.iter().filter(|other| other.matches(token.expose())).count() > 1) {
        return Err(elsewhere());
    }
    let Some(place) = registration_file(path, config) else {
        bail!(
            "{}: nothing was written: no registration.yaml is beside it\n  The homeserver has to be given one with the new \
             tokens.\n  Mend: set registration_file to where it is.",
            path.display()
        );
    };
    let mut registration = Registration::of(config);
    (registration.as_token, registration.hs_token) = (Secret::random(), Secret::random());
    let previous = files.clone().map(|file| previous(&file));
    let mut plan = Vec::new();
    for ((file, kept), (before, fresh)) in
        files.iter().zip(&previous).zip(tokens.into_iter().zip([&registration.as_token, &registration.hs_token]))
    {
        plan.push(Planned::new(kept.clone(), &line(before), Privacy::Owner).with_copy(Copy::None).owned_like(file));
        plan.push(Planned::new(file.clone(), &line(fresh), Privacy::Owner).with_copy(Copy::None));
    }
    plan.push(Planned::new(place.clone(), registration.render().expose(), Privacy::Owner));
    let folder = place.parent().unwrap_or(Path::new("")).to_owned();
    files::check_replaceable(&folder, &files::existing(plan.iter().map(|planned| planned.path.as_path())))?;
    let copies = files::write_all(&plan, &dated())?;
    Ok(Rotated { registration: place, copies, previous })
}

/// Has a running Workmate take the new tokens; returns whether one runs.
fn tell(config: &Config) -> anyhow::Result<bool> {
    let Some(mut door) = knock(&door_of(&config.data_dir))? else { return Ok(false) };
    have_done(&mut door, &Ask::Tokens, PATIENCE).map(|_| true)
}

fn words(rotated: &Rotated, told: Result<bool, &anyhow::Error>) -> String {
    let [ours, theirs] = &rotated.previous;
    let now = match told {
        Ok(true) => "The Workmate that runs has them, and takes the old ones until the homeserver uses the new ones.",
        Ok(false) => "No Workmate runs here. At its start it takes both, until the homeserver uses the new ones.",
        Err(_) => "The Workmate that runs could not be told: see below. Restart it before the homeserver.",
    };
    let copies: Vec<String> = rotated.copies.iter().map(|copy| format!("  {}", copy.display())).collect();
    format!(
        "Fresh tokens are written, and the registration that belongs to them:\n  {registration}\n{now}\n\nThen, without a pause \
         that anybody notices:\n  1. give the homeserver the new registration, if it has a copy of its own\n  2. restart the \
         homeserver; Workmate goes on\n  3. workmate doctor\n  4. delete what was there before:\n  {ours}\n  {theirs}\n{copies}",
        registration = rotated.registration.canonicalize().unwrap_or_else(|_| rotated.registration.clone()).display(),
        ours = ours.display(),
        theirs = theirs.display(),
        copies = copies.join("\n"),
    )
}
