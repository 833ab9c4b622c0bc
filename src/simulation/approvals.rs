//! Cards: on disk before they are sent, decided by whom their rule names, looked at again by who waits for them.

use ruma::{EventId, OwnedEventId};

use super::{
    Planted,
    carrying::passing,
    disk::{Card, Write},
    happening::{Done, Posting},
    server::Kind,
    world::World,
};
use crate::core::{
    approval::{Choice, Pending, Standing},
    event::{Outgoing, OutgoingKind},
    people::Who,
    run::{CardStep, Input, RunId, RunRecord, Step},
    time::Timestamp,
    trail::Decision,
};

/// How long a card can be decided about, in milliseconds.
const OPEN_MS: i64 = 600_000;
/// Who waits looks at the card this often, in milliseconds.
const LOOK_EVERY_MS: u64 = 300_000;

type Key = (RunId, u64);

impl World {
    pub(super) fn approve(&mut self, id: &RunId, pending: Pending) {
        let number = pending.number();
        let now = self.now();
        if self.planted == Some(Planted::Approval) {
            let by = super::cast::person(0);
            let decided = Input::Decided { call: pending.call, decision: Decision::Approved { by, at: now } };
            return self.later(id, 10, Done::Was(Box::new(decided)));
        }
        let Some(live) = self.live(id) else { return };
        let record = live.run.record().clone();
        live.cards.insert(number, pending.clone());
        let key = (id.clone(), number);
        if self.disk.now.cards.get(&key).is_some_and(|card| card.event.is_some()) {
            return self.later(id, 20, Done::CardLook(number));
        }
        let expires_at = Timestamp::from_ms(now.as_ms() + OPEN_MS);
        let standing = Standing::new(id, &record, &pending, expires_at);
        self.disk.write(Write::Card(key, Some(Box::new(Card { event: None, standing }))));
        self.later(id, 5, Done::CardFlushed(number, self.disk.written()));
    }

    pub(super) fn card_flushed(&mut self, id: &RunId, number: u64) {
        let life = self.life;
        let Some(live) = self.live(id) else { return };
        let (record, attempt) = (live.run.record().clone(), live.attempt);
        self.post(Posting {
            life,
            run: id.clone(),
            attempt,
            user: record.user.clone(),
            room: record.room.clone(),
            step: Step::Card(number, CardStep::Ask),
            target: None,
            message: card_text(&record),
            kind: Kind::Card(number),
            unheard: false,
            whole: true,
        });
    }

    pub(super) fn card_sent(&mut self, id: &RunId, number: u64, event: Option<OwnedEventId>) {
        let Some(event) = event else { return self.step(id, Input::Failed(passing())) };
        let key = (id.clone(), number);
        let Some(mut card) = self.disk.now.cards.get(&key).cloned() else { return };
        card.event = Some(event.clone());
        self.disk.write(Write::Posted(card.standing.request.clone(), id.clone(), event));
        self.disk.write(Write::Card(key, Some(Box::new(card))));
        self.disk.flush();
        self.look_at_card(id, number);
    }

    /// Hears what is on a card, and hands the run what was decided.
    pub(super) fn look_at_card(&mut self, id: &RunId, number: u64) {
        let key = (id.clone(), number);
        self.hear_card(&key);
        self.take_decision(&key);
        let waits = self.live(id).is_some_and(|live| live.cards.contains_key(&number));
        if waits {
            self.later(id, LOOK_EVERY_MS, Done::CardLook(number));
        }
    }

    /// A reaction that may be about a card has come.
    pub(super) fn hear_decision(&mut self, target: &EventId) {
        let found = self.disk.now.cards.iter().find(|(_, card)| card.event.as_deref() == Some(target));
        let Some(key) = found.map(|(key, _)| key.clone()) else { return };
        self.hear_card(&key);
        self.take_decision(&key);
    }

    fn hear_card(&mut self, key: &Key) {
        let Some(mut card) = self.disk.now.cards.get(key).cloned() else { return };
        let Some(event) = card.event.clone() else { return };
        let now = self.now();
        for (reaction, sign) in self.server.reactions(&event) {
            let choice = match sign {
                "✅" => Choice::Approve,
                "❌" => Choice::Decline,
                _ => continue,
            };
            if let Ok(true) = card.standing.hear(choice, &reaction.sender, &Who::Person, Some(0), &reaction.id, now) {
                self.held.decisions += 1;
            }
        }
        self.disk.write(Write::Card(key.clone(), Some(Box::new(card))));
    }

    fn take_decision(&mut self, (id, number): &Key) {
        let now = self.now();
        let Some(pending) = self.live(id).and_then(|live| live.cards.get(number).cloned()) else { return };
        let key = (id.clone(), *number);
        let decision = match self.disk.now.cards.get(&key).cloned() {
            // It was taken away.
            None => Some(Decision::Expired),
            Some(mut card) => {
                let decision = card.standing.take(now);
                self.disk.write(Write::Card(key, Some(Box::new(card))));
                decision
            }
        };
        let Some(decision) = decision else { return };
        if let Some(live) = self.live(id) {
            live.cards.remove(number);
        }
        let what = Input::Decided { call: pending.call, decision };
        self.later(id, 5, Done::Was(Box::new(what)));
    }

    pub(super) fn withdraw_card(&mut self, key: &Key) {
        if let Some(event) = self.disk.now.cards.get(key).and_then(|card| card.event.clone()) {
            self.take_back(&event);
        }
        self.disk.write(Write::Card(key.clone(), None));
        self.take_decision(key);
    }

    /// The cards of a run that begins anew, or is over, are closed.
    pub(super) fn close_cards(&mut self, id: &RunId) {
        let keys: Vec<Key> = self.disk.now.cards.keys().filter(|(run, _)| run == id).cloned().collect();
        for key in keys {
            self.disk.write(Write::Card(key, None));
        }
    }
}

/// What a card says that is over.
pub(super) fn closing_text(record: &RunRecord) -> Outgoing {
    Outgoing { body: "It is over.".to_owned(), mentions: std::collections::BTreeSet::new(), ..card_text(record) }
}

fn card_text(record: &RunRecord) -> Outgoing {
    Outgoing {
        kind: OutgoingKind::Notice,
        body: "May it?".to_owned(),
        html: None,
        mentions: std::iter::once(record.asker.clone()).collect(),
        place: record.place.clone(),
        sources: Vec::new(),
    }
}
