//! `workmate check --live`: tries what a start and the first request would, without serving anybody.

mod claude;
mod files;
mod homeserver;
mod servers;

use std::path::Path;

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::config::Config;

/// What came of trying one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It works; what was seen.
    Fine(String),
    /// It could not be tried, or is doubtful; why.
    Open(String),
    /// It does not work; what is wrong, why that matters, and how to mend it.
    Fault(String),
}

/// One thing that was tried.
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

/// Tries everything: what can be told at once without each other's help goes on side by side.
pub(super) async fn all(path: &Path, config: &Config, service_user: Option<&str>) -> Vec<Tried> {
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let mut tried = files::all(path, config, service_user);
    let (homeserver, model, servers) = tokio::join!(
        Box::pin(homeserver::all(config, &tasks, &stop)),
        Box::pin(claude::all(config)),
        Box::pin(servers::all(config, &tasks, &stop)),
    );
    tried.extend(homeserver.into_iter().chain(model).chain(servers));
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    tried
}

/// Returns what was found as lines, and whether there is a fault among it.
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
