//! A run: one request to one virtual user, from its acceptance to its last message.
//!
//! [`Run`] is the whole life of it, without IO. It is handed what happens as [`Input`]s with `now`, and says what to do as
//! [`Effect`]s, in their order; a driver carries them out one after the other, feeds what comes of them, and knows no
//! rule. What must outlive the process is the [`RunRecord`], which [`Effect::Journal`] stores.
//!
//! - Nothing visible is done before the journal holds, on disk, that it is about to be.
//! - Every message has a [`Step`], and with the run's id that makes the transaction id: sent again after a crash, it is the
//!   same event for the homeserver.
//! - At most one message is on its way at a time. What would cut the run short, an order or a failure, waits until its
//!   fate is known and noted.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{citing::Shelf, event::Outgoing, mask::Mask, time::Timestamp, tool::Toolset, work::Terms};

mod asking;
mod attempt;
mod batching;
mod calling;
mod effect;
mod failing;
mod input;
mod order;
mod patience;
mod phase;
mod posting;
mod record;
mod refusing;
mod saying;
pub(in crate::core) mod showing;
mod status;
mod step;
#[cfg(test)]
mod tests;
pub(in crate::core) mod trace;
mod used;

pub(crate) use self::{
    effect::{CatchUp, Effect, End, Flush, Remark, Start},
    input::{BatchNews, Failure, Input, Ready, Reply},
    order::{Nearness, Order},
    record::{RunRecord, decided_by},
    saying::file_place,
    status::Doing,
    step::{CardStep, RunId, Step},
    trace::Ended,
    used::{Answered, Bill, Used},
};
use self::{
    patience::Patience,
    phase::{Phase, Posting},
    refusing::Refusing,
    showing::{Show, Showing},
};
pub(crate) use super::{
    fault::{Fault, Stop},
    outcome::Outcome,
};

/// A request that waits longer than this is told its place, in milliseconds (C11).
pub(crate) const QUEUE_WORD_AFTER_MS: u64 = 15_000;

/// A message that is ready to be sent, with the file that it refers to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The message.
    pub message: Outgoing,
    /// The whole answer as Markdown, where the message is only its beginning.
    pub file: Option<String>,
    /// The files that code made at the provider, by their ids there: they are posted behind it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub made: Vec<String>,
    /// How the run ends with it.
    pub outcome: Outcome,
}

/// What binds every run.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// So often the model is asked with tools (`limits.tool_rounds_max`).
    pub rounds_max: u32,
    /// Tokens of all the model's turns together (`limits.run_tokens_max`).
    pub tokens_max: u64,
    /// Calls that are carried out side by side (`limits.tools_at_once_max`).
    pub calls_at_once_max: usize,
    /// An answer that the homeserver's absence delays longer than this says that it is late, in milliseconds.
    pub deadline_ms: u64,
    /// Hides secrets in what is shown and in what the model is given.
    pub mask: Mask,
}

impl Rules {
    fn terms<'a>(&'a self, tools: &'a Toolset, shelf: &'a Shelf) -> Terms<'a> {
        Terms { tools, mask: &self.mask, shelf, rounds_max: self.rounds_max, tokens_max: self.tokens_max }
    }
}

/// One run in one process.
#[derive(Debug)]
pub(crate) struct Run {
    record: RunRecord,
    rules: Rules,
    effects: VecDeque<Effect>,
    phase: Phase,
    patience: Patience,
    /// Since when it waits for its turn; nothing once that has come.
    in_line: Option<Timestamp>,
    /// Whether nobody is to be told its place (any more): nobody waits for what nobody asked for.
    told_place: bool,
    /// When this attempt began.
    began: Timestamp,
    tools: Toolset,
    /// What the prompt holds that can be cited.
    shelf: Shelf,
    showing: Option<Showing>,
    /// The text that the model has written so far, and for how long it is busy.
    so_far: (String, u64),
    /// The newest sentence of the summary of its thinking. It is never journaled.
    thought: String,
    /// The model's reply, while something is on its way.
    reply: Option<Reply>,
    /// What is known of refusals by the provider (C26).
    refusing: Refusing,
    /// What is to be shown once nothing is on its way.
    outbox: VecDeque<Show>,
    posting: Option<Posting>,
    /// A failure that waits until nothing is on its way.
    failure: Option<Failure>,
    order: Order,
    /// Whether the order is yet to be obeyed.
    order_is_new: bool,
    /// Whether the process stops: nothing new begins.
    stopping: bool,
}

