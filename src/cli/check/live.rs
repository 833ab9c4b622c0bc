//! What is tried: by `workmate doctor` all of it, by `workmate check --live` what a start and the first request need and
//! what changes nothing anywhere.

mod addresses;
mod claude;
mod descriptors;
mod disk;
mod exchange;
mod files;
mod finding;
mod homeserver;
pub(in crate::cli) mod list;
mod recogniser;
mod secrets;
mod servers;
mod serving;

use std::{path::Path, time::Duration};

use serde_json::Value;
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::list::{CHECKS, Check, Scope};
use super::unit::Unit;
use crate::{clock, config::Config, core::reach};

/// How long the tasks of everything that was tried may take to end.
const END_MAX: Duration = Duration::from_secs(10);

/// How one trial ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Found {
    /// It works; says what was seen.
    Fine(String),
    /// It is doubtful or could not be tried; says why.
    Open(String),
    /// It does not work; says what is wrong, why that matters, and how to mend it.
    Fault(String),
    /// It was not tried, and need not be or cannot be yet; says why.
    Skipped(String),
}

/// A trial with its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Tried {
    pub(in crate::cli) check: Check,
    pub(in crate::cli) found: Found,
}

impl Tried {
    pub(in crate::cli) fn new(check: Check, found: Found) -> Self {
        Self { check, found }
    }
}

/// What is examined, and how far.
#[derive(Clone, Copy)]
pub(in crate::cli) struct Subject<'a> {
    /// The config file.
    pub(in crate::cli) path: &'a Path,
    pub(in crate::cli) config: &'a Config,
    /// The systemd unit that serves this configuration.
    pub(in crate::cli) unit: &'a Unit,
    pub(in crate::cli) scope: Scope,
    /// Whether the model may be asked something that costs.
    pub(in crate::cli) may_cost: bool,
    /// Ends everything early; what was begun is tidied up nevertheless.
    pub(in crate::cli) broken_off: &'a CancellationToken,
}

impl Subject<'_> {
    fn is_wanted(&self, check: Check) -> bool {
        self.scope == Scope::Doctor || check.descriptor().scope == Scope::Live
    }

    /// Awaits a check within its limit, unless everything is broken off.
    async fn within<T>(&self, check: Check, trying: impl Future<Output = T>) -> Result<T, Tried> {
        let limit = check.descriptor().limit;
        tokio::select! {
            () = self.broken_off.cancelled() => Err(Tried::new(check, Found::Skipped("broken off".to_owned()))),
            tried = timeout(limit, trying) => tried.map_err(|_| {
                let text = format!(
                    "no result within {} s\n  Something hangs that answers otherwise.\n  Mend: look at what this line is about, and \
                     run this again.",
                    limit.as_secs()
                );
                Tried::new(check, Found::Fault(text))
            }),
        }
    }

    /// Runs something that blocks, within a check's limit.
    async fn blocking(&self, check: Check, trying: impl FnOnce() -> Vec<Tried> + Send + 'static) -> Vec<Tried> {
        if !self.is_wanted(check) {
            return Vec::new();
        }
        match self.within(check, tokio::task::spawn_blocking(trying)).await {
            Ok(Ok(tried)) => tried,
            Ok(Err(_)) => vec![Tried::new(check, Found::Open("not told: a fault of workmate's own".to_owned()))],
            Err(tried) => vec![tried],
        }
    }

    async fn all(&self, check: Check, trying: impl Future<Output = Vec<Tried>>) -> Vec<Tried> {
        if !self.is_wanted(check) {
            return Vec::new();
        }
        self.within(check, trying).await.unwrap_or_else(|tried| vec![tried])
    }
}

/// Tries everything that is wanted; what does not need another's result runs at the same time. Returns it in the order
/// of the list, and what the running workmate says of itself, if one runs.
pub(in crate::cli) async fn examine(subject: Subject<'_>) -> (Vec<Tried>, Option<Value>) {
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let config = subject.config;
    let report = subject.within(Check::Serving, serving::look(config)).await.ok().flatten();
    let serves = report.is_some();
    let (here, (homeserver, by_homeserver), (model, by_api), servers, recogniser, addresses) = tokio::join!(
        Box::pin(here(&subject, report.as_ref())),
        Box::pin(homeserver::all(&subject, serves, &tasks, &stop)),
        Box::pin(claude::all(&subject)),
        Box::pin(subject.all(Check::Mcp, servers::all(&subject, &tasks, &stop))),
        Box::pin(subject.all(Check::Transcription, recogniser::all(config))),
        Box::pin(subject.all(Check::Addresses, addresses::all(config, serves, &tasks, &stop))),
    );
    let mut tried = here;
    tried.extend(homeserver.into_iter().chain(model).chain(servers).chain(recogniser).chain(addresses));
    tried.push(Tried::new(Check::Clock, clock_of(by_homeserver, by_api)));
    stop.cancel();
    tasks.close();
    let _ = timeout(END_MAX, tasks.wait()).await;
    tried.retain(|tried| subject.is_wanted(tried.check));
    tried.sort_by_key(|tried| tried.check);
    (tried, report)
}

