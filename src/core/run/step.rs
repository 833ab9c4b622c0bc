//! The visible steps of a run, and the transaction ids that they are sent under.

use ruma::{EventId, OwnedTransactionId, UserId};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::core::hex::hex;

/// Identifies a run: the same request and user give the same id, so nothing is run twice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(String);

impl RunId {
    /// Returns the id of the run that `request` starts with `user`.
    #[must_use]
    pub fn of(request: &EventId, user: &UserId) -> Self {
        let digest = Sha256::new().chain_update(request).chain_update("|").chain_update(user).finalize();
        Self(hex(&digest[..16]))
    }

    /// Returns the id of the `attempt`th time that the request is run again (🔁); 0 is [`Self::of`].
    #[must_use]
    pub fn again(request: &EventId, user: &UserId, attempt: u32) -> Self {
        let first = Self::of(request, user);
        if attempt == 0 { first } else { Self(format!("{}-{attempt}", first.0)) }
    }

    /// Returns the id as text, for keys and logs.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns what names the run with its request as it reads after so many edits, for what its tools set up.
    #[must_use]
    pub fn wording(&self, restarts: u32) -> String {
        format!("{}|{restarts}", self.0)
    }

    /// Returns the transaction id of one step.
    #[must_use]
    pub fn transaction(&self, step: Step) -> OwnedTransactionId {
        let name = match step {
            Step::Waiting => "waiting".to_owned(),
            Step::Answer => "answer".to_owned(),
            Step::Edit(n) => format!("edit-{n}"),
            Step::File => "file".to_owned(),
            Step::Stopped => "stopped".to_owned(),
            Step::Queued => "queued".to_owned(),
            Step::Status => "status".to_owned(),
            Step::StatusEdit(n) => format!("status-{n}"),
            Step::StatusEnd => "status-end".to_owned(),
            Step::Attached(number) => format!("attached-{number:x}"),
            Step::Made(number) => format!("made-{number:x}"),
            Step::Unposted => "unposted".to_owned(),
            Step::Card(number, step) => {
                let step = match step {
                    CardStep::Whole => "whole",
                    CardStep::Ask => "ask",
                    CardStep::Approve => "approve",
                    CardStep::Decline => "decline",
                    CardStep::End => "end",
                };
                format!("card-{number:016x}-{step}")
            }
        };
        format!("wm-{}-{name}", self.0).into()
    }
}

/// A visible step of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// The word that the model is busy.
    Waiting,
    /// The answer, or a streamed answer's first text.
    Answer,
    /// An edit of a streamed answer, counted from 1.
    Edit(u32),
    /// The whole of an answer that did not fit into a message.
    File,
    /// The word that it was stopped.
    Stopped,
    /// The word that it waits for its turn.
    Queued,
    /// The status of a run that takes long.
    Status,
    /// An edit of the status, by when it came: this long after the run began, in milliseconds.
    StatusEdit(u64),
    /// The status' last edit.
    StatusEnd,
    /// A file that a tool attached; the number is made of the call.
    Attached(u64),
    /// A file that code made; the number is made of its id at the provider.
    Made(u64),
    /// The word about files that could not be posted.
    Unposted,
    /// One of an approval's; the number is the card's (`approval::Pending::number`).
    Card(u64, CardStep),
}

/// What is sent for one approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CardStep {
    /// The file with a call that is too long for its card.
    Whole,
    /// The card.
    Ask,
    /// Our ✅ on it, for people to tap.
    Approve,
    /// Our ❌ on it.
    Decline,
    /// Its last edit: what was decided.
    End,
}
