//! The calls of a turn: begun as there are places, asked about where people have to say so, until each has its result.
//!
//! Before a call begins that must not be made twice, the journal holds on disk that it begins; before the model is asked
//! again, that it ended.

use super::{Doing, Effect, Flush, Remark, Run, Start, decided_by, phase::Phase, showing::News};
use crate::core::{prompt::FileContent, thought, time::Timestamp, tool::Output, trail::Decision, work::Next};

impl Run {
    /// Begins what may begin, asks about what has to be asked about, and closes the turn where nothing is left.
    pub(super) fn carry_on(&mut self, now: Timestamp) {
        let Self { record, tools, shelf, rules, effects, phase, .. } = self;
        let Phase::Calling(calling) = phase else { return };
        if calling.closing || !calling.begun.is_empty() || !calling.decided.is_empty() {
            return;
        }
        let terms = rules.terms(tools, shelf);
        let free = rules.calls_at_once_max.max(1).saturating_sub(calling.running);
        let mut begun = Vec::new();
        for call in record.work.ready(&terms).into_iter().take(free) {
            if let Some((tool, arguments)) = record.work.start(&call, &terms, now) {
                begun.push(Start { call, tool, arguments });
            }
        }
        calling.running += begun.len();
        if !begun.is_empty() {
            effects.push_back(Effect::Journal);
        }
        if begun.iter().any(|start| !start.tool.idempotent) {
            calling.unrepeatable = true;
            calling.begun = begun;
            return self.push(Effect::Flush(Flush::Begun));
        }
        effects.extend(begun.into_iter().map(Effect::Call));
        for pending in record.work.pending(&terms) {
            if calling.asked.insert(pending.call.clone()) {
                calling.deciding += 1;
                effects.push_back(Effect::Journal);
                effects.push_back(Effect::Approve(decided_by(record, pending)));
            }
        }
        if calling.running == 0 && calling.deciding == 0 {
            return self.close_calls(now);
        }
        if calling.running == 0 && !std::mem::replace(&mut calling.parked, true) {
            // Nothing but people is waited for: meanwhile others may have the places in the room and over all (C12).
            effects.push_back(Effect::Park);
        }
        let (done, running) = record.work.progress();
        let doing = Doing { done, running, asked: record.work.asked_about(&terms) };
        self.show_calls(Some(&doing), now);
    }

    /// The status says what is done and what is being done (C9).
    pub(super) fn show_calls(&mut self, doing: Option<&Doing>, now: Timestamp) {
        let Some(showing) = &mut self.showing else { return };
        showing.think(thought::line(&self.thought, &self.rules.mask));
        self.outbox.extend(showing.take(&doing.map_or(News::Tick(""), News::Steps), now));
        self.post_next();
    }

    /// The journal holds on disk that calls begin.
    pub(super) fn calls_may_begin(&mut self, now: Timestamp) {
        let Phase::Calling(calling) = &mut self.phase else { return };
        let begun = std::mem::take(&mut calling.begun);
        self.effects.extend(begun.into_iter().map(Effect::Call));
        self.carry_on(now);
    }

    /// Takes what a call gave.
    pub(super) fn ran(&mut self, call: &str, output: Output, pictures: Vec<FileContent>, now: Timestamp) {
        let Phase::Calling(calling) = &mut self.phase else { return };
        calling.running = calling.running.saturating_sub(1);
        self.record.work.show(call, pictures);
        self.record.work.finish(call, output, &self.rules.terms(&self.tools, &self.shelf), now);
        self.push(Effect::Journal);
        self.carry_on(now);
    }

    /// Takes a decision; it counts once the run holds its places again.
    pub(super) fn decided(&mut self, call: String, decision: Decision, now: Timestamp) {
        let Phase::Calling(calling) = &mut self.phase else { return };
        calling.deciding = calling.deciding.saturating_sub(1);
        calling.decided.push((call, decision));
        if !calling.parked {
            self.apply_decisions(now);
        } else if calling.decided.len() == 1 {
            self.push(Effect::Unpark);
        }
    }

    /// The run holds its places again.
    pub(super) fn returned(&mut self, now: Timestamp) {
        if let Phase::Calling(calling) = &mut self.phase {
            calling.parked = false;
            self.apply_decisions(now);
        }
    }

    fn apply_decisions(&mut self, now: Timestamp) {
        let Phase::Calling(calling) = &mut self.phase else { return };
        let terms = self.rules.terms(&self.tools, &self.shelf);
        for (call, decision) in std::mem::take(&mut calling.decided) {
            self.record.work.decide(&call, decision, &terms);
        }
        // What people said is kept as what was done is.
        calling.unrepeatable = true;
        self.push(Effect::Journal);
        self.carry_on(now);
    }

    /// Ends the turn, once its status is not on its way any more. What was done is on disk before the model hears of it.
    fn close_calls(&mut self, now: Timestamp) {
        let is_idle = self.is_idle();
        let Phase::Calling(calling) = &mut self.phase else { return };
        if !is_idle {
            return;
        }
        if calling.unrepeatable {
            calling.closing = true;
            self.push(Effect::Flush(Flush::Done));
        } else {
            self.calls_are_done(now);
        }
    }

    pub(super) fn calls_are_done(&mut self, now: Timestamp) {
        if !matches!(self.phase, Phase::Calling(_)) {
            return;
        }
        let terms = self.rules.terms(&self.tools, &self.shelf);
        if self.record.work.next(&terms) == Next::Calls {
            self.effects.push_back(Effect::Log(Remark::CallsStuck));
            self.record.work.stop();
        }
        let next = self.record.work.next(&terms);
        self.go_on(next, now);
    }
}
