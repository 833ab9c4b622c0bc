//! `workmate check`: reports everything wrong with the configuration without starting; with `--live`, also what a start
//! and the first request would meet.

pub(super) mod live;
pub(super) mod unit;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use tokio_util::sync::CancellationToken;
use url::Url;

use self::{
    live::{Subject, list::Scope},
    unit::Unit,
};
use super::{
    ConfigFile,
    say::{complain, say},
};
use crate::{
    claude, clock,
    config::{Config, Coworker, Env, Fault, Registration, Schedule, whose},
    core::time::Timestamp,
};

/// What `check` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckArgs {
    /// The config file.
    #[command(flatten)]
    pub config: ConfigFile,
    /// Try it, too: the homeserver both ways, ports, the key, the models, MCP servers, the data.
    #[arg(long)]
    pub live: bool,
}

/// Checks the configuration and its registration, with the environment of this process and of the systemd unit.
///
/// # Errors
/// Every fault, as text for the operator.
pub(crate) async fn run(args: &CheckArgs) -> anyhow::Result<()> {
    let path = args.config.path();
    let unit = unit_of(&path);
    let env = |name: &str| std::env::var(name).ok().or_else(|| unit.variables.get(name).cloned());
    let (summary, warnings) = check(&path, &env)?;
    for warning in warnings {
        complain(&format!("warning: {warning}"));
    }
    for told in unreadable(&unit) {
        complain(&format!("warning: {told}"));
    }
    say(&summary);
    if !args.live {
        say(
            "Nothing was tried live: `workmate check --live` asks the homeserver, the Messages API and the MCP servers.",
        );
        return Ok(());
    }
    let (config, _) = Config::load_with(&path, &env)?;
    let broken_off = CancellationToken::new();
    let subject = Subject {
        path: &path,
        config: &config,
        unit: &unit,
        scope: Scope::Live,
        may_cost: false,
        broken_off: &broken_off,
    };
    let (tried, _) = Box::pin(live::examine(subject)).await;
    let (tried, is_faulty) = live::shown(&tried);
    say(tried);
    if is_faulty { Err(anyhow::anyhow!("not everything works; what does not is marked FAULT above")) } else { Ok(()) }
}

/// Warns of schedules that are never due again.
fn never_due(path: &Path, config: &Config, now: Timestamp) -> Vec<Fault> {
    let all = config.coworkers.iter().flat_map(|one| one.schedules.iter().map(move |schedule| (&**one, schedule)));
    let over = all.filter(|(_, schedule)| schedule.rule.next_after(now).is_none());
    let fault = |(coworker, schedule): (&Coworker, &Schedule)| Fault {
        file: path.to_owned(),
        line: None,
        key: "coworkers_dir".to_owned(),
        what: format!("the schedule \"{}\" of {} is never due again", schedule.name, coworker.id.0),
        why: format!("`when: {}` is over, so it does nothing.", schedule.said),
        mend: "set a time that is still to come, or remove it.".to_owned(),
    };
    over.map(fault).collect()
}

/// Returns the systemd unit that serves a configuration, as far as it is readable.
pub(super) fn unit_of(path: &Path) -> Unit {
    Unit::of(&unit::FOLDERS.map(Path::new), path).unwrap_or_default()
}

/// Says which of a unit's files cannot be read.
pub(super) fn unreadable(unit: &Unit) -> impl Iterator<Item = String> {
    unit.unreadable.iter().map(|file| {
        format!(
            "{}: the unit's environment cannot be read{}\n  What stands there, a key perhaps, is not known here.\n  Mend: run \
             this with sudo.",
            file.display(),
            whose(file)
        )
    })
}

/// Returns the summary and the warnings.
pub(super) fn check(path: &Path, env: Env<'_>) -> anyhow::Result<(String, Vec<Fault>)> {
    let (config, mut warnings) = Config::load_with(path, env)?;
    let registration = registration_file(path, &config);
    if let Some(file) = &registration {
        warnings.extend(Registration::of(&config).compare(file)?);
    }
    warnings.extend(never_due(path, &config, clock::now()));
    let compared = registration.map_or_else(
        || "not compared: there is none beside the config".to_owned(),
        |file| format!("{} agrees", file.canonicalize().unwrap_or_else(|_| file.clone()).display()),
    );
    let coworkers: Vec<&str> = config.coworkers.iter().map(|coworker| coworker.id.0.as_str()).collect();
    let summary = format!(
        "{path}: no faults, {warnings}\n  homeserver    {server} at {url}\n  appservice    {id}, listening on {listen}\n  \
         registration  {compared}\n  coworkers     {coworkers}\n  assistants    {assistants}\n  budgets       {budgets}\n  model         {model} at \
         {base}, {key}",
        path = path.display(),
        warnings = match warnings.len() {
            0 => "no warnings".to_owned(),
            1 => "1 warning".to_owned(),
            count => format!("{count} warnings"),
        },
        server = config.homeserver.server_name,
        url = shown(&config.homeserver.url),
        id = config.appservice.id,
        listen = config.appservice.listen,
        coworkers = if coworkers.is_empty() { "none".to_owned() } else { coworkers.join(", ") },
        assistants = if config.assistants.enabled { "on" } else { "off" },
        budgets = budgets(&config),
        model = config.claude.model,
        base = shown(&config.claude.base_url),
        key = match &config.claude {
            claude if claude.api_key.is_some() => "with a key",
            claude if claude.auth_token.is_some() => "with a token",
            _ => "without a key",
        },
    );
    let summary = match &config.transcription {
        Some(voice) => format!("{summary}\n  voice         heard by {} with {}", shown(&voice.url), voice.model),
        None => summary,
    };
    Ok((summary, warnings))
}

