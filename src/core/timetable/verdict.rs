//! What becomes of a due time in one room: it runs, is skipped, or asks whether anybody still reads it (C20).

use std::collections::BTreeMap;

use ruma::OwnedRoomId;
use serde::{Deserialize, Serialize};

use super::due::Owing;
use crate::core::time::Timestamp;

/// After so many runs that nobody read, a schedule asks whether to go on.
pub(crate) const UNREAD_RUNS_MAX: usize = 5;

/// How far a schedule has come in one room.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// When it ran last.
    #[serde(default)]
    pub ran_at: Option<Timestamp>,
    /// When it ran before that.
    #[serde(default)]
    pub ran_before: Option<Timestamp>,
    /// The newest runs since a person last showed a sign of life there, oldest first; at most [`UNREAD_RUNS_MAX`].
    #[serde(default)]
    pub unread: Unread,
    /// Up to where due times are handled here, while another room of the schedule still waits.
    #[serde(default)]
    pub until: Option<Timestamp>,
    /// When it asked whether to go on; `None` once somebody showed up.
    #[serde(default)]
    pub asked_at: Option<Timestamp>,
    /// The newest due time that was skipped, and why.
    #[serde(default)]
    pub skipped: Option<(Timestamp, Skip)>,
    /// How many were skipped so far.
    #[serde(default)]
    pub skips: u64,
}

/// The due times of runs that nobody has read yet, oldest first. An earlier version kept only their number, which counts
/// as none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored")]
pub(crate) struct Unread(Vec<Timestamp>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Stored {
    Runs(Vec<Timestamp>),
    Count(serde::de::IgnoredAny),
}

impl From<Stored> for Unread {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Runs(runs) => Self(runs),
            Stored::Count(_) => Self::default(),
        }
    }
}

impl Progress {
    /// Returns how many runs nobody has read, where a person last showed a sign of life at `seen_at`.
    fn unread_since(&self, seen_at: Option<Timestamp>) -> Unread {
        Unread(self.unread.0.iter().copied().filter(|run| seen_at.is_none_or(|seen_at| seen_at <= *run)).collect())
    }

    /// Returns whether it depends on who has read the room whether the schedule goes on there, when a person last wrote
    /// at `written_at`.
    #[must_use]
    pub(crate) fn depends_on_readers(&self, written_at: Option<Timestamp>) -> bool {
        match self.asked_at {
            Some(asked_at) => written_at.is_none_or(|written_at| written_at <= asked_at),
            None => self.unread_since(written_at).0.len() >= UNREAD_RUNS_MAX,
        }
    }

    /// Notes that a due time which was accepted did not run after all, and why: it was as if it had never begun.
    pub(crate) fn left(&mut self, due: Timestamp, why: Skip) {
        if self.skipped.is_some_and(|(last, _)| last == due) {
            // A crash has it noted twice.
            return;
        }
        self.skip(due, why, 1);
        self.unread.0.retain(|run| *run != due);
        if self.ran_at == Some(due) {
            self.ran_at = self.ran_before.take();
        } else if self.ran_before == Some(due) {
            // What was said before that is not known any more; rather too much is new than too little.
            self.ran_before = None;
        }
    }

    fn skip(&mut self, at: Timestamp, why: Skip, count: u32) {
        self.skipped = self.skipped.filter(|(last, _)| *last > at).or(Some((at, why)));
        self.skips = self.skips.saturating_add(count.into());
    }

    fn ran(&mut self, due: Timestamp) {
        (self.ran_before, self.ran_at, self.asked_at) = (self.ran_at, Some(due), None);
        self.unread.0.push(due);
        let surplus = self.unread.0.len().saturating_sub(UNREAD_RUNS_MAX);
        self.unread.0.drain(..surplus);
    }
}

