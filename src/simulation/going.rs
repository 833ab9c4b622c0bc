//! The runs that go on in a process.

use std::collections::{BTreeMap, VecDeque};

use ruma::OwnedEventId;

use crate::core::{
    edits::Edits,
    prompt::ToolUse,
    run::{Effect, Input, Order, Run, RunId},
    schedule::{Schedule, ScheduleLimits, Ticket},
    time::Timestamp,
};

/// What goes on and waits at once.
pub(super) const LIMITS: ScheduleLimits = ScheduleLimits { runs_max: 3, room_runs_max: 2, waiting_runs_max: 3 };
/// Calls of one run at once.
pub(super) const CALLS_MAX: usize = 2;

/// What a run waits for its ticket for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    Turn,
    Return,
}

/// A run that goes on.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Live {
    pub(super) run: Run,
    /// What it wants that is not carried out yet.
    pub(super) wants: VecDeque<Effect>,
    pub(super) request: usize,
    pub(super) ticket: Ticket,
    pub(super) waits: Option<Waits>,
    /// Whether its turn has come.
    pub(super) has_begun: bool,
    pub(super) parked: bool,
    /// What was begun before the last cut does not reach it.
    pub(super) attempt: u64,
    pub(super) incarnation: u32,
    pub(super) shown: Vec<OwnedEventId>,
    pub(super) early: Vec<(OwnedEventId, Order)>,
    pub(super) edits: Edits,
    /// What is on its way to the homeserver.
    pub(super) posting: bool,
    pub(super) ticks_at: Option<i64>,
    pub(super) tool_use: ToolUse,
    pub(super) asked: u32,
    pub(super) calling: usize,
    /// Cards that it waits for, with their calls.
    pub(super) cards: BTreeMap<u64, crate::core::approval::Pending>,
    pub(super) streamed_edits: u32,
    /// A planted fault: the journal is written behind the next flush.
    pub(super) journal_is_late: bool,
    /// Whether its answer is being sent and is not on disk yet.
    pub(super) answers_ahead: bool,
}

impl Live {
    /// Hands the run what happened, and takes what it wants. A record that begins anew does so at once.
    pub(super) fn hand(&mut self, input: Input, now: Timestamp) {
        self.run.handle(input, now);
        while let Some(effect) = self.run.next_effect() {
            let is_anew = matches!(effect, Effect::CloseCards);
            self.incarnation += u32::from(is_anew);
            self.wants.push_back(effect);
        }
    }
}

pub(super) struct Process {
    pub(super) schedule: Schedule,
    pub(super) live: BTreeMap<RunId, Live>,
}