/// Returns the budgets on one line.
fn budgets(config: &Config) -> String {
    let all = config.budgets;
    let ours = [("workspace", all.workspace), ("assistant", all.assistant), ("person", all.person), ("room", all.room)];
    let limits = ours.into_iter().flat_map(|(whose, limits)| {
        let spans = [("a month", limits.month), ("a day", limits.day)];
        spans.into_iter().filter_map(move |(span, limit)| Some(format!("{whose} {} {span}", limit?)))
    });
    let coworkers = config
        .coworkers
        .iter()
        .filter_map(|coworker| coworker.budget_usd_month.map(|limit| format!("{} {limit} a month", coworker.id.0)));
    let limits: Vec<String> = limits.chain(coworkers).collect();
    if limits.is_empty() {
        return "none".to_owned();
    }
    let models = config.coworkers.iter().filter_map(|coworker| coworker.model.as_deref());
    let models = models.chain(config.assistants.model.as_deref()).chain([config.claude.model.as_str()]);
    let unpriced: BTreeSet<&str> = models.filter(|model| claude::dearest(model, 0).is_none()).collect();
    let unpriced = unpriced.into_iter().map(|model| format!("{model} has no known price and counts as the dearest"));
    limits.into_iter().chain(unpriced).collect::<Vec<_>>().join(", ")
}

/// Returns a URL without the trailing slash that parsing adds.
pub(super) fn shown(url: &Url) -> &str {
    url.as_str().trim_end_matches('/')
}

/// Returns the registration to compare with: the configured one, or the one `init` writes if it exists.
pub(super) fn registration_file(path: &Path, config: &Config) -> Option<PathBuf> {
    let beside = || {
        let folder = path.parent().unwrap_or(Path::new(""));
        [folder.join("registration.yaml"), folder.join("../registration.yaml")].into_iter().find(|file| file.exists())
    };
    config.registration_file.clone().or_else(beside)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command, init};

    #[test]
    fn a_registration_that_the_config_names_must_be_there_and_agree() {
        let dir = tempfile::tempdir().expect("a folder");
        let cli = Cli::try_parse_from(["workmate", "init", "--dir", &dir.path().display().to_string()]);
        let Command::Init(args) = cli.expect("parses").command else { panic!("is init") };
        init::run(&args).expect("writes");
        let config = dir.path().join("config/workmate.yaml");
        let registration = dir.path().join("registration.yaml");
        let error = || check(&config, &|_| None).expect_err("is refused").to_string();

        let text = fs::read_to_string(&registration).expect("is there").replace("as_token: \"", "as_token: \"x");
        fs::write(&registration, text).expect("is written");
        let differs = error();
        fs::remove_file(&registration).expect("is removed");
        let missing = error();
        let text = fs::read_to_string(&config).expect("is there").replace("registration_file: ", "# ");
        fs::write(&config, text).expect("is written");
        let (summary, _) = check(&config, &|_| None).expect("none is needed");

        assert!(differs.contains("registration.yaml:9 as_token: differs from appservice.as_token\n"), "{differs}");
        assert!(missing.contains("registration.yaml: cannot be read: there is no such file\n"), "{missing}");
        assert!(summary.contains("not compared: there is none beside the config\n"), "{summary}");
        let keyed = |variable: &'static str| {
            check(&config, &|name| (name == variable).then(|| "x".to_owned())).expect("is fine").0
        };
        for (variable, expected) in [
            ("ANTHROPIC_AUTH_TOKEN", ", with a token"),
            ("ANTHROPIC_API_KEY", ", with a key"),
            ("OTHER", ", without a key"),
        ] {
            assert!(keyed(variable).ends_with(expected), "{}", keyed(variable));
        }
    }

    #[test]
    fn c20_a_schedule_that_is_over_is_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let cli = Cli::try_parse_from(["workmate", "init", "--dir", &dir.path().display().to_string()]);
        let Command::Init(args) = cli.expect("parses").command else { panic!("is init") };
        init::run(&args).expect("writes");
        let file = dir.path().join("config/coworkers/oncall.yaml");
        let text = fs::read_to_string(&file).expect("is there");
        let over = "schedules:\n  - {name: launch, when: 2025-01-01 09:00, rooms: [\"!r:hs\"], task: cheer}\n";
        fs::write(&file, text + "\n" + over).expect("is written");
        let (summary, warnings) = check(&dir.path().join("config/workmate.yaml"), &|_| None).expect("no faults");
        let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        assert!(warnings.iter().any(|one| one.contains("\"launch\" of oncall is never due again")), "{warnings:?}");
        assert!(!summary.contains("no warnings"), "{summary}");
    }
}
