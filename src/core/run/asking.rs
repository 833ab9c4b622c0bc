//! The loop of a run: the budget, the model, what follows a turn of it, and how the loop ends.

use super::{
    Answer, Effect, Fault, Outcome, Remark, Reply, Run, Stop,
    phase::{Calling, Phase},
    showing::{News, Showing},
};
use crate::core::{
    thought,
    time::Timestamp,
    words,
    work::{Next, TurnStop},
};

/// How the loop ended.
pub(super) type Ending = Result<(String, Stop), Fault>;

impl Run {
    /// Takes the loop up where it is.
    pub(super) fn work(&mut self, now: Timestamp) {
        let terms = self.rules.terms(&self.tools, &self.shelf);
        self.record.work.take_up(&terms);
        let next = self.record.work.next(&terms);
        self.go_on(next, now);
    }

    pub(super) fn go_on(&mut self, next: Next, now: Timestamp) {
        match next {
            Next::Ask(_) | Next::Calls if self.stopping => {
                // What there is goes on at the next start.
                self.push(Effect::Journal);
                self.phase = Phase::Held;
            }
            Next::Ask(tool_use) => {
                let latency = self.latency(now);
                self.phase = Phase::Reserving(latency);
                self.push(Effect::Reserve(tool_use, latency));
            }
            Next::Calls => {
                self.phase = Phase::Calling(Box::<Calling>::default());
                self.carry_on(now);
            }
            Next::End(ending) => self.ended(ending, now),
        }
    }

    pub(super) fn reserved(&mut self, reserved: Result<(), Fault>, now: Timestamp) {
        let Phase::Reserving(latency) = self.phase else { return };
        match reserved {
            Ok(()) => {
                // What comes now is asked with the request as it reads when it has been left alone.
                self.phase = Phase::Quieting(latency);
                self.push(Effect::AwaitQuiet);
            }
            Err(fault) => self.ended(Err(fault), now),
        }
    }

    pub(super) fn ask(&mut self) {
        self.phase = Phase::Asking;
        self.so_far = <(String, u64)>::default();
        self.record.enter();
        self.push(Effect::Journal);
        self.push(Effect::Ask);
    }

    pub(super) fn heard(&mut self, text: String, thought: String, waiting_ms: u64, now: Timestamp) {
        if matches!(self.phase, Phase::Asking) && self.reply.is_none() && !self.refusing.is_probing() {
            self.so_far = (text, waiting_ms);
            if !thought.is_empty() {
                self.thought = thought;
            }
            self.show_progress(false, now);
        }
    }

    /// Shows how far the model is, unless something is on its way: the newest is shown behind it.
    pub(super) fn show_progress(&mut self, ticked: bool, now: Timestamp) {
        if !self.is_idle() {
            return;
        }
        let Some(showing) = &mut self.showing else { return };
        if ticked {
            showing.think(thought::line(&self.thought, &self.rules.mask));
        }
        let (text, waiting_ms) = (&self.so_far.0, self.so_far.1);
        if waiting_ms > 0 && text.is_empty() {
            self.outbox.extend(showing.take(&News::Waiting(waiting_ms), now));
        }
        let news = if ticked { News::Tick(text) } else { News::Text(text) };
        self.outbox.extend(showing.take(&news, now));
        self.post_next();
    }

    pub(super) fn replied(&mut self, mut reply: Reply, now: Timestamp) {
        if !matches!(self.phase, Phase::Asking) {
            return;
        }
        if !self.is_idle() {
            self.reply = Some(reply);
            return;
        }
        self.so_far = <(String, u64)>::default();
        if let Ok(turn) = &mut reply.turn
            && turn.stop == TurnStop::Filtered
        {
            // A request that may answer hardly anything passes such a filter, and proves nothing.
            self.refusing.filtered();
            turn.stop = TurnStop::Refused;
        }
        if let Some(bill) = &reply.bill {
            self.record.used.add(bill);
        }
        if reply.files_refused && reply.turn.is_ok() {
            // The later rounds would be refused too.
            self.push(Effect::LeaveOutFiles);
            self.record.work.drop_pictures();
        }
        if self.refusing.hears(&reply.turn) {
            self.record.work.pay(reply.tokens);
            return self.probed(reply.turn.is_ok_and(|turn| turn.stop == TurnStop::Refused));
        }
        if let Ok(turn) = &reply.turn
            && turn.stop != TurnStop::Refused
        {
            self.taken();
        }
        let terms = self.rules.terms(&self.tools, &self.shelf);
        let next = match reply.turn {
            Ok(turn) => {
                self.refusing.note(&turn);
                let next = self.record.work.take(&turn, reply.tokens, &terms);
                // What was paid for is kept before anything else is asked or done.
                self.record.has_come_on();
                self.effects.push_back(Effect::Journal);
                next
            }
            // Thinking is tied to what stood before it, which reads otherwise after an interruption: without any it is
            // taken, and nothing else is worth a second try.
            Err(Fault::RequestRefused) if self.record.work.strip_thinking() => {
                self.effects.push_back(Effect::Log(Remark::WithoutThinking));
                self.record.work.next(&terms)
            }
            Err(fault) => Next::End(Err(fault)),
        };
        self.go_on(next, now);
    }

    /// Makes the last message of how the loop ended.
    pub(super) fn conclude(&mut self, ending: Ending) {
        match ending {
            Err(Fault::OverBudget(full)) => {
                self.phase = Phase::Weighing(full);
                self.push(Effect::WeighBudgetWord(full));
            }
            Ok((text, stop)) => {
                let made = if stop == Stop::Refused { Vec::new() } else { self.record.work.made().to_vec() };
                let text = if text.trim().is_empty() && !made.is_empty() { words::files::made_files() } else { text };
                let cited = if stop == Stop::Refused { Vec::new() } else { self.record.work.cited().to_vec() };
                self.finish(|showing| Answer { made, ..showing.answered(&text, stop, cited) });
            }
            Err(fault) => self.fault(fault),
        }
    }

    pub(super) fn weighed(&mut self, is_due: bool) {
        let Phase::Weighing(full) = self.phase else { return };
        if is_due {
            self.fault(Fault::OverBudget(full));
        } else {
            self.record.used.fault = Some(Fault::OverBudget(full));
            self.end(if full.begun { Outcome::Dropped } else { Outcome::Declined }, None, false);
        }
    }

    fn fault(&mut self, fault: Fault) {
        self.record.used.fault = Some(fault);
        self.finish(|showing| showing.failed(fault));
    }

    fn finish(&mut self, last: impl FnOnce(&Showing) -> Answer) {
        let Some(answer) = self.showing.as_ref().map(last) else { return self.end(Outcome::Dropped, None, false) };
        // Whole: from here on it is sent, and never asked for again.
        self.record.answer = Some(answer.clone());
        self.say(answer, false);
    }
}
