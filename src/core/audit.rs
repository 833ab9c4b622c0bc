//! The audit index: what stays of each ended run, who may see how much of it, and how it is searched (C13).
//!
//! The index holds no content. Of an assistant's run operators see the owner, the outcome and the usage (A4).
//! [`Entry::of`] is the only way from the stored form to the shown one.

use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use super::{
    batch::BatchEnd,
    origin::Origin,
    outcome::Outcome,
    people::{Namespace, Who},
    time::Timestamp,
    trail::Tally,
};

mod filter;
mod moment;
mod rfc3339;
mod spending;
mod sums;

pub use self::{
    filter::{Filter, outcome_named, select},
    moment::{Bound, moment},
    spending::{By, Row, Spending, add_up, counted},
    sums::{CELLS_MAX, Day, Figures, Named, OTHERS, ReportRow, Sums},
};

/// A run's key in the index: when it was accepted, and its id.
pub type RunKey = (Timestamp, String);

/// What is stored of an ended run; no content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSummary {
    /// The virtual user that answered.
    pub user: OwnedUserId,
    /// The coworker's id; `None` for assistants and in records of early versions.
    #[serde(default)]
    pub coworker: Option<String>,
    /// Whether an assistant answered.
    #[serde(default)]
    pub private: bool,
    /// Who asked; an assistant's owner.
    pub asker: OwnedUserId,
    /// The room in which it was asked and answered.
    pub room: OwnedRoomId,
    /// The root of the thread in which it was answered; `None` in the timeline.
    #[serde(default)]
    pub thread: Option<OwnedEventId>,
    /// The message that asked, even if it was redacted since.
    pub request: OwnedEventId,
    /// The message that answered; `None` if there was none.
    pub answer: Option<OwnedEventId>,
    /// How the run ended.
    pub outcome: Outcome,
    /// Why it failed, as a short name; `None` if it did not fail.
    #[serde(default)]
    pub reason: Option<String>,
    /// The events whose text the model read, oldest first; empty for assistants.
    pub read: Vec<OwnedEventId>,
    /// When the oldest and the newest of those events were sent.
    #[serde(default)]
    pub read_span: Option<(Timestamp, Timestamp)>,
    /// Its tool calls in order, without arguments or results.
    #[serde(default)]
    pub tools: Vec<Tally>,
    /// The model that answered; `None` if it was never asked.
    pub model: Option<String>,
    /// Number of calls to the model.
    #[serde(default)]
    pub model_calls: u32,
    /// Prompt tokens, including cached ones.
    pub input_tokens: u64,
    /// Prompt tokens read from the provider's cache.
    #[serde(default)]
    pub cached_tokens: u64,
    /// Answer tokens, including thinking.
    pub output_tokens: u64,
    /// The cost in millionths of a US dollar; `None` if the price is unknown.
    pub cost_micro_usd: Option<u64>,
    /// The category in which the provider refused it; `unnamed` if the provider gave none, `None` if it did not refuse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// How many messages and other parts were left out because the provider refused them.
    #[serde(default, skip_serializing_if = "is_none")]
    pub left_out: u32,
    /// Whether a model of `claude.fallback_models` answered, because those before it refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fallback: bool,
    /// When the request was accepted.
    pub accepted_at: Timestamp,
    /// When the run ended.
    pub ended_at: Timestamp,
    /// What it came from, where nobody asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// Whether its first question went as a batch, and what became of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchEnd>,
    /// Whether its line in the audit room is still missing.
    #[serde(default)]
    pub line_due: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_none(number: &u32) -> bool {
    *number == 0
}

/// A run's usage of the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Number of calls to the model.
    pub model_calls: u32,
    /// Prompt tokens, including cached ones.
    pub input_tokens: u64,
    /// Prompt tokens read from the provider's cache.
    pub cached_tokens: u64,
    /// Answer tokens, including thinking.
    pub output_tokens: u64,
    /// The cost in millionths of a US dollar; `None` if the price is unknown.
    pub cost_micro_usd: Option<u64>,
}

/// Whether a coworker or an assistant answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A coworker's run, of which ids are shown.
    Coworker,
    /// An assistant's run, of which no ids of rooms or events are shown.
    Assistant,
}