/// How far a schedule has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Handled {
    /// All due times up to this one are handled.
    pub until: Timestamp,
    /// When it is due, as it was said; another text begins anew.
    pub said: String,
    /// When it is due next, so that a start need not work it out; `None` where that is not known.
    #[serde(default)]
    pub next: Option<Timestamp>,
    /// What happened in each room.
    #[serde(default)]
    pub rooms: BTreeMap<OwnedRoomId, Progress>,
}

impl Handled {
    /// Returns when it is due next, if that is noted and still holds: it says the same time as `said`, and no clock that
    /// was set back stands before what is handled.
    #[must_use]
    pub(crate) fn next_noted(&self, said: &str, now: Timestamp) -> Option<Timestamp> {
        self.next.filter(|_| self.said == said && self.until <= now)
    }
}

/// Why a due time did not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Skip {
    /// It was missed by more than its grace, or a newer one ran instead.
    Missed,
    /// Nothing new was said in the room.
    NothingNew,
    /// The coworker is muted there.
    Muted,
    /// Nobody reads it, and it was asked whether to go on.
    NobodyReads,
    /// The coworker is not in the room, or may not speak there.
    NotThere,
}

impl Skip {
    /// Returns its short name, for logs.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Missed => "missed",
            Self::NothingNew => "nothing_new",
            Self::Muted => "muted",
            Self::NobodyReads => "nobody_reads",
            Self::NotThere => "not_there",
        }
    }
}

/// What is known of the room at a due time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Around {
    /// Whether the coworker is there and may work there.
    pub is_there: bool,
    /// Whether it is muted there.
    pub is_muted: bool,
    /// When somebody who is none of ours, be it a person or a bot, last wrote there.
    pub news_at: Option<Timestamp>,
    /// When a person last wrote, reacted or read there.
    pub seen_at: Option<Timestamp>,
}

/// What becomes of a due time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It runs.
    Run {
        /// The due time.
        due: Timestamp,
        /// Whether the answer says that it is late.
        is_late: bool,
    },
    /// It asks the room whether to go on, and does not run.
    AskWhether {
        /// The due time.
        due: Timestamp,
    },
    /// It does not run, and the record says why.
    Skip(Skip),
    /// Nothing is due.
    Nothing,
}

/// Decides what becomes of what is owed in a room, and returns what is known of the schedule there afterwards.
#[must_use]
pub(crate) fn verdict(
    owing: &Owing,
    only_if_new_messages: bool,
    progress: &Progress,
    around: Around,
) -> (Verdict, Progress) {
    let mut after = Progress { until: Some(owing.until), ..progress.clone() };
    if let Some(missed) = owing.last_missed {
        after.skip(missed, Skip::Missed, owing.missed);
    }
    let Some(due) = owing.due else {
        let verdict = if owing.missed > 0 { Verdict::Skip(Skip::Missed) } else { Verdict::Nothing };
        return (verdict, after);
    };
    let is_after =
        |sign: Option<Timestamp>, what: Option<Timestamp>| sign.is_some_and(|at| what.is_none_or(|what| at > what));
    after.unread = progress.unread_since(around.seen_at);
    after.asked_at = progress.asked_at.filter(|asked_at| !is_after(around.seen_at, Some(*asked_at)));
    let why_not = if !around.is_there {
        Some(Skip::NotThere)
    } else if around.is_muted {
        Some(Skip::Muted)
    } else if only_if_new_messages && !is_after(around.news_at, progress.ran_at) {
        Some(Skip::NothingNew)
    } else if after.asked_at.is_some() {
        Some(Skip::NobodyReads)
    } else {
        None
    };
    if let Some(why) = why_not {
        after.skip(due, why, 1);
        return (Verdict::Skip(why), after);
    }
    if after.unread.0.len() >= UNREAD_RUNS_MAX {
        after.asked_at = Some(due);
        return (Verdict::AskWhether { due }, after);
    }
    after.ran(due);
    (Verdict::Run { due, is_late: owing.is_late }, after)
}