impl Run {
    /// Takes up a run in this process: a new one, or an earlier process's ([`RunRecord::resume`]).
    #[must_use]
    pub(crate) fn new(record: RunRecord, rules: Rules, now: Timestamp) -> Self {
        let told_place = record.is_unasked();
        let mut run = Self {
            record,
            rules,
            effects: VecDeque::from([Effect::AwaitTurn]),
            phase: Phase::Over,
            patience: Patience::default(),
            in_line: Some(now),
            told_place,
            began: now,
            tools: Toolset::default(),
            shelf: Shelf::default(),
            showing: None,
            so_far: <(String, u64)>::default(),
            thought: String::new(),
            reply: None,
            refusing: Refusing::default(),
            outbox: VecDeque::new(),
            posting: None,
            failure: None,
            order: Order::default(),
            order_is_new: false,
            stopping: false,
        };
        run.begin_attempt(now);
        run
    }

    /// Returns what is to be done next; `None` until something happens. Each is carried out, or begun, before the next
    /// one is asked for.
    pub(crate) fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Returns when [`Input::Tick`] is due; `None` while nothing waits for a moment.
    #[must_use]
    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        match (&self.phase, self.in_line) {
            (Phase::Lining { .. }, Some(since)) if !self.told_place => Some(since.later(QUEUE_WORD_AFTER_MS)),
            (Phase::Asking, _) if self.is_idle() => self.showing.as_ref()?.next_at(),
            (Phase::Calling(calling), _) if self.is_idle() && calling.shows() => self.showing.as_ref()?.next_at(),
            _ => None,
        }
    }

    /// Takes what happened.
    pub(crate) fn handle(&mut self, input: Input, now: Timestamp) {
        match input {
            Input::Turn => {
                self.in_line = None;
                self.go();
            }
            Input::Ahead(ahead) => self.tell_place(ahead, now),
            Input::Quiet => self.quiet(now),
            Input::Back => self.back(),
            Input::Unparked => self.unparked(now),
            Input::Opened => self.opened(now),
            Input::LookedBack => self.looked_back(now),
            Input::CaughtUp => self.caught_up(),
            Input::Composed(ready) => self.composed(ready, now),
            Input::Reserved(reserved) => self.reserved(reserved, now),
            Input::Heard { text, thought, waiting_ms } => self.heard(text, thought, waiting_ms, now),
            Input::Replied(reply) => self.replied(reply, now),
            Input::Batch(news) => self.batched(news),
            Input::Ran { call, output, pictures } => self.ran(&call, output, pictures, now),
            Input::Decided { call, decision } => self.decided(call, decision, now),
            Input::BudgetWord(is_due) => self.weighed(is_due),
            Input::Sent(sent) => self.sent(sent, now),
            Input::Flushed(flush) => self.flushed(flush, now),
            Input::Doubted { doubted, is_in } => self.doubted(doubted, is_in, now),
            Input::Failed(failure) => self.break_off(failure, now),
            Input::Order(order) => self.take_order(&order, now),
            Input::Anew { restarts, joined, editor } => self.read_anew((restarts, joined, editor), now),
            Input::Billed(bill) => self.record.used.add(&bill),
            Input::Stopping => self.stopping = true,
            Input::Tick => self.tick(now),
        }
    }

    /// Returns what is stored of it.
    #[must_use]
    pub(crate) fn record(&self) -> &RunRecord {
        &self.record
    }

    /// Returns whether the context is composed once more, because the provider refused.
    #[must_use]
    pub(crate) fn is_recomposing(&self) -> bool {
        matches!(self.phase, Phase::Recomposing)
    }

    /// Returns a copy of the record without its work, for what goes on beside the run.
    #[must_use]
    pub(crate) fn facts(&mut self) -> RunRecord {
        let work = std::mem::take(&mut self.record.work);
        let facts = self.record.clone();
        self.record.work = work;
        facts
    }

    /// Returns what it used so far.
    #[must_use]
    pub(crate) fn used(&self) -> &Used {
        &self.record.used
    }

    /// Returns how near it is to its end.
    #[must_use]
    pub(crate) fn nearness(&self) -> Nearness {
        match &self.phase {
            Phase::Asking => Nearness::Writing,
            Phase::CatchingUp if self.record.answer.is_some() => Nearness::Ending,
            Phase::Stopping(_) | Phase::Saying(_) | Phase::Over => Nearness::Ending,
            _ => Nearness::Far,
        }
    }

    fn push(&mut self, effect: Effect) {
        self.effects.push_back(effect);
    }

    /// Whether nothing is on its way, or waits to be.
    fn is_idle(&self) -> bool {
        self.posting.is_none() && self.outbox.is_empty()
    }
}
