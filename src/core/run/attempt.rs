//! The beginning of an attempt: its turn, the homeserver, the account, what was missed, the context.

use ruma::{OwnedEventId, OwnedUserId};

use super::{
    CatchUp, Effect, Fault, Flush, Order, Outcome, Ready, Remark, Run, Step,
    phase::{Phase, Posting},
    refusing::Refusing,
    showing::Showing,
};
use crate::core::{batch::Latency, refused::Breadth, time::Timestamp, words};

impl Run {
    /// Begins another attempt; an order that waited goes first.
    pub(super) fn begin_attempt(&mut self, now: Timestamp) {
        self.began = now;
        (self.showing, self.reply) = (None, None);
        self.refusing = Refusing::default();
        self.so_far = <(String, u64)>::default();
        self.outbox.clear();
        self.phase = Phase::Lining { quiet: false };
        if self.order_is_new {
            self.obey(now);
        } else {
            self.push(Effect::AwaitQuiet);
        }
    }

    pub(super) fn quiet(&mut self, now: Timestamp) {
        match &mut self.phase {
            Phase::Lining { quiet } => {
                *quiet = true;
                self.go();
            }
            Phase::Quieting(Latency::Normal) => self.ask(),
            Phase::Quieting(Latency::Batch) => self.batch(now),
            _ => {}
        }
    }

    /// Goes on once its turn has come, its request is left alone, and nothing is on its way.
    pub(super) fn go(&mut self) {
        if self.in_line.is_some() || !matches!(self.phase, Phase::Lining { quiet: true }) || !self.is_idle() {
            return;
        }
        if let Some(pause) = self.patience.take_pause() {
            // Meanwhile others may have the places.
            self.phase = Phase::Pausing;
            self.push(Effect::Park);
            self.push(Effect::AwaitHomeserver(pause));
        } else {
            self.back_in_line();
        }
    }

    pub(super) fn back(&mut self) {
        if matches!(self.phase, Phase::Pausing) {
            self.back_in_line();
        }
    }

    /// An attempt that was cut short may have left it parked.
    fn back_in_line(&mut self) {
        self.phase = Phase::Returning;
        self.push(Effect::Unpark);
    }

    pub(super) fn unparked(&mut self, now: Timestamp) {
        match self.phase {
            Phase::Returning => {
                self.phase = Phase::Opening;
                self.push(Effect::Open);
            }
            Phase::Calling(_) => self.returned(now),
            Phase::Batching(_) => self.batch_returned(now),
            _ => {}
        }
    }

    pub(super) fn opened(&mut self, now: Timestamp) {
        match std::mem::replace(&mut self.phase, Phase::LookingBack) {
            Phase::Opening if self.record.resumed => self.push(Effect::LookBack),
            Phase::Opening => self.begin(now),
            Phase::Stopping(answer) => self.say_stopped(*answer),
            other => self.phase = other,
        }
    }

    pub(super) fn looked_back(&mut self, now: Timestamp) {
        match (&self.posting, &self.phase) {
            (Some(Posting::LookingBack), _) => {
                self.posting = None;
                self.after_posting(now);
            }
            (Some(Posting::Last), _) => self.looked_for_again(),
            (None, Phase::LookingBack) => self.begin(now),
            _ => {}
        }
    }

    /// Says the answer where there is one, and reads the room where there is none.
    fn begin(&mut self, now: Timestamp) {
        if self.record.is_cut_off_for_good() {
            self.push(Effect::Log(Remark::CutOff));
            self.record.give_up(Fault::CutOff, now);
        }
        self.phase = Phase::CatchingUp;
        if self.record.answer.is_some() {
            self.push(Effect::CatchUp(CatchUp::ToSay));
        } else {
            if !self.record.is_unasked() {
                self.push(Effect::ShowPresence);
            }
            self.push(Effect::CatchUp(CatchUp::ToRead));
        }
    }

    pub(super) fn caught_up(&mut self) {
        if !matches!(self.phase, Phase::CatchingUp) {
            return;
        }
        if let Some(answer) = self.record.answer.clone() {
            return self.say(answer, false);
        }
        if self.record.work.is_empty() {
            // What is composed for the first time may be what brings the process down.
            self.record.enter();
            self.push(Effect::Journal);
        }
        self.phase = Phase::Composing { noted: false, ready: None };
        self.push(Effect::Flush(Flush::Entered));
        self.push(Effect::Compose(Breadth::default()));
    }

    pub(super) fn composed(&mut self, composed: Option<Ready>, now: Timestamp) {
        match &mut self.phase {
            Phase::Composing { ready, .. } => {
                *ready = Some(composed);
                self.compose_on(now);
            }
            Phase::Recomposing => self.recomposed(composed, now),
            _ => {}
        }
    }

    /// Goes on once the context is there, and a crash from here on is counted.
    pub(super) fn compose_on(&mut self, now: Timestamp) {
        let Phase::Composing { noted: true, ready } = &mut self.phase else { return };
        let Some(ready) = ready.take() else { return };
        let Some(ready) = ready else { return self.end(Outcome::Dropped, None, false) };
        if ready.is_gone {
            self.push(Effect::Log(Remark::RequestGone));
            // What was said of it, that it waits perhaps, goes too.
            self.order.give(&Order::TakeBack);
            return self.end(Outcome::Dropped, None, false);
        }
        if ready.begun_anew {
            self.record.work.begin_anew();
        }
        self.showing = Some(Showing::new(&self.record, now));
        if let Some(why) = ready.unreadable {
            return self.conclude(Err(Fault::Unreadable(why)));
        }
        (self.record.used.read, self.record.used.read_span) = (ready.read, ready.read_span);
        (self.tools, self.shelf) = (ready.tools, ready.shelf);
        self.refusing.learn(ready.suspects, ready.fallbacks);
        if ready.instead > 0 {
            self.record.fallback = ready.instead;
            self.refusing.begin_with_another();
        }
        self.record.under_way = false;
        self.work(now);
    }

    pub(super) fn tick(&mut self, now: Timestamp) {
        match self.phase {
            Phase::Lining { .. } if self.in_line.is_some() && !self.told_place => {
                self.told_place = true;
                if !self.record.has_status() {
                    self.push(Effect::CountAhead);
                }
            }
            Phase::Asking => self.show_progress(true, now),
            Phase::Calling(_) => self.show_calls(None, now),
            _ => {}
        }
    }

    /// Tells a request its place. A coworker's word is the status of its run from then on, so that there is one notice
    /// at the most (C9).
    pub(super) fn tell_place(&mut self, ahead: usize, now: Timestamp) {
        if self.in_line.is_none() || !matches!(self.phase, Phase::Lining { .. }) {
            return;
        }
        let word = Showing::new(&self.record, now).notice(&words::queued(ahead + 1));
        let step = if self.record.owner().is_some() { Step::Queued } else { Step::Status };
        self.outbox.push_back((step, word));
        self.post_next();
    }

    /// Takes how the request reads now, after it was edited.
    pub(super) fn read_anew(
        &mut self,
        (restarts, joined, editor): (u32, Vec<OwnedEventId>, Option<OwnedUserId>),
        now: Timestamp,
    ) {
        // It reads otherwise, and may be taken by the model that refused it.
        self.record.fallback = 0;
        self.record.restarts = restarts;
        self.record.joined = joined;
        self.record.payer = editor.or(self.record.payer.take());
        self.begin_attempt(now);
    }
}
