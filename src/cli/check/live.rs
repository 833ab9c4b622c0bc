//! `workmate check --live`: tries what a start and the first request need, without serving anybody.

mod claude;
mod files;
mod finding;
mod homeserver;
mod recogniser;
mod servers;

use std::path::Path;

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{clock, config::Config, core::reach};

/// How one trial ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It works; says what was seen.
    Fine(String),
    /// It is doubtful or could not be tried; says why.
    Open(String),
    /// It does not work; says what is wrong, why that matters, and how to mend it.
    Fault(String),
}

/// A trial with its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tried {
    pub(super) what: String,
    pub(super) found: Found,
}

impl Tried {
    fn new(what: impl Into<String>, found: Found) -> Self {
        Self { what: what.into(), found }
    }
}

/// Tries everything; independent trials run concurrently.
pub(super) async fn all(path: &Path, config: &Config, service_user: Option<&str>) -> Vec<Tried> {
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let mut tried = files::all(path, config, service_user);
    let ((homeserver, by_homeserver), (model, by_api), servers, recogniser) = tokio::join!(
        Box::pin(homeserver::all(config, &tasks, &stop)),
        Box::pin(claude::all(config)),
        Box::pin(servers::all(config, &tasks, &stop)),
        Box::pin(recogniser::all(config)),
    );
    tried.extend(homeserver.into_iter().chain(model).chain(servers).chain(recogniser));
    tried.push(Tried::new("clock", clock_of(by_homeserver, by_api)));
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    tried
}

/// Judges this machine's clock by how far the homeserver's and the API's are ahead, in milliseconds.
fn clock_of(by_homeserver: Option<i64>, by_api: Option<i64>) -> Found {
    match reach::clock::told(by_homeserver, by_api, clock::now()) {
        Some(told) => Found::Fault(format!("{told}.")),
        None if by_homeserver.is_none() && by_api.is_none() => {
            Found::Open("not compared: nobody said the time".to_owned())
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

/// Returns the results as lines, and whether there is a fault.
pub(super) fn shown(tried: &[Tried]) -> (String, bool) {
    let mut lines = vec!["Tried live:".to_owned()];
    for Tried { what, found } in tried {
        let (mark, text) = match found {
            Found::Fine(text) => ("ok   ", text),
            Found::Open(text) => ("open ", text),
            Found::Fault(text) => ("FAULT", text),
        };
        lines.push(format!("  {mark}  {what:<13} {}", text.replace('\n', "\n       ")));
    }
    (lines.join("\n"), tried.iter().any(|tried| matches!(tried.found, Found::Fault(_))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_tried_is_a_line_each_and_faults_have_their_mend_below() {
        let tried = [
            Tried::new("homeserver", Found::Fine("answers".to_owned())),
            Tried::new("deliveries", Found::Open("not asked".to_owned())),
            Tried::new("claude", Found::Fault("no\n  Mend: yes".to_owned())),
        ];
        let (text, is_faulty) = shown(&tried);
        assert_eq!(
            text,
            "Tried live:\n  ok     homeserver    answers\n  open   deliveries    not asked\n  FAULT  claude        no\n         \
             Mend: yes"
        );
        assert!(is_faulty && !shown(&tried[..2]).1);
    }
}