/// Tries what is on this machine.
async fn here(subject: &Subject<'_>, report: Option<&Value>) -> Vec<Tried> {
    let (path, config, unit) = (subject.path.to_owned(), subject.config.clone(), subject.unit.clone());
    let at_files = {
        let (path, config, unit) = (path.clone(), config.clone(), unit.clone());
        move || vec![files::owners(&path, &config, unit.user.as_deref())]
    };
    let at_data = {
        let (path, config, unit) = (path.clone(), config.clone(), unit.clone());
        move || vec![files::data(&path, &config, unit.user.as_deref())]
    };
    let at_disk = {
        let config = config.clone();
        move || vec![disk::look(&config.data_dir)]
    };
    let at_secrets = {
        let (config, unit) = (config.clone(), unit.clone());
        move || vec![secrets::look(&path, &config, &unit)]
    };
    let (mut tried, data, disk, secrets, descriptors) = tokio::join!(
        subject.blocking(Check::Files, at_files),
        subject.blocking(Check::Data, at_data),
        subject.blocking(Check::Disk, at_disk),
        subject.blocking(Check::Secrets, at_secrets),
        subject.all(Check::Descriptors, descriptors::all(subject.config, subject.unit, report.is_some())),
    );
    let is_usable = data.iter().all(|tried| matches!(tried.found, Found::Fine(_)));
    tried.extend(data.into_iter().chain(disk).chain(secrets).chain(descriptors));
    tried.extend(serving::conditions(report, subject.config));
    if is_usable {
        tried.extend(subject.blocking(Check::Store, move || files::store(&config).into_iter().collect()).await);
    }
    tried
}

/// The line of a check that this configuration has no use for.
const NOTHING: &str = "nothing to try";

/// Adds a line for each listed check without a result: it waits for another one, or there is nothing to try.
pub(in crate::cli) fn complete(tried: &mut Vec<Tried>) {
    for listed in &CHECKS {
        if tried.iter().any(|tried| tried.check == listed.check) {
            continue;
        }
        let is_in_the_way = |tried: &&Tried| match &tried.found {
            Found::Fine(_) => false,
            Found::Skipped(why) => why != NOTHING,
            Found::Open(_) | Found::Fault(_) => true,
        };
        let needed = tried.iter().filter(|tried| Some(tried.check) == listed.needs).find(is_in_the_way);
        let text = needed
            .map_or_else(|| NOTHING.to_owned(), |needed| format!("not tried: `{}` comes first", needed.check.name()));
        tried.push(Tried::new(listed.check, Found::Skipped(text)));
    }
    tried.sort_by_key(|tried| tried.check);
}

/// Judges this machine's clock by how far the homeserver's and the API's are ahead, in milliseconds.
fn clock_of(by_homeserver: Option<i64>, by_api: Option<i64>) -> Found {
    match reach::clock::told(by_homeserver, by_api, clock::now()) {
        Some(told) => Found::Fault(format!("{told}.")),
        None if by_homeserver.is_none() && by_api.is_none() => {
            Found::Skipped("not compared: nobody said the time".to_owned())
        }
        None => {
            let who = match (by_homeserver, by_api) {
                (Some(_), Some(_)) => "the homeserver and the Messages API agree",
                (Some(_), None) => "the homeserver agrees",
                _ => "the Messages API agrees",
            };
            Found::Fine(format!("{who} with this machine's"))
        }
    }
}

/// Returns the results as `check --live` shows them, and whether there is a fault.
pub(super) fn shown(tried: &[Tried]) -> (String, bool) {
    let mut lines = vec!["Tried live:".to_owned()];
    for Tried { check, found } in tried {
        let (mark, text) = match found {
            Found::Fine(text) => ("ok   ", text),
            Found::Open(text) => ("open ", text),
            Found::Fault(text) => ("FAULT", text),
            Found::Skipped(text) => ("skip ", text),
        };
        lines.push(format!("  {mark}  {:<13} {}", check.name(), text.replace('\n', "\n       ")));
    }
    (lines.join("\n"), tried.iter().any(|tried| matches!(tried.found, Found::Fault(_))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_tried_is_a_line_each_and_faults_have_their_mend_below() {
        let tried = [
            Tried::new(Check::Homeserver, Found::Fine("answers".to_owned())),
            Tried::new(Check::Deliveries, Found::Open("not asked".to_owned())),
            Tried::new(Check::Claude, Found::Fault("no\n  Mend: yes".to_owned())),
        ];
        let (text, is_faulty) = shown(&tried);
        assert_eq!(
            text,
            "Tried live:\n  ok     homeserver    answers\n  open   deliveries    not asked\n  FAULT  claude        no\n         \
             Mend: yes"
        );
        assert!(is_faulty && !shown(&tried[..2]).1);
    }

    #[test]
    fn op3_what_has_no_result_waits_for_another_check_or_has_nothing_to_try() {
        let mut tried = vec![
            Tried::new(Check::Claude, Found::Fine("yes".to_owned())),
            Tried::new(Check::Homeserver, Found::Fault("no".to_owned())),
        ];
        complete(&mut tried);
        let text = |check| tried.iter().find(|tried| tried.check == check).map(|tried| &tried.found);
        let skipped = |text: &str| Found::Skipped(text.to_owned());
        assert_eq!(tried.len(), CHECKS.len());
        assert!(tried.is_sorted_by_key(|tried| tried.check));
        assert_eq!(text(Check::Namespace), Some(&skipped("not tried: `homeserver` comes first")));
        assert_eq!(text(Check::Encryption), Some(&skipped("not tried: `namespace` comes first")));
        assert_eq!([Check::Mcp, Check::Tool].map(text), [Some(&skipped("nothing to try")); 2]);
        assert_eq!(text(Check::Claude), Some(&Found::Fine("yes".to_owned())));
    }
}
