//! The one notice of a run that takes long: when it is shown, and when it is edited (C9).

use super::Step;
use crate::core::time::Timestamp;

/// A coworker's run that takes longer shows a status, in milliseconds (C9).
pub(super) const STATUS_AFTER_MS: u64 = 6_000;
/// The gap to the status' first edit, in milliseconds; each later one is twice as long.
const STATUS_GAP_MS: u64 = 10_000;
/// The longest gap between two edits of a status, in milliseconds.
const STATUS_GAP_MS_MAX: u64 = 120_000;

/// How far a run with tools is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Doing {
    /// Steps that are done.
    pub done: usize,
    /// The tools that are being used, by name.
    pub running: Vec<String>,
    /// The tools whose use waits for somebody's approval, by name.
    pub asked: Vec<String>,
}

impl Doing {
    /// Whether nothing but people is waited for.
    pub(super) fn waits(&self) -> bool {
        self.running.is_empty() && !self.asked.is_empty()
    }
}

/// When a run's status is shown and edited.
#[derive(Debug)]
pub(super) struct Status {
    pub(super) began: Timestamp,
    pub(super) next: Timestamp,
    pub(super) gap_ms: u64,
    pub(super) shown: bool,
    /// People were told that the model is busy.
    pub(super) busy: bool,
    /// It says that people are waited for.
    pub(super) waits: bool,
}

impl Status {
    pub(super) fn new(began: Timestamp, shown: bool, now: Timestamp) -> Self {
        Self { began, next: now.later(STATUS_AFTER_MS), gap_ms: STATUS_GAP_MS, shown, busy: false, waits: false }
    }

    /// Returns the step that shows something now: the notice itself, or an edit of it.
    pub(super) fn step(&mut self, now: Timestamp) -> Step {
        if std::mem::replace(&mut self.shown, true) {
            // A number that neither a run begun anew nor a later process uses again.
            return Step::StatusEdit(now.ms_since(self.began));
        }
        Step::Status
    }

    /// Returns the step that is due, if any.
    pub(super) fn due(&mut self, now: Timestamp) -> Option<Step> {
        if now < self.next {
            return None;
        }
        self.next = now.later(self.gap_ms);
        self.gap_ms = (self.gap_ms * 2).min(STATUS_GAP_MS_MAX);
        Some(self.step(now))
    }
}
