//! Filters over the runs that operators may see.

use ruma::{OwnedRoomId, OwnedUserId};
use serde::{Deserialize, Serialize};

use super::{Entry, RunKey, RunSummary};
use crate::core::{people::Namespace, run::Outcome, time::Timestamp};

/// What runs must match; a field that is `None` matches any run.
///
/// It is applied to the shown form, so that filtering reveals nothing hidden.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// The coworker's id.
    pub coworker: Option<String>,
    /// The room's id; never matches an assistant's run.
    pub room: Option<OwnedRoomId>,
    /// The asker's user id.
    pub person: Option<OwnedUserId>,
    /// The name of a tool that was called.
    pub tool: Option<String>,
    /// How the run ended.
    pub outcome: Option<Outcome>,
    /// Accepted at this time or later.
    pub since: Option<Timestamp>,
    /// Accepted at this time or earlier.
    pub until: Option<Timestamp>,
    /// The most runs to return; `None` for all.
    pub limit: Option<usize>,
}

impl Filter {
    /// Returns whether a run matches, `limit` aside.
    #[must_use]
    pub fn matches(&self, entry: &Entry) -> bool {
        fn is<T: PartialEq>(wanted: Option<&T>, found: Option<&T>) -> bool {
            wanted.is_none() || wanted == found
        }
        is(self.coworker.as_ref(), entry.coworker.as_ref())
            && is(self.room.as_ref(), entry.room.as_ref())
            && is(self.person.as_ref(), Some(&entry.asker))
            && is(self.outcome.as_ref(), Some(&entry.outcome))
            && self.tool.as_ref().is_none_or(|tool| entry.tools.iter().any(|used| used.tool == *tool))
            && self.since.is_none_or(|since| entry.accepted_at >= since)
            && self.until.is_none_or(|until| entry.accepted_at <= until)
    }
}

/// Returns the matching runs; the index must come newest first. Read errors are passed on.
pub fn select<E>(
    newest_first: impl Iterator<Item = Result<(RunKey, RunSummary), E>>,
    filter: &Filter,
    namespace: &Namespace,
) -> impl Iterator<Item = Result<Entry, E>> {
    let since = filter.since;
    newest_first
        // The index is ordered by time, so every further run is older.
        .take_while(move |read| read.as_ref().map_or(true, |(key, _)| since.is_none_or(|since| key.0 >= since)))
        .map(|read| read.map(|(key, summary)| Entry::of(key, summary, namespace)))
        .filter(|read| read.as_ref().map_or(true, |entry| filter.matches(entry)))
        .take(filter.limit.unwrap_or(usize::MAX))
}

/// Returns the outcome with this name.
///
/// # Errors
/// If there is none; the text lists the names.
pub fn outcome_named(name: &str) -> Result<Outcome, String> {
    serde_json::from_value(serde_json::Value::from(name))
        .map_err(|_| "not an outcome; it is one of done, failed, stopped, declined, dropped".to_owned())
}
