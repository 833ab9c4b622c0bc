//! Which runs are meant, among those that operators may see.

use ruma::{OwnedRoomId, OwnedUserId};
use serde::{Deserialize, Serialize};

use super::{Entry, RunKey, RunSummary};
use crate::core::{people::Namespace, run::Outcome, time::Timestamp};

/// What a run must be like; what is not named does not matter.
///
/// It is held against what operators see, so that nothing hidden can be guessed by filtering.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// The coworker's id.
    pub coworker: Option<String>,
    /// The room.
    pub room: Option<OwnedRoomId>,
    /// Who asked.
    pub person: Option<OwnedUserId>,
    /// A tool that was called.
    pub tool: Option<String>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Accepted then or later.
    pub since: Option<Timestamp>,
    /// Accepted then or earlier.
    pub until: Option<Timestamp>,
    /// The most runs wanted; all where it is not said.
    pub limit: Option<usize>,
}

impl Filter {
    /// Returns whether a run passes.
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

/// Returns the runs that pass, of the index read from its newest record on. What cannot be read is handed on.
pub fn select<E>(
    newest_first: impl Iterator<Item = Result<(RunKey, RunSummary), E>>,
    filter: &Filter,
    namespace: &Namespace,
) -> impl Iterator<Item = Result<Entry, E>> {
    let since = filter.since;
    newest_first
        // The index is in the order of time: behind the first older one there are only older ones.
        .take_while(move |read| read.as_ref().map_or(true, |(key, _)| since.is_none_or(|since| key.0 >= since)))
        .map(|read| read.map(|(key, summary)| Entry::of(key, summary, namespace)))
        .filter(|read| read.as_ref().map_or(true, |entry| filter.matches(entry)))
        .take(filter.limit.unwrap_or(usize::MAX))
}

/// Returns the outcome with that name.
///
/// # Errors
/// The names that there are.
pub fn outcome_named(name: &str) -> Result<Outcome, String> {
    serde_json::from_value(serde_json::Value::from(name))
        .map_err(|_| "not an outcome; it is one of done, failed, stopped, declined, dropped".to_owned())
}
