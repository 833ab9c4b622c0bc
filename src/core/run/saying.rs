//! The last message of a run: an edit where a message is streamed, the file that it refers to, and the word of a stop.

use ruma::{EventId, OwnedEventId};

use super::{
    Answer, Effect, End, Failure, Flush, Outcome, Remark, Run, Step,
    phase::{Part, Phase, Posting, Saying},
    showing::Showing,
    trace,
};
use crate::core::{event::Place, time::Timestamp};

impl Run {
    /// Sends the last message. What the model has said is on disk by the time that people read it.
    pub(super) fn say(&mut self, answer: Answer, stops: bool) {
        let streamed = self.record.streamed.clone();
        let differs = streamed.is_none() && self.record.begin_answer(&answer);
        self.push(Effect::Journal);
        self.push(Effect::Flush(Flush::Answer));
        self.posting = Some(Posting::Last);
        let message = answer.message.clone();
        self.push(match streamed.clone() {
            Some(target) => Effect::Edit(self.last_edit(), target, message),
            None => Effect::Send(Step::Answer, message),
        });
        let saying = Saying { answer, part: Part::Message, differs, flushed: false, event: streamed, stops };
        self.phase = Phase::Saying(Box::new(saying));
    }

    fn last_edit(&self) -> Step {
        Step::Edit(self.record.edits + 1)
    }

    /// Takes what became of a part of the last message.
    pub(super) fn said(&mut self, sent: Result<OwnedEventId, Failure>, now: Timestamp) {
        let last_edit = self.last_edit();
        let Phase::Saying(saying) = &mut self.phase else {
            return match sent {
                Ok(_) => self.after_posting(now),
                Err(failure) => self.fail(failure, now),
            };
        };
        let event = match sent {
            Ok(event) => event,
            Err(failure) => return self.fail(failure, now),
        };
        match saying.part {
            Part::Message if saying.differs => {
                // The homeserver may have had this transaction before, with something else: the beginning of the answer,
                // or what was to be said before the request was edited.
                (saying.event, saying.part) = (Some(event.clone()), Part::Correction);
                self.effects.push_back(Effect::Edit(last_edit, event, saying.answer.message.clone()));
                self.posting = Some(Posting::Last);
            }
            Part::Message | Part::Correction => {
                let event = saying.event.get_or_insert(event).clone();
                saying.part = Part::There;
                self.effects.push_back(Effect::NotePosted(event));
                match self.failure.take() {
                    Some(failure) => self.fail(failure, now),
                    None => self.say_on(),
                }
            }
            Part::File => {
                saying.answer.file = None;
                saying.part = Part::There;
                self.push(Effect::NotePosted(event));
                self.say_on();
            }
            Part::Made => {
                saying.answer.made.clear();
                self.look_for_again();
            }
            Part::There | Part::Looking => {}
        }
    }

    /// Goes on once the message is there and on disk.
    pub(super) fn say_on(&mut self) {
        let Phase::Saying(saying) = &mut self.phase else { return };
        if !saying.flushed || saying.part != Part::There {
            return;
        }
        match (&saying.answer.file, &saying.event) {
            (Some(markdown), Some(event)) => {
                let effect = Effect::SendFile(markdown.clone(), file_place(&saying.answer.message.place, event));
                saying.part = Part::File;
                self.posting = Some(Posting::Last);
                self.push(effect);
            }
            (None, Some(event)) if !saying.answer.made.is_empty() => {
                let place = file_place(&saying.answer.message.place, event);
                let effect = Effect::PostMade { made: saying.answer.made.clone(), place, behind: event.clone() };
                saying.part = Part::Made;
                self.posting = Some(Posting::Last);
                self.push(effect);
            }
            _ => self.look_for_again(),
        }
    }

    /// A 🔁 may have come before it was known what it was about.
    fn look_for_again(&mut self) {
        let Phase::Saying(saying) = &mut self.phase else { return };
        saying.part = Part::Looking;
        match saying.event.clone() {
            Some(event) if self.record.resumed => {
                self.posting = Some(Posting::Last);
                self.push(Effect::LookForAgain(event));
            }
            _ => self.looked_for_again(),
        }
    }

    pub(super) fn looked_for_again(&mut self) {
        let Phase::Saying(saying) = &self.phase else { return };
        let (outcome, event) = (saying.answer.outcome, saying.event.clone());
        self.posting = None;
        self.end(outcome, event, false);
    }

    /// Says that a person stopped it, with what was streamed so far (C10).
    pub(super) fn stop(&mut self, now: Timestamp) {
        let so_far = std::mem::take(&mut self.so_far.0);
        let answer = Showing::new(&self.record, now).stopped(if self.record.owner().is_some() { &so_far } else { "" });
        if !self.record.has_begun_answer() && self.record.has_status() {
            // The status says it.
            return self.end(Outcome::Stopped, None, false);
        }
        self.phase = Phase::Stopping(Box::new(answer));
        self.push(Effect::Open);
    }

    pub(super) fn say_stopped(&mut self, answer: Answer) {
        if self.record.has_begun_answer() {
            return self.say(answer, true);
        }
        // A run that was not on disk yet would begin again, and not know of the stop.
        self.record.stop_begun = true;
        self.push(Effect::Journal);
        self.push(Effect::Flush(Flush::Post));
        self.posting = Some(Posting::Flushing(Step::Stopped, answer.message.clone()));
        let (part, differs, flushed) = (Part::Message, false, true);
        let saying = Saying { answer, part, differs, flushed, event: None, stops: true };
        self.phase = Phase::Saying(Box::new(saying));
    }

    /// That it was stopped cannot be said now: it is owed.
    pub(super) fn owe_stop(&mut self, answer: Answer) {
        self.push(Effect::Log(Remark::StopUnsaid));
        self.push(Effect::OweStop(answer.message));
        self.end(Outcome::Stopped, None, false);
    }

    /// Ends the run. Calls that were cut short are steps too.
    pub(super) fn end(&mut self, outcome: Outcome, answer: Option<OwnedEventId>, unheard: bool) {
        self.record.work.stop();
        let outcome = trace::outcome_of(outcome, self.record.work.steps());
        let keeps_answer = unheard && self.failure.take().is_some_and(|failure| failure.is_in);
        let taken_back = self.order == super::Order::TakeBack;
        self.phase = Phase::Over;
        self.push(Effect::End(End { outcome, answer, unheard, keeps_answer, taken_back }));
    }
}

/// Returns where the file of an answer goes: where the message went; on a timeline, as a reply to it.
#[must_use]
pub(crate) fn file_place(place: &Place, message: &EventId) -> Place {
    match place {
        Place::Thread { root, .. } => Place::Thread { root: root.clone(), latest: message.to_owned() },
        Place::Timeline | Place::Reply { .. } => Place::Reply { to: message.to_owned() },
    }
}
