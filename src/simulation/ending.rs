//! The end of a run: what it owes is noted, it leaves the journal for the index, and what it owes is done.

use ruma::OwnedEventId;

use super::{
    Planted,
    approvals::closing_text,
    disk::{Ended, Write},
    happening::{Happening, Posting},
    server::Kind,
    world::World,
};
use crate::core::{
    event::Outgoing,
    mask::Mask,
    names::Names,
    owed::{self, Deed, Owed, Shown},
    run::{self, CardStep, End, RunId, RunRecord, Step},
};

impl World {
    pub(super) fn end(&mut self, id: &RunId, end: &End) {
        let now = self.now();
        let Some(live) = self.live(id) else { return };
        let (record, spent, ticket) = (live.run.record().clone(), live.run.used().spent(), live.ticket);
        if std::mem::take(&mut live.posting) {
            self.breaks("a run ends while something is on its way");
        }
        let ended = run::Ended {
            steps: record.work.steps(),
            outcome: end.outcome,
            fallback: None,
            duration_ms: now.ms_since(record.accepted_at),
            spent,
            mask: &Mask::default(),
            names: &Names::default(),
            zone: &record.zone(),
        };
        let posted = self.disk.now.posted.get(&record.request).into_iter().flatten();
        let posted = posted.filter(|(run, _)| run == id).map(|(_, event)| event.clone()).chain(end.answer.clone());
        let left = owed::End {
            record: record.last_notice(&ended, now),
            cards: self.card_ends(id, &record),
            reactions: Vec::new(),
            posted: if end.taken_back { posted.collect() } else { Vec::new() },
            answered: end.answer.is_some(),
            taken_back: end.taken_back,
            unheard: end.unheard,
            keeps_answer: end.keeps_answer,
        };
        if self.planted != Some(Planted::Owed) {
            self.owe(Owed::of(&record, left, now));
        }
        if self.goes_wrong(10) {
            return self.kill();
        }
        self.close_cards(id);
        let body = record.answer.as_ref().filter(|_| end.answer.is_some()).map(|answer| answer.message.body.clone());
        let stopped = end.outcome == crate::core::run::Outcome::Stopped;
        let ended = Ended {
            outcome: end.outcome,
            answer: end.answer.clone(),
            body: body.filter(|_| !stopped),
            unheard: end.unheard,
            taken_back: end.taken_back,
        };
        self.disk.write(Write::Index(id.clone(), Box::new(ended)));
        if self.goes_wrong(10) {
            return self.kill();
        }
        self.disk.write(Write::Run(id.clone(), None));
        if self.goes_wrong(10) {
            return self.kill();
        }
        self.disk.flush();
        self.held.ended += 1;
        self.write_down(id.as_str(), || format!("it is over: {end:?}"));
        if let Some(process) = &mut self.process {
            process.live.remove(id);
            process.schedule.release(ticket);
        }
        self.after(10, Happening::Pay { life: self.life, run: id.clone() });
        self.let_go();
    }

    /// The last edits of a run's cards; of one that was on its way nobody knows whether it came.
    fn card_ends(&self, id: &RunId, record: &RunRecord) -> Vec<(Shown, Step, Outgoing)> {
        let cards = self.disk.now.cards.iter().filter(|((run, _), _)| run == id).map(|((_, number), card)| {
            let shown = card.event.clone().map_or(Shown::SentAs(Step::Card(*number, CardStep::Ask)), Shown::Event);
            (shown, Step::Card(*number, CardStep::End), closing_text(record))
        });
        cards.collect()
    }

    /// Ends the cards of a run that goes on from its beginning.
    pub(super) fn close_cards_anew(&mut self, id: &RunId) {
        let now = self.now();
        let Some(record) = self.live(id).map(|live| live.run.record().clone()) else { return };
        let cards = self.card_ends(id, &record);
        self.owe(Owed::of(&record, owed::End { cards, ..owed::End::default() }, now));
        self.close_cards(id);
        self.after(10, Happening::Pay { life: self.life, run: id.clone() });
    }

    pub(super) fn owe(&mut self, owed: Owed) {
        if owed.deeds.is_empty() {
            return;
        }
        let id = owed.run.clone();
        let owed = match self.disk.now.owed.get(&id).cloned() {
            None => owed,
            Some(mut before) => {
                before.join(owed);
                before
            }
        };
        self.disk.write(Write::Owed(id, Some(Box::new(owed))));
    }

    pub(super) fn owe_stop(&mut self, record: &RunRecord, text: Outgoing) {
        let now = self.now();
        self.owe(Owed::of_stop(record, text, now));
    }

    /// Does the next thing that a run owes.
    pub(super) fn pay(&mut self, life: u32, id: &RunId) {
        if life != self.life || self.process.is_none() {
            return;
        }
        let Some(mut owed) = self.disk.now.owed.get(id).cloned() else { return };
        let again = self.chance.between(5, 200);
        if self.goes_wrong(150) {
            return self.after(60_000, Happening::Pay { life, run: id.clone() });
        }
        let deed = owed.deeds.remove(0);
        self.write_down(id.as_str(), || format!("pays {deed:?}"));
        self.do_deed(&owed, deed);
        if self.goes_wrong(20) {
            return self.kill();
        }
        let left = (!owed.deeds.is_empty()).then_some(Box::new(owed));
        self.disk.write(Write::Owed(id.clone(), left));
        self.after(again, Happening::Pay { life, run: id.clone() });
    }

    fn do_deed(&mut self, owed: &Owed, deed: Deed) {
        match deed {
            Deed::Edit { shown, step, text } => {
                let Some(target) = self.event_of(owed, shown, &text) else { return };
                self.put(owed, step, Some(target), text);
            }
            Deed::Send { step, text } => drop(self.put(owed, step, None, text)),
            Deed::Answer(answer, streamed) => {
                let (step, target) = match streamed {
                    Some((event, number)) => (Step::Edit(number), Some(event)),
                    None => (Step::Answer, None),
                };
                self.put(owed, step, target, answer.message);
            }
            Deed::TakeBack(shown) => {
                let text = closing_text(&owed.of_run());
                if let Some(event) = self.event_of(owed, shown, &text) {
                    self.take_back(&event);
                }
            }
            Deed::TellElsewhere => self.told_elsewhere.push(owed.run.clone()),
        }
    }

    fn event_of(&mut self, owed: &Owed, shown: Shown, text: &Outgoing) -> Option<OwnedEventId> {
        match shown {
            Shown::Event(event) => Some(event),
            Shown::SentAs(step) => self.put(owed, step, None, text.clone()),
        }
    }

    /// Sends something at once; nothing where the room is closed to us.
    fn put(&mut self, owed: &Owed, step: Step, target: Option<OwnedEventId>, text: Outgoing) -> Option<OwnedEventId> {
        if self.kicked && !owed.private {
            return None;
        }
        let txn = owed.run.transaction(step);
        let posting = Posting {
            life: 0,
            run: owed.run.clone(),
            attempt: 0,
            user: owed.user.clone(),
            room: owed.room.clone(),
            step,
            target,
            message: text,
            kind: Kind::Said,
            unheard: false,
            whole: true,
        };
        let shows = posting.target.is_none();
        self.arrive(&posting);
        let event = self.server.event_of(&txn)?;
        if shows {
            // It goes when the request is redacted.
            self.disk.write(Write::Posted(owed.request.clone(), owed.run.clone(), event.clone()));
        }
        Some(event)
    }
}
