//! What becomes of a due time in one room: it runs, is skipped, or asks whether anybody still reads it (C20).

use std::collections::BTreeMap;

use ruma::OwnedRoomId;
use serde::{Deserialize, Serialize};

use super::due::Owing;
use crate::core::time::Timestamp;

/// After so many runs that nobody read, a schedule asks whether to go on.
pub const UNREAD_RUNS_MAX: u32 = 5;

/// How far a schedule has come in one room.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// When it ran last.
    #[serde(default)]
    pub ran_at: Option<Timestamp>,
    /// How many runs came since a person last showed a sign of life there.
    #[serde(default)]
    pub unread: u32,
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

/// How far a schedule has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handled {
    /// All due times up to this one are handled.
    pub until: Timestamp,
    /// When it is due, as it was said; another text begins anew.
    pub said: String,
    /// What happened in each room.
    #[serde(default)]
    pub rooms: BTreeMap<OwnedRoomId, Progress>,
}

/// Why a due time did not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Skip {
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
    pub fn name(self) -> &'static str {
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
pub struct Around {
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
pub enum Verdict {
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
pub fn verdict(owing: &Owing, only_if_new_messages: bool, progress: &Progress, around: Around) -> (Verdict, Progress) {
    let mut after = progress.clone();
    let mut skip = |at: Timestamp, why, count: u32| {
        after.skipped = Some((at, why));
        after.skips = after.skips.saturating_add(count.into());
    };
    if let Some(missed) = owing.last_missed {
        skip(missed, Skip::Missed, owing.missed);
    }
    let Some(due) = owing.due else {
        let verdict = if owing.missed > 0 { Verdict::Skip(Skip::Missed) } else { Verdict::Nothing };
        return (verdict, after);
    };
    let is_after =
        |sign: Option<Timestamp>, what: Option<Timestamp>| sign.is_some_and(|at| what.is_none_or(|what| at > what));
    let somebody_is_there = is_after(around.seen_at, progress.asked_at.or(progress.ran_at));
    let (unread, asked_at) = if somebody_is_there { (0, None) } else { (progress.unread, progress.asked_at) };
    let why_not = if !around.is_there {
        Some(Skip::NotThere)
    } else if around.is_muted {
        Some(Skip::Muted)
    } else if only_if_new_messages && !is_after(around.news_at, progress.ran_at) {
        Some(Skip::NothingNew)
    } else if asked_at.is_some() {
        Some(Skip::NobodyReads)
    } else {
        None
    };
    if let Some(why) = why_not {
        skip(due, why, 1);
        (after.unread, after.asked_at) = (unread, asked_at);
        return (Verdict::Skip(why), after);
    }
    if unread >= UNREAD_RUNS_MAX {
        (after.unread, after.asked_at) = (unread, Some(due));
        return (Verdict::AskWhether { due }, after);
    }
    after = Progress { ran_at: Some(due), unread: unread.saturating_add(1), asked_at: None, ..after };
    (Verdict::Run { due, is_late: owing.is_late }, after)
}