/// A run as operators see it: in lists, exports and the audit room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The run's id.
    pub run: String,
    /// Whether a coworker or an assistant answered.
    pub kind: Kind,
    /// The coworker's id; `None` for assistants.
    pub coworker: Option<String>,
    /// The virtual user that answered.
    pub user: OwnedUserId,
    /// Who asked; an assistant's owner.
    pub asker: OwnedUserId,
    /// The room; `None` for assistants, like all event ids below.
    pub room: Option<OwnedRoomId>,
    /// The root of the thread in which it was answered.
    pub thread: Option<OwnedEventId>,
    /// The message that asked.
    pub request: Option<OwnedEventId>,
    /// The message that answered.
    pub answer: Option<OwnedEventId>,
    /// How the run ended.
    pub outcome: Outcome,
    /// Why it failed, as a short name.
    #[serde(default)]
    pub reason: Option<String>,
    /// The events whose text the model read, oldest first.
    pub read: Vec<OwnedEventId>,
    /// When the oldest and the newest of those events were sent.
    #[serde(with = "rfc3339::span")]
    pub read_span: Option<(Timestamp, Timestamp)>,
    /// Its tool calls in order; empty for assistants, of which only the number is shown.
    pub tools: Vec<Tally>,
    /// The number of its tool calls.
    pub tool_calls: usize,
    /// The model that answered.
    pub model: Option<String>,
    /// The category in which the provider refused it; `None` for assistants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// How many messages and other parts were left out because the provider refused them; 0 for assistants.
    #[serde(default, skip_serializing_if = "is_none")]
    pub left_out: u32,
    /// Whether a model of `claude.fallback_models` answered, because those before it refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fallback: bool,
    /// What it came from, where nobody asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// Whether its first question went as a batch, and what became of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchEnd>,
    /// Its usage of the model.
    #[serde(flatten)]
    pub spent: Spent,
    /// When the request was accepted.
    #[serde(with = "rfc3339")]
    pub accepted_at: Timestamp,
    /// When the run ended.
    #[serde(with = "rfc3339")]
    pub ended_at: Timestamp,
}

impl Entry {
    /// Returns what may be shown of a run. Records without a kind, from early versions, are classified by their user's
    /// id.
    #[must_use]
    pub fn of((accepted_at, run): RunKey, summary: RunSummary, namespace: &Namespace) -> Self {
        let spent = summary.spent();
        let is_private = summary.owner().is_some();
        let (coworker, by_name) = match (summary.coworker, namespace.who(&summary.user)) {
            (Some(id), _) => (Some(id), Kind::Coworker),
            (None, Who::Coworker(id)) => (Some(id.0), Kind::Coworker),
            // Anything not known to be a coworker's is shown like an assistant's.
            (None, _) => (None, Kind::Assistant),
        };
        let kind = if is_private { Kind::Assistant } else { by_name };
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
            left_out: if public { summary.left_out } else { 0 },
            fallback: summary.fallback,
            origin: summary.origin.filter(|_| public),
            batch: summary.batch.filter(|_| public),
            spent,
            accepted_at,
            ended_at: summary.ended_at,
        }
    }

    /// Returns how long it took from acceptance to end, in milliseconds.
    #[must_use]
    pub fn duration_ms(&self) -> u64 {
        self.ended_at.ms_since(self.accepted_at)
    }

    /// Returns whether `asked` names this run: its id, or at least the first [`RUN_CHARS_MIN`] characters of it.
    ///
    /// A repeated run (🔁) has a number after a dash, which must be given in full.
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

/// The fewest characters that name a run.
pub const RUN_CHARS_MIN: usize = 6;

impl RunSummary {
    /// Returns the owner whose assistant answered; `None` for a coworker.
    #[must_use]
    pub fn owner(&self) -> Option<&UserId> {
        self.private.then_some(&*self.asker)
    }

    /// Returns the run's usage of the model.
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

/// Returns the time before which runs are past their retention.
#[must_use]
pub fn kept_from(now: Timestamp, retention_days: u32) -> Timestamp {
    const DAY_MS: i64 = 24 * 3_600 * 1_000;
    Timestamp::from_ms(now.as_ms().saturating_sub(i64::from(retention_days).saturating_mul(DAY_MS)))
}

/// A question to a running Workmate: one JSON object on one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// List the runs that match the filter, newest first.
    List(Filter),
    /// Show the run with this id, or with an id that begins like this.
    Show(String),
    /// Add up what was spent.
    Spend {
        /// By what.
        by: By,
        /// Since the day of this time in UTC.
        since: Option<Timestamp>,
    },
    /// Report runs and what they cost.
    Report {
        /// By what.
        by: By,
        /// Since the day of this time in UTC.
        since: Option<Timestamp>,
    },
    /// Retire the coworker with this id. Not a question, but sent through the same socket.
    Retire(String),
    /// Read the tokens' files again. Not a question either.
    Tokens,
    /// Read the configuration again. No question either.
    Reload,
}

/// An answer: one JSON object on each line, ending with `done` or `failed`. Without such an end the answer is
/// incomplete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// A matching run.
    Run(Box<Entry>),
    /// A row of what was spent.
    Spent(Row),
    /// What was spent in all.
    SpentInAll(Row),
    /// A row of a report.
    Reported(Box<ReportRow>),
    /// All rows of a report together.
    ReportedInAll(Box<ReportRow>),
    /// The outcome of a retirement.
    Said {
        /// Whether it was done.
        done: bool,
        /// What was done or why not, for an operator.
        text: String,
    },
    /// The end: every answer was sent.
    Done,
    /// The end: the question cannot be answered. Says why, and how to mend it.
    Failed(String),
}

#[cfg(test)]
pub(crate) mod tests;
