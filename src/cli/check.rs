//! `workmate check`: says everything that is wrong with the configuration, without starting.

use std::path::PathBuf;

use super::{
    ConfigFile,
    say::{complain, say},
};
use crate::config::{Config, Env, Fault, Registration};

/// What `check` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckArgs {
    /// The config file.
    #[command(flatten)]
    pub config: ConfigFile,
}

/// Checks the configuration and its registration with the process's environment.
///
/// # Errors
/// Every fault, as the text to be shown.
pub fn run(args: &CheckArgs) -> anyhow::Result<()> {
    let (summary, warnings) = check(&args.config.path, &|name| std::env::var(name).ok())?;
    for warning in warnings {
        complain(&format!("warning: {warning}"));
    }
    say(&summary);
    Ok(())
}

/// Returns the summary and what is doubtful.
pub(super) fn check(path: &std::path::Path, env: Env<'_>) -> anyhow::Result<(String, Vec<Fault>)> {
    let (config, mut warnings) = Config::load_with(path, env)?;
    let registration = registration_file(path, &config);
    if let Some(file) = &registration {
        warnings.extend(Registration::of(&config).compare(file)?);
    }
    let compared = registration.map_or_else(
        || "not compared: there is none beside the config".to_owned(),
        |file| format!("{} agrees", file.display()),
    );
    let coworkers: Vec<&str> = config.coworkers.iter().map(|coworker| coworker.id.0.as_str()).collect();
    let summary = format!(
        "{path}: no faults, {warnings}\n  homeserver    {server} at {url}\n  appservice    {id}, listening on {listen}\n  \
         registration  {compared}\n  coworkers     {coworkers}\n  assistants    {assistants}\n  model         {model} at \
         {base}, {key}",
        path = path.display(),
        warnings = match warnings.len() {
            0 => "no warnings".to_owned(),
            1 => "1 warning".to_owned(),
            count => format!("{count} warnings"),
        },
        server = config.homeserver.server_name,
        url = config.homeserver.url,
        id = config.appservice.id,
        listen = config.appservice.listen,
        coworkers = if coworkers.is_empty() { "none".to_owned() } else { coworkers.join(", ") },
        assistants = if config.assistants.enabled { "on" } else { "off" },
        model = config.claude.model,
        base = config.claude.base_url,
        key = if config.claude.api_key.is_some() { "with a key" } else { "without a key" },
    );
    Ok((summary, warnings))
}

/// Returns the registration to compare with: the configured one, or that of `init` where it exists.
fn registration_file(path: &std::path::Path, config: &Config) -> Option<PathBuf> {
    let beside = || {
        let folder = path.parent().unwrap_or(std::path::Path::new(""));
        [folder.join("registration.yaml"), folder.join("../registration.yaml")].into_iter().find(|file| file.exists())
    };
    config.registration_file.clone().or_else(beside)
}
