//! What follows a failure and an order.

use super::{
    Effect, Failure, Fault, Order, Outcome, Remark, Run,
    phase::{Phase, Posting},
};
use crate::core::time::Timestamp;

impl Run {
    /// An effect could not be done: neither is what was to follow it.
    pub(super) fn break_off(&mut self, failure: Failure, now: Timestamp) {
        if matches!(self.phase, Phase::Over) {
            return;
        }
        if self.effects.iter().any(is_of_posting) {
            // It was not sent.
            self.posting = None;
        }
        self.effects.clear();
        self.fail(failure, now);
    }

    /// Something that the attempt needs could not be done. What is on its way arrives first.
    pub(super) fn fail(&mut self, failure: Failure, now: Timestamp) {
        if self.posting.is_some() {
            self.failure.get_or_insert(failure);
            return;
        }
        self.failure = None;
        self.count_unheard_reply();
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Stopping(answer) => return self.owe_stop(*answer),
            Phase::Saying(saying) if saying.stops => return self.owe_stop(saying.answer),
            _ => {}
        }
        self.push(Effect::CutOff);
        if failure.is_refusal && self.patience.doubts(now) {
            self.phase = Phase::Doubting(failure);
            return self.push(Effect::Doubt);
        }
        self.after_failure(failure, false, now);
    }

    pub(super) fn doubted(&mut self, doubted: bool, is_in: bool, now: Timestamp) {
        match (self.posting.take(), &self.phase) {
            (Some(Posting::Doubting(_)), _) if doubted || is_in => self.show_failed(now),
            (Some(Posting::Doubting(failure)), _) => self.fail(Failure { is_in, ..failure }, now),
            (None, Phase::Doubting(failure)) => {
                let failure = Failure { is_in, ..*failure };
                self.after_failure(failure, doubted, now);
            }
            (other, _) => self.posting = other,
        }
    }

    /// Decides what is done about an attempt that failed. What the model has said is kept, and sent when it can be.
    fn after_failure(&mut self, failure: Failure, doubted: bool, now: Timestamp) {
        // As after a restart, more may be in the room than was noted.
        self.record.resumed = true;
        self.record.under_way = false;
        self.push(Effect::TryToJournal);
        let may_pass = failure.is_passing || doubted;
        if may_pass && self.patience.is_left(self.began, now, failure.retry_after) {
            self.push(Effect::Log(Remark::Waits));
            self.record.late |= self.patience.waited_ms(now) > self.rules.deadline_ms;
            return self.begin_attempt(now);
        }
        if failure.is_misdirected {
            self.push(Effect::Log(Remark::MayNotWrite));
            return self.end(Outcome::Dropped, None, false);
        }
        if failure.is_forbidden {
            self.push(Effect::Log(Remark::RoomRefuses));
            // Who was taken out of the room before there was an answer says nothing about it later (C10).
            let unheard = failure.is_in || self.record.answer.is_some();
            self.failure = Some(failure);
            return self.end(Outcome::Dropped, None, unheard);
        }
        if failure.is_passing || self.record.gave_up {
            self.push(Effect::Log(Remark::CannotSay));
            self.failure = Some(failure);
            return self.end(Outcome::Dropped, None, true);
        }
        self.push(Effect::Log(Remark::Fails));
        self.record.give_up(Fault::Internal, now);
        self.begin_attempt(now);
    }

    /// Takes an order. It is obeyed once nothing of the run is on its way to the room, so that whatever reaches the room
    /// is noted and can be taken back.
    pub(super) fn take_order(&mut self, order: &Order, now: Timestamp) {
        self.order_is_new |= self.order.give(order) && *order != Order::GoOn;
        if self.order_is_new && self.posting.is_none() && self.may_be_cut_short() {
            self.obey(now);
        }
    }

    /// A reply that nobody looks at any more was paid for.
    fn count_unheard_reply(&mut self) {
        if let Some(bill) = self.reply.take().and_then(|reply| reply.bill) {
            self.record.used.add(&bill);
        }
    }

    /// Whether an order ends what goes on: an answer that is being sent is sent.
    pub(super) fn may_be_cut_short(&self) -> bool {
        !matches!(self.phase, Phase::Saying(_) | Phase::Stopping(_) | Phase::Doubting(_) | Phase::Over)
    }

    pub(super) fn obey(&mut self, now: Timestamp) {
        self.order_is_new = false;
        self.count_unheard_reply();
        self.push(Effect::CutOff);
        match self.order {
            Order::GoOn => self.begin_attempt(now),
            Order::Restart => {
                self.push(Effect::Log(Remark::BeginsAnew));
                self.push(Effect::CloseCards);
                self.record.begin_anew();
                self.phase = Phase::Lining { quiet: false };
                self.push(Effect::ReadAnew);
            }
            Order::Drop => self.end(Outcome::Dropped, None, false),
            Order::TakeBack => self.end(Outcome::Stopped, None, false),
            Order::Stop => self.stop(now),
        }
    }
}

/// Whether an effect is what the run waits for as being on its way: not carried out yet, it is not.
fn is_of_posting(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::Send(..)
            | Effect::Edit(..)
            | Effect::SendFile(..)
            | Effect::PostMade { .. }
            | Effect::Flush(super::Flush::Post)
            | Effect::LookBack
            | Effect::LookForAgain(_)
            | Effect::Doubt
    )
}
