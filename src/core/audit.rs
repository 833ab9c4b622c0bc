//! The audit index: what stays of every run that ended, who may see how much of it, and how it is searched (C13).
//!
//! The index holds no content. Of an assistant's run, operators see whose it was, how it ended, and what it used (A4):
//! [`Entry::of`] is the one way from what is stored to what is shown.

use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};
use serde::{Deserialize, Serialize};

use super::{
    people::{Namespace, Who},
    run::Outcome,
    time::Timestamp,
    trail::Tally,
};

mod filter;
mod moment;
mod rfc3339;

pub use self::{
    filter::{Filter, outcome_named, select},
    moment::{Bound, moment},
};

/// Where a run stands in the index: when it was accepted, and its id.
pub type RunKey = (Timestamp, String);

/// What stays of a run that ended: no content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSummary {
    /// The virtual user that answered.
    pub user: OwnedUserId,
    /// The coworker's id; `None` for assistants, and in records from before it was noted.
    #[serde(default)]
    pub coworker: Option<String>,
    /// Whether it was an assistant's.
    #[serde(default)]
    pub private: bool,
    /// Who asked.
    pub asker: OwnedUserId,
    /// Where.
    pub room: OwnedRoomId,
    /// The root of the thread that it was answered in.
    #[serde(default)]
    pub thread: Option<OwnedEventId>,
    /// The message that asked.
    pub request: OwnedEventId,
    /// The answer.
    pub answer: Option<OwnedEventId>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it failed, by a short name.
    #[serde(default)]
    pub reason: Option<String>,
    /// The events whose text the model read, oldest first; empty for assistants.
    pub read: Vec<OwnedEventId>,
    /// When the oldest and the newest of them were sent.
    #[serde(default)]
    pub read_span: Option<(Timestamp, Timestamp)>,
    /// Its tool calls, in order, without arguments and results.
    #[serde(default)]
    pub tools: Vec<Tally>,
    /// The model that answered.
    pub model: Option<String>,
    /// Calls of the model.
    #[serde(default)]
    pub model_calls: u32,
    /// Prompt tokens, cached ones included.
    pub input_tokens: u64,
    /// Prompt tokens that the provider had cached.
    #[serde(default)]
    pub cached_tokens: u64,
    /// Answer tokens, thinking included.
    pub output_tokens: u64,
    /// What it cost, in millionths of a US dollar; `None` where the price is not known.
    pub cost_micro_usd: Option<u64>,
    /// The category under which the model's provider refused it, where it did; `unnamed` where it names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// Whether the audit room still lacks its line.
    #[serde(default)]
    pub line_due: bool,
}

/// What a run used of the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Calls.
    pub model_calls: u32,
    /// Prompt tokens, cached ones included.
    pub input_tokens: u64,
    /// Prompt tokens that the provider had cached.
    pub cached_tokens: u64,
    /// Answer tokens, thinking included.
    pub output_tokens: u64,
    /// What it cost, in millionths of a US dollar; `None` where the price is not known.
    pub cost_micro_usd: Option<u64>,
}

/// Whose a run was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A coworker's.
    Coworker,
    /// An assistant's.
    Assistant,
}

/// A run as operators see it: in lists, exports and the audit room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its id.
    pub run: String,
    /// Whose it was.
    pub kind: Kind,
    /// The coworker's id.
    pub coworker: Option<String>,
    /// The virtual user that answered.
    pub user: OwnedUserId,
    /// Who asked; of an assistant, its owner.
    pub asker: OwnedUserId,
    /// Where; not said of assistants, like all ids of events.
    pub room: Option<OwnedRoomId>,
    /// The root of the thread that it was answered in.
    pub thread: Option<OwnedEventId>,
    /// The message that asked.
    pub request: Option<OwnedEventId>,
    /// The answer.
    pub answer: Option<OwnedEventId>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it failed, by a short name.
    #[serde(default)]
    pub reason: Option<String>,
    /// The events whose text the model read, oldest first.
    pub read: Vec<OwnedEventId>,
    /// When the oldest and the newest of them were sent.
    #[serde(with = "rfc3339::span")]
    pub read_span: Option<(Timestamp, Timestamp)>,
    /// Its tool calls, in order; of assistants only their number is said.
    pub tools: Vec<Tally>,
    /// The number of its tool calls.
    pub tool_calls: usize,
    /// The model that answered.
    pub model: Option<String>,
    /// The category under which the model's provider refused it; not said of assistants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// What it used.
    #[serde(flatten)]
    pub spent: Spent,
    /// When it was accepted.
    #[serde(with = "rfc3339")]
    pub accepted_at: Timestamp,
    /// When it ended.
    #[serde(with = "rfc3339")]
    pub ended_at: Timestamp,
}

impl Entry {
    /// Returns what may be shown of a run. Records from before kinds were noted are told apart by their user's name.
    #[must_use]
    pub fn of((accepted_at, run): RunKey, summary: RunSummary, namespace: &Namespace) -> Self {
        let spent = summary.spent();
        let (coworker, by_name) = match (summary.coworker, namespace.who(&summary.user)) {
            (Some(id), _) => (Some(id), Kind::Coworker),
            (None, Who::Coworker(id)) => (Some(id.0), Kind::Coworker),
            // Whatever is not known to be a coworker's is shown like an assistant's.
            (None, _) => (None, Kind::Assistant),
        };
        let kind = if summary.private { Kind::Assistant } else { by_name };
        let public = kind == Kind::Coworker;
        Self {
            run,
            kind,
            coworker: coworker.filter(|_| public),
            user: summary.user,
            asker: summary.asker,
            room: public.then_some(summary.room),
            thread: summary.thread.filter(|_| public),
            request: public.then_some(summary.request),
            answer: summary.answer.filter(|_| public),
            outcome: summary.outcome,
            reason: summary.reason,
            read: if public { summary.read } else { Vec::new() },
            read_span: summary.read_span.filter(|_| public),
            tool_calls: summary.tools.len(),
            tools: if public { summary.tools } else { Vec::new() },
            model: summary.model,
            refused: summary.refused.filter(|_| public),
            spent,
            accepted_at,
            ended_at: summary.ended_at,
        }
    }

    /// Returns how long it took, in milliseconds.
    #[must_use]
    pub fn duration_ms(&self) -> u64 {
        self.ended_at.ms_since(self.accepted_at)
    }

    /// Returns whether `asked` names this run: its id, or a beginning of it of at least [`RUN_CHARS_MIN`] characters.
    ///
    /// A run again (🔁) has the number behind its dash; it must be named with it.
    #[must_use]
    pub fn is_named(&self, asked: &str) -> bool {
        let parts = |id: &str| match id.split_once('-') {
            Some((hash, again)) => (hash.to_owned(), Some(again.to_owned())),
            None => (id.to_owned(), None),
        };
        let ((hash, again), (asked, asked_again)) = (parts(&self.run), parts(asked));
        asked.len() >= RUN_CHARS_MIN && hash.starts_with(&asked) && again == asked_again
    }
}

/// The fewest characters of a run's id that name it.
pub const RUN_CHARS_MIN: usize = 6;

impl RunSummary {
    /// Returns what it used of the model.
    #[must_use]
    pub fn spent(&self) -> Spent {
        Spent {
            model_calls: self.model_calls,
            input_tokens: self.input_tokens,
            cached_tokens: self.cached_tokens,
            output_tokens: self.output_tokens,
            cost_micro_usd: self.cost_micro_usd,
        }
    }
}

/// Returns the moment before which runs are forgotten.
#[must_use]
pub fn kept_from(now: Timestamp, retention_days: u32) -> Timestamp {
    const DAY_MS: i64 = 24 * 3_600 * 1_000;
    Timestamp::from_ms(now.as_ms().saturating_sub(i64::from(retention_days).saturating_mul(DAY_MS)))
}

/// What is asked through the door of a running Workmate: one JSON object on one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// The runs that pass the filter, newest first.
    List(Filter),
    /// The run with that id, or with an id that begins like that.
    Show(String),
    /// That the coworker with this id leaves its rooms; no question, but asked through the same door.
    Retire(String),
}

/// What is answered: one JSON object on each line, `done` or `failed` last. Without such a last line, it broke off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// One run.
    Run(Box<Entry>),
    /// What came of what was asked for.
    Said {
        /// Whether it was done.
        done: bool,
        /// In words for an operator.
        text: String,
    },
    /// That was all.
    Done,
    /// It cannot be answered; why, and how to mend it.
    Failed(String),
}

#[cfg(test)]
mod tests;
